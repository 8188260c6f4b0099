"""Stops: named places in the code where a test can hold a process, to kill or freeze it there.

`await hold_if_armed("checkin.before_commit")` has no effect in production. If GREENROOM_STOP_DIR is set, each process
serves commands on the socket `<dir>/<process_name>.sock`, one command per line, one reply per line:

    arm NAME      hold the next caller of NAME            → ok
    wait NAME     reply when a caller is held at NAME     → reached
    release NAME  let the caller continue, and disarm     → ok

The file `<dir>/<process_name>.armed` has the stops that are armed at the start of the process, one per line. An unknown
name is an error, so that a test cannot wait for a stop that does not exist.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

STOPS: Final[dict[str, str]] = {
    "launch.before_insert": "api: the plan of a launch is complete, its session row is not yet inserted",
    "launch.after_insert": "api: the session row of an on-demand launch is committed, without a notification yet",
    "claim.after_user_lock": "api: inside the claim's transaction, after the user's row was locked",
    "claim.after_commit": "api: the claim is committed and announced, without an answer yet",
    "destroy.after_commit": "api: a destroy is recorded, without a notification yet",
    "audit.before_event": "api: the change of a request is committed, its event is not stored yet",
    "leadership.after_take": "manager: the Manager took the leadership, it does not act as Primary yet",
    "leadership.before_renew": "manager: about to renew its leadership",
    "primary.after_check": "manager: a plan is complete, its guarded writes have not begun",
    "primary.in_guard": "manager: inside a guarded transaction, after the check of its term",
    "pool.after_count": "manager: the pool was counted in its transaction, rows are not yet inserted",
    "checkin.before_commit": "manager: states of sessions arrived, the transaction that stores them has not begun",
    "checkin.after_commit": "manager: states of sessions are committed, the Agent has no answer yet",
    "checkin.before_answer": "manager: the answer to a check-in is complete, it is not sent",
    "agent.before_create": "agent: a container is about to be created",
    "agent.after_create": "agent: the container exists, it is not started",
    "agent.after_start": "agent: the container runs, nothing was reported",
    "agent.before_remove": "agent: a container is about to be removed",
    "agent.after_remove": "agent: the container is gone, nothing was reported",
    "agent.command_journalled": "agent: a command is in the journal, it has not run",
    "agent.command_ran": "agent: a command ran, its result is not yet in the journal",
    "agent.handover_received": "agent: a hand-over was acknowledged, `assign` has not run",
}


class _Stops:
    """The stops of this process."""

    def __init__(self) -> None:
        self.armed: dict[str, asyncio.Event] = {}
        """Name of each armed stop → the event that releases its callers."""
        self.reached: dict[str, asyncio.Event] = {}
        """Name of a stop → the event that is set when a caller reaches the stop."""

    def arm(self, name: str) -> None:
        if name not in STOPS:
            raise KeyError(f"there is no stop {name}")
        self.armed[name] = asyncio.Event()
        self.reached.setdefault(name, asyncio.Event()).clear()

    async def hold(self, name: str) -> None:
        release_event = self.armed.get(name)
        if release_event is not None:
            self.reached[name].set()
            await release_event.wait()


_stops: _Stops | None = None


async def hold_if_armed(name: str) -> None:
    """Hold the caller if a test armed the stop `name`, until the test releases it."""
    if _stops is not None:
        await _stops.hold(name)


def hold_function(name: str) -> Callable[[], Awaitable[None]] | None:
    """Return a function that calls `hold_if_armed(name)`, None in production. For modules that must not import this
    module."""
    return None if _stops is None else lambda: hold_if_armed(name)


async def serve_commands(folder: Path | None, process_name: str) -> None:
    """Serve the commands of tests on the socket of this process in the background. Without a folder, do nothing."""
    global _stops  # noqa: PLW0603 -- there is one per process, and none in production
    if folder is None:
        return
    _stops = _Stops()
    armed_file = folder / f"{process_name}.armed"
    if armed_file.exists():
        for name in armed_file.read_text().split():
            _stops.arm(name)
        armed_file.unlink()
    path = folder / f"{process_name}.sock"
    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(_answer_commands, path)
    _servers.append(server)


_servers: list[asyncio.Server] = []
"""Keeps the server of `serve_commands`, which would be collected as garbage otherwise."""


async def _answer_commands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := (await reader.readline()).decode().split():
        writer.write((await _execute(line[0], line[1]) + "\n").encode())
        await writer.drain()
    writer.close()


async def _execute(command: str, name: str) -> str:
    if _stops is None or name not in STOPS:
        return f"error: there is no stop {name}"
    if command == "arm":
        _stops.arm(name)
    elif command == "wait":
        await _stops.reached.setdefault(name, asyncio.Event()).wait()
        return "reached"
    elif command == "release" and (release_event := _stops.armed.pop(name, None)):
        release_event.set()
    return "ok"
