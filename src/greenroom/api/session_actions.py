"""What both HTTP interfaces do with a session: find it for a caller, destroy it, keep it alive, run a command in it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from psycopg.rows import DictRow

from greenroom.api.security import Caller
from greenroom.core.errors import Forbidden, NotFound, Unavailable, WrongState
from greenroom.core.progress import Progress, progress
from greenroom.core.settings import Resolved, resolve
from greenroom.core.states import SessionStatus
from greenroom.db import session_views, sessions
from greenroom.db.database import Database
from greenroom.db.groups import memberships_of
from greenroom.db.logs import LogWriter
from greenroom.kit.stops import stop

COMMAND_SLACK_S: Final = 10.0
"""Added to a command's deadline for its way to the Agent and back."""
COMMAND_POLL_S: Final = 0.1
TRANSFER: Final = ("allow_kasm_uploads", "allow_kasm_downloads")
"""What a command can do by itself: its words and variables go in, its output comes out."""


async def session_for(db: Database, caller: Caller, session_id: str, code: str) -> DictRow:
    """The session if it is the caller's own, or he has the permission `code` for everybody's.

    Raises:
        NotFound: there is none with this id, or it is not his to know about.
    """
    row = await session_views.get_session(db, session_id)
    if not is_own(caller, row) and not caller.may(code):
        raise NotFound(f"There is no session {session_id}; it may have been deleted.")
    return row


def is_own(caller: Caller, session: DictRow) -> bool:
    """Whether the session belongs to the person who asks."""
    return caller.user_id is not None and str(session["user_id"]) == caller.user_id


def progress_of(session: DictRow) -> Progress:
    """How far a row of `db.session_views` is. An assigned session of a pool shows the steps of its hand-over."""
    staged = session["staging_config_id"] is not None and session["user_id"] is not None
    error = session["error"] or session["set_aside_reason"] or ""
    return progress(SessionStatus(session["status"]), session["steps"], staged=staged, error=error)


async def destroy(db: Database, logs: LogWriter, session: DictRow, reason: str) -> DictRow:
    """Record that the session is to go; its Agent removes the container. Doing so again is a success.

    Returns:
        session_id, agent_id, zone_id, `changed` (False when it was on its way out already).
    """
    session_id = str(session["session_id"])
    async with db.transaction() as connection:
        row = await sessions.request_delete(connection, session_id, reason)
    await stop("destroy.after_commit")
    events = [f"session:{row['session_id']}", f"agent:{row['agent_id']}", f"zone:{session['zone_key']}"]
    if session["staging_config_id"] is not None:
        events.append(f"staging:{session['staging_config_id']}")
    await db.notify(*events)
    if row["changed"]:
        logs.write(
            "INFO",
            "session-delete-requested",
            f"The session {row['session_id']} ends: {reason}",
            zone_name=session["zone_name"],
            session_id=str(row["session_id"]),
            user_id=str(session["user_id"]) if session["user_id"] else None,
            username=session["username"],
        )
    return row


async def require_setting(db: Database, session: DictRow, name: str, action: str) -> None:
    """Refuse what a group setting of the session's owner does not allow.

    Raises:
        Forbidden: names the setting and where its value came from.
    """
    setting = (await settings_of(db, str(session["user_id"])))[name]
    if not setting.value:
        raise Forbidden(f"You may not {action} your sessions: {setting.trace}.")


def require_transfer(caller: Caller, session: DictRow) -> None:
    """Refuse a command, which carries data in and out, where the session was made without uploads or downloads.

    Raises:
        Forbidden: names what is missing; administrators of sessions may.
    """
    missing = [name for name in TRANSFER if not session["permissions"].get(name)]
    if missing and not caller.may("sessions_modify"):
        raise Forbidden(f"You may not run commands in a session without {' and '.join(missing)}.")


async def settings_of(db: Database, user_id: str) -> dict[str, Resolved]:
    """The settings in force for a user."""
    return resolve(await memberships_of(db, user_id))


async def keep_alive(db: Database, session: DictRow) -> datetime:
    """Prolong the session by its owner's `keepalive_expiration`, never beyond his `session_time_limit`.

    Raises:
        WrongState: it has no user, or is on its way out.
    """
    if session["user_id"] is None:
        raise WrongState("A staged session has no user whose interest could keep it alive.")
    settings = await settings_of(db, str(session["user_id"]))
    expires = await sessions.keepalive(
        db,
        str(session["session_id"]),
        keepalive_s=float(settings["keepalive_expiration"].value),
        time_limit_s=float(settings["session_time_limit"].value),
    )
    if expires is None:
        raise WrongState(f"The session is {session['status']}; it cannot be kept alive.")
    return expires


async def run_command(
    db: Database,
    session: DictRow,
    argv: Sequence[str],
    *,
    run_as: str | None = None,
    env: dict[str, str] | None = None,
    workdir: str | None = None,
    deadline_s: float = 60.0,
) -> dict[str, Any]:
    """Run a command in a session and wait for its end, at most `deadline_s` and a little; at most once in any case.

    Returns:
        command_id, state (done or unknown), exit_code, output.

    Raises:
        WrongState: the session is not running.
        Unavailable: no result came in time; the command may still run.
    """
    session_id, command_id = str(session["session_id"]), str(uuid.uuid4())
    agent_id = await session_views.insert_command(
        db,
        command_id=command_id,
        session_id=session_id,
        argv=argv,
        run_as=run_as,
        env=env or {},
        workdir=workdir,
        deadline_s=deadline_s,
    )
    if agent_id is None:
        raise WrongState(f"The session is {session['status']}; a command can be run while it is running.")
    await db.notify(f"agent:{agent_id}")
    end_s = time.monotonic() + deadline_s + COMMAND_SLACK_S
    while time.monotonic() < end_s:
        result = await session_views.read_command(db, command_id)
        if result is not None and result["state"] in ("done", "unknown"):
            return {"command_id": command_id, **result, "output": result["output"] or ""}
        await asyncio.sleep(COMMAND_POLL_S)
    raise Unavailable(f"The command gave no result within {deadline_s:.0f} s; it may still be running.")
