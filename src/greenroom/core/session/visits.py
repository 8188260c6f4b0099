"""Who views a stream, and when they have left.

A viewer uses one connection after another, because pages reconnect: a *visit* lasts until none of them has existed for
a while. If none of its connections was ever seen, its end is not known. Times are of `time.monotonic()`.
"""

from __future__ import annotations

from collections.abc import Hashable, Set
from dataclasses import dataclass, field
from typing import Final, NamedTuple

AWAY_S: Final = 30.0
"""A viewer who returns within this never left."""
MAX_VISITS: Final = 10_000
"""At a time; the end of further ones is not known."""


class Connection(NamedTuple):
    """The viewer's end of a connection to a gateway, as the gateway names it; `gateway` is empty for the one beside
    this Agent."""

    address: str
    port: int
    gateway: str = ""


@dataclass(slots=True)
class Visit:
    """`client` is the origin, for display; `seen_s` when a connection of the visit was last seen."""

    session_id: str
    user_id: str
    client: str
    since_s: float
    seen_s: float | None = None
    connections: set[Connection] = field(default_factory=set[Connection])

    @property
    def lasted_s(self) -> float:
        """Seconds, as far as it was seen."""
        return (self.seen_s or self.since_s) - self.since_s


class Visits:
    """All visits, by any key that identifies a viewer."""

    def __init__(self) -> None:
        self._visits: dict[Hashable, Visit] = {}

    @property
    def connections(self) -> frozenset[Connection]:
        return frozenset(connection for visit in self._visits.values() for connection in visit.connections)

    @property
    def any(self) -> bool:
        return bool(self._visits)

    def opened(self, viewer: Hashable, visit: Visit, connection: Connection) -> None:
        """`viewer` opened a stream through `connection`: their visit continues, or `visit` begins."""
        if viewer in self._visits or len(self._visits) < MAX_VISITS:
            self._visits.setdefault(viewer, visit).connections.add(connection)

    def looked(self, there: Set[Connection], gone: Set[Connection], now_s: float) -> list[Visit]:
        """The visits that have ended; they are forgotten. `there` are the connections that were found, `gone` those
        that were looked for and not found.
        """
        ended = list[Visit]()
        for viewer, visit in list(self._visits.items()):
            visit.connections -= gone
            if visit.connections & there:
                visit.seen_s = now_s
            if visit.connections:
                continue
            if visit.seen_s is None:
                del self._visits[viewer]
            elif now_s - visit.seen_s >= AWAY_S:
                ended.append(self._visits.pop(viewer))
        return ended
