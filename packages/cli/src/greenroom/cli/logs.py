"""Log rows, events and recordings: `logs list|tail`, `events`, the `recording` of a lease, `session-videos verify`."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from greenroom.cli.client import Client
from greenroom.cli.output import COLORS, TIME, Column, Row, columns, format_time, printable, styled
from greenroom.cli.verbs import Call, Limit, command, field_options, verb
from greenroom.client import Event
from greenroom.client.events import RESYNC
from greenroom.client.events import log as log_of_events
from greenroom.client.requests import PAGE_ROWS
from greenroom.core.errors import GreenroomError
from greenroom.core.events import MAX_RECENT, Topic

POLL_S: Final = 1.0
LATE_S: Final = 10.0
"""The maximum delay with which a row appears after a newer row, because several processes write rows."""

_LOG_COLUMNS: Final = columns(TIME, "level component code message")
_LOG_OPTIONS: Final = field_options("GET /logs")

Lines = Annotated[int, typer.Option("--lines", "-n", min=1, max=1000, help="Number of existing rows to show first.")]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", "-f", help="Continue with new rows until interrupted.")]


@verb("logs", "list", options=_LOG_OPTIONS, takes_object=False)
def logs_list(call: Call, *, limit: Limit = 100) -> None:
    """List log rows, newest first."""
    call.print_list("/logs", _LOG_COLUMNS, "No log rows match.", limit, fold=True)


@verb("logs", "tail", options=_LOG_OPTIONS, takes_object=False)
def logs_tail(call: Call, *, lines: Lines = 20, follow: Follow = True) -> None:
    """Show the newest log rows, then new rows as they arrive; --json prints one object per line."""
    query = call.body()
    for row in follow_rows(call.client, query, lines) if follow else read_newest(call.client, query, lines):
        _show_row(call, row)


def read_newest(client: Client, query: Row, lines: int) -> list[Row]:
    """Return the `lines` newest rows, ordered from old to new."""
    return client.rows("/logs", query, lines)[::-1]


def follow_rows(client: Client, query: Row, lines: int) -> Iterator[Row]:
    """Yield the `lines` newest rows, then new rows without end, also rows that are stored after newer rows."""
    window = read_newest(client, query, PAGE_ROWS)
    yield from window[-lines:]
    oldest_id = window[0]["log_id"] if window else 0
    for _ in _changes(client):
        known_ids = {row["log_id"] for row in window}
        window = client.rows("/logs", query | _since_filter(query, window))[::-1] or window
        yield from (row for row in window if row["log_id"] > oldest_id and row["log_id"] not in known_ids)


def _changes(client: Client) -> Iterator[None]:
    """Yield when new rows may exist: at each event of the server, or every `POLL_S` while events are unavailable."""
    while True:
        with suppress(GreenroomError):  # if the server is gone, the next request for rows raises its error
            yield from client.changes("logs")
        time.sleep(POLL_S)
        yield


def _since_filter(query: Row, window: list[Row]) -> Row:
    """Return the filter `since` of the next request: shortly before the newest row, but not before `query["since"]`."""
    if not window:
        return {}
    start = datetime.fromisoformat(window[-1]["time"]) - timedelta(seconds=LATE_S)
    limit = query.get("since")
    return {"since": max(start, datetime.fromisoformat(limit) if limit else start).isoformat()}


def _show_row(call: Call, row: Row) -> None:
    if call.output.print_if_json(row):
        return
    line = styled(f"{format_time(datetime.fromisoformat(row['time']))} ", "dim")
    line.append(f"{row['level']:7} ", style=COLORS.get(row["level"], "green"))
    line.append(f"{row['component']:8} {row['code']:24} ", style="cyan")
    line.append(printable(row["message"]), style="default")
    call.output.out.print(line, soft_wrap=True)


class _Reconnections(logging.Handler):
    """Writes a message to stderr each time the client library connects to the events again."""

    def emit(self, record: logging.LogRecord) -> None:
        print(printable(f"greenroom: {record.getMessage()}"), file=sys.stderr)  # noqa: T201


_RECONNECTIONS: Final = _Reconnections(logging.WARNING)

Topics = Annotated[list[Topic], typer.Option("--topic", "-t", help="Only events of this topic; may be repeated.")]
EventLines = Annotated[
    int, typer.Option("--lines", "-n", min=0, max=MAX_RECENT, help="Number of past events to show first.")
]
FollowEvents = Annotated[bool, typer.Option("--follow", "-f", help="Continue with new events until interrupted.")]


@command
def events(call: Call, *, topic: Topics = [], lines: EventLines = 20, follow: FollowEvents = False) -> None:  # noqa: B006 -- typer copies it
    """Show the latest events; --follow adds new ones; --json prints one object per line.

    An event names the changed object, not the change. `resync` means that events may be missing, because the connection
    was lost.
    """
    log_of_events.addHandler(_RECONNECTIONS)
    stream = call.client.events(lines) if follow else call.client.recent_events(lines)
    for event in stream:
        if not topic or event.topic in (*topic, RESYNC):
            _show_event(call, event)


def _show_event(call: Call, event: Event) -> None:
    if call.output.print_if_json(msgspec.to_builtins(event)):
        return
    line = styled(f"{format_time(event.at) if event.at else '':20}", "dim")
    line.append(f"{event.topic:16}", style="cyan").append(printable(event.id), style="default")
    call.output.out.print(line, soft_wrap=True)


Lease = Annotated[str, typer.Argument(metavar="LEASE", help="The id of the lease.")]
Export = Annotated[Path | None, typer.Option(help="Write the recording with its pictures to this ZIP file.")]


def _picture_text(row: Row) -> str | None:
    if row["picture"] is not None:
        return f"{row['picture']['width']} x {row['picture']['height']}"
    return row["picture_left_out"] and "omitted"


_RECORDING_COLUMNS: Final = columns(
    "number began",
    Column("Took", "duration_ms"),
    Column("Action", "said"),
    Column("Outcome", lambda row: row["error"] or row["code"] or "done"),
    Column("Picture", _picture_text),
)


@command
def recording(call: Call, *, lease: Lease, export: Export = None) -> None:
    """Show the recording of a lease; --export writes it with its pictures to a file."""
    if export is not None:
        call.client.export_recording(lease, export)
        call.output.err.print(f"The recording was written to {export}.")
        return
    call.print_list(
        f"/leases/{lease}/recording/rows", _RECORDING_COLUMNS, "The recording has no actions yet.", fold=True
    )


@verb("session-videos")
def verify(call: Call) -> None:
    """Verify that a video is complete and unchanged; exit code 1 if a segment is missing or was changed."""
    found = call.client.get(f"{call.path}/verification")
    text = f"Intact segments: {found['segments']}{'' if found['ended'] else '. The video has no end yet'}."
    call.output.print_result("\n".join(found["problems"]) or text, found)
    if not found["ok"]:
        raise typer.Exit(1)
