"""The configuration of Squid for a web filter policy, and its log.

Rules are sorted by depth, deepest first, because the first match decides: so Squid agrees with
`core.web_filter.policy.decision`. A name is resolved only after a list or the default action has allowed it, or names
alone could carry data out; then it is still refused if any of its addresses is private.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from greenroom.core.web_filter.policy import FREE_PORTS_FROM, WEB_PORTS, FilterPolicy, depth

PORT: Final = 13128
"""Where Squid listens, on the address of the policy's network; the host's own Squid may have the usual port."""
CLOSED_PORT: Final = 13129
"""Where it listens as well if the network of its sessions is another's work: who reaches it there is not kept from
anything, so that a session can find out before it begins."""
LOCAL: Final = "localhost,127.0.0.1,::1"
"""What programs in a session reach without the filter: the session itself."""


def proxy_variables(address: str) -> dict[str, str]:
    """By what programs know of the filter at this address. They are only a convenience: nothing else can be reached."""
    proxy = f"http://{f'[{address}]' if ':' in address else address}:{PORT}"
    variables = {"http_proxy": proxy, "https_proxy": proxy, "no_proxy": LOCAL}
    return variables | {name.upper(): value for name, value in variables.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The names of the lists that have the same number of labels."""

    depth: int
    deny: tuple[str, ...]
    allow: tuple[str, ...]


def levels(policy: FilterPolicy) -> list[Level]:
    """The lists of a policy, deepest names first."""
    return [
        Level(
            depth=level,
            deny=tuple(name for name in policy.deny if depth(name) == level),
            allow=tuple(name for name in policy.allow if depth(name) == level),
        )
        for level in sorted({depth(name) for name in (*policy.deny, *policy.allow)}, reverse=True)
    ]


def open_ports(policy: FilterPolicy) -> list[str]:
    """The allowed ports in Squid's notation."""
    return [*map(str, WEB_PORTS), *([f"{FREE_PORTS_FROM}-65535"] if policy.default_action == "allow" else [])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """A refused request; `at` is seconds since the epoch, `source` the address of the session."""

    at: float
    source: str
    method: str
    host: str
    port: int


def parse_denial(line: str) -> Denial | None:
    """A line of the log of refused requests; None for anything else (a page that answered 403 itself)."""
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
