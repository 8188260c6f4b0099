"""The backup that `greenroom up` writes before it migrates a stopped instance to its version.

After the installation of a newer package, any restart migrates the database, and the older version refuses it from then
on. The backup is encrypted with a key of the instance, because no administrator is present to type a passphrase.
"""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

from greenroom.backup.create import BackupOptions, create_backup
from greenroom.backup.database import running_database
from greenroom.backup.encryption import EncryptionKey, age
from greenroom.core.errors import SetupError
from greenroom.db.migrate import pending_files
from greenroom.kit.program import version
from greenroom.up.layout import Layout, check_folder, read_json, running_pid, write_text
from greenroom.up.progress import Progress


def back_up_before_migration(layout: Layout, progress: Progress) -> list[str]:
    """Back up a stopped instance that an older version has used, if this version would migrate its database. Return
    lines of text about the backup; [] if there is none.

    Raises:
        SetupError: the backup could not be written; nothing was changed.
    """
    check_folder(layout)
    used_by = read_json(layout.instance).get("version")
    if used_by in (None, version()) or running_pid(layout) is not None:
        return []
    if not asyncio.run(_migrates(layout, progress)):
        return []
    identity = layout.keys / "backup.key"
    try:
        created = asyncio.run(create_backup(layout, layout.backups, BackupOptions(key=_key(identity)), progress))
    except SetupError as error:
        raise SetupError(
            f"{error.message} Greenroom {version()} migrates the database only after a backup. To go on without one,"
            f" first run: greenroom migrate --data {shlex.quote(str(layout.data))}"
        ) from error
    file, key, data = (shlex.quote(str(path)) for path in (created.file, identity, layout.data))
    return [
        f"The backup of Greenroom {used_by} is {created.file}. To return to this version, use its command:",
        f"  greenroom restore {file} --replace --identity {key} --data {data}",
    ]


async def _migrates(layout: Layout, progress: Progress) -> bool:
    async with running_database(layout, progress) as dsn:
        return bool(await pending_files(dsn))


def _key(file: Path) -> EncryptionKey:
    """Return the key for the public key of `file`, which is created if it is missing."""
    if not file.exists():
        write_text(file, f"{age.x25519.Identity.generate()}\n", 0o600)
    return EncryptionKey(recipients=[str(age.x25519.Identity.from_str(file.read_text().strip()).to_public())])
