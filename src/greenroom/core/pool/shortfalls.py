"""The reasons why a pool has fewer sessions than desired, each as one sentence, and the backoff after failures.

A successful start resets the number of failed starts. A *break* is the failure of a session that was usable. Breaks are
counted separately; their number is reset after some time without a break.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from greenroom.core.launch.placement import PlacementAgent, Rejection, cores_text, place, placement_request_of
from greenroom.core.pool.model import (
    START_STATUSES,
    BrokenSession,
    PoolConfig,
    PooledSession,
    PoolSnapshot,
    Shortfall,
    ShortfallCode,
)
from greenroom.core.rate_limits import Backoff
from greenroom.core.text import counted, exact_size
from greenroom.core.workspace.spec_builder import ImageFacts, ZoneFacts

BACKOFF: Final = Backoff(first_s=2.0, max_s=300.0)
BREAK_FORGOTTEN_S: Final = 600.0
"""The time for which a break counts. It is longer than `BACKOFF.max_s`; otherwise all breaks would be forgotten during
the longest pause.
"""
AVOIDED_S: Final = 600.0
"""After a failed start on an Agent, other Agents are preferred for this time."""
MAX_NAMED_AGENTS: Final = 3
"""The maximum number of host names after a reason that several Agents share."""


@dataclass(frozen=True, slots=True)
class PoolFailures:
    """The failures of a config: the number of consecutive failures, the last error, and the time of the next attempt.
    `breaks` is True for failures of sessions that were usable; False for failures of starts.
    """

    number: int
    last_error: str | None
    next_try: datetime | None
    breaks: bool = False

    def is_waiting(self, now: datetime) -> bool:
        return self.next_try is not None and now < self.next_try


@dataclass(frozen=True, slots=True)
class AgentChoice:
    """The Agent for the next session of a pool. `avoided_text` is the end of a sentence, with the name of an Agent that
    was avoided after a failure; empty if none was.
    """

    agent: PlacementAgent
    avoided_text: str = ""


def choose_agent(candidates: Sequence[PlacementAgent], failed_agent_ids: frozenset[str]) -> AgentChoice:
    """Return the first candidate without a recent failure, or the first candidate if all have failures.

    An image may fail on one Agent only. Without this rule, that Agent would be chosen again and again, because it has
    the least load.
    """
    chosen = next((agent for agent in candidates if agent.agent_id not in failed_agent_ids), candidates[0])
    if chosen is candidates[0]:
        return AgentChoice(chosen)
    return AgentChoice(chosen, f" and not on {candidates[0].hostname}, where a start failed lately")


def failures_after_starts(config: PoolConfig, failed: Sequence[PooledSession], now: datetime) -> PoolFailures:
    """Return the failures of the config after these failed sessions, or after a later successful start.

    Sessions that were created together count as one failure. A failed session counts only if it is a new attempt,
    created at or after `next_try`.
    """
    if any(config.next_try is None or session.created >= config.next_try for session in failed):
        number = config.failures + 1
        newest = max(failed, key=lambda session: (session.created, session.session_id))
        error = newest.error or "no reason was given"
        return PoolFailures(number, error, now + timedelta(seconds=BACKOFF.delay_s(number)))
    if config.next_try is not None and config.last_success is not None and config.last_success >= config.next_try:
        return PoolFailures(0, None, None)
    return PoolFailures(config.failures, config.last_error, config.next_try)


def failures_after_breaks(broken: Sequence[BrokenSession], now: datetime) -> PoolFailures:
    """Return the breaks as failures.

    A break counts only if its session was created after the previous counted break. Sessions that break together, for
    example at a restart of their host, therefore count once. The first counted break causes no pause; each further one
    causes a longer pause.
    """
    number, last = 0, None
    for session in sorted(broken, key=lambda session: session.broke):
        is_recent = now - session.broke < timedelta(seconds=BREAK_FORGOTTEN_S)
        if is_recent and (last is None or session.created >= last.broke):
            number, last = number + 1, session
    if last is None or number < 2:
        return PoolFailures(0, None, None, breaks=True)
    return PoolFailures(number, last.error, last.broke + timedelta(seconds=BACKOFF.delay_s(number - 1)), breaks=True)


def longer_backoff(starts: PoolFailures, breaks: PoolFailures) -> PoolFailures:
    """Return the failures with the later next attempt."""
    if not (starts.number and breaks.number):
        return starts if starts.number else breaks
    return max(starts, breaks, key=lambda failures: (failures.next_try is not None, failures.next_try))


def empty_pools_warning(zone: ZoneFacts, workspaces: Sequence[str]) -> str | None:
    """Return a warning if the addresses of a zone make the pools of these workspaces impossible; None otherwise."""
    settings = zone.request_host_settings()
    if not settings or not workspaces:
        return None
    return (
        f"{' and '.join(settings)} of zone {zone.zone_name} {_contain(settings)} $request_host$, which "
        "staged sessions cannot use: the pools of the zone end their sessions and stay empty "
        f"({', '.join(workspaces)}). Enter the domain of the deployment."
    )


def staging_obstacle(image: ImageFacts, zone: ZoneFacts) -> Shortfall | None:
    """Return the reason why no session of this workspace can be staged in this zone; None if one can."""
    if settings := zone.request_host_settings():
        return Shortfall(
            "zone-request-host",
            f"Nothing is staged: {' and '.join(settings)} of zone {zone.zone_name} {_contain(settings)} $request_host$,"
            " which cannot be used for staged sessions; enter the domain of the deployment in the zone.",
        )
    if not image.enabled:
        return Shortfall("image-disabled", f"Nothing is staged: workspace {image.friendly_name} is disabled.")
    if image.only_zone_id is not None and image.only_zone_id != zone.zone_id:
        return Shortfall(
            "image-unavailable",
            f"Nothing is staged: workspace {image.friendly_name} is restricted to another zone than {zone.zone_name}.",
        )
    return None


def _contain(settings: Sequence[str]) -> str:
    return "contain" if len(settings) > 1 else "contains"


def paused_shortfall(num_sessions: int, missing: int) -> Shortfall:
    """Return the shortfall of a paused config, which keeps its sessions and starts none."""
    return Shortfall(
        "paused",
        f"{missing} of {num_sessions} not staged: the config is paused, so it assigns no session and creates none.",
    )


def unplaced_shortfall(
    snapshot: PoolSnapshot, missing: int, rejected: Sequence[Rejection], *, ending: int
) -> Shortfall:
    """Return the shortfall of a pool whose sessions could not be placed.

    The code names the condition that must change. If at least `missing` sessions of the pool are ending (`ending`),
    the shortfall is temporary, because the next sessions can use the resources of the ending sessions.
    """
    desired = snapshot.config.num_sessions
    if any(r.code == "no_capacity" for r in rejected) and ending >= missing:
        noun = "1 earlier session is" if ending == 1 else f"{ending} earlier sessions are"
        return Shortfall("starting", f"{missing} of {desired} not staged yet: {noun} ending to make room.")
    code, cause = _placement_problem(snapshot, rejected)
    return Shortfall(code, f"{missing} of {desired} not staged: {cause}.")


def _placement_problem(snapshot: PoolSnapshot, rejected: Sequence[Rejection]) -> tuple[ShortfallCode, str]:
    """Return why no Agent can run a session of the pool. The reason has no full stop."""
    zone, details = snapshot.zone.zone_name, _details(rejected)
    codes = {r.code for r in rejected}
    if "no_capacity" in codes:
        image = snapshot.image
        cores = f"{'a quota of ' if image.cpu_mode == 'Quotas' else ''}{cores_text(image.cores)} cores"
        return (
            "no-capacity",
            f"no Agent in zone {zone} has {cores} and {exact_size(image.memory)} free ({details})",
        )
    if "no_disk" in codes:
        return "no-capacity", details
    if "image_unavailable" in codes:
        return "image-pulling" if any(r.is_temporary for r in rejected) else "image-unavailable", details
    return "no-agent", details or f"zone {zone} has no Agent"


def refill_problem(
    snapshot: PoolSnapshot, staged: Sequence[PooledSession], failures: PoolFailures, *, ending: int
) -> Shortfall | None:
    """Return the reason why the next session of a full pool cannot start; None if it can.

    `staged` are its sessions. While other sessions of the pool end (`ending`), a lack of room is temporary.
    """
    placement = place(snapshot.agents, placement_request_of(snapshot.image), snapshot.strategy)
    if not placement.candidates:
        code, cause = _placement_problem(snapshot, placement.rejected)
    elif failures.number:
        code, cause = "start-failing", _failures_text(snapshot, failures)
    else:
        return None
    outdated = sum(snapshot.outdated(session) is not None for session in staged)
    if code == "image-pulling" or (code == "no-capacity" and ending > 0):
        return None  # it ends by itself
    if outdated == 0:
        return Shortfall(code, f"The next session cannot start: {cause}.")
    sessions = f"{counted(outdated, 'session')} of the former workspace; "
    replacements = "its replacement" if outdated == 1 else "their replacements"
    return Shortfall(code, f"{sessions}{replacements} cannot start: {cause}.")


def _details(rejected: Sequence[Rejection]) -> str:
    """Return the reasons of Agents. Agents whose reasons differ only in their host names share one reason."""
    groups: dict[str, list[Rejection]] = {}
    for rejection in rejected:
        groups.setdefault(rejection.reason.replace(rejection.agent.hostname, "", 1), []).append(rejection)
    return "; ".join(first.reason + _same_for([r.agent.hostname for r in others]) for first, *others in groups.values())


def _same_for(hostnames: Sequence[str]) -> str:
    if not hostnames:
        return ""
    more = len(hostnames) - MAX_NAMED_AGENTS
    end = f" and {counted(more, 'other Agent')}" if more > 0 else ""
    return f" (the same applies to {', '.join(hostnames[:MAX_NAMED_AGENTS])}{end})"


def waiting_users_shortfall(snapshot: PoolSnapshot, waiting_users_text: str, missing: int) -> Shortfall:
    """Return the shortfall of a pool that creates no sessions, because launches of users wait for room."""
    has_room = place(snapshot.agents, placement_request_of(snapshot.image), snapshot.strategy).candidates
    return Shortfall(
        "starting" if has_room else "no-capacity",
        f"{missing} of {snapshot.config.num_sessions} not staged: {waiting_users_text}; launches of users have"
        " priority.",
    )


def failing_shortfall(snapshot: PoolSnapshot, missing: int, failures: PoolFailures) -> Shortfall:
    """Return the shortfall after recent failures: their number, the last error, and the time of the next attempt."""
    cause = _failures_text(snapshot, failures)
    return Shortfall("start-failing", f"{missing} of {snapshot.config.num_sessions} not staged: {cause}.")


def _failures_text(snapshot: PoolSnapshot, failures: PoolFailures) -> str:
    is_waiting = failures.is_waiting(snapshot.now)
    when = f"next try at {failures.next_try:%H:%M:%S} UTC" if is_waiting else "trying again now"
    noun = "session" if failures.breaks else "start"
    failures_text = f"{noun} failed" if failures.number == 1 else f"{noun}s in a row failed"
    last_error = (failures.last_error or "").rstrip(".")
    return f"{failures.number} {failures_text}, the last with: {last_error}; {when}"


def failing_agents_shortfall(
    snapshot: PoolSnapshot, counted: Sequence[PooledSession], missing: int
) -> Shortfall | None:
    """Return the shortfall of sessions on Agents that crash-loop or whose runtime does not answer; None = no such
    Agent.
    """
    agent_ids = {session.agent_id for session in counted if session.status in START_STATUSES}
    reasons = "; ".join(agent.failure for agent in snapshot.agents if agent.agent_id in agent_ids and agent.failure)
    if not reasons:
        return None
    return Shortfall("no-agent", f"{missing} of {snapshot.config.num_sessions} not staged: {reasons}.")


def starting_shortfall(num_sessions: int, missing: int, starting: int) -> Shortfall:
    """Return the shortfall of a pool whose missing sessions are starting or start next."""
    if 0 < starting < missing:
        state_text = f"{starting} of them {'is' if starting == 1 else 'are'} starting"
    else:
        state_text = f"{'it is' if missing == 1 else 'they are'} {'starting' if starting else 'about to start'}"
    return Shortfall("starting", f"{missing} of {num_sessions} not staged yet: {state_text}.")


def no_manager_shortfall(num_sessions: int, missing: int) -> Shortfall:
    """Return the shortfall of a pool in a zone in which no Manager runs."""
    return Shortfall(
        "no-running-manager",
        f"{missing} of {num_sessions} not staged: no Manager of the zone is running, so the pool is not filled.",
    )


_RECOMPUTED_CODES: Final = frozenset({"zone-request-host", "image-disabled", "no-running-manager", "paused"})
"""Codes that are computed at each read. A stored shortfall with such a code is ignored."""


PoolRule = Literal["number", "obstacle", "pause", "manager", "plan", "start"]
"""A rule about the number of sessions of a pool. The first rule of `POOL_RULES` that applies decides."""
POOL_RULES: Final[tuple[PoolRule, ...]] = ("number", "obstacle", "pause", "manager", "plan", "start")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """The state of a pool between the rounds of the Primary. `stored` is the shortfall of the last round.

    `obstacle` is the current result of `staging_obstacle`, which applies even if no Manager of the zone runs.
    `num_sessions` is the desired number, `current` are claimable, and `starting` are requested or starting now.
    """

    stored: Shortfall | None
    obstacle: Shortfall | None
    is_paused: bool
    num_sessions: int
    current: int
    starting: int
    has_manager: bool
    stored_refill_problem: Shortfall | None = None
    """The `PoolPlan.refill_problem` of the last round."""


def effective_refill_problem(state: PoolState) -> Shortfall | None:
    """Return the reason why the next session of a full pool cannot start; None if it can, or the pool is not full."""
    if state.is_paused or state.num_sessions == 0 or effective_shortfall(state) is not None:
        return None
    if not state.has_manager:
        return Shortfall("no-running-manager", "The next session cannot start: no Manager of the zone is running.")
    return state.stored_refill_problem


def is_expected(problem: Shortfall) -> bool:
    """True if a full pool often has this reason why its next session cannot start: a full zone has no room for it."""
    return problem.code == "no-capacity"


def effective_shortfall(state: PoolState) -> Shortfall | None:
    """Return the current shortfall; None = the pool is full."""
    return decided_shortfall(state)[1]


def decided_shortfall(state: PoolState) -> tuple[PoolRule, Shortfall | None]:
    """Return the rule that decides, and the current shortfall; None = the pool is full."""
    missing = state.num_sessions - state.current
    if missing <= 0:
        return "number", None
    if state.obstacle is not None:
        return "obstacle", state.obstacle
    if state.is_paused and missing > state.starting:
        return "pause", paused_shortfall(state.num_sessions, missing - state.starting)
    if not state.has_manager:
        return "manager", no_manager_shortfall(state.num_sessions, missing)
    if state.stored is not None and state.stored.code not in _RECOMPUTED_CODES:
        return "plan", state.stored
    return "start", starting_shortfall(state.num_sessions, missing, state.starting)
