"""Launches of sessions. A launch reads a snapshot, and tries the attempts of its plan in order until one succeeds.

The result contains the claimed or inserted row; it does not wait for the Agent to start or hand over the container.
Every launch has a trace in the ledger. The log has a row for each launch, and for each reason why a pool could not
serve it. If the reason is a setting, the level of the row is WARNING.

A shortage has one row in the log, not one for each launch. The first refused launch of a workspace is logged
immediately with all details, and a window of `REFUSAL_WINDOW_S` begins. Further refusals for the same reasons in the
window are counted, and logged as one row at its end. If there were any, another window begins.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Final

from greenroom.api.diagnostics.metrics import RequestMetrics
from greenroom.core.errors import Busy, Invalid, NoResources, NotFound, ProfileInUse, Refused
from greenroom.core.launch.forecast import MAX_LAUNCHES_AT_ONCE, LaunchPace, launch_refusal, queue_full_step
from greenroom.core.launch.request import Launch, LaunchRequest, RepeatedRequest, plan_request
from greenroom.core.log_codes import LogCode
from greenroom.core.session.streams import ProxyFacts
from greenroom.core.workspace.launch_environment import launch_problem
from greenroom.db.database import Database
from greenroom.db.diagnostics.batches import WaitingRows, inserting
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.launch.ledger import FAILED_LAUNCHES, FailedLaunch, read_launch_snapshot
from greenroom.db.session.views import get_session
from greenroom.kit.concurrency import FairLimit
from greenroom.kit.repeats import RepeatFilter
from greenroom.kit.secrets import Secrets
from greenroom.sessions.launch import LaunchWriter, MissedAttempt, PlacedSession, Search

REFUSAL_WINDOW_S: Final = 60.0

ShortageKey = tuple[str, ...]
"""The workspace and the codes of the reasons, which are equal for all refusals by one shortage."""
CallLater = Callable[[float, Callable[[], None]], object]
"""A function that calls another function after some seconds."""


def call_later(delay_s: float, function: Callable[[], None]) -> object:
    """Call a function after `delay_s`, with the timer of the event loop."""
    return asyncio.get_running_loop().call_later(delay_s, function)


@dataclass(slots=True)
class _Window:
    """The refusals by a shortage after the first one, in one window. `workspace` is the friendly name, for the log."""

    workspace: str
    count: int = 0
    last_message: str = ""


class Shortages:
    """Logs refused launches: the first refusal of a shortage at once, and the number of others after `window_s`."""

    def __init__(self, logs: LogWriter, window_s: float = REFUSAL_WINDOW_S, later: CallLater = call_later) -> None:
        self._logs = logs
        self._window_s = window_s
        self._call_later = later
        self._windows: dict[ShortageKey, _Window] = {}

    def add_refusal(
        self, key: ShortageKey, workspace: str, message: str, *, user_id: str, username: str, launch_id: str
    ) -> None:
        """Log a refused launch, or count it in the window of its shortage."""
        if (window := self._windows.get(key)) is not None:
            window.count += 1
            window.last_message = message
            return
        self._windows[key] = _Window(workspace)
        self._call_later(self._window_s, lambda: self._end_window(key))
        self._logs.write(
            LogCode.LAUNCH_FAILED,
            message,
            user_id=user_id,
            username=username,
            details={"launch_id": launch_id},
        )

    def _end_window(self, key: ShortageKey) -> None:
        window = self._windows.pop(key)
        if window.count == 0:
            return
        self._windows[key] = _Window(window.workspace)
        self._call_later(self._window_s, lambda: self._end_window(key))
        self._logs.write(
            LogCode.LAUNCH_FAILED,
            f"{window.count} more launches of {window.workspace} were refused within {self._window_s:.0f} s for "
            f"the same reasons; the list of launches contains each of them. The last one: {window.last_message}",
            details={"count": window.count},
        )


class LaunchLog:
    """Writes the log rows of launches. If launches of a user fail repeatedly for the same reason, the row is written
    once in `REFUSAL_WINDOW_S`. `shortages` logs the launches for which there are no resources.
    """

    def __init__(self, logs: LogWriter) -> None:
        self._logs = logs
        self.shortages = Shortages(logs)
        self._repeats = RepeatFilter(REFUSAL_WINDOW_S)

    def log_success(self, launch: Launch, placed: PlacedSession, missed: Sequence[MissedAttempt]) -> None:
        """Log that a session was assigned or created.

        Each skipped pool has a row, which explains the start on demand.
        """
        attempt = placed.attempt
        self._log_missed_pools(launch, missed, placed.session_id)
        self._logs.write(
            LogCode.SESSION_LAUNCHED,
            f"{launch.username} launched {launch.image.friendly_name}: {placed.reason}",
            zone_name=attempt.zone.zone_name,
            session_id=placed.session_id,
            user_id=launch.request.user_id,
            username=launch.username,
            staging_config_id=attempt.pool.staging_config_id if attempt.pool else None,
        )
        placed.log_evictions(self._logs, f"{launch.username}, who launched {launch.image.friendly_name} on demand")

    def log_refusal(self, launch: Launch, error: Refused, search: Search) -> None:
        """Log a launch without a session: no attempt succeeded, or the profile of the user is in use."""
        self._log_missed_pools(launch, search.missed_attempts)
        user_id, username, image = launch.request.user_id, launch.username, launch.image
        message = f"{username} could not launch {image.friendly_name}: {error.message}"
        if not isinstance(error, ProfileInUse):
            key = (image.image_id, *sorted({miss.code for miss in search.on_demand_misses}))
            self.shortages.add_refusal(
                key, image.friendly_name, message, user_id=user_id, username=username, launch_id=launch.launch_id
            )
        elif self._repeats.must_log(user_id, image.image_id, error.code):
            details = {"launch_id": launch.launch_id, "code": error.code}
            self._logs.write(LogCode.LAUNCH_REFUSED, message, user_id=user_id, username=username, details=details)

    def _log_missed_pools(self, launch: Launch, missed: Sequence[MissedAttempt], session_id: str | None = None) -> None:
        """Log each reason why staging configs did not serve, with the session that the user got instead, if any."""
        for attempt, misses in ((missed_attempt.attempt, missed_attempt.misses) for missed_attempt in missed):
            if attempt.pool is None:
                continue
            config_id, zone_name = attempt.pool.staging_config_id, attempt.zone.zone_name
            for miss in misses:
                if not (
                    session_id or self._repeats.must_log(launch.request.user_id, config_id, miss.code, miss.setting)
                ):
                    continue
                self._logs.write(
                    LogCode.STAGING_VIOLATION if miss.setting else LogCode.STAGING_MISS,
                    f"{launch.username} gets no staged {launch.image.friendly_name} from zone {zone_name}: "
                    f"{miss.reason}",
                    zone_name=zone_name,
                    session_id=session_id,
                    user_id=launch.request.user_id,
                    username=launch.username,
                    staging_config_id=config_id,
                    setting=miss.setting,
                    details={"code": miss.code, "group": miss.group, "launch_id": launch.launch_id},
                )


MAX_UNWRITTEN: Final = 10_000
"""The maximum number of refused launches that wait to be written to the ledger."""


class LaunchQueue:
    """The queue of launches of one api.

    Users take turns, so that many launches of one user delay another user by only one launch.

    Refused launches are written to the ledger together, because one statement for each would delay other launches.
    """

    def __init__(self, db: Database, shortages: Shortages, metrics: RequestMetrics) -> None:
        self._shortages = shortages
        self._metrics = metrics
        self._pace = LaunchPace()
        self._turns = FairLimit(MAX_LAUNCHES_AT_ONCE, lambda num_waiting, _: self._pace.admit(num_waiting))
        self._refused_rows = WaitingRows[FailedLaunch](
            db,
            inserting(db, FAILED_LAUNCHES, asdict),
            component="api",
            row_name="refused launches",
            max_rows=MAX_UNWRITTEN,
        )
        self._write_task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def turn(self, request: LaunchRequest) -> AsyncGenerator[None]:
        """Wait for the turn of a launch, and hold it as long as the context lasts. Raises Busy: too many launches wait.
        The refused launch is in the ledger."""
        try:
            async with self._turns.turn(request.user_id):
                begin_s = time.perf_counter()
                try:
                    yield
                finally:
                    self._pace.record(time.perf_counter() - begin_s)
        except Busy as error:
            # Nothing was read yet, so the name of the user is unknown.
            user_id, launch_id, steps = request.user_id, str(uuid.uuid4()), (queue_full_step(error),)
            error.details["launch_id"] = launch_id
            self._metrics.count_launch("failed", steps, "", 0.0)
            message = f"A launch was refused: {error.message}"
            self._shortages.add_refusal(
                (error.code,), "any workspace", message, user_id=user_id, username="", launch_id=launch_id
            )
            refused = FailedLaunch(
                launch_id=launch_id, user_id=user_id, image_id=request.image_id, steps=steps, duration_ms=0.0
            )
            self._refused_rows.add(refused)
            if self._write_task is None or self._write_task.done():
                self._write_task = asyncio.create_task(self._write_refused())
            raise

    async def _write_refused(self) -> None:
        while await self._refused_rows.write():
            pass


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchResult:
    """The session of a launch: `token` opens its stream at `proxy.path_of(agent_id, session_id)`.

    `staged`: it came from a pool.
    """

    session_id: str
    user_id: str
    username: str
    zone_id: str
    zone_name: str
    token: str
    status: str
    staged: bool
    agent_id: str | None
    proxy: ProxyFacts
    repeated: bool = False
    """True if it is the session of an earlier request with the same idempotency key."""


class Launcher:
    """Launches sessions, for `/api/v1` and the published interface."""

    def __init__(self, db: Database, secrets: Secrets, logs: LogWriter, metrics: RequestMetrics | None = None) -> None:
        self._db = db
        self._secrets = secrets
        self._log = LaunchLog(logs)
        self._metrics = metrics or RequestMetrics()
        self._queue = LaunchQueue(db, self._log.shortages, self._metrics)

    async def launch(self, request: LaunchRequest, *, shows_machines: bool = True) -> LaunchResult:
        """Launch a session for the user, staged or on demand, in the documented order of zones.

        `shows_machines`: a refusal names the machines and what each of them lacks; only for callers who may see Agents.

        Raises:
            NotFound: there is no such user, workspace or zone.
            Invalid: the environment sets variables that it may not.
            Forbidden: the user is disabled, or may not use the workspace.
            SessionLimit, LeaseLimit: the user has reached `max_kasms_per_user`, or `max_leases_per_user` for a lease.
            IdempotencyMismatch: the key was used for a different request.
            NoResources: no pool or Agent can serve the launch; the message contains the missing resources.
            ProfileInUse: another session has the user's profile of this workspace as its home.
            Busy: too many launches wait for their turn; the error contains the time to wait.
        """
        begin_s = time.perf_counter()
        if problem := launch_problem(request.environment):
            raise Invalid(f"The environment of the request cannot be used: {problem}")
        # The Manager decrypts the variables for the Agent.
        environment = {name: self._secrets.seal(value) for name, value in request.environment.items()}
        request = replace(request, environment=environment)
        async with self._queue.turn(request):
            snapshot = await read_launch_snapshot(
                self._db, request.user_id, request.image_id, request.idempotency_key, leased=request.lease is not None
            )
            try:
                launch = plan_request(request, snapshot, launch_id=str(uuid.uuid4()), decrypt=self._secrets.decrypt)
                return await self._attempt(launch, begin_s)
            except RepeatedRequest as repeated:
                return await self._result_of_first_request(repeated.session_id, request.user_id)
            except NoResources as error:
                if shows_machines:
                    raise
                raise error.without_machines() from error

    async def _attempt(self, launch: Launch, begin_s: float) -> LaunchResult:
        writer = LaunchWriter(db=self._db, launch=launch, begin_s=begin_s)
        search = Search(db=self._db, secrets=self._secrets, requested=launch.wanted, writer=writer)
        try:
            placed = await search.run(launch.attempts)
        except ProfileInUse as error:
            self._log.log_refusal(launch, error, search)
            raise
        outcome = "failed" if placed is None else "staged" if placed.attempt.staged else "on_demand"
        trace = search.trace if placed is None else placed.steps
        self._metrics.count_launch(outcome, trace, launch.image.friendly_name, writer.duration_s())
        if placed is None:
            await writer.record_failure(trace)
            error = launch_refusal(launch.image, trace, search.on_demand_misses, launch.launch_id)
            self._log.log_refusal(launch, error, search)
            raise error
        self._log.log_success(launch, placed, search.missed_attempts)
        user_id, staged = launch.request.user_id, placed.attempt.staged
        return LaunchResult(
            session_id=placed.session_id,
            user_id=user_id,
            username=launch.username,
            zone_id=placed.attempt.zone.zone_id,
            zone_name=placed.attempt.zone.zone_name,
            token=self._secrets.connect_token(placed.session_id, user_id, placed.auth_epoch),
            status="assigning" if staged else "requested",
            staged=staged,
            agent_id=placed.agent_id,
            proxy=replace(placed.attempt.zone.proxy, edge_url=placed.edge_url),
        )

    async def _result_of_first_request(self, session_id: str, user_id: str) -> LaunchResult:
        session = await get_session(self._db, session_id, follow=False)
        if session.user_id != user_id:
            raise NotFound("The session of this Idempotency-Key does not exist any more; use another key.")
        return LaunchResult(
            session_id=session_id,
            user_id=user_id,
            username=session.username or "",
            zone_id=session.zone_id,
            zone_name=session.zone_name,
            token=self._secrets.connect_token(session_id, user_id, session.auth_epoch),
            status=session.status,
            staged=session.staging_config_id is not None,
            agent_id=session.agent_id,
            proxy=session.proxy,
            repeated=True,
        )
