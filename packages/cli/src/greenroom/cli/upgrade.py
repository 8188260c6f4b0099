"""`greenroom upgrade`."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greenroom.cli.backup import PassphraseFile, Recipients, backup_key
from greenroom.cli.instance import Compose, Data, Json, require_one_form
from greenroom.cli.kubernetes import Context, Keys, Kubernetes, open_deployment, upgrade_deployment
from greenroom.cli.output import print_local_result, print_plan
from greenroom.cli.services import OwnerUrl, Services, ServicesFolder
from greenroom.cli.upgrade_services import upgrade_services
from greenroom.up.layout import Layout, running_layout
from greenroom.up.options import KEYS_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable

    from greenroom.backup.encryption import EncryptionKey
    from greenroom.upgrade.execute import UpgradeResult


def upgrade(
    *,
    data: Data,
    compose: Compose = None,
    kubernetes: Kubernetes = None,
    keys: Keys = None,
    context: Context = None,
    backup_folder: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the backup.", file_okay=False, resolve_path=True, show_default="the data folder + -backups"
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    recipient: Recipients = None,
    services: Services = False,
    folder: ServicesFolder = KEYS_FOLDER,
    database_url: OwnerUrl = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Upgrade the running instance to the version of this program, role by role.

    Sessions continue. If a role (api, Manager, Agent or gateway) is not ready in time, all roles return to their
    previous version. --compose and --kubernetes name the files of the new version.
    """
    from greenroom.up import log  # noqa: PLC0415

    require_one_form(compose, kubernetes, services=services, database_url=database_url)
    log.configure_for_command("upgrade")
    key = partial(backup_key, passphrase_file, recipient)
    if services:
        upgrade_services(folder, database_url, backup_folder, key, dry_run=dry_run, as_json=as_json)
        return
    if kubernetes is not None:
        deployment = open_deployment(kubernetes, keys, context)
        upgraded = upgrade_deployment(deployment, backup_folder, key, dry_run=dry_run, as_json=as_json)
    elif compose is not None:
        upgraded = _upgrade_containers(compose, backup_folder, key, dry_run=dry_run, as_json=as_json)
    else:
        layout = running_layout(data)
        if dry_run:
            asyncio.run(_show_plan(layout, as_json=as_json))
            return
        upgraded = asyncio.run(_upgrade(layout, backup_folder or layout.backups, key))
    if dry_run:
        return
    if as_json or upgraded is not None:
        print_local_result(asdict(upgraded) if upgraded else None, *_result_lines(upgraded), as_json=as_json)


def _result_lines(upgraded: UpgradeResult | None) -> list[str]:
    if upgraded is None:
        return []
    title = f"To return to {upgraded.previous}, without the changes since the backup:"
    commands = [title, *(f"  {command}" for command in upgraded.back)] if upgraded.back else []
    return [f"Greenroom {upgraded.new} runs.", *commands]


async def _show_plan(layout: Layout, *, as_json: bool) -> None:
    from greenroom.up.progress import stderr_progress  # noqa: PLC0415
    from greenroom.upgrade.execute import planned_upgrade  # noqa: PLC0415

    async with planned_upgrade(layout, stderr_progress()) as planned:
        print_plan(planned.plan, as_json=as_json)


async def _upgrade(layout: Layout, folder: Path, key: Callable[[], EncryptionKey]) -> UpgradeResult | None:
    """Execute the upgrade. Return None if there is nothing to upgrade."""
    from greenroom.backup.create import BackupOptions  # noqa: PLC0415
    from greenroom.up.progress import stderr_progress  # noqa: PLC0415
    from greenroom.upgrade.execute import planned_upgrade  # noqa: PLC0415
    from greenroom.upgrade.record import upgrade_lock  # noqa: PLC0415

    with upgrade_lock(layout):
        async with planned_upgrade(layout, stderr_progress()) as planned:
            typer.echo("\n".join(planned.plan.lines()), err=True)
            if planned.plan.is_empty:
                return None
            backup = BackupOptions(key=key()) if planned.needs_backup else None
            return await planned.run(folder, backup)


def _upgrade_containers(
    files: Path, folder: Path | None, key: Callable[[], EncryptionKey], *, dry_run: bool, as_json: bool
) -> UpgradeResult | None:
    """Execute the upgrade of a deployment with Docker Compose, or with `dry_run` show the plan. Return None if nothing
    was upgraded."""
    from greenroom.backup.create import BackupOptions  # noqa: PLC0415
    from greenroom.up.deployment import FOLDER  # noqa: PLC0415
    from greenroom.up.progress import stderr_progress  # noqa: PLC0415
    from greenroom.upgrade.compose import compose_upgrade_lock, planned_compose_upgrade  # noqa: PLC0415

    if dry_run:
        print_plan(planned_compose_upgrade(files, stderr_progress()).plan, as_json=as_json)
        return None
    with compose_upgrade_lock():
        planned = planned_compose_upgrade(files, stderr_progress())
        typer.echo("\n".join(planned.plan.lines()), err=True)
        if planned.plan.is_empty:
            return None
        return planned.run(folder or FOLDER.with_name(f"{FOLDER.name}-backups"), BackupOptions(key=key()))
