"""The plan of a pool of staged sessions: the sessions to create, retire or destroy, and the shortfall.

The Primary calls `plan(snapshot)` in the transaction that locks the row of the config, with sessions counted after the
lock (docs/explanation/protocols.md §3), and writes the actions in the same transaction. Invariants, tested as
properties: after a plan, a pool has at most the desired number of sessions, plus one in rotation; sessions of users do
not change; no session gets two actions; repeated planning converges; a pool with too few sessions has a shortfall.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from greenroom.core.launch.placement import PlacementAgent, Rejection, place, placement_request_of, serves
from greenroom.core.pool import rotation, shortfalls
from greenroom.core.pool.model import (
    START_STATUSES,
    Action,
    Create,
    Destroy,
    PooledSession,
    PoolPlan,
    PoolSnapshot,
    Retire,
    Shortfall,
)
from greenroom.core.pool.shortfalls import PoolFailures
from greenroom.core.session.states import SessionStatus

MAX_CREATES: Final = 32
"""The maximum number of sessions that one plan inserts, so that its transaction stays short."""

MAX_SPREAD_LOAD: Final = 0.8
"""The load of a host, 0 to 1, above which a pool prefers hosts with less load to spreading its sessions."""


@dataclass(slots=True)
class _Draft:
    """A plan that is being computed: the sessions that end, the sessions to create, and the Agents that were rejected
    if there was no room (None = there was room, or no session was placed).
    """

    ended: dict[str, Action] = field(default_factory=dict[str, Action])
    creates: list[Create] = field(default_factory=list[Create])
    rejected: tuple[Rejection, ...] | None = None

    def end(self, session: PooledSession, reason: str) -> None:
        kind = Retire if session.claimable else Destroy
        self.ended.setdefault(session.session_id, kind(session.session_id, reason))


def plan(snapshot: PoolSnapshot) -> PoolPlan:
    """Return the actions that bring a pool closer to the desired number of sessions."""
    draft = _Draft()
    failures = _end_failed(snapshot, draft)
    # Failures are starts that failed, and usable sessions that broke ("breaks").
    backoff = shortfalls.longer_backoff(
        failures, shortfalls.failures_after_breaks(snapshot.config.broken, snapshot.now)
    )
    desired, obstacle = _desired_number(snapshot)
    _end_unsuitable(snapshot, desired, obstacle, draft)
    counted = [s for s in snapshot.sessions if s.session_id not in draft.ended and snapshot.counts(s)]
    # A replacement that is starting is an additional session, unless the pool must shrink anyway.
    has_extra_session = rotation.starting_replacement(counted) is not None and len(counted) <= desired + 1
    target = desired + has_extra_session
    _shrink(counted, target, draft)
    remaining = [s for s in counted if s.session_id not in draft.ended]
    _end_on_unavailable_agents(snapshot, remaining, desired, draft)

    missing = max(0, target - len(remaining))
    _fill(snapshot, remaining, _permitted_creates(snapshot, remaining, missing, backoff), missing, draft)
    _end_drained(snapshot, draft)
    is_settled = (
        target == desired and not draft.ended and not draft.creates and (missing == 0 or draft.rejected is not None)
    )
    if is_settled and _permitted_creates(snapshot, remaining, 1, backoff):
        _rotate(snapshot, remaining, draft)
    remaining = [s for s in remaining if s.session_id not in draft.ended]
    unplaced = target - len(remaining) - len(draft.creates)
    shortfall = obstacle or _shortfall(snapshot, remaining, unplaced, draft, backoff)
    is_full = shortfall is None and desired > 0 and not snapshot.config.paused
    ending = snapshot.ending + len(draft.ended)
    return PoolPlan(
        actions=(*draft.ended.values(), *draft.creates),
        shortfall=shortfall,
        refill_problem=shortfalls.refill_problem(snapshot, remaining, failures, ending=ending) if is_full else None,
        failures=failures.number,
        last_error=failures.last_error,
        next_try=failures.next_try,
    )


def _end_failed(snapshot: PoolSnapshot, draft: _Draft) -> PoolFailures:
    failed = [s for s in snapshot.sessions if s.status is SessionStatus.FAILED]
    for session in failed:
        error = (session.error or "no reason was given").rstrip(".")
        start = "It left the pool" if session.was_usable else "The start failed"
        draft.end(session, f"{start}: {error}.")
    return shortfalls.failures_after_starts(snapshot.config, [s for s in failed if not s.was_usable], snapshot.now)


def _desired_number(snapshot: PoolSnapshot) -> tuple[int, Shortfall | None]:
    config = snapshot.config
    if config.deleted or config.num_sessions == 0:
        return 0, None
    if (staging_obstacle := shortfalls.staging_obstacle(snapshot.image, snapshot.zone)) is not None:
        return 0, staging_obstacle
    missing = config.num_sessions - sum(snapshot.counts(session) for session in snapshot.sessions)
    if config.paused and missing > 0:
        return config.num_sessions, shortfalls.paused_shortfall(config.num_sessions, missing)
    return config.num_sessions, None


def _end_unsuitable(snapshot: PoolSnapshot, desired: int, obstacle: Shortfall | None, draft: _Draft) -> None:
    for session in snapshot.sessions:
        if desired == 0:
            draft.end(
                session,
                obstacle.reason if obstacle else "The staging config is deleted, or its number of sessions is 0.",
            )
        elif snapshot.expired(session):
            draft.end(session, f"Its expiration of {snapshot.config.expiration:g} h has passed.")
        elif not snapshot.is_in_zone(session):
            draft.end(session, f"Its Agent is not in zone {snapshot.zone.zone_name} any more.")
        elif session.config_hash != snapshot.config.config_hash:
            draft.end(session, "The workspace, the staging config or the zone was changed after it was created.")
        elif session.status in START_STATUSES and (reason := snapshot.outdated(session)) is not None:
            draft.end(session, f"It is not usable yet, and {reason}.")


def _shrink(counted: Sequence[PooledSession], target: int, draft: _Draft) -> None:
    """End the sessions above the number `target`: first sessions with a ready replacement if `target` sessions stay
    claimable, then unusable sessions (newest first), then the oldest.
    """
    excess = max(0, len(counted) - target)
    surplus = max(0, sum(s.claimable for s in counted) - target)
    replaced = rotation.replaced(counted)[:surplus]
    for session in replaced:
        draft.end(session, "Its replacement is ready.")
    others = sorted((s for s in counted if s not in replaced), key=lambda s: (s.created, s.session_id))
    starting = [s for s in reversed(others) if not s.claimable]
    usable = [s for s in others if s.claimable]
    for session in [*starting, *usable][: excess - len(replaced)]:
        draft.end(session, f"{len(counted)} are staged, and {target} are needed.")


def _end_on_unavailable_agents(
    snapshot: PoolSnapshot, remaining: Sequence[PooledSession], desired: int, draft: _Draft
) -> None:
    """End the sessions on disabled or draining Agents if the pool is full without them."""
    if sum(s.claimable for s in remaining) < desired:
        return
    unavailable = {a.agent_id: a for a in snapshot.agents if a.status == "running" and not serves(a)}
    for session in snapshot.sessions:
        agent = unavailable.get(session.agent_id)
        if agent is not None:
            draft.end(session, f"{agent.hostname} takes no new sessions, and the pool is full without it.")


def _end_drained(snapshot: PoolSnapshot, draft: _Draft) -> None:
    """End the sessions on draining Agents, which cannot be claimed, if they cannot be replaced on another Agent."""
    may_get_room_later = draft.rejected is None or any(rejection.is_temporary for rejection in draft.rejected)
    if not snapshot.config.paused and (may_get_room_later or snapshot.ending > 0 or draft.ended):
        return
    draining = {a.agent_id: a for a in snapshot.agents if a.status == "running" and a.draining}
    for session in snapshot.sessions:
        agent = draining.get(session.agent_id)
        if agent is not None:
            reason = "the config is paused" if snapshot.config.paused else "no other Agent has room for it"
            draft.end(session, f"{agent.hostname} is draining, and {reason}.")


def _permitted_creates(
    snapshot: PoolSnapshot, remaining: Sequence[PooledSession], missing: int, failures: PoolFailures
) -> int:
    if snapshot.config.paused or snapshot.waiting_users_text is not None or failures.is_waiting(snapshot.now):
        return 0
    if failures.number:  # after a failure, one start at a time until a start succeeds
        return 0 if any(s.status in START_STATUSES for s in remaining) else min(missing, 1)
    return min(missing, MAX_CREATES)


def _spread(
    snapshot: PoolSnapshot, candidates: Sequence[PlacementAgent], staged: Mapping[str, int]
) -> Sequence[PlacementAgent]:
    """Return the candidates in the order in which they get sessions of this pool.

    With Least Load, hosts with fewer sessions of the pool come first, so that the loss of one host does not empty the
    pool. Hosts above `MAX_SPREAD_LOAD` come last, because sessions start slowly there. `staged`: Agent id → number.
    """
    if snapshot.strategy != "Least Load":
        return candidates
    return sorted(
        candidates, key=lambda agent: (agent.silent, agent.load > MAX_SPREAD_LOAD, staged.get(agent.agent_id, 0))
    )


def _fill(
    snapshot: PoolSnapshot, remaining: Sequence[PooledSession], permitted: int, missing: int, draft: _Draft
) -> None:
    staged = Counter(session.agent_id for session in remaining)
    request = placement_request_of(snapshot.image)
    agents = {agent.agent_id: agent for agent in snapshot.agents}
    desired = snapshot.config.num_sessions
    for number in range(permitted):
        placement = place(tuple(agents.values()), request, snapshot.strategy)
        if not placement.candidates:
            draft.rejected = placement.rejected
            return
        candidates = _spread(snapshot, placement.candidates, staged)
        choice = shortfalls.choose_agent(candidates, snapshot.failed_agent_ids)
        agent = choice.agent
        staged[agent.agent_id] += 1
        agents[agent.agent_id] = agent.with_one_more(request)
        placement_text = f"placed on {agent.hostname}{choice.avoided_text}"
        draft.creates.append(
            Create(agent.agent_id, f"{desired - missing + number} of {desired} staged; {placement_text}.")
        )


def _rotate(snapshot: PoolSnapshot, remaining: Sequence[PooledSession], draft: _Draft) -> None:
    """Start the replacement of one session if a replacement is due.

    If there is no room for the replacement, an expiring session stays until it expires. An outdated session then ends
    before its replacement starts, because otherwise it would never be replaced. It ends only if all other sessions are
    claimable and a new session fits in its place. If sessions of the workspace need more resources than before and do
    not fit, the old sessions stay until they expire.
    """
    # A replacement may still be starting after its original was claimed. It then refills the pool.
    is_replacement_starting = any(
        session.status in START_STATUSES and session.replaces for session in snapshot.sessions
    )
    due = None if is_replacement_starting else rotation.next_to_replace(snapshot, remaining)
    if due is None:
        return
    original, reason = due
    placement = place(snapshot.agents, placement_request_of(snapshot.image), snapshot.strategy)
    if placement.candidates:
        staged = Counter(session.agent_id for session in remaining if session is not original)
        candidates = _spread(snapshot, placement.candidates, staged)
        choice = shortfalls.choose_agent(candidates, snapshot.failed_agent_ids)
        placement_text = f"placed on {choice.agent.hostname}{choice.avoided_text}"
        reason = f"it replaces {original.session_id}, because {reason}; {placement_text}."
        draft.creates.append(Create(choice.agent.agent_id, reason, replaces=original.session_id))
        return
    if snapshot.ending > 0 or not all(session.claimable for session in remaining):
        return
    outdated = (each for each in rotation.outdated(snapshot, remaining) if _fits_in_place_of(snapshot, each[0]))
    if (replaceable := next(outdated, None)) is not None:
        original, reason = replaceable
        draft.end(original, f"It ends because {reason}, and there is no room for its replacement at the same time.")
        draft.rejected = placement.rejected


def _fits_in_place_of(snapshot: PoolSnapshot, old: PooledSession) -> bool:
    """True if a new session has room on the Agent of this session after this session has ended."""
    request = placement_request_of(snapshot.image)
    old_request = replace(request, cores=old.cores, memory=old.memory)
    agents = [agent.without_session(old_request) for agent in snapshot.agents if agent.agent_id == old.agent_id]
    return bool(place(agents, request, snapshot.strategy).candidates)


def _shortfall(
    snapshot: PoolSnapshot, remaining: Sequence[PooledSession], unplaced: int, draft: _Draft, backoff: PoolFailures
) -> Shortfall | None:
    usable = sum(session.claimable for session in remaining)
    missing = snapshot.config.num_sessions - usable
    if missing <= 0 or snapshot.config.deleted:
        return None
    if unplaced > 0 and snapshot.waiting_users_text is not None:
        return shortfalls.waiting_users_shortfall(snapshot, snapshot.waiting_users_text, unplaced)
    if unplaced > 0 and draft.rejected is not None:
        return shortfalls.unplaced_shortfall(
            snapshot, unplaced, draft.rejected, ending=snapshot.ending + len(draft.ended)
        )
    if backoff.number:
        return shortfalls.failing_shortfall(snapshot, missing, backoff)
    if (failing_agents := shortfalls.failing_agents_shortfall(snapshot, remaining, missing)) is not None:
        return failing_agents
    return shortfalls.starting_shortfall(
        snapshot.config.num_sessions, missing, len(remaining) - usable + len(draft.creates)
    )
