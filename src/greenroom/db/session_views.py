"""Sessions as they are shown: lists, one session, its way to being usable, and commands in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, LiteralString

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from greenroom.core.errors import NotFound
from greenroom.db.database import Database

_SELECT: Final[LiteralString] = """
SELECT s.session_id, s.user_id, u.username, s.staging_config_id, s.image_id, i.name AS image_name,
       i.friendly_name AS image_friendly_name, i.image_src, s.zone_id, z.zone_name,
       z.zone_key, z.proxy_path, s.agent_id, a.hostname, s.status,
       s.cores, s.memory, s.created, s.started, s.assigned, s.expires, s.keepalive, s.ended, s.permissions,
       s.client_settings, s.kasm_url, s.share_id, s.error, s.log_tail, s.exit_code, s.ended_reason, s.set_aside_reason,
       s.superseded_by, s.auth_epoch, s.launch_id, s.want, s.generation, o.container_id, o.address, o.probe_error,
       COALESCE((SELECT jsonb_object_agg(t.name, extract(epoch FROM t.at)) FROM session_steps t
                  WHERE t.session_id = s.session_id), '{}') AS steps
  FROM sessions s JOIN images i USING (image_id) JOIN zones z ON z.zone_id = s.zone_id
  LEFT JOIN users u ON u.user_id = s.user_id LEFT JOIN agents a ON a.agent_id = s.agent_id
  LEFT JOIN session_observed o ON o.session_id = s.session_id
"""


async def list_sessions(
    db: Database,
    *,
    user_id: str | None = None,
    image_id: str | None = None,
    staging_config_id: str | None = None,
    agent_id: str | None = None,
    status: str | None = None,
    staged: bool | None = None,
    ended: bool = False,
    before: tuple[str, str] | None = None,
    limit: int | None = None,
) -> list[DictRow]:
    """Sessions, newest first; those that ended and those that were replaced by a successor only with `ended`.

    Args:
        db: where.
        user_id: only this user's.
        image_id: only of this image.
        staging_config_id: only those that came from this config.
        agent_id: only on this Agent.
        status: only in this status.
        staged: True = only without a user, False = only with one.
        ended: also `deleted` ones.
        before: (created as ISO text, session_id) of the last row of the page before.
        limit: rows at most.
    """
    created, session_id = before or (None, None)
    return await db.fetch(
        _SELECT
        + """
        WHERE (%(ended)s OR (s.status <> 'deleted' AND s.superseded_by IS NULL))
          AND (%(user_id)s::uuid IS NULL OR s.user_id = %(user_id)s)
          AND (%(image_id)s::uuid IS NULL OR s.image_id = %(image_id)s)
          AND (%(staging_config_id)s::uuid IS NULL OR s.staging_config_id = %(staging_config_id)s)
          AND (%(agent_id)s::uuid IS NULL OR s.agent_id = %(agent_id)s)
          AND (%(status)s::text IS NULL OR s.status = %(status)s)
          AND (%(staged)s::boolean IS NULL OR (s.user_id IS NULL) = %(staged)s)
          AND (%(created)s::timestamptz IS NULL OR (s.created, s.session_id) < (%(created)s, %(session_id)s::uuid))
        ORDER BY s.created DESC, s.session_id DESC LIMIT %(limit)s
        """,
        {
            "user_id": user_id,
            "image_id": image_id,
            "staging_config_id": staging_config_id,
            "agent_id": agent_id,
            "status": status,
            "staged": staged,
            "ended": ended,
            "created": created,
            "session_id": session_id,
            "limit": limit,
        },
    )


async def get_session(db: Database, session_id: str) -> DictRow:
    """One session, or the one that took its place (`superseded_by`).

    Raises:
        NotFound: there is none with this id.
    """
    row = await db.fetch_one(
        _SELECT
        + """
        WHERE s.session_id = (
            WITH RECURSIVE chain AS (
                SELECT session_id, superseded_by FROM sessions WHERE session_id = %s
                UNION ALL
                SELECT n.session_id, n.superseded_by FROM sessions n JOIN chain c ON n.session_id = c.superseded_by
            ) SELECT session_id FROM chain WHERE superseded_by IS NULL)
        """,
        (session_id,),
    )
    if row is None:
        raise NotFound(f"There is no session {session_id}; it may have been deleted.")
    return row


async def insert_command(
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
    """Order a command in a running session; returns the Agent's id, or None when the session is not running."""
    rows = await db.write(
        "INSERT INTO session_commands (command_id, session_id, agent_id, generation, argv, run_as, env, workdir,"
        " deadline_s) SELECT %s, session_id, agent_id, generation, %s, %s, %s, %s, %s FROM sessions"
        " WHERE session_id = %s AND status = 'running' AND agent_id IS NOT NULL RETURNING agent_id::text",
        (command_id, Jsonb(list(argv)), run_as, Jsonb(env), workdir, deadline_s, session_id),
    )
    return rows[0]["agent_id"] if rows else None


async def read_command(db: Database, command_id: str) -> dict[str, Any] | None:
    """state, exit_code and output of a command."""
    return await db.fetch_one(
        "SELECT state, exit_code, output FROM session_commands WHERE command_id = %s", (command_id,)
    )
