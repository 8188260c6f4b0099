"""Child processes of `up`: started under an account, bound to the life of `up`, watched by pidfd, and the orphans.

`up` is the child subreaper of all it starts: whatever loses its parent becomes its own child and is dealt with by
`retire_orphans`. While it supervises, nothing may start a child except `start`, or that child would be taken for an
orphan.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from greenroom.core.errors import SetupError
from greenroom.up.account import Account

log = structlog.get_logger(__name__)

_PR_SET_CHILD_SUBREAPER: Final = 36


def become_subreaper() -> None:
    """From now on orphaned descendants become children of this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise SetupError(f"This process cannot adopt orphans: {os.strerror(ctypes.get_errno())}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How to start one process.

    Args:
        argv: program and arguments.
        environment: its whole environment.
        folder: its working folder.
        account: who it runs as.
        log: file that its output is appended to.
        death_signal: name of the signal the kernel sends it when `up` dies.
        capabilities: what it may do beyond its account, e.g. net_bind_service.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    account: Account
    log: Path
    death_signal: str = "TERM"
    capabilities: tuple[str, ...] = ()

    def wrapped(self) -> list[str]:
        """The command line with setpriv in front, which changes account, binds to the parent's life, and execs."""
        options = [f"--pdeathsig={self.death_signal}"]
        if self.account.switches:
            options += [f"--reuid={self.account.uid}", f"--regid={self.account.gid}", "--clear-groups"]
        if self.capabilities:
            wanted = ",".join(f"+{name}" for name in self.capabilities)
            options += [f"--inh-caps={wanted}", f"--ambient-caps={wanted}"]
        return ["setpriv", *options, "--", *self.argv]


@dataclass(slots=True)
class Process:
    """A running child.

    `ended` completes with its exit code (negative: the signal that killed it).
    """

    pid: int
    ended: asyncio.Future[int]
    _popen: subprocess.Popen[bytes] = field(repr=False)

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when it ended already."""
        self._popen.send_signal(number)


_owned: Final[set[int]] = set()


def start(command: Command) -> Process:
    """Start a child in a session of its own; call it from the main thread, whose life is that of `up`."""
    with command.log.open("ab") as output:
        popen = subprocess.Popen(
            command.wrapped(),
            cwd=command.folder,
            env=dict(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    _owned.add(popen.pid)
    loop = asyncio.get_running_loop()
    process = Process(popen.pid, loop.create_future(), popen)
    descriptor = os.pidfd_open(popen.pid)

    def reap() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        code = popen.wait()
        _owned.discard(popen.pid)
        if not process.ended.done():
            process.ended.set_result(code)

    loop.add_reader(descriptor, reap)
    return process


def describe_exit(code: int) -> str:
    """How a process ended, for a sentence that begins with its name."""
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """A process as /proc shows it. `started` (clock ticks since boot) distinguishes a reused pid."""

    pid: int
    name: str
    state: str
    parent: int
    started: int


def processes() -> Iterator[ProcessInfo]:
    """All processes of this machine that can be seen."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (seen := look(int(entry.name))) is not None:
            yield seen


def look(pid: int) -> ProcessInfo | None:
    """One process, or None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    name = text[text.index("(") + 1 : text.rindex(")")]
    fields = text[text.rindex(")") + 2 :].split()
    return ProcessInfo(pid, name, fields[0], int(fields[1]), int(fields[19]))


def children_of(pid: int) -> list[ProcessInfo]:
    """The children of a process, ended ones that nobody waited for left out."""
    return [seen for seen in processes() if seen.parent == pid and seen.state != "Z"]


def is_nginx_master(pid: int) -> bool:
    """Whether this nginx is a master and not one of its workers; it says so in its title."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"nginx: master")
    except (FileNotFoundError, ProcessLookupError):
        return False


def orphan_policy(name: str) -> tuple[signal.Signals | None, str]:
    """The signal that ends an orphan of this name (None: it is left alone), and the reason for it."""
    if name == "nginx":
        return None, "it goes on serving until the gateway's next nginx serves; the gateway retires it then"
    if name == "squid":
        return None, "it goes on filtering until the next process of its Agent takes it over"
    if name == "postgres":
        return signal.SIGKILL, "its postmaster is gone, and no new one can start beside it"
    return signal.SIGTERM, "the process that started it is gone"


class Orphans:
    """Descendants that lost their parent and became children of `up`."""

    def __init__(self) -> None:
        self._told: set[tuple[int, int]] = set()

    def retire(self) -> None:
        """Tell each new orphan to end, each in its way, and reap those that did."""
        own_pid = os.getpid()
        for seen in list(processes()):
            if seen.parent != own_pid or seen.pid in _owned:
                continue
            if seen.state == "Z":
                _reap(seen.pid)
            elif (seen.pid, seen.started) not in self._told:
                self._told.add((seen.pid, seen.started))
                number, reason = orphan_policy(seen.name)
                log.info("orphan adopted", pid=seen.pid, name=seen.name, signal=number and number.name, reason=reason)
                if number is not None:
                    _signal(seen.pid, number)

    async def end(self, within_s: float) -> None:
        """End all that are left: SIGTERM, and SIGKILL for those still there after `within_s`."""
        await end_all(lambda: [s for s in children_of(os.getpid()) if s.pid not in _owned], within_s)
        for seen in list(processes()):
            if seen.parent == os.getpid() and seen.pid not in _owned:
                _reap(seen.pid)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        log.debug("an orphan was reaped by somebody else", pid=pid)


async def end_all(find: Callable[[], Sequence[ProcessInfo]], within_s: float) -> None:
    """End what `find` finds: SIGTERM at once, SIGKILL for what is still there after `within_s`; waits for both."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        found = find()
        for seen in found:
            _signal(seen.pid, number)
        end = time.monotonic() + within_s
        while found and time.monotonic() < end:
            await asyncio.sleep(0.05)
            found = find()
        if not found:
            return
    raise SetupError(f"Processes cannot be ended: {', '.join(f'{seen.name} (pid {seen.pid})' for seen in find())}")


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        log.debug("a process ended before it was told to", pid=pid)


MARK: Final = "GREENROOM_INSTANCE_DATA"
"""Environment variable by which the processes of an instance are known after its `up` was killed."""


def leftovers(data: Path) -> list[ProcessInfo]:
    """What still runs of an instance: its mark in the environment, or PostgreSQL or nginx working inside DATA."""
    mark = f"{MARK}={data}".encode()
    found: list[ProcessInfo] = []
    for seen in processes():
        if seen.state == "Z" or seen.pid == os.getpid():
            continue
        try:
            inside = Path(f"/proc/{seen.pid}/cwd").readlink().is_relative_to(data)
            if inside and (seen.name in {"postgres", "nginx"} or mark in _environment(seen.pid)):
                found.append(seen)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def _environment(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
