"""Launches a session: one snapshot, one plan, then its attempts in turn until one gives a session.

The reply never waits for a container: it names the claimed or inserted row, and the Agent does the rest. Every launch
leaves a trace in the ledger, every violated setting a WARNING in the log.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from greenroom.api.diagnostics.metrics import Metrics
from greenroom.api.launch.log import LaunchLog
from greenroom.api.launch.plan import Launch, LaunchRequest, planned, repeated_session, wanted_of
from greenroom.api.security import Caller
from greenroom.core.errors import Invalid, NoResources, NotFound, ProfileInUse, Refused
from greenroom.core.session.streams import ProxyFacts
from greenroom.core.workspace.run_config import launch_problem
from greenroom.core.workspace.session_spec import File
from greenroom.core.workspace.spec_builder import ssh_files
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.launch.ledger import read_launch, read_ssh_keys, record_failed_launch
from greenroom.db.notifications import Notifier
from greenroom.db.session.sessions import RepeatedRequest
from greenroom.db.session.views import get_session
from greenroom.kit.secrets import Secrets
from greenroom.sessions.attempts import Search
from greenroom.sessions.launch import LaunchWriter
from greenroom.sessions.wanted import PlacedSession

__all__ = ["LaunchRequest", "LaunchResult", "Launcher"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchResult:
    """The session a user got: `token` opens its stream at `proxy.path_of(agent_id, session_id)`. `staged`: it came from
    a pool."""

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
        self._notifier = Notifier(db)
        self._metrics = metrics or Metrics()

    async def launch_for(self, caller: Caller, request: LaunchRequest) -> LaunchResult:
        """`launch`, but only callers who may see the Agents read in a refusal what is missing where."""
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
        search = Search(
            db=self._db,
            secrets=self._secrets,
            wanted=wanted_of(launch, await self._files_of(launch)),
            writer=LaunchWriter(
                db=self._db,
                max_sessions=launch.max_sessions,
                current_zone_id=launch.current_zone_id,
                request_host=request.request_host,
                begin_s=begin_s,
            ),
        )
        try:
            got = await search.run(launch.attempts)
        except RepeatedRequest as winner:
            return await self._result_of(winner.session_id, request.user_id)
        except ProfileInUse as error:
            self._log.refused(launch, error, search.passed)
            raise
        if got is None:
            raise await self._failed(launch, search)
        outcome = "staged" if got.attempt.staged else "on_demand"
        self._metrics.launched(outcome, got.steps, launch.image.friendly_name, launch.elapsed_ms() / 1000)
        self._log.succeeded(launch, got, search.passed)
        self._notifier.send(*got.events)
        return self._succeeded(launch, got)

    def _sealed(self, request: LaunchRequest) -> LaunchRequest:
        """The request with encrypted variables; the Manager decrypts them for the Agent."""
        if problem := launch_problem(request.environment):
            raise Invalid(f"The environment of the request cannot be used: {problem}")
        environment = {name: self._secrets.seal(value) for name, value in request.environment.items()}
        return replace(request, environment=environment)

    async def _files_of(self, launch: Launch) -> tuple[File, ...]:
        """Files for the user's container before its start: their SSH keys, if their groups allow it."""
        if not launch.facts.value("inject_ssh_keys"):
            return ()
        public_key, private_key_encrypted = await read_ssh_keys(self._db, launch.request.user_id)
        return ssh_files(public_key, self._secrets.decrypt(private_key_encrypted) if private_key_encrypted else None)

    async def _failed(self, launch: Launch, search: Search) -> Refused:
        trace, duration_ms = search.trace, launch.elapsed_ms()
        self._metrics.launched("failed", trace, launch.image.friendly_name, duration_ms / 1000)
        await record_failed_launch(
            self._db,
            launch_id=launch.launch_id,
            user_id=launch.request.user_id,
            image_id=launch.image.image_id,
            steps=trace,
            duration_ms=duration_ms,
        )
        return self._log.failed(launch, trace, search.passed)

    def _succeeded(self, launch: Launch, got: PlacedSession) -> LaunchResult:
        user_id, staged = launch.request.user_id, got.attempt.staged
        return LaunchResult(
            session_id=got.session_id,
            user_id=user_id,
            username=launch.username,
            token=self._secrets.connect_token(got.session_id, user_id, got.auth_epoch),
            status="assigning" if staged else "requested",
            staged=staged,
            agent_id=got.agent_id,
            proxy=replace(got.attempt.zone.proxy, edge_url=got.edge_url),
        )

    async def _result_of(self, session_id: str, user_id: str) -> LaunchResult:
        session = await get_session(self._db, session_id, follow=False)
        if session.user_id != user_id:
            raise NotFound("The session of this Idempotency-Key does not exist any more; use a new key.")
        return LaunchResult(
            session_id=session_id,
            user_id=user_id,
            username=session.username or "",
            token=self._secrets.connect_token(session_id, user_id, session.auth_epoch),
            status=session.status,
            staged=session.staging_config_id is not None,
            agent_id=session.agent_id,
            proxy=session.proxy,
            repeated=True,
        )
