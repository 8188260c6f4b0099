"""Shows what is being done: a spinner on a terminal, plain lines elsewhere, events through a pipe.

With `--detach` the background process sends its steps as lines of JSON, and the foreground process shows them.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, Protocol, TextIO

import msgspec
from rich.console import Console
from rich.status import Status

SHOWN_FROM_S: Final = 1.0
"""A step that took longer is shown with its time."""


class Progress(Protocol):
    """The display of the steps."""

    def begin(self, text: str) -> None: ...

    def end(self) -> None: ...


@contextmanager
def step(progress: Progress, text: str) -> Generator[None]:
    """One step as a block."""
    progress.begin(text)
    try:
        yield
    finally:
        progress.end()


class Lines:
    """Plain lines: one when a step begins, one with its time if it took long."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._text = ""
        self._began_s = 0.0

    def begin(self, text: str) -> None:
        self.end()
        self._text, self._began_s = text, time.monotonic()
        self._print(f"{text} …")

    def end(self) -> None:
        took_s = time.monotonic() - self._began_s
        if self._text and took_s >= SHOWN_FROM_S:
            self._print(f"{self._text}: {took_s:.1f} s")
        self._text = ""

    def _print(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


class Spinner:
    """A spinner that becomes a tick."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._text = ""
        self._began_s = 0.0

    def begin(self, text: str) -> None:
        self.end()
        self._text, self._began_s = text, time.monotonic()
        self._status = self._console.status(f"{text} …")
        self._status.start()

    def end(self) -> None:
        if self._status is None:
            return
        self._status.stop()
        self._status = None
        took_s = time.monotonic() - self._began_s
        time_taken = f" [dim]{took_s:.1f} s[/dim]" if took_s >= SHOWN_FROM_S else ""
        self._console.print(f"[green]✓[/green] {self._text}{time_taken}")


class Begin(msgspec.Struct, tag=True):
    """A step begins."""

    text: str


class End(msgspec.Struct, tag=True):
    """The step that runs is over."""


class Ready(msgspec.Struct, tag=True):
    """The instance serves: the object of `--json`."""

    found: dict[str, Any]


class Failed(msgspec.Struct, tag=True):
    """The instance does not serve, and the background process ends."""

    sentence: str


class Events:
    """Steps as lines of JSON, for `show_events` in another process."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._deaf = False

    def begin(self, text: str) -> None:
        self.send(Begin(text))

    def end(self) -> None:
        self.send(End())

    def send(self, event: Begin | End | Ready | Failed) -> None:
        """Send an event; when the reader is gone without notice, this process gets SIGTERM."""
        if self._deaf:
            return
        try:
            self._out.write(msgspec.json.encode(event).decode() + "\n")
            self._out.flush()
        except BrokenPipeError:
            self._deaf = True
            os.kill(os.getpid(), signal.SIGTERM)

    def close(self) -> None:
        """Send nothing more: the process that started this one has its answer."""
        self._deaf = True


def on_stderr() -> Progress:
    """The display that fits stderr."""
    return Spinner(Console(stderr=True)) if sys.stderr.isatty() else Lines(sys.stderr)


def show_events(source: TextIO, progress: Progress) -> Ready | Failed | None:
    """Show the events from `source`; returns the outcome, None when it ended without one."""
    for line in source:
        event = msgspec.json.decode(line, type=Begin | End | Ready | Failed)
        if isinstance(event, Begin):
            progress.begin(event.text)
            continue
        progress.end()
        if not isinstance(event, End):
            return event
    progress.end()
    return None
