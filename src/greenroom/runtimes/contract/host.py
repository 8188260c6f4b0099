"""What there is for sessions, and what only a runtime has whose sessions run on the Agent's own host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from greenroom.core.fleet.disk import Use


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What the host offers: its cores and memory times this Agent's share; `open_runtime` says what classes are."""

    cores: float
    memory_bytes: int
    runtime_classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUsage:
    """What the host uses now: `cpu` is the load of the last minute as a fraction of its cores (may exceed 1)."""

    cpu: float
    memory_bytes: int
    disk_free_bytes: int | None = None
    """Where containers and the Agent write; None = not known."""
    disk_free_inodes: float | None = None
    """There, as a part of all inodes; None = not known, or there is no fixed number of them."""


class HostCapacity(Protocol):
    """What there is for sessions."""

    async def capacity(self) -> Capacity:
        """What this Agent offers to sessions."""
        ...

    async def host_usage(self) -> HostUsage:
        """What the whole host uses."""
        ...


@runtime_checkable
class HostDisk(Protocol):
    """Sessions write onto a disk of this host, which can become full."""

    async def disk_usage(self, session_id: str) -> Use | None:
        """What it has written outside mounted folders; None = that is not known, or it is not there.

        Raises:
            DiskCountError: it is too much to be counted in time.
        """
        ...


@runtime_checkable
class SharedKernel(Protocol):
    """Sessions are processes of this host's kernel, and share its limits with everything else here."""

    def containers_here(self) -> int:
        """How many containers share them, of whatever installation."""
        ...
