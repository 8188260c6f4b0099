"""Makes the attempts of a launch plan (`core.launch.plan`) in order until one gives a session; stores the result."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, Protocol

import msgspec
import structlog
from psycopg.types.json import Jsonb

from greenroom.core.errors import GreenroomError
from greenroom.core.events import ChangeEvent, session_events
from greenroom.core.launch.eviction import AgentWithRoom, StartingSession, events_of, placement_reason
from greenroom.core.launch.plan import (
    LaunchAttempt,
    Miss,
    PoolContents,
    StagedPool,
    TraceStep,
    concurrency_miss,
    missed_steps,
    pool_miss,
    success_step,
)
from greenroom.core.launch.request import Launch
from greenroom.core.launch.wanted import RequestedSession, SessionUser, SpecMaker
from greenroom.core.log_codes import LogCode
from greenroom.core.workspace.session_spec import Exec, SessionFile
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.launch import claims
from greenroom.db.launch.claims import ClaimedSession, LedgerLine, PoolClaim
from greenroom.db.launch.ledger import FAILED_LAUNCHES, FailedLaunch
from greenroom.db.launch.on_demand import insert_for_user, read_agents, read_starting_staged, store_waiting_user
from greenroom.db.session.sessions import NewSession, StagingDetails
from greenroom.kit.secrets import Secrets, new_secret
from greenroom.kit.stops import hold_function, hold_if_armed
from greenroom.wire.messages import Assignment


def new_session(
    secrets: Secrets,
    make_spec: SpecMaker,
    *,
    zone_id: str,
    agent_id: str,
    memory: int,
    permissions: Mapping[str, bool],
    user: SessionUser | None = None,
    staged: StagingDetails | None = None,
    term: int | None = None,
) -> NewSession:
    """Build a session for a user or a pool, with a new id and a new credential. Raises GreenroomError: from
    `make_spec`."""
    session_id = str(uuid.uuid4())
    spec = make_spec(session_id=session_id, credential=new_secret())
    return NewSession(
        session_id=session_id,
        zone_id=zone_id,
        agent_id=agent_id,
        spec=spec,
        memory=memory,
        permissions=permissions,
        credential_encrypted=secrets.encrypt(spec.credential),
        files_encrypted=_encrypted(secrets, spec.files),
        user=user,
        staged=staged,
        term=term,
    )


def _encrypted(secrets: Secrets, files: Sequence[SessionFile]) -> bytes | None:
    return secrets.encrypt(json.dumps([asdict(file) for file in files])) if files else None


log = structlog.get_logger(__name__)

MAX_PLACEMENT_TRIES: Final = 3
"""The maximum number of times that the Agents are read for one session. Another launch may use the free capacity before
the session is inserted; the Agents are then read again."""


class Writer(Protocol):
    """Writes a session of a user with all rows that belong to it, in one transaction."""

    async def claim(self, claim: PoolClaim, steps: Sequence[TraceStep]) -> ClaimedSession | PoolContents:
        """Give the user a staged session, or return the contents of the pool. `steps` is the trace of the launch."""
        ...

    async def insert(self, new: NewSession, room: AgentWithRoom, steps: Sequence[TraceStep]) -> bool:
        """Insert the session of the user; return False if `room` is taken. `steps` is the trace of the launch."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedSession:
    """A committed session of a user.

    `reason` is the sentence for the trace and the log. `steps` is the trace of the launch. `evicted` are the staged
    sessions that end to make room. `edge_url` is the address of the edge gateway of its Agent; empty if it has none.
    """

    session_id: str
    agent_id: str
    edge_url: str
    attempt: LaunchAttempt
    reason: str
    steps: tuple[TraceStep, ...]
    auth_epoch: int = 1
    evicted: tuple[StartingSession, ...] = ()

    @property
    def events(self) -> set[ChangeEvent]:
        pool = self.attempt.pool
        return events_of(self.evicted) | session_events(
            self.session_id,
            agent_id=self.agent_id,
            staging_config_id=pool.staging_config_id if pool else None,
        )

    def log_evictions(self, logs: LogWriter, user: str) -> None:
        """Log a row for each staged session that ends to make room. `user` is the part of the sentence about the
        user."""
        for session in self.evicted:
            logs.write(
                LogCode.STAGED_SESSION_ENDED,
                f"A staged session ends before it was usable: it made room for {user}; launches of users have "
                "priority.",
                zone_name=self.attempt.zone.zone_name,
                session_id=session.session_id,
                staging_config_id=session.staging_config_id,
            )


Misses = Sequence[Miss]
"""The reasons why an attempt gave no session."""


@dataclass(frozen=True, slots=True)
class MissedAttempt:
    """An attempt that gave no session, with the reasons."""

    attempt: LaunchAttempt
    misses: Misses


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search for a session of a user. `missed_attempts` is complete even if `run` raises an error."""

    db: Database
    secrets: Secrets
    requested: RequestedSession
    writer: Writer
    tolerated: tuple[type[GreenroomError], ...] = ()
    """The errors that end only their attempt; the search continues with the next attempt."""
    missed_attempts: list[MissedAttempt] = field(default_factory=list[MissedAttempt])

    @property
    def trace(self) -> list[TraceStep]:
        """The steps of the attempts so far."""
        return [step for missed in self.missed_attempts for step in missed_steps(missed.attempt, missed.misses)]

    @property
    def on_demand_misses(self) -> list[Miss]:
        """The misses of the attempts on demand."""
        return [miss for missed in self.missed_attempts if not missed.attempt.staged for miss in missed.misses]

    async def run(self, attempts: Sequence[LaunchAttempt]) -> PlacedSession | None:
        """Try the attempts in their order; return the first session, or None."""
        for attempt in attempts:
            try:
                result = attempt.misses or await (
                    self._place(attempt) if attempt.pool is None else self._claim(attempt, attempt.pool)
                )
            except self.tolerated as error:
                log.error("an attempt failed", user_id=self.requested.user.user_id, reason=error.message)
                result = (Miss(error.code, error.message),)
            if isinstance(result, PlacedSession):
                return result
            self.missed_attempts.append(MissedAttempt(attempt, result))
        return None

    async def _claim(self, attempt: LaunchAttempt, pool: StagedPool) -> PlacedSession | Misses:
        """Claim a staged session for the user, or return the reasons why there is none."""
        requested, zone = self.requested, attempt.zone
        assignment = _assignment(requested.assign)
        claim = PoolClaim(
            user=requested.user,
            staging_config_id=pool.staging_config_id,
            config_hash=attempt.config_hash,
            assignment_id=assignment.assignment_id,
            assignment=msgspec.structs.asdict(assignment),
        )
        reason = requested.with_remark(
            f"A staged session of zone {zone.zone_name} was assigned{requested.origin_suffix}."
        )
        steps = (*self.trace, success_step(attempt, pool.staging_config_id, reason))
        claimed = await self.writer.claim(claim, steps)
        if isinstance(claimed, PoolContents):
            return (pool_miss(claimed, requested.image, zone),)
        return PlacedSession(
            session_id=claimed.session_id,
            agent_id=claimed.agent_id,
            edge_url=claimed.edge_url,
            auth_epoch=claimed.auth_epoch,
            attempt=attempt,
            reason=reason,
            steps=steps,
        )

    async def _place(self, attempt: LaunchAttempt) -> PlacedSession | Misses:
        """Create a session in the zone of the attempt, or return the reasons why no Agent can run it. The staged
        sessions that could be evicted are read only if no Agent has free room."""
        requested, zone, full_hostnames = self.requested, attempt.zone, list[str]()
        for _ in range(MAX_PLACEMENT_TRIES):
            agents = await read_agents(self.db, zone.zone_id, requested.request.image)
            zone_room = requested.find_room(zone, agents)
            if not zone_room.agents:
                zone_room = requested.find_room(zone, agents, await read_starting_staged(self.db, zone.zone_id))
            if not zone_room.agents:
                if requested.refused_user_waits:
                    await store_waiting_user(
                        self.db,
                        zone_id=zone.zone_id,
                        user_id=requested.user.user_id,
                        image_id=requested.image.image_id,
                        room_helps=zone_room.room_helps,
                    )
                return zone_room.misses
            for room in zone_room.agents:
                new = new_session(
                    self.secrets,
                    requested.spec_maker_for(zone),
                    zone_id=zone.zone_id,
                    agent_id=room.agent.agent_id,
                    memory=requested.request.memory,
                    permissions=requested.permissions,
                    user=requested.user,
                )
                reason = requested.with_remark(placement_reason(room, zone.zone_name, requested.origin_suffix))
                step = success_step(attempt, room.agent.hostname, reason)
                steps = (*self.trace, *missed_steps(attempt, zone_room.misses), step)
                if await self.writer.insert(new, room, steps):
                    return PlacedSession(
                        session_id=new.session_id,
                        agent_id=new.agent_id,
                        edge_url=room.agent.edge_url,
                        attempt=attempt,
                        reason=reason,
                        steps=steps,
                        evicted=room.evicted,
                    )
            full_hostnames = [room.agent.hostname for room in zone_room.agents]
        return (concurrency_miss(full_hostnames),)


def _assignment(assign: Exec) -> Assignment:
    return Assignment(
        assignment_id=str(uuid.uuid4()),
        argv=list(assign.argv),
        user=assign.user,
        env=assign.environment,
        workdir=assign.workdir,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchWriter:
    """A `Writer` for a launch that began at `begin_s` (perf_counter).

    `claim` and `insert` raise SessionLimit or LeaseLimit (the limit of the user is reached), RepeatedRequest (another
    request used the idempotency key meanwhile) and IdempotencyMismatch (a different request used it).
    """

    db: Database
    launch: Launch
    begin_s: float

    async def claim(self, claim: PoolClaim, steps: Sequence[TraceStep]) -> ClaimedSession | PoolContents:
        claimed = await claims.claim(
            self.db,
            claim,
            self._ledger_line(steps),
            max_sessions=self.launch.max_sessions,
            after_user_lock=hold_function("claim.after_user_lock"),
        )
        if isinstance(claimed, ClaimedSession):
            await hold_if_armed("claim.after_commit")
        return claimed

    async def insert(self, new: NewSession, room: AgentWithRoom, steps: Sequence[TraceStep]) -> bool:
        """Insert the session, as `Writer.insert`. Raises ProfileInUse: another session uses the home of the user in
        this workspace."""
        await hold_if_armed("launch.before_insert")
        placed = await insert_for_user(
            self.db,
            new,
            self._ledger_line(steps),
            max_sessions=self.launch.max_sessions,
            evicted=room.evicted,
        )
        if placed:
            await hold_if_armed("launch.after_insert")
        return placed

    async def record_failure(self, steps: Sequence[TraceStep]) -> None:
        """Store a launch for which no attempt gave a session."""
        failed = FailedLaunch(
            launch_id=self.launch.launch_id,
            user_id=self.launch.request.user_id,
            image_id=self.launch.image.image_id,
            steps=steps,
            duration_ms=self.duration_s() * 1000,
        )
        await self.db.write(FAILED_LAUNCHES, {"rows": Jsonb([failed])})

    def duration_s(self) -> float:
        return time.perf_counter() - self.begin_s

    def _ledger_line(self, steps: Sequence[TraceStep]) -> LedgerLine:
        return LedgerLine(
            steps=steps,
            duration_ms=self.duration_s() * 1000,
            current_zone_id=self.launch.current_zone_id,
            request_host=self.launch.request.request_host,
        )
