"""Networks of web filters: sessions under a policy reach only its filter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterAccount:
    """The account of the web filter on this host, and the name servers that it uses."""

    uid: int
    name_servers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterNetwork:
    """A network without other access, for sessions under one web filter policy. They reach the filter at `address`;
    `subnet` contains the sessions, in Squid's notation. Both are empty if there are no packets to filter."""

    policy_id: str
    address: str = ""
    subnet: str = ""


@runtime_checkable
class FilterHost(Protocol):
    """A host whose sessions can be under a web filter. The Agent runs the filter at the network's address, which is
    this host's, unless the runtime is a `FilterRunner`."""

    @property
    def filters_packets(self) -> bool:
        """True if there are packets to filter, for which the filter needs a separate account."""
        ...

    async def open_filter_network(
        self, policy_id: str, account: FilterAccount, *, believed: bool = False
    ) -> FilterNetwork:
        """Create the network of a policy and make sure that it leads only to the filter; repeated calls check again.
        `believed`: variables of its sessions name the filter's authority (core.named_secrets).

        Raises:
            StartError: this host cannot ensure that, with the reason.
        """
        ...

    async def close_filter_network(self, policy_id: str) -> bool:
        """Remove the network if no container is on it, else return False; also remove the filter of a `FilterRunner`. A
        missing network is success."""
        ...

    async def filter_networks(self) -> list[FilterNetwork]: ...


@runtime_checkable
class TrustStore(Protocol):
    """A runtime whose sessions can be made to trust the authority of their web filter."""

    async def bundles(self, session_id: str) -> dict[str, str]:
        """The files with the authorities that a session's image trusts (`core.named_secrets.BUNDLES`), by path."""
        ...


@runtime_checkable
class FilterRunner(Protocol):
    """A runtime that also runs the filters, because its sessions are not on the Agent's host."""

    @property
    def filter_folder(self) -> str:
        """The folder of a filter's files, by which their text may refer to it."""
        ...

    async def run_filter(self, policy_id: str, files: Mapping[str, str]) -> bool:
        """Return when Squid serves with these files at the address of the policy's network, which must be open.
        `squid.conf` is its configuration. Squid reads changed files without cutting connections. True: it did not serve
        before.

        Raises:
            StartError: it does not serve, with the reason.
        """
        ...

    def filter_output(self, policy_id: str) -> AsyncIterator[str]:
        """The lines that Squid writes to its standard output from now on; ends when Squid does.

        Raises:
            RuntimeUnavailable: the connection was lost.
        """
        ...
