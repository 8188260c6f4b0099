"""The upgrade of a deployment with Docker Compose to the version of this program.

Each version has its own folder of compose files, which name the images of this version. The containers know the folder
from which they were started, so a failed upgrade starts the previous containers from the previous folder.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import structlog

from greenroom.backup.compose import create_compose_backup
from greenroom.backup.contents import UPGRADE_LOCK_NAME
from greenroom.backup.create import BackupOptions
from greenroom.core.errors import GreenroomError, SetupError
from greenroom.core.versions import Version, check_upgrade, refuse_downgrade
from greenroom.db.fleet.managers import list_managers
from greenroom.db.migrate import before_new_code, pending_files
from greenroom.kit.program import version
from greenroom.up.checks import open_database
from greenroom.up.compose import (
    DATABASE,
    SERVICE_ROLES,
    ComposeFiles,
    RoleContainer,
    check_account,
    compose_command,
    database_dsn,
    image_version,
    last_log_line,
    postgres_of_image,
    role_containers,
)
from greenroom.up.deployment import FOLDER, MANAGERS, Deployment
from greenroom.up.layout import Layout, exclusive_lock
from greenroom.up.progress import Progress
from greenroom.up.recorded import HostCommand, record_at
from greenroom.upgrade.outcome import UpgradeResult, last_step, not_returned, restore_command, returned
from greenroom.upgrade.plan import RunningRole, UpgradePlan, check_managers, plan_return, plan_upgrade
from greenroom.upgrade.waiting import READY_WITHIN_S, STEADY_S, SteadyProcesses, wait_until

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class ComposeUpgrade:
    """A planned upgrade of the deployment of this host. `previous_files` are the compose files of the previous version;
    None = all containers have the new version already. `changed_services` contains the services that were replaced."""

    progress: Progress
    plan: UpgradePlan
    previous_files: ComposeFiles | None
    new_files: ComposeFiles
    changed_services: list[str] = field(default_factory=list[str])
    processes: SteadyProcesses = field(default_factory=SteadyProcesses)

    @property
    def needs_backup(self) -> bool:
        return True

    async def run(self, folder: Path, backup: BackupOptions | None) -> UpgradeResult:
        """Execute the plan. A backup with the options `backup`, which is required, is written into the folder.

        Raises:
            SetupError: a step failed; the message states which version runs.
        """
        assert backup is not None, "needs_backup"  # noqa: S101
        created = await asyncio.to_thread(create_compose_backup, folder, backup, self.progress)
        previous = str(self.plan.current)
        try:
            with self.progress.step("Creating the files of the new version"):
                self.new_files.run_once("setup")
            with self.progress.step("Applying the migrations before the services"):
                self.new_files.run_once("migrate", "greenroom", "migrate", "--pre")
        except SetupError as error:
            raise SetupError(f"{error.message} No container was replaced; Greenroom {previous} runs.") from error
        await self._replace_services()
        with last_step():
            with self.progress.step("Applying the migrations after the services"):
                self.new_files.run_once("migrate")
            with self.progress.step("Completing the deployment"):
                self.new_files.compose("up", "-d")
        deployment, action = Deployment(FOLDER), f"upgraded the installation from {previous} to {version()}"
        key_file = deployment.installation / "installation.key"
        command = HostCommand(name="upgrade", action=action)
        await asyncio.to_thread(record_at, database_dsn(deployment), key_file, command)
        back = (
            []
            if self.previous_files is None
            else return_commands(self.previous_files.folder, created.file, backup.key.passphrase_file)
        )
        return UpgradeResult(previous=previous, new=version(), backup=str(created.file), back=back)

    async def _replace_services(self) -> None:
        try:
            for role in self.plan.roles:
                self.changed_services.append(role.name)
                with self.progress.step(f"Replacing {role.name}"):
                    await self._start(self.new_files, role.name, version())
            await wait_until(self._problem_of_any, f"Greenroom {version()}", READY_WITHIN_S + STEADY_S)
        except GreenroomError as error:
            await self._return_and_raise(error)

    async def _start(self, files: ComposeFiles, name: str, expected: str) -> None:
        """Start a service, and wait until it works with the version `expected` and keeps running.

        Raises:
            SetupError: the service was not ready in time, or does not keep running.
        """
        files.start(name)
        self.processes.forget(name)
        try:
            await wait_until(partial(self._problem_of, name, expected), name, READY_WITHIN_S + STEADY_S)
        except SetupError as error:
            raise SetupError(f"{error.message} Its log ends with: {last_log_line(name)}") from error

    async def _problem_of(self, name: str, expected: str) -> str:
        containers = role_containers()
        return self._problem_with(containers[name], expected) if name in containers else "its container is missing"

    async def _problem_of_any(self) -> str:
        # All containers are checked each time, so that the time of each process runs from now.
        containers = role_containers().items()
        problems = [f"{name}: {text}" for name, one in containers if (text := self._problem_with(one, version()))]
        return next(iter(problems), "")

    def _problem_with(self, container: RoleContainer, expected: str) -> str:
        not_steady = self.processes.problem(container.name, container.restarts)
        (role,) = running_roles({container.name: container})
        return role.problem_with(expected) or not_steady

    async def _return_and_raise(self, cause: GreenroomError) -> None:
        """Return all replaced services to the previous version after the error `cause`, and raise an error.

        Raises:
            SetupError: always; the message contains that of `cause` and the running version.
        """
        previous = str(self.plan.current)
        files = self.previous_files
        if files is None:
            raise SetupError(
                f"The upgrade failed: {cause.message} Remove the cause, and repeat the command."
            ) from cause
        log.warning("the upgrade failed; the services return to the previous version", reason=cause.message)
        try:
            roles = running_roles(role_containers())
            for name in plan_return(roles, previous, self.changed_services):
                with self.progress.step(f"Returning {name} to {previous}"):
                    await self._start(files, name, previous)
        except GreenroomError as error:
            remedy = f"Return with: cd {shlex.quote(str(files.folder))} && {compose_command()} up -d"
            raise not_returned(cause.message, previous, error.message, remedy) from error
        raise returned(cause.message, f"Greenroom {previous}") from cause


@contextmanager
def compose_upgrade_lock() -> Generator[None]:
    """Hold the lock of upgrades of this host for the duration of the block. Raises SetupError: as for `exclusive_lock`,
    or the caller is not root."""
    check_account()
    if not FOLDER.exists():
        raise SetupError(f"There is no deployment in {FOLDER}.")
    with exclusive_lock(Layout(FOLDER), FOLDER / UPGRADE_LOCK_NAME, "upgrade"):
        yield


async def planned_compose_upgrade(folder: Path, progress: Progress) -> ComposeUpgrade:
    """Return the upgrade of the running deployment of this host to the version of this program, with the compose files
    in a folder. Nothing is changed.

    Raises:
        SetupError: the deployment cannot be upgraded with these files.
    """
    check_account()
    dsn = database_dsn(Deployment(FOLDER))
    containers, files, new = role_containers(), ComposeFiles(folder), Version.parse(version())
    images = files.images()
    with progress.step("Reading the versions"):
        check_images({image: image_version(image) for image in images.values()}, new)
        roles = running_roles(containers)
    versions = [Version.parse(role.version) for role in roles if role.version]
    current = min(versions, default=new)
    refuse_downgrade(max(versions, default=new), new)
    check_upgrade(current, new)
    check_services(containers, images)
    previous_files = _find_previous_files(containers, roles, files)
    if previous_files is not None:
        check_postgres(postgres_of_image(containers[DATABASE].image), postgres_of_image(images[DATABASE]))
    async with open_database(dsn) as db:
        pending, managers = await pending_files(dsn), await list_managers(db)
    own_ids = _manager_ids()
    check_managers(managers, own_ids)
    primaries = {own_ids[manager.instance_id] for manager in managers if manager.is_primary}
    roles = [replace(role, is_primary=role.name in primaries) for role in roles]
    pre = before_new_code(pending)
    interrupted = any(role.version == str(new) for role in roles)
    plan = plan_upgrade(current, new, roles, pre, pending, interrupted=interrupted)
    unfinished = bool(plan.roles or plan.pre or plan.post)
    return ComposeUpgrade(
        progress=progress,
        plan=replace(plan, has_supervisor=False, interrupted=interrupted and unfinished),
        previous_files=previous_files,
        new_files=files,
    )


def running_roles(containers: Mapping[str, RoleContainer]) -> list[RunningRole]:
    """Return the role of each container, with the version that it reports."""
    return [
        RunningRole(name=name, role=SERVICE_ROLES[name], version=container.version(), problem=container.problem())
        for name, container in containers.items()
    ]


def check_images(versions: Mapping[str, Version], own: Version) -> None:
    """Check that the images contain the version `own` of this program. Raises SetupError: an image has another one."""
    for image, found in versions.items():
        if found != own:
            raise SetupError(
                f"The image {image} contains Greenroom {found}, and this command is Greenroom {own}; run the command of"
                f" {found}, or specify the compose files of {own}."
            )


def check_old_images(roles: Iterable[RunningRole], versions: Mapping[str, Version]) -> None:
    """Check that the images of running containers still have their versions. `versions` maps a service to the version
    in the image that has the tag now. Raises SetupError: an image has another version, so no container could return."""
    for role in roles:
        if role.version not in (None, str(found := versions[role.name])):
            raise SetupError(
                f"{role.name} runs Greenroom {role.version}, and the tag of its image now names {found}, so it could"
                " not return; give the images of each version their own tag."
            )


def check_services(running: Collection[str], defined: Collection[str]) -> None:
    """Check that the new compose files define the services that have a container, and no other service of a role.

    Raises:
        SetupError: the services differ, for example because `.env` does not select a second Manager.
    """
    if missing := sorted(set(running) - set(defined)):
        raise SetupError(f"The new compose files do not define {missing[0]}; copy .env from the previous folder.")
    if added := sorted(set(defined) - set(running)):
        raise SetupError(f"{added[0]} has no container; start it with the previous version first.")


def _find_previous_files(
    containers: Mapping[str, RoleContainer], roles: Collection[RunningRole], new_files: ComposeFiles
) -> ComposeFiles | None:
    """Return the compose files of the previous version; None if all containers have the new version. A container of the
    new files that reports no version is one that an interrupted upgrade started.

    Raises:
        SetupError: the files are not those of the running containers, or do not fit the new files.
    """
    new_folder = new_files.folder
    previous = {
        role.name: containers[role.name]
        for role in roles
        if role.version != version() and (role.version is not None or containers[role.name].folder != new_folder)
    }
    if not previous:
        return None
    folder = next(iter(previous.values())).folder
    if folder == new_folder:
        raise SetupError(
            f"The running version was started from {folder}, which is needed for a return; extract the files of"
            f" {version()} to another folder."
        )
    if not folder.is_dir() or any(container.folder != folder for container in previous.values()):
        raise SetupError(
            f"The containers were not started from one folder that still exists ({folder}); start the running version"
            f" from one folder with: {compose_command()} up -d"
        )
    images = ComposeFiles(folder).images()
    for name, container in previous.items():
        if images.get(name) != container.image:
            raise SetupError(
                f"{name} runs the image {container.image}, and the compose files in {folder} name {images.get(name)};"
                " restore the files of the running version."
            )
    old_versions = {name: image_version(container.image) for name, container in previous.items()}
    check_old_images([role for role in roles if role.name in previous], old_versions)
    if (folder / ".env").exists() and not (new_folder / ".env").exists():
        raise SetupError(
            f"{new_folder} has no settings; run: cp {shlex.quote(str(folder / '.env'))} {shlex.quote(str(new_folder))}"
        )
    if not new_files.compose("ps", "-q", DATABASE).strip():
        raise SetupError(
            f"The running containers belong to another project of Docker Compose than {new_folder}; name both folders"
            " alike, for example compose, or set COMPOSE_PROJECT_NAME in .env."
        )
    return ComposeFiles(folder)


def check_postgres(running: str, new: str) -> None:
    """Check that both images of the database have the same major version of PostgreSQL, which the files of the database
    require. Raises SetupError: they differ."""
    if running != new:
        raise SetupError(
            f"The database runs PostgreSQL {running}, and the new image has {new}; back up, and restore the backup with"
            " the new compose files: greenroom restore FILE --replace --compose FOLDER"
        )


def _manager_ids() -> dict[str, str]:
    """Return instance id → service of the Managers of this host."""
    files = {name: FOLDER / name / "instance_id" for name in MANAGERS}
    return {file.read_text().strip(): f"kasm_{name}" for name, file in files.items() if file.exists()}


def return_commands(folder: Path, backup: Path, passphrase_file: str) -> list[str]:
    """Return the commands that return to the previous version, whose compose files are in the folder, and to the backup
    with this passphrase file (or none)."""
    quoted = shlex.quote(str(folder))
    program = f"{shlex.quote(sys.executable)} -P -m greenroom"
    return [
        f"(cd {quoted} && {compose_command()} stop)",
        restore_command(program, str(backup), passphrase_file, f"--compose {quoted}"),
        f"(cd {quoted} && {compose_command()} up -d)",
    ]
