"""The nginx processes of one gateway: found by their working folder, whoever their parent is now.

kill -9 of nginx's master leaves workers that go on serving; kill -9 of the gateway's parent leaves the whole nginx.
Both are kept until a successor serves, then told to QUIT: they stop listening, finish what they have (open desktops),
exit.
"""

from __future__ import annotations

import ctypes
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36


@dataclass(frozen=True, slots=True)
class NginxProcess:
    """One process named nginx; `parent` is who it was left to if its own parent died."""

    pid: int
    parent: int


def become_subreaper() -> None:
    """Orphans of our children become our children: nginx's workers when their master is killed.

    Raises:
        OSError: the kernel refuses (none in use does).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def nginx_processes(folder: Path) -> list[NginxProcess]:
    """All live nginx processes whose working folder is `folder` (zombies have none)."""
    found: list[NginxProcess] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "comm").read_text() == "nginx\n" and (entry / "cwd").readlink() == folder:
                    found.append(NginxProcess(int(entry.name), _parent_of(entry)))
            except (OSError, ValueError):  # ended meanwhile, or another account's
                continue
    return found


def _parent_of(entry: Path) -> int:
    return int((entry / "stat").read_text().rpartition(")")[2].split()[1])


def superseded(processes: list[NginxProcess], master: int | None) -> list[int]:
    """Which of `processes` to retire now that `master` serves: neither it nor its workers, and no worker whose master
    is retired too (a master tells its workers itself, and starts again those that end before it was told)."""
    pids = {process.pid for process in processes}
    return [p.pid for p in processes if master not in (p.pid, p.parent) and p.parent not in pids]


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def reap() -> dict[int, int]:
    """Collect every ended child: pid → wait status."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status
