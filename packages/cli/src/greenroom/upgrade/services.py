"""The upgrade of the services of this machine, one of several, by the program of the new version.

All services run the program behind one symbolic link, which the command changes. A service that is not ready in time
returns all services of this machine to the previous program. The command of the first machine backs up the database and
applies the *pre* migrations; that of the last machine applies the *post* migrations. Every step can be repeated.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
import subprocess
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx2
import structlog

from greenroom.backup.create import BackupOptions
from greenroom.backup.services import KEY_NAME, back_up_services
from greenroom.core.errors import GreenroomError, SetupError
from greenroom.core.versions import Version
from greenroom.db import upgrades
from greenroom.db.database import Database
from greenroom.db.fleet.managers import ListedManager, list_managers, set_enabled
from greenroom.db.migrate import migrate
from greenroom.db.upgrades import StartedUpgrade
from greenroom.kit import plugins
from greenroom.kit.program import version
from greenroom.up import health
from greenroom.up.checks import open_database
from greenroom.up.options import KEYS_FOLDER
from greenroom.up.progress import Progress
from greenroom.up.recorded import HostCommand, record_at
from greenroom.upgrade import units
from greenroom.upgrade.instance import check_roles_load
from greenroom.upgrade.outcome import last_step, not_returned, restore_command, returned, sentence
from greenroom.upgrade.plan import check_plugins
from greenroom.upgrade.services_facts import (
    ServicesRecord,
    database_of,
    find_own_ids,
    link_of,
    own_environment,
    read_database,
    read_role,
)
from greenroom.upgrade.services_plan import ServicesPlan, UpgradeDatabase, has_other_manager, other_line, plan_services
from greenroom.upgrade.units import UnitService
from greenroom.upgrade.waiting import READY_WITHIN_S, STEADY_S, SteadyProcesses, wait_until

log = structlog.get_logger(__name__)

LEAVE_WITHIN_S: Final = 15.0
"""The time limit until the Agents use another Manager. A check-in lasts 5 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicesResult:
    """The result on this machine. `waits` contains a line for each Manager and Agent of other machines that has another
    version, and `left` the remaining steps. `back` contains the commands that return this machine to the previous
    version. `backup` is the backup that the upgrade needs to return after its end, on the machine `backup_hostname`."""

    new: str
    replaced: list[str]
    waits: list[str]
    left: list[str]
    back: list[str]
    backup: str
    backup_hostname: str

    def lines(self) -> list[str]:
        """Return the result as lines of text."""
        lines = [f"Greenroom {self.new} runs on this machine.", *self.waits, *self.left]
        if not self.left:
            lines.append("All Managers and Agents run this version, and the database is up to date.")
        if self.backup:
            lines.append(f"The backup is in {self.backup} on {self.backup_hostname}.")
        if self.back:
            lines += ["To return to the previous version:", *(f"  {command}" for command in self.back)]
        return lines


@dataclass(slots=True, kw_only=True)
class ServicesUpgrade:
    """An upgrade of the services of this machine to the version of this program. `db` is None on a machine without an
    api and a Manager. `disables`: another Manager runs while the Manager of this machine is replaced."""

    folder: Path
    dsn: str
    db: Database | None
    database: UpgradeDatabase | None
    http: httpx2.AsyncClient
    progress: Progress
    plan: ServicesPlan
    services: dict[str, UnitService]
    link: Path
    previous: Path
    """The program before the upgrade."""
    manager: ListedManager | None
    disables: bool
    record: ServicesRecord
    changed: list[str] = field(default_factory=list[str])
    processes: SteadyProcesses = field(default_factory=SteadyProcesses)

    @property
    def needs_backup(self) -> bool:
        return self.plan.needs_backup

    async def run(self, folder: Path, backup: BackupOptions | None) -> ServicesResult:
        """Execute the plan. A backup with the options `backup` is written into the folder, if the plan needs it.

        Raises:
            SetupError: a step failed; the message states which version runs.
        """
        if self.plan.services or backup is not None or self.plan.pre:
            await self._prepare(folder, backup)
        if self.plan.services or self.plan.interrupted:
            await self._replace_all()
        started = await upgrades.started_upgrade(self.db) if self.db else None
        waits, left = await self._finish()
        if self.db is not None:
            action = f"upgraded the services of {self.plan.hostname} to {version()}"
            command = HostCommand(name="upgrade", action=action)
            await asyncio.to_thread(record_at, self.dsn, self.folder / KEY_NAME, command)
        back = [self._command_of(self.previous)] if self.plan.services else []
        if self.db is not None and not waits and not left:
            back = self._return_with_backup(started) if started and started.version == version() else []
        return ServicesResult(
            new=version(),
            replaced=[service.name for service in self.plan.services],
            waits=waits,
            left=left,
            back=back,
            backup=started.backup if started else "",
            backup_hostname=started.hostname if started else "",
        )

    def _return_with_backup(self, started: StartedUpgrade) -> list[str]:
        """Return the steps that return all machines to the previous version after the end of the upgrade. `started`
        names the program of this version, because this machine may have been upgraded in an earlier run.
        """
        previous, link = shlex.quote(started.previous), shlex.quote(str(self.link))
        options = f"--services{self._folder_option}"
        restore = restore_command(previous, started.backup, started.passphrase_file, options)
        return [
            "on each web machine: systemctl stop greenroom-manager greenroom-api",
            f"on {started.hostname}, with GREENROOM_DATABASE_URL of the owner of the tables: {restore}",
            f"on each machine: ln -sfn {previous} {link}, and restart its services with systemctl",
        ]

    async def _prepare(self, backup_folder: Path, backup: BackupOptions | None) -> None:
        """Check the new version, back up, and apply the migrations that the previous version supports.

        Raises:
            SetupError: a step failed, and nothing was changed.
        """
        try:
            with self.progress.step("Loading the new version"):
                check_roles_load()
                _check_plugins(self.previous)
                _check_accounts(self.services.values())
            if self.database is None or self.db is None:
                return
            files = ("", "")
            if backup is not None:
                created = await asyncio.to_thread(
                    back_up_services, self.folder, self.dsn, backup_folder, backup, self.progress
                )
                files = (str(created.file), backup.key.passphrase_file)
            if self.plan.pre:
                with self.progress.step("Applying the migrations before the services"):
                    await migrate(self.dsn, only_pre=True)
            if backup is not None:
                await upgrades.store_upgrade(self.db, version(), self.plan.hostname, str(self.previous), files)
        except (GreenroomError, OSError) as error:
            raise SetupError(f"{sentence(error)} No service was replaced.") from error

    async def _replace_all(self) -> None:
        """Replace the services of the plan. If one is not ready in time, return to the previous program."""
        own = own_environment()
        try:
            self.record.write(self.folder)
            _switch(self.link, own / "greenroom")
            for service in self.plan.services:
                self.changed.append(service.name)
                with self.progress.step(f"Replacing {service.name}"):
                    await self._replace(service.name, own, version())
            for service in self.plan.services:  # one may have ended while later services were replaced
                await self._wait(service.name, own, version())
            await self._enable_manager()
        except (GreenroomError, OSError) as error:
            await self._return_and_raise(sentence(error))
        ServicesRecord.remove(self.folder)

    async def _replace(self, name: str, environment: Path, expected: str | None) -> None:
        """Restart a service, and wait until it runs the program in `environment` and keeps running. A Manager is
        disabled meanwhile.

        Raises:
            SetupError: the service was not ready in time, or does not keep running.
        """
        if name == "manager":
            await self._disable_manager()
        await asyncio.to_thread(units.restart, self.services[name])
        self.processes.forget(f"greenroom-{name}")
        await self._wait(name, environment, expected)
        if name == "manager":
            await self._enable_manager()

    async def _wait(self, name: str, environment: Path, expected: str | None) -> None:
        """Wait until a service runs the program in `environment` and keeps running.

        Raises:
            SetupError: the service was not ready in time, or does not keep running.
        """

        async def problem() -> str:
            try:
                service = units.read_service(name)
                failing = await units.find_problem(self.http, service, environment, expected)
            except SetupError as error:
                return error.message
            if service.state == "failed":
                raise SetupError(f"greenroom-{name} does not keep running: its state is failed.")
            not_steady = self.processes.problem(f"greenroom-{name}", service.pid or None)
            return failing or not_steady

        try:
            await wait_until(problem, f"greenroom-{name}", READY_WITHIN_S + STEADY_S)
        except SetupError as error:
            raise SetupError(f"{error.message} See: journalctl -u greenroom-{name}") from error

    async def _disable_manager(self) -> None:
        """Disable the Manager of this machine, and wait until no Agent uses it. Another Manager becomes Primary."""
        if self.db is None or self.manager is None or not (self.disables and self.manager.enabled):
            return
        manager_id = self.manager.manager_id
        self.record.enable = True
        self.record.write(self.folder)
        await set_enabled(self.db, manager_id, False)
        try:
            await wait_until(lambda: self._agents_left(manager_id), "The other Manager", LEAVE_WITHIN_S)
        except SetupError as error:  # they use another Manager as soon as this Manager stops
            log.warning("Agents still use the Manager", reason=error.message)

    async def _agents_left(self, manager_id: str) -> str:
        number = await upgrades.agents_of(self.db, manager_id) if self.db else 0
        return f"{number} Agents use {self.manager.instance_id if self.manager else ''}" if number else ""

    async def _enable_manager(self) -> None:
        """Enable the Manager again if the upgrade, or an interrupted one, has disabled it, and wait until it runs."""
        if self.db is None or self.manager is None or not self.record.enable:
            return
        db, manager_id = self.db, self.manager.manager_id
        await set_enabled(db, manager_id, True)

        async def problem() -> str:
            managers = await list_managers(db, manager_id)
            return "" if managers and managers[0].status == "running" else "it has not reported since it was enabled"

        await wait_until(problem, f"The Manager {self.manager.instance_id}", READY_WITHIN_S)
        self.record.enable = False
        self.record.write(self.folder)

    async def _return_and_raise(self, cause: str) -> None:
        """Return all services to the previous program after the error `cause`, the last changed one first, and raise
        an error. An interrupted upgrade may have replaced more services than this one.

        Raises:
            SetupError: always; the message contains `cause` and the program that runs.
        """
        log.warning("the upgrade failed; the services return to the previous program", reason=cause)
        environment = self.previous.parent.resolve()
        try:
            _switch(self.link, self.previous)
            running = {service.role: service.environment for service in units.read_services()}
            others = [name for name in self.services if running.get(name, environment) != environment]
            for name in dict.fromkeys([*reversed(self.changed), *others]):
                with self.progress.step(f"Returning {name} to {self.previous}"):
                    await self._replace(name, environment, None)
            await self._enable_manager()
        except (GreenroomError, OSError) as error:
            remedy = f"Run it again with: {self._command_of(self.previous)}"
            raise not_returned(cause, str(self.previous), sentence(error), remedy) from error
        ServicesRecord.remove(self.folder)
        raise returned(cause, str(self.previous))

    async def _finish(self) -> tuple[list[str], list[str]]:
        """Apply the *post* migrations if all other machines have this version. Return a line for each process that has
        another version, and the remaining steps."""
        if self.db is None or self.database is None:
            return [], [f"Run the command on the other machines, and at last on a web machine: {self._own_command}"]
        own = find_own_ids(self.services)
        processes = await upgrades.running_processes(self.db)
        waits = [other_line(other) for other in processes if other.name not in own and other.version != version()]
        if waits:
            return waits, [f"Upgrade these machines, and then run on one web machine: {self._own_command}"]
        if self.plan.migrates and not self.database.owns_tables:
            program = shlex.quote(str(own_environment() / "greenroom"))
            return [], [f"Apply the other migrations as the owner of the tables: {program} migrate --database-url URL"]
        if self.plan.migrates:
            with last_step(), self.progress.step("Applying the migrations after all machines"):
                await migrate(self.dsn)
        await upgrades.delete_upgrade(self.db)
        return [], []

    @property
    def _own_command(self) -> str:
        return self._command_of(own_environment() / "greenroom")

    @property
    def _folder_option(self) -> str:
        return "" if self.folder == KEYS_FOLDER else f" --folder {shlex.quote(str(self.folder))}"

    def _command_of(self, program: Path) -> str:
        return f"{shlex.quote(str(program))} upgrade --services{self._folder_option}"


def _switch(link: Path, program: Path) -> None:
    """Replace the target of the link atomically."""
    part = link.with_name(f".{link.name}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(program)
    part.replace(link)


def _check_plugins(previous: Path) -> None:
    """Check that the plug-ins of the previous program are installed for this version. Raises SetupError: one is not."""
    code = "from greenroom.kit import plugins; print(*plugins.distributions())"
    command = [str(previous.parent / "python"), "-P", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SetupError(f"The previous program {previous} does not work; the upgrade could not return to it.")
    check_plugins(result.stdout.split(), plugins.distributions(), Version.parse(version()))


def _check_accounts(services: Iterable[UnitService]) -> None:
    """Check that the accounts of the services can run the new program. Raises SetupError: an account cannot."""
    program = own_environment() / "greenroom"
    environment = {"PATH": os.environ.get("PATH", os.defpath)}  # without the password of the owner of the tables
    for user, group in sorted({(service.user, service.group) for service in services if service.user}):
        command = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", str(program), "--version"]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise SetupError(
                f"The account {user} cannot run {program}; install the new version with umask 022 where all accounts"
                " can read it, for example below /opt."
            )


@asynccontextmanager
async def planned_services_upgrade(
    folder: Path, database_url: str | None, progress: Progress
) -> AsyncGenerator[ServicesUpgrade]:
    """Yield the planned upgrade of the services of this machine to the version of this program. Nothing is changed.

    `folder` contains the keys and the configuration. `database_url` is the URL of the owner of the tables; None = the
    URL of the api or of the Manager.

    Raises:
        SetupError: the services cannot be upgraded to this version.
    """
    services = {service.role: service for service in units.read_services()}
    if not services:
        raise SetupError(
            "No service of Greenroom runs on this machine, such as greenroom-agent; without --services, the command"
            " upgrades an instance of greenroom up."
        )
    link = link_of(services.values())
    record = ServicesRecord.read(folder)
    previous = Path(record.previous) if record else link.parent / link.readlink()
    own = own_environment()
    dsn, own_ids = database_of(services, database_url), find_own_ids(services)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx2.AsyncClient(timeout=health.TIMEOUT_S, trust_env=False))
        db = await stack.enter_async_context(open_database(dsn)) if dsn else None
        database = await read_database(dsn, db, own_ids) if db else None
        roles = [await read_role(http, service, own) for service in services.values()]
        plan = plan_services(
            socket.gethostname(),
            Version.parse(version()),
            roles,
            database,
            already_new=[role for role, service in services.items() if service.environment == own],
            interrupted=record is not None,
        )
        if plan.services and record is None and previous.parent.resolve() == own:
            raise SetupError(
                f"Greenroom {version()} was installed into the environment of the running version, which is needed for"
                " a return; install the running version there again, and the new version into another environment."
            )
        manager, disables = None, False
        if db is not None and "manager" in services:
            managers = await list_managers(db)
            manager = next((one for one in managers if one.instance_id in own_ids), None)
            is_replaced = any(role.name == "manager" for role in plan.services)
            disables = manager is not None and is_replaced and has_other_manager(manager, managers)
        yield ServicesUpgrade(
            folder=folder,
            dsn=dsn,
            db=db,
            database=database,
            http=http,
            progress=progress,
            plan=plan,
            services=services,
            link=link,
            previous=previous,
            manager=manager,
            disables=disables,
            record=record or ServicesRecord(previous=str(previous)),
        )
