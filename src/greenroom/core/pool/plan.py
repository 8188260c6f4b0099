"""The plan of a pool of staged sessions: the sessions to create, retire or destroy, and the shortfall.

The Primary calls `plan(snapshot)` in the transaction that locks the row of the config, with sessions counted after the
lock (docs/explanation/protocols.md §3), and writes the actions in the same transaction. Invariants, tested as
properties: after a plan at most Desired sessions count, plus one in rotation; sessions of users are not changed; no
session gets two actions; repeated planning converges; a pool below Desired always has a shortfall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from greenroom.core.launch.placement import Rejection, place, serves, session_of
from greenroom.core.pool import rotation, shortfalls
from greenroom.core.pool.model import (
    COMING,
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


@dataclass(slots=True)
class _Work:
    ended: dict[str, Action] = field(default_factory=dict[str, Action])
    creates: list[Create] = field(default_factory=list[Create])
    rejected: tuple[Rejection, ...] | None = None

    def end(self, session: PooledSession, reason: str) -> None:
        kind = Retire if session.claimable else Destroy
        self.ended.setdefault(session.session_id, kind(session.session_id, reason))


def plan(snapshot: PoolSnapshot) -> PoolPlan:
    """Return the actions that bring a pool closer to Desired."""
    work = _Work()
    failures = _remember_failures(snapshot, work)
    backing_off = shortfalls.longer_backoff(failures, shortfalls.after_breaks(snapshot.config.broken, snapshot.now))
    wanted, inhibited = _desired_number(snapshot)
    _end_unfit(snapshot, wanted, inhibited, work)
    counted = [s for s in snapshot.sessions if s.session_id not in work.ended and snapshot.counts(s)]
    places = wanted + _extra(counted, wanted)
    _shrink(counted, places, work)
    left = [s for s in counted if s.session_id not in work.ended]
    _end_left_behind(snapshot, left, wanted, work)

    missing = max(0, places - len(left))
    _fill(snapshot, _allowed(snapshot, left, missing, backing_off), missing, work)
    _end_drained(snapshot, work)
    is_settled = (
        places == wanted and not work.ended and not work.creates and (missing == 0 or work.rejected is not None)
    )
    if is_settled and _allowed(snapshot, left, 1, backing_off):
        _rotate(snapshot, left, work)
    left = [s for s in left if s.session_id not in work.ended]
    unplaced = places - len(left) - len(work.creates)
    return PoolPlan(
        actions=(*work.ended.values(), *work.creates),
        shortfall=inhibited or _shortfall(snapshot, left, unplaced, work, backing_off),
        failures=failures.number,
        last_error=failures.last_error,
        next_try=failures.next_try,
    )


def _remember_failures(snapshot: PoolSnapshot, work: _Work) -> PoolFailures:
    failed = [s for s in snapshot.sessions if s.status is SessionStatus.FAILED]
    for session in failed:
        error = (session.error or "no reason was given").rstrip(".")
        start = "It left the pool" if session.was_usable else "The start failed"
        work.end(session, f"{start}: {error}.")
    return shortfalls.after(snapshot.config, [s for s in failed if not s.was_usable], snapshot.now)


def _desired_number(snapshot: PoolSnapshot) -> tuple[int, Shortfall | None]:
    config = snapshot.config
    if config.deleted or config.num_sessions == 0:
        return 0, None
    if (barred := shortfalls.barrier(snapshot.image, snapshot.zone)) is not None:
        return 0, barred
    missing = config.num_sessions - sum(snapshot.counts(session) for session in snapshot.sessions)
    if config.paused and missing > 0:
        return config.num_sessions, shortfalls.paused(config.num_sessions, missing)
    return config.num_sessions, None


def _end_unfit(snapshot: PoolSnapshot, wanted: int, inhibited: Shortfall | None, work: _Work) -> None:
    for session in snapshot.sessions:
        if wanted == 0:
            work.end(
                session,
                inhibited.reason if inhibited else "The staging config is deleted, or its number of sessions is 0.",
            )
        elif snapshot.expired(session):
            work.end(session, f"Its expiration of {snapshot.config.expiration:g} h has passed.")
        elif not snapshot.is_in_zone(session):
            work.end(session, f"Its Agent is not in zone {snapshot.zone.zone_name} any more.")
        elif session.config_hash != snapshot.config.config_hash:
            work.end(session, "The workspace, the staging config or the zone was changed after it was created.")
        elif session.status in COMING and (why := snapshot.outdated(session)) is not None:
            work.end(session, f"It is not usable yet, and {why}.")


def _extra(counted: Sequence[PooledSession], wanted: int) -> int:
    """Return 1 if a replacement is starting, unless the pool must shrink anyway; 0 otherwise."""
    return int(rotation.in_rotation(counted) is not None and len(counted) <= wanted + 1)


def _shrink(counted: Sequence[PooledSession], places: int, work: _Work) -> None:
    """End the sessions beyond `places`: replaced ones, then unusable ones (newest first), then the oldest."""
    excess = max(0, len(counted) - places)
    replaced = rotation.replaced(counted)[:excess]
    for session in replaced:
        work.end(session, "Its replacement is ready.")
    coming = sorted((s for s in counted if not s.claimable), key=lambda s: (s.created, s.session_id), reverse=True)
    usable = sorted((s for s in counted if s.claimable and s not in replaced), key=lambda s: (s.created, s.session_id))
    for session in [*coming, *usable][: excess - len(replaced)]:
        work.end(session, f"{len(counted)} are staged, and {places} are needed.")


def _end_left_behind(snapshot: PoolSnapshot, left: Sequence[PooledSession], wanted: int, work: _Work) -> None:
    """End the sessions on disabled or draining Agents when the pool is full without them."""
    if sum(s.claimable for s in left) < wanted:
        return
    leaving = {a.agent_id: a for a in snapshot.agents if a.status == "running" and not serves(a)}
    for session in snapshot.sessions:
        agent = leaving.get(session.agent_id)
        if agent is not None:
            work.end(session, f"{agent.hostname} takes no new sessions, and the pool is full without it.")


def _end_drained(snapshot: PoolSnapshot, work: _Work) -> None:
    """End sessions on draining Agents that cannot be replaced elsewhere: they cannot be claimed."""
    waits = work.rejected is None or any(rejection.will_pass for rejection in work.rejected)
    if not snapshot.config.paused and (waits or snapshot.leaving > 0 or work.ended):
        return
    draining = {a.agent_id: a for a in snapshot.agents if a.status == "running" and a.draining}
    for session in snapshot.sessions:
        agent = draining.get(session.agent_id)
        if agent is not None:
            why = "the config is paused" if snapshot.config.paused else "no other Agent has room for it"
            work.end(session, f"{agent.hostname} is draining, and {why}.")


def _allowed(snapshot: PoolSnapshot, left: Sequence[PooledSession], missing: int, failures: PoolFailures) -> int:
    if snapshot.config.paused or snapshot.people_waiting is not None or failures.waits(snapshot.now):
        return 0
    if failures.number:  # one attempt at a time until a start succeeds
        return 0 if any(s.status in COMING for s in left) else min(missing, 1)
    return min(missing, MAX_CREATES)


def _fill(snapshot: PoolSnapshot, allowed: int, missing: int, work: _Work) -> None:
    request = session_of(snapshot.image)
    agents = {agent.agent_id: agent for agent in snapshot.agents}
    desired = snapshot.config.num_sessions
    for number in range(allowed):
        placement = place(tuple(agents.values()), request, snapshot.strategy)
        if not placement.candidates:
            work.rejected = placement.rejected
            return
        choice = shortfalls.chosen(placement.candidates, snapshot.failed_on)
        agent = choice.agent
        agents[agent.agent_id] = agent.with_one_more(request)
        where = f"placed on {agent.hostname}{choice.instead}"
        work.creates.append(Create(agent.agent_id, f"{desired - missing + number} of {desired} staged; {where}."))


def _rotate(snapshot: PoolSnapshot, left: Sequence[PooledSession], work: _Work) -> None:
    """Start the replacement of one session, if one is due and the pool is as full as possible.

    If there is no room for the replacement, an expiring session stays until it expires. An outdated session then ends
    before its replacement starts, because it would otherwise never be replaced, but only if all other sessions are
    claimable and the replacement fits in its place. If the workspace has become too large for that, its old sessions
    stay until they expire.
    """
    # An earlier replacement may be starting although its original was claimed; it then refills the pool.
    is_coming = any(session.status in COMING and session.replaces for session in snapshot.sessions)
    found = None if is_coming else rotation.next_to_replace(snapshot, left)
    if found is None:
        return
    old, why = found
    placement = place(snapshot.agents, session_of(snapshot.image), snapshot.strategy)
    if placement.candidates:
        choice = shortfalls.chosen(placement.candidates, snapshot.failed_on)
        where = f"placed on {choice.agent.hostname}{choice.instead}"
        reason = f"it replaces {old.session_id}, because {why}; {where}."
        work.creates.append(Create(choice.agent.agent_id, reason, replaces=old.session_id))
        return
    if snapshot.leaving > 0 or not all(session.claimable for session in left):
        return
    outdated = (found for found in rotation.outdated(snapshot, left) if _fits_instead(snapshot, found[0]))
    if (first := next(outdated, None)) is not None:
        old, why = first
        work.end(old, f"It ends because {why}, and there is no room for its replacement at the same time.")
        work.rejected = placement.rejected


def _fits_instead(snapshot: PoolSnapshot, old: PooledSession) -> bool:
    """True if a new session has room on the Agent of this session after this session has ended."""
    request = session_of(snapshot.image)
    left = replace(request, cores=old.cores, memory=old.memory)
    agents = [agent.without(left) for agent in snapshot.agents if agent.agent_id == old.agent_id]
    return bool(place(agents, request, snapshot.strategy).candidates)


def _shortfall(
    snapshot: PoolSnapshot, left: Sequence[PooledSession], unplaced: int, work: _Work, backing_off: PoolFailures
) -> Shortfall | None:
    usable = sum(session.claimable for session in left)
    short = snapshot.config.num_sessions - usable
    if short <= 0 or snapshot.config.deleted:
        return None
    if unplaced > 0 and snapshot.people_waiting is not None:
        return shortfalls.people_first(snapshot, snapshot.people_waiting, unplaced)
    if unplaced > 0 and work.rejected is not None:
        return shortfalls.unplaced(snapshot, unplaced, work.rejected, leaving=snapshot.leaving + len(work.ended))
    if backing_off.number:
        return shortfalls.failing(snapshot, short, backing_off)
    if (failing_agents := shortfalls.failing_agents(snapshot, left, short)) is not None:
        return failing_agents
    return shortfalls.starting(snapshot.config.num_sessions, short, len(left) - usable + len(work.creates))
