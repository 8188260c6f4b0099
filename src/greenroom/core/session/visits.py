"""Who looks at a stream, and when they have left.

A viewer comes through one connection after another, because pages reconnect: a *visit* lasts until none of them has
been there for a while. Where none of its connections was ever seen, nothing is known of its end. Times are of
`time.monotonic()`.
"""

from __future__ import annotations

from collections.abc import Hashable, Set
from dataclasses import dataclass, field
from typing import Final, NamedTuple

AWAY_S: Final = 30.0
"""Who comes back within this never left."""
MAX_VISITS: Final = 10_000
"""At a time; of further ones the end is not known."""


class Connection(NamedTuple):
    """The viewer's end of a connection to the gateway beside this Agent, as the gateway names it."""

    address: str
    port: int


@dataclass(slots=True)
class Visit:
    """Somebody's visit: `client` is from where, for people; `seen_s` when a connection of theirs was last there."""

    session_id: str
    user_id: str
    client: str
    since_s: float
    seen_s: float | None = None
    connections: set[Connection] = field(default_factory=set[Connection])

    @property
    def lasted_s(self) -> float:
        """How long it was, as far as it was seen."""
        return (self.seen_s or self.since_s) - self.since_s


class Visits:
    """All visits, by whatever identifies a viewer."""

    def __init__(self) -> None:
        self._visits: dict[Hashable, Visit] = {}

    @property
    def connections(self) -> frozenset[Connection]:
        """Those to look for."""
        return frozenset(connection for visit in self._visits.values() for connection in visit.connections)

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self._visits)

    def opened(self, viewer: Hashable, visit: Visit, connection: Connection) -> None:
        """`viewer` opened a stream through `connection`: their visit goes on, or `visit` begins."""
        if viewer in self._visits or len(self._visits) < MAX_VISITS:
            self._visits.setdefault(viewer, visit).connections.add(connection)

    def looked(self, there: Set[Connection], gone: Set[Connection], now_s: float) -> list[Visit]:
        """The visits that have ended, now that somebody looked; they are forgotten.

        Args:
            there: connections that were found.
            gone: those that were looked for and not found.
            now_s: the time.
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
