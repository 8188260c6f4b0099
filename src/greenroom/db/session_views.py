"""Sessions as they are shown: lists, one session, its way to being usable."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final, LiteralString
from uuid import UUID

from psycopg.rows import DictRow

from greenroom.core.errors import NotFound
from greenroom.db.database import Database

_STATUS: Final[LiteralString] = "CASE WHEN s.awaits_successor THEN 'starting' ELSE s.status END"
"""A session is shown as starting from its failure until there is another one in its place."""

_SELECT: Final[LiteralString] = (
    """
SELECT s.session_id, s.user_id, u.username, s.staging_config_id, s.image_id, i.name AS image_name,
       i.friendly_name AS image_friendly_name, i.image_src, s.zone_id, z.zone_name,
       z.zone_key, z.proxy_connections, z.proxy_hostname, z.proxy_path, z.proxy_port, a.edge_url,
       s.agent_id, a.hostname, """
    + _STATUS
    + """ AS status, s.awaits_successor, s.stopped_reason,
       i.session_time_limit AS image_time_limit,
       s.cores, s.memory, s.created, s.started, s.assigned, s.expires, s.time_limit_ends, s.expiry, s.keepalive,
       s.ended, s.permissions,
       s.client_settings, s.kasm_url, s.persistent_profile_mode, s.share_id,
       s.error, s.log_tail, s.exit_code, s.ended_reason, s.set_aside_reason, s.claimable, s.replaces,
       s.superseded_by, s.auth_epoch, s.launch_id, s.want, s.generation, o.container_id, o.address, o.probe_error,
       COALESCE((SELECT jsonb_object_agg(t.name, extract(epoch FROM t.at)) FROM session_steps t
                  WHERE t.session_id = s.session_id), '{}') AS steps
  FROM sessions s JOIN images i USING (image_id) JOIN zones z ON z.zone_id = s.zone_id
  LEFT JOIN users u ON u.user_id = s.user_id LEFT JOIN agents a ON a.agent_id = s.agent_id
  LEFT JOIN session_observed o ON o.session_id = s.session_id
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """Which sessions a list shows; None = any.

    `status` as it is shown; `staged` True = only without a user, False = only with one; `ended` = also `deleted` ones
    and those that were replaced by a successor; `set_aside` = instead those that were set aside for inspection, because
    their hand-over to a user failed.
    """

    user_id: UUID | str | None = None
    image_id: UUID | None = None
    staging_config_id: UUID | None = None
    agent_id: UUID | None = None
    status: str | None = None
    staged: bool | None = None
    ended: bool = False
    set_aside: bool = False


async def list_sessions(
    db: Database, wanted: SessionFilter, *, before: tuple[str, str] | None = None, limit: int | None = None
) -> list[DictRow]:
    """Sessions that match, newest first.

    Args:
        db: where.
        wanted: which ones.
        before: (created as ISO text, session_id) of the last row of the page before.
        limit: rows at most.
    """
    created, session_id = before or (None, None)
    return await db.fetch(
        _SELECT
        + """
        WHERE CASE WHEN %(set_aside)s THEN s.set_aside_for IS NOT NULL AND s.status = 'failed'
                   ELSE %(ended)s OR (s.status <> 'deleted' AND s.superseded_by IS NULL) END
          AND (%(user_id)s::uuid IS NULL OR s.user_id = %(user_id)s)
          AND (%(image_id)s::uuid IS NULL OR s.image_id = %(image_id)s)
          AND (%(staging_config_id)s::uuid IS NULL OR s.staging_config_id = %(staging_config_id)s)
          AND (%(agent_id)s::uuid IS NULL OR s.agent_id = %(agent_id)s)
          AND (%(status)s::text IS NULL OR """
        + _STATUS
        + """ = %(status)s)
          AND (%(staged)s::boolean IS NULL OR (s.user_id IS NULL) = %(staged)s)
          AND (%(created)s::timestamptz IS NULL OR (s.created, s.session_id) < (%(created)s, %(session_id)s::uuid))
        ORDER BY s.created DESC, s.session_id DESC LIMIT %(limit)s
        """,
        {**asdict(wanted), "created": created, "session_id": session_id, "limit": limit},
    )


async def get_session(db: Database, session_id: str, *, follow: bool = True) -> DictRow:
    """One session, or the one that took its place (`superseded_by`); without `follow` the very one.

    Raises:
        NotFound: there is none with this id.
    """
    row = await db.fetch_one(
        _SELECT
        + """
        WHERE s.session_id = (
            WITH RECURSIVE chain AS (
                SELECT session_id, superseded_by FROM sessions WHERE session_id = %(id)s
                UNION ALL
                SELECT n.session_id, n.superseded_by FROM sessions n JOIN chain c ON n.session_id = c.superseded_by
                 WHERE %(follow)s
            ) SELECT session_id FROM chain WHERE superseded_by IS NULL OR NOT %(follow)s)
        """,
        {"id": session_id, "follow": follow},
    )
    if row is None:
        raise NotFound(f"There is no session {session_id}; it may have been deleted.")
    return row
