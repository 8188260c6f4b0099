"""Commands in a session, for both HTTP interfaces: who may run one, order it, wait for its result."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any, Final

from psycopg.rows import DictRow

from greenroom.api.schemas.sessions import CommandCreate
from greenroom.api.security import Caller
from greenroom.api.session_actions import is_own
from greenroom.core.errors import Forbidden, TooManyRequests, Unavailable, WrongState
from greenroom.db import commands as sql
from greenroom.db import session_views
from greenroom.db.database import Database
from greenroom.db.logs import LogWriter
from greenroom.kit.secrets import Secrets

SLACK_S: Final = 10.0
"""Added to a command's deadline for its way to the Agent and back."""
POLL_S: Final = 0.1
TRANSFER: Final = ("allow_kasm_uploads", "allow_kasm_downloads")
"""What a command can do by itself: its words and variables go in, its output comes out."""


def require_command(caller: Caller, session: DictRow, command: CommandCreate) -> None:
    """Refuse a command that the caller may not run in this session.

    Raises:
        Forbidden: names what is missing: it is somebody else's session or another account inside it, or a command
            would carry data past a session that was made without uploads or downloads.
    """
    if command.user is not None or not is_own(caller, session):
        caller.require("sessions_modify")
    missing = [name for name in TRANSFER if not _may_transfer(caller, session, name)]
    if missing:
        raise Forbidden(f"You may not run commands in a session without {' and '.join(missing)}.")


def visible_output(caller: Caller, session: DictRow, output: str) -> str:
    """What a command of the workspace wrote, for whom it is no way around a session that was made without downloads."""
    return output if _may_transfer(caller, session, "allow_kasm_downloads") else ""


def _may_transfer(caller: Caller, session: DictRow, name: str) -> bool:
    return bool(session["permissions"].get(name)) or caller.may("sessions_modify")


def sealed_command(command: CommandCreate, secrets: Secrets) -> CommandCreate:
    """The command with its variables as they are stored; the Manager opens them for the Agent."""
    environment = {name: secrets.seal(value) for name, value in command.environment.items()}
    return command.model_copy(update={"environment": environment})


async def order_command(db: Database, logs: LogWriter, caller: Caller, session: DictRow, command: CommandCreate) -> str:
    """Order a command; it runs at most once, soon: not once its result is not waited for any more. Returns its id.

    The variables of `command` are sealed. The log names the program and the account, never arguments or variables.

    Raises:
        WrongState: the session is not running, or staged: nothing of anybody is in it when it is handed to its user.
        TooManyRequests: too many commands in it have no result yet.
    """
    session_id, command_id = str(session["session_id"]), str(uuid.uuid4())
    agent_id = await sql.insert_command(
        db,
        command_id=command_id,
        session_id=session_id,
        argv=command.command,
        run_as=command.user,
        env=dict(command.environment),
        workdir=command.workdir,
        deadline_s=command.deadline_s,
    )
    if agent_id is None:
        raise _refusal(await session_views.get_session(db, session_id))
    account = f" as {command.user}" if command.user else ""
    logs.write(
        "INFO",
        "session-command",
        f"{caller.name} runs {command.command[0]}{account} in session {session_id}",
        zone_name=session["zone_name"],
        session_id=session_id,
        user_id=caller.user_id,
        username=caller.username,
        details={"command_id": command_id, "program": command.command[0], "run_as": command.user},
    )
    await db.notify(f"agent:{agent_id}")
    return command_id


def _refusal(session: DictRow) -> WrongState | TooManyRequests:
    if session["user_id"] is None:
        return WrongState("No command is run in a staged session: it waits, unused, for the user it will be handed to.")
    if session["status"] != "running":
        return WrongState(f"The session is {session['status']}; a command can be run while it is running.")
    return TooManyRequests(f"{sql.MOST_OPEN} commands in this session have no result yet; wait for one of them.")


async def result_of(db: Database, command_id: str, deadline_s: float) -> dict[str, Any]:
    """Wait for the end of a command, at most `deadline_s` and a little.

    Returns:
        command_id, state (done or unknown), exit_code, output, output_complete.

    Raises:
        Unavailable: no result came in time; the command may still run.
    """
    end_s = time.monotonic() + deadline_s + SLACK_S
    while time.monotonic() < end_s:
        result = await sql.read_command(db, command_id)
        if result is not None and result["state"] in ("done", "unknown"):
            return {
                "command_id": command_id,
                "state": result["state"],
                "exit_code": result["exit_code"],
                "output": result["output"] or "",
                "output_complete": result["output_complete"],
            }
        await asyncio.sleep(POLL_S)
    raise Unavailable(f"The command gave no result within {deadline_s:.0f} s; it may still be running.")
