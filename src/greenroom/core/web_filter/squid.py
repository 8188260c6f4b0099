"""From a web filter policy to Squid's configuration and the pages it shows. Pure.

The rules stand in the order of their depth, deepest first, because the first rule that matches decides: so Squid
agrees with `core.web_filter.policy.decision`. A name is resolved only after a list or the default action has allowed
it, or the names themselves would carry data out; then it is still refused if any of its addresses is private.
"""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from greenroom.core.web_filter.policy import FREE_PORTS_FROM, PRIVATE, PRIVATE_IPV6, WEB_PORTS, FilterPolicy, depth

PORT: Final = 13128
"""Where Squid listens, on the address of the policy's network; not where a Squid of the host's own usually does."""

MAX_CONNECTIONS: Final = 512
"""Of one session at a time, so that it cannot take the filter away from the others."""

LOG_FORMAT: Final = "%ts %>a %Ss %rm %#>rd %>rP"
"""One line per refused request: seconds, address of the session, verdict, method, host, port. No path, no query."""

PAGES: Final = {
    "ERR_GREENROOM_LISTED": "It is in the deny list of the policy.",
    "ERR_GREENROOM_DEFAULT": "It is not in the allow list of the policy.",
    "ERR_GREENROOM_PRIVATE": "It leads to a private network or to the host, which no session may reach.",
    "ERR_GREENROOM_PORT": "The address names a port or a kind of connection that is not open.",
}
"""Page → why, for the person who meets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one Squid lives.

    Args:
        address: of the host on the policy's network; Squid listens there and nowhere else.
        subnet: of that network: the sessions.
        pages: folder of the pages.
        folder: where Squid may write: its log of refused requests.
        resolvers: addresses of name servers; empty = those of the host.
    """

    address: str
    subnet: str
    pages: str
    folder: str
    resolvers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """A request that was refused; `at` is seconds since the epoch, `source` the address of the session."""

    at: float
    source: str
    method: str
    host: str
    port: int


def parse_denial(line: str) -> Denial | None:
    """A line of the log of refused requests, or None when it is something else (a page that answered 403 itself)."""
    words = line.split()
    if len(words) != 6 or not words[2].startswith("TCP_DENIED") or not words[0].isdigit():
        return None
    at, source, _, method, host, port = words
    return Denial(
        at=float(at),
        source=source,
        method=method[:16],
        host=host.replace("%5B", "").replace("%5D", "")[:253],
        port=int(port) if port.isdigit() else 0,
    )


def configuration(policy: FilterPolicy, place: Place) -> str:
    """The text of squid.conf."""
    return "\n".join([*_process(place), *_who_and_what(policy, place), *_lists(policy), *_default(policy)]) + "\n"


def _process(place: Place) -> list[str]:
    """A proxy that keeps nothing, tells nobody about the session, and ends quickly when told to."""
    resolvers = [f"dns_nameservers {' '.join(place.resolvers)}"] if place.resolvers else []
    return [
        f"http_port {place.address}:{PORT}",
        "visible_hostname greenroom-web-filter",
        "pid_filename none",
        f"coredump_dir {place.folder}",
        "cache_log /dev/null",
        "debug_options ALL,0",
        f"logformat denials {LOG_FORMAT}",
        "acl refused http_status 403",
        f"access_log stdio:{place.folder}/denials.log logformat=denials refused",
        "logfile_rotate 0",
        "cache deny all",
        "cache_mem 0",
        "memory_pools off",
        "pinger_enable off",
        "hosts_file none",
        *resolvers,
        "via off",
        "forwarded_for delete",
        "httpd_suppress_version_string on",
        "shutdown_lifetime 1 seconds",
        f"client_ip_max_connections {MAX_CONNECTIONS}",
        "max_filedescriptors 16384",
        "connect_timeout 20 seconds",
        "forward_timeout 40 seconds",
        f"error_directory {place.pages}",
    ]


def _who_and_what(policy: FilterPolicy, place: Place) -> list[str]:
    ports = " ".join(map(str, WEB_PORTS)) + (f" {FREE_PORTS_FROM}-65535" if policy.default_action == "allow" else "")
    return [
        f"acl sessions src {place.subnet}",
        f"acl open_port port {ports}",
        "acl tunnel method CONNECT",
        "acl plain proto HTTP",
        *(f"acl private dst {network}" for network in (*PRIVATE, *PRIVATE_IPV6)),
        "acl anything src all",
        "deny_info ERR_GREENROOM_PORT open_port",
        "deny_info ERR_GREENROOM_PORT plain",
        "deny_info ERR_GREENROOM_PRIVATE private",
        "deny_info ERR_GREENROOM_DEFAULT anything",
        "http_access deny !sessions",
        "http_access deny manager",
        "http_access deny !open_port",
        "http_access deny !tunnel !plain",
    ]


def _lists(policy: FilterPolicy) -> Iterator[str]:
    """`-n`: an IP address is never looked up backwards, or its owner could give it an allowed name."""
    by_depth: dict[int, dict[str, list[str]]] = defaultdict(lambda: {"deny": [], "allow": []})
    for action, names in (("deny", policy.deny), ("allow", policy.allow)):
        for name in names:
            by_depth[depth(name)][action].append(name)
    for level in sorted(by_depth, reverse=True):
        denied, allowed = by_depth[level]["deny"], by_depth[level]["allow"]
        if denied:
            yield from (f"acl deny_{level} dstdomain -n .{name}" for name in denied)
            yield f"deny_info ERR_GREENROOM_LISTED deny_{level}"
            yield f"http_access deny deny_{level}"
        if allowed:
            yield from (f"acl allow_{level} dstdomain -n .{name}" for name in allowed)
            yield f"http_access deny allow_{level} private"
            yield f"http_access allow allow_{level}"


def _default(policy: FilterPolicy) -> list[str]:
    if policy.default_action == "allow":
        return ["http_access deny private", "http_access allow all"]
    return ["http_access deny anything"]


def pages(policy: FilterPolicy) -> dict[str, str]:
    """Name → text of the pages for refused http addresses; Squid puts the host in for `%H`."""
    name = html.escape(policy.name).replace("%", "%%")
    return {page: _page(name, why) for page, why in PAGES.items()}


def _page(policy_name: str, why: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Blocked by the web filter</title>\n'
        "<style>body{font:16px/1.5 sans-serif;max-width:36em;margin:15vh auto;padding:0 1em;color:#222}"
        "h1{font-size:1.5em}</style></head>\n"
        f"<body><h1>%H is blocked</h1>\n<p>{why}</p>\n"
        f"<p>This session is under the web filter policy “{policy_name}”. If you need this site, ask the"
        " administrator.</p>\n</body></html>\n"
    )
