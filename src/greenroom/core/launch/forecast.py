"""What a launch would give, from the plan it would follow: by one staging config, or for a user's workspace.

Users see of each workspace what to expect: a session at once, after some seconds, or not now and why. It follows
`core.launch.plan.plan_launch`, so that a launch keeps what the launcher promises. Only administrators see the names of
machines; the sentences here are for everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from greenroom.core.errors import NoResources, Refused
from greenroom.core.launch.eviction import Unready, rooms
from greenroom.core.launch.placement import AgentView, ImageOnAgent, Placement, place, session_of
from greenroom.core.launch.plan import (
    Attempt,
    LaunchZone,
    Miss,
    StagedPool,
    TraceStep,
    no_resources_reason,
    placement_misses,
)
from greenroom.core.workspace.spec_builder import ImageFacts, config_hash_of


@dataclass(frozen=True, slots=True)
class SimulatedLaunch:
    """`attempt` would assign a session of the config, unless its `misses` prevent it. `earlier` are staged attempts
    before it that can serve: where one of their pools has a session, the launch ends there.
    """

    attempt: Attempt
    earlier: tuple[Attempt, ...]

    @property
    def misses(self) -> tuple[Miss, ...]:
        return self.attempt.misses


def simulate_launch(attempts: Sequence[Attempt], staging_config_id: str, zone_id: str) -> SimulatedLaunch:
    """What a plan of `core.launch.plan.plan_launch` means for one config of a zone. A zone that the launch does not
    search, or that the workspace excludes, has one attempt without a pool.
    """
    staged = [attempt for attempt in attempts if attempt.staged]
    own = [a for a in staged if a.pool is not None and a.pool.staging_config_id == staging_config_id]
    attempt = (own or [a for a in staged if a.zone.zone_id == zone_id])[0]
    earlier = (a for a in staged if a.order < attempt.order and not a.misses)
    return SimulatedLaunch(attempt, tuple(earlier))


def first_serving(attempts: Sequence[Attempt], has_session: Callable[[Attempt], bool]) -> Attempt | None:
    """The staged attempt at which a launch ends; None if it comes to a launch on demand."""
    return next((a for a in attempts if a.staged and not a.misses and has_session(a)), None)


START_S: Final = 10.0
"""Expected where no start was measured yet."""
HAND_OVER_S: Final = 1.0
"""Expected where no hand-over was measured yet."""

NOT_NOW: Final[dict[str, str]] = {
    "no_capacity": "All machines are full at the moment. Try again in a few minutes, or end a session you do not need.",
    "no_disk": "The disks of all machines are full at the moment. Try again later, or end a session you do not need.",
    "too_large": "No machine is large enough for it. Ask an administrator.",
    "agent_missing": "No machine that could run it answers at the moment. Try again in a few minutes.",
    "agent_disabled": "The machines that could run it are in maintenance. Try again later.",
    "image_unavailable": "It is not on any machine yet. Try again later; an administrator can see what is missing.",
    "image_disabled": "It is disabled; an administrator can enable it.",
    "adds_no_secrets": "The machines here add no secrets to requests. Ask an administrator, or lease without secrets.",
    "restricted": "The machines it is restricted to cannot run it at the moment. Ask an administrator.",
    "zone_not_searched": "No machine is available for it here. Ask an administrator.",
}
"""Code of a miss, or `too_large` → what a user reads when no launch is possible now, and what to do."""
_SHOWN_FIRST: Final = (
    "no_capacity", "no_disk", "agent_disabled", "agent_missing", "image_unavailable", "too_large",
    "adds_no_secrets", "restricted", "zone_not_searched",
)  # fmt: skip
"""The first that applies is shown: the one most likely to pass by itself."""
LIMIT_REACHED: Final = "You have as many sessions as you may have. End one first."
NOTHING_FITS: Final = "No machine is available for it at the moment. Try again later, or ask an administrator."


@dataclass(frozen=True, slots=True)
class Prospect:
    """`ready`: a staged session would be handed over. `expected_s` is None where nothing can be launched now; then
    `reason` says why, and is empty otherwise.
    """

    ready: bool
    expected_s: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Medians of the latest starts and hand-overs of a workspace in seconds; None = none measured yet."""

    start_s: float | None = None
    hand_over_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """What the installation could give at one moment.

    `zones` are ordered by creation; `claimable` counts by staging config and config hash. `pools` and `measured` are by
    image id; `agents` and `unready` (staged sessions that yield to launches) by zone id. `agents` lack the state of
    images, which `image_states` adds: image name → Agent id → fields of AgentView.
    """

    zones: tuple[LaunchZone, ...] = ()
    pools: Mapping[str, Sequence[StagedPool]] = field(default_factory=dict[str, Sequence[StagedPool]])
    claimable: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    agents: Mapping[str, Sequence[AgentView]] = field(default_factory=dict[str, Sequence[AgentView]])
    image_states: Mapping[str, Mapping[str, ImageOnAgent]] = field(
        default_factory=dict[str, Mapping[str, ImageOnAgent]]
    )
    """Name of the image → id of the Agent → what it said."""
    unready: Mapping[str, Sequence[Unready]] = field(default_factory=dict[str, Sequence[Unready]])
    measured: Mapping[str, Measured] = field(default_factory=dict[str, Measured])


def prospect(image: ImageFacts, attempts: Sequence[Attempt], supply: Supply) -> Prospect:
    """What a launch with these `attempts` gives a user below their session limit."""
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
    """The sentence for a user, from everything that prevents a launch on demand."""
    found = {miss.code if miss.waiting_helps or miss.code != "no_capacity" else "too_large" for miss in misses}
    return next((NOT_NOW[code] for code in ("image_disabled", *_SHOWN_FIRST) if code in found), NOTHING_FITS)


def refusal(image: ImageFacts, trace: Sequence[TraceStep], on_demand: Iterable[Miss], launch_id: str) -> Refused:
    """The error of a launch that no attempt served; `on_demand` is all that prevented one on demand."""
    if not image.enabled:
        return Refused(f"Workspace {image.friendly_name} is disabled; an administrator can enable it.")
    return NoResources(no_resources_reason(trace), for_user=not_now(on_demand), launch_id=launch_id)


def _has_session(attempt: Attempt, image: ImageFacts, supply: Supply) -> bool:
    pool = attempt.pool
    key = pool and (pool.staging_config_id, config_hash_of(image, attempt.zone.facts, pool.permissions))
    return key is not None and supply.claimable.get(key, 0) > 0


def _placement(image: ImageFacts, zone: LaunchZone, supply: Supply) -> Placement:
    states = supply.image_states.get(image.name, {})
    agents = [agent.with_image(states.get(agent.agent_id)) for agent in supply.agents.get(zone.zone_id, ())]
    return place(agents, session_of(image), zone.load_balancing_strategy)
