"""The session that a user will get (`RequestedSession`), and the attempts after it fails while the user waits.

After a failed *hand-over*, all attempts of the launch are made again, because a pool may have sessions by then. After
`MAX_STAGED_TRIED` sessions, a new session is created for the user. It needs no hand-over, so a wrong `assign` command
prevents no launch. After a failed *start*, the session is tried on another Agent of the zone and then in other zones;
then the launch fails with all causes. A missing Agent may return until the deadline of the start. A start that was only
too slow is repeated on another host after a pause, because hosts are usually slow when many sessions start at the same
time. A replacement compares only its permissions with those of a pool: no other setting excludes staged sessions,
because the launch already claimed one.

A launch (`core.launch.request`) and a replacement (`sessions.replace`) use the same search. They differ only in the
values of the `RequestedSession`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from greenroom.core.access.group_settings import ClientSettings
from greenroom.core.launch.compatibility import differing_permissions
from greenroom.core.launch.eviction import AgentWithRoom, StartingSession, agents_large_enough, agents_with_room
from greenroom.core.launch.placement import Placement, PlacementAgent, PlacementRequest, place
from greenroom.core.launch.plan import (
    LaunchAttempt,
    LaunchZone,
    Miss,
    StagedPool,
    TraceStep,
    ordered_attempts,
    placement_misses,
)
from greenroom.core.lease import NewLease
from greenroom.core.session.deadlines import Clocks
from greenroom.core.workspace.session_spec import Exec, SessionSpec
from greenroom.core.workspace.spec_builder import ImageFacts

MAX_STAGED_TRIED: Final = 4
"""The maximum number of staged sessions that are tried for one launch."""
MAX_STARTS: Final = 3
MAX_STARTS_IN_A_ZONE: Final = 2
"""The maximum number of starts in one zone: after failures on two Agents, another zone may work."""
SLOW_BACKOFF_S: Final = 5.0
"""The pause before a start that was too slow is tried again. It doubles each time and is spread by ± 50 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedSession:
    """A failed session of a user who waits.

    `at_handover` is True if its hand-over failed, and False if its start failed. `cause` is the reason as a sentence.
    `sessions_tried` is the number of sessions of the launch, including this one. `starts` maps the id of a zone to the
    number of sessions that were created for the user there. `causes` are the sentences about earlier failed starts,
    each with its Agent. `permissions` are those of the session. `slow` is True if only a time limit ended the session.
    """

    at_handover: bool
    agent_name: str
    cause: str
    sessions_tried: int
    starts: Mapping[str, int] = field(default_factory=dict[str, int])
    causes: tuple[str, ...] = ()
    slow: bool = False
    permissions: Mapping[str, bool] = field(default_factory=dict[str, bool])

    @property
    def is_final(self) -> bool:
        """True if no attempt is left. A session without a launch (`sessions_tried` 0) gets no further attempt."""
        return self.sessions_tried == 0 or (not self.at_handover and sum(self.starts.values()) >= MAX_STARTS)


def backoff_s(failed: FailedSession, session_id: str) -> float:
    """Return the pause between the failure and the next attempt in seconds: 0 unless a start was too slow. The pause
    depends on the id of the session, so that sessions that failed together do not start again together.
    """
    if failed.at_handover or not failed.slow or failed.is_final:
        return 0.0
    spread = zlib.crc32(session_id.encode()) / 0xFFFF_FFFF
    return SLOW_BACKOFF_S * 2 ** (sum(failed.starts.values()) - 1) * (0.5 + spread)


def plan_replacement(
    failed: FailedSession,
    zones: Sequence[LaunchZone],
    current_zone_id: str,
    image: ImageFacts,
    pools: Sequence[StagedPool],
) -> tuple[LaunchAttempt, ...]:
    """Return the attempts for the replacement in their order, as for a new launch; empty = the launch has failed."""
    if failed.is_final:
        return ()
    attempts = ordered_attempts(zones, current_zone_id, image, pools, lambda pool: _permission_misses(pool, failed))
    if failed.at_handover and failed.sessions_tried < MAX_STAGED_TRIED:
        return attempts
    on_demand = [attempt for attempt in attempts if not attempt.staged]
    return tuple(
        replace(_with_exhaustion_miss(attempt, failed), order=order) for order, attempt in enumerate(on_demand, 1)
    )


def _permission_misses(pool: StagedPool, failed: FailedSession) -> list[Miss]:
    names = differing_permissions(failed.permissions, pool.permissions)
    if not names:
        return []
    reason = f"Its permissions are not those of the user's session: {', '.join(names)}."
    return [Miss("permissions", reason, candidate=pool.staging_config_id, setting="permissions")]


def _with_exhaustion_miss(attempt: LaunchAttempt, failed: FailedSession) -> LaunchAttempt:
    if attempt.misses or failed.starts.get(attempt.zone.zone_id, 0) < MAX_STARTS_IN_A_ZONE:
        return attempt
    reason = f"It could not be started {MAX_STARTS_IN_A_ZONE} times in zone {attempt.zone.zone_name}."
    return replace(attempt, misses=(Miss("start_failed", reason),))


def mark_zones_without_host(
    attempts: Sequence[LaunchAttempt], zone_id: str, request_host: str
) -> tuple[LaunchAttempt, ...]:
    """Return the attempts. `request_host` is the host of the launch. If it is empty (unknown), attempts on demand get
    a miss if the settings of their zone need the host. `zone_id`, the zone of the failed session, is excepted.
    """
    return tuple(
        attempt
        if attempt.misses or attempt.staged or request_host or attempt.zone.zone_id == zone_id
        else _with_host_miss(attempt)
        for attempt in attempts
    )


def _with_host_miss(attempt: LaunchAttempt) -> LaunchAttempt:
    if not attempt.zone.facts.request_host_settings():
        return attempt
    reason = f"Zone {attempt.zone.zone_name} uses $request_host$, and the host of the launch is unknown."
    return replace(attempt, misses=(Miss("no_request_host", reason),))


def without_agents(placement: Placement, agent_ids: frozenset[str]) -> Placement:
    """Return the placement without the Agents on which the session did not start."""
    return Placement(
        tuple(agent for agent in placement.candidates if agent.agent_id not in agent_ids),
        tuple(rejection for rejection in placement.rejected if rejection.agent.agent_id not in agent_ids),
    )


def with_agent_last(placement: Placement, agent_id: str | None) -> Placement:
    """Return the placement with this Agent as the last candidate, because the hand-over failed there."""
    return replace(placement, candidates=tuple(sorted(placement.candidates, key=lambda a: a.agent_id == agent_id)))


def silent_agent_reason(silent_s: float) -> str:
    """Return the reason for a failed start whose Agent went missing. `silent_s` is the time since its last check-in."""
    return f"its Agent has not reported for {silent_s:.0f} s"


def failure_text(failed: FailedSession, session_id: str) -> str:
    """Return the failure of the session and its cause, for trace and log, as a sentence without the full stop."""
    verb = "was quarantined" if failed.at_handover else f"could not start on {failed.agent_name or 'its Agent'}"
    return f"Session {session_id} {verb}: {failed.cause.rstrip('.')}"


def failure_step(failed: FailedSession, session_id: str, last: TraceStep) -> TraceStep:
    """Return `last`, the step with which the launch got the failed session, as a failed step."""
    code = "hand_over_failed" if failed.at_handover else "start_failed"
    return replace(last, used=False, code=code, reason=f"{failure_text(failed, session_id)}.")


def renumbered_after(trace: Sequence[TraceStep], last: TraceStep) -> list[TraceStep]:
    """Return the steps of a search, renumbered so that they follow the step `last` of the trace of the launch."""
    return [replace(step, order=last.order + step.order) for step in trace]


def final_error(failed: FailedSession, trace: Sequence[TraceStep]) -> str:
    """Return the error that users and administrators read if a launch failed after a session did not start.

    `trace` is the trace of the last search for another session; empty if no attempt was left.
    """
    cause = failed.cause.rstrip(".")
    earlier = "; ".join(earlier_cause.rstrip(".") for earlier_cause in failed.causes)
    reasons = "; ".join(dict.fromkeys(step.reason.rstrip(".") for step in trace if step.code != "start_failed"))
    text = f"{_with_agent(failed.agent_name, cause)}. Before that: {earlier}." if failed.causes else f"{cause}."
    which_agent = "yet another" if failed.causes else "another"
    return f"{text} It was not tried on {which_agent} Agent: {reasons}." if reasons else text


def _with_agent(agent_name: str, cause: str) -> str:
    return cause if agent_name and agent_name in cause else f"On {agent_name or 'its Agent'}: {cause}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUser:
    """The user of a session, and the values that the session gets from its launch. The time limits in `clocks` begin
    when the user gets the session.
    """

    user_id: str
    launch_id: str | None
    clocks: Clocks
    kasm_url: str = ""
    client_settings: ClientSettings = field(default_factory=dict[str, bool | int | float | str])
    idempotency_key: str | None = None
    idempotency_body: str | None = None
    needs_permission: bool = False
    """True if the user must still have the permission to launch when the session is written
    (`LaunchRequest.for_caller`)."""
    lease: NewLease | None = None
    """The lease, which is inserted in the transaction that gives the session to the user; None = no lease."""


class SpecMaker(Protocol):
    """Builds the specification of a session from its id and credential. Raises GreenroomError: it cannot be built."""

    def __call__(self, *, session_id: str, credential: str) -> SessionSpec: ...


@dataclass(frozen=True, slots=True)
class ZoneRoom:
    """The Agents of a zone with room for a new session in the order to try, and the reasons against the others."""

    agents: Sequence[AgentWithRoom]
    misses: Sequence[Miss]
    room_helps: bool
    """True if a full Agent would have room without its other sessions. While the user waits, pools then do not use room
    that becomes free.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedSession:
    """The session that a user will get, staged or new."""

    user: SessionUser
    image: ImageFacts
    permissions: Mapping[str, bool]
    assign: Exec
    """The command that hands over a staged session; `argv` is empty if the workspace has no such command."""
    request: PlacementRequest
    """The requirements of a new session for its Agent."""
    spec_maker_for: Callable[[LaunchZone], SpecMaker]
    """Returns the builder of the specification of a new session in a zone."""
    least_preferred_agent_id: str | None = None
    """The Agent that is tried last, because a hand-over failed there."""
    excluded_agent_ids: frozenset[str] = frozenset()
    agent_noun: str = "Agent"
    """The noun in the sentence `Zone eu has no Agent.`: `Agent` or, for example, `other Agent`."""
    origin_suffix: str = ""
    """A text such as ` in its place`, which is inserted into the sentence about the origin of the session."""
    remark: str = ""
    """A sentence that follows the sentence about the origin of the session; empty = none."""
    refused_user_waits: bool = False
    """True if a refused user counts as waiting: pools do not use room that becomes free, and machines are ordered."""

    def with_remark(self, reason: str) -> str:
        """Return the sentence about the origin of the session for trace and log, followed by `remark`."""
        return f"{reason} {self.remark}".rstrip()

    def find_room(
        self, zone: LaunchZone, agents: Sequence[PlacementAgent], starting: Sequence[StartingSession] = ()
    ) -> ZoneRoom:
        """Return the room for the session in a zone. Staged sessions in `starting` are evicted if no Agent has room."""
        full_placement = place(agents, self.request, zone.load_balancing_strategy)
        placement = with_agent_last(
            without_agents(full_placement, self.excluded_agent_ids), self.least_preferred_agent_id
        )
        return ZoneRoom(
            agents=agents_with_room(placement, self.request, starting),
            misses=placement_misses(zone, placement, self.agent_noun),
            room_helps=bool(agents_large_enough(placement.rejected, self.request)),
        )
