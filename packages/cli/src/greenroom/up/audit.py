"""The audit on the host: verification with the key of the installation, and the events of commands that write to the
database."""

from __future__ import annotations

import getpass
import os
from datetime import date
from pathlib import Path

from greenroom.core.audit import AuditEvent, Link
from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.db.diagnostics.audit import Verification, append_events, verify
from greenroom.kit.secrets import Secrets
from greenroom.up import instance, log
from greenroom.up.layout import Layout, check_folder
from greenroom.up.progress import stderr_progress


def account_name() -> str:
    """Return the account that runs the command; with sudo, the account of the person."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


async def record_command(
    db: Database, key_file: Path, *, command: str, action: str, code: LogCode, object_name: str
) -> None:
    """Add the event of a command that changed the database. `action` is a sentence without its subject. The first part
    of the code is the kind of the object."""
    account = account_name()
    event = AuditEvent(
        code=str(code),
        message=f"{account} on the host {action}",
        operation=f"greenroom {command}",
        interface="cli",
        actor_kind="host",
        actor_name=account,
        object_kind=code.rpartition("-")[0],
        object_name=object_name,
    )
    async with db.transaction() as connection:
        await append_events(connection, Secrets.from_file(key_file), [event])


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
