"""Launch a session: one snapshot, one plan, then its attempts one after the other until one gives a session.

The reply never waits for a container: a claimed or inserted row is the answer, what follows is the Agent's. Every
launch leaves a trace in the ledger, every violated setting a WARNING in the log.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from greenroom.api.diagnostics.metrics import Metrics
from greenroom.api.launch.attempts import OnDemand, claim_staged
from greenroom.api.launch.log import LaunchLog, PassedOver
from greenroom.api.launch.plan import Launch, LaunchRequest, PlacedSession, planned, repeated_session
from greenroom.api.security import Caller
from greenroom.core.errors import Invalid, NoResources, NotFound, ProfileInUse
from greenroom.core.events import session_events
from greenroom.core.launch.plan import Attempt, TraceStep, failed_steps, skipped_steps, success_step
from greenroom.core.session.streams import ProxyFacts
from greenroom.core.workspace.run_config import launch_problem
from greenroom.db import row_mapping
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.fleet.edges import read_edge_url
from greenroom.db.launch.ledger import read_launch, read_result, record_failed_launch
from greenroom.db.notifications import Notifier
from greenroom.db.session.sessions import RepeatedRequest
from greenroom.kit.secrets import Secrets

__all__ = ["LaunchRequest", "LaunchResult", "Launcher"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchResult:
    """The session a user got: `token` opens its stream at `proxy.path_of(agent_id, session_id)`.

    `staged` tells whether it came from a pool.
    """

    session_id: str
    user_id: str
    username: str
    token: str
    status: str
    staged: bool
    agent_id: str | None
    proxy: ProxyFacts
    repeated: bool = False
    """It is the session of an earlier request with the same idempotency key."""


class Launcher:
    """Launches sessions for the two HTTP interfaces."""

    def __init__(self, db: Database, secrets: Secrets, logs: LogWriter, metrics: Metrics | None = None) -> None:
        self._db = db
        self._secrets = secrets
        self._log = LaunchLog(logs)
        self._on_demand = OnDemand(db, secrets)
        self._notifier = Notifier(db)
        self._metrics = metrics or Metrics()

    async def launch_for(self, caller: Caller, request: LaunchRequest) -> LaunchResult:
        """`launch`, with a refusal as the caller may read it: what is missing where is for who may see the Agents."""
        try:
            return await self.launch(request)
        except NoResources as error:
            if caller.may("agents_view"):
                raise
            raise error.without_machines() from error

    async def launch(self, request: LaunchRequest) -> LaunchResult:
        """Give the user a session, staged or on demand, in the documented order over zones.

        Raises:
            NotFound: there is no such user, workspace or zone.
            Invalid: the environment sets variables that it may not.
            Forbidden: the user is disabled, or may not use the workspace.
            SessionLimit: `max_kasms_per_user` is reached.
            IdempotencyMismatch: the key was used for a different request.
            NoResources: nothing could serve it; the message says what is missing where.
            ProfileInUse: another session has the user's profile of this workspace as its home.
        """
        begin_s = time.perf_counter()
        request = self._sealed(request)
        snapshot = await read_launch(self._db, request.user_id, request.image_id, request.idempotency_key)
        if (repeated := repeated_session(snapshot, request)) is not None:
            return await self._result_of(repeated, request.user_id)
        launch = planned(request, snapshot, begin_s)
        trace: list[TraceStep] = []
        passed: list[PassedOver] = []
        try:
            for attempt in launch.attempts:
                got = await self._try(launch, attempt, trace, passed)
                if got is not None:
                    outcome = "staged" if attempt.staged else "on_demand"
                    self._measure(
                        launch, outcome, [*trace, success_step(attempt, _candidate(attempt, got), got.reason)]
                    )
                    self._log.succeeded(launch, attempt, got, passed)
                    return await self._succeeded(launch, attempt, got)
        except RepeatedRequest as winner:
            return await self._result_of(winner.session_id, request.user_id)
        except ProfileInUse as error:
            self._log.refused(launch, error, passed)
            raise
        self._measure(launch, "failed", trace)
        await record_failed_launch(
            self._db,
            launch_id=launch.launch_id,
            user_id=request.user_id,
            image_id=launch.image.image_id,
            steps=[asdict(step) for step in trace],
            duration_ms=launch.elapsed_ms(),
        )
        raise self._log.failed(launch, trace, passed)

    def _sealed(self, request: LaunchRequest) -> LaunchRequest:
        """The request with its variables as they are stored; the Manager opens them for the Agent."""
        if problem := launch_problem(request.environment):
            raise Invalid(f"The environment of the request cannot be used: {problem}")
        environment = {name: self._secrets.seal(value) for name, value in request.environment.items()}
        return replace(request, environment=environment)

    async def _try(
        self, launch: Launch, attempt: Attempt, trace: list[TraceStep], passed: list[PassedOver]
    ) -> PlacedSession | None:
        """One attempt; what came of it is added to the trace, and to `passed` where a pool did not serve."""
        if attempt.misses:
            trace += skipped_steps(attempt)
            passed.append(PassedOver(attempt, attempt.misses))
            return None
        if attempt.staged:
            got, misses = await claim_staged(self._db, launch, attempt, trace)
        else:
            got, misses = await self._on_demand.create(launch, attempt, trace)
        if got is None:
            trace += failed_steps(attempt, misses)
            passed.append(PassedOver(attempt, misses))
        return got

    def _measure(self, launch: Launch, outcome: str, trace: Sequence[TraceStep]) -> None:
        self._metrics.launched(outcome, trace, launch.image.friendly_name, launch.elapsed_ms() / 1000)

    async def _succeeded(self, launch: Launch, attempt: Attempt, got: PlacedSession) -> LaunchResult:
        pool_id = attempt.pool.staging_config_id if attempt.pool else None
        events = session_events(got.session_id, agent_id=got.agent_id, staging_config_id=pool_id)
        for gone in got.yielding:
            events |= session_events(gone.session_id, staging_config_id=gone.staging_config_id)
        self._notifier.send(*events)
        user_id = launch.request.user_id
        return LaunchResult(
            session_id=got.session_id,
            user_id=user_id,
            username=launch.username,
            token=self._secrets.connect_token(got.session_id, user_id, got.auth_epoch),
            status="assigning" if attempt.staged else "requested",
            staged=attempt.staged,
            agent_id=got.agent_id,
            proxy=await self._reached(attempt.zone.proxy, got.agent_id),
        )

    async def _reached(self, proxy: ProxyFacts, agent_id: str) -> ProxyFacts:
        """How browsers reach the streams of this Agent."""
        return replace(proxy, edge_url=await read_edge_url(self._db, agent_id)) if proxy.at_edges else proxy

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
            agent_id=row["agent_id"],
            proxy=row_mapping.proxy_facts(row),
            repeated=True,
        )


def _candidate(attempt: Attempt, got: PlacedSession) -> str:
    return attempt.pool.staging_config_id if attempt.pool else got.agent_id
