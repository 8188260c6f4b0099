"""The events of commands on the host that change or copy the data of an installation. Their actor is the account that
runs the command."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psycopg

from greenroom.core.audit import AuditEvent, Result
from greenroom.core.errors import GreenroomError, SetupError
from greenroom.db.database import Database
from greenroom.db.diagnostics.audit import store_events
from greenroom.db.diagnostics.audit_operations import BegunOperations
from greenroom.db.diagnostics.audit_recovery import watch_operations
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.kit.secrets import Secrets
from greenroom.up.checks import open_database


def account_name() -> str:
    """Return the account that runs the command; with sudo, the account of the person. An account without a name is a
    number."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


CommandName = Literal[
    "up",
    "down",
    "backup",
    "restore",
    "upgrade",
    "migrate",
    "doctor",
    "setup database",
    "setup installation",
    "setup host",
    "users reset-password",
    "users reset-factors",
    "users break-glass",
]
"""The commands that leave an event of their own, by their words after `greenroom`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCommand:
    """A command on the host. `action` is a sentence without its subject. Without a `code`, the code of its event is the
    name."""

    name: CommandName
    action: str
    code: str = ""
    object_kind: str | None = None
    object_name: str | None = None

    def event(self, result: Result = "done", end: str = "") -> AuditEvent:
        """Return the event of the command. `end` is the end of its message."""
        account = account_name()
        return AuditEvent(
            code=self.code or self.name.replace(" ", "-"),
            result=result,
            message=f"{account} on the host {self.action}{end}",
            operation=f"greenroom {self.name}",
            interface="cli",
            actor_kind="host",
            actor_name=account,
            object_kind=self.object_kind,
            object_name=self.object_name,
        )


async def record(db: Database, key_file: Path, command: HostCommand) -> None:
    """Add the event of a command that is done. Raises Unavailable: the database cannot be reached."""
    await store_events(db, Secrets.from_file(key_file), [command.event()])


def record_at(dsn: str, key_file: Path, command: HostCommand) -> None:
    """Add the event of a command that is done, to the database at an address. Without the key of the installation on
    this host, print that there is no event.

    Raises:
        SetupError: the database cannot be reached, or has no audit.
    """
    if has_key(key_file):
        store_at(dsn, key_file, command.event())


def has_key(key_file: Path) -> bool:
    """Return True if this host has the key of the installation. Otherwise, print that the command has no event."""
    if not key_file.exists():
        text = f"Warning: The audit has no event of this command, because the key {key_file} is missing."
        print(text, file=sys.stderr)  # noqa: T201 -- the command's output
        return False
    return True


def store_at(
    dsn: str, key_file: Path, event: AuditEvent, write_logs: Callable[[LogWriter], None] = lambda _: None
) -> None:
    """Add an event and log rows to the database at an address.

    Raises:
        SetupError: the database cannot be reached, or has no audit.
    """

    async def add() -> None:
        async with open_database(dsn) as db:
            logs = LogWriter(db, "up")
            write_logs(logs)
            await logs.flush()
            await store_events(db, Secrets.from_file(key_file), [event])

    try:
        asyncio.run(add())
    except psycopg.Error as error:
        raise SetupError(f"The event of the command cannot be stored in the audit: {error}.") from error


def print_unstored(event: AuditEvent, error: GreenroomError, end: str = "") -> None:
    """Print a warning that the event of a command that has ended is not stored: the work of the command is done."""
    event_text = f"the event {event.code} with the result {event.result} of this command"
    reason = error.message.removesuffix(".")
    text = f"Warning: The audit could not store {event_text}: {reason}.{end}"
    print(text, file=sys.stderr)  # noqa: T201 -- the command's output


@asynccontextmanager
async def recorded(db: Database, key_file: Path, command: HostCommand) -> AsyncGenerator[None]:
    """Record a command: that it begins, and its event at the end of the block, also after an error. If the command is
    killed, another process adds its event. So it does if the event cannot be stored: the command then only prints a
    warning, because its work is done."""
    secrets = Secrets.from_file(key_file)
    operations, operation_id = BegunOperations(db, secrets), str(uuid.uuid4())
    unknown = command.event("unknown", ": the command ended before it stored the result")
    await operations.begin(operation_id, unknown)
    watching = asyncio.create_task(watch_operations(db, secrets, operations))
    try:
        yield
    except GreenroomError as error:
        await _store_result(db, secrets, command.event("failed", f": {error.message}"), operation_id)
        raise
    else:
        await _store_result(db, secrets, command.event(), operation_id)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _store_result(db: Database, secrets: Secrets, event: AuditEvent, operation_id: str) -> None:
    """Store the event of a command that has ended; print a warning if that is impossible."""
    try:
        await store_events(db, secrets, [event], [operation_id])
    except (GreenroomError, psycopg.Error) as error:
        problem = error if isinstance(error, GreenroomError) else SetupError(str(error))
        print_unstored(event, problem, " Greenroom will add the event with the result unknown.")
