"""Disk as a resource: what a host keeps free, and which sessions are stopped for what they have written. Pure.

A container's root lies on its host's disk, beside Docker's images and, on one machine, the database. Where Docker's
storage has quotas a session is told that its disk is full; elsewhere it is measured, and stopped when it has written
too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

EMERGENCY_FRACTION: Final = 0.25
"""Of what is kept free: with less than this the session that has written most is stopped, whatever its limit."""
WORTH_STOPPING_BYTES: Final = 1 << 30
"""A session that has written less is not stopped for it: that would not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a running session has written outside mounted folders, and may write, in bytes; 0 = any amount."""

    session_id: str
    used_bytes: int
    limit_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Stop:
    """A session that is to be stopped, and why, as a sentence."""

    session_id: str
    reason: str


def is_short(free_bytes: int | None, kept_bytes: int) -> bool:
    """Whether a host has less disk free than it keeps; what was not told is enough."""
    return free_bytes is not None and free_bytes < kept_bytes


def shortage(hostname: str, free_bytes: int, kept_bytes: int) -> str:
    """Why a host takes no new session, in words without a full stop."""
    return f"{hostname} has {gigabytes(free_bytes)} of disk free; {gigabytes(kept_bytes)} are kept free"


def to_stop(written: Sequence[Written], hostname: str, free_bytes: int | None, kept_bytes: int) -> tuple[Stop, ...]:
    """The sessions that wrote more than they may; where none did and the disk is all but full, the largest one."""
    over = [w for w in written if 0 < w.limit_bytes < w.used_bytes]
    if over:
        return tuple(Stop(w.session_id, _over(w)) for w in over)
    if not is_short(free_bytes, round(kept_bytes * EMERGENCY_FRACTION)):
        return ()
    largest = max(written, key=lambda w: (w.used_bytes, w.session_id), default=None)
    if largest is None or largest.used_bytes < WORTH_STOPPING_BYTES:
        return ()
    reason = (
        f"The session was stopped because the disk of {hostname} was almost full: it had written"
        f" {gigabytes(largest.used_bytes)}, more than the others there."
    )
    return (Stop(largest.session_id, reason),)


def _over(written: Written) -> str:
    return (
        f"The session was stopped because it had written {gigabytes(written.used_bytes)} to its disk; its workspace"
        f" allows {gigabytes(written.limit_bytes)}."
    )


def gigabytes(size_bytes: float) -> str:
    """Bytes as text for people, in GB of 10⁹ bytes."""
    return f"{size_bytes / 1e9:.1f} GB"
