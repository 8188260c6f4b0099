"""The verification of the audit on a host with the key of the installation."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from greenroom.core.audit import Link
from greenroom.db.database import Database
from greenroom.db.diagnostics.audit import Verification, verify
from greenroom.kit.secrets import Secrets
from greenroom.up import instance, log
from greenroom.up.layout import Layout, check_folder
from greenroom.up.progress import stderr_progress


async def verify_audit(
    data: Path,
    database_url: str | None,
    key_file: Path | None,
    *,
    first_day: date | None,
    last_day: date | None,
    expected: Link | None,
) -> Verification:
    """Verify the audit of the instance in `data`, or of the database at `database_url` with the key in `key_file`.

    Raises:
        SetupError: there is no instance, or the key cannot be read.
        Unavailable: the database cannot be reached.
    """
    log.configure_for_command("audit")
    if database_url is not None and key_file is not None:
        db = Database(database_url, application_name="greenroom", max_size=1)
        await db.open()
        try:
            secrets = Secrets.from_file(key_file)
            return await verify(db, secrets, first_day=first_day, last_day=last_day, expected=expected)
        finally:
            await db.close()
    layout = Layout(data)
    check_folder(layout)
    async with instance.database_of(layout, stderr_progress()) as (db, _):
        secrets = Secrets.from_file(layout.key_file)
        return await verify(db, secrets, first_day=first_day, last_day=last_day, expected=expected)
