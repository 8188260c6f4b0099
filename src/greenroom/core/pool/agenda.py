"""Which pools the Primary looks at now: those of which something was said, and those for which a time has come.

A pool at rest has nothing to do until one of its own times, if nothing changes: what else a plan depends on is
announced. What was not announced, or not received, is found every `LOOK_S` by comparing what the rows of each pool add
up to.

What is placed on an Agent that has no room any more is not inserted, so that an old view costs a repetition at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from greenroom.core.launch.placement import PlacementAgent, PlacementRequest, session_of
from greenroom.core.pool import rotation
from greenroom.core.pool.model import COMING, Create, PoolPlan, PoolSnapshot, ShortfallCode
from greenroom.core.workspace.spec_builder import ImageFacts

KNOWN_S: Final = 1.0


class KnownAgents:
    """By image, since Agents differ in what they have of it; times are seconds of one clock, which the caller knows."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[float, tuple[PlacementAgent, ...]]] = {}

    def of(self, image_id: str, now_s: float) -> tuple[PlacementAgent, ...] | None:
        """None = they are to be read."""
        read_s, agents = self._of.get(image_id, (float("-inf"), ()))
        return agents if now_s < read_s + KNOWN_S else None

    def read(self, image_id: str, agents: tuple[PlacementAgent, ...], now_s: float) -> None:
        self._of[image_id] = now_s, agents

    def created(self, image: ImageFacts, creates: Iterable[Create]) -> None:
        """Sessions were inserted; until the Agents are read again they have that much less room."""
        if (known := self._of.get(image.image_id)) is None:
            return
        request, number = session_of(image), Counter(create.agent_id for create in creates)
        read_s, agents = known
        self._of[image.image_id] = read_s, tuple(_with(agent, number[agent.agent_id], request) for agent in agents)

    def forget(self) -> None:
        """Something was said of Agents, or one had no room."""
        self._of.clear()


def _with(agent: PlacementAgent, number: int, request: PlacementRequest) -> PlacementAgent:
    for _ in range(number):
        agent = agent.with_one_more(request)
    return agent


LOOK_S: Final = 30.0
LOOKED_AT: Final = 100
"""Pools that are looked at in one round, so that none takes long: those first that have waited longest."""
PLANNED: Final = 20
"""Of these, pools of which something is written; the others wait for the next round."""
WAITING_LOOKED_AT: Final = 25
"""The same of pools that are not at rest, and for which there was nothing to do at the last look."""

SETTLED: Final[frozenset[ShortfallCode]] = frozenset({"paused", "image-disabled", "zone-request-host"})
"""Shortfalls that last until config, workspace or zone are changed. Others wait for what Agents report of themselves,
which is not announced: such a pool is looked at in every round, or in turn with others like it if there are many.
"""


def settled_until(snapshot: PoolSnapshot, made: PoolPlan) -> datetime | None:
    """Until when the plan of a pool stays as it is while nothing changes; None = it is not at rest."""
    is_short = made.shortfall is not None and made.shortfall.code not in SETTLED
    if made.actions or is_short or any(session.status in COMING for session in snapshot.sessions):
        return None
    if rotation.outdated(snapshot, snapshot.sessions):
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
        self._sums: dict[str, int] = {}
        self._waiting: set[str] = set()
        self._said = 0
        self._said_of: dict[str, int] = {}
        self._said_of_all = 0
        self.agents = KnownAgents()

    def said(self, config_id: str) -> None:
        """Something of this pool changed."""
        self._said += 1
        self._said_of[config_id] = self._said
        self._next_s[config_id] = float("-inf")
        self._waiting.discard(config_id)

    def said_of_all(self) -> None:
        """Something changed that any plan may depend on, or announcements were lost."""
        self._said += 1
        self._said_of_all = self._said
        self._next_s = dict.fromkeys(self._next_s, float("-inf"))
        self._waiting.clear()
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

    def listed(self, sums: Mapping[str, int], now_s: float) -> None:
        """These are all pools of the zone, the most urgent first, each with what its rows add up to. One that is new is
        due, and so is one with other rows than in the list before.
        """
        self._listed_s = now_s
        same = {config_id for config_id, number in sums.items() if self._sums.get(config_id) == number}
        self._next_s = {one: self._next_s.get(one, float("-inf")) if one in same else float("-inf") for one in sums}
        self._waiting &= same
        self._sums = dict(sums)
        for known in (self._looked_s, self._said_of):
            for config_id in known.keys() - self._next_s.keys():
                del known[config_id]

    def due(self, now_s: float) -> list[str]:
        """The pools to look at now, in this order."""
        due = [config_id for config_id, next_s in self._next_s.items() if next_s <= now_s]
        due.sort(key=lambda config_id: self._looked_s.get(config_id, float("-inf")))
        waiting = [config_id for config_id in due if config_id in self._waiting]
        others = [config_id for config_id in due if config_id not in self._waiting]
        return [*others[:LOOKED_AT], *waiting[:WAITING_LOOKED_AT]]

    def looked(self, config_id: str, now_s: float) -> None:
        """Its turn has come: a pool that cannot be planned does not keep the others waiting."""
        self._looked_s[config_id] = now_s

    def planned(self, config_id: str, *, version: int, now_s: float, rest_s: float | None, waits: bool = False) -> None:
        """A pool was looked at, after what `version` counts; it is at rest for `rest_s`, None = it is not at rest.
        `waits`: there was nothing to do nevertheless.
        """
        self.looked(config_id, now_s)
        is_old = version < max(self._said_of.get(config_id, 0), self._said_of_all)
        self._next_s[config_id] = float("-inf") if rest_s is None or is_old else now_s + rest_s
        if waits and not is_old:
            self._waiting.add(config_id)
        else:
            self._waiting.discard(config_id)

    def gone(self, config_id: str) -> None:
        """The zone has no such pool."""
        self._next_s.pop(config_id, None)
        self._waiting.discard(config_id)
