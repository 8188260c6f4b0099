"""`settings list|get|update`: the settings of the installation."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from greenroom.cli.client import ApiError, Row
from greenroom.cli.output import Column, columns
from greenroom.cli.values import assignments
from greenroom.cli.verbs import Call, verb
from greenroom.core.installation import INSTALLATION_SETTINGS

_COLUMNS: Final = columns(Column("Setting", "name"), "value unit default description")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the setting.", show_default=False)]
Changes = Annotated[
    list[str], typer.Argument(metavar="NAME=VALUE…", help="null brings the default back.", show_default=False)
]


@verb("settings", "list", of_one=False)
def settings_list(call: Call) -> None:
    """List the settings with their values."""
    _show(call, call.client.rows("/settings"))


@verb("settings", "get", of_one=False)
def settings_get(call: Call, *, name: Name) -> None:
    """Show one setting."""
    found = [setting for setting in call.client.rows("/settings") if setting["name"] == name]
    if not found:
        raise ApiError(f"There is no setting {name}; see greenroom settings list.")
    call.one(found[0])


@verb("settings", "update", of_one=False)
def settings_update(call: Call, *, changes: Changes) -> None:
    """Change settings; they hold at once."""
    _show(call, call.client.patch("/settings", assignments(changes, settings=INSTALLATION_SETTINGS)))


def _show(call: Call, settings: list[Row]) -> None:
    call.output.rows(settings, _COLUMNS, "There are no settings.", whole=True)
