"""Visits of viewers to streams.

A viewer uses several connections one after another, because pages reconnect. A *visit* ends when no connection of the
viewer has existed for `AWAY_S`. If none of its connections was ever found, the end of a visit is not known. Times are
those of `time.monotonic()`.
"""

from __future__ import annotations

from collections.abc import Hashable, Set
from dataclasses import dataclass, field
from typing import Final, NamedTuple

AWAY_S: Final = 30.0
"""The time without a connection after which a visit ends."""
MAX_VISITS: Final = 10_000
"""The maximum number of visits at the same time; the ends of further visits are not known."""


class Connection(NamedTuple):
    """The remote end of a viewer's connection to a gateway. `gateway` is the id; empty = the gateway of this host."""

    address: str
    port: int
    gateway: str = ""


@dataclass(slots=True)
class Visit:
    """A visit of a viewer from `client`. `last_seen_s` is the time at which one of its connections was last found; None
    = never.
    """

    session_id: str
    user_id: str
    client: str
    since_s: float
    last_seen_s: float | None = None
    connections: set[Connection] = field(default_factory=set[Connection])

    @property
    def duration_s(self) -> float:
        """The duration of the visit in seconds, until its connections were last found."""
        return (self.last_seen_s or self.since_s) - self.since_s


class Visits:
    """All visits, by a key that identifies the viewer."""

    def __init__(self) -> None:
        self._visits: dict[Hashable, Visit] = {}

    @property
    def connections(self) -> frozenset[Connection]:
        return frozenset(connection for visit in self._visits.values() for connection in visit.connections)

    @property
    def has_visits(self) -> bool:
        """True if there is a visit."""
        return bool(self._visits)

    def record_opened(self, viewer: Hashable, visit: Visit, connection: Connection) -> None:
        """Record that `viewer` opened a stream through `connection`. Their visit continues, or `visit` begins."""
        if viewer in self._visits or len(self._visits) < MAX_VISITS:
            self._visits.setdefault(viewer, visit).connections.add(connection)

    def end_closed(self, present: Set[Connection], gone: Set[Connection], now_s: float) -> list[Visit]:
        """Update the visits from the connections that exist (`present`) and those that were closed (`gone`). Remove the
        visits that ended, and return them, except visits whose connections were never in `present`.
        """
        ended = list[Visit]()
        for viewer, visit in list(self._visits.items()):
            visit.connections -= gone
            if visit.connections & present:
                visit.last_seen_s = now_s
            if visit.connections:
                continue
            if visit.last_seen_s is None:
                del self._visits[viewer]
            elif now_s - visit.last_seen_s >= AWAY_S:
                ended.append(self._visits.pop(viewer))
        return ended
