"""The forecast of a launch, the outcome of a launch for each pool, and the limit of the queue of launches.

Forecast: for each workspace, the launcher displays the expected result of a launch: a session immediately, a session
after some seconds, or the reason why none is possible now. The forecast uses `core.launch.plan.plan_launch`, as the
launch itself does. Its sentences are for all users, so they do not contain the names of machines.

Outcome: `pool_outcomes` has the same rules as the SQL in `db.pool.history`.

Queue: a launch that would wait too long is refused immediately, with its position in the queue and the time after which
to try again. Without a limit, all users would wait too long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from greenroom.core.errors import Busy, NoResources, Refused
from greenroom.core.launch.eviction import StartingSession, agents_with_room
from greenroom.core.launch.placement import ImageReadiness, Placement, PlacementAgent, place, placement_request_of
from greenroom.core.launch.plan import (
    LaunchAttempt,
    LaunchZone,
    Miss,
    StagedPool,
    TraceStep,
    no_resources_reason,
    placement_misses,
)
from greenroom.core.workspace.spec_builder import ImageFacts


@dataclass(frozen=True, slots=True)
class SimulatedLaunch:
    """The staged attempts of a launch, up to the attempt for one staging config.

    `attempt` claims a session of the config, unless it has `misses`. `earlier` are the staged attempts without misses
    before it. The launch gets a session at the first of these attempts whose pool has one.
    """

    attempt: LaunchAttempt
    earlier: tuple[LaunchAttempt, ...]

    @property
    def misses(self) -> tuple[Miss, ...]:
        return self.attempt.misses


def simulate_launch(attempts: Sequence[LaunchAttempt], staging_config_id: str, zone_id: str) -> SimulatedLaunch:
    """Return the staged attempts of a launch, up to the attempt for a staging config in the zone `zone_id`.

    `attempts` (from `core.launch.plan.plan_launch`) has no attempt for the config if the launch does not search the
    zone, or the workspace excludes it. `SimulatedLaunch.attempt` is then the attempt of the zone, without a pool.
    """
    staged = [attempt for attempt in attempts if attempt.staged]
    of_config = [a for a in staged if a.pool is not None and a.pool.staging_config_id == staging_config_id]
    attempt = (of_config or [a for a in staged if a.zone.zone_id == zone_id])[0]
    earlier = (a for a in staged if a.order < attempt.order and not a.misses)
    return SimulatedLaunch(attempt, tuple(earlier))


def first_attempt_with_session(
    attempts: Sequence[LaunchAttempt], has_session: Callable[[LaunchAttempt], bool]
) -> LaunchAttempt | None:
    """Return the staged attempt at which a launch gets a session; None if no staged session can be claimed."""
    return next((a for a in attempts if a.staged and not a.misses and has_session(a)), None)


DEFAULT_START_S: Final = 10.0
"""The expected time of a start if none was measured yet."""
DEFAULT_HAND_OVER_S: Final = 1.0
"""The expected time of a hand-over if none was measured yet."""

USER_REMEDIES: Final[dict[str, str]] = {
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
"""Code of a miss, or `too_large` → the reason why no launch is possible now and the remedy, as sentences for users."""
_CODES_BY_PRIORITY: Final = (
    "no_capacity", "no_disk", "agent_disabled", "agent_missing", "image_unavailable", "too_large",
    "adds_no_secrets", "restricted", "zone_not_searched",
)  # fmt: skip
"""The launcher displays only the first code that applies. Obstacles that often end by themselves are first."""
LIMIT_REACHED: Final = "You have reached your maximum number of sessions. End one first."
NOTHING_FITS: Final = "No machine is available for it at the moment. Try again later, or ask an administrator."


@dataclass(frozen=True, slots=True)
class LaunchForecast:
    """The forecast of a launch. `ready` is True if a staged session would be handed over. `expected_s` is the expected
    time until the session is usable; None = no launch is possible now, and `reason` has the reason.
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

    `zones` are in the order of their creation. `claimable` maps staging config and config hash to the number of
    claimable sessions. The keys of `pools` and `measured` are image ids. The keys of `agents` and `starting` (staged
    sessions that a launch may evict) are zone ids. The state of images is only in `image_states`.
    """

    zones: tuple[LaunchZone, ...] = ()
    pools: Mapping[str, Sequence[StagedPool]] = field(default_factory=dict[str, Sequence[StagedPool]])
    claimable: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    agents: Mapping[str, Sequence[PlacementAgent]] = field(default_factory=dict[str, Sequence[PlacementAgent]])
    image_states: Mapping[str, Mapping[str, ImageReadiness]] = field(
        default_factory=dict[str, Mapping[str, ImageReadiness]]
    )
    """Name of the image → id of the Agent → the state of the image there."""
    starting: Mapping[str, Sequence[StartingSession]] = field(default_factory=dict[str, Sequence[StartingSession]])
    measured: Mapping[str, MeasuredStarts] = field(default_factory=dict[str, MeasuredStarts])


@dataclass(frozen=True, slots=True)
class ForecastCheck:
    """An attempt of a forecast. Without misses, the launch gets its session here."""

    attempt: LaunchAttempt
    misses: tuple[Miss, ...]


def forecast_checks(image: ImageFacts, attempts: Sequence[LaunchAttempt], supply: Supply) -> Iterator[ForecastCheck]:
    """Yield the attempts of a launch in their order, up to the first one that would give a session."""
    for attempt in attempts:
        misses = attempt.misses
        if not misses and attempt.staged and not _has_session(attempt, supply):
            misses = (Miss("pool_empty", f"No staged session of {image.friendly_name} is free."),)
        elif not misses and not attempt.staged:
            misses = _room_misses(image, attempt.zone, supply)
        yield ForecastCheck(attempt, misses)
        if not misses:
            return


def launch_forecast(image: ImageFacts, attempts: Sequence[LaunchAttempt], supply: Supply) -> LaunchForecast:
    """Return the forecast of a launch with these `attempts`, for a user below the session limit."""
    measured, misses = supply.measured.get(image.image_id, MeasuredStarts()), list[Miss]()
    for check in forecast_checks(image, attempts, supply):
        if check.attempt.staged and not check.misses:
            return LaunchForecast(True, DEFAULT_HAND_OVER_S if measured.hand_over_s is None else measured.hand_over_s)
        if not check.misses:
            return LaunchForecast(False, DEFAULT_START_S if measured.start_s is None else measured.start_s)
        misses += () if check.attempt.staged else check.misses
    return LaunchForecast(False, None, refusal_for_user(misses))


def _room_misses(image: ImageFacts, zone: LaunchZone, supply: Supply) -> tuple[Miss, ...]:
    """Return the reasons why no Agent of the zone has room for a session; empty if one has."""
    placement = _placement(image, zone, supply)
    if agents_with_room(placement, placement_request_of(image), supply.starting.get(zone.zone_id, ())):
        return ()
    return tuple(placement_misses(zone, placement))


def refusal_for_user(misses: Iterable[Miss]) -> str:
    """Return the sentences for a user about the most important of the misses that prevent a launch on demand."""
    # An Agent that has no room for the session even without other sessions is too small.
    codes = {miss.code if miss.waiting_helps or miss.code != "no_capacity" else "too_large" for miss in misses}
    return next(
        (USER_REMEDIES[code] for code in ("image_disabled", *_CODES_BY_PRIORITY) if code in codes), NOTHING_FITS
    )


def launch_refusal(
    image: ImageFacts, trace: Sequence[TraceStep], on_demand_misses: Iterable[Miss], launch_id: str
) -> Refused:
    """Return the error of a launch that got no session. `on_demand_misses` are the misses of its attempts on demand."""
    if not image.enabled:
        return Refused(f"Workspace {image.friendly_name} is disabled; an administrator can enable it.")
    return NoResources(no_resources_reason(trace), for_user=refusal_for_user(on_demand_misses), launch_id=launch_id)


def _has_session(attempt: LaunchAttempt, supply: Supply) -> bool:
    pool = attempt.pool
    return pool is not None and supply.claimable.get((pool.staging_config_id, attempt.config_hash), 0) > 0


def _placement(image: ImageFacts, zone: LaunchZone, supply: Supply) -> Placement:
    states = supply.image_states.get(image.name, {})
    agents = [agent.with_image(states.get(agent.agent_id)) for agent in supply.agents.get(zone.zone_id, ())]
    return place(agents, placement_request_of(image), zone.load_balancing_strategy)


PoolResult = Literal["hit", "miss", "served_elsewhere", "other_permissions"]


@dataclass(frozen=True, slots=True)
class PoolOutcome:
    """The outcome of a launch for one staging config. `codes` are the codes of its misses, without duplicates."""

    staging_config_id: str
    zone_name: str
    result: PoolResult
    codes: tuple[str, ...]


def pool_outcomes(trace: Sequence[TraceStep]) -> list[PoolOutcome]:
    """Return an outcome for each staging config that a launch considered, in their order. `trace` must be complete.

    The result is `hit` for the config whose session the launch got. For all other configs, it is:

    - `other_permissions`, if the permissions of the config differ from those of the user, and another considered config
      has the permissions of the user;
    - `served_elsewhere`, if the launch got a staged session of another config;
    - `miss`, if the launch got no staged session.
    """
    used = trace[-1] if trace and trace[-1].used else None
    configs: dict[str, tuple[str, tuple[str, ...]]] = {}
    for step in trace:
        if step.candidate is None or not step.step.startswith("staged"):
            continue
        _, codes = configs.get(step.candidate, ("", ()))
        if step.code is not None and step.code not in codes:
            codes = (*codes, step.code)
        configs[step.candidate] = (step.zone_name, codes)
    has_matching_config = any("permissions" not in codes for _, codes in configs.values())
    return [
        PoolOutcome(
            config_id,
            zone,
            _result(config_id, used, has_other_permissions=has_matching_config and "permissions" in codes),
            codes,
        )
        for config_id, (zone, codes) in configs.items()
    ]


def _result(staging_config_id: str, used: TraceStep | None, *, has_other_permissions: bool) -> PoolResult:
    served = used if used is not None and used.step.startswith("staged") else None
    if served and served.candidate == staging_config_id:
        return "hit"
    if has_other_permissions:
        return "other_permissions"
    return "served_elsewhere" if served else "miss"


MAX_LAUNCHES_AT_ONCE: Final = 8
"""The maximum number of launches at the same time. They use half of the connections of the api to the database; the
other half is for other requests.
"""
MAX_WAIT_S: Final = 10.0
"""The maximum expected time in the queue. It applies only if at least `ALWAYS_ADMITTED` launches wait."""
ALWAYS_ADMITTED: Final = 100
"""The number of launches that may always wait. If the last launches were slow, the next ones may be faster."""
AVERAGE_WEIGHT: Final = 0.05
"""The weight of one launch in the moving average."""


class LaunchPace:
    """The time that launches take at present, as a moving average."""

    def __init__(self) -> None:
        self._average_s = 0.0

    def record(self, taken_s: float) -> None:
        """Add the time that a launch took."""
        self._average_s += AVERAGE_WEIGHT * (taken_s - self._average_s)

    def wait_s(self, waiting: int) -> float:
        """Return the time in seconds that a new launch waits if `waiting` launches already wait."""
        return (waiting + 1) * self._average_s / MAX_LAUNCHES_AT_ONCE

    def admit(self, waiting: int) -> None:
        """Permit a new launch to wait. Raises Busy: too many launches already wait."""
        wait_s = self.wait_s(waiting)
        if waiting < ALWAYS_ADMITTED or wait_s <= MAX_WAIT_S:
            return
        seconds = math.ceil(wait_s)
        raise Busy(
            f"{waiting} launches wait in the queue, which takes about {seconds} s; this launch was not "
            f"started. Try again in {seconds} s.",
            position=waiting + 1,
            expected_s=round(wait_s, 1),
            retry_after_s=seconds,
        )


def queue_full_step(error: Busy) -> TraceStep:
    """Return the only step in the trace of a launch that was refused because the queue was full."""
    return TraceStep(
        order=1, step="turn", zone_name="", candidate=None, used=False, code=error.code, reason=error.message
    )
