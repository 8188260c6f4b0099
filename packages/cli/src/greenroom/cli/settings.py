"""`settings list|get|update`, and `webhooks deliveries|replay|test|renew-secret` for sent messages of webhooks."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from greenroom.cli.client import ApiError, Row
from greenroom.cli.noun import Field
from greenroom.cli.output import Column, columns, milliseconds, printable
from greenroom.cli.values import assignments
from greenroom.cli.verbs import Call, query_options, verb
from greenroom.core.installation import INSTALLATION_SETTINGS
from greenroom.core.webhooks import DeliveryState

_COLUMNS: Final = columns(Column("Setting", "name"), "value unit default description")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the setting.", show_default=False)]
Changes = Annotated[
    list[str], typer.Argument(metavar="NAME=VALUE…", help="New values; null restores the default.", show_default=False)
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
    """Change settings. Changes take effect immediately."""
    _show(call, call.client.patch("/settings", assignments(changes, settings=INSTALLATION_SETTINGS)))


def _show(call: Call, settings: list[Row]) -> None:
    call.output.rows(settings, _COLUMNS, "There are no settings.", whole=True)


_OUTCOME: Final = 60
"""Characters of a response in the list."""


def _outcome(delivery: Row) -> str | None:
    if delivery["status"] is None:
        return delivery["error"] or None
    return f"{delivery['status']} {printable(delivery['answer'])[:_OUTCOME]}".rstrip()


def _took(delivery: Row) -> str | None:
    return None if delivery["duration_ms"] is None else milliseconds(delivery["duration_ms"])


_DELIVERIES: Final = columns(
    "at delivery_id event state attempts", Column("Took", _took), Column("Outcome", _outcome), "due"
)

Limit = Annotated[int, typer.Option(min=1, help="Maximum number of rows, newest first.")]
Delivery = Annotated[str | None, typer.Argument(metavar="[DELIVERY]", help="Id of the delivery.", show_default=False)]
GivenUp = Annotated[bool, typer.Option("--given-up", help="All deliveries in the state given_up.")]


@verb("webhooks", options=query_options(Field("state", DeliveryState, "in this state")))
def deliveries(call: Call, *, limit: Limit = 100) -> None:
    """List the deliveries of a webhook and their outcomes, newest first."""
    rows = call.client.rows(f"{call.path}/deliveries", call.body(), limit)
    call.output.rows(rows, _DELIVERIES, "The webhook has no deliveries in the last days.")


@verb("webhooks")
def replay(call: Call, *, delivery: Delivery = None, given_up: GivenUp = False) -> None:
    """Send a delivery again with the same ids, or all deliveries in the state given_up."""
    if given_up == (delivery is not None):
        raise typer.BadParameter("Specify the id of one delivery, or --given-up.")
    part = "/replay" if delivery is None else f"/deliveries/{delivery}/replay"
    call.one(call.client.post(f"{call.path}{part}"))


@verb("webhooks")
def test(call: Call) -> None:
    """Send a test message to a webhook, and show the outcome."""
    call.one(call.client.post(f"{call.path}/test"))


@verb("webhooks")
def renew_secret(call: Call) -> None:
    """Create a new signing secret for all further messages. The secret is shown only once."""
    call.one(call.client.post(f"{call.path}/secret"))
