"""The contract of every runtime, checked by tests/host/test_runtime_conformance.py.

A runtime handles sessions and specifications; details of Docker stay inside its package. The Agent finds optional parts
by type: `HostDisk` if sessions write to a disk of this host, `SharedKernel` if they share its limits, `FilterHost` if
they can be under a web filter, `FilterRunner` if it runs that as well, `TrustStore` if they can be made to trust its
authority, `BuildHost` if images can be built there, `LogInKeeper` if it stores log-ins at registries, `HomeHost` if it
keeps homes.
"""

from __future__ import annotations

from typing import Protocol

from greenroom.runtimes.contract.containers import (
    AGENT,
    CUT,
    INSTALLATION,
    MAX_LAST_WORDS,
    MAX_LOGS,
    MAX_OUTPUT,
    PROBE_TIMEOUT_S,
    SESSION,
    SPEC_HASH,
    BuildError,
    Container,
    ContainerConflict,
    ContainerEvent,
    ContainerMissing,
    Containers,
    DiskCountError,
    EventKind,
    ExecResult,
    HomeError,
    HomeInUseError,
    ImageMissing,
    ProbeResult,
    PullError,
    RuntimeUnavailable,
    ScreenshotError,
    StartError,
    cut_output,
)
from greenroom.runtimes.contract.host import (
    Archives,
    Builder,
    BuildHost,
    Capacity,
    CopyHost,
    Credentials,
    FilterAccount,
    FilterHost,
    FilterNetwork,
    FilterRunner,
    HomeHost,
    Homes,
    HomeSize,
    HostCapacity,
    HostDisk,
    HostUsage,
    Image,
    Images,
    LogInKeeper,
    SharedKernel,
    StoredHome,
    TrustStore,
)
from greenroom.runtimes.contract.installation import Shared, StoredRecord, Things

__all__ = [
    "AGENT", "CUT", "INSTALLATION", "MAX_LAST_WORDS", "MAX_LOGS", "MAX_OUTPUT", "PROBE_TIMEOUT_S", "SESSION",
    "SPEC_HASH", "Archives", "BuildError", "BuildHost", "Builder", "Capacity", "Container", "ContainerConflict",
    "ContainerEvent", "ContainerMissing", "Containers", "CopyHost", "Credentials", "DiskCountError", "EventKind",
    "ExecResult", "FilterAccount", "FilterHost", "FilterNetwork", "FilterRunner", "HomeError", "HomeHost",
    "HomeInUseError", "HomeSize", "Homes", "HostCapacity", "HostDisk", "HostRuntime", "HostUsage", "Image",
    "ImageMissing", "Images", "LogInKeeper", "ProbeResult", "PullError", "Runtime", "RuntimeUnavailable",
    "ScreenshotError", "Shared", "SharedKernel", "StartError", "StoredHome", "StoredRecord", "Things", "TrustStore",
    "cut_output",
]  # fmt: skip


class Runtime(Containers, Images, HostCapacity, Protocol):
    """Runs the sessions of one Agent.

    Every call may be repeated: a state that already exists is success. Any call may raise `RuntimeUnavailable`; after
    it, or after a cancellation, the effect is not known and the caller reads the state again with `inspect` or `list`.
    """

    async def open(self) -> None:
        """Connect and prepare the resources that sessions share (their network). Called once before everything else."""
        ...

    async def close(self) -> None:
        """Close connections. Sessions keep running."""
        ...

    async def remove_all(self) -> int:
        """For `greenroom down`: remove all containers of this installation and their shared resources (network,
        firewall rules); returns the number of containers."""
        ...


class HostRuntime(Runtime, HostDisk, FilterHost, BuildHost, HomeHost, Protocol):
    """A runtime with all that a host can have, like Docker and the simulated runtime."""
