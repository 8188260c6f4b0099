"""An instance from its start to its end: the work of the process `up`.

The parts of an instance are the processes that `up` supervises: PostgreSQL, the fork server and the roles.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn

import httpx2
import structlog

from greenroom.agent.web_filter.secret_files import forget_secrets
from greenroom.core.errors import GreenroomError, SetupError, Unavailable
from greenroom.core.text import summary
from greenroom.db.database import Database
from greenroom.db.migrate import migrate
from greenroom.kit.processes import become_subreaper
from greenroom.runtimes.registry import find_runtime
from greenroom.up import checks, health, roles
from greenroom.up.control import UpControl
from greenroom.up.first_start import ensure_first_data, ensure_rows
from greenroom.up.fork_server import ForkServer
from greenroom.up.installation import end_sessions_of
from greenroom.up.invariants import live_sessions
from greenroom.up.layout import Layout, missing_instance_error, running_pid
from greenroom.up.options import store_ready_version
from greenroom.up.postgres import clear_after_crash
from greenroom.up.processes import end_all, find_instance_processes, watch_child
from greenroom.up.progress import InstanceDescription, Progress
from greenroom.up.recorded import HostCommand, record
from greenroom.up.site import LEFTOVERS_TIMEOUT_S, Site, site_of, stopped_site
from greenroom.up.status import describe
from greenroom.up.supervisor import State, Supervisor
from greenroom.up.upkeep import ManagerWatch, PartWatch, limit_log_sizes, renew_certificates

log = structlog.get_logger(__name__)


def start_timeout_s() -> float:
    """Return the time limit of a start in seconds. GREENROOM_READY_WITHIN_S increases it for a slow machine."""
    text = os.environ.get("GREENROOM_READY_WITHIN_S", "90")
    try:
        return float(text)
    except ValueError as error:
        raise SetupError(f"GREENROOM_READY_WITHIN_S {text!r} is not a number of seconds.") from error


CHECK_INTERVAL_S: Final = 0.2
"""The interval of the checks of a starting part, in seconds."""

MAX_STARTS: Final = 6
"""The start of the instance fails when a part was started this number of times before the instance was ready."""


END_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that end the instance."""


@dataclass(frozen=True, slots=True)
class UpgradeSupport:
    """The data for an upgrade of `up`. `become_up` runs the `up` of another version in this process. `adopts`: another
    `up` has run in this process, and its children are the running parts."""

    become_up: Callable[[Site], NoReturn]
    adopts: bool


async def run(
    site: Site,
    server: ForkServer,
    progress: Progress,
    on_ready: Callable[[InstanceDescription], None],
    upgrade: UpgradeSupport,
) -> signal.Signals | None:
    """Start the instance and keep it running until one of `END_SIGNALS` arrives. Then end the instance with its
    sessions, and return the signal.

    The signals may be blocked before the call. `server` was forked from this process. `on_ready` is called with the
    description of the instance as soon as all parts are healthy.

    Raises:
        SetupError: the instance cannot be started.
    """
    if not upgrade.adopts and (pending := signal.sigpending() & set(END_SIGNALS)):
        return signal.Signals(min(pending))
    ended_by: list[signal.Signals] = []
    stop = asyncio.Event()

    def end(number: signal.Signals) -> None:
        ended_by.append(number)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in END_SIGNALS:
        loop.add_signal_handler(number, end, number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, END_SIGNALS)
    async with AsyncExitStack() as stack:
        instance = Instance(site, progress, server, upgrade)
        stack.push_async_callback(instance.end)
        starting = asyncio.create_task(instance.start())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            starting.result()
            if not upgrade.adopts:
                command = HostCommand(name="up", action=f"started the instance in {site.layout.data}")
                await record(instance.db, site.layout.key_file, command)
            on_ready(await instance.describe())
            await stopped
            instance.ends_sessions = True
        else:  # the signal has interrupted the start, so an error of the start is ignored
            instance.ends_sessions = upgrade.adopts
            starting.cancel()
            await asyncio.wait([starting])
    return ended_by[0]


class Instance:
    """A running instance, or without a `server` only the database of an instance."""

    def __init__(
        self,
        site: Site,
        progress: Progress,
        server: ForkServer | None = None,
        upgrade: UpgradeSupport | None = None,
    ) -> None:
        self.site = site
        self._server = server
        self._upgrade = upgrade
        self._adopts = upgrade is not None and upgrade.adopts
        self.db = Database(site.dsn, application_name="greenroom up", max_size=2)
        self.supervisor = Supervisor(site.layout.state)
        self.ends_sessions = False
        """True if `end` also ends the sessions. A failed start leaves existing sessions for the next start."""
        self._has_rows = False
        """True after `ensure_rows`: from then on, the Agents may have sessions."""
        self._progress = progress
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start all parts, and return as soon as they are healthy.

        Raises:
            SetupError: a part does not start.
        """
        become_subreaper()
        if self._adopts:
            self.supervisor.adopt(State.read(self.site.layout.state))
        if self._server is not None:
            self.supervisor.forks.adopt(self._server.channel)
            part = roles.fork_server(self.site, self.supervisor.forks)
            self.supervisor.run(replace(part, process=watch_child(self._server.pid)))
        await self.start_database()
        self._start_task(self.supervisor.watch(), "supervisor")
        self._start_task(limit_log_sizes(self.site.layout.logs), "logs")
        with self._progress.step("Migrating the database"):
            await migrate(self.site.dsn, only_pre=self._adopts)
            await self.db.open()
            await ensure_first_data(
                self.db,
                self.site.layout.credentials,
                checks.desktop_image(),
                reachable=bool(self.site.settings.hostname),
            )
            await ensure_rows(self.db, self.site)
            self._has_rows = True
        with self._progress.step("Starting api, Managers, Agents and the gateway"):
            async with health.client(self.site.layout.ca_file) as http:
                self._start_services()
                await self._wait_until_healthy(http, frozenset({"agent"}))
                # Both an original and its copy may have been starting at the first check.
                checks.check_only_instance(self.site.layout, checks.running_folders())
                self._start_agents()
                await self._wait_until_healthy(http)
        store_ready_version(self.site.layout, self.site.settings)
        if self._upgrade is not None:
            control = UpControl(self.site, self.supervisor, self._upgrade.become_up)
            self._start_task(control.serve(), "control")
        self.supervisor.set_phase("ready")
        for name, watch in self._watches():
            self._start_task(self._run_watch(watch), f"watch {name}")

    async def start_alone(self) -> None:
        """Start only the database, migrate it, and open `db`."""
        become_subreaper()
        await self.start_database()
        await migrate(self.site.dsn)
        await self.db.open()

    async def start_database(self) -> None:
        """Start the embedded PostgreSQL, and create its database if necessary. Do nothing for an external database."""
        if self.site.settings.database_url is not None:
            return
        cluster = self.site.cluster
        cluster.check_version()
        if not cluster.exists():
            with self._progress.step("Creating the database"):
                await asyncio.to_thread(cluster.create)
        cluster.write_access_rules()
        with self._progress.step("Starting PostgreSQL"):
            self.supervisor.run(roles.postgres(self.site, lambda: clear_after_crash(cluster)))
            await self._wait_for_database()

    def _start_services(self) -> None:
        self._start_task(renew_certificates(self.site), "certificates")
        self.supervisor.run(roles.api(self.site))
        for manager in self.site.managers:
            self.supervisor.run(roles.manager(self.site, manager))
        self.supervisor.run(roles.gateway(self.site))

    def _start_agents(self) -> None:
        """Start the Agents. Agents start last, because an Agent that finds no Manager waits before its next attempt."""
        for agent in self.site.agents:
            self.supervisor.run(roles.agent(self.site, agent))

    async def _wait_for_database(self) -> None:
        async def failing() -> list[health.Health]:
            problem = await health.database_problem(self.site.dsn)
            return [] if problem is None else [health.database_health(problem)]

        await self._wait_while(failing)

    async def _wait_until_healthy(self, http: httpx2.AsyncClient, ignored_roles: frozenset[str] = frozenset()) -> None:
        async def failing() -> list[health.Health]:
            states = await health.check_all(http, self.db, self.site)
            return [state for state in states if not state.ok and state.role not in ignored_roles]

        await self._wait_while(failing)

    async def _wait_while(self, failing: Callable[[], Awaitable[list[health.Health]]]) -> None:
        """Repeat the check until it returns no failing part.

        Raises:
            SetupError: a part is not ready in time, or cannot be started; the message contains its last problem and the
                last line of its log.
        """
        end = asyncio.get_running_loop().time() + start_timeout_s()
        while failed := await failing():
            self._raise_if_failed()
            if asyncio.get_running_loop().time() > end:
                problems = " ".join(f"{state.name}: {state.detail} {self._end_of_log(state.name)}" for state in failed)
                raise SetupError(f"The instance is not ready after {start_timeout_s():g} s. {problems}")
            await asyncio.sleep(CHECK_INTERVAL_S)

    def _end_of_log(self, name: str) -> str:
        """Return a sentence with the last line of the log of a part. The first word of `name` names the part."""
        log_file = self.site.layout.log(name.split(maxsplit=1)[0])
        return f"Its log {log_file} ends with: {last_log_line(log_file)}"

    def _raise_if_failed(self) -> None:
        """Check that every part can still become ready.

        Raises:
            SetupError: a part cannot be started, or has ended too often.
        """
        if (failed := self.supervisor.failed_task()) is not None:
            name, error = failed
            raise SetupError(f"{name} cannot be started: {summary(error)}") from error
        for part in self.supervisor.parts:
            if part.starts >= MAX_STARTS:
                raise SetupError(f"{part.name} does not start ({part.last_exit}). {self._end_of_log(part.name)}")

    def _watches(self) -> Iterator[tuple[str, PartWatch]]:
        restart, part_of = self.supervisor.restart, {part.name: part for part in self.supervisor.parts}
        yield "api", PartWatch(part_of["api"], self.site.api_health_url, restart, self.db)
        for agent in self.site.agents:
            yield agent.name, PartWatch(part_of[agent.name], agent.health_url, restart, self.db)
        for manager in self.site.managers:
            yield manager.name, ManagerWatch(manager, part_of[manager.name], restart, self.db)

    async def _run_watch(self, watch: PartWatch) -> None:
        async with health.client(self.site.layout.ca_file) as http:
            await watch.run(http)

    async def describe(self) -> InstanceDescription:
        return await describe(self.db, self.site)

    def _start_task(self, work: Any, name: str) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with self._progress.step("Stopping the processes"):
            await self.supervisor.stop(except_roles=frozenset({"postgres"}))
        remains = ""
        if self.ends_sessions or await self._has_no_session():
            try:
                with self._progress.step("Ending sessions"):
                    await end_sessions(self.db, self.site)
            except SetupError as error:
                remains = error.message
                log.error("not everything could be removed", reason=remains)
        await self.db.close()
        await self.supervisor.stop()
        if remains:  # the next `down` must clean up
            State(phase="ended", left=remains).write(self.site.layout.state)
        else:
            self.site.layout.state.unlink(missing_ok=True)

    async def _has_no_session(self) -> bool:
        """True if the Agents have no session, so that `end` may also remove their networks."""
        try:
            return self._has_rows and not await live_sessions(self.db, self.site.agent_ids)
        except Unavailable as error:
            log.warning("it is unknown whether there are sessions", reason=error.message)
            return False


@asynccontextmanager
async def database_of(layout: Layout, progress: Progress) -> AsyncGenerator[tuple[Database, Site]]:
    """Yield the database of the instance. If the instance is not running, its database runs only during the block.

    Raises:
        SetupError: there is no instance, or its database does not start.
    """
    if not layout.ports.exists():
        raise missing_instance_error(layout)
    if running_pid(layout) is not None:
        site = site_of(layout)
        db = Database(site.dsn, application_name="greenroom", max_size=2)
        await db.open()
        try:
            yield db, site
        finally:
            await db.close()
        return
    async with stopped_site(layout) as site:
        instance = Instance(site, progress)
        try:
            await instance.start_alone()
            yield instance.db, site
        finally:
            await instance.end()


async def clean_up(layout: Layout, progress: Progress) -> None:
    """End and remove the remains of an instance whose `up` was killed: processes, sessions, containers, networks.

    Raises:
        SetupError: `up` is running, another running instance has the same installation id, or a process or session
            cannot be ended.
    """
    with progress.step("Ending the remaining processes"):
        await end_all(lambda: find_instance_processes(layout.data), LEFTOVERS_TIMEOUT_S)
    if layout.ports.exists():
        checks.check_only_instance(layout, checks.running_folders())
        async with database_of(layout, progress) as (db, site):
            with progress.step("Ending sessions"):
                await end_sessions(db, site)
    layout.state.unlink(missing_ok=True)


async def end_sessions(db: Database, site: Site) -> None:
    """End every session of the instance's Agents, which have stopped: first the rows, then the containers.

    If the database is unavailable, the containers are still removed; the next `up` corrects the rows. An instance
    without an installation id never had an Agent, so there is nothing to remove.

    Raises:
        SetupError: the runtime does not respond or refuses; the message contains the command that removes the remains.
    """
    layout = site.layout
    if not (installation := layout.stored_installation_id()):
        return
    try:
        await end_sessions_of(db, site.agent_ids, "instance stopped")
    except Unavailable as error:
        log.warning("the sessions' rows stay as they are", reason=error.message)
    for agent in site.agents:
        forget_secrets(layout.web_filter(agent.name))
    runtime = find_runtime(site.settings.runtime)
    try:
        for agent in site.agents:
            await runtime.remove_all(installation, agent.folder)
    except GreenroomError as error:
        raise SetupError(
            f"The instance has ended, but its sessions and the objects that they share remain in"
            f" {runtime.title}. {error.message} When {runtime.title} responds again, remove them with:"
            f" greenroom down --data {shlex.quote(str(layout.data))}"
        ) from error


def last_log_line(file: Path) -> str:
    """Return the last non-empty line of a log."""
    try:
        lines = [line for line in file.read_text(errors="replace").splitlines() if line.strip()]
    except FileNotFoundError:
        return "(no output)"
    return lines[-1][:300] if lines else "(no output)"
