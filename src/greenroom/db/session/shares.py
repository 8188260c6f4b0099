"""Shares of sessions and their viewers (`core.session.sharing`).

Every change of the permitted viewers of a session increases its generation, so that its Agent receives the new list of
viewers. Lock order: the session before its shares. Callers notify after commit. A *silent* share is not displayed to
the user of the session. In statements, `h` is the share, `s` its session, and `v` a viewer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from greenroom.core.access.group_settings import resolve
from greenroom.core.access.permissions import codes_for
from greenroom.core.access.roles import session_places
from greenroom.core.events import ChangeEvent
from greenroom.core.session.sharing import Audience, ShareFacts, has_view_only_mode, reason_to_end
from greenroom.core.session.states import SessionStatus
from greenroom.core.session.streams import Access
from greenroom.db.access.groups import groups_by_id
from greenroom.db.access.roles import grants_of_user
from greenroom.db.database import Connection, Database, rows_as


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share with its session. `name` is the choice of the user of the session. `viewers` is the number of viewers
    that joined, `present` the number of viewers with an open stream."""

    share_id: str
    session_id: str
    name: str
    access: Access
    audience: Audience
    user_id: str | None
    username: str | None
    silent: bool
    made_by: str
    created: datetime
    expires: datetime | None
    is_over: bool
    viewers: int
    present: int
    status: SessionStatus
    owner_id: str | None
    owner: str | None
    owner_enabled: bool
    image_friendly_name: str
    steps: Mapping[str, float]

    @property
    def facts(self) -> ShareFacts:
        return ShareFacts(
            access=self.access,
            audience=self.audience,
            user_id=self.user_id,
            is_over=self.is_over,
            status=self.status,
            owner_id=self.owner_id,
            owner_enabled=self.owner_enabled,
            has_view_only_mode=has_view_only_mode(self.status, self.steps),
            viewers=self.viewers,
        )


SHARE_IS_OVER: Final[LiteralString] = "(h.ended IS NOT NULL OR coalesce(h.expires <= clock_timestamp(), false))"
_SHARE: Final[LiteralString] = f"""
SELECT h.share_id, h.session_id::text, h.name, h.access, h.audience, h.user_id::text, w.username, h.silent, h.made_by,
       h.created, h.expires, {SHARE_IS_OVER} AS is_over,
       (SELECT count(*) FROM session_viewers v WHERE v.share_id = h.share_id AND v.ended IS NULL) AS viewers,
       (SELECT count(*) FROM session_viewers v WHERE v.share_id = h.share_id AND v.ended IS NULL
           AND v.present IS NOT NULL) AS present,
       s.status, s.user_id::text AS owner_id, o.username AS owner,
       coalesce(NOT o.disabled AND NOT o.locked, false) AS owner_enabled, i.friendly_name AS image_friendly_name,
       coalesce((SELECT jsonb_object_agg(t.name, extract(epoch FROM t.at)) FROM session_steps t
                  WHERE t.session_id = s.session_id), '{{}}') AS steps
  FROM session_shares h JOIN sessions s USING (session_id) JOIN images i USING (image_id)
  LEFT JOIN users o ON o.user_id = s.user_id LEFT JOIN users w ON w.user_id = h.user_id
 WHERE """


async def find_share(db: Database, share_id: str) -> Share | None:
    """Return the share with this id, even if it is over; None if there is none."""
    return await db.fetch_one_as(Share, _SHARE + "h.share_id = %s", (share_id,))


async def list_shares(db: Database, session_id: str, *, silent: bool) -> list[Share]:
    """Return the shares of a session that are not over, oldest first; silent shares only with `silent`."""
    return await db.fetch_as(
        Share,
        _SHARE + "h.session_id = %s AND NOT " + SHARE_IS_OVER + " AND (%s OR NOT h.silent) ORDER BY h.created",
        (session_id, silent),
    )


async def list_shares_with(db: Database, user_id: str) -> list[Share]:
    """Return the shares of live sessions that were made for this user by name, oldest first."""
    return await db.fetch_as(
        Share,
        _SHARE + "h.user_id = %s AND h.audience = 'user' AND NOT " + SHARE_IS_OVER + " AND s.status NOT IN ('deleting',"
        " 'deleted', 'failed') ORDER BY h.created",
        (user_id,),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewShare:
    """A share to be inserted."""

    session_id: str
    access: Access
    audience: Audience
    user_id: str | None
    made_by: str
    expires: datetime | None
    name: str = ""
    silent: bool = False


async def insert_share(connection: Connection, new: NewShare) -> str:
    """Store a share; returns its id, which is random."""
    while True:
        cursor = await connection.execute(
            "INSERT INTO session_shares"
            " (share_id, session_id, name, access, audience, user_id, silent, made_by, expires)"
            " VALUES (left(gen_random_uuid()::text, 8), %s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (share_id) DO NOTHING RETURNING share_id",
            (new.session_id, new.name, new.access, new.audience, new.user_id, new.silent, new.made_by, new.expires),
        )
        if (row := await cursor.fetchone()) is not None:
            return row["share_id"]


async def resend_permitted_viewers(connection: Connection, session_id: str) -> set[ChangeEvent]:
    """Lock a session and increase its generation, so that its Agent receives the list of permitted viewers again.
    Return the events to notify after commit."""
    cursor = await connection.execute(
        "UPDATE sessions SET generation = generation + 1 WHERE session_id = %s AND status <> 'deleted'"
        " RETURNING agent_id::text",
        (session_id,),
    )
    row = await cursor.fetchone()
    agent_id = row["agent_id"] if row else None
    return {ChangeEvent.session(session_id)} | ({ChangeEvent.agent(agent_id, session_id)} if agent_id else set())


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedShare:
    """A share that was just ended, or whose access was just reduced."""

    share_id: str
    session_id: str
    audience: Audience
    silent: bool


_RETURN_SHARE: Final[LiteralString] = " RETURNING share_id, session_id::text, audience, silent"


async def end_shares(connection: Connection, session_id: str, share_id: str | None = None) -> list[ChangedShare]:
    """End one share or all shares of a session; returns the shares that were open. The caller must have called
    `resend_permitted_viewers`."""
    cursor = await connection.execute(
        "UPDATE session_shares SET ended = clock_timestamp() WHERE session_id = %s AND ended IS NULL"
        " AND (%s::text IS NULL OR share_id = %s)" + _RETURN_SHARE,
        (session_id, share_id, share_id),
    )
    return rows_as(ChangedShare, await cursor.fetchall())


async def end_assistance(connection: Connection, session_id: str, user_id: str) -> None:
    """End the assistance of this administrator in a session. The caller must have called `resend_permitted_viewers`."""
    await connection.execute(
        "UPDATE session_shares SET ended = clock_timestamp() WHERE session_id = %s AND ended IS NULL"
        " AND audience = 'assistant' AND user_id = %s",
        (session_id, user_id),
    )


async def reduce_to_view(connection: Connection, session_id: str) -> list[ChangedShare]:
    """Reduce shares with control to `view`; returns them. The caller must have called `resend_permitted_viewers`."""
    cursor = await connection.execute(
        "UPDATE session_shares SET access = 'view' WHERE session_id = %s AND ended IS NULL"
        f" AND access = 'control'{_RETURN_SHARE}",
        (session_id,),
    )
    return rows_as(ChangedShare, await cursor.fetchall())


EXPIRED_SHARES: Final[LiteralString] = (
    "SELECT h.share_id FROM session_shares h JOIN sessions s USING (session_id) WHERE s.zone_id = %(zone_id)s"
    " AND h.ended IS NULL AND h.expires <= clock_timestamp()"
)


async def read_expired_shares(db: Database, zone_id: str) -> list[str]:
    """Return the ids of the shares of a zone that have expired and are not ended."""
    return [row["share_id"] for row in await db.fetch(EXPIRED_SHARES, {"zone_id": zone_id})]


async def end_expired_shares(connection: Connection, zone_id: str) -> tuple[list[ChangedShare], set[ChangeEvent]]:
    """End the expired shares of a zone; returns these shares, and the events to notify after commit."""
    cursor = await connection.execute(
        "SELECT session_id::text FROM sessions WHERE session_id IN (SELECT session_id FROM session_shares"
        " WHERE share_id IN (" + EXPIRED_SHARES + ")) ORDER BY session_id FOR NO KEY UPDATE SKIP LOCKED",
        {"zone_id": zone_id},
    )
    session_ids = [row["session_id"] for row in await cursor.fetchall()]
    events = set[ChangeEvent]()
    for session_id in session_ids:
        events |= await resend_permitted_viewers(connection, session_id)
    cursor = await connection.execute(
        "UPDATE session_shares SET ended = clock_timestamp() WHERE session_id = ANY(%s::uuid[]) AND ended IS NULL"
        " AND expires <= clock_timestamp()" + _RETURN_SHARE,
        (session_ids,),
    )
    return rows_as(ChangedShare, await cursor.fetchall()), events


JOINED_SESSIONS: Final[LiteralString] = (
    "SELECT h.session_id FROM session_viewers v JOIN session_shares h USING (share_id)"
    " WHERE v.user_id = ANY(%(streams)s::uuid[]) AND v.ended IS NULL AND h.ended IS NULL"
)
"""The sessions of other users that the users `streams` have joined."""


async def move_shares(connection: Connection, old_session_id: str, session_id: str) -> None:
    """Move the shares of a session to its replacement."""
    await connection.execute(
        "UPDATE session_shares SET session_id = %s WHERE session_id = %s", (session_id, old_session_id)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _OpenShare:
    """A share that is not over. `groups` are the groups of the user of the session; `permissions` are the grants of the
    user of the share."""

    share_id: str
    session_id: str
    access: Access
    audience: Audience
    silent: bool
    groups: list[str]
    zone_id: str
    permissions: list[str]
    silence_allowed: bool


_SELECT_OPEN_SHARES: Final[LiteralString] = (
    "SELECT h.share_id, h.session_id::text, h.access, h.audience, h.silent,"
    " ARRAY(SELECT m.group_id::text FROM user_groups m WHERE m.user_id = s.user_id) AS groups,"
    " " + grants_of_user("h.user_id") + " AS permissions, s.zone_id::text,"
    " coalesce((SELECT value::boolean FROM settings WHERE name = 'allow_silent_assist'), false) AS silence_allowed"
    "  FROM session_shares h JOIN sessions s USING (session_id)"
    " WHERE h.ended IS NULL AND NOT " + SHARE_IS_OVER + " AND s.status <> 'deleted' ORDER BY h.session_id, h.share_id"
)


@dataclass(frozen=True, slots=True)
class DisallowedShare:
    """A share that groups, their members or settings do not allow, with the reason."""

    share_id: str
    session_id: str
    reason: str


async def find_disallowed_shares(connection: Connection) -> list[DisallowedShare]:
    """Return the shares that groups, their members or the installation's settings do not allow in this transaction."""
    open_shares = rows_as(_OpenShare, await (await connection.execute(_SELECT_OPEN_SHARES)).fetchall())
    groups = (
        await groups_by_id(connection, {group for share in open_shares for group in share.groups})
        if open_shares
        else {}
    )
    found = list[DisallowedShare]()
    for share in open_shares:
        reason = reason_to_end(
            share.access,
            share.audience,
            silent=share.silent,
            settings=resolve([groups[group] for group in share.groups]),
            permissions=codes_for(share.permissions, session_places(share.zone_id, share.groups)),
            silence_allowed=share.silence_allowed,
        )
        if reason is not None:
            found.append(DisallowedShare(share.share_id, share.session_id, reason))
    return found


async def end_disallowed_shares(
    connection: Connection, found: Sequence[DisallowedShare]
) -> tuple[list[DisallowedShare], set[ChangeEvent]]:
    """End shares whose sessions the caller has locked. Return those that were open, and the events to notify after
    commit."""
    ended, events = list[DisallowedShare](), set[ChangeEvent]()
    for share in found:
        events |= await resend_permitted_viewers(connection, share.session_id)
        if await end_shares(connection, share.session_id, share.share_id):
            ended.append(share)
    return ended, events
