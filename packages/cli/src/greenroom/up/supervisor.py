"""Keeps the parts of an instance running: starts and restarts them, and ends them in order.

At every change, the supervisor writes its state to `DATA/run/state.json`, for `greenroom status`. If the disk is full,
the supervisor keeps the parts running, and writes the state as soon as there is space.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import structlog

from greenroom.core.fleet.restarts import WINDOW_S, next_start
from greenroom.kit.processes import children
from greenroom.up.forks import ForkClient
from greenroom.up.layout import read_json, write_json
from greenroom.up.processes import ChildProcess, Orphans, ProcessCommand, describe_exit, start, watch_child

log = structlog.get_logger(__name__)

WATCH_S: Final = 2.0
"""The interval of the search for orphans, in seconds. The end of a part starts a search immediately."""

KILL_AFTER_S: Final = 10.0
"""The time after which a part that was requested to end is killed."""

FORK_SERVER: Final = "fork-server"
FORK_WITHIN_S: Final = 60.0
"""A fork server without a response after this time counts as frozen. A new fork server needs about a second before its
first response.
"""


@dataclass(slots=True, kw_only=True)
class Part:
    """A process of the instance.

    `name` is unique, such as manager-default-1. `command` is created again at every start, because the environment may
    change. `before_start` is called before every start, for example to clean up after a killed postmaster.
    `replace_signal` ends a process before its replacement by another version. `is_forked`: the fork server, which has
    imported the modules of the part, starts the process. `exits_s` contains the monotonic times of recent exits.
    """

    name: str
    role: str
    command: Callable[[], ProcessCommand]
    before_start: Callable[[], Awaitable[None]] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    replace_signal: signal.Signals = signal.SIGTERM
    is_forked: bool = False
    process: ChildProcess | None = None
    exits_s: list[float] = field(default_factory=list[float])
    starts: int = 0
    last_exit: str = ""
    running: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the part has a process."""
    replacement_pid: asyncio.Future[int] | None = None
    """Completes with the pid of the next process, during a `Supervisor.replace`."""

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartState:
    """A part in state.json."""

    name: str
    role: str
    pid: int | None = None
    starts: int = 0
    last_exit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The content of state.json; without the file, no part is running. `up` is the pid of the process `up`; None = it
    has ended. `phase`: starting, ready, stopping or ended. `left` is a sentence about objects that could not be removed
    at the end.
    """

    up: int | None = None
    phase: str = ""
    parts: tuple[PartState, ...] = ()
    left: str = ""

    @classmethod
    def read(cls, file: Path) -> State:
        """Read the state.

        Raises:
            SetupError: the file cannot be read.
        """
        return msgspec.convert(read_json(file), cls)

    def write(self, file: Path) -> None:
        write_json(file, asdict(self), 0o600)


@dataclass(frozen=True, slots=True)
class _AdoptedProcess:
    """A process of a role that was a child of this process before the supervisor started."""

    role: str
    process: ChildProcess


class Supervisor:
    """Runs parts until `stop`, and writes their state to `state_file`."""

    def __init__(self, state_file: Path) -> None:
        self.parts: list[Part] = []
        self.phase = "starting"
        self.forks = ForkClient()
        self._state_file = state_file
        self._orphans = Orphans()
        self._tasks: list[asyncio.Task[None]] = []
        self._adopted: dict[str, _AdoptedProcess] = {}
        self._stopping = False
        self._has_unwritten_state = False

    def adopt(self, state: State) -> None:
        """Use the existing children of this process as the processes of the parts that `run` adds."""
        pids = {child.pid for child in children() if not child.is_zombie}
        self._adopted = {
            part.name: _AdoptedProcess(part.role, watch_child(part.pid))
            for part in state.parts
            if part.pid is not None and part.pid in pids and part.role != FORK_SERVER
        }

    def run(self, part: Part) -> None:
        """Keep a part running. A part with an adopted process is started only after the end of the adopted process."""
        if (adopted := self._adopted.pop(part.name, None)) is not None:
            part.process = adopted.process
        self.parts.append(part)
        self._tasks.append(asyncio.create_task(self._supervise(part), name=part.name))

    async def watch(self) -> None:
        """Handle new orphans, and write a state that could not be written before, until cancelled."""
        while True:
            self._handle_orphans()
            if self._has_unwritten_state:
                self._write_state()
            await asyncio.sleep(WATCH_S)

    def restart(self, part: Part, reason: str) -> None:
        """Kill a part that is running but does not work. It is restarted like any other part that ended."""
        log.warning("part restarted", part=part.name, reason=reason)
        if part.process is not None:
            part.process.send(signal.SIGKILL)

    async def replace(self, part: Part) -> int:
        """End the process of a part with its `replace_signal`, and return the pid of its next process. If the part is
        starting, first wait until it has a process.
        """
        await part.running.wait()
        part.replacement_pid = asyncio.get_running_loop().create_future()
        try:
            if part.process is not None:
                await self._end_process(part.process, part.name, part.replace_signal)
            return await part.replacement_pid
        finally:
            part.replacement_pid = None

    def failed_task(self) -> tuple[str, BaseException] | None:
        """Return the name and the exception of a part that could not be started, or None."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                return task.get_name(), error
        return None

    async def stop(self, *, except_roles: frozenset[str] = frozenset()) -> None:
        """End the parts in reverse start order. A later call ends the parts of the roles `except_roles`."""
        self._stopping = True
        self.set_phase("stopping")
        for part, task in reversed(list(zip(self.parts, self._tasks, strict=True))):
            if part.role in except_roles or task.done():
                continue
            await self._end(part, task)
        await self._end_adopted(except_roles)
        await self._orphans.end(KILL_AFTER_S)

    async def _end_adopted(self, except_roles: frozenset[str]) -> None:
        """End the adopted processes of parts that are not running yet."""
        for name, part in reversed(list(self._adopted.items())):
            if part.role not in except_roles:
                del self._adopted[name]
                await self._end_process(part.process, name, signal.SIGTERM)

    async def _end(self, part: Part, task: asyncio.Task[None]) -> None:
        if part.process is None:
            task.cancel()
        else:
            await self._end_process(part.process, part.name, part.stop_signal)
        await asyncio.wait([task])

    async def _end_process(self, process: ChildProcess, name: str, number: signal.Signals) -> None:
        """Send a process the signal, wait for its end, and kill it after `KILL_AFTER_S`."""
        process.send(number)
        try:
            await asyncio.wait_for(asyncio.shield(process.ended), KILL_AFTER_S)
        except TimeoutError:
            log.warning("part killed", part=name, reason=f"it did not end within {KILL_AFTER_S:g} s")
            process.send(signal.SIGKILL)

    async def _supervise(self, part: Part) -> None:
        while True:
            if part.process is None:
                if part.before_start is not None:
                    await part.before_start()
                part.process = await self._start(part)
            part.starts += 1
            part.running.set()
            log.info("part started", part=part.name, pid=part.process.pid)
            self._write_state()
            if part.replacement_pid is not None and not part.replacement_pid.done():
                part.replacement_pid.set_result(part.process.pid)
            code = await part.process.ended
            part.process = None
            part.running.clear()
            part.last_exit = describe_exit(code)
            if self._stopping:
                self._write_state()
                return
            if part.replacement_pid is None or part.replacement_pid.done():
                await self._wait_before_restart(part)

    async def _start(self, part: Part) -> ChildProcess:
        command = part.command()
        while part.is_forked:
            try:
                async with asyncio.timeout(FORK_WITHIN_S):
                    return watch_child(await self.forks.fork(command, part.role))
            except TimeoutError:
                for server in self.parts:
                    if server.role == FORK_SERVER:
                        self.restart(server, f"it has not forked {part.name} within {FORK_WITHIN_S:g} s")
        return start(command)

    def _handle_orphans(self) -> None:
        if not self.forks.is_forking:
            self._orphans.handle_new()

    async def _wait_before_restart(self, part: Part) -> None:
        now_s = time.monotonic()
        part.exits_s = [at for at in part.exits_s if now_s - at <= WINDOW_S] + [now_s]
        restart = next_start(part.name, part.last_exit, part.exits_s, now_s)
        log.warning("part ended", part=part.name, reason=restart.reason)
        self._write_state()
        self._handle_orphans()
        await asyncio.sleep(restart.pause_s)

    def set_phase(self, phase: str) -> None:
        """Set the phase: starting, ready or stopping."""
        self.phase = phase
        self._write_state()

    def _write_state(self) -> None:
        parts = tuple(
            PartState(name=part.name, role=part.role, pid=part.pid, starts=part.starts, last_exit=part.last_exit)
            for part in self.parts
        )
        try:
            State(up=os.getpid(), phase=self.phase, parts=parts).write(self._state_file)
        except OSError as error:
            if not self._has_unwritten_state:
                log.warning("the state is written later", file=str(self._state_file), reason=error.strerror)
            self._has_unwritten_state = True
        else:
            self._has_unwritten_state = False
