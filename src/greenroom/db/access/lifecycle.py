"""The statements that end what users may no longer do (`core.access.lifecycle`).

Lock order of a transaction that reduces access: the lock of `lock_access`, users by id, their API keys, the lock of
`users.has_administrator`, sessions by id. A transaction that changes groups holds the lock of `lock_access` alone, so
that no user loses the last of several groups unseen. Launches share it, so that a change of groups does not miss a new
session.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, LiteralString

from greenroom.core.access.lifecycle import Cause, Effect, UserAccess, effects
from greenroom.core.events import ChangeEvent, session_events
from greenroom.db.access.credentials import delete_logins_of
from greenroom.db.access.roles import grants_of_user
from greenroom.db.database import Connection, rows_as
from greenroom.db.lease.controls import withdraw_control_of_users
from greenroom.db.session.sessions import request_delete
from greenroom.db.session.shares import JOINED_SESSIONS, resend_permitted_viewers

LOCK: Final = 78
"""Number of the advisory lock of `lock_access`."""

_SELECT_ACCESS: Final[LiteralString] = (
    "SELECT u.user_id::text, u.username, NOT u.disabled AND NOT u.locked AS may_log_in, u.password_hash,"
    " " + grants_of_user("u.user_id") + " AS permissions FROM users u WHERE "
)
_WITH_SESSIONS: Final[LiteralString] = (
    "u.user_id IN (SELECT user_id FROM sessions WHERE status <> 'deleted' UNION"
    " SELECT k.created_by FROM leases l JOIN api_keys k USING (key_id) JOIN sessions s USING (session_id)"
    "  WHERE s.status <> 'deleted' UNION"
    " SELECT l.taken_by FROM leases l JOIN sessions s USING (session_id)"
    "  WHERE s.status <> 'deleted' AND l.taken_by IS NOT NULL UNION"
    " SELECT v.user_id FROM session_viewers v JOIN session_shares h USING (share_id)"
    "  WHERE v.ended IS NULL AND h.ended IS NULL)"
)
_REFUSED_SESSIONS: Final[LiteralString] = (
    "SELECT s.session_id::text FROM sessions s JOIN images i USING (image_id)"
    " WHERE s.status <> 'deleted' AND s.user_id IS NOT NULL AND NOT EXISTS (SELECT FROM group_images gi"
    "  JOIN user_groups ug USING (group_id) WHERE gi.image_id = s.image_id AND ug.user_id = s.user_id)"
)
_IS_PENDING: Final[LiteralString] = (
    "(s.started IS NULL AND s.status IN ('requested', 'starting') OR s.status = 'assigning' OR s.awaits_successor)"
)
"""Condition on `sessions s`: its user has not got it yet."""


async def lock_access(connection: Connection, *, alone: bool) -> None:
    """Exclude changes of groups, their members and their workspaces until commit; with `alone`, also other changes of
    users. It must be the first lock of the transaction."""
    shared = "" if alone else "_shared"
    await connection.execute(f"SELECT pg_advisory_xact_lock{shared}(%s, 0)", (LOCK,))


async def read_access(connection: Connection, user_ids: Collection[str] | None) -> dict[str, UserAccess]:
    """Return what these users may do, by id; None = all users with a session, a lease or an open view."""
    query = _SELECT_ACCESS + (_WITH_SESSIONS if user_ids is None else "u.user_id = ANY(%(ids)s::uuid[])")
    cursor = await connection.execute(query, {} if user_ids is None else {"ids": list(user_ids)})
    return {access.user_id: access for access in rows_as(UserAccess, await cursor.fetchall())}


async def read_refused_sessions(connection: Connection, user_ids: Collection[str] | None) -> set[str]:
    """Return the sessions of these users whose workspace their user may not use; None = of all users."""
    query = _REFUSED_SESSIONS + ("" if user_ids is None else " AND s.user_id = ANY(%(ids)s::uuid[])")
    cursor = await connection.execute(query, {} if user_ids is None else {"ids": list(user_ids)})
    return {row["session_id"] for row in await cursor.fetchall()}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSession:
    """A session that ends because its user, the owner of the API key of its lease, or the user who leased it lost
    access."""

    session_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedAccess:
    """The sessions that end, and the events to notify after commit."""

    sessions: list[EndedSession]
    events: set[ChangeEvent]


async def begin_loss(connection: Connection, user_ids: Iterable[str]) -> None:
    """Lock users in the order of their ids, and increase their epochs."""
    ids = sorted(user_ids)
    await connection.execute(
        "SELECT 1 FROM users WHERE user_id = ANY(%s::uuid[]) ORDER BY user_id FOR NO KEY UPDATE", (ids,)
    )
    await connection.execute("UPDATE users SET auth_epoch = auth_epoch + 1 WHERE user_id = ANY(%s::uuid[])", (ids,))


async def end_access(
    connection: Connection,
    lost: Mapping[str, Collection[Cause]],
    names: Mapping[str, str],
    *,
    refused: Collection[str] = (),
    also_locked: Collection[str] = (),
    keep: bytes | None = None,
) -> EndedAccess:
    """Apply the effects of the causes `lost` (user id → causes), and end the access to the sessions `refused`, whose
    users lost their workspaces. The caller must have called `begin_loss`.

    `names` are the names of these users. The sessions `also_locked` are locked together with the others. `keep` is the
    hash of the cookie of a log-in that continues.
    """
    users_of = {effect: [user for user, found in lost.items() if effect in effects(found)] for effect in Effect}
    values = {str(effect.name).lower(): ids for effect, ids in users_of.items()}
    values |= {"all_ids": sorted(lost), "refused": sorted(refused)}
    values["locked"] = sorted({*refused, *also_locked})
    await delete_logins_of(connection, users_of[Effect.LOGINS], keep=keep)
    await connection.execute("DELETE FROM launches_waiting WHERE user_id = ANY(%(launches)s::uuid[])", values)
    await connection.execute(_LOCK_SESSIONS, values)
    sessions, events = await _end_sessions(connection, lost, names, values)
    cursor = await connection.execute(_CLOSE_STREAMS, values)
    events |= {
        ChangeEvent.agent(row["agent_id"], row["session_id"]) for row in await cursor.fetchall() if row["agent_id"]
    }
    await connection.execute(_END_LEASE_TOKENS, values)
    events |= await _end_sharing(connection, values)
    events |= await withdraw_control_of_users(connection, users_of[Effect.STREAMS])
    return EndedAccess(sessions=sessions, events=events)


_LEASED_BY_USERS: Final[LiteralString] = (
    "SELECT l.session_id FROM leases l JOIN api_keys k USING (key_id)"
    " WHERE k.created_by = ANY(%(leases_for_others)s::uuid[])"
    " UNION SELECT session_id FROM leases WHERE taken_by = ANY(%(leases_for_others)s::uuid[])"
)
"""The sessions that API keys of the users `leases_for_others` lease, and those that the users took for others."""
_TAKEN_FOR_OTHERS: Final[LiteralString] = (
    "SELECT session_id FROM leases WHERE taken_by = ANY(%(tokens_for_others)s::uuid[])"
)
"""The sessions of the leases that the users `tokens_for_others` took for others with a log-in."""
_LOCK_SESSIONS: Final[LiteralString] = (
    "SELECT 1 FROM sessions WHERE session_id IN (SELECT session_id FROM sessions"
    "  WHERE user_id = ANY(%(all_ids)s::uuid[]) AND status <> 'deleted' UNION "
    + JOINED_SESSIONS
    + " UNION "
    + _LEASED_BY_USERS
    + " UNION "
    + _TAKEN_FOR_OTHERS
    + " UNION SELECT unnest(%(locked)s::uuid[])) AND status <> 'deleted' ORDER BY session_id FOR NO KEY UPDATE"
)
_SESSIONS_TO_END: Final[LiteralString] = (
    "SELECT s.session_id::text, s.user_id::text, u.username, k.key_id,"
    " coalesce(k.created_by, l.taken_by)::text AS owner_id"
    " FROM sessions s LEFT JOIN users u USING (user_id) LEFT JOIN leases l USING (session_id)"
    " LEFT JOIN api_keys k USING (key_id) WHERE s.status NOT IN ('deleting', 'deleted') AND ("
    " s.user_id = ANY(%(sessions)s::uuid[])"
    f" OR {_IS_PENDING} AND (s.user_id = ANY(%(launches)s::uuid[]) AND l.lease_id IS NULL"
    "   OR s.session_id = ANY(%(refused)s::uuid[]))"
    " OR l.lease_id IS NOT NULL AND (s.session_id = ANY(%(refused)s::uuid[])"
    "   OR s.user_id = ANY(%(all_leases)s::uuid[])"
    "   OR s.user_id = ANY(%(own_leases)s::uuid[]) AND (l.key_id IS NULL OR k.created_by = s.user_id)"
    "   OR k.created_by = ANY(%(leases_for_others)s::uuid[]) AND k.created_by IS DISTINCT FROM s.user_id"
    "   OR l.taken_by = ANY(%(leases_for_others)s::uuid[]))"
    " ) ORDER BY s.session_id"
)
_HAS_CLOSED_STREAMS: Final[LiteralString] = (
    "(coalesce(user_id = ANY(%(streams)s::uuid[]), false) OR session_id = ANY(%(refused)s::uuid[]))"
)
_CLOSE_STREAMS: Final[LiteralString] = (
    f"UPDATE sessions SET auth_epoch = auth_epoch + {_HAS_CLOSED_STREAMS}::int, generation = generation + 1"
    f" WHERE status <> 'deleted' AND ({_HAS_CLOSED_STREAMS} OR session_id IN ({_TAKEN_FOR_OTHERS}))"
    " RETURNING agent_id::text, session_id::text"
)
"""Sends the epochs of sessions and leases to the Agents. The end of a token alone closes no stream of a user."""
_END_LEASE_TOKENS: Final[LiteralString] = (
    "UPDATE leases l SET auth_epoch = l.auth_epoch + 1 FROM sessions s WHERE s.session_id = l.session_id"
    " AND s.status <> 'deleted' AND (s.status = 'deleting' OR l.key_id IS NULL)"
    " AND (s.user_id = ANY(%(streams)s::uuid[]) OR s.session_id = ANY(%(refused)s::uuid[])"
    "  OR l.session_id IN (" + _LEASED_BY_USERS + " UNION " + _TAKEN_FOR_OTHERS + "))"
)
"""The tokens of leases that API keys hold stay valid, unless the lease ends: a log-out does not end a lease of a
program."""


async def _end_sessions(
    connection: Connection,
    lost: Mapping[str, Collection[Cause]],
    names: Mapping[str, str],
    values: Mapping[str, object],
) -> tuple[list[EndedSession], set[ChangeEvent]]:
    ended, events = list[EndedSession](), set[ChangeEvent]()
    for row in await (await connection.execute(_SESSIONS_TO_END, values)).fetchall():
        if row["user_id"] in lost:
            reason = f"user {names[row['user_id']]} {_first(lost[row['user_id']])}"
        elif row["owner_id"] in lost:
            owner = names[row["owner_id"]]
            relation = "who leased it" if row["key_id"] is None else "the owner of the API key of its lease"
            reason = f"user {owner}, {relation}, {_first(lost[row['owner_id']])}"
        else:
            reason = f"user {row['username']} may no longer use its workspace"
        session = await request_delete(connection, row["session_id"], reason)
        events |= session_events(session.session_id, agent_id=session.agent_id)
        if session.changed:
            ended.append(EndedSession(session_id=session.session_id, reason=reason))
    return ended, events


def _first(found: Collection[Cause]) -> Cause:
    """Return the cause with the most effects, for the reason of an end."""
    return next(cause for cause in Cause if cause in found)


async def _end_sharing(connection: Connection, values: Mapping[str, object]) -> set[ChangeEvent]:
    """End the views of users in the sessions of others, the shares with them, and the shares of their sessions."""
    cursor = await connection.execute(
        "SELECT DISTINCT session_id::text FROM (" + JOINED_SESSIONS + ") joined ORDER BY 1", values
    )
    events = set[ChangeEvent]()
    for row in await cursor.fetchall():
        events |= await resend_permitted_viewers(connection, row["session_id"])
    await connection.execute(
        "UPDATE session_viewers SET ended = clock_timestamp(), present = NULL"
        " WHERE user_id = ANY(%(streams)s::uuid[]) AND ended IS NULL",
        values,
    )
    await connection.execute(
        "UPDATE session_shares SET ended = clock_timestamp() WHERE ended IS NULL"
        " AND (user_id = ANY(%(shares_with)s::uuid[]) OR session_id IN (SELECT session_id FROM sessions"
        "  WHERE user_id = ANY(%(shares)s::uuid[]) AND status <> 'deleted') OR session_id = ANY(%(refused)s::uuid[]))",
        values,
    )
    return events
