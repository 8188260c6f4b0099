"""The capacity for sessions, and the parts of a runtime that runs them on the Agent's own host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from greenroom.core.fleet.disk import Use


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The offer of the host: cores and memory times this Agent's share; `plugin.Context` explains runtime classes."""

    cores: float
    memory_bytes: int
    runtime_classes: tuple[str, ...] = ()
    simulated: bool = False
    """Its sessions have no containers, so it may offer more than the host has."""
    pauses: bool = True
    """True if sessions can be stopped and paused here, and continue later."""
    elsewhere: bool = False
    """The resources are of other machines: the load of this host is not theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUsage:
    """The current usage of the host: `cpu` is the load of the last minute as a fraction of its cores (may exceed 1)."""

    cpu: float
    memory_bytes: int
    disk_free_bytes: int | None = None
    """Free bytes on the disk of containers and the Agent; None = not known."""
    disk_free_inodes: float | None = None
    """The fraction of free inodes on that disk; None = not known, or without a fixed number."""


class HostCapacity(Protocol):
    """The capacity for sessions."""

    async def capacity(self) -> Capacity: ...

    async def host_usage(self) -> HostUsage: ...


@runtime_checkable
class HostDisk(Protocol):
    """A runtime whose sessions write to a disk of this host, which can become full."""

    async def disk_usage(self, session_id: str) -> Use | None:
        """The data that a session has written outside mounted folders; None = not known, or no container.

        Raises:
            DiskCountError: it is too much to be counted in time.
        """
        ...


@runtime_checkable
class SharedKernel(Protocol):
    """A runtime whose sessions are processes of this host's kernel, and share its limits with all other processes."""

    def containers_here(self) -> int:
        """The number of containers that share these limits, of any installation."""
        ...
