"""The session that is sought for a user, where a new one can go, and what follows when it fails while they wait.

After a failed *hand-over* the launch is planned again from its beginning, because a pool may have filled meanwhile;
after `MAX_TRIED` of them a session is created for the user, which needs no hand-over, so that a wrong `assign` locks
no user out. After a failed *start* another Agent of the zone tries, then other zones, then it fails with all causes; an
Agent that went missing may return until the deadline. A start that was only too slow begins again after a pause and on
another machine, because hosts are mostly late when many sessions start there together. A user who was being handed a
staged session has no setting that excludes staging, so any pool with the same permissions can serve.

A launch (`core.launch.request`) and a replacement (`sessions.replace`) search in the same way and differ only in these
values.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from greenroom.core.access.group_settings import ClientSettings
from greenroom.core.launch.compatibility import differing
from greenroom.core.launch.eviction import Room, Unready, lacks_only_room, rooms
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

MAX_TRIED: Final = 4
"""Staged sessions tried for one launch."""
MAX_STARTS: Final = 3
MAX_STARTS_IN_A_ZONE: Final = 2
"""Of `MAX_STARTS`: what fails on two Agents of a zone is not the Agent's fault; another zone may work."""


SLOW_BACKOFF_S: Final = 5.0
"""Pause before a start that was too slow is tried again; doubles each time, ± half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedSession:
    """A failed session with a user who waits. `tried` and `starts` count the launch's sessions, this one included.

    `starts` are those made for the user: zone id → number. `causes` are the sentences of earlier failed starts, each
    with its Agent. `permissions` are the session's. `slow`: it took too long, and is not known to be broken.
    """

    handover: bool
    agent_name: str
    cause: str
    tried: int
    starts: Mapping[str, int] = field(default_factory=dict[str, int])
    causes: tuple[str, ...] = ()
    slow: bool = False
    permissions: Mapping[str, bool] = field(default_factory=dict[str, bool])

    @property
    def is_final(self) -> bool:
        """Whether no attempt is left. A session without a launch (`tried` 0) has none: nothing would count it."""
        return self.tried == 0 or (not self.handover and sum(self.starts.values()) >= MAX_STARTS)


def backoff_s(failed: FailedSession, session_id: str) -> float:
    """Pause between the failure and the next attempt: 0 unless a start was too slow. Sessions that failed together are
    spread by their ids.
    """
    if failed.handover or not failed.slow or failed.is_final:
        return 0.0
    share = zlib.crc32(session_id.encode()) / 0xFFFF_FFFF
    return SLOW_BACKOFF_S * 2 ** (sum(failed.starts.values()) - 1) * (0.5 + share)


def plan_successor(
    failed: FailedSession,
    zones: Sequence[LaunchZone],
    current_zone_id: str,
    image: ImageFacts,
    pools: Sequence[StagedPool],
) -> tuple[LaunchAttempt, ...]:
    """What to try, one after the other, as for a new launch; empty = it failed for good."""
    if failed.is_final:
        return ()
    attempts = ordered_attempts(zones, current_zone_id, image, pools, lambda pool: _blocking_reasons(pool, failed))
    if failed.handover and failed.tried < MAX_TRIED:
        return attempts
    made = [attempt for attempt in attempts if not attempt.staged]
    return tuple(replace(_not_again(attempt, failed), order=order) for order, attempt in enumerate(made, 1))


def _blocking_reasons(pool: StagedPool, failed: FailedSession) -> list[Miss]:
    names = differing(failed.permissions, pool.permissions)
    if not names:
        return []
    reason = f"Its permissions are not those of the user's session: {', '.join(names)}."
    return [Miss("permissions", reason, candidate=pool.staging_config_id, setting="permissions")]


def _not_again(attempt: LaunchAttempt, failed: FailedSession) -> LaunchAttempt:
    if attempt.misses or failed.starts.get(attempt.zone.zone_id, 0) < MAX_STARTS_IN_A_ZONE:
        return attempt
    reason = f"It could not be started {MAX_STARTS_IN_A_ZONE} times in zone {attempt.zone.zone_name}."
    return replace(attempt, misses=(Miss("start_failed", reason),))


def with_known_host(attempts: Sequence[LaunchAttempt], zone_id: str, request_host: str) -> tuple[LaunchAttempt, ...]:
    """The attempts, with those passed over that would create a session in a zone, other than `zone_id`, that needs the
    launch's host where it is unknown (empty).
    """
    return tuple(
        attempt
        if attempt.misses or attempt.staged or request_host or attempt.zone.zone_id == zone_id
        else _if_host_is_not_needed(attempt)
        for attempt in attempts
    )


def _if_host_is_not_needed(attempt: LaunchAttempt) -> LaunchAttempt:
    if not attempt.zone.facts.needs_request_host():
        return attempt
    reason = f"Zone {attempt.zone.zone_name} asks for the host of the launch, which is not known."
    return replace(attempt, misses=(Miss("no_request_host", reason),))


def without(placement: Placement, agent_ids: frozenset[str]) -> Placement:
    """The placement without the Agents on which the session did not start."""
    return Placement(
        tuple(agent for agent in placement.candidates if agent.agent_id not in agent_ids),
        tuple(rejection for rejection in placement.rejected if rejection.agent.agent_id not in agent_ids),
    )


def others_first(placement: Placement, agent_id: str | None) -> Placement:
    """The placement with this Agent last, because the hand-over failed there."""
    return replace(placement, candidates=tuple(sorted(placement.candidates, key=lambda a: a.agent_id == agent_id)))


def went_silent(silent_s: float) -> str:
    """Why a start failed when its Agent went missing; `silent_s` is since its last check-in."""
    return f"its Agent has not reported for {silent_s:.0f} s"


def failure(failed: FailedSession, session_id: str) -> str:
    """What became of the session and why, for trace and log; a sentence without its full stop."""
    what = "was quarantined" if failed.handover else f"could not start on {failed.agent_name or 'its Agent'}"
    return f"Session {session_id} {what}: {failed.cause.rstrip('.')}"


def failure_line(failed: FailedSession, session_id: str, last: TraceStep) -> TraceStep:
    """The trace line that says that the last one, which was used, failed."""
    code = "hand_over_failed" if failed.handover else "start_failed"
    return replace(last, used=False, code=code, reason=f"{failure(failed, session_id)}.")


def continued(trace: Sequence[TraceStep], last: TraceStep) -> list[TraceStep]:
    """The steps of a search, numbered on from the launch's trace."""
    return [replace(step, order=last.order + step.order) for step in trace]


def final_error(failed: FailedSession, trace: Sequence[TraceStep]) -> str:
    """What users and administrators read of a session that could not be started at all. `trace` is that of the last
    search, empty if there was none because no attempt was left.
    """
    cause = failed.cause.rstrip(".")
    why = "; ".join(dict.fromkeys(step.reason.rstrip(".") for step in trace if step.code != "start_failed"))
    said = f"{_on(failed.agent_name, cause)}. {_before(failed.causes)}" if failed.causes else f"{cause}."
    another = "yet another" if failed.causes else "another"
    return f"{said} It was not tried on {another} Agent: {why}." if why else said


def _on(agent_name: str, cause: str) -> str:
    return cause if agent_name and agent_name in cause else f"On {agent_name or 'its Agent'}: {cause}"


def _before(causes: Sequence[str]) -> str:
    return "Before that: " + "; ".join(cause.rstrip(".") for cause in causes) + "."


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUser:
    """The user of a session, staged or new, and what it has from the launch. `clocks` begin with it."""

    user_id: str
    launch_id: str | None
    clocks: Clocks
    kasm_url: str = ""
    client_settings: ClientSettings = field(default_factory=dict[str, bool | int | float])
    idempotency_key: str | None = None
    idempotency_body: str | None = None
    lease: NewLease | None = None
    """Written in the transaction that gives them the session."""


class SpecMaker(Protocol):
    """Makes the specification of one session, once its id and its credential are known."""

    def __call__(self, *, session_id: str, credential: str) -> SessionSpec:
        """May raise a GreenroomError."""
        ...


@dataclass(frozen=True, slots=True)
class ZoneRooms:
    """Where a new session can go in a zone, in the order to try, and why the other Agents cannot take it."""

    rooms: Sequence[Room]
    misses: Sequence[Miss]
    room_helps: bool
    """Without room: one of the Agents could take it if it were empty, so pools are to leave free room alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSession:
    """The session that a user is to get, staged or new."""

    user: SessionUser
    image: ImageFacts
    permissions: Mapping[str, bool]
    assign: Exec
    """What hands a staged one over; `argv` is empty where the workspace has no such command."""
    request: PlacementRequest
    """What a new one needs of an Agent."""
    spec_in: Callable[[LaunchZone], SpecMaker]
    """The specification of a new one in a zone."""
    last_agent_id: str | None = None
    never_on: frozenset[str] = frozenset()
    another_agent: str = "Agent"
    """What a zone without a possible Agent lacks."""
    instead: str = ""
    """Inserted into the sentence that says where the session is from, as is `remark` after it."""
    remark: str = ""
    keeps_room: bool = False
    """Without room, the user waits and asks again: pools leave free room alone, and machines are ordered."""

    def reason_of(self, reason: str) -> str:
        """How the user came to the session, as a sentence for trace and log."""
        return f"{reason} {self.remark}".rstrip()

    def rooms_in(
        self, zone: LaunchZone, agents: Sequence[PlacementAgent], unready: Sequence[Unready] = ()
    ) -> ZoneRooms:
        """`unready` are the zone's staged sessions that yield if no Agent has room."""
        placed = place(agents, self.request, zone.load_balancing_strategy)
        placement = others_first(without(placed, self.never_on), self.last_agent_id)
        return ZoneRooms(
            rooms=rooms(placement, self.request, unready),
            misses=placement_misses(zone, placement, self.another_agent),
            room_helps=bool(lacks_only_room(placement.rejected, self.request)),
        )
