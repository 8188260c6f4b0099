"""The child processes of the process `up`, and orphans. A child runs under an account, is watched by its pidfd, and
ends with `up`.

`up` is the child subreaper of all processes that it starts: a process that loses its parent becomes a child of `up`,
and `Orphans` handles it. While `up` supervises, only `start` and `ForkClient` may create a child; any other child would
count as an orphan.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import structlog

from greenroom.core.errors import SetupError
from greenroom.kit.processes import ProcessInfo, children, processes, read_start_ticks, read_working_folder, send_signal
from greenroom.up.account import Account
from greenroom.up.instance_folders import INSTANCE_VARIABLE

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessCommand:
    """The properties of a process to start.

    `environment` is its whole environment. Its output is appended to `log`. The kernel sends the process `death_signal`
    (a name) when `up` ends. `capabilities` are its rights in addition to those of its account, such as
    net_bind_service. `stdin` is closed in this process after the start.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    account: Account
    log: Path
    death_signal: str = "TERM"
    capabilities: tuple[str, ...] = ()
    stdin: socket.socket | None = None

    def with_setpriv(self) -> list[str]:
        """Return the command line with setpriv, which changes the account, forbids new privileges, sets the death
        signal, and runs `argv`."""
        options = ["--no-new-privs", f"--pdeathsig={self.death_signal}"]
        if self.account.needs_switch:
            options += [f"--reuid={self.account.uid}", f"--regid={self.account.gid}", "--clear-groups"]
        if self.capabilities:
            capabilities = ",".join(f"+{name}" for name in self.capabilities)
            options += [f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}"]
        return ["setpriv", *options, "--", *self.argv]


@dataclass(slots=True)
class ChildProcess:
    """A child process. `ended` completes with its exit code (negative: the signal that killed it). `descriptor` is its
    pidfd, which is closed when the process has ended."""

    pid: int
    ended: asyncio.Future[int]
    descriptor: int

    def send(self, signal_number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if not self.ended.done():
            signal.pidfd_send_signal(self.descriptor, signal_number)


_watched_pids: Final[set[int]] = set()


def start(command: ProcessCommand) -> ChildProcess:
    """Start a child in a separate session. Call this function only in the main thread, because the kernel sends the
    death signal when the thread ends that started the child."""
    with command.log.open("ab") as output, command.stdin or nullcontext():
        popen = subprocess.Popen(
            command.with_setpriv(),
            cwd=command.folder,
            env=dict(command.environment),
            stdin=command.stdin.fileno() if command.stdin is not None else subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return watch_child(popen.pid, popen.wait)


def watch_child(pid: int, wait: Callable[[], int] | None = None) -> ChildProcess:
    """Return the new child process with this pid. `wait` collects its exit code; None = `os.waitpid`."""
    _watched_pids.add(pid)
    loop = asyncio.get_running_loop()
    process = ChildProcess(pid, loop.create_future(), os.pidfd_open(pid))

    def reap() -> None:
        loop.remove_reader(process.descriptor)
        code = wait() if wait is not None else os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        _watched_pids.discard(pid)
        if not process.ended.done():
            process.ended.set_result(code)
        os.close(process.descriptor)

    loop.add_reader(process.descriptor, reap)
    return process


def describe_exit(code: int) -> str:
    """Return how a process ended, for a sentence that begins with the name of the process."""
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def orphan_policy(name: str) -> tuple[signal.Signals | None, str]:
    """Return the signal that ends an orphan of this name (None: no signal), and the reason."""
    if name == "nginx":
        return None, "the gateway stops it when the next nginx serves"
    if name == "squid":
        return None, "it filters until the next process of its Agent adopts it"
    if name == "postgres":
        return signal.SIGKILL, "its postmaster has ended, and the next postmaster cannot start while it runs"
    return signal.SIGTERM, "the process that started it has ended"


class Orphans:
    """Descendants that lost their parent and became children of `up`."""

    def __init__(self) -> None:
        self._signalled: set[tuple[int, int | None]] = set()

    def handle_new(self) -> None:
        """Send each new orphan the signal of its policy, and reap those that ended."""
        for process in _orphans():
            identity = process.pid, read_start_ticks(process.pid)
            if process.is_zombie:
                _reap(process.pid)
            elif identity not in self._signalled:
                self._signalled.add(identity)
                signal_number, reason = orphan_policy(process.name)
                log.info(
                    "orphan adopted",
                    pid=process.pid,
                    name=process.name,
                    signal=signal_number and signal_number.name,
                    reason=reason,
                )
                if signal_number is not None:
                    send_signal(process.pid, signal_number)

    async def end(self, within_s: float) -> None:
        """End all remaining orphans: SIGTERM, then SIGKILL after `within_s`."""
        await end_all(lambda: [orphan for orphan in _orphans() if not orphan.is_zombie], within_s)
        for orphan in _orphans():
            _reap(orphan.pid)


def _orphans() -> list[ProcessInfo]:
    return children(without=_watched_pids)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        log.debug("an orphan was reaped by another process", pid=pid)


def find_instance_processes(data: Path) -> list[ProcessInfo]:
    """Return the running processes of an instance: the processes whose working folder is inside DATA, and that have
    `INSTANCE_VARIABLE` in their environment or are processes of PostgreSQL or nginx."""
    inside = [
        process
        for process in processes()
        if not process.is_zombie
        and (folder := read_working_folder(process.pid)) is not None
        and folder.is_relative_to(data)
    ]
    return [
        process
        for process in inside
        if process.pid != os.getpid()
        and (process.name in {"postgres", "nginx"} or read_environment(process.pid).get(INSTANCE_VARIABLE) == str(data))
    ]


_POLL_S: Final = 0.05


def raise_priority(nice: int) -> bool:
    """Raise the priority of this process and of all processes that it starts. Return False without permission."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except PermissionError:
        return False
    return True


def read_environment(pid: int) -> dict[str, str]:
    """Return the initial environment of a process; empty if there is no such process or its environment is not
    readable.
    """
    try:
        return psutil.Process(pid).environ()
    except psutil.Error:
        return {}


def read_command_line(pid: int) -> str:
    """Return the command line of a process, or the title that it set; empty if there is no such process."""
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ""


async def end_all(find: Callable[[], Sequence[ProcessInfo]], within_s: float) -> None:
    """End the processes that `find` returns: send SIGTERM, and after `within_s` SIGKILL to the processes that still
    run; wait up to `within_s` after each signal. Raises SetupError: a process does not end."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        running = find()
        for process in running:
            send_signal(process.pid, signal_number)
        end = time.monotonic() + within_s
        while running and time.monotonic() < end:
            await asyncio.sleep(_POLL_S)
            running = find()
        if not running:
            return
    raise SetupError(
        f"Processes cannot be ended: {', '.join(f'{process.name} (pid {process.pid})' for process in find())}"
    )
