"""`logs list|tail`: what happened."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Final

import typer
from rich.text import Text

from greenroom.cli.client import PAGE_ROWS, ApiError, Client, Row
from greenroom.cli.output import Column, absolute, columns, printable
from greenroom.cli.verbs import Call, fields_of, verb

POLL_S: Final = 1.0
LATE_S: Final = 10.0
"""Rows are written by several processes; one may appear this much later than a newer one."""

_COLOURS: Final = {"ERROR": "red", "WARNING": "yellow", "DEBUG": "dim"}
_COLUMNS: Final = columns(
    Column("Time", lambda row: absolute(datetime.fromisoformat(row["time"]))), "level component code message"
)
_OPTIONS: Final = fields_of("greenroom.cli.filters:LogFilter", with_null=False)

Limit = Annotated[int, typer.Option(min=1, help="Rows at most, the newest.")]
Lines = Annotated[int, typer.Option("--lines", "-n", min=1, max=1000, help="Rows shown at first.")]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", "-f", help="Go on with new rows until interrupted.")]


@verb("logs", "list", options=_OPTIONS, of_one=False)
def logs_list(call: Call, *, limit: Limit = 100) -> None:
    """List log rows, newest first."""
    rows = call.client.rows("/logs", call.body(), limit)
    call.output.rows(rows, _COLUMNS, "There are no such log rows.", whole=True)


@verb("logs", "tail", options=_OPTIONS, of_one=False)
def logs_tail(call: Call, *, lines: Lines = 20, follow: Follow = True) -> None:
    """Show the newest log rows, then every new one as it comes; with --json one object per line."""
    query = call.body()
    for row in follow_rows(call.client, query, lines) if follow else newest(call.client, query, lines):
        _show(call, row)


def newest(client: Client, query: Row, lines: int) -> list[Row]:
    """The newest rows, oldest of them first."""
    return client.rows("/logs", query, lines)[::-1]


def follow_rows(client: Client, query: Row, lines: int) -> Iterator[Row]:
    """The newest rows, then new ones without end, each once; also one that appears after a newer one."""
    window = newest(client, query, PAGE_ROWS)
    yield from window[-lines:]
    before = window[0]["log_id"] if window else 0
    for _ in _changes(client):
        seen = {row["log_id"] for row in window}
        window = client.rows("/logs", query | _since(query, window))[::-1] or window
        yield from (row for row in window if row["log_id"] > before and row["log_id"] not in seen)


def _changes(client: Client) -> Iterator[None]:
    """When to look for new rows: on the server's events, or every `POLL_S` without them."""
    while True:
        with suppress(ApiError):  # if the server is gone, the next request for rows raises its error
            yield from client.changes("logs")
        time.sleep(POLL_S)
        yield


def _since(query: Row, window: list[Row]) -> Row:
    """From when to ask again: a little before the newest row, never before the caller's limit."""
    if not window:
        return {}
    late = datetime.fromisoformat(window[-1]["time"]) - timedelta(seconds=LATE_S)
    asked = query.get("since")
    return {"since": max(late, datetime.fromisoformat(asked) if asked else late).isoformat()}


def _show(call: Call, row: Row) -> None:
    if call.output.as_json:
        call.output.json(row)
        return
    line = Text(f"{absolute(datetime.fromisoformat(row['time']))} ", style="dim")
    line.append(f"{row['level']:7} ", style=_COLOURS.get(row["level"], "green"))
    line.append(f"{row['component']:8} {row['code']:24} ", style="cyan")
    line.append(printable(row["message"]), style="default")
    call.output.out.print(line, soft_wrap=True)
