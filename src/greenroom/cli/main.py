"""The command `greenroom`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Annotated, Final

import typer

from greenroom.cli import (
    access,
    catalogue,
    events,
    fleet,
    homes,
    instance,
    join,
    logs,
    mcp,
    recording,
    rehearse,
    sessions,
    settings,
    staging,
    webhooks,
)
from greenroom.cli.output import printable
from greenroom.cli.verbs import APPS
from greenroom.core.errors import GreenroomError
from greenroom.kit import ending, log, roles
from greenroom.kit.version import version

VERBS: Final = (access, catalogue, fleet, homes, logs, sessions, settings, staging, webhooks)
"""Modules whose functions are verbs (`greenroom.cli.verbs.verb`)."""

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"greenroom {version()}")
        raise typer.Exit


@app.callback()
def everywhere(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Greenroom: desktops, browsers and applications in containers, streamed to people's browsers."""


@app.command()
def api() -> None:
    """Run the api of a deployment (settings: GREENROOM_*)."""
    roles.run("api")


@app.command()
def manager() -> None:
    """Run one Manager of a zone (settings: GREENROOM_*)."""
    roles.run("manager")


@app.command()
def agent() -> None:
    """Run the Agent of this host (settings: GREENROOM_*)."""
    roles.run("agent")


@app.command()
def gateway() -> None:
    """Run the gateway of this host: nginx with generated configuration (settings: GREENROOM_*)."""
    roles.run("gateway")


instance.register(app)
join.register(app)
rehearse.register(app)
mcp.register(app)
events.register(app)
recording.register(app)
APPS["users"].command("reset-password")(instance.reset_password)
PANELS: Final = {
    "This machine": ("up", "down", "status", "doctor", "migrate", "setup", "join"),
    "Sessions": ("sessions", "staging", "launches", "recording", "homes", "rehearse"),
    "Workspaces": ("images", "catalogue", "catalogues", "filter-policies", "secrets"),
    "Fleet": ("zones", "managers", "agents", "gateways", "machine-pools", "machine-orders", "join-tokens"),
    "Access and settings": ("users", "groups", "keys", "settings"),
    "Diagnostics and programs": ("logs", "events", "webhooks", "mcp"),
    "Roles of a deployment": roles.ROLES,
}
"""Title of a panel of the help → its commands."""


def _panel(name: str) -> str | None:
    return next((title for title, names in PANELS.items() if name in names), None)


for noun, commands in APPS.items():
    app.add_typer(commands, name=noun)
for part in (*app.registered_commands, *app.registered_groups):
    part.rich_help_panel = _panel(str(part.name or getattr(part.callback, "__name__", "")))


_OF_COMMANDS: Final = frozenset({"GREENROOM_URL", "GREENROOM_KEY", "GREENROOM_SECRET", "GREENROOM_DATA"})
"""Variables that need no look at the settings of the roles, which takes time to load."""


def _judge(environment: Mapping[str, str]) -> None:
    """Warn of `GREENROOM_*` variables that nothing reads.

    Raises:
        SetupError: one has a value that cannot be used.
    """
    if not any(name.startswith("GREENROOM_") and name not in _OF_COMMANDS for name in environment):
        return
    from greenroom.kit.environment import refuse_unusable, unknown_variables  # noqa: PLC0415 -- see above

    for sentence in unknown_variables(environment):
        print(f"greenroom: {printable(sentence)}", file=sys.stderr)  # noqa: T201 -- the output of the command line
    refuse_unusable()


def main() -> None:
    """Entry point; an error is one sentence on stderr and exit code 1.

    Raises:
        KeyboardInterrupt: Ctrl-C, of which typer only keeps the exit code.
    """
    log.for_commands("greenroom")
    try:
        _judge(os.environ)
        app()
    except (GreenroomError, OSError) as error:
        ending.failed(error)
    except SystemExit as ended:
        if ended.code == ending.INTERRUPTED:
            raise KeyboardInterrupt from ended
        raise
