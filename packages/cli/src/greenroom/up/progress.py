"""Displays the steps of a command and their result: a spinner on a terminal, plain lines elsewhere, or events through a
pipe.

With `--detach`, the background process sends its steps as lines of JSON, and the foreground process displays them.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TextIO

import msgspec

from greenroom.up.free_space import free_disk, low_disk_warning

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class AdminLogin:
    """The log-in of the administrator. `password` is None if the administrator has changed it."""

    username: str
    password: str | None


@dataclass(frozen=True, slots=True)
class ZoneDescription:
    """A zone. `zone_id` is None while the zone is not in the database."""

    zone_id: str | None
    zone_name: str
    gateway_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerDescription:
    """A Manager. `manager_id` is None before the Manager has registered, `pid` while the Manager is not running."""

    manager_id: str | None
    instance_id: str
    zone_name: str
    port: int
    gateway_url: str
    pid: int | None
    sentinel_file: str


@dataclass(frozen=True, slots=True)
class AgentDescription:
    """An Agent of this host."""

    agent_id: str
    zone_name: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceDescription:
    """The description of a running instance, as `greenroom up --json` prints it. `pids` maps each role to its pids."""

    url: str
    stream_url: str
    ca_file: str
    admin: AdminLogin
    api_key: str | None
    api_key_secret: str | None
    zones: list[ZoneDescription]
    managers: list[ManagerDescription]
    agents: list[AgentDescription]
    pids: dict[str, list[int]]
    data: str
    public_url: str
    database_url: str


SHOW_TIME_FROM_S: Final = 1.0
"""A step that took at least this time is displayed with its time."""


class Progress(Protocol):
    """The display of the steps of a command."""

    def step(self, text: str) -> AbstractContextManager[None]:
        """Display one step for the duration of the block."""
        ...


class LineProgress:
    """Displays a step as a line, and a second line with its time after a long step."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    @contextmanager
    def step(self, text: str) -> Generator[None]:
        began_s = time.monotonic()
        print(f"{text} …", file=self._out, flush=True)
        try:
            yield
        finally:
            if (took_s := time.monotonic() - began_s) >= SHOW_TIME_FROM_S:
                print(f"{text}: {took_s:.1f} s", file=self._out, flush=True)


class SpinnerProgress:
    """Displays a step as a spinner, and then as a line with a check mark."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, text: str) -> Generator[None]:
        began_s = time.monotonic()
        try:
            with self._console.status(f"{text} …"):
                yield
        finally:
            took_s = time.monotonic() - began_s
            time_taken = f" [dim]{took_s:.1f} s[/dim]" if took_s >= SHOW_TIME_FROM_S else ""
            self._console.print(f"[green]✓[/green] {text}{time_taken}")


class Begin(msgspec.Struct, tag=True):
    """The beginning of a step."""

    text: str


class End(msgspec.Struct, tag=True):
    """The end of the current step."""


class Ready(msgspec.Struct, tag=True):
    """The instance is ready."""

    description: InstanceDescription


class Failed(msgspec.Struct, tag=True):
    """The start of the instance failed, and the background process ends."""

    sentence: str


class EventProgress:
    """Writes the steps as lines of JSON, which `show_events` reads in another process."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_closed = False

    @contextmanager
    def step(self, text: str) -> Generator[None]:
        self.send(Begin(text))
        try:
            yield
        finally:
            self.send(End())

    def send(self, event: Begin | End | Ready | Failed) -> None:
        """Send an event. If the reading process has ended before `close`, this process gets SIGTERM."""
        if self._is_closed:
            return
        try:
            self._out.write(msgspec.json.encode(event).decode() + "\n")
            self._out.flush()
        except BrokenPipeError:
            self._is_closed = True
            os.kill(os.getpid(), signal.SIGTERM)

    def close(self) -> None:
        """Send no further events: the reading process has the result."""
        self._is_closed = True


def stderr_progress() -> Progress:
    """Return a display on stderr: a spinner on a terminal, else plain lines."""
    if not sys.stderr.isatty():
        return LineProgress(sys.stderr)
    from rich.console import Console  # noqa: PLC0415 -- 10 MiB, which the background process does not need

    return SpinnerProgress(Console(stderr=True))


def show_events(source: TextIO, progress: Progress) -> Ready | Failed | None:
    """Display the events from `source`. Return the outcome, or None if the events ended without one."""
    with ExitStack() as running:
        for line in source:
            event = msgspec.json.decode(line, type=Begin | End | Ready | Failed)
            running.close()
            if isinstance(event, Begin):
                running.enter_context(progress.step(event.text))
            elif not isinstance(event, End):
                return event
    return None


def show_ready(description: InstanceDescription, *, as_json: bool) -> None:
    """Print the address of the instance and the log-in, or the whole description as JSON. Warn if the disk has too
    little free space for sessions."""
    from greenroom.kit.config import AgentConfig  # noqa: PLC0415 -- slow to import

    kept = os.environ.get("GREENROOM_DISK_KEPT_BYTES")
    kept_bytes = int(kept) if kept else AgentConfig.model_fields["disk_kept_bytes"].default
    folder, free_bytes = free_disk(Path(description.data))
    if warning := low_disk_warning(str(folder), free_bytes, kept_bytes):
        print(f"Warning: {warning}", file=sys.stderr)  # noqa: T201 -- the command's output
    if as_json:
        print(json.dumps(asdict(description)), flush=True)  # noqa: T201 -- the command's result
        return
    from greenroom.up.terminal import console  # noqa: PLC0415 -- as in `stderr_progress`

    out = console(soft_wrap=True)  # a user who copies one line of a wrapped `down` could stop another instance
    out.print(f"\n[bold]Greenroom is ready at {description.url}[/bold]")
    if description.public_url != description.url:
        out.print(f"The reverse proxy serves it at {description.public_url}")
    admin = description.admin
    if admin.password is not None:
        out.print(f"Log in as {admin.username} with the initial password [bold]{admin.password}[/bold]")
    else:
        out.print(f"Log in as {admin.username} (the password was changed).")
    out.print(f"Certificate authority: {description.ca_file}", markup=False)
    out.print(f"Stop it with: {command_name()} down --data {shlex.quote(description.data)}", markup=False)


def command_name() -> str:
    """Return the command that starts this program: `greenroom` if PATH contains this program, else its path."""
    own_program, program_in_path = Path(sys.executable).with_name("greenroom"), shutil.which("greenroom")
    is_found = program_in_path is not None and own_program.exists() and own_program.samefile(program_in_path)
    return "greenroom" if is_found or not own_program.exists() else str(own_program)
