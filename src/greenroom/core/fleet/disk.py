"""Disk as a resource: what a host keeps free, and which sessions are stopped for what they have written.

A container's root lies on its host's disk, beside Docker's images and, on one machine, the database. Where Docker's
storage has quotas, a session gets "disk full"; elsewhere it is measured, and stopped when it has written too much.
Inodes count like bytes, because without a free inode no file can be made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from greenroom.core.sizes import size

EMERGENCY_FRACTION: Final = 0.25
"""Of the bytes kept free: below this the session that has written most is stopped, even within its limit."""
INODES_KEPT: Final = 0.10
INODES_EMERGENCY: Final = 0.05
"""The two limits for inodes, as parts of all inodes of the disk."""
WORTH_STOPPING_BYTES: Final = 1 << 30
"""A session that has written less is not stopped for it, because that would free too little."""
INODE_BYTES: Final = 16 << 10
"""Bytes that a file is charged at least. ext4 has an inode for each 16 KiB, so a session that may fill a tenth of a
disk may use a tenth of its inodes.
"""
MAX_UNCOUNTED: Final = 2
"""Measurements in a row without a result, after which a session is treated as over its limit."""


@dataclass(frozen=True, slots=True)
class Use:
    """What was written: bytes on the disk, and the number of files and folders; 0 = they cannot be counted."""

    size_bytes: int = 0
    inodes: int = 0

    def __add__(self, other: Use) -> Use:
        return Use(self.size_bytes + other.size_bytes, self.inodes + other.inodes)

    @property
    def charged_bytes(self) -> int:
        """The larger of its bytes and the bytes of the inodes it uses."""
        return max(self.size_bytes, self.inodes * INODE_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeDisk:
    """What a host has left of its disk and what it keeps free; None = not reported, and taken to be enough."""

    free_bytes: int | None = None
    kept_bytes: int = 0
    free_inodes: float | None = None
    """Part of all inodes, 0 to 1; also None where the file system has no fixed number of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a running session has written outside mounted folders, and its limit, in bytes; 0 = no limit."""

    session_id: str
    used: Use
    limit_bytes: int = 0
    uncounted: int = 0
    """Measurements in a row, up to the latest, that did not end in time."""

    @property
    def is_over(self) -> bool:
        """Whether it is over its limit, or has too many files to be counted."""
        is_more = self.used.charged_bytes > self.limit_bytes or self.uncounted >= MAX_UNCOUNTED
        return self.limit_bytes > 0 and is_more


@dataclass(frozen=True, slots=True)
class Stop:
    """A session that is to be stopped, and why, as a sentence."""

    session_id: str
    reason: str


def shortage(hostname: str, disk: FreeDisk) -> str:
    """Why a host takes no new session, without a full stop; empty = it has enough disk."""
    if disk.free_bytes is not None and disk.free_bytes < disk.kept_bytes:
        return f"{hostname} has {size(disk.free_bytes)} of disk free; {size(disk.kept_bytes)} are kept free"
    if disk.free_inodes is not None and disk.free_inodes < INODES_KEPT:
        return f"{hostname} has {disk.free_inodes:.1%} of its disk's inodes free; {INODES_KEPT:.0%} are kept free"
    return ""


def to_stop(written: Sequence[Written], hostname: str, disk: FreeDisk) -> tuple[Stop, ...]:
    """Every session over its limit; if there is none and the disk is nearly full, the one with the largest use of what
    is short.
    """
    over = [w for w in written if w.is_over]
    if over:
        return tuple(Stop(w.session_id, _over(w)) for w in over)
    if disk.free_bytes is not None and disk.free_bytes < round(disk.kept_bytes * EMERGENCY_FRACTION):
        return _largest(written, hostname, lambda used: Use(size_bytes=used.size_bytes))
    if disk.free_inodes is not None and disk.free_inodes < INODES_EMERGENCY:
        return _largest(written, hostname, lambda used: Use(inodes=used.inodes))
    return ()


def _largest(written: Sequence[Written], hostname: str, lacking: Callable[[Use], Use]) -> tuple[Stop, ...]:
    """The session with the largest use, reduced to what is short by `lacking`."""
    candidates = [replace(w, used=lacking(w.used)) for w in written]
    largest = max(candidates, key=lambda w: (w.uncounted > 0, w.used.charged_bytes, w.session_id), default=None)
    if largest is None or (largest.uncounted == 0 and largest.used.charged_bytes < WORTH_STOPPING_BYTES):
        return ()
    reason = (
        f"The session was stopped because the disk of {hostname} was almost full: it had {_amount(largest)}, more than"
        " the others there."
    )
    return (Stop(largest.session_id, reason),)


def _over(written: Written) -> str:
    return (
        f"The session was stopped because it had {_amount(written)}; its workspace allows {size(written.limit_bytes)}."
    )


def _amount(written: Written) -> str:
    used = written.used
    if written.uncounted:
        times = " twice in a row" if written.uncounted >= MAX_UNCOUNTED else ""
        return f"so many files on its disk that they could not be counted in time{times}"
    if used.charged_bytes > used.size_bytes:
        return f"made {used.inodes:,} files on its disk, which count as {size(used.charged_bytes)}"
    return f"written {size(used.size_bytes)} to its disk"
