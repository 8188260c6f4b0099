"""`greenroom upgrade --services`: one of several machines, whose roles are services of systemd."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from greenroom.cli.instance import external_database
from greenroom.cli.output import print_local_result, print_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from greenroom.backup.encryption import EncryptionKey
    from greenroom.upgrade.services import ServicesResult

_BACKUP_FOLDER: Final = Path("/var/backups/greenroom")


def upgrade_services(
    folder: Path,
    database_url: str | None,
    backup_folder: Path | None,
    key: Callable[[], EncryptionKey],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Upgrade the services of this machine to the version of this program, or show the changes."""
    url = external_database(database_url)
    if dry_run:
        asyncio.run(_show_plan(folder, url, as_json=as_json))
        return
    result = asyncio.run(_upgrade(folder, url, backup_folder or _BACKUP_FOLDER, key))
    if as_json or result is not None:
        print_local_result(asdict(result) if result else None, *_result_lines(result), as_json=as_json)


def _result_lines(result: ServicesResult | None) -> list[str]:
    if result is None:
        return []
    lines = [f"Greenroom {result.new} runs on this machine.", *result.waits, *result.left]
    if not result.left:
        lines.append("All Managers and Agents run this version, and the database is up to date.")
    if result.backup:
        lines.append(f"The backup is in {result.backup} on {result.backup_hostname}.")
    if result.back:
        lines += ["To return to the previous version:", *(f"  {command}" for command in result.back)]
    return lines


async def _show_plan(folder: Path, url: str | None, *, as_json: bool) -> None:
    from greenroom.up.progress import stderr_progress  # noqa: PLC0415
    from greenroom.upgrade.services import planned_services  # noqa: PLC0415

    async with planned_services(folder, url, stderr_progress()) as planned:
        print_plan(planned.plan, as_json=as_json)


async def _upgrade(
    folder: Path, url: str | None, backup_folder: Path, key: Callable[[], EncryptionKey]
) -> ServicesResult | None:
    """Execute the upgrade. Return None if there is nothing to do on this machine."""
    from greenroom.backup.create import BackupOptions  # noqa: PLC0415
    from greenroom.up.progress import stderr_progress  # noqa: PLC0415
    from greenroom.upgrade.services import planned_services  # noqa: PLC0415
    from greenroom.upgrade.services_facts import services_lock  # noqa: PLC0415

    async with services_lock(folder, url), planned_services(folder, url, stderr_progress()) as planned:
        typer.echo("\n".join(planned.plan.lines()), err=True)
        if planned.plan.is_empty:
            return None
        backup = BackupOptions(key=key()) if planned.plan.needs_backup else None
        return await planned.run(backup_folder, backup)
