"""What a pool of staged sessions needs now: sessions to create, to retire or to destroy, and why it is short.

Pure: `plan(snapshot)` is called by the Primary inside the transaction that holds the config's row, with the sessions
counted after the lock (PROTOCOLS §3), and its actions are written in the same transaction. Invariants, tested as
properties: never more than Desired counted sessions after a plan, nobody's session is touched, no session gets two
actions, applying plans again and again comes to rest, and a pool that is short always says why.

Words: a session *counts* when it is or will be claimable: current, not expired, on an Agent that is there and enabled.
*Retire* takes a claimable session out of the pool (guarded by `claimable AND user_id IS NULL`: no row = somebody
claimed it meanwhile); *destroy* ends one that was not claimable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from greenroom.core.placement import AgentView, PlacementRequest, Rejection, Strategy, megabytes, place, shown_cores
from greenroom.core.specs import ImageFacts, ZoneFacts
from greenroom.core.states import SessionStatus

ShortfallCode = Literal[
    "starting",
    "no-capacity",
    "no-agent",
    "image-disabled",
    "image-unavailable",
    "image-pulling",
    "start-failing",
    "zone-request-host",
    "no-running-manager",
    "paused",
]

BACKOFF_FIRST_S: Final = 2.0
BACKOFF_MOST_S: Final = 300.0
"""Pause after the first failed start, doubled with each further one in a row, and its ceiling."""

MOST_CREATES: Final = 32
"""Sessions inserted by one plan, so that its transaction stays short; the rest follow in the next round."""

_COMING: Final = frozenset({SessionStatus.REQUESTED, SessionStatus.STARTING})


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """A staging config with its memory of failed starts. `expiration_h` is hours."""

    staging_config_id: str
    num_sessions: int
    expiration_h: float
    paused: bool = False
    deleted: bool = False
    config_hash: str = ""
    failures: int = 0
    last_error: str | None = None
    next_try: datetime | None = None
    last_success: datetime | None = None
    """When the newest session that ever became usable was created."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledSession:
    """A session of the config without a user, and not yet on its way out."""

    session_id: str
    agent_id: str
    status: SessionStatus
    claimable: bool
    created: datetime
    expires: datetime | None
    config_hash: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSnapshot:
    """Everything a plan depends on; `agents` are those of the zone with the state of the config's image."""

    now: datetime
    config: PoolConfig
    image: ImageFacts
    zone: ZoneFacts
    strategy: Strategy
    sessions: tuple[PooledSession, ...]
    agents: tuple[AgentView, ...]


@dataclass(frozen=True, slots=True)
class Create:
    """Insert a session on this Agent."""

    agent_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Take a claimable session out of the pool and end it, unless it was claimed meanwhile."""

    session_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Destroy:
    """End a session that is not claimable."""

    session_id: str
    reason: str


Action = Create | Retire | Destroy


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why the pool is below Desired."""

    code: ShortfallCode
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """The actions in the order in which they are to be applied, and what the config remembers from now on."""

    actions: tuple[Action, ...]
    shortfall: Shortfall | None
    failures: int
    last_error: str | None
    next_try: datetime | None

    @property
    def creates(self) -> tuple[Create, ...]:
        """The sessions to insert."""
        return tuple(action for action in self.actions if isinstance(action, Create))


@dataclass(slots=True)
class _Work:
    """What one plan gathers while it is made."""

    ended: dict[str, Action] = field(default_factory=dict[str, Action])
    creates: list[Create] = field(default_factory=list[Create])

    def end(self, session: PooledSession, reason: str) -> None:
        kind = Retire if session.claimable else Destroy
        self.ended.setdefault(session.session_id, kind(session.session_id, reason))


def plan(snapshot: PoolSnapshot) -> PoolPlan:
    """Bring one pool towards Desired."""
    work = _Work()
    failures, last_error, next_try = _remember_failures(snapshot, work)
    wanted, inhibited = _wanted(snapshot)
    _end_unfit(snapshot, wanted, work)
    counted = [s for s in snapshot.sessions if s.session_id not in work.ended and _counts(s, snapshot)]
    _shrink(counted, wanted, work)
    left = [s for s in counted if s.session_id not in work.ended]
    _end_left_behind(snapshot, left, wanted, work)

    missing = max(0, wanted - len(left))
    waiting = next_try is not None and snapshot.now < next_try
    allowed = 0 if waiting or snapshot.config.paused else min(missing, 1 if failures else MOST_CREATES)
    if failures and any(s.status in _COMING for s in left):
        allowed = 0  # one trial at a time until a start succeeds
    rejected = _create(snapshot, allowed, missing, work)
    shortfall = (
        inhibited
        or _unplaced(snapshot, missing - len(work.creates), allowed - len(work.creates), rejected)
        or _failing(snapshot, left, failures, last_error, next_try)
        or _starting(snapshot, left, len(work.creates))
    )
    return PoolPlan(
        actions=(*work.ended.values(), *work.creates),
        shortfall=shortfall,
        failures=failures,
        last_error=last_error,
        next_try=next_try,
    )


def backoff_s(failures: int) -> float:
    """Seconds to wait after the given number of failed starts in a row."""
    return min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2 ** min(max(failures, 1) - 1, 20))


def expires_at(now: datetime, config: PoolConfig) -> datetime:
    """When a session created now is due to be replaced."""
    return now + timedelta(hours=config.expiration_h)


def _remember_failures(snapshot: PoolSnapshot, work: _Work) -> tuple[int, str | None, datetime | None]:
    """Count failed starts, put their rows away, and forget earlier failures once a later start succeeded."""
    config = snapshot.config
    failed = [s for s in snapshot.sessions if s.status is SessionStatus.FAILED]
    for session in failed:
        work.end(session, f"The start failed: {session.error or 'no reason was given'}.")
    # Sessions created together fail together: that is one failure. A later one counts when it was a new try.
    if any(config.next_try is None or s.created >= config.next_try for s in failed):
        count = config.failures + 1
        newest = max(failed, key=lambda s: (s.created, s.session_id))
        return count, newest.error or "no reason was given", snapshot.now + timedelta(seconds=backoff_s(count))
    if config.next_try is not None and config.last_success is not None and config.last_success >= config.next_try:
        return 0, None, None
    return config.failures, config.last_error, config.next_try


def _wanted(snapshot: PoolSnapshot) -> tuple[int, Shortfall | None]:
    """How many sessions there should be, and what keeps the pool from having Desired."""
    config, image, zone = snapshot.config, snapshot.image, snapshot.zone
    if config.deleted or config.num_sessions == 0:
        return 0, None
    if (barred := barrier(image, zone)) is not None:
        return 0, barred
    counted = sum(_counts(s, snapshot) for s in snapshot.sessions)
    if config.paused and counted < config.num_sessions:
        return config.num_sessions, Shortfall(
            "paused",
            f"{config.num_sessions - counted} of {config.num_sessions} not staged: the config is paused,"
            " so it assigns no session and creates none.",
        )
    return config.num_sessions, None


def barrier(image: ImageFacts, zone: ZoneFacts) -> Shortfall | None:
    """What keeps any session of this workspace from being staged in this zone."""
    if settings := zone.needs_request_host():
        return Shortfall(
            "zone-request-host",
            f"Nothing is staged: {' and '.join(settings)} of zone {zone.zone_name} {_is(settings)} $request_host$,"
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


def _is(settings: Sequence[str]) -> str:
    return "are" if len(settings) > 1 else "is"


def _end_unfit(snapshot: PoolSnapshot, wanted: int, work: _Work) -> None:
    for session in snapshot.sessions:
        if wanted == 0:
            work.end(session, "No session of this staging config is wanted.")
        elif _expired(session, snapshot.now):
            work.end(session, f"Its expiration of {snapshot.config.expiration_h:g} h has passed.")
        elif session.config_hash != snapshot.config.config_hash:
            work.end(session, "The workspace, the staging config or the zone was changed after it was created.")


def _expired(session: PooledSession, now: datetime) -> bool:
    return session.expires is not None and session.expires <= now


def _counts(session: PooledSession, snapshot: PoolSnapshot) -> bool:
    return (
        (session.claimable or session.status in _COMING)
        and session.config_hash == snapshot.config.config_hash
        and not _expired(session, snapshot.now)
        and any(a.agent_id == session.agent_id and _serves(a) for a in snapshot.agents)
    )


def _serves(agent: AgentView) -> bool:
    return agent.status == "running" and agent.enabled and not agent.draining


def _shrink(counted: Sequence[PooledSession], wanted: int, work: _Work) -> None:
    """Not yet usable ones go first, the newest of them first; then the oldest."""
    coming = sorted((s for s in counted if not s.claimable), key=lambda s: (s.created, s.session_id), reverse=True)
    usable = sorted((s for s in counted if s.claimable), key=lambda s: (s.created, s.session_id))
    for session in [*coming, *usable][: max(0, len(counted) - wanted)]:
        work.end(session, f"{len(counted)} are staged and {wanted} are wanted.")


def _end_left_behind(snapshot: PoolSnapshot, left: Sequence[PooledSession], wanted: int, work: _Work) -> None:
    """Sessions on a disabled or draining Agent go once the pool is full without them."""
    if sum(s.claimable for s in left) < wanted:
        return
    leaving = {a.agent_id: a for a in snapshot.agents if a.status == "running" and not _serves(a)}
    for session in snapshot.sessions:
        agent = leaving.get(session.agent_id)
        if agent is not None:
            work.end(session, f"{agent.hostname} takes no new sessions, and the pool is full without it.")


def _create(snapshot: PoolSnapshot, allowed: int, missing: int, work: _Work) -> tuple[Rejection, ...]:
    """Place up to `allowed` sessions one after the other; returns why the next one could not be placed."""
    image = snapshot.image
    request = PlacementRequest(
        image=image.name, cores=image.cores, memory=image.memory, only_agent_id=image.only_agent_id
    )
    agents = {agent.agent_id: agent for agent in snapshot.agents}
    desired = snapshot.config.num_sessions
    for number in range(allowed):
        placement = place(tuple(agents.values()), request, snapshot.strategy)
        if not placement.candidates:
            return placement.rejected
        chosen = placement.candidates[0]
        agents[chosen.agent_id] = chosen.with_one_more(image.cores, image.memory)
        work.creates.append(
            Create(chosen.agent_id, f"{desired - missing + number} of {desired} staged; placed on {chosen.hostname}.")
        )
    return ()


def _failing(
    snapshot: PoolSnapshot,
    left: Sequence[PooledSession],
    failures: int,
    last_error: str | None,
    next_try: datetime | None,
) -> Shortfall | None:
    desired, usable = snapshot.config.num_sessions, sum(s.claimable for s in left)
    if not failures or usable >= desired or snapshot.config.deleted:
        return None
    waits = next_try is not None and snapshot.now < next_try
    when = f"next try at {next_try:%H:%M:%S} UTC" if waits and next_try else "trying again now"
    return Shortfall(
        "start-failing",
        f"{desired - usable} of {desired} not staged: {failures} {'start' if failures == 1 else 'starts'} in a row"
        f" failed, the last with: {(last_error or '').rstrip('.')}; {when}.",
    )


def _unplaced(snapshot: PoolSnapshot, missing: int, refused: int, rejected: Sequence[Rejection]) -> Shortfall | None:
    """Why sessions could not be placed: the code of what would have to change for the next one to fit."""
    if refused <= 0:
        return None
    desired, zone = snapshot.config.num_sessions, snapshot.zone.zone_name
    start = f"{missing} of {desired} not staged:"
    details = "; ".join(r.reason for r in rejected)
    codes = {r.code for r in rejected}
    if "no_capacity" in codes:
        image = snapshot.image
        return Shortfall(
            "no-capacity",
            f"{start} no Agent in zone {zone} has {shown_cores(image.cores)} cores and {megabytes(image.memory)}"
            f" free ({details}).",
        )
    if "image_unavailable" in codes:
        pulling = any(r.agent.image_state == "pulling" for r in rejected)
        return Shortfall("image-pulling" if pulling else "image-unavailable", f"{start} {details}.")
    return Shortfall("no-agent", f"{start} {details or f'zone {zone} has no Agent'}.")


def _starting(snapshot: PoolSnapshot, left: Sequence[PooledSession], created: int) -> Shortfall | None:
    coming = created + sum(not s.claimable for s in left)
    if coming == 0 or snapshot.config.deleted:
        return None
    verb = "it is" if coming == 1 else "they are"
    return Shortfall("starting", f"{coming} of {snapshot.config.num_sessions} not staged yet: {verb} starting.")


def shown_shortfall(
    stored: Shortfall | None, *, num_sessions: int, current: int, starting: int, has_manager: bool
) -> Shortfall | None:
    """What a reader is told now, between the Primary's rounds.

    Args:
        stored: what the Primary wrote down last.
        num_sessions: Desired.
        current: claimable sessions now.
        starting: sessions on their way now.
        has_manager: whether any Manager of the zone runs, so that somebody fills the pool at all.
    """
    missing = num_sessions - current
    if missing <= 0:
        return None
    if not has_manager:
        return Shortfall(
            "no-running-manager",
            f"{missing} of {num_sessions} not staged: no Manager of the zone is running, so nobody fills the pool.",
        )
    if stored is not None:
        return stored
    noun = f"{starting} of them {'is' if starting == 1 else 'are'} starting" if starting else "they are about to start"
    return Shortfall("starting", f"{missing} of {num_sessions} not staged yet: {noun}.")
