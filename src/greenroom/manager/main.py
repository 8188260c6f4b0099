"""Wires the parts of one Manager and runs them: `greenroom manager`."""

from __future__ import annotations

import asyncio
import socket
from importlib import metadata
from typing import Final

import structlog

from greenroom.core.errors import SetupError, Unavailable
from greenroom.core.events import TOPICS, Event, Wakes
from greenroom.core.fleet.lease import timings_problem
from greenroom.core.fleet.liveness import silence_problem
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.diagnostics.requests import RequestLog
from greenroom.db.fleet.leases import refuse_pooler
from greenroom.db.fleet.managers import ManagerRow, adopt, describe, hold_instance
from greenroom.db.notifications import ListenConnection, Listener
from greenroom.kit import log as kit_log
from greenroom.kit import stops
from greenroom.kit.config import ManagerConfig, load
from greenroom.kit.lateness import LatenessMeter
from greenroom.kit.secrets import Secrets
from greenroom.kit.serving import serve
from greenroom.manager import files
from greenroom.manager.app import ForAgents, create_app
from greenroom.manager.checkin.commit import Committer
from greenroom.manager.checkin.enrolment import Enrolment
from greenroom.manager.checkin.observations import Observations
from greenroom.manager.checkin.polling import CheckIns
from greenroom.manager.files import instance_id
from greenroom.manager.guardian import Guardian
from greenroom.manager.lease import LeaseKeeper, LeaseWatch, timings_of
from greenroom.manager.metrics import Metrics
from greenroom.manager.pulse import Pulse
from greenroom.manager.status import ManagerStatus, Wakers
from greenroom.manager.tasks.retention import Retention
from greenroom.manager.tasks.rounds import PrimaryRounds, Refill

log = structlog.get_logger(__name__)

STATEMENT_TIMEOUT_MS: Final = 500
"""Of the pool (PROTOCOLS §1): a Manager frozen inside a guarded transaction must not hold up its successor."""
REGISTER_AGAIN_S: Final = 1.0


class Manager:
    """One process = one Manager of one zone. It is registered before it listens, unless the database is away: then it
    listens, unhealthy, and registers later."""

    def __init__(self, config: ManagerConfig) -> None:
        if problem := timings_problem(timings_of(config)):
            raise SetupError(problem)
        if problem := silence_problem(config.agent_missing_s, config.checkin_hold_s):
            raise SetupError(problem)
        self._config = config
        self._secrets = Secrets.from_file(config.secret_key_file)
        self._instance_id = instance_id(config.manager_dir)
        self._dsn = config.database_session_url or config.database_url
        self.db = Database(
            config.database_url,
            application_name=f"greenroom manager {self._instance_id}",
            statement_timeout_ms=STATEMENT_TIMEOUT_MS,
            acquire_timeout_s=1.0,
        )
        self.logs = LogWriter(self.db, "manager")
        self.standing = ManagerStatus(config.unhealthy_after_s)
        self.wakers = Wakers()
        self.metrics = Metrics(self.standing, self.wakers)
        self.metrics.show_log(self.logs)
        self._lateness = LatenessMeter(proc=None)
        self.for_agents: ForAgents | None = None
        self.requests: RequestLog | None = None
        self._lease: LeaseKeeper | None = None
        self._watch: LeaseWatch | None = None
        self._guardian: Guardian | None = None
        self._refill: Refill | None = None
        self._listening: asyncio.Task[None] | None = None
        self.pulse = Pulse(self.standing)

    async def start(self) -> None:
        """Register if the database answers.

        Raises:
            SetupError: this Manager must not run: its zone does not exist, another process has its instance id, or
                a transaction pooler is in between.
        """
        await self.db.open()
        try:
            await self._register()
        except Unavailable as error:
            log.warning("the Manager registers as soon as the database answers", reason=error.message)

    async def run(self) -> None:
        while self.standing.me is None:
            await asyncio.sleep(REGISTER_AGAIN_S)
            await self.start()
        me = self.standing.me
        lease, watch, guardian = self._parts(me)
        self._lease, self._watch, self._guardian = lease, watch, guardian
        self._refill = Refill(guardian.context)
        self.metrics.show_lease(lease.fence)
        retention = Retention(self.db, lambda: lease.fence() is not None)
        observations = Observations(self.db, me, self.logs)
        committer = Committer(self.db, me.manager_id, self._config, observations, self.metrics.commit_seconds)
        self.requests = RequestLog(self.db, me.instance_id, self.logs)
        self.metrics.show_requests(self.requests)
        check_ins = CheckIns(
            db=self.db,
            me=me,
            config=self._config,
            secrets=self._secrets,
            logs=self.logs,
            standing=self.standing,
            wakers=self.wakers,
            committer=committer,
            metrics=self.metrics,
        )
        self.for_agents = ForAgents(Enrolment(self.db, me, self._secrets, self.logs), check_ins)
        if self._listening is None:
            raise AssertionError("registered without listening")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_wait(self._listening), name="listener")
                parts = (guardian, self._refill, lease, watch, committer, retention)
                for loop in (part.run for part in (*parts, self.logs, self.requests, self._lateness)):
                    group.create_task(loop(), name=loop.__qualname__)
        finally:
            await self.db.close()

    def stop(self) -> None:
        """SIGTERM: resign now, end held check-ins, accept no new ones."""
        self.standing.stopping = True
        self.pulse.stop()
        self.wakers.wake_all()
        if self._lease is not None:
            self._lease.request_stop()

    async def _register(self) -> None:
        await refuse_pooler(self._dsn)
        me = await adopt(self.db, self._instance_id, self._config.zone, socket.gethostname(), version())
        if self._listening is None:
            await self._listen(me)
        await describe(self.db, me.manager_id, socket.gethostname(), version(), self._config.gateway_url)
        if me.zone_name != self._config.zone:
            log.warning("the record of this Manager names another zone, which counts", zone=me.zone_name)
        files.match_sentinel(self._config.sentinel_file, me.enabled)
        self.standing.enabled = me.enabled
        self.standing.me = me
        log.info("registered", instance_id=me.instance_id, zone=me.zone_name, enabled=me.enabled)

    async def _listen(self, me: ManagerRow) -> None:
        """Open L with the lock of this instance id, and keep it open."""
        connected = asyncio.Event()

        async def prepare(connection: ListenConnection) -> None:
            await hold_instance(connection, me.manager_key, me.instance_id)

        def on_connect() -> None:
            connected.set()
            self._missed()

        listener = Listener(
            self._dsn,
            application_name=f"greenroom listen {me.instance_id}",
            on_event=self._heard,
            on_connect=on_connect,
            prepare=prepare,
        )
        listening = asyncio.create_task(listener.run(), name="listener")
        waiting = asyncio.create_task(connected.wait())
        await asyncio.wait({listening, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            waiting.cancel()
            listening.result()
        self._listening = listening

    def _parts(self, me: ManagerRow) -> tuple[LeaseKeeper, LeaseWatch, Guardian]:
        lease = LeaseKeeper(
            self._dsn,
            me,
            timings=timings_of(self._config),
            logs=self.logs,
            on_taken=self.standing.taking_over,
            on_elected=self._elected,
            hangs=lambda: self.standing.hangs,
        )
        watch = LeaseWatch(self.db, me)
        guardian = Guardian(
            db=self.db,
            me=me,
            config=self._config,
            secrets=self._secrets,
            logs=self.logs,
            standing=self.standing,
            lease=lease,
            watch=watch,
            wakers=self.wakers,
            primary_round=PrimaryRounds().run,
            lateness=self._lateness,
        )
        return lease, watch, guardian

    def _elected(self) -> None:
        """Begin the Primary's work now, and notify Agents and pages."""
        self.metrics.elections.inc()
        if self._guardian is not None and self.standing.me is not None:
            self._guardian.wake()
            self.wakers.wake_all()

    def _missed(self) -> None:
        """Notifications may have been missed: look at everything."""
        self.wakers.wake_all()
        if self._guardian is not None and self._watch is not None:
            self._guardian.wake()
            self._watch.wake()

    def _heard(self, event: Event) -> None:
        wakes = TOPICS[event.topic].wakes
        if Wakes.AGENT in wakes:
            self.wakers.wake(event.id)
        if Wakes.POOL in wakes and event.id and self._refill is not None:
            self._refill.want(event.id)
        if event.id and (self.standing.me is None or event.id != str(self.standing.me.zone_key)):
            return
        if Wakes.AGENTS in wakes:
            self.wakers.wake_all()
        if Wakes.ROUND in wakes and self._guardian is not None:
            self._guardian.wake()
        if Wakes.LEASE in wakes and self._watch is not None:
            self._watch.wake()


async def _wait(task: asyncio.Task[None]) -> None:
    await task


def version() -> str:
    """The installed version of Greenroom."""
    return metadata.version("greenroom")


async def main() -> None:
    """Run one Manager until SIGTERM."""
    config = load(ManagerConfig)
    kit_log.configure(config.log_level, config.process_name)
    await stops.serve(config.stop_dir, config.process_name)
    manager = Manager(config)
    await manager.start()
    await serve(
        create_app(manager),
        config.manager_host,
        config.manager_port,
        [("manager", manager.run), ("pulse", manager.pulse.run)],
        on_stop=manager.stop,
        on_listening=manager.pulse.listens,
    )
