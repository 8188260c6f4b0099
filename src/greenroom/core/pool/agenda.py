"""Which pools the Primary looks at now: those of which something was said, and those for which a time has come.

A pool at rest has nothing to do until one of its own times, if nothing changes: what else a plan depends on is
announced. What was announced and not received is found by a look at each pool every `LOOK_S`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from greenroom.core.pool import rotation
from greenroom.core.pool.known_agents import KnownAgents
from greenroom.core.pool.model import COMING, PoolPlan, PoolSnapshot, ShortfallCode

LOOK_S: Final = 30.0
LOOKED_AT: Final = 200
"""Pools that are looked at in one round, so that none takes long: those first that have waited longest."""

SETTLED: Final[frozenset[ShortfallCode]] = frozenset({"paused", "image-disabled", "zone-request-host"})
"""Shortfalls that last until config, workspace or zone are changed. Others wait for what Agents report of themselves,
which is not announced: such a pool is looked at in every round, or in turn with the others if there are many.
"""


def settled_until(snapshot: PoolSnapshot, made: PoolPlan) -> datetime | None:
    """Until when the plan of a pool stays as it is while nothing changes; None = it is not at rest."""
    is_short = made.shortfall is not None and made.shortfall.code not in SETTLED
    if made.actions or is_short or any(session.status in COMING for session in snapshot.sessions):
        return None
    if rotation.recycled(snapshot, snapshot.sessions):
        return None
    usable = sorted((s for s in snapshot.sessions if s.claimable), key=lambda s: (s.expires, s.created, s.session_id))
    times = [session.expires for session in snapshot.sessions]
    if usable:
        times.append(rotation.due_at(usable, rotation.start_time_s(usable)))
    return min(times, default=datetime.max.replace(tzinfo=snapshot.now.tzinfo))


class Agenda:
    """When each pool of a zone is looked at next; times are seconds of one clock, which only the caller knows."""

    def __init__(self) -> None:
        self._term: int | None = None
        self._listed_s = float("-inf")
        self._next_s: dict[str, float] = {}
        """Pool → its next own time; in the past: it is due."""
        self._looked_s: dict[str, float] = {}
        self._said = 0
        self._said_of: dict[str, int] = {}
        self._said_of_all = 0
        self.agents = KnownAgents()

    def said(self, config_id: str) -> None:
        """Something of this pool changed."""
        self._said += 1
        self._said_of[config_id] = self._said
        self._next_s[config_id] = float("-inf")

    def said_of_all(self) -> None:
        """Something changed that any plan may depend on, or announcements were lost."""
        self._said += 1
        self._said_of_all = self._said
        self._next_s = dict.fromkeys(self._next_s, float("-inf"))
        self.agents.forget()
        self._listed_s = float("-inf")

    @property
    def version(self) -> int:
        """Grows with all that is said; for `planned`, taken before the rows are read."""
        return self._said

    def begin(self, term: int) -> None:
        """What an earlier term knew counts for nothing."""
        if term != self._term:
            self._term = term
            self.said_of_all()

    def wants_list(self, now_s: float) -> bool:
        """Whether it is time to find out which pools there are."""
        return now_s >= self._listed_s + LOOK_S

    def listed(self, config_ids: Collection[str], now_s: float) -> None:
        """These are all pools of the zone; unknown ones are due."""
        self._listed_s = now_s
        self._next_s = {config_id: self._next_s.get(config_id, float("-inf")) for config_id in config_ids}
        for known in (self._looked_s, self._said_of):
            for config_id in known.keys() - self._next_s.keys():
                del known[config_id]

    def due(self, now_s: float) -> set[str]:
        """The pools to look at now."""
        looked_s = {config_id: self._looked_s.get(config_id, float("-inf")) for config_id in self._next_s}
        due = [(at_s, one) for one, at_s in looked_s.items() if self._next_s[one] <= now_s or at_s + LOOK_S <= now_s]
        return {config_id for _, config_id in sorted(due)[:LOOKED_AT]}

    def looked(self, config_ids: Collection[str], now_s: float) -> None:
        """Their turn has come: a pool that cannot be planned does not keep the others waiting."""
        self._looked_s |= dict.fromkeys(config_ids, now_s)

    def planned(self, config_id: str, *, version: int, now_s: float, rest_s: float | None) -> None:
        """A pool was looked at, after what `version` counts; it is at rest for `rest_s`, None = it is not at rest."""
        self.looked([config_id], now_s)
        is_old = version < max(self._said_of.get(config_id, 0), self._said_of_all)
        self._next_s[config_id] = float("-inf") if rest_s is None or is_old else now_s + rest_s

    def gone(self, config_id: str) -> None:
        """The zone has no such pool."""
        self._next_s.pop(config_id, None)
