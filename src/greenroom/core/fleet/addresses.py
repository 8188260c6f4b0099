"""Host names and addresses: allowed origins, edge gateways, and pages that a session must open.

Allow Origin Domain (docs/reference/zones.md) lists the hosts whose pages may open a session's stream: `host` or
`host:port`, https only, any port where none is given. Hosts are compared as a whole, ignoring case, so that neither a
subdomain nor a name with the same ending matches.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from greenroom.core.errors import Invalid

HTTPS_PORT: Final = 443

_HOST = r"(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)"
_ENTRY = re.compile(rf"(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?", re.ASCII)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?", re.ASCII | re.IGNORECASE)
_MAX_HOST_CHARACTERS: Final = 253


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """One entry of Allow Origin Domain; `port` None = any."""

    host: str
    port: int | None = None


def parse_entry(text: str) -> AllowedHost | None:
    """An entry `host` or `host:port`; None if it is neither."""
    found = _ENTRY.fullmatch(text.strip().lower())
    if found is None:
        return None
    port = int(found["port"]) if found["port"] else None
    return None if port is not None and not 0 < port < 65536 else AllowedHost(found["host"], port)


def host_problem(text: str, *, with_port: bool = True) -> str | None:
    """Why this cannot be stored as the address of a host, as the rest of a sentence; None = it can.

    Stricter than `parse_entry`, which reads what was stored: no spaces, labels of at most 63 characters, real IP
    addresses. `text` is a DNS name, an IPv4 address or an IPv6 address in brackets, with `with_port` also followed by a
    port.
    """
    if "/" in text:
        alone = "host, or host:port, like desk.example.org:8443" if with_port else "host alone, like desk.example.org"
        return f"is an address; write the {alone}"
    host, *port = re.split(r":(?![^\[]*\])", text, maxsplit=1)  # at the first colon that is not inside brackets
    if port:
        if not with_port:
            return "has a port, which is a field of its own"
        if not re.fullmatch(r"[0-9]{1,5}", port[0], re.ASCII) or not 0 < int(port[0]) < 65536:
            return "has no port from 1 to 65535 after the colon"
    return None if _is_host(host) else "is neither a host name nor an IP address"


def _is_host(host: str) -> bool:
    labels = host.split(".")
    address = host.removeprefix("[").removesuffix("]")
    if host != address or labels[-1].isdecimal():
        try:
            return ipaddress.ip_address(address).version == (6 if host == f"[{address}]" else 4)
        except ValueError:
            return False
    return len(host) <= _MAX_HOST_CHARACTERS and all(_LABEL.fullmatch(label) for label in labels)


def parse_origin(origin: str) -> tuple[str, int] | None:
    """(host, port) of an https origin as browsers send it; None for anything else (`null`, http, a path, a list)."""
    if not origin.startswith("https://"):
        return None
    entry = _ENTRY.fullmatch(origin.removeprefix("https://").lower())
    if entry is None:
        return None
    port = int(entry["port"]) if entry["port"] else HTTPS_PORT
    return (entry["host"], port) if 0 < port < 65536 else None


def origin_host(url: str) -> str:
    """The host of an origin as it stands there, an IPv6 address in brackets; empty where there is none."""
    return re.sub(r":[0-9]*$", "", urlsplit(url).netloc)


def refusal_of_origin(origin: str | None, allowed: Iterable[str], *, websocket: bool) -> str | None:
    """Why a request with this Origin header may not open the stream, as a sentence; None = it may.

    A websocket must have an Origin. A page on the stream's own origin sends none with its other requests, so for those
    only a foreign Origin is refused.
    """
    if not origin:
        return "A websocket must come with an Origin header." if websocket else None
    parsed = parse_origin(origin)
    if parsed is None:
        return f"The Origin {origin} is not an https origin."
    host, port = parsed
    if any(entry and entry.host == host and entry.port in (None, port) for entry in map(parse_entry, allowed)):
        return None
    return f"The Origin {origin} is not in the Allow Origin Domain of this session."


def foreign_hosts(given: Mapping[str, str], before: Mapping[str, str], known: Iterable[str]) -> dict[str, str]:
    """The fields of a zone that name a host which the installation does not know, each with its hosts of this kind.
    `given` and `before` are comma lists of `host[:port]` by field, `known` are more of them; a field may keep a host.
    """
    ours = _hosts(",".join(known))
    new = {name: _hosts(text) - _hosts(before.get(name, "")) - ours for name, text in given.items()}
    return {name: ", ".join(sorted(hosts)) for name, hosts in new.items() if hosts}


def _hosts(entries: str) -> set[str]:
    """Without ports, in small letters."""
    return {re.sub(r":[0-9]+$", "", entry.strip().lower()) for entry in entries.split(",")} - {""}


def stream_origin(stream_url: str, public_url: str, request_host: str) -> str:
    """The origin from which a page opened at `request_host` (a served host[:port]) frames its streams.

    The viewer's cookie is sent within one site only. So a console opened under another served name than that of
    `public_url` (localhost for 127.0.0.1) frames streams under that name, unless streams have a host name of their own.
    """
    stream = urlsplit(stream_url)
    if stream.hostname != urlsplit(public_url).hostname:
        return stream_url
    return f"https://{re.sub(r':[0-9]+$', '', request_host)}:{stream.port or HTTPS_PORT}"


EDGE_DOMAIN: Final = "edge.greenroom.internal"
"""Parent domain of the names of edge gateways: in certificates only, never resolved (`internal` is reserved)."""

_ROUTE: Final = re.compile(r"[0-9a-f]{8}")
_IN_ORIGINS: Final = re.compile(r"[a-z0-9.-]+|\[[0-9a-f:]+\]")
"""Hosts that browsers and gateways take in an origin: no underscores, no IPv4 within IPv6."""
_LONGEST: Final = 300
"""Characters of an edge address: the longest host name, a port and the punctuation."""


@dataclass(frozen=True, slots=True)
class EdgeAddress:
    """Where web gateways reach an edge gateway, and browsers too where Proxy Connections is off."""

    host: str
    port: int

    @property
    def upstream(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        return f"https://{self.host}" + (f":{self.port}" if self.port != HTTPS_PORT else "")


@dataclass(frozen=True, slots=True)
class EdgeClaim:
    """Where an Agent says its edge gateway is; an empty address = it has none. `requested` waits to be confirmed.

    An attacker who took over a host has its Agent's credential, but no join token. So an address sent with a token is
    used at once, because an administrator made the token; a different one sent with the credential waits for an
    administrator.
    """

    in_use: str = ""
    requested: str | None = None

    def reported(self, address: str, *, with_token: bool) -> EdgeClaim:
        """After the Agent registered with this address of its edge gateway."""
        if with_token or address == self.in_use:
            return EdgeClaim(address)
        return EdgeClaim(self.in_use, address)


NO_EDGE: Final = EdgeClaim()


def edge_name(route: str) -> str:
    """The certificate name of the edge gateway of the Agent with this route (first 8 digits of its id). Web gateways
    verify this name, not the address, so that no Agent's host can pose as another's.
    """
    if not _ROUTE.fullmatch(route):
        raise ValueError(f"{route!r} is not the first 8 hex digits of an agent id")
    return f"{route}.{EDGE_DOMAIN}"


def edge_address(edge_url: str) -> EdgeAddress:
    """The address in `https://host[:port]`; the port is 443 where none is given.

    Raises:
        Invalid: it is not such an address; the sentence says why.
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


_NEVER: Final = re.compile(r"[\s\x00-\x1f\x7f\"'`<>\\^{|}]")
"""Characters that RFC 3986 forbids, and the apostrophe: programs in sessions pass addresses on to shells and pages."""
_PAGE_HOST: Final = re.compile(r"[^!$&()*+,;=%@/?#]+")


def web_address_problem(text: str) -> str | None:
    """Why a session cannot open this address, as a sentence; None = it can."""
    if not text.lower().startswith(("http://", "https://")):
        return "an address must begin with http:// or https://"
    if not text.isprintable() or _NEVER.search(text):
        return "an address must not contain spaces, quotes, control characters or any of ` < > \\ ^ { | }"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # a port that is none raises
    except ValueError:
        return "the address has a host or a port that is none"
    if not host or not _PAGE_HOST.fullmatch(host):
        return "an address must name a host, like https://www.example.org/"
    return None


LOCAL_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")
"""Names of this machine, which `greenroom up` always serves."""


def not_served(address: str) -> str:
    """What is answered (421) to a request for a host name that is not served; `address` is one that is."""
    return (
        f"This host name is not served here. Open {address}, or add the name to GREENROOM_SERVED_HOSTS, or set"
        " GREENROOM_PUBLIC_URL for a reverse proxy (greenroom up --served-hosts, --public-url)."
    )
