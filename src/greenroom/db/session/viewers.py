"""The viewers who joined sessions by shares, and the data with which the api authorizes viewers and streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from psycopg.types.json import Jsonb

from greenroom.core.errors import NotFound
from greenroom.core.session.sharing import Audience
from greenroom.core.session.states import SessionStatus
from greenroom.core.session.streams import Access, ProxyFacts
from greenroom.db.database import Connection, Database, row_as, rows_as
from greenroom.db.session.shares import SHARE_IS_OVER, Share


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewerRow:
    """A viewer who joined; `access` is the access of the share. The user of the session does not see `silent` viewers:
    administrators who assist without a notice."""

    viewer_id: str
    share_id: str
    session_id: str
    user_id: str | None
    name: str
    audience: Audience
    access: Access
    silent: bool
    joined: datetime
    present: datetime | None
    seen_from: str | None


_VIEWER: Final[LiteralString] = (
    "v.viewer_id::text, v.share_id, h.session_id::text, v.user_id::text, v.name, h.audience, h.access, h.silent,"
    " v.joined, v.present, v.seen_from"
)


async def insert_viewer(connection: Connection, share: Share, *, viewer_id: str, user_id: str | None, name: str) -> str:
    """Store a viewer, and return the id; a user who joins by the same share again keeps the viewer id. The caller has
    called `shares.resend_permitted_viewers` in the same transaction, which locks the session."""
    cursor = await connection.execute(
        "SELECT viewer_id::text FROM session_viewers WHERE share_id = %s AND user_id = %s AND ended IS NULL",
        (share.share_id, user_id),
    )
    if (row := await cursor.fetchone()) is not None:
        return row["viewer_id"]
    await connection.execute(
        "INSERT INTO session_viewers (viewer_id, share_id, user_id, name) VALUES (%s, %s, %s, %s)",
        (viewer_id, share.share_id, user_id, name),
    )
    return viewer_id


async def end_viewer(connection: Connection, session_id: str, viewer_id: str) -> ViewerRow:
    """Remove a viewer. The caller must have called `shares.resend_permitted_viewers` in the same transaction, which
    locks the session. Raises NotFound: the session has no viewer with this id."""
    cursor = await connection.execute(
        "UPDATE session_viewers v SET ended = clock_timestamp(), present = NULL FROM session_shares h"
        " WHERE h.share_id = v.share_id AND h.session_id = %s AND v.viewer_id = %s AND v.ended IS NULL"
        f" RETURNING {_VIEWER}",
        (session_id, viewer_id),
    )
    viewer = row_as(ViewerRow, await cursor.fetchone())
    if viewer is None:
        raise NotFound(f"There is no viewer {viewer_id} in this session; the viewer may have left.")
    return viewer


async def list_present_viewers(db: Database, session_id: str, *, silent: bool) -> list[ViewerRow]:
    """Return the viewers of a session who have an open stream, except its user, the longest present first; with
    `silent`, also silent viewers."""
    return await db.fetch_as(
        ViewerRow,
        "SELECT " + _VIEWER + " FROM session_viewers v JOIN session_shares h USING (share_id)"
        " WHERE h.session_id = %s AND v.ended IS NULL AND NOT " + SHARE_IS_OVER + " AND v.present IS NOT NULL"
        " AND (%s OR NOT h.silent) ORDER BY v.present, v.viewer_id",
        (session_id, silent),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedViewer:
    """A viewer who joined, with the data that decides whether the viewer's token is valid."""

    share_id: str
    name: str
    access: Access
    ended: bool
    user_enabled: bool
    """Always true for guests."""


async def find_joined_viewer(db: Database, viewer_id: str) -> JoinedViewer | None:
    """Return the viewer with this id; None if there is none."""
    return await db.fetch_one_as(
        JoinedViewer,
        "SELECT v.share_id, v.name, h.access, v.ended IS NOT NULL AS ended,"
        " v.user_id IS NULL OR coalesce(NOT u.disabled AND NOT u.locked, false) AS user_enabled"
        " FROM session_viewers v JOIN session_shares h USING (share_id) LEFT JOIN users u ON u.user_id = v.user_id"
        " WHERE v.viewer_id = %s",
        (viewer_id,),
    )


FROM_CONTROLLING_VIEWERS: Final[LiteralString] = (
    " FROM session_viewers v JOIN session_shares h USING (share_id)"
    " WHERE v.ended IS NULL AND NOT " + SHARE_IS_OVER + " AND h.access = 'control'"
)
"""The FROM and WHERE clauses that select the viewers with control, as session_viewers `v` and session_shares `h`."""


async def find_controlling_viewer(db: Database, session_id: str, user_id: str) -> str | None:
    """Return the viewer id with which a user controls another user's session; None = the user does not control it."""
    row = await db.fetch_one(
        f"SELECT v.viewer_id::text{FROM_CONTROLLING_VIEWERS}"
        " AND h.session_id = %s AND v.user_id = %s ORDER BY v.present DESC NULLS LAST, v.joined DESC LIMIT 1",
        (session_id, user_id),
    )
    return row["viewer_id"] if row else None


async def store_present_viewer_rows(
    connection: Connection, agent_id: str, session_id: str, clients: Mapping[str, str]
) -> tuple[list[ViewerRow], list[ViewerRow]]:
    """Store the present viewers that the Agent reports; `clients` maps viewer id → address (`seen_from`). Return the
    viewers who arrived and the viewers who left."""
    of_session = (
        " FROM session_shares h, sessions s WHERE h.share_id = v.share_id AND s.session_id = h.session_id"
        " AND s.session_id = %(session_id)s AND s.agent_id = %(agent_id)s"
    )
    params = {"session_id": session_id, "agent_id": agent_id, "ids": list(clients), "clients": Jsonb(dict(clients))}
    cursor = await connection.execute(
        "UPDATE session_viewers v SET present = clock_timestamp(),"
        f" seen_from = %(clients)s::jsonb ->> v.viewer_id::text{of_session}"
        f" AND v.present IS NULL AND v.ended IS NULL AND v.viewer_id = ANY(%(ids)s::uuid[]) RETURNING {_VIEWER}",
        params,
    )
    arrived = rows_as(ViewerRow, await cursor.fetchall())
    cursor = await connection.execute(
        f"UPDATE session_viewers v SET present = NULL{of_session}"
        f" AND v.present IS NOT NULL AND NOT v.viewer_id = ANY(%(ids)s::uuid[]) RETURNING {_VIEWER}",
        params,
    )
    return arrived, rows_as(ViewerRow, await cursor.fetchall())


@dataclass(frozen=True, slots=True)
class ShareCandidate:
    """A user who may get a share of a session."""

    user_id: str
    username: str
    first_name: str
    last_name: str


_COMMON_GROUP: Final = (
    "EXISTS (SELECT FROM user_groups mine JOIN user_groups theirs USING (group_id)"
    " WHERE mine.user_id = %(owner)s AND theirs.user_id = u.user_id AND group_id <> %(all_users)s)"
)


async def have_common_group(db: Database, owner_id: str, user_id: str, *, all_users: str) -> bool:
    """Return True if two users have a common group other than the group `all_users`."""
    query = "SELECT FROM users u WHERE u.user_id = %(user)s AND " + _COMMON_GROUP
    return await db.fetch_one(query, {"owner": owner_id, "user": user_id, "all_users": all_users}) is not None


async def find_share_candidates(
    db: Database, owner_id: str, word: str, *, everybody: bool, all_users: str, limit: int
) -> list[ShareCandidate]:
    """Return enabled users whose name contains `word`: all users if `everybody`, else only users who have a common
    group with the owner other than the group `all_users`."""
    return await db.fetch_as(
        ShareCandidate,
        "SELECT u.user_id::text, u.username, u.first_name, u.last_name FROM users u"
        " WHERE NOT u.disabled AND NOT u.locked"
        " AND NOT EXISTS (SELECT FROM anonymous_users a WHERE a.user_id = u.user_id)"
        " AND NOT EXISTS (SELECT FROM service_accounts a WHERE a.user_id = u.user_id)"
        " AND u.user_id <> %(owner)s"
        " AND strpos(lower(concat_ws(' ', u.username, u.first_name, u.last_name)), %(word)s) > 0"
        " AND (%(everybody)s OR " + _COMMON_GROUP + ")"
        " ORDER BY lower(u.username) <> %(word)s, lower(u.username) LIMIT %(limit)s",
        {"owner": owner_id, "word": word.lower(), "everybody": everybody, "all_users": all_users, "limit": limit},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSession:
    """The session whose stream a request gets: the requested session, or the last session that replaced it.

    `requested_agent_id` runs the requested session, `agent_id` this session. `own_and_replaced_ids` contains the ids of
    this session and of the sessions that it replaced, whose connect tokens stay valid (docs/explanation/protocols.md
    §3). `lease_id` is the lease of this session, `lease_epoch` the epoch of the lease's token.
    """

    session_id: str
    requested_agent_id: str | None
    agent_id: str | None
    proxy_connections: bool
    proxy_path: str
    own_and_replaced_ids: list[str]
    status: SessionStatus
    zone_name: str
    user_id: str | None
    auth_epoch: int
    lease_id: str | None
    lease_epoch: int | None
    username: str | None
    user_enabled: bool
    may_use_image: bool
    """A group of the user may use the workspace, or the workspace was deleted."""

    @property
    def path(self) -> str | None:
        """The path of the stream behind the web gateway; None if the zone does not use Proxy Connections."""
        if not self.proxy_connections or self.agent_id is None:
            return None
        return ProxyFacts(proxy_path=self.proxy_path).path_of(self.agent_id, self.session_id) + "/"


async def agent_credential_hash(db: Database, agent_id: str) -> bytes | None:
    """Return the hash of an Agent's credential; None if there is no Agent with this id."""
    row = await db.fetch_one("SELECT credential_hash FROM agents WHERE agent_id::text = %s", (agent_id,))
    return row["credential_hash"] if row else None


_STREAM_SESSION: Final[LiteralString] = """
WITH RECURSIVE forward AS (
    SELECT session_id, superseded_by, 0 AS depth FROM sessions WHERE session_id = %(session_id)s
    UNION ALL
    SELECT s.session_id, s.superseded_by, depth + 1
      FROM forward f JOIN sessions s ON s.session_id = f.superseded_by WHERE depth < 16
), family AS (
    (SELECT session_id, 0 AS depth FROM forward ORDER BY forward.depth DESC LIMIT 1)
    UNION ALL
    SELECT s.session_id, depth + 1
      FROM family f JOIN sessions s ON s.superseded_by = f.session_id WHERE depth < 16
)
SELECT s.session_id::text, s.agent_id::text, z.proxy_connections, z.proxy_path, s.status, z.zone_name,
       s.user_id::text, s.auth_epoch, u.username,
       l.lease_id::text, l.auth_epoch AS lease_epoch,
       coalesce(NOT u.disabled AND NOT u.locked, false) AS user_enabled,
       NOT EXISTS (SELECT FROM images i WHERE i.image_id = s.image_id) OR EXISTS (SELECT FROM group_images gi
           JOIN user_groups ug USING (group_id) WHERE gi.image_id = s.image_id AND ug.user_id = s.user_id)
           AS may_use_image,
       ARRAY(SELECT session_id::text FROM family) AS own_and_replaced_ids,
       (SELECT agent_id::text FROM sessions WHERE session_id = %(session_id)s) AS requested_agent_id
  FROM family f
  JOIN sessions s ON s.session_id = f.session_id
  JOIN zones z ON z.zone_id = s.zone_id
  LEFT JOIN users u ON u.user_id = s.user_id
  LEFT JOIN leases l ON l.session_id = s.session_id
 WHERE f.depth = 0
"""


async def find_stream_session(db: Database, session_id: str) -> StreamSession | None:
    """Return the session whose stream a request for `session_id` gets, or None if there is no such session."""
    return await db.fetch_one_as(StreamSession, _STREAM_SESSION, {"session_id": session_id})
