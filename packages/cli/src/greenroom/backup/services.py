"""The backup and the restore of an installation on several machines, whose roles are services of systemd.

The backup contains the database, and the folder with the keys and settings of the machine on which the command runs.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from greenroom.backup.contents import Header, check_form
from greenroom.backup.create import (
    BackupOptions,
    BackupSource,
    CreatedBackup,
    audit_at,
    backup_lock,
    recorded_backup,
    write_backup,
)
from greenroom.backup.database import (
    PostgresTools,
    check_contents,
    drop_replaced_tables,
    empty_database,
    read_installed_database,
    server_version,
)
from greenroom.backup.encryption import DecryptionKey, read_backup_key
from greenroom.backup.reading import DUMP_FILE, check_file, extract_file
from greenroom.backup.restore import RestoredBackup, check_supported, extraction_folder, names_in, recorded_restore
from greenroom.core.errors import SetupError
from greenroom.db.migrate import migrate
from greenroom.db.upgrades import upgrade_lock
from greenroom.up.layout import Layout
from greenroom.up.progress import Progress
from greenroom.up.recorded import record_at

KEY_NAME: Final = "installation.key"


def back_up_services(keys: Path, dsn: str, folder: Path, options: BackupOptions, progress: Progress) -> CreatedBackup:
    """Write a backup of the database at `dsn` and of the folder `keys` into a folder, and verify it.

    Raises:
        SetupError: another backup runs, the folder cannot be written, or the verification failed.
    """
    with backup_lock(Layout(keys)):
        database = read_installed_database(dsn)
        tools = PostgresTools.of_server(database.version)
        source = BackupSource(
            form="services",
            data=keys,
            database=database,
            dump=partial(tools.dump, dsn),
            listing=tools.listing,
            follows_links=True,
        )
        with recorded_backup(audit_at(dsn, keys / KEY_NAME), folder):
            return write_backup(source, folder, options, progress)


def check_services_backup(file: Path, decryption_key: DecryptionKey, dsn: str, *, replace: bool) -> RestoredBackup:
    """Check the whole backup and the database, without changes. Raises SetupError: as for `restore_services`."""
    check_contents(dsn, replace=replace)
    return RestoredBackup(check_file(file, decryption_key, _check_header))


async def restore_services(
    file: Path, decryption_key: DecryptionKey, keys: Path, dsn: str, progress: Progress, *, replace: bool
) -> RestoredBackup:
    """Restore a backup to the database at `dsn`, and the files that are missing in the folder `keys`. A restore that
    fails leaves the database as it was.

    Raises:
        SetupError: the database is not empty and `replace` is False, a process of Greenroom uses it, another machine
            restores or upgrades it, the folder has the key of another installation, or the backup cannot be used.
    """
    check_contents(dsn, replace=replace)
    key = read_backup_key(file, decryption_key)
    try:
        async with upgrade_lock(dsn):
            with _extraction_folder(keys) as folder:
                with progress.step("Decrypting and checking the backup"):
                    verified = await asyncio.to_thread(extract_file, file, key, folder, _check_header)
                    _check_key(folder, keys)
                with progress.step("Restoring the database"), empty_database(dsn, replace=replace):
                    tools = PostgresTools.of_server(server_version(dsn))
                    await asyncio.to_thread(tools.restore, dsn, folder / DUMP_FILE)
                    await migrate(dsn, may_skip=True)
                    _move_missing(folder, keys)
                drop_replaced_tables(dsn)
                await asyncio.to_thread(record_at, dsn, keys / KEY_NAME, recorded_restore(verified.header))
    except OSError as error:
        raise SetupError(f"The backup cannot be restored to {keys}: {error.strerror or error}.") from error
    return RestoredBackup(verified)


@contextmanager
def _extraction_folder(keys: Path) -> Generator[Path]:
    """Yield a new folder in the folder `keys`, with the lock of backups. It is removed after the block."""
    keys.mkdir(mode=0o711, parents=True, exist_ok=True)
    layout = Layout(keys)
    with backup_lock(layout), extraction_folder(layout) as extracted:
        yield extracted.data
        shutil.rmtree(extracted.data)


def _check_header(header: Header) -> None:
    check_form(header, "services")
    check_supported(header)


def _check_key(extracted: Path, keys: Path) -> None:
    """Check that the folder `keys` has no key, or that of the backup. Raises SetupError: it has another key."""
    own, restored = keys / KEY_NAME, extracted / KEY_NAME
    if own.exists() and restored.exists() and own.read_bytes() != restored.read_bytes():
        raise SetupError(
            f"{own} is not the key of the backup, which decrypts the secrets in its database; move the file away on"
            " each web machine, and repeat the command."
        )


def _move_missing(source: Path, target: Path) -> None:
    """Move the files and folders that do not exist in the target, with their modes and owners."""
    for name in names_in(source):
        if name != DUMP_FILE and not os.path.lexists(target / name):
            (source / name).rename(target / name)
