"""The commands `greenroom users reset-password`, `reset-factors` and `break-glass`, which need no running server.

They write to the database directly, so that an administrator of the host can always get access again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.kit.passwords import hash_password
from greenroom.up import installation, instance, log
from greenroom.up.layout import Layout, check_folder
from greenroom.up.progress import stderr_progress
from greenroom.up.recorded import CommandName, HostCommand, recorded

T = TypeVar("T")


def reset_password(data: Path, username: str) -> str:
    """Set a new random password for a user, end their log-ins, and return the password.

    Raises:
        SetupError: there is no instance.
        NotFound: there is no such user.
    """
    password = secrets.token_urlsafe(12)
    password_hash = hash_password(password)
    command = _command("users reset-password", username, f"set a new password of user {username}")
    _in_database(data, command, lambda db: installation.set_password(db, username, password_hash))
    return password


def reset_factors(data: Path, username: str) -> int:
    """Remove the second factors of a user, end their log-ins, and return the number of factors. Errors are those of
    `reset_password`."""
    action = f"removed all second factors of user {username}"
    command = _command("users reset-factors", username, action, LogCode.SECOND_FACTOR_DELETED)
    return _in_database(data, command, lambda db: installation.reset_factors(db, username))


def set_break_glass(data: Path, username: str, *, enabled: bool) -> None:
    """Mark or unmark a break-glass account. Errors are those of `reset_password`, and Refused: the user has no
    password."""
    action = f"changed user {username}: break_glass {str(enabled).lower()}"
    command = _command("users break-glass", username, action)
    _in_database(data, command, lambda db: installation.set_break_glass(db, username, enabled=enabled))


def _command(name: CommandName, username: str, action: str, code: LogCode = LogCode.USER_CHANGED) -> HostCommand:
    kind = code.rpartition("-")[0]
    return HostCommand(name=name, action=action, code=str(code), object_kind=kind, object_name=username)


def _in_database(data: Path, command: HostCommand, act: Callable[[Database], Awaitable[T]]) -> T:
    log.configure_for_command(command.name)
    layout = Layout(data)
    check_folder(layout)

    async def run() -> T:
        async with (
            instance.database_of(layout, stderr_progress()) as (db, _),
            recorded(db, layout.key_file, command),
        ):
            return await act(db)

    return asyncio.run(run())
