"""The attempts of a launch in their order, and the trace of every step (docs/explanation/a-launch.md).

The order is: staged here, staged elsewhere, on demand here, on demand elsewhere. "Here" is the current zone, in which
the launch begins. "Elsewhere" are the other zones in the order of their names. They are tried only if Search Alternate
Zones is on in the current zone and the workspace does not exclude them. An attempt that cannot succeed has `misses`,
the reasons. The caller tries the other attempts one after another until one succeeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from greenroom.core.errors import Invalid
from greenroom.core.launch.compatibility import LaunchFacts, violations
from greenroom.core.launch.placement import Placement, Strategy
from greenroom.core.session.streams import ProxyFacts
from greenroom.core.workspace.spec_builder import ImageFacts, ZoneFacts, config_hash_of

Step = Literal["turn", "staged_here", "staged_elsewhere", "on_demand_here", "on_demand_elsewhere"]
"""`turn`: the launch was refused before its first attempt, because the queue was full (`core.launch.forecast`). The
other steps are a claim of a staged session or a launch on demand, in the current zone or in another zone.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchZone:
    """The data of a zone that a launch needs."""

    facts: ZoneFacts
    zone_key: int = 0
    search_alternate_zones: bool = True
    load_balancing_strategy: Strategy = "Least Load"
    proxy: ProxyFacts = field(default_factory=ProxyFacts)
    former_names: tuple[str, ...] = ()
    """Former names of the zone. The configuration of a gateway may still contain them."""

    @property
    def zone_id(self) -> str:
        return self.facts.zone_id

    @property
    def zone_name(self) -> str:
        return self.facts.zone_name


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedPool:
    """A staging config of the launched workspace, whose sessions a launch can claim."""

    staging_config_id: str
    zone_id: str
    permissions: dict[str, bool]
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Miss:
    """The reason why an attempt cannot succeed or did not succeed. docs/reference/staging.md lists the codes. `setting`
    excludes staged sessions; `group` has the names of the groups that set it. `waiting_helps` is False if the Agent has
    no room even without other sessions, or the zone has no Agent."""

    code: str
    reason: str
    candidate: str | None = None
    setting: str | None = None
    group: str | None = None
    waiting_helps: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchAttempt:
    """An attempt of a launch: a step in a zone. An attempt with `misses` is not tried."""

    order: int
    step: Step
    zone: LaunchZone
    pool: StagedPool | None = None
    config_hash: str = ""
    """The hash of the sessions of the pool that can be claimed (`core.workspace.spec_builder.config_hash_of`)."""
    misses: tuple[Miss, ...] = ()

    @property
    def staged(self) -> bool:
        """True if the attempt claims a staged session; False if it creates a new session."""
        return self.step.startswith("staged")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceStep:
    """A step of the trace, an entry of GET /sessions/{id}/placement. `candidate` is the staging config or the Agent
    that was considered. `used` is True if the launch got its session there."""

    order: int
    step: Step
    zone_name: str
    candidate: str | None
    used: bool
    code: str | None
    reason: str
    setting: str | None = field(default=None)


def plan_launch(
    zones: Sequence[LaunchZone],
    current_zone_id: str,
    image: ImageFacts,
    pools: Sequence[StagedPool],
    facts: LaunchFacts,
) -> tuple[LaunchAttempt, ...]:
    """Return all attempts of a launch in their order, numbered from 1."""

    def pool_misses(pool: StagedPool) -> list[Miss]:
        return [
            Miss(violation.code, f"{violation.reason}.", pool.staging_config_id, violation.setting, violation.group)
            for violation in violations(facts, pool.permissions)
        ]

    return ordered_attempts(zones, current_zone_id, image, pools, pool_misses)


def ordered_attempts(
    zones: Sequence[LaunchZone],
    current_zone_id: str,
    image: ImageFacts,
    pools: Sequence[StagedPool],
    pool_misses: Callable[[StagedPool], Sequence[Miss]],
) -> tuple[LaunchAttempt, ...]:
    """Return the attempts in the documented order. `pool_misses` returns the misses of a pool that is not paused."""
    current_zone, elsewhere = ordered_zones(zones, current_zone_id)
    only_zone = next((zone.zone_name for zone in zones if zone.zone_id == image.only_zone_id), None)
    attempts: list[LaunchAttempt] = []

    def add(step: Step, zone: LaunchZone, pool: StagedPool | None, misses: Sequence[Miss]) -> None:
        order, config_hash = len(attempts) + 1, ""
        try:
            config_hash = config_hash_of(image, zone.facts, pool.permissions) if pool else ""
        except Invalid as error:  # no session of the workspace can be created now
            misses = [*misses, Miss(error.code, error.message)]
        attempts.append(
            LaunchAttempt(order=order, step=step, zone=zone, pool=pool, config_hash=config_hash, misses=tuple(misses))
        )

    for zone in (current_zone, *elsewhere):
        step: Step = "staged_here" if zone is current_zone else "staged_elsewhere"
        zone_misses = _zone_misses(zone, current_zone, image, only_zone)
        zone_pools = [pool for pool in pools if pool.zone_id == zone.zone_id]
        if zone_misses or not zone_pools:
            no_config = Miss("pool_empty", f"No staging config for {image.friendly_name} in zone {zone.zone_name}.")
            add(step, zone, None, zone_misses or [no_config])
            continue
        # Pools without misses come first, because administrators read the trace from the top.
        misses = {pool.staging_config_id: _pause_miss(pool) or pool_misses(pool) for pool in zone_pools}
        for pool in sorted(zone_pools, key=lambda p: (len(misses[p.staging_config_id]), p.staging_config_id)):
            add(step, zone, pool, misses[pool.staging_config_id])
    for zone in (current_zone, *elsewhere):
        step = "on_demand_here" if zone is current_zone else "on_demand_elsewhere"
        add(step, zone, None, _zone_misses(zone, current_zone, image, only_zone))
    return tuple(attempts)


def ordered_zones(zones: Sequence[LaunchZone], current_zone_id: str) -> tuple[LaunchZone, tuple[LaunchZone, ...]]:
    """Return the current zone, and the other zones by name."""
    current_zone = next(zone for zone in zones if zone.zone_id == current_zone_id)
    return current_zone, tuple(sorted((z for z in zones if z is not current_zone), key=lambda z: z.zone_name))


def missed_steps(attempt: LaunchAttempt, misses: Sequence[Miss]) -> list[TraceStep]:
    """Return the trace steps of an attempt that got no session: one step for each of the misses."""
    pool_id = attempt.pool.staging_config_id if attempt.pool else None
    return [
        TraceStep(
            order=attempt.order,
            step=attempt.step,
            zone_name=attempt.zone.zone_name,
            candidate=miss.candidate or pool_id,
            used=False,
            code=miss.code,
            reason=miss.reason,
            setting=miss.setting,
        )
        for miss in misses
    ]


def success_step(attempt: LaunchAttempt, candidate: str, reason: str) -> TraceStep:
    """Return the last step of a trace, for the session that the user got."""
    return TraceStep(
        order=attempt.order,
        step=attempt.step,
        zone_name=attempt.zone.zone_name,
        candidate=candidate,
        used=True,
        code=None,
        reason=reason,
    )


def placement_misses(zone: LaunchZone, placement: Placement, agent: str = "Agent") -> list[Miss]:
    """Return the reasons why the rejected Agents of a zone cannot run the session. `agent` is the noun for an Agent in
    the sentence about a zone without Agents."""
    misses = [
        Miss(r.code, f"{r.reason}.", candidate=r.agent.hostname, waiting_helps=r.waiting_helps)
        for r in placement.rejected
    ]
    if not misses and not placement.candidates:
        misses = [Miss("no_capacity", f"Zone {zone.zone_name} has no {agent}.", waiting_helps=False)]
    return misses


def concurrency_miss(hostnames: Sequence[str]) -> Miss:
    """Return the miss for Agents that had room when they were read, but not when the session was inserted."""
    return Miss("no_capacity", f"Other launches took the room on {', '.join(hostnames)} at the same time.")


ADVICE: Final[dict[str, str]] = {
    "no_capacity": "End sessions, add an Agent, or raise Cores Override or Memory Override of an Agent.",
    "no_disk": "Free disk space on the hosts of the Agents: end sessions, and remove unneeded images and files.",
    "agent_missing": "Check that the Agents run, and that they reach a Manager of their zone and Docker or Kubernetes.",
    "agent_disabled": "Enable an Agent or end its draining.",
    "image_unavailable": "Check the name of the image, its registry and the credentials in the workspace.",
    "zone_not_searched": "Enable Search Alternate Zones, or launch in another zone.",
    "adds_no_secrets": "Free resources on an Agent with Docker: Agents in Kubernetes cannot add secrets to requests.",
    "restricted": "Change the restriction of the workspace, or check that Agent or zone.",
}
"""Code of a miss → the remedy for an administrator."""

MAX_REASONS_PER_ZONE: Final = 5
"""The maximum number of reasons of a zone in one sentence; the trace has all reasons."""


def no_resources_reason(trace: Sequence[TraceStep]) -> str:
    """Return the reason why a launch got no session, as sentences for an administrator, with remedies. The remedies are
    those of the rejected Agents; if no Agent was rejected, those of the zones."""
    steps = _failed_on_demand_steps(trace)
    of_agents = [step for step in steps if step.candidate is not None]
    codes = dict.fromkeys(step.code or "" for step in of_agents or steps)
    advice = " ".join(ADVICE[code] for code in codes if code in ADVICE)
    return f"No resources are available to create the requested session. {_text_by_zone(steps)} {advice}".rstrip()


def outcome_reason(trace: Sequence[TraceStep]) -> str:
    """Return the outcome of a launch for a list: the reason of the last step if the launch got a session or made no
    attempt on demand, otherwise the reasons of the attempts on demand, the current zone first."""
    steps = _failed_on_demand_steps(trace)
    if trace and not trace[-1].used and steps:
        return _text_by_zone(steps)
    return trace[-1].reason if trace else ""


def own_zone_reason(trace: Sequence[TraceStep]) -> str:
    """Return the reason why a launch failed in the zone in which it began. Reasons of other zones are left out, because
    they exist even if the own zone works."""
    steps = _failed_steps_of_own_zone(trace)
    return _text_by_zone(steps) if steps else outcome_reason(trace)


def own_zone_codes(trace: Sequence[TraceStep]) -> frozenset[str]:
    """Return the codes of `own_zone_reason`; an unknown code is empty."""
    steps = _failed_steps_of_own_zone(trace) or list(trace[-1:])
    return frozenset(step.code or "" for step in steps) or frozenset({""})


def _failed_steps_of_own_zone(trace: Sequence[TraceStep]) -> list[TraceStep]:
    return [step for step in _failed_on_demand_steps(trace) if step.step == "on_demand_here"]


def _failed_on_demand_steps(trace: Sequence[TraceStep]) -> list[TraceStep]:
    return [step for step in trace if step.step.startswith("on_demand") and not step.used]


def _text_by_zone(steps: Sequence[TraceStep]) -> str:
    parts: dict[str, list[str]] = {}
    seen_details: set[str] = set()
    for step in steps:
        parts.setdefault(step.zone_name, []).append(_without_repeated_details(step.reason.rstrip("."), seen_details))
    return ". ".join(_zone_text(name, reasons) for name, reasons in parts.items()) + "."


def _without_repeated_details(reason: str, seen_details: set[str]) -> str:
    """Return a reason. If its details (the text after the colon) are in `seen_details`, "for the same reason" replaces
    them; otherwise they are added to `seen_details`.
    """
    statement, colon, details = reason.partition(": ")
    if colon and details in seen_details:
        return f"{statement} for the same reason"
    seen_details.add(details)
    return reason


def _zone_text(name: str, reasons: Sequence[str]) -> str:
    text = _first_reasons(reasons)
    return text if text.startswith(f"Zone {name} ") else f"Zone {name}: {text}"


def _first_reasons(reasons: Sequence[str]) -> str:
    omitted = len(reasons) - MAX_REASONS_PER_ZONE
    return "; ".join(
        [*reasons[:MAX_REASONS_PER_ZONE], *([f"and {omitted} more Agents cannot run it"] if omitted > 0 else [])]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolContents:
    """The numbers of sessions of a pool by state, to explain or simulate a claim. They are counted without locks."""

    claimable: int = 0
    on_missing_agents: int = 0
    on_disabled_agents: int = 0
    expired: int = 0
    outdated: int = 0
    starting: int = 0
    paused: bool = False
    deleted: bool = False
    image_enabled: bool = True

    @property
    def serves(self) -> bool:
        """True if a claim would find a session now."""
        return self.claimable > 0 and self.image_enabled and not (self.paused or self.deleted)


def pool_miss(contents: PoolContents, image: ImageFacts, zone: LaunchZone) -> Miss:
    """Return the reason why a claim found no session: the first of the checks below that applies."""
    subject = f"of {image.friendly_name} in zone {zone.zone_name}"
    if not contents.image_enabled:
        return Miss("image_disabled", f"Workspace {image.friendly_name} is disabled.")
    if contents.paused or contents.deleted:
        return Miss("pool_empty", f"The staging config {subject} is {'deleted' if contents.deleted else 'paused'}.")
    if contents.claimable:
        sessions = f"1 staged session {subject} was"
        if contents.claimable > 1:
            sessions = f"{contents.claimable} staged sessions {subject} were"
        return Miss("pool_empty", f"{sessions} being claimed by other launches at the same time.")
    for number, code, agent_state in (
        (contents.on_missing_agents, "agent_missing", "missing"),
        (contents.on_disabled_agents, "agent_disabled", "disabled or draining"),
    ):
        if number == 1:
            return Miss(code, f"1 staged session {subject} is on an Agent that is {agent_state}.")
        if number:
            return Miss(code, f"{number} staged sessions {subject} are on Agents that are {agent_state}.")
    others = ((contents.starting, "starting"), (contents.expired, "expired"), (contents.outdated, "out of date"))
    counts = ", ".join(f"{number} {state}" for number, state in others if number)
    return Miss("pool_empty", f"No staged session {subject} is free" + (f" ({counts})." if counts else "."))


def _pause_miss(pool: StagedPool) -> list[Miss]:
    if not pool.paused:
        return []
    return [Miss("pool_empty", "The staging config is paused.", candidate=pool.staging_config_id)]


def _zone_misses(zone: LaunchZone, current_zone: LaunchZone, image: ImageFacts, only_zone: str | None) -> list[Miss]:
    if image.only_zone_id is not None and zone.zone_id != image.only_zone_id:
        permitted = f"zone {only_zone}" if only_zone else "a zone that does not exist"
        return [Miss("restricted", f"Workspace {image.friendly_name} is restricted to {permitted}.")]
    if zone is not current_zone and not current_zone.search_alternate_zones:
        return [Miss("zone_not_searched", f"Search Alternate Zones is off in zone {current_zone.zone_name}.")]
    if not image.enabled:
        return [Miss("image_disabled", f"Workspace {image.friendly_name} is disabled.")]
    return []
