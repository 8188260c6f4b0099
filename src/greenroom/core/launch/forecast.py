"""What a launch would give, told from the plan that it would follow: by one staging config, or for a user's workspace.

A user sees of each workspace what to expect before opening it: a session at once, after some seconds, or not now and
why. Pure. It follows `core.launch.plan.plan_launch`, so that the launcher promises what a launch keeps. Names of
machines are for administrators; the sentences here are for everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from greenroom.core.launch.eviction import Unready, rooms
from greenroom.core.launch.placement import AgentView, Placement, place, session_of
from greenroom.core.launch.plan import Attempt, LaunchZone, Miss, StagedPool, placement_misses
from greenroom.core.workspace.spec_builder import ImageFacts, config_hash_of


@dataclass(frozen=True, slots=True)
class SimulatedLaunch:
    """`attempt` would assign a session of the config, unless its `misses` prevent it.

    `earlier` are the staged attempts that come before it and have nothing in their way: where one of their pools has a
    session, the launch ends there.
    """

    attempt: Attempt
    earlier: tuple[Attempt, ...]

    @property
    def misses(self) -> tuple[Miss, ...]:
        """What prevents the launch no matter what the pool has."""
        return self.attempt.misses


def simulate_launch(attempts: Sequence[Attempt], staging_config_id: str, zone_id: str) -> SimulatedLaunch:
    """Of a plan (`core.launch.plan.plan_launch`), what concerns one config of the zone `zone_id`.

    A zone that the launch does not search, or that the workspace is barred from, has one attempt without a pool.
    """
    staged = [attempt for attempt in attempts if attempt.staged]
    own = [a for a in staged if a.pool is not None and a.pool.staging_config_id == staging_config_id]
    attempt = (own or [a for a in staged if a.zone.zone_id == zone_id])[0]
    earlier = (a for a in staged if a.order < attempt.order and not a.misses)
    return SimulatedLaunch(attempt, tuple(earlier))


def first_serving(attempts: Sequence[Attempt], has_session: Callable[[Attempt], bool]) -> Attempt | None:
    """The staged attempt at which a launch ends; None where it comes to a start on demand."""
    return next((a for a in attempts if a.staged and not a.misses and has_session(a)), None)


START_S: Final = 10.0
"""Expected of a workspace of which no start was measured yet."""
HAND_OVER_S: Final = 1.0
"""Expected of a staged session where no hand-over was measured yet."""

NOT_NOW: Final[dict[str, str]] = {
    "no_capacity": "All machines are full at the moment. Try again in a few minutes, or end a session you do not need.",
    "no_disk": "The disks of all machines are full at the moment. Try again later, or end a session you do not need.",
    "too_large": "No machine is large enough for it. Ask an administrator.",
    "agent_missing": "No machine that could run it answers at the moment. Try again in a few minutes.",
    "agent_disabled": "The machines that could run it are in maintenance. Try again later.",
    "image_unavailable": "It is not on any machine yet. Try again later; an administrator can see what is missing.",
    "image_disabled": "It is disabled; an administrator can enable it.",
    "restricted": "The machines it is restricted to cannot run it at the moment. Ask an administrator.",
    "zone_not_searched": "No machine is available for it here. Ask an administrator.",
}
"""Code of a miss, or `too_large` → what a user reads about a launch that cannot be served now, and what to do."""
_TELLING: Final = (
    "no_capacity", "no_disk", "agent_disabled", "agent_missing", "image_unavailable", "too_large", "restricted",
    "zone_not_searched",
)  # fmt: skip
"""Of several reasons the first of these is given: the one that most likely passes by itself."""
LIMIT_REACHED: Final = "You have as many sessions as you may have. End one first."
NOTHING_FITS: Final = "No machine is available for it at the moment. Try again later, or ask an administrator."


@dataclass(frozen=True, slots=True)
class Prospect:
    """`ready`: a staged session would be handed over. `expected_s` is None where nothing can be launched now.

    `reason` says why it cannot, and is empty otherwise.
    """

    ready: bool
    expected_s: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Medians of the latest starts and hand-overs of a workspace in seconds; None = nothing was measured yet."""

    start_s: float | None = None
    hand_over_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """What the installation could give at one moment.

    `zones` stand in the order in which they were made; `claimable` counts, by staging config and config hash, what a
    claim would find. `agents` of each zone know nothing of images, `image_states` adds that: name of the image → id of
    the Agent → fields of AgentView.
    """

    zones: tuple[LaunchZone, ...] = ()
    pools: Mapping[str, Sequence[StagedPool]] = field(default_factory=dict[str, Sequence[StagedPool]])
    """By image id."""
    claimable: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    agents: Mapping[str, Sequence[AgentView]] = field(default_factory=dict[str, Sequence[AgentView]])
    """By zone id."""
    image_states: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(
        default_factory=dict[str, Mapping[str, Mapping[str, Any]]]
    )
    unready: Mapping[str, Sequence[Unready]] = field(default_factory=dict[str, Sequence[Unready]])
    """By zone id: staged sessions on their way, which yield to launches."""
    measured: Mapping[str, Measured] = field(default_factory=dict[str, Measured])
    """By image id."""


def prospect(image: ImageFacts, attempts: Sequence[Attempt], supply: Supply) -> Prospect:
    """What comes of a launch of the workspace whose plan is `attempts`, for a user below their limit of sessions."""
    measured = supply.measured.get(image.image_id, Measured())
    if first_serving(attempts, lambda attempt: _has_session(attempt, image, supply)) is not None:
        return Prospect(True, HAND_OVER_S if measured.hand_over_s is None else measured.hand_over_s)
    misses: list[Miss] = []
    for attempt in attempts:
        if attempt.staged:
            continue
        misses += attempt.misses
        if attempt.misses:
            continue
        placement = _placement(image, attempt.zone, supply)
        if rooms(placement, session_of(image), supply.unready.get(attempt.zone.zone_id, ())):
            return Prospect(False, START_S if measured.start_s is None else measured.start_s)
        misses += placement_misses(attempt.zone, placement)
    return Prospect(False, None, not_now(misses))


def not_now(misses: Iterable[Miss]) -> str:
    """The sentence for a user whose launch cannot be served, from everything that prevents a start on demand."""
    found = {miss.code if miss.waiting_helps or miss.code != "no_capacity" else "too_large" for miss in misses}
    return next((NOT_NOW[code] for code in ("image_disabled", *_TELLING) if code in found), NOTHING_FITS)


def _has_session(attempt: Attempt, image: ImageFacts, supply: Supply) -> bool:
    pool = attempt.pool
    key = pool and (pool.staging_config_id, config_hash_of(image, attempt.zone.facts, pool.permissions))
    return key is not None and supply.claimable.get(key, 0) > 0


def _placement(image: ImageFacts, zone: LaunchZone, supply: Supply) -> Placement:
    states = supply.image_states.get(image.name, {})
    agents = [agent.with_image(states.get(agent.agent_id)) for agent in supply.agents.get(zone.zone_id, ())]
    return place(agents, session_of(image), zone.load_balancing_strategy)
