"""Launch a session: one snapshot, one plan, then its attempts one after the other until one gives a session.

The reply never waits for a container: a claimed or inserted row is the answer, what follows is the Agent's. Every
launch leaves a trace in the ledger, every violated setting a WARNING in the log.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from greenroom.api.launch_plan import (
    Launch,
    LaunchRequest,
    assignment_of,
    extras_of,
    planned,
    repeated_session,
)
from greenroom.core.errors import NoResources, NotFound, Refused
from greenroom.core.launching import (
    Attempt,
    Miss,
    PoolContents,
    TraceStep,
    missed,
    no_resources_reason,
    passed_over,
    placement_misses,
    pool_miss,
    used,
)
from greenroom.core.placement import AgentView, PlacementRequest, place
from greenroom.core.settings import permissions_of
from greenroom.core.specs import fingerprint, on_demand_spec
from greenroom.db import facts as rows
from greenroom.db.claims import Claim, claim
from greenroom.db.database import Database
from greenroom.db.launches import read_agents, read_launch, read_result, record_failed_launch
from greenroom.db.logs import LogWriter
from greenroom.db.notifier import Notifier
from greenroom.db.sessions import NewSession, RepeatedRequest, insert_for_user
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import Secrets, new_secret
from greenroom.kit.stops import hold, stop

__all__ = ["LaunchRequest", "LaunchResult", "Launcher", "spec_json"]

PLACEMENT_ROUNDS: Final = 3
"""How often the Agents are looked at anew when others take the room in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchResult:
    """The session a user got. `token` opens its stream, `staged` tells whether it came from a pool."""

    session_id: str
    user_id: str
    username: str
    token: str
    status: str
    staged: bool
    repeated: bool = False
    """It is the session of an earlier request with the same idempotency key."""


@dataclass(frozen=True, slots=True)
class _Got:
    """A committed session."""

    session_id: str
    agent_id: str
    auth_epoch: int
    reason: str


class Launcher:
    """Launches sessions for the two HTTP interfaces."""

    def __init__(self, db: Database, secrets: Secrets, logs: LogWriter, config: ApiConfig) -> None:
        self._db = db
        self._secrets = secrets
        self._logs = logs
        self._config = config
        self._notifier = Notifier(db)

    async def launch(self, request: LaunchRequest) -> LaunchResult:
        """Give the user a session, staged or on demand, in the documented order over zones.

        Raises:
            NotFound: there is no such user, workspace or zone.
            Forbidden: the user is disabled, or may not use the workspace.
            SessionLimit: `max_kasms_per_user` is reached.
            IdempotencyMismatch: the key was used for a different request.
            NoResources: nothing could serve it; the message says what is missing where.
        """
        begin_s = time.perf_counter()
        snapshot = await read_launch(self._db, request.user_id, request.image_id, request.idempotency_key)
        if (repeated := repeated_session(snapshot, request)) is not None:
            return await self._result_of(repeated, request.user_id)
        launch = planned(request, snapshot, begin_s)
        trace: list[TraceStep] = []
        try:
            for attempt in launch.attempts:
                got = await self._try(launch, attempt, trace)
                if got is not None:
                    return self._succeeded(launch, attempt, got)
        except RepeatedRequest as winner:
            return await self._result_of(winner.session_id, request.user_id)
        raise await self._failed(launch, trace)

    async def _try(self, launch: Launch, attempt: Attempt, trace: list[TraceStep]) -> _Got | None:
        """One attempt; what came of it is added to the trace."""
        if attempt.misses:
            trace += passed_over(attempt)
            self._log_violations(launch, attempt)
            return None
        try_it = self._claim if attempt.staged else self._create
        got, misses = await try_it(launch, attempt, trace)
        if got is None:
            trace += missed(attempt, misses)
            if attempt.staged:
                self._log_missed_pool(launch, attempt, misses)
        return got

    async def _claim(
        self, launch: Launch, attempt: Attempt, trace: Sequence[TraceStep]
    ) -> tuple[_Got | None, list[Miss]]:
        pool, request, zone = attempt.pool, launch.request, attempt.zone
        if pool is None:
            raise AssertionError("a staged attempt without misses has a pool")
        assignment_id = str(uuid.uuid4())
        reason = f"A staged session of zone {zone.zone_name} was assigned."
        row, contents = await claim(
            self._db,
            Claim(
                user_id=request.user_id,
                staging_config_id=pool.staging_config_id,
                config_hash=fingerprint(launch.image, zone.facts, pool.permissions, pool.revision),
                launch_id=launch.launch_id,
                assignment_id=assignment_id,
                assignment=assignment_of(launch, assignment_id),
                max_sessions=launch.max_sessions,
                keepalive_s=launch.keepalive_s,
                kasm_url=request.kasm_url,
                idempotency_key=request.idempotency_key,
                idempotency_body=request.body() if request.idempotency_key else None,
                client_settings=launch.client_settings(),
                steps=_ledger(trace, used(attempt, pool.staging_config_id, reason)),
                duration_ms=launch.elapsed_ms(),
            ),
            after_user_lock=hold("claim.after_user_lock"),
        )
        if row is None:
            return None, [pool_miss(PoolContents(**contents), launch.image, zone)]
        await stop("claim.after_commit")
        return _Got(str(row["session_id"]), str(row["agent_id"]), row["auth_epoch"], reason), []

    async def _create(
        self, launch: Launch, attempt: Attempt, trace: Sequence[TraceStep]
    ) -> tuple[_Got | None, list[Miss]]:
        image, zone = launch.image, attempt.zone
        wanted = PlacementRequest(
            image=image.name, cores=image.cores, memory=image.memory, only_agent_id=image.only_agent_id
        )
        taken: list[str] = []
        for _ in range(PLACEMENT_ROUNDS):
            agents = [rows.agent_view(row) for row in await read_agents(self._db, zone.zone_id, image.name)]
            placement = place(agents, wanted, zone.load_balancing_strategy)
            if not placement.candidates:
                return None, placement_misses(zone, placement)
            taken = [agent.hostname for agent in placement.candidates]
            before = [*trace, *missed(attempt, placement_misses(zone, placement))]
            for agent in placement.candidates:
                got = await self._insert(launch, attempt, agent, before)
                if got is not None:
                    return got, []
        reason = f"The room on {', '.join(taken)} was taken by other launches at the same moment."
        return None, [Miss("no_capacity", reason)]

    async def _insert(
        self, launch: Launch, attempt: Attempt, agent: AgentView, trace: Sequence[TraceStep]
    ) -> _Got | None:
        request, image, zone = launch.request, launch.image, attempt.zone
        reason = f"A new session was placed on {agent.hostname} in zone {zone.zone_name}."
        permissions = permissions_of(launch.facts.settings)
        session_id, credential = str(uuid.uuid4()), new_secret()
        spec = on_demand_spec(
            image, zone.facts, permissions, extras_of(launch), session_id=session_id, credential=credential
        )
        await stop("launch.before_insert")
        placed = await insert_for_user(
            self._db,
            NewSession(
                session_id=session_id,
                zone_id=zone.zone_id,
                image_id=image.image_id,
                agent_id=agent.agent_id,
                spec=spec_json(asdict(spec)),
                credential_encrypted=self._secrets.encrypt(credential),
                spec_hash=spec.hash(),
                cores=image.cores,
                memory=image.memory,
                ttl_s=launch.keepalive_s,
                permissions=permissions,
                allow_origin=",".join(spec.allow_origin),
                upstream_auth=spec.upstream_auth,
                user_id=request.user_id,
                launch_id=launch.launch_id,
                idempotency_key=request.idempotency_key,
                idempotency_body=request.body() if request.idempotency_key else None,
                kasm_url=request.kasm_url,
                client_settings=launch.client_settings(),
            ),
            max_sessions=launch.max_sessions,
            steps=_ledger(trace, used(attempt, agent.hostname, reason)),
            duration_ms=launch.elapsed_ms(),
        )
        if not placed:
            return None
        await stop("launch.after_insert")
        return _Got(session_id, agent.agent_id, 1, reason)

    def _succeeded(self, launch: Launch, attempt: Attempt, got: _Got) -> LaunchResult:
        events = [
            f"agent:{got.agent_id}",
            f"session:{got.session_id}",
            f"zone:{launch.zone_keys[attempt.zone.zone_id]}",
        ]
        if attempt.pool is not None:
            events.append(f"staging:{attempt.pool.staging_config_id}")
        self._notifier.send(*events)
        user_id = launch.request.user_id
        self._logs.write(
            "INFO",
            "session-launched",
            f"{launch.username} launched {launch.image.friendly_name}: {got.reason}",
            zone_name=attempt.zone.zone_name,
            session_id=got.session_id,
            user_id=user_id,
            username=launch.username,
            staging_config_id=attempt.pool.staging_config_id if attempt.pool else None,
        )
        return LaunchResult(
            session_id=got.session_id,
            user_id=user_id,
            username=launch.username,
            token=self._secrets.connect_token(got.session_id, user_id, got.auth_epoch),
            status="assigning" if attempt.staged else "requested",
            staged=attempt.staged,
        )

    async def _failed(self, launch: Launch, trace: Sequence[TraceStep]) -> Refused:
        """Record that nobody could serve it; returns what is to be raised."""
        await record_failed_launch(
            self._db,
            launch_id=launch.launch_id,
            user_id=launch.request.user_id,
            image_id=launch.image.image_id,
            steps=[asdict(step) for step in trace],
            duration_ms=launch.elapsed_ms(),
        )
        name = launch.image.friendly_name
        error: Refused = (
            NoResources(no_resources_reason(trace))
            if launch.image.enabled
            else Refused(f"Workspace {name} is disabled; an administrator can enable it.")
        )
        self._logs.write(
            "WARNING",
            "launch-failed",
            f"{launch.username} could not launch {name}: {error.message}",
            user_id=launch.request.user_id,
            username=launch.username,
            details={"launch_id": launch.launch_id},
        )
        return error

    async def _result_of(self, session_id: str, user_id: str) -> LaunchResult:
        """The answer for a session that exists already."""
        row = await read_result(self._db, session_id, user_id)
        if row is None:
            raise NotFound("The session of this Idempotency-Key does not exist any more; use a new key.")
        return LaunchResult(
            session_id=session_id,
            user_id=user_id,
            username=row["username"],
            token=self._secrets.connect_token(session_id, user_id, row["auth_epoch"]),
            status=row["status"],
            staged=row["staging_config_id"] is not None,
            repeated=True,
        )

    def _log_violations(self, launch: Launch, attempt: Attempt) -> None:
        for miss in attempt.misses:
            if miss.setting is None or attempt.pool is None:
                continue
            group = f" of group {miss.group}" if miss.group else ""
            self._logs.write(
                "WARNING",
                "staging-violation",
                f"{launch.username} gets no staged {launch.image.friendly_name} from zone {attempt.zone.zone_name}"
                f" because of {miss.setting}{group}: {miss.reason}",
                zone_name=attempt.zone.zone_name,
                user_id=launch.request.user_id,
                username=launch.username,
                staging_config_id=attempt.pool.staging_config_id,
                setting=miss.setting,
                details={"code": miss.code, "group": miss.group, "launch_id": launch.launch_id},
            )

    def _log_missed_pool(self, launch: Launch, attempt: Attempt, misses: Sequence[Miss]) -> None:
        """A pool that should have served did not: a cold start is never silent."""
        for miss in misses:
            self._logs.write(
                "WARNING",
                "staging-miss",
                f"{launch.username} got no staged session: {miss.reason}",
                zone_name=attempt.zone.zone_name,
                user_id=launch.request.user_id,
                username=launch.username,
                staging_config_id=attempt.pool.staging_config_id if attempt.pool else None,
                details={"code": miss.code, "launch_id": launch.launch_id},
            )


def _ledger(trace: Sequence[TraceStep], last: TraceStep) -> list[dict[str, Any]]:
    return [asdict(step) for step in (*trace, last)]


def spec_json(spec: dict[str, Any]) -> dict[str, Any]:
    """A SessionSpec as it is stored: without its credential, which has a column of its own."""
    return {name: value for name, value in spec.items() if name != "credential"}
