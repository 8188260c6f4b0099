"""`managers enable`, `disable` and `requests`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import typer

from greenroom.cli.calls import Call, command
from greenroom.cli.fields import body_of, options_of
from greenroom.cli.filters import RequestFilter
from greenroom.cli.output import Column, absolute
from greenroom.cli.verbs import add_change

_OPTIONS: Final = options_of(RequestFilter, with_null=False)


COLUMNS: Final = (
    Column("Time", lambda request: absolute(datetime.fromisoformat(request["time"]))),
    Column("Agent", "agent_id"),
    Column("Manager", "manager_instance_id"),
    Column("Request", lambda request: f"{request['method']} {request['path']}"),
    Column("Status", "status"),
    Column("Count", "count"),
    Column("Duration", "duration_ms"),
)

Limit = Annotated[int, typer.Option(min=1, help="Rows at most, the newest.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    add_change(app, "enable", "managers", {"enabled": True}, "Let a Manager take part in its zone again.")
    add_change(
        app,
        "disable",
        "managers",
        {"enabled": False},
        "Take a Manager out of service without stopping it; refused for the last enabled one of a zone.",
    )
    app.command("requests")(command(requests, [option.parameter for option in _OPTIONS]))


def requests(call: Call, *, limit: Limit = 100, **given: Any) -> None:
    """List how Managers answered Agents, newest first: each answer that was not 2xx, the others counted per minute."""
    rows = call.client.rows("/diagnostics/manager-requests", body_of(_OPTIONS, given, call.client), limit)
    call.output.rows(rows, COLUMNS, "There are no such requests.")
