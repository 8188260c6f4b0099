"""Commands in a session, and screenshots, which are stored and sent to Agents in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from psycopg.types.json import Jsonb

from greenroom.db.database import Database

AWAITED: Final = "k.created > clock_timestamp() - make_interval(secs => k.deadline_s + 10)"
"""Condition on `session_commands k`: a caller may still wait for the result. A command that does not begin while this
condition holds never begins."""
MAX_OPEN: Final = 8
"""Maximum number of commands without a result in one session."""
MAX_SCREENSHOT_AGE_S: Final = 1.0
"""The maximum age of a screenshot that is returned again. A session is captured at most once in this time."""
SCREENSHOT_MARK_INTERVAL_S: Final = 60.0
"""The minimum time between two writes of `last_screenshot_at` of a session."""


async def request_command(
    db: Database,
    *,
    command_id: str,
    session_id: str,
    argv: Sequence[str],
    run_as: str | None,
    env: dict[str, str],
    workdir: str | None,
    deadline_s: float,
) -> str | None:
    """Request a command in a user's running session; returns the Agent's id. None = the session is not running or has
    no user, or `MAX_OPEN` commands in the session have no result yet."""
    rows = await db.write(
        "INSERT INTO session_commands (command_id, session_id, agent_id, generation, argv, run_as, env, workdir,"
        " deadline_s) SELECT %(command_id)s, session_id, agent_id, generation, %(argv)s, %(run_as)s, %(env)s,"
        " %(workdir)s, %(deadline_s)s FROM sessions"
        " WHERE session_id = %(session_id)s AND status = 'running' AND user_id IS NOT NULL AND agent_id IS NOT NULL"
        " AND (SELECT count(*) FROM session_commands k WHERE k.session_id = %(session_id)s AND k.finished IS NULL"
        "       AND k.screenshot IS NULL AND " + AWAITED + ") < %(max_open)s RETURNING agent_id::text",
        {
            "command_id": command_id,
            "session_id": session_id,
            "argv": Jsonb(list(argv)),
            "run_as": run_as,
            "env": Jsonb(env),
            "workdir": workdir,
            "deadline_s": deadline_s,
            "max_open": MAX_OPEN,
        },
    )
    return rows[0]["agent_id"] if rows else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandState:
    """State and result of a command or screenshot; `picture` is the JPEG of the screenshot."""

    state: Literal["requested", "started", "done", "unknown"]
    exit_code: int | None
    output: str | None
    output_complete: bool
    picture: bytes | None


async def read_command(db: Database, command_id: str) -> CommandState | None:
    """Return a command or screenshot; None if its row does not exist."""
    return await db.fetch_one_as(
        CommandState,
        "SELECT state, exit_code, output, output_complete, picture FROM session_commands WHERE command_id = %s",
        (command_id,),
    )


@dataclass(frozen=True, slots=True)
class RequestedScreenshot:
    """A screenshot that is in progress or recent. `agent_id` is None unless this request created it; `fits`: it has the
    requested size."""

    command_id: str
    agent_id: str | None
    fits: bool


async def request_screenshot(
    db: Database, *, command_id: str, session_id: str, width: int, height: int, deadline_s: float
) -> RequestedScreenshot | None:
    """Request a screenshot of at most `width` x `height` pixels, or return a recent screenshot. Old screenshots are
    deleted. None = the session is not running."""
    size = Jsonb({"width": width, "height": height})
    async with db.transaction() as connection:
        # Lock the session before its commands, in the same order as the end of a session does.
        await connection.execute("SELECT 1 FROM sessions WHERE session_id = %s FOR KEY SHARE", (session_id,))
        await connection.execute(
            "DELETE FROM session_commands WHERE session_id = %s AND screenshot IS NOT NULL"
            " AND (finished < clock_timestamp() - make_interval(secs => %s)"
            "  OR created < clock_timestamp() - make_interval(secs => deadline_s))",
            (session_id, MAX_SCREENSHOT_AGE_S),
        )
        cursor = await connection.execute(
            "INSERT INTO session_commands (command_id, session_id, agent_id, generation, argv, deadline_s, screenshot)"
            " SELECT %s, session_id, agent_id, generation, '[]', %s, %s FROM sessions"
            " WHERE session_id = %s AND status = 'running' AND agent_id IS NOT NULL"
            " ON CONFLICT (session_id) WHERE screenshot IS NOT NULL DO NOTHING RETURNING agent_id::text",
            (command_id, deadline_s, size, session_id),
        )
        if (inserted := await cursor.fetchone()) is not None:
            return RequestedScreenshot(command_id, inserted["agent_id"], True)
        cursor = await connection.execute(
            "SELECT k.command_id::text, k.screenshot = %s AS fits FROM session_commands k"
            " JOIN sessions USING (session_id) WHERE session_id = %s AND status = 'running'"
            " AND k.screenshot IS NOT NULL",
            (size, session_id),
        )
        existing = await cursor.fetchone()
    return None if existing is None else RequestedScreenshot(existing["command_id"], None, existing["fits"])


async def mark_screenshot(db: Database, session_id: str) -> None:
    """Store that another user just saw the screen of a user's session."""
    await db.write(
        "UPDATE sessions SET last_screenshot_at = clock_timestamp() WHERE session_id = %s AND user_id IS NOT NULL"
        " AND (last_screenshot_at < clock_timestamp() - make_interval(secs => %s)) IS NOT FALSE",
        (session_id, SCREENSHOT_MARK_INTERVAL_S),
    )
