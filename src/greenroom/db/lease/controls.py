"""The control of a leased session by its program, its user or a guest, and the changes of control. The rules are in
`core.lease`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

import msgspec

from greenroom.core.errors import require_row
from greenroom.core.events import ChangeEvent
from greenroom.core.lease import USER, Control, current_control
from greenroom.db.database import Connection, Database, returned_row, row_as
from greenroom.db.session.viewers import FROM_CONTROLLING_VIEWERS

MAX_CHANGES: Final = 100
"""The maximum number of changes in the trace of a lease; older changes are omitted."""
_SELECT_LAST_CONTROL: Final[LiteralString] = (
    "SELECT term, viewer, name, until, clock_timestamp() AS now FROM lease_controls WHERE lease_id = %s"
    " ORDER BY term DESC LIMIT 1"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlUpdate:
    """The control before and after an update. If the terms are equal, the control was renewed or is unchanged."""

    before: Control
    after: Control


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedControlChange:
    """A change of control in the trace of a lease. `said` is the change as a sentence."""

    term: int
    name: str
    since: datetime
    said: str


async def read_control(db: Database, lease_id: str) -> Control:
    """Return the current control of a lease."""
    row = await db.fetch_one(_SELECT_LAST_CONTROL, (lease_id,))
    return current_control(msgspec.convert(row, Control), row["now"]) if row else Control()


async def change_control(
    db: Database, lease_id: str, decide: Callable[[Control, datetime], Control], sentence: str
) -> ControlUpdate:
    """Change the control of a lease to the result of `decide`, which receives the last control and the time. `sentence`
    is stored with a new term. Concurrent calls are serialized. If `decide` raises an exception, nothing is changed."""
    async with db.transaction() as connection:
        await connection.execute("SELECT 1 FROM leases WHERE lease_id = %s FOR NO KEY UPDATE", (lease_id,))
        cursor = await connection.execute(_SELECT_LAST_CONTROL, (lease_id,))
        before = row_as(Control, await cursor.fetchone()) or Control()
        cursor = await connection.execute("SELECT clock_timestamp() AS now")
        after = decide(before, (await returned_row(cursor))["now"])
        until = after.until if after.term == before.term else None
        if before.until != until:
            await connection.execute(
                "UPDATE lease_controls SET until = %s WHERE lease_id = %s AND term = %s", (until, lease_id, before.term)
            )
        if after.term != before.term:
            await connection.execute(
                "INSERT INTO lease_controls (lease_id, term, viewer, name, until, said)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                (lease_id, after.term, after.viewer, after.name, after.until, sentence),
            )
        return ControlUpdate(before=before, after=after)


async def list_changes(db: Database, lease_id: str) -> list[RecordedControlChange]:
    """Return the changes of control of a lease, oldest first."""
    return await db.fetch_as(
        RecordedControlChange,
        "SELECT * FROM (SELECT term, name, since, said FROM lease_controls WHERE lease_id = %s"
        " ORDER BY term DESC LIMIT %s) last ORDER BY term",
        (lease_id, MAX_CHANGES),
    )


async def read_page_credential(db: Database, session_id: str) -> bytes:
    """Return the encrypted password of a session's page, with which the api signs instructions to the page."""
    row = await db.fetch_one("SELECT credential_encrypted FROM sessions WHERE session_id = %s", (session_id,))
    return require_row(row, "session", session_id)["credential_encrypted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldControl:
    """The control that a user or guest has taken and not returned to the program yet. It has ended (`has_ended`) if its
    time is over, or if the person may not control the session (`may_control` is False)."""

    lease_id: str
    session_id: str
    term: int
    name: str
    may_control: bool
    has_ended: bool


async def read_held_controls(db: Database) -> list[HeldControl]:
    """Return the control of all users and guests, in the order of its end."""
    return await db.fetch_as(
        HeldControl,
        "WITH held AS (SELECT lease_id, session_id, term, name, until, until > since AND (viewer = %(user)s OR EXISTS"
        " (SELECT 1"
        + FROM_CONTROLLING_VIEWERS
        + " AND h.session_id = l.session_id AND v.viewer_id::text = c.viewer)) AS may_control"
        " FROM lease_controls c JOIN leases l USING (lease_id) WHERE until IS NOT NULL)"
        " SELECT lease_id::text, session_id::text, term, name, may_control,"
        " until <= clock_timestamp() OR NOT may_control AS has_ended FROM held ORDER BY until",
        {"user": USER},
    )


async def withdraw_control_of_users(connection: Connection, user_ids: Sequence[str]) -> set[ChangeEvent]:
    """End the control of users whose streams were closed; returns the events. The sessions must be locked."""
    cursor = await connection.execute(
        "WITH of_users AS (SELECT lease_id, session_id FROM leases JOIN sessions USING (session_id)"
        "  WHERE user_id = ANY(%s::uuid[]) AND status <> 'deleted' ORDER BY lease_id FOR NO KEY UPDATE OF leases)"
        " UPDATE lease_controls c SET until = since FROM of_users o"
        " WHERE c.lease_id = o.lease_id AND c.viewer = %s AND c.until > clock_timestamp() RETURNING o.session_id::text",
        (list(user_ids), USER),
    )
    return {ChangeEvent.session(row["session_id"]) for row in await cursor.fetchall()}
