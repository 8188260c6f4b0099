"""May a page of this origin open a session's stream? (Allow Origin Domain, CONTRACT "Meanings")

The list holds `host` or `host:port`, https only. Without port any port is meant. Hosts are compared as a whole and
without regard to case: neither a subdomain nor a name that merely ends alike matches.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

HTTPS_PORT: Final = 443

_HOST = r"(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)"
_ENTRY = re.compile(rf"(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?", re.ASCII)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?", re.ASCII | re.IGNORECASE)
_LONGEST_NAME: Final = 253


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """One entry of the list; `port` None stands for any."""

    host: str
    port: int | None = None


def parse_entry(text: str) -> AllowedHost | None:
    """An entry `host` or `host:port`, or None if it is neither."""
    found = _ENTRY.fullmatch(text.strip().lower())
    if found is None:
        return None
    port = int(found["port"]) if found["port"] else None
    return None if port is not None and not 0 < port < 65536 else AllowedHost(found["host"], port)


def host_problem(text: str, *, with_port: bool = True) -> str | None:
    """Why this cannot be saved as the address of a host, as the rest of a sentence; None = it can.

    Stricter than `parse_entry`, which reads what was saved: no spaces, labels of at most 63 characters, real IP
    addresses.

    Args:
        text: a DNS name, an IPv4 address or an IPv6 address in brackets, `host` or `host:port`.
        with_port: whether a port may follow.
    """
    if "/" in text:
        alone = "host, or host:port, like desk.example.org:8443" if with_port else "host alone, like desk.example.org"
        return f"is an address; write the {alone}"
    found = re.fullmatch(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>.*))?", text, re.DOTALL)
    if found is None:
        return "is neither host nor host:port"
    if (port := found["port"]) is not None:
        if not with_port:
            return "has a port, which is a field of its own"
        if not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or not 0 < int(port) < 65536:
            return "has no port from 1 to 65535 after the colon"
    return None if _is_host(found["host"]) else "is neither a host name nor an IP address"


def _is_host(host: str) -> bool:
    labels = host.split(".")
    address = host.removeprefix("[").removesuffix("]")
    if host != address or labels[-1].isdecimal():
        try:
            return ipaddress.ip_address(address).version == (6 if host == f"[{address}]" else 4)
        except ValueError:
            return False
    return len(host) <= _LONGEST_NAME and all(_LABEL.fullmatch(label) for label in labels)


def parse_origin(origin: str) -> tuple[str, int] | None:
    """(host, port) of an https origin as browsers send it, or None for anything else (`null`, http, a path, a list)."""
    if not origin.startswith("https://"):
        return None
    entry = _ENTRY.fullmatch(origin.removeprefix("https://").lower())
    if entry is None:
        return None
    port = int(entry["port"]) if entry["port"] else HTTPS_PORT
    return (entry["host"], port) if 0 < port < 65536 else None


def refusal_of_origin(origin: str | None, allowed: Iterable[str], *, websocket: bool) -> str | None:
    """Why a request with this Origin header may not open the stream, as a sentence; None = it may.

    A websocket must say where it comes from. Other requests of a page on the stream's own origin carry no Origin, so
    there only a foreign one is refused.
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


def stream_origin(stream_url: str, public_url: str, request_host: str) -> str:
    """Where a page that was opened at `request_host` (host[:port], one that is served) frames its streams from.

    The viewer's cookie goes along only within one site. So a console opened under another served name than that of
    `public_url` (localhost for 127.0.0.1) frames streams under that name, unless streams have a host name of their own.
    """
    stream = urlsplit(stream_url)
    if stream.hostname != urlsplit(public_url).hostname:
        return stream_url
    return f"https://{re.sub(r':[0-9]+$', '', request_host)}:{stream.port or HTTPS_PORT}"
