"""The contract of every runtime, checked by tests/host/test_runtime_conformance.py.

A runtime implements optional protocols for its features, which the Agent detects with `isinstance`:

- `HostDisk`: sessions write to a disk of this host.
- `SessionMeter`: the usage of each session can be measured.
- `SharedKernel`: sessions share the kernel limits of this host.
- `FilterHost`: sessions can be under a web filter; `FilterRunner`: the runtime also runs the filter.
- `TrustStore`: sessions can be configured to trust the authority of their web filter.
- `BuildHost`: images can be built; `ImageCopyHost`: images can be copied between hosts.
- `LogInStore`: the runtime stores log-ins for registries.
- `HomeHost`: the runtime keeps homes.
"""

from __future__ import annotations

from typing import Protocol

from greenroom.runtimes.contract.containers import *  # noqa: F403 -- part of this contract
from greenroom.runtimes.contract.containers import Containers
from greenroom.runtimes.contract.host import *  # noqa: F403 -- part of this contract
from greenroom.runtimes.contract.host import BuildHost, FilterHost, HomeHost, HostCapacity, HostDisk, Images
from greenroom.runtimes.contract.installation import *  # noqa: F403 -- part of this contract


class Runtime(Containers, Images, HostCapacity, Protocol):
    """Runs the sessions of one Agent.

    Every call may be repeated: a state that already exists is success. Any call may raise `RuntimeUnavailable`. After
    this error, or after a cancellation, the effect is not known, and the caller reads the state again with `inspect` or
    `list`.
    """

    async def open(self) -> None:
        """Connect, and create the resources that sessions share, such as a network. This is the first call."""
        ...

    async def close(self) -> None:
        """Close connections. Sessions keep running."""
        ...

    async def remove_all(self) -> int:
        """Remove all containers of this installation and their shared resources (network, firewall rules), for
        `greenroom down`. Return the number of containers."""
        ...


class HostRuntime(Runtime, HostDisk, FilterHost, BuildHost, HomeHost, Protocol):
    """A runtime that runs sessions on the Agent's host, such as Docker and the simulated runtime."""
