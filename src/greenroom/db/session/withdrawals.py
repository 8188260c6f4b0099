"""Shares that are not allowed any more end with the change that takes the right away, in its transaction, in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString

from greenroom.core.access.group_settings import resolve
from greenroom.core.events import Event
from greenroom.core.session.sharing import Audience, reason_to_end
from greenroom.core.session.streams import Access
from greenroom.db.access.groups import groups_by_id
from greenroom.db.database import Connection, rows_as
from greenroom.db.session.shares import OVER, end_shares, instruct_agent


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """A share that is not over; `groups` are those of the session's user, `permissions` those of who it names."""

    share_id: str
    session_id: str
    access: Access
    audience: Audience
    silent: bool
    groups: list[str]
    permissions: list[str]
    silence_allowed: bool


_OPEN: Final[LiteralString] = (
    "SELECT h.share_id, h.session_id::text, h.access, h.audience, h.silent,"
    " ARRAY(SELECT m.group_id::text FROM user_groups m WHERE m.user_id = s.user_id) AS groups,"
    " ARRAY(SELECT DISTINCT p FROM user_groups m JOIN groups g USING (group_id), unnest(g.permissions) p"
    "        WHERE m.user_id = h.user_id) AS permissions,"
    " coalesce((SELECT value::boolean FROM settings WHERE name = 'allow_silent_assist'), false) AS silence_allowed"
    "  FROM session_shares h JOIN sessions s USING (session_id)"
    " WHERE h.ended IS NULL AND NOT " + OVER + " AND s.status <> 'deleted' ORDER BY h.session_id, h.share_id"
)


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A share that ended, and why."""

    share_id: str
    session_id: str
    reason: str


async def end_withdrawn(connection: Connection) -> tuple[list[Withdrawn], set[Event]]:
    """End the shares that groups, their members and the installation's settings, as they are in this transaction, do
    not allow; returns them, and the events to notify after commit. Sessions are locked in the order of their ids.
    """
    found = rows_as(_Open, await (await connection.execute(_OPEN)).fetchall())
    groups = await groups_by_id(connection, {group for share in found for group in share.groups}) if found else {}
    ended, events = list[Withdrawn](), set[Event]()
    for share in found:
        reason = reason_to_end(
            share.access,
            share.audience,
            silent=share.silent,
            settings=resolve([groups[group] for group in share.groups]),
            permissions=share.permissions,
            silence_allowed=share.silence_allowed,
        )
        if reason is None:
            continue
        events |= await instruct_agent(connection, share.session_id)
        if await end_shares(connection, share.session_id, share.share_id):
            ended.append(Withdrawn(share.share_id, share.session_id, reason))
    return ended, events
