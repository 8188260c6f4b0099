"""The pools that the Primary must plan now: pools with an announced change, and pools whose next planning time has
come.

A pool is *at rest* if only an announced change can require a plan before its next planning time. Every `POLL_S`, the
checksums of the rows of all pools are compared, to find changes that were not announced or whose announcements were
lost.

The Agents are cached. A session is not inserted if its Agent has no room, so outdated data only costs a second attempt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from greenroom.core.launch.placement import PlacementAgent, PlacementRequest, placement_request_of
from greenroom.core.pool import rotation
from greenroom.core.pool.model import START_STATUSES, Create, PoolPlan, PoolSnapshot, ShortfallCode
from greenroom.core.workspace.spec_builder import ImageFacts

AGENTS_VALID_S: Final = 1.0
"""The time for which cached Agents are used."""


class AgentCache:
    """The Agents of a zone, cached by image, because a `PlacementAgent` contains the state of one image. Times are
    those of the caller's clock.
    """

    def __init__(self) -> None:
        self._by_image: dict[str, tuple[float, tuple[PlacementAgent, ...]]] = {}

    def of(self, image_id: str, now_s: float) -> tuple[PlacementAgent, ...] | None:
        """Return the cached Agents for an image; None if they must be read."""
        read_s, agents = self._by_image.get(image_id, (float("-inf"), ()))
        return agents if now_s < read_s + AGENTS_VALID_S else None

    def store(self, image_id: str, agents: tuple[PlacementAgent, ...], now_s: float) -> None:
        self._by_image[image_id] = now_s, agents

    def reserve(self, image: ImageFacts, creates: Iterable[Create]) -> None:
        """Reserve the room of inserted sessions on the cached Agents."""
        if (cached := self._by_image.get(image.image_id)) is None:
            return
        request, counts = placement_request_of(image), Counter(create.agent_id for create in creates)
        read_s, agents = cached
        self._by_image[image.image_id] = (
            read_s,
            tuple(_with_sessions(agent, counts[agent.agent_id], request) for agent in agents),
        )

    def forget(self) -> None:
        """Remove all Agents, after a change of Agents was announced or an Agent had no room."""
        self._by_image.clear()


def _with_sessions(agent: PlacementAgent, number: int, request: PlacementRequest) -> PlacementAgent:
    for _ in range(number):
        agent = agent.with_one_more(request)
    return agent


POLL_S: Final = 30.0
MAX_POOLS: Final = 100
"""The maximum number of pools that are read in one round. The pools that have waited longest come first."""
MAX_PLANS: Final = 20
"""The maximum number of pools for which rows are written in one round."""
MAX_WAITING_POOLS: Final = 25
"""The maximum number of pools in one round that are not at rest and whose last plan had no actions."""

LASTING_SHORTFALLS: Final[frozenset[ShortfallCode]] = frozenset({"paused", "image-disabled", "zone-request-host"})
"""Shortfalls that last until the config, the workspace or the zone is changed. Other shortfalls depend on reports of
Agents, which are not announced: a pool with another shortfall is planned in every round, or in turn if there are many
such pools.
"""


def plan_valid_until(snapshot: PoolSnapshot, pool_plan: PoolPlan) -> datetime | None:
    """Return the time until which the plan of a pool stays valid if nothing changes; None if it is not at rest."""
    is_short = pool_plan.shortfall is not None and pool_plan.shortfall.code not in LASTING_SHORTFALLS
    if pool_plan.actions or is_short or any(session.status in START_STATUSES for session in snapshot.sessions):
        return None
    if rotation.outdated(snapshot, snapshot.sessions):
        return None
    usable = sorted((s for s in snapshot.sessions if s.claimable), key=lambda s: (s.expires, s.created, s.session_id))
    times = [session.expires for session in snapshot.sessions]
    if usable:
        times.append(rotation.due_at(usable, rotation.start_time_s(usable)))
    return min(times, default=datetime.max.replace(tzinfo=snapshot.now.tzinfo))


class Agenda:
    """The next planning time of each pool of a zone. Times are seconds of one clock, which the caller chooses."""

    def __init__(self) -> None:
        self._term: int | None = None
        self._list_read_s = float("-inf")
        self._due_s: dict[str, float] = {}
        """Id of the config → the next planning time of its pool; a pool with a time in the past is due."""
        self._last_turn_s: dict[str, float] = {}
        """Id of the config → the time at which its pool was last planned or failed to be planned."""
        self._checksums: dict[str, int] = {}
        """Id of the config → the checksum of the rows of its pool."""
        self._without_actions: set[str] = set()
        """The ids of pools that are not at rest and whose last plan had no actions."""
        self._version = 0
        self._changed_version: dict[str, int] = {}
        """Id of the config → the version of its last announced change."""
        self._all_changed_version = 0
        self.agents = AgentCache()

    def mark_changed(self, config_id: str) -> None:
        """Record an announced change of this pool. The pool is then due."""
        self._version += 1
        self._changed_version[config_id] = self._version
        self._due_s[config_id] = float("-inf")
        self._without_actions.discard(config_id)

    def mark_all_changed(self) -> None:
        """Record a change that may concern all plans, or the loss of announcements. All pools are then due."""
        self._version += 1
        self._all_changed_version = self._version
        self._due_s = dict.fromkeys(self._due_s, float("-inf"))
        self._without_actions.clear()
        self.agents.forget()
        self._list_read_s = float("-inf")

    @property
    def version(self) -> int:
        """A number that grows with each announcement. The caller reads it before the rows, for `mark_planned`."""
        return self._version

    def begin(self, term: int) -> None:
        """Begin a term of leadership. In a new term all pools are due."""
        if term != self._term:
            self._term = term
            self.mark_all_changed()

    def needs_list(self, now_s: float) -> bool:
        """True if the list of pools must be read again."""
        return now_s >= self._list_read_s + POLL_S

    def set_list(self, checksums: Mapping[str, int], now_s: float) -> None:
        """Store all pools of the zone, the most urgent first: id of the config → checksum of the rows. A pool that is
        new, or whose checksum has changed, is due.
        """
        self._list_read_s = now_s
        unchanged = {config_id for config_id, value in checksums.items() if self._checksums.get(config_id) == value}
        past_s = float("-inf")
        self._due_s = {name: self._due_s.get(name, past_s) if name in unchanged else past_s for name in checksums}
        self._without_actions &= unchanged
        self._checksums = dict(checksums)
        for by_config in (self._last_turn_s, self._changed_version):
            for config_id in by_config.keys() - self._due_s.keys():
                del by_config[config_id]

    def due(self, now_s: float) -> list[str]:
        """Return the ids of the configs to plan now, in the order of planning."""
        due = [config_id for config_id, due_s in self._due_s.items() if due_s <= now_s]
        due.sort(key=lambda config_id: self._last_turn_s.get(config_id, float("-inf")))
        waiting = [config_id for config_id in due if config_id in self._without_actions]
        others = [config_id for config_id in due if config_id not in self._without_actions]
        return [*others[:MAX_POOLS], *waiting[:MAX_WAITING_POOLS]]

    def record_turn(self, config_id: str, now_s: float) -> None:
        """Record that a plan of the pool was tried, so that a pool whose plan fails does not delay the others."""
        self._last_turn_s[config_id] = now_s

    def mark_planned(
        self, config_id: str, *, version: int, now_s: float, valid_s: float | None, had_no_actions: bool = False
    ) -> None:
        """Record the plan of a pool.

        `version` is `Agenda.version` before the rows were read. The pool is at rest for `valid_s` seconds; None = it is
        not at rest. `had_no_actions` is True if the pool is not at rest and its plan had no actions.
        """
        self.record_turn(config_id, now_s)
        changed_since = version < max(self._changed_version.get(config_id, 0), self._all_changed_version)
        self._due_s[config_id] = float("-inf") if valid_s is None or changed_since else now_s + valid_s
        if had_no_actions and not changed_since:
            self._without_actions.add(config_id)
        else:
            self._without_actions.discard(config_id)

    def remove(self, config_id: str) -> None:
        """Remove a pool that does not exist any more in the zone."""
        self._due_s.pop(config_id, None)
        self._without_actions.discard(config_id)
