"""`greenroom upgrade`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from greenroom.cli.backup import Keep, PassphraseFile, Recipients, Recordings, backup_key
from greenroom.cli.installation import SelectedInstallation, with_installation
from greenroom.cli.instance import Json
from greenroom.cli.kubernetes import upgrade_deployment
from greenroom.cli.output import PrintablePlan, print_local_result, print_plan
from greenroom.up.layout import Layout, running_layout

if TYPE_CHECKING:
    from greenroom.backup.create import BackupOptions
    from greenroom.upgrade.outcome import UpgradeResult
    from greenroom.upgrade.services import ServicesResult


class PlannedUpgrade(Protocol):
    """An upgrade of any form of installation, which is planned and can be executed."""

    @property
    def plan(self) -> PrintablePlan: ...
    @property
    def needs_backup(self) -> bool: ...
    async def run(self, folder: Path, backup: BackupOptions | None) -> UpgradeResult | ServicesResult: ...


@with_installation
def upgrade(
    *,
    installation: SelectedInstallation,
    backup_folder: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the backup.",
            file_okay=False,
            resolve_path=True,
            show_default="DATA-backups; with --services /var/backups/greenroom",
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    recipient: Recipients = None,
    recordings: Recordings = True,
    keep: Keep = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Upgrade the running installation to the version of this program, role by role.

    Sessions continue. If a role (api, Manager, Agent or gateway) is not ready in time, all roles return to their
    previous version. --compose and --kubernetes name the files of the new version.
    """
    from greenroom.up import log  # noqa: PLC0415

    installation.check()
    log.configure_for_command("upgrade")

    def backup() -> BackupOptions:
        from greenroom.backup.create import BackupOptions  # noqa: PLC0415

        return BackupOptions(key=backup_key(passphrase_file, recipient), recordings=recordings, keep=keep)

    if installation.kubernetes is not None:
        deployment = installation.kubernetes_deployment(installation.kubernetes)
        result = upgrade_deployment(deployment, backup_folder, backup, dry_run=dry_run, as_json=as_json)
    else:
        planning = _planned(installation, locks=not dry_run)
        if dry_run:
            asyncio.run(_show_plan(planning, as_json=as_json))
            return
        result = asyncio.run(_execute(planning, backup_folder or _default_folder(installation), backup))
    if not dry_run and (as_json or result is not None):
        print_local_result(asdict(result) if result else None, *(result.lines() if result else ()), as_json=as_json)


def _default_folder(installation: SelectedInstallation) -> Path:
    """Return the folder of the backup, if the caller specifies none."""
    from greenroom.up.deployment import FOLDER  # noqa: PLC0415

    if installation.services:
        return Path("/var/backups/greenroom")
    return Layout(installation.data if installation.compose is None else FOLDER).backups


def _planned(installation: SelectedInstallation, *, locks: bool) -> AbstractAsyncContextManager[PlannedUpgrade]:
    """Return the planned upgrade as a context. With `locks`, another upgrade is refused for its duration."""
    if installation.compose is not None:
        return _planned_containers(installation.compose, locks=locks)
    if installation.services:
        return _planned_services(installation.keys_folder, installation.url, locks=locks)
    return _planned_instance(installation.data, locks=locks)


@asynccontextmanager
async def _planned_instance(data: Path, *, locks: bool) -> AsyncGenerator[PlannedUpgrade]:
    from greenroom.up.progress import stderr_progress  # noqa: PLC0415
    from greenroom.upgrade.instance import planned_instance_upgrade  # noqa: PLC0415
    from greenroom.upgrade.instance_facts import instance_upgrade_lock  # noqa: PLC0415

    layout = running_layout(data)
    with instance_upgrade_lock(layout) if locks else nullcontext():
        async with planned_instance_upgrade(layout, stderr_progress()) as planned:
            yield planned


@asynccontextmanager
async def _planned_services(folder: Path, url: str | None, *, locks: bool) -> AsyncGenerator[PlannedUpgrade]:
    from greenroom.up.progress import stderr_progress  # noqa: PLC0415
    from greenroom.upgrade.services import planned_services_upgrade  # noqa: PLC0415
    from greenroom.upgrade.services_facts import services_lock  # noqa: PLC0415

    lock = services_lock(folder, url) if locks else nullcontext()
    async with lock, planned_services_upgrade(folder, url, stderr_progress()) as planned:
        yield planned


@asynccontextmanager
async def _planned_containers(files: Path, *, locks: bool) -> AsyncGenerator[PlannedUpgrade]:
    from greenroom.up.progress import stderr_progress  # noqa: PLC0415
    from greenroom.upgrade.compose import compose_upgrade_lock, planned_compose_upgrade  # noqa: PLC0415

    with compose_upgrade_lock() if locks else nullcontext():
        yield await planned_compose_upgrade(files, stderr_progress())


async def _show_plan(planning: AbstractAsyncContextManager[PlannedUpgrade], *, as_json: bool) -> None:
    async with planning as planned:
        print_plan(planned.plan, as_json=as_json)


async def _execute(
    planning: AbstractAsyncContextManager[PlannedUpgrade], folder: Path, backup: Callable[[], BackupOptions]
) -> UpgradeResult | ServicesResult | None:
    """Execute the upgrade. Return None if there is nothing to upgrade."""
    async with planning as planned:
        typer.echo("\n".join(planned.plan.lines()), err=True)
        if planned.plan.is_empty:
            return None
        return await planned.run(folder, backup() if planned.needs_backup else None)
