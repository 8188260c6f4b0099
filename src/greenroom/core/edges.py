"""Edge gateways, one on each Agent's host: how they are named, and where they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from greenroom.core.errors import Invalid
from greenroom.core.origins import HTTPS_PORT, host_problem, parse_origin

EDGE_DOMAIN: Final = "edge.greenroom.internal"
"""Below it lie the names of edge gateways; nobody looks them up, certificates carry them (`internal` is reserved)."""

_ROUTE: Final = re.compile(r"[0-9a-f]{8}")
_IN_ORIGINS: Final = re.compile(r"[a-z0-9.-]+|\[[0-9a-f:]+\]")
"""Hosts that browsers and gateways take in an origin: no underscores, no IPv4 within IPv6."""
_LONGEST: Final = 300
"""Characters of an edge address: the longest host name, a port and what is around them."""


@dataclass(frozen=True, slots=True)
class EdgeAddress:
    """Where an edge gateway is reached: by web gateways, and by browsers where Proxy Connections is off."""

    host: str
    port: int

    @property
    def upstream(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """The same as browsers write it."""
        return f"https://{self.host}" + (f":{self.port}" if self.port != HTTPS_PORT else "")


@dataclass(frozen=True, slots=True)
class EdgeClaim:
    """What is known of where an Agent's edge gateway is. An empty address: it has none.

    A host that was taken over has its Agent's credential, but no join token: an address told with a token is in use,
    as an administrator made the token; another one told with the credential waits until an administrator confirms it.
    """

    in_use: str = ""
    requested: str | None = None
    """The address that waits; None = none does."""

    def told(self, address: str, *, with_token: bool) -> EdgeClaim:
        """After the Agent said at its registration that its edge gateway is at `address`."""
        if with_token or address == self.in_use:
            return EdgeClaim(address)
        return EdgeClaim(self.in_use, address)


NO_EDGE: Final = EdgeClaim()


def edge_name(route: str) -> str:
    """The name in the certificate of the edge gateway beside the Agent with this route (first 8 digits of its id).

    A web gateway verifies this name and not the address, so that no Agent's host can pass for another's.
    """
    if not _ROUTE.fullmatch(route):
        raise ValueError(f"{route!r} is not the first 8 hex digits of an agent id")
    return f"{route}.{EDGE_DOMAIN}"


def edge_address(edge_url: str) -> EdgeAddress:
    """The address in an `edge_url`: `https://host[:port]`, port 443 where it has none.

    Raises:
        Invalid: it is none; the sentence says what is wrong.
    """
    if len(edge_url) > _LONGEST:
        raise Invalid(f"The edge address is longer than {_LONGEST} characters.")
    text = edge_url.removeprefix("https://").removesuffix("/")
    if text == edge_url.removesuffix("/"):
        raise Invalid(f"The edge address {edge_url!r} must begin with https://.")
    if problem := host_problem(text):
        raise Invalid(f"The edge address {edge_url!r} {problem}.")
    parsed = parse_origin(f"https://{text.lower()}")
    if parsed is None or not _IN_ORIGINS.fullmatch(parsed[0]):
        raise Invalid(f"The edge address {edge_url!r} is not https://host:port.")
    if parsed[0].endswith(EDGE_DOMAIN):
        # the certificate is for this host, too: an Agent could have one for the name of another
        raise Invalid(f"The edge address {edge_url!r} is below {EDGE_DOMAIN}, where names are given and not chosen.")
    return EdgeAddress(*parsed)
