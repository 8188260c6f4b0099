"""Sessions as they are shown: what is read of each, one session, and what took its place."""

from __future__ import annotations

from typing import Final, LiteralString

from psycopg.rows import DictRow

from greenroom.core.errors import NotFound
from greenroom.db.database import Database

STATUS: Final[LiteralString] = "CASE WHEN s.awaits_successor THEN 'starting' ELSE s.status END"
"""A session is shown as starting from its failure until there is another one in its place."""

SELECT: Final[LiteralString] = (
    """
       s.session_id, s.user_id, u.username, s.staging_config_id, s.image_id, i.name AS image_name,
       i.friendly_name AS image_friendly_name, i.image_src, s.zone_id, z.zone_name,
       z.zone_key, z.proxy_connections, z.proxy_hostname, z.proxy_path, z.proxy_port, a.edge_url,
       s.agent_id, a.hostname, """
    + STATUS
    + """ AS status, s.awaits_successor, s.stopped_reason,
       i.session_time_limit AS image_time_limit,
       s.cores, s.memory, s.created, s.started, s.assigned, s.expires, s.time_limit_ends, s.expiry, s.keepalive,
       s.ended, s.last_screenshot_at, s.permissions,
       s.client_settings, s.kasm_url, s.persistent_profile_mode, s.share_id,
       s.error, s.log_tail, s.exit_code, s.ended_reason, s.set_aside_reason, s.claimable, s.replaces,
       s.superseded_by, s.auth_epoch, s.launch_id, s.want, s.generation, o.container_id, o.address, o.probe_error,
       COALESCE((SELECT jsonb_object_agg(t.name, extract(epoch FROM t.at)) FROM session_steps t
                  WHERE t.session_id = s.session_id), '{}') AS steps
"""
)
"""What is read of each session of `FROM`."""

FROM: Final[LiteralString] = """
  FROM sessions s JOIN images i USING (image_id) JOIN zones z ON z.zone_id = s.zone_id
  LEFT JOIN users u ON u.user_id = s.user_id LEFT JOIN agents a ON a.agent_id = s.agent_id
  LEFT JOIN session_observed o ON o.session_id = s.session_id
"""


async def get_session(db: Database, session_id: str, *, follow: bool = True) -> DictRow:
    """One session, or the one that took its place (`superseded_by`); without `follow` the very one.

    Raises:
        NotFound: there is none with this id.
    """
    row = await db.fetch_one(
        "SELECT"
        + SELECT
        + FROM
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
