"""The forecast of a launch from its plan, the outcome of a launch for each pool, and the limit of waiting launches.

For each workspace the launcher shows the expected result of a launch: a session at once, a session after some seconds,
or the reason why none is possible now. The forecast uses `core.launch.plan.plan_launch`, so that it agrees with the
launch. The sentences here are for all users; only administrators see the names of machines.

`db.pool.history` computes the outcome of each pool in SQL.

A launch that would wait too long is refused at once, with its position in the queue and the time after which to try
again. Without a limit, all waiting launches would share the capacity, and no user would be served in time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from greenroom.core.errors import Busy, NoResources, Refused
from greenroom.core.launch.eviction import Unready, rooms
from greenroom.core.launch.placement import ImageReadiness, Placement, PlacementAgent, place, session_of
from greenroom.core.launch.plan import (
    LaunchAttempt,
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
    """The part of a launch that concerns one staging config. `attempt` would assign a session of the config, unless its
    `misses` prevent it. `earlier` are the staged attempts before it that can serve: if one of their pools has a
    session, the launch ends there.
    """

    attempt: LaunchAttempt
    earlier: tuple[LaunchAttempt, ...]

    @property
    def misses(self) -> tuple[Miss, ...]:
        return self.attempt.misses


def simulate_launch(attempts: Sequence[LaunchAttempt], staging_config_id: str, zone_id: str) -> SimulatedLaunch:
    """Return the part of a plan of `core.launch.plan.plan_launch` that concerns one staging config of a zone. A zone
    that the launch does not search, or that the workspace excludes, has one attempt without a pool.
    """
    staged = [attempt for attempt in attempts if attempt.staged]
    own = [a for a in staged if a.pool is not None and a.pool.staging_config_id == staging_config_id]
    attempt = (own or [a for a in staged if a.zone.zone_id == zone_id])[0]
    earlier = (a for a in staged if a.order < attempt.order and not a.misses)
    return SimulatedLaunch(attempt, tuple(earlier))


def first_serving(
    attempts: Sequence[LaunchAttempt], has_session: Callable[[LaunchAttempt], bool]
) -> LaunchAttempt | None:
    """Return the staged attempt at which a launch ends; None if a session is created on demand."""
    return next((a for a in attempts if a.staged and not a.misses and has_session(a)), None)


START_S: Final = 10.0
"""The expected time of a start if none was measured yet."""
HAND_OVER_S: Final = 1.0
"""The expected time of a hand-over if none was measured yet."""

NOT_NOW: Final[dict[str, str]] = {
    "no_capacity": "All machines are full at the moment. Try again in a few minutes, or end a session you do not need.",
    "no_disk": "The disks of all machines are full at the moment. Try again later, or end a session you do not need.",
    "too_large": "No machine is large enough for it. Ask an administrator.",
    "agent_missing": "No machine that could run it answers at the moment. Try again in a few minutes.",
    "agent_disabled": "The machines that could run it are in maintenance. Try again later.",
    "image_unavailable": "Its image is not on any machine yet. Try again later, or ask an administrator.",
    "image_disabled": "It is disabled; an administrator can enable it.",
    "adds_no_secrets": "The machines cannot add secrets to requests. Ask an administrator, or lease without secrets.",
    "restricted": "The machines it is restricted to cannot run it at the moment. Ask an administrator.",
    "zone_not_searched": "No machine is available for it here. Ask an administrator.",
}
"""Code of a miss, or `too_large` → the sentences for a user if no launch is possible now, with the remedy."""
_SHOWN_FIRST: Final = (
    "no_capacity", "no_disk", "agent_disabled", "agent_missing", "image_unavailable", "too_large",
    "adds_no_secrets", "restricted", "zone_not_searched",
)  # fmt: skip
"""The first code that applies is shown. The codes are in the order of their probability to end without an action."""
LIMIT_REACHED: Final = "You have reached your maximum number of sessions. End one first."
NOTHING_FITS: Final = "No machine is available for it at the moment. Try again later, or ask an administrator."


@dataclass(frozen=True, slots=True)
class Prospect:
    """The forecast of a launch. `ready` is True if a staged session would be handed over. `expected_s` is None if no
    launch is possible now; `reason` is then the reason, and empty otherwise.
    """

    ready: bool
    expected_s: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredStarts:
    """The medians of the latest starts and hand-overs of a workspace in seconds; None = none was measured yet."""

    start_s: float | None = None
    hand_over_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """The zones, pools and Agents of the installation at one time, for forecasts.

    `zones` are in the order of their creation. `claimable` is the number of claimable sessions by staging config and
    config hash. `pools` and `measured` are by image id; `agents` and `unready` (staged sessions that yield to launches)
    are by zone id. `agents` lack the state of images, which is in `image_states`.
    """

    zones: tuple[LaunchZone, ...] = ()
    pools: Mapping[str, Sequence[StagedPool]] = field(default_factory=dict[str, Sequence[StagedPool]])
    claimable: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    agents: Mapping[str, Sequence[PlacementAgent]] = field(default_factory=dict[str, Sequence[PlacementAgent]])
    image_states: Mapping[str, Mapping[str, ImageReadiness]] = field(
        default_factory=dict[str, Mapping[str, ImageReadiness]]
    )
    """Name of the image → id of the Agent → the state of the image there."""
    unready: Mapping[str, Sequence[Unready]] = field(default_factory=dict[str, Sequence[Unready]])
    measured: Mapping[str, MeasuredStarts] = field(default_factory=dict[str, MeasuredStarts])


def prospect(image: ImageFacts, attempts: Sequence[LaunchAttempt], supply: Supply) -> Prospect:
    """Return the forecast of a launch with these `attempts`, for a user below the session limit."""
    measured = supply.measured.get(image.image_id, MeasuredStarts())
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
    """Return the sentences for a user, from all misses that prevent a launch on demand."""
    found = {miss.code if miss.waiting_helps or miss.code != "no_capacity" else "too_large" for miss in misses}
    return next((NOT_NOW[code] for code in ("image_disabled", *_SHOWN_FIRST) if code in found), NOTHING_FITS)


def refusal(image: ImageFacts, trace: Sequence[TraceStep], on_demand: Iterable[Miss], launch_id: str) -> Refused:
    """Return the error of a launch that no attempt served. `on_demand` are the misses of the attempts on demand."""
    if not image.enabled:
        return Refused(f"Workspace {image.friendly_name} is disabled; an administrator can enable it.")
    return NoResources(no_resources_reason(trace), for_user=not_now(on_demand), launch_id=launch_id)


def _has_session(attempt: LaunchAttempt, image: ImageFacts, supply: Supply) -> bool:
    pool = attempt.pool
    key = pool and (pool.staging_config_id, config_hash_of(image, attempt.zone.facts, pool.permissions))
    return key is not None and supply.claimable.get(key, 0) > 0


def _placement(image: ImageFacts, zone: LaunchZone, supply: Supply) -> Placement:
    states = supply.image_states.get(image.name, {})
    agents = [agent.with_image(states.get(agent.agent_id)) for agent in supply.agents.get(zone.zone_id, ())]
    return place(agents, session_of(image), zone.load_balancing_strategy)


Result = Literal["hit", "miss", "served_elsewhere", "other_permissions"]


@dataclass(frozen=True, slots=True)
class PoolOutcome:
    """The outcome of a launch for one staging config. `codes` has the reasons why it was skipped, each once."""

    staging_config_id: str
    zone_name: str
    result: Result
    codes: tuple[str, ...]


def outcomes(trace: Sequence[TraceStep]) -> list[PoolOutcome]:
    """Return an outcome for each staging config that a launch considered, in their order. `trace` must be complete.

    A launch is a *hit* of the config that served it, and a *miss* of a config if it got no staged session. A config
    whose permissions differ from those of the user has no miss if a config with the permissions of the user was
    considered.
    """
    last = trace[-1] if trace and trace[-1].used else None
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for step in trace:
        if step.candidate is None or not step.step.startswith("staged"):
            continue
        _, codes = found.get(step.candidate, ("", ()))
        if step.code is not None and step.code not in codes:
            codes = (*codes, step.code)
        found[step.candidate] = (step.zone_name, codes)
    somewhere = any("permissions" not in codes for _, codes in found.values())
    return [
        PoolOutcome(config_id, zone, _result(config_id, last, other=somewhere and "permissions" in codes), codes)
        for config_id, (zone, codes) in found.items()
    ]


def _result(staging_config_id: str, last: TraceStep | None, *, other: bool) -> Result:
    served = last if last is not None and last.step.startswith("staged") else None
    if served and served.candidate == staging_config_id:
        return "hit"
    if other:
        return "other_permissions"
    return "served_elsewhere" if served else "miss"


AT_ONCE: Final = 8
"""The number of launches at the same time: half of the connections of the api, the rest is for other requests."""
MOST_S: Final = 10.0
FEWEST: Final = 100
"""The number of launches that may always wait, even if the last launches were slow: the next launches may be faster."""
WEIGHT: Final = 0.05
"""The weight of one launch in the smoothed time."""


class LaunchPace:
    """The time that launches take at present, as a moving average."""

    def __init__(self) -> None:
        self._each_s = 0.0

    def served(self, taken_s: float) -> None:
        """Add the time that a launch took."""
        self._each_s += WEIGHT * (taken_s - self._each_s)

    def wait_s(self, waiting: int) -> float:
        """Return the time in seconds that a new launch waits if `waiting` launches already wait."""
        return (waiting + 1) * self._each_s / AT_ONCE

    def admit(self, waiting: int) -> None:
        """Check that a new launch may wait. Raises Busy: too many launches already wait."""
        wait_s = self.wait_s(waiting)
        if waiting < FEWEST or wait_s <= MOST_S:
            return
        seconds = math.ceil(wait_s)
        raise Busy(
            f"{waiting} launches wait in the queue, which takes about {seconds} s; this launch was not "
            f"started. Try again in {seconds} s.",
            position=waiting + 1,
            expected_s=round(wait_s, 1),
            retry_after_s=seconds,
        )


def refused_step(error: Busy) -> TraceStep:
    """Return the only step in the trace of a launch that was refused before its turn."""
    return TraceStep(
        order=1, step="turn", zone_name="", candidate=None, used=False, code=error.code, reason=error.message
    )
