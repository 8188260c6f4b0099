"""The upgrade of an instance on one machine, by the program of the new version.

The process `up` is replaced after the roles. Before that, a failure returns the roles to the previous version, which
supports the database, because only *pre* migrations were applied. Every step can be repeated, so an upgrade that was
killed can be run again.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import httpx2
import structlog

from greenroom.backup.create import BackupOptions, create_backup
from greenroom.core.errors import GreenroomError, SetupError
from greenroom.core.text import one_line
from greenroom.core.versions import Version, check_upgrade
from greenroom.db.database import Database
from greenroom.db.fleet.managers import list_managers
from greenroom.db.migrate import before_new_code, migrate, pending_files
from greenroom.kit import plugins
from greenroom.kit.program import version
from greenroom.up import health
from greenroom.up.control import BecomeUp, ControlAnswer, Describe, ProgramFiles, ReplaceRole, UsePrograms, send_request
from greenroom.up.instance import last_log_line, start_timeout_s
from greenroom.up.layout import Layout, running_pid, wait_for_end, write_text
from greenroom.up.programs import find_unreadable_path, own_programs
from greenroom.up.progress import Progress
from greenroom.up.recorded import HostCommand, recorded
from greenroom.up.site import Site, site_of
from greenroom.up.supervisor import State
from greenroom.upgrade.instance_facts import UpgradeRecord, read_roles
from greenroom.upgrade.outcome import UpgradeResult, last_step, not_returned, returned, sentence
from greenroom.upgrade.plan import (
    ROLE_ORDER,
    RunningRole,
    UpgradePlan,
    check_environment,
    check_managers,
    check_plugins,
    plan_return,
    plan_upgrade,
    return_commands,
)
from greenroom.upgrade.waiting import READY_WITHIN_S, STEADY_S, SteadyProcesses, wait_until

log = structlog.get_logger(__name__)

LOADED_WITHIN_S: Final = 60.0
END_WITHIN_S: Final = 10.0
START_WITHIN_S: Final = 180.0
"""The time limit for the start of the previous version after its `up` has ended."""
_LOAD_ROLES: Final = "from greenroom.up import fork_server; fork_server.import_all()"


@dataclass(slots=True, kw_only=True)
class InstanceUpgrade:
    """An upgrade of a running instance to the version of this program. `current_up` describes the supervisor (the
    process `up`) before the upgrade. `record` is the record of an interrupted upgrade. `changed_roles` contains the
    roles that were replaced; the replacement of the last role may be incomplete.
    """

    layout: Layout
    site: Site
    http: httpx2.AsyncClient
    db: Database
    progress: Progress
    plan: UpgradePlan
    current_up: ControlAnswer
    programs: ProgramFiles
    """The programs of the version before the upgrade."""
    record: UpgradeRecord | None
    changed_roles: list[str] = field(default_factory=list[str])
    processes: SteadyProcesses = field(default_factory=SteadyProcesses)

    @property
    def needs_backup(self) -> bool:
        """False if the supervisor already has the new version, after an interrupted upgrade."""
        return self.current_up.version != version()

    @property
    def _repeat_command(self) -> str:
        """The command that gives all roles the version that the supervisor had before this upgrade."""
        python, data = shlex.quote(self.programs.python), shlex.quote(str(self.layout.data))
        return f"{python} -P -m greenroom upgrade --data {data}"

    async def run(self, folder: Path, backup: BackupOptions | None) -> UpgradeResult:
        """Execute the plan. A backup with the options `backup` is written into the folder; it is required if
        `needs_backup`.

        Raises:
            SetupError: a step failed; the message states which version runs.
        """
        if backup is not None:
            await self._prepare(folder, backup)
        action = f"upgraded the installation from {self.current_up.version} to {version()}"
        async with recorded(self.db, self.layout.key_file, HostCommand(name="upgrade", action=action)):
            await self._replace_roles()
            if self.current_up.version != version():
                await self._replace_up()
            await self._finish()
        UpgradeRecord.remove(self.layout)
        record = self.record
        if record is None or record.new != version():
            return UpgradeResult(previous=self.current_up.version, new=version(), backup="", back=[])
        back = return_commands(record.python, str(self.layout.data), record.backup, record.passphrase_file)
        return UpgradeResult(previous=record.previous, new=version(), backup=record.backup, back=back)

    async def _prepare(self, folder: Path, backup: BackupOptions) -> None:
        """Load the new version, back up, and apply the migrations that the previous version supports.

        Raises:
            SetupError: a step failed, and nothing was changed.
        """
        current = self.current_up.version
        try:
            with self.progress.step("Loading the new version"):
                _check_programs(self.site)
            created = await create_backup(self.layout, folder, backup, self.progress)
            record = UpgradeRecord(
                previous=current,
                new=version(),
                python=self.programs.python,
                backup=str(created.file),
                passphrase_file=backup.key.passphrase_file,
            )
            with (
                record.replaces(self.record, self.layout),
                self.progress.step("Applying the migrations before the roles"),
            ):
                await migrate(self.site.dsn, only_pre=True)
        except (SetupError, OSError) as error:
            raise SetupError(f"{sentence(error)} Nothing was changed; Greenroom {current} runs.") from error
        self.record = record

    async def _replace_roles(self) -> None:
        try:
            await send_request(self.layout, UsePrograms(ProgramFiles.of(own_programs())))
            for role in self.plan.roles:
                self.changed_roles.append(role.name)
                with self.progress.step(f"Replacing {role.name}"):
                    await self._replace(role.name, version())
            await self._wait_until_all_work()
        except GreenroomError as error:
            await self._return_and_raise(error)

    async def _replace(self, name: str, expected: str) -> None:
        """Replace a role, and wait until it works with the version `expected` and keeps running.

        Raises:
            SetupError: the role was not ready in time, or does not keep running.
        """
        await send_request(self.layout, ReplaceRole(name))
        self.processes.forget(name)
        try:
            await wait_until(lambda: self._problem_of(name, expected), name, READY_WITHIN_S + STEADY_S)
        except SetupError as error:
            file = self.layout.log(name)
            raise SetupError(f"{error.message} Its log {file} ends with: {last_log_line(file)}") from error

    async def _problem_of(self, name: str, expected: str) -> str:
        roles = await read_roles(self.http, self.db, self.site)
        return next(self._problem_with(role, expected) for role in roles if role.name == name)

    def _problem_with(self, role: RunningRole, expected: str) -> str:
        not_steady = self._not_steady().get(role.name, "it has not started")  # counts ends also while it has a problem
        return role.problem_with(expected) or not_steady

    def _not_steady(self) -> dict[str, str]:
        """Return the name of each role that the supervisor has started → the reason why it is not steady, or "". The
        time of every role runs from the first call. Raises SetupError: a role does not keep running."""
        parts = [part for part in State.read(self.layout.state).parts if part.role in ROLE_ORDER and part.starts]
        return {part.name: self.processes.problem(part.name, part.starts) for part in parts}

    async def _finish(self) -> None:
        """Apply the migrations that the previous version does not support.

        Raises:
            SetupError: a role does not work, or a migration failed; the message contains the running version.
        """
        with last_step(), self.progress.step("Applying the migrations after the roles"):
            await self._wait_until_all_work()
            await migrate(self.site.dsn)

    async def _wait_until_all_work(self) -> None:
        """Wait until all roles work with the version of this program, and keep running: on a busy machine, a role may
        miss a check.

        Raises:
            SetupError: a role does not work in time, or has another version.
        """
        await wait_until(self._problem_of_any, f"Greenroom {version()}", READY_WITHIN_S + STEADY_S)

    async def _problem_of_any(self) -> str:
        roles = await read_roles(self.http, self.db, self.site)
        problems = (f"{role.name}: {problem}" for role in roles if (problem := self._problem_with(role, version())))
        return next(problems, "")

    async def _return_and_raise(self, cause: GreenroomError) -> None:
        """Return to the previous version after the error `cause`, and raise an error.

        Raises:
            SetupError: always; the message contains that of `cause` and the running version.
        """
        previous = self.current_up.version
        if previous == version():  # the supervisor has the new version, so the roles cannot return
            raise SetupError(
                f"The upgrade failed: {cause.message} Remove the cause, and run it again with: {self._repeat_command}"
            ) from cause
        log.warning("the upgrade failed; the roles return to the previous version", reason=cause.message)
        try:
            await send_request(self.layout, UsePrograms(self.programs))
            roles = await read_roles(self.http, self.db, self.site)
            for name in plan_return(roles, previous, self.changed_roles):
                with self.progress.step(f"Returning {name} to {previous}"):
                    await self._replace(name, previous)
        except GreenroomError as error:
            remedy = f"Run it again with: {self._repeat_command}"
            raise not_returned(cause.message, previous, error.message, remedy) from error
        UpgradeRecord.remove(self.layout)
        raise returned(cause.message, f"Greenroom {previous}") from cause

    async def _replace_up(self) -> None:
        """Run the new version in the process `up`. If `up` does not answer in time, start the previous version.

        Raises:
            SetupError: the new version of `up` does not work.
        """
        settings = self.layout.instance.read_text()
        with self.progress.step("Replacing the supervisor"):
            try:
                await send_request(self.layout, BecomeUp(ProgramFiles.of(own_programs())))
                self.processes = SteadyProcesses()  # the new supervisor counts the starts of the parts anew
                # The new supervisor first waits for the other roles, then for the Agents. All roles continue meanwhile.
                await wait_until(self._problem_of_up, "The supervisor", 2 * start_timeout_s())
            except SetupError as error:
                await asyncio.to_thread(self._start_previous, settings, error)

    async def _problem_of_up(self) -> str:
        if (pid := running_pid(self.layout)) is None:
            raise SetupError(f"The new supervisor has ended. Its log is {self.layout.log('up')}.")
        try:
            answer = await send_request(self.layout, Describe())
        except SetupError as error:
            return error.message
        if answer.version != version():
            return f"it has the version {answer.version}"
        return next(filter(None, [self.processes.problem("up", pid), *self._not_steady().values()]), "")

    def _start_previous(self, settings: str, cause: SetupError) -> None:
        """End the supervisor, but not the sessions. Start the previous version with its `settings` (instance.json), and
        raise an error.

        Raises:
            SetupError: always; the message contains that of `cause` and the running version.
        """
        previous = self.current_up.version
        if (pid := running_pid(self.layout)) is not None:
            os.kill(pid, signal.SIGKILL)  # SIGTERM would end the sessions
            wait_for_end(self.layout, pid, END_WITHIN_S)  # the next start reports a process that has not ended
        command = [self.programs.python, "-P", "-m", "greenroom", "up", "--detach", "--data", str(self.layout.data)]
        try:
            write_text(self.layout.instance, settings, 0o600)  # the new version may have replaced it
            result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=START_WITHIN_S)
            problem = ""
            if result.returncode != 0:
                problem = one_line(result.stderr) or f"it ended with exit code {result.returncode}"
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = str(error)
        if problem:
            raise SetupError(
                f"The upgrade failed: {cause.message} Greenroom {previous} does not start: {problem}"
            ) from cause
        UpgradeRecord.remove(self.layout)
        raise returned(cause.message, f"Greenroom {previous}") from cause


@asynccontextmanager
async def planned_instance_upgrade(layout: Layout, progress: Progress) -> AsyncGenerator[InstanceUpgrade]:
    """Yield the planned upgrade of a running instance to the version of this program. Nothing is changed.

    Raises:
        SetupError: the instance cannot be upgraded to this version.
    """
    up = await send_request(layout, Describe())
    current, new = Version.parse(up.version), Version.parse(version())
    check_upgrade(current, new)
    site, record = site_of(layout), UpgradeRecord.read(layout)
    if up.files is None:
        raise SetupError(
            f"This instance runs copies of its programs in {layout.runtime}, because the accounts of the services"
            " cannot read the originals, for example a clone in a private folder; stop the instance with greenroom"
            " down, update the programs, and start it with greenroom up."
        )
    if current != new:
        check_environment(up.files.python, sys.executable, current, new)
        check_plugins(up.plugins, plugins.distributions(), new)
    db = Database(site.dsn, application_name="greenroom upgrade", max_size=2)
    async with health.client(layout.ca_file) as http:
        await db.open()
        try:
            pending = await pending_files(site.dsn)
            pre = before_new_code(pending)
            roles = await read_roles(http, db, site)
            check_managers(await list_managers(db), [manager.instance_id for manager in site.managers])
            plan = plan_upgrade(current, new, roles, pre, pending, interrupted=record is not None)
            yield InstanceUpgrade(
                layout=layout,
                site=site,
                http=http,
                db=db,
                progress=progress,
                plan=plan,
                current_up=up,
                programs=up.files,
                record=record,
            )
        finally:
            await db.close()


def _check_programs(site: Site) -> None:
    """Check that the accounts of the instance can run the programs of this version, and that the roles can be loaded.

    Raises:
        SetupError: an account cannot read a program, PostgreSQL has another major version, or a role cannot be loaded.
    """
    if (path := find_unreadable_path(site.accounts)) is not None:
        raise SetupError(
            f"An account of the services cannot read {path}; install the new version with umask 022 where all accounts"
            " can read it, for example below /opt."
        )
    if site.settings.database_url is None:
        replace(site, programs=own_programs()).cluster.check_version()
    check_roles_load()


def check_roles_load() -> None:
    """Check that the roles of this version can be loaded. Raises SetupError: a role cannot be loaded."""
    command = [sys.executable, "-P", "-c", _LOAD_ROLES]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LOADED_WITHIN_S)
    except subprocess.TimeoutExpired as error:
        raise SetupError(
            f"The roles of Greenroom {version()} were not loaded within {LOADED_WITHIN_S:g} s; run the upgrade again"
            " when the machine has less load."
        ) from error
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or ["(no output)"]
        raise SetupError(f"The roles of Greenroom {version()} cannot be loaded: {lines[-1]}")
