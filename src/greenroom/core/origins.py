"""May a page of this origin open a session's stream? (Allow Origin Domain, CONTRACT "Meanings")

The list holds `host` or `host:port`, https only. Without port any port is meant. Hosts are compared as a whole and
without regard to case: neither a subdomain nor a name that merely ends alike matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

HTTPS_PORT: Final = 443

_HOST = r"(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)"
_ENTRY = re.compile(rf"(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?", re.ASCII)


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
