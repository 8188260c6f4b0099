"""Networks of web filters: sessions under a policy reach only the filter on the Agent's host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterAccount:
    """The account of the web filter on this host, and the name servers it asks."""

    uid: int
    name_servers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterNetwork:
    """A network without other access, for sessions under one web filter policy. The filter must listen at `address`,
    this host's on the network; `subnet` has the sessions. Both are empty if there are no packets to filter."""

    policy_id: str
    address: str = ""
    subnet: str = ""


@runtime_checkable
class FilterHost(Protocol):
    """A host that can run a web filter beside its sessions."""

    @property
    def filters_packets(self) -> bool:
        """Whether there are packets to filter, for which the filter needs its own account."""
        ...

    async def open_filter_network(self, policy_id: str, account: FilterAccount) -> FilterNetwork:
        """Create the network of a policy and make sure that it leads only to the filter; repeated calls check again.

        Raises:
            StartError: this host cannot ensure that, with the reason.
        """
        ...

    async def close_filter_network(self, policy_id: str) -> bool:
        """Remove it if no container is on it, else False. A missing network is success."""
        ...

    async def filter_networks(self) -> list[FilterNetwork]: ...
