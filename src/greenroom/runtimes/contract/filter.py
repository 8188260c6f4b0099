"""Networks of web filters: sessions under a policy reach nothing but the filter on the Agent's host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterAccount:
    """The account the web filter runs as on this host, and the name servers it asks."""

    uid: int
    name_servers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterNetwork:
    """A network without a way out, for sessions under one web filter policy.

    `address` is that of this host on it, where the filter has to listen, and `subnet` has the sessions; both are empty
    where there are no packets to filter.
    """

    policy_id: str
    address: str = ""
    subnet: str = ""


@runtime_checkable
class FilterHost(Protocol):
    """A host whose sessions can be put under a web filter that runs beside them."""

    @property
    def filters_packets(self) -> bool:
        """Whether there are packets to filter, for which the filter needs an account of its own."""
        ...

    async def open_filter_network(self, policy_id: str, account: FilterAccount) -> FilterNetwork:
        """Create the network of a policy and make sure it has no way out but the filter; again = look again.

        Raises:
            StartError: that cannot be made sure on this host, with the reason.
        """
        ...

    async def close_filter_network(self, policy_id: str) -> bool:
        """Remove it if no container is on it; False when there is one. That it is not there is success."""
        ...

    async def filter_networks(self) -> list[FilterNetwork]:
        """The networks of this Agent's policies."""
        ...
