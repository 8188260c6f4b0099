"""Events that anyone can cause without limit: when they are logged, and which attempts are of one source."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Final, Generic, TypeVar

MAX_REMEMBERED: Final = 1000
MAX_NAMES: Final = 10


def source_of(address: str) -> str:
    """The source that attempts from `address` count for; of IPv6 the /64 network, which belongs to one customer."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"


@dataclass(slots=True)
class Repeated:
    """What happened again since it was logged."""

    since_s: float
    count: int = 0
    latest: str = ""
    names: list[str] = field(default_factory=list[str])


Kind = TypeVar("Kind", bound=Hashable)


class Repeats(Generic[Kind]):
    """The first event of a kind is logged at once, more of the same kind as their number, once in `every_s`. Beyond
    `MAX_REMEMBERED` kinds at a time there is one number for all. Times are of `time.monotonic()`.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._seen: OrderedDict[Kind | None, Repeated] = OrderedDict()

    def is_first(self, kind: Kind, now_s: float, message: str, name: str = "") -> bool:
        """Whether this event is to be logged now; otherwise it is counted. `message` is what would be logged, `name`
        who it concerns, where that differs within a kind.
        """
        key = kind if kind in self._seen or len(self._seen) < MAX_REMEMBERED else None
        is_first = key is not None and key not in self._seen
        seen = self._seen.setdefault(key, Repeated(now_s))
        if not is_first:
            seen.count += 1
            seen.latest = message
            if name and name not in seen.names and len(seen.names) < MAX_NAMES:
                seen.names.append(name)
        return is_first

    def due(self, now_s: float) -> list[tuple[Kind | None, Repeated]]:
        """The numbers to log now, each with its kind; None = all kinds that are not counted separately."""
        ended = [(key, seen) for key, seen in self._seen.items() if now_s - seen.since_s >= self._every_s]
        for key, seen in ended:
            del self._seen[key]
            if seen.count:
                self._seen[key] = Repeated(now_s)
        return [(key, seen) for key, seen in ended if seen.count]
