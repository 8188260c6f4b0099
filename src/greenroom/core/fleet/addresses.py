"""Rules for host names and addresses: allowed origins, edge gateways, and web addresses that sessions open.

The zone setting Allow Origin Domain (docs/reference/zones.md) lists the hosts whose https pages may open the stream of
a session. An entry is `host`, which permits any port, or `host:port`. Host names must be equal, ignoring case: neither
a subdomain nor a name with the same ending matches.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
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
    """An entry of Allow Origin Domain or of the setting `webhook_hosts`; `port` None = any port."""

    host: str
    port: int | None = None


def parse_entry(text: str) -> AllowedHost | None:
    """Parse an entry `host` or `host:port`; return None if it is neither."""
    match = _ENTRY.fullmatch(text.strip().lower())
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else None
    return None if port is not None and not 0 < port < 65536 else AllowedHost(match["host"], port)


def host_problem(text: str, *, with_port: bool = True) -> str | None:
    """Return the reason why `text` cannot be stored as the address of a host, as the end of a sentence; None if it can.

    A valid `text` is a DNS name, an IPv4 address or an IPv6 address in brackets; with `with_port`, a port may follow.
    The rules are stricter than those of `parse_entry`, which reads stored entries: no spaces, labels of at most 63
    characters, valid IP addresses.
    """
    if "/" in text:
        form = "host, or host:port, like desk.example.org:8443" if with_port else "host alone, like desk.example.org"
        return f"contains a slash; write the {form}"
    host, *port = re.split(r":(?![^\[]*\])", text, maxsplit=1)  # at the first colon that is not inside brackets
    if port:
        if not with_port:
            return "has a port; the port is a separate field"
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
    """Return (host, port) of an https origin as browsers send it; None for any other text, such as `null`."""
    if not origin.startswith("https://"):
        return None
    entry = _ENTRY.fullmatch(origin.removeprefix("https://").lower())
    if entry is None:
        return None
    port = int(entry["port"]) if entry["port"] else HTTPS_PORT
    return (entry["host"], port) if 0 < port < 65536 else None


def origin_host(url: str) -> str:
    """Return the host of an address unchanged, with the brackets of an IPv6 address; empty if there is none."""
    return re.sub(r":[0-9]*$", "", urlsplit(url).netloc)


def refusal_of_origin(origin: str | None, allowed: Iterable[str], *, websocket: bool) -> str | None:
    """Return the reason why a request with this Origin header may not open the stream, as a sentence; None if it may.

    A websocket must have an Origin. Other requests may have none, because browsers send no Origin with requests of a
    page to its own origin.
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


def foreign_hosts(
    after: Mapping[str, str], before: Mapping[str, str], known: Iterable[str], ports: Collection[int]
) -> dict[str, str]:
    """Return field → new foreign entries, for the fields of a changed zone. An entry is new if the field does not
    contain it in `before`. It is known if `known` contains it, or if `known` contains its host and `ports` its port:
    another program on a known host must not get tokens either.

    Each value is a list of `host[:port]`, separated by commas. An entry without a port has a known port.
    """
    known_entries = _entries(",".join(known))
    known_hosts = {_PORT.sub("", entry) for entry in known_entries}

    def is_foreign(entry: str) -> bool:
        port = _PORT.search(entry)
        has_known_port = port is None or int(port[0][1:]) in ports
        return entry not in known_entries and not (_PORT.sub("", entry) in known_hosts and has_known_port)

    new = {name: _entries(text) - _entries(before.get(name, "")) for name, text in after.items()}
    foreign = {name: sorted(filter(is_foreign, entries)) for name, entries in new.items()}
    return {name: ", ".join(entries) for name, entries in foreign.items() if entries}


_PORT: Final = re.compile(r":[0-9]+$")


def _entries(text: str) -> set[str]:
    """Return the entries of a comma list, in lower case."""
    return {entry.strip().lower() for entry in text.split(",")} - {""}


def stream_origin(stream_url: str, public_url: str, request_host: str) -> str:
    """Return the origin of streams for a console that a user opened at `request_host`, a host[:port].

    Browsers send the cookie of a viewer only within one site. If the host of `stream_url` is that of `public_url`, the
    streams therefore get the host of the console, which may be another name of this deployment, such as localhost.
    """
    stream = urlsplit(stream_url)
    if stream.hostname != urlsplit(public_url).hostname:
        return stream_url
    return f"https://{re.sub(r':[0-9]+$', '', request_host)}:{stream.port or HTTPS_PORT}"


EDGE_DOMAIN: Final = "edge.greenroom.internal"
"""The parent domain of the names of edge gateways. These names occur only in certificates, and are never resolved."""

_ROUTE: Final = re.compile(r"[0-9a-f]{8}")
_ORIGIN_HOST: Final = re.compile(r"[a-z0-9.-]+|\[[0-9a-f:]+\]")
"""Hosts that browsers and gateways accept in an origin. An underscore, or an IPv4 address in an IPv6 address, is not
accepted.
"""
_MAX_EDGE_ADDRESS: Final = 300
"""The maximum number of characters of an edge address: the longest host name, a port and the punctuation."""


@dataclass(frozen=True, slots=True)
class EdgeAddress:
    """The address at which web gateways reach an edge gateway; browsers also use it if Proxy Connections is off."""

    host: str
    port: int

    @property
    def upstream(self) -> str:
        """The address for nginx, host:port."""
        return f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """The origin for browsers, without the port 443."""
        return f"https://{self.host}" + (f":{self.port}" if self.port != HTTPS_PORT else "")


@dataclass(frozen=True, slots=True)
class EdgeRegistration:
    """The address of the edge gateway of an Agent: `in_use`, or empty if the Agent has none. `requested` is a reported
    address that an administrator must confirm: empty = the Agent reports no gateway, None = nothing to confirm.

    An address that the Agent sends with a join token is used immediately, because an administrator created the token.
    A new address that it sends with its credential must be confirmed, because an attacker who controls the host has the
    credential.
    """

    in_use: str = ""
    requested: str | None = None

    def after_report(self, address: str, *, with_token: bool) -> EdgeRegistration:
        """Return the registration after the Agent reported the address `address` of its edge gateway."""
        if with_token or address == self.in_use:
            return EdgeRegistration(address)
        return EdgeRegistration(self.in_use, address)


NO_EDGE: Final = EdgeRegistration()


def edge_name(route: str) -> str:
    """Return the certificate name of the edge gateway of the Agent with this route (the first 8 digits of its id).

    Web gateways verify this name instead of the address, so that the host of an Agent cannot impersonate another host.
    Raises ValueError: the route is not 8 hexadecimal digits.
    """
    if not _ROUTE.fullmatch(route):
        raise ValueError(f"{route!r} is not the first 8 hex digits of an agent id")
    return f"{route}.{EDGE_DOMAIN}"


def edge_address(edge_url: str) -> EdgeAddress:
    """Parse `https://host[:port]`; the default port is 443. Raises Invalid: the address cannot be used."""
    if len(edge_url) > _MAX_EDGE_ADDRESS:
        raise Invalid(f"The edge address is longer than {_MAX_EDGE_ADDRESS} characters.")
    text = edge_url.removeprefix("https://").removesuffix("/")
    if text == edge_url.removesuffix("/"):
        raise Invalid(f"The edge address {edge_url!r} must begin with https://.")
    if problem := host_problem(text):
        raise Invalid(f"The edge address {edge_url!r} {problem}.")
    parsed = parse_origin(f"https://{text.lower()}")
    if parsed is None or not _ORIGIN_HOST.fullmatch(parsed[0]):
        raise Invalid(f"The edge address {edge_url!r} is not https://host:port.")
    if parsed[0].endswith(EDGE_DOMAIN):
        # The certificate contains this host, so an Agent could get a certificate with the name of another Agent.
        raise Invalid(
            f"The edge address {edge_url!r} is below {EDGE_DOMAIN}, which is reserved for the names in the "
            "certificates of edge gateways."
        )
    return EdgeAddress(*parsed)


_FORBIDDEN: Final = re.compile(r"[\s\x00-\x1f\x7f\"'`<>\\^{|}]")
"""Characters that RFC 3986 forbids, and the apostrophe: programs in sessions pass addresses to shells."""
_PAGE_HOST: Final = re.compile(r"[^!$&()*+,;=%@/?#]+")


def picture_problem(address: str) -> str | None:
    """Return the reason why the console cannot show the picture at this address, as a clause; None if it can."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "the address is not valid"
    is_path = not parts.scheme and not parts.netloc
    if not (is_path or parts.scheme in ("https", "http")) or "\\" in address or not address.isprintable():
        return "the address of a picture must begin with https:// or http://, or be a path of the console"
    return None


def web_address_problem(text: str) -> str | None:
    """Return the reason why a session cannot open this address, as a clause; None if it can."""
    if not text.lower().startswith(("http://", "https://")):
        return "an address must begin with http:// or https://"
    if not text.isprintable() or _FORBIDDEN.search(text):
        return "an address must not contain spaces, quotes, control characters or any of ` < > \\ ^ { | }"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # an invalid port raises
    except ValueError:
        return "the address has an invalid host or port"
    if not host or not _PAGE_HOST.fullmatch(host):
        return "an address must name a host, like https://www.example.org/"
    return None


LOCAL_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")
"""Names of the local machine. `greenroom up` always answers requests with these host names."""


def is_this_host(host: str) -> bool:
    """True if `host` is a loopback address or `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def not_served_text(address: str) -> str:
    """Return the text of the answer 421 for a host name that is not served. `address` is an address that is served."""
    return (
        f"This host name is not served here. Open {address}, or add the name to GREENROOM_SERVED_HOSTS, or set"
        " GREENROOM_PUBLIC_URL for a reverse proxy (greenroom up --served-hosts, --public-url)."
    )
