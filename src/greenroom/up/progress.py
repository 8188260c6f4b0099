"""Telling a person what is being done: a spinner on a terminal, plain lines elsewhere, events through a pipe.

With `--detach` the work is done by a process in the background; it sends its steps as lines of JSON, and the process
in the foreground shows them.
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

WORTH_TELLING_S: Final = 1.0
"""A step that took longer is shown with its time."""


class Progress(Protocol):
    """Where the steps go."""

    def begin(self, text: str) -> None:
        """A step begins; the one before it is over."""
        ...

    def end(self) -> None:
        """The step that runs is over."""
        ...


@contextmanager
def step(progress: Progress, text: str) -> Generator[None]:
    """One step, as a block."""
    progress.begin(text)
    try:
        yield
    finally:
        progress.end()


class Lines:
    """Plain lines, one when a step begins and one with its time if it took long."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._text = ""
        self._began_s = 0.0

    def begin(self, text: str) -> None:
        """Print the step."""
        self.end()
        self._text, self._began_s = text, time.monotonic()
        self._print(f"{text} …")

    def end(self) -> None:
        """Print how long it took, if that is worth telling."""
        took_s = time.monotonic() - self._began_s
        if self._text and took_s >= WORTH_TELLING_S:
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
        """Show the step with a spinner."""
        self.end()
        self._text, self._began_s = text, time.monotonic()
        self._status = self._console.status(f"{text} …")
        self._status.start()

    def end(self) -> None:
        """Put a tick in the spinner's place."""
        if self._status is None:
            return
        self._status.stop()
        self._status = None
        took_s = time.monotonic() - self._began_s
        time_taken = f" [dim]{took_s:.1f} s[/dim]" if took_s >= WORTH_TELLING_S else ""
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
    """It does not, and the process in the background ends."""

    sentence: str


class Events:
    """Steps as lines of JSON, for `show_events` in another process."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._deaf = False

    def begin(self, text: str) -> None:
        """Send the step."""
        self.send(Begin(text))

    def end(self) -> None:
        """Send that it is over."""
        self.send(End())

    def send(self, event: Begin | End | Ready | Failed) -> None:
        """Send one; when the reader is gone without notice, this process is asked to end."""
        if self._deaf:
            return
        try:
            self._out.write(msgspec.json.encode(event).decode() + "\n")
            self._out.flush()
        except BrokenPipeError:
            self._deaf = True
            os.kill(os.getpid(), signal.SIGTERM)

    def close(self) -> None:
        """Send nothing more: the caller that started this process has what it waited for."""
        self._deaf = True


def on_stderr() -> Progress:
    """What fits the place where stderr goes."""
    return Spinner(Console(stderr=True)) if sys.stderr.isatty() else Lines(sys.stderr)


def show_events(source: TextIO, progress: Progress) -> Ready | Failed | None:
    """Show the steps that come from `source`; returns what became of them, None when it ended without saying."""
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
