"""`greenroom events`: what changed in a deployment, as it happens."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Final

import msgspec
import typer
from rich.text import Text

from greenroom.cli.output import absolute, printable
from greenroom.cli.verbs import Call, command
from greenroom.client import Event
from greenroom.client.events import RESYNC
from greenroom.client.events import log as log_of_events
from greenroom.core.events import MAX_RECENT, Topic


class _Reconnections(logging.Handler):
    """Writes to the present stderr when the client library connects to the events again."""

    def emit(self, record: logging.LogRecord) -> None:
        print(printable(f"greenroom: {record.getMessage()}"), file=sys.stderr)  # noqa: T201


_RECONNECTIONS: Final = _Reconnections(logging.WARNING)

Topics = Annotated[
    list[Topic], typer.Option("--topic", "-t", help="Only events of this topic; may be repeated.", show_default=False)
]
Lines = Annotated[int, typer.Option("--lines", "-n", min=0, max=MAX_RECENT, help="Of the last events, shown at first.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with new events until interrupted.")]


@command
def events(call: Call, *, topic: Topics = [], lines: Lines = 20, follow: Follow = False) -> None:  # noqa: B006 -- typer copies it
    """Show what changed last, and with --follow what changes; with --json one object per line.

    An event says what changed, not how. `resync` says that some may be missing, because the connection was lost.
    """
    log_of_events.addHandler(_RECONNECTIONS)
    found = call.client.events(lines) if follow else call.client.recent_events(lines)
    for event in found:
        if not topic or event.topic in (*topic, RESYNC):
            _show(call, event)


def _show(call: Call, event: Event) -> None:
    if call.output.as_json:
        call.output.json(msgspec.to_builtins(event))
        return
    line = Text(f"{absolute(event.at) if event.at else '':20}", style="dim")
    line.append(f"{event.topic:16}", style="cyan").append(printable(event.id), style="default")
    call.output.out.print(line, soft_wrap=True)
