"""Connects the parts of one Manager and runs them: `greenroom manager`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from greenroom.core.errors import GreenroomError, SetupError, Unavailable
from greenroom.core.events import TOPICS, ChangeEvent, ManagerPart
from greenroom.core.fleet.leadership import timings_problem
from greenroom.core.fleet.liveness import checkin_timings_problem, extended_limit_s
from greenroom.core.log_codes import LogCode
from greenroom.core.pool.agenda import Agenda
from greenroom.db.database import Database
from greenroom.db.diagnostics.audit import AuditWriter, event_of_row
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.diagnostics.views import RequestLog
from greenroom.db.fleet.managers import ManagerRow, find_or_insert_manager, lock_instance_id, store_manager_info
from greenroom.db.notifications import Listener
from greenroom.db.stored_version import check_database
from greenroom.kit import stops
from greenroom.kit.clock import LatenessMeter, boottime_s
from greenroom.kit.concurrency import Loop, keep_running
from greenroom.kit.config import ManagerConfig
from greenroom.kit.environment import configure_role
from greenroom.kit.program import version
from greenroom.kit.secrets import Secrets
from greenroom.kit.serving import serve
from greenroom.kit.starts import StartLog
from greenroom.manager import files
from greenroom.manager.app import AgentServices, create_app
from greenroom.manager.checkin.commit import Committer, UnstoredCheckIns
from greenroom.manager.checkin.enrollment import Enrollment, ImageCopies
from greenroom.manager.checkin.polling import CheckIns
from greenroom.manager.files import instance_id
from greenroom.manager.guardian import Guardian
from greenroom.manager.leadership import LeadershipKeeper, LeadershipWatch, timings_of
from greenroom.manager.machines.calls import Providers
from greenroom.manager.machines.machine_rounds import MachineRounds
from greenroom.manager.series import SeriesRecorder
from greenroom.manager.stand_in_process import StandInProcess
from greenroom.manager.status import (
    CheckInNotifier,
    GuardianStatus,
    ManagerContext,
    ManagerMetrics,
    ManagerStatus,
    Takeover,
)
from greenroom.manager.tasks.rounds import PrimaryRounds, Refill, Retention

log = structlog.get_logger(__name__)

STATEMENT_TIMEOUT_MS: Final = 500
"""Timeout of SQL statements (docs/explanation/protocols.md §1), so that a Manager that is frozen inside a transaction
does not delay the next Primary."""
HEARTBEAT_TIMEOUT_MS: Final = 5000
"""Timeout of the statement of a heartbeat. It is longer, so that a slow database does not count as unavailable. A
heartbeat holds no lock of the leadership, so it delays no other Manager."""
OWN_CONNECTIONS: Final = 8
"""Connections for work that does not grow with the number of Agents: rounds, refills, group commit, logs."""
AGENTS_CONNECTIONS: Final = 4
"""Connections for requests of Agents. They are separate, so that many Agents cannot occupy all connections (ADR 3)."""
REGISTER_RETRY_PAUSE_S: Final = 1.0
READ_AGAIN_WITHIN_S: Final = 1.0
"""After missed notifications, the data of each held check-in is read again at a random time within this time."""


class Manager:
    """The process of one Manager of one zone. It registers and then listens. If the database cannot be reached at the
    start, it listens first, reports itself as unhealthy, and registers as soon as the database answers."""

    def __init__(self, config: ManagerConfig, read_crash_loop: Callable[[], str] = lambda: "") -> None:
        if problem := timings_problem(timings_of(config)):
            raise SetupError(problem)
        if problem := checkin_timings_problem(config.agent_missing_s, config.checkin_hold_s):
            raise SetupError(problem)
        self.config = config
        self.read_crash_loop = read_crash_loop
        self.secrets = Secrets.from_file(config.secret_key_file)
        self.instance_id = instance_id(config.manager_dir)
        self.lateness = LatenessMeter(proc=None)
        self.db = self._database("manager", OWN_CONNECTIONS)
        self.heartbeat_db = self._database("manager", 1, statement_timeout_ms=HEARTBEAT_TIMEOUT_MS)
        self.agents_db = self._database("check-ins", AGENTS_CONNECTIONS)
        self.notifier = CheckInNotifier()
        self.metrics = ManagerMetrics(self.status, self.notifier)
        self.stand_in = StandInProcess(self.status)  # answers requests with 500 while this process is frozen
        self._started_at_s = boottime_s()
        self._stopping = False
        self._registered: RegisteredManager | None = None

    def _database(self, purpose: str, max_size: int, *, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> Database:
        return Database(
            self.config.database_url,
            application_name=f"greenroom {purpose} {self.instance_id}",
            max_size=max_size,
            statement_timeout_ms=statement_timeout_ms,
            acquire_timeout_s=1.0,
            plan_statements_once=True,
        )

    @property
    def _databases(self) -> tuple[Database, ...]:
        return self.db, self.heartbeat_db, self.agents_db

    @property
    def agent_services(self) -> AgentServices | None:
        return self._registered.agent_services if self._registered else None

    def status(self) -> ManagerStatus:
        return ManagerStatus(
            age_s=boottime_s() - self._started_at_s,
            unhealthy_after_s=extended_limit_s(self.config.unhealthy_after_s, self.lateness.current()),
            stopping=self._stopping,
            guardian=self._registered.guardian.status() if self._registered else GuardianStatus(),
        )

    async def start(self) -> None:
        """Register if the database answers. Raises SetupError: this Manager must not run, because its zone does not
        exist, another process has its instance id, the database URL names a connection pooler, or this version may not
        use the database."""
        for db in self._databases:
            await db.open()
        try:
            self._registered = await register(self)
        except Unavailable as error:
            log.warning("the Manager registers when the database can be reached", reason=error.message)
        except BaseException:
            # Connections that are still being opened would keep this process alive, although it does not serve, for
            # example if the database has no tables yet.
            await self._close()
            raise

    async def run(self) -> None:
        try:
            while self._registered is None:
                await asyncio.sleep(REGISTER_RETRY_PAUSE_S)
                await self.start()
            await self._registered.run()
        finally:
            await self._close()

    async def _close(self) -> None:
        for db in self._databases:
            await db.close()

    def stop(self) -> None:
        """Stop on SIGTERM: resign the leadership now, end held check-ins, and accept no new check-ins."""
        self._stopping = True
        self.stand_in.stop()
        self.notifier.wake_all()
        if self._registered is not None:
            self._registered.leadership.request_stop()


async def register(process: Manager) -> RegisteredManager:
    """Find or insert the Manager's record, take the lock of its instance id, and store its address.

    Raises:
        SetupError: this Manager must not run.
        Unavailable: the database cannot be reached.
    """
    config, hostname = process.config, socket.gethostname()
    await check_database(config.database_url)
    me = await find_or_insert_manager(process.db, process.instance_id, config.zone, hostname, version())
    manager = RegisteredManager(process, me)
    await manager.listener.open()
    try:
        await store_manager_info(
            process.db, me.manager_id, hostname, version(), config.gateway_url, crash_loop=process.read_crash_loop()
        )
        files.update_sentinel(config.sentinel_file, me.enabled)
    except GreenroomError:
        await manager.listener.close()
        raise
    if me.zone_name != config.zone:
        log.warning("this Manager uses the zone of its record, not the configured zone", zone=me.zone_name)
    log.info("registered", instance_id=me.instance_id, zone=me.zone_name, enabled=me.enabled)
    return manager


class RegisteredManager:
    """A registered Manager with all its parts."""

    def __init__(self, process: Manager, me: ManagerRow) -> None:
        config, db = process.config, process.db
        self._me = me
        self._metrics = process.metrics
        self._notifier = process.notifier
        self._logs = LogWriter(db, "manager", me.zone_name)
        self._audit = audit = AuditWriter(db, process.secrets, "manager")
        self._logs.on_security_row = lambda row: audit.add(event_of_row(row, interface="system"))
        shared = ManagerContext(
            me=me,
            config=config,
            secrets=process.secrets,
            logs=self._logs,
            db=db,
            heartbeat_db=process.heartbeat_db,
            agents_db=process.agents_db,
            notifier=self._notifier,
            takeover=Takeover(),
        )
        self._agenda = Agenda()
        self.listener = Listener(
            config.database_url,
            application_name=f"greenroom listen {me.instance_id}",
            on_event=self._on_event,
            on_connect=self._read_all_again,
            prepare=lambda connection: lock_instance_id(connection, me.manager_key, me.instance_id),
        )
        self.leadership = LeadershipKeeper(
            config.database_url,
            me,
            timings=timings_of(config),
            logs=self._logs,
            on_taken=shared.takeover.begin,
            on_elected=self._on_elected,
            hangs=lambda: process.status().hangs,
        )
        self._watch = LeadershipWatch(db, me)
        self.guardian = Guardian(
            shared,
            leadership=self.leadership,
            watch=self._watch,
            primary_round=PrimaryRounds().run,
            lateness=process.lateness,
            read_crash_loop=process.read_crash_loop,
            agenda=self._agenda,
        )
        self._refill = Refill(self.guardian.context)
        committer = Committer(db, me, config, self._logs, self._metrics.commit_seconds)
        unstored = UnstoredCheckIns(db, me)
        check_ins = CheckIns(
            shared, status=process.status, committer=committer, unstored=unstored, metrics=self._metrics
        )
        requests = RequestLog(db, me.instance_id, self._logs)
        self.agent_services = AgentServices(Enrollment(shared), check_ins, ImageCopies(shared), requests)
        retention = Retention(db, process.secrets, self._logs, lambda: self.leadership.fence() is not None)
        series = SeriesRecorder(db, lambda: self.leadership.fence() is not None)
        self._machines = MachineRounds(self.guardian.context, Providers(process.secrets))
        self.loops: dict[str, Loop] = {
            "listener": self.listener.run,
            "guardian": self.guardian.run,
            "refill": self._refill.run,
            "leadership": self.leadership.run,
            "leadership watch": self._watch.run,
            "commits": committer.run,
            "unstored check-ins": unstored.run,
            "retention": retention.run,
            "series": series.run,
            "machines": self._machines.run,
            "logs": self._logs.run,
            "audit": audit.run,
            "requests": requests.run,
            "lateness": process.lateness.run,
        }

    async def run(self) -> None:
        self._metrics.add_registered_metrics(
            self.leadership.fence, self._logs, self.agent_services.requests, self._audit
        )
        write_log = partial(self._logs.write, LogCode.LOOP_FAILED)
        async with asyncio.TaskGroup() as group:
            for name, loop in self.loops.items():
                group.create_task(keep_running(name, loop, write_log), name=name)

    def _on_elected(self) -> None:
        """Begin the Primary's work now, and answer the held check-ins, so that Agents get the new term."""
        self._metrics.elections.inc()
        self.guardian.wake()
        self._notifier.wake_all()

    def _read_all_again(self) -> None:
        """Read everything again, because notifications may have been missed; the readings of Agents are spread."""
        self._notifier.wake_all(READ_AGAIN_WITHIN_S)
        self._agenda.mark_all_changed()
        self.guardian.wake()
        self._watch.wake()

    def _on_event(self, event: ChangeEvent) -> None:
        wakes = TOPICS[event.topic].wakes
        if ManagerPart.AGENT in wakes:
            self._notifier.wake(event.id, event.session_id)
        if ManagerPart.POOL in wakes and event.id:
            self._agenda.mark_changed(event.id)
            self._refill.request(event.id)
        if ManagerPart.POOLS in wakes:
            self._agenda.mark_all_changed()
        if event.id and event.id != str(self._me.zone_key):
            return
        if ManagerPart.AGENTS in wakes:
            self._notifier.wake_all()
        if ManagerPart.ROUND in wakes:
            self.guardian.wake()
        if ManagerPart.LEADERSHIP in wakes:
            self._watch.wake()
        if ManagerPart.MACHINES in wakes:
            self._machines.wake()


async def main() -> None:
    """Run one Manager until SIGTERM."""
    config = configure_role(ManagerConfig)
    await stops.serve_commands(config.stop_dir, config.process_name)
    starts = StartLog(config.manager_dir)
    with starts.record_start():
        manager = Manager(config, lambda: starts.crash_loop)
        await manager.start()
        await serve(
            create_app(manager),
            config.manager_host,
            config.manager_port,
            [("manager", manager.run), ("stand-in", manager.stand_in.run)],
            on_stop=manager.stop,
            on_listening=manager.stand_in.start,
        )
