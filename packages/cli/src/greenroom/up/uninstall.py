"""`greenroom uninstall`: remove what `greenroom up` created on this machine.

`read_installation` reads what is installed, `plan` returns sentences about the removal, and `remove` executes it. An
interrupted removal can be repeated, because instance.json, which marks an instance, is deleted last.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from greenroom.agent.web_filter.secret_files import forget_secrets
from greenroom.agent.web_filter.squid import ACCOUNT as FILTER_ACCOUNT
from greenroom.core.errors import GreenroomError, SetupError
from greenroom.db.database import Database
from greenroom.db.workspace.images import image_references
from greenroom.kit import accounts
from greenroom.runtimes.plugin import RuntimePlugin
from greenroom.runtimes.registry import find_runtime
from greenroom.up import checks, commands
from greenroom.up.account import DATABASE_ACCOUNT, GATEWAY_ACCOUNT, SERVICE_ACCOUNT
from greenroom.up.layout import DataLock, Layout, check_folder, missing_instance_error, mounts_below, running_pid
from greenroom.up.options import Settings, default_data, standard_data, stored_settings
from greenroom.up.processes import end_all, find_instance_processes
from greenroom.up.progress import Progress
from greenroom.up.site import LEFTOVERS_TIMEOUT_S, remove_data, site_of

ACCOUNTS: Final = (SERVICE_ACCOUNT, GATEWAY_ACCOUNT, DATABASE_ACCOUNT, FILTER_ACCOUNT)
UNITS: Final = Path("/etc/systemd/system")
"""The folder with the units of roles that run without `greenroom up`."""
PACKAGE: Final = Path("/usr/lib/greenroom")
"""The folder with the environments of the Debian package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledObjects:
    """The objects of an installation on this machine. `other_installations` contains a sentence for each other
    installation that uses the images and accounts, which therefore remain. `mounts` contains the mounts below DATA, the
    innermost first. `backups` is the folder with the backups of upgrades; None = there is none."""

    data: Path
    is_running: bool
    images: tuple[str, ...] = ()
    mounts: tuple[Path, ...] = ()
    accounts: tuple[str, ...] = ()
    other_installations: tuple[str, ...] = ()
    has_own_database: bool = True
    backups: Path | None = None


@dataclass(frozen=True, slots=True)
class UninstallPlan:
    """Sentences about what is removed, and about what remains, with the commands that remove it."""

    removes: list[str]
    remains: list[str]


def plan(installed: InstalledObjects, *, keep_data: bool, with_accounts: bool = False) -> UninstallPlan:
    """Return what `remove` removes, and what remains."""
    removes = ["All sessions, with their containers, networks and firewall rules, and all processes of the instance."]
    if installed.images:
        removes.append(f"The images {', '.join(installed.images)}.")
    remains = [f"The images and system accounts remain: {reason}" for reason in installed.other_installations]
    if keep_data:
        remains.append(f"The data in {installed.data} remain; `greenroom up` continues with them.")
    else:
        removes += [
            f"The mount {mount} is unmounted; its files remain on its own file system." for mount in installed.mounts
        ]
        removes.append(
            f"The folder {installed.data} with {'the database, ' if installed.has_own_database else ''}keys, home"
            " folders, recordings and logs. Without a backup, they are lost."
        )
        if installed.accounts and with_accounts:
            removes.append(f"The system accounts {', '.join(installed.accounts)}.")
        elif installed.accounts:
            remains.append(
                f"The system accounts {', '.join(installed.accounts)} remain, because the files of a stopped instance"
                f" may belong to them; remove them with: {'; '.join(f'userdel {name}' for name in installed.accounts)}"
            )
    if installed.backups is not None:
        remains.append(f"The backups in {installed.backups} remain; delete them with: sudo rm -r {installed.backups}")
    if not installed.has_own_database:
        remains.append("The external database remains; delete it with the tools of its server.")
    if not installed.is_running:
        remains.append("Images from registries remain, because the instance does not run; list them: docker images")
    remains += [
        "Debian packages and kernel limits remain; revert them with: sudo greenroom host setup --undo",
        f"The program remains; {_removal_of_program(Path(sys.prefix))}.",
    ]
    return UninstallPlan(removes, remains)


def _removal_of_program(prefix: Path) -> str:
    """Return the removal of the program whose environment is in the folder `prefix`."""
    if prefix.parent == PACKAGE:
        return "remove its package with: sudo apt-get purge greenroom"
    return f"delete {prefix} and the link `greenroom` in /usr/local/bin or ~/.local/bin"


def read_installation(layout: Layout) -> InstalledObjects:
    """Return the objects of the instance in DATA on this machine. Nothing is changed. Raises SetupError: there is no
    instance, or its runtime does not answer."""
    check_folder(layout)
    if not layout.instance.exists():
        raise missing_instance_error(layout)
    checks.check_only_instance(layout, checks.running_folders())
    settings, is_running = stored_settings(layout), running_pid(layout) is not None
    references = asyncio.run(_read_image_references(layout)) if is_running else []
    runtime_reasons, images = asyncio.run(
        _read_runtime(find_runtime(settings.runtime), layout.stored_installation_id(), references)
    )
    reasons = (*runtime_reasons, *_reasons_on_machine(layout))
    return InstalledObjects(
        data=layout.data,
        is_running=is_running,
        images=() if reasons else tuple(images),
        mounts=tuple(mounts_below(layout.data)),
        accounts=() if reasons or os.geteuid() != 0 else tuple(filter(_account_exists, ACCOUNTS)),
        other_installations=reasons,
        has_own_database=settings.database_url is None,
        backups=layout.backups if layout.backups.is_dir() else None,
    )


async def _read_image_references(layout: Layout) -> list[str]:
    db = Database(site_of(layout).dsn, application_name="greenroom uninstall", max_size=1)
    await db.open()
    try:
        return await image_references(db)
    finally:
        await db.close()


async def _read_runtime(
    runtime: RuntimePlugin[Any], installation_id: str, references: Iterable[str]
) -> tuple[list[str], list[str]]:
    """Return a sentence for each other installation in the runtime, and the images to remove."""
    try:
        installations = await runtime.other_installations(installation_id)
        images = await runtime.local_images(frozenset(references))
    except GreenroomError as error:
        raise SetupError(
            f"Nothing was removed, because containers, networks and images could not be listed. {error.message} If"
            f" {runtime.title} is no longer on this machine, delete the data folder instead."
        ) from error
    return [f"the installation {other} uses this {runtime.title}." for other in installations], images


def _reasons_on_machine(layout: Layout) -> list[str]:
    """Return a sentence for each other installation that uses the accounts of this machine."""
    reasons = [f"{unit} runs a role." for unit in sorted(UNITS.glob("greenroom-*.service"))]
    if os.geteuid() == 0:
        others = map(Layout, sorted({default_data(), standard_data()} - {layout.data}))
        reasons += [f"{other.data} has another instance." for other in others if other.instance.exists()]
    return reasons


def _account_exists(account: str) -> bool:
    try:
        pwd.getpwnam(account)
    except KeyError:
        return False
    return True


def remove(
    layout: Layout, installed: InstalledObjects, progress: Progress, *, keep_data: bool, with_accounts: bool = False
) -> list[str]:
    """Remove the installation. Return a sentence for each image or account that remains. Raises SetupError: an
    object of another kind could not be removed; the command can be repeated."""
    checks.check_only_instance(layout, checks.running_folders())
    settings = stored_settings(layout)
    if installed.is_running or layout.state.exists():
        commands.down(layout.data)
    lock = DataLock.take(layout)
    try:
        asyncio.run(_remove_from_runtime(layout, settings))
        with progress.step("Removing images"):
            problems = asyncio.run(find_runtime(settings.runtime).remove_images(installed.images))
        if not keep_data:
            with progress.step("Deleting the data"):
                _delete_data(layout)
    finally:
        lock.release()
    if with_accounts and not keep_data and installed.accounts:
        problems += _remove_accounts(installed.accounts)
    return problems


async def _remove_from_runtime(layout: Layout, settings: Settings) -> None:
    """End the processes and sessions that remain after `down`, for example of an instance that was killed."""
    await end_all(lambda: find_instance_processes(layout.data), LEFTOVERS_TIMEOUT_S)
    if not (installation := layout.stored_installation_id()):
        return
    for folder in sorted((layout.data / "agent").glob("*/")):
        forget_secrets(layout.web_filter(folder.name))
        await find_runtime(settings.runtime).remove_all(installation, folder)


def unmount_below(folder: Path) -> None:
    """Unmount all file systems below a folder. Raises SetupError: a file system is still mounted."""
    reason = "it was mounted during the removal"
    for mount in mounts_below(folder):
        result = subprocess.run(["umount", str(mount)], capture_output=True, text=True, check=False)
        reason = result.stderr.strip() or reason
    if mounts := mounts_below(folder):  # a mount that ended by itself is no error
        raise SetupError(f"{mounts[0]} cannot be unmounted ({reason}); unmount it, and repeat the command.")


def _delete_data(layout: Layout) -> None:
    unmount_below(layout.data)  # also file systems that were mounted after `read_installation`
    try:
        remove_data(layout, [layout.data])
    except OSError as error:
        raise SetupError(
            f"{error.filename} cannot be deleted ({error.strerror}); repeat the command as the owner of the instance."
        ) from error


def _remove_accounts(names: Iterable[str]) -> list[str]:
    problems = [f"The account {name} remains: {reason}" for name in names if (reason := accounts.remove_account(name))]
    accounts.LOCK.unlink(missing_ok=True)
    return problems
