"""Leases of sessions: their holders, deadlines and number, and the addresses of their sessions.

The deadline of a lease is the time limit of its session, so the Primary ends a leased session as any expired session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

import structlog
from psycopg.types.json import Jsonb

from greenroom.core.access.group_settings import GroupSettings
from greenroom.core.errors import Unavailable, require_row
from greenroom.core.launch.wanted import SessionUser
from greenroom.core.lease import NewLease, Tags, key_limit_reached
from greenroom.core.listing import SortOrder
from greenroom.core.recording.descriptions import RecordingMode
from greenroom.core.session.states import KEPT_ALIVE, SessionStatus
from greenroom.core.session.streams import ProxyFacts
from greenroom.core.workspace.session_spec import Service
from greenroom.db.access.api_keys import ApiKey
from greenroom.db.access.groups import GROUPS_OF_USER
from greenroom.db.database import Connection, Database, returned_row
from greenroom.db.fleet.zones import PROXY_JSON
from greenroom.db.listing import Conditions, ListColumn, ListDefinition
from greenroom.db.rows import values_of
from greenroom.db.session.sessions import COUNTED_SESSIONS, COUNTED_STATUSES, DeletedSession, request_delete
from greenroom.db.session.views import STATUS

EXTENDABLE: Final = sorted(map(str, KEPT_ALIVE))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRow:
    """A lease with the displayed fields of its session. `expires` is the deadline, `auth_epoch` the epoch of its
    token; `max_lease_s` and `not_after` are limits of the API key that created it."""

    lease_id: str
    session_id: str
    key_id: str | None
    max_lease_s: int | None
    not_after: datetime | None
    holder: str
    tags: Tags
    record: RecordingMode
    record_text: bool
    must_record: bool
    """True if the groups of its user require a recording."""
    secrets: list[str]
    """Names of the secrets that its web filter adds to requests."""
    user_id: str | None
    username: str | None
    image_id: str
    image_friendly_name: str
    zone_name: str
    outcome: str
    status: SessionStatus
    auth_epoch: int
    permissions: dict[str, bool]
    """The permissions with which its session's container was created."""
    held_by: str
    """The person who has control; empty = the program."""
    created: datetime
    expires: datetime | None
    ended: datetime | None
    ended_reason: str | None


NEWEST_FIRST: Final = SortOrder("created", descending=True)
LEASES: Final = ListDefinition(
    row_type=LeaseRow,
    noun="lease",
    select=(
        "l.lease_id::text, l.session_id::text, l.key_id, l.max_lease_s, l.not_after, l.holder, l.tags, l.record,"
        " l.record_text, l.must_record,"
        " ARRAY(SELECT x.name FROM filter_policy_secrets f JOIN secrets x USING (secret_id)"
        "  WHERE f.filter_policy_id::text = s.spec ->> 'filter_policy' ORDER BY x.name) AS secrets, s.user_id::text,"
        f" u.username, s.image_id::text, i.friendly_name AS image_friendly_name, z.zone_name, {STATUS}"
        " AS status, CASE WHEN s.staging_config_id IS NULL THEN 'on_demand' ELSE 'staged' END AS outcome, l.auth_epoch,"
        " s.permissions,"
        " coalesce((SELECT CASE WHEN c.viewer <> '' AND c.until > clock_timestamp() THEN c.name END"
        "  FROM lease_controls c WHERE c.lease_id = l.lease_id ORDER BY c.term DESC LIMIT 1), '') AS held_by,"
        " l.created, s.time_limit_ends AS expires, s.ended, s.ended_reason"
    ),
    source="""
  FROM leases l JOIN sessions s USING (session_id) LEFT JOIN images i USING (image_id)
  LEFT JOIN zones z ON z.zone_id = s.zone_id LEFT JOIN users u ON u.user_id = s.user_id
""",
    key="l.lease_id",
    columns={"created": ListColumn("l.created", "timestamptz")},
    order=NEWEST_FIRST,
    filters={
        "user_id": "s.user_id = %(user_id)s::uuid",
        "key_id": "l.key_id = %(key_id)s",
        "tag": "l.tags @> %(tag)s",
    },
)
get_lease: Final = LEASES.get


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseFilter:
    """A filter of leases; None = any. `ended`: includes ended leases. `tag`: an unnamed tag, or `name=value`."""

    user_id: str | None = None
    key_id: str | None = None
    tag: str | None = None
    ended: bool = False

    def conditions(self) -> Conditions:
        name, equals, word = (self.tag or "").partition("=")
        tag = None if self.tag is None else Jsonb({name: word} if equals else [name])
        conditions = LEASES.matching(user_id=self.user_id, key_id=self.key_id, tag=tag)
        if not self.ended:
            conditions.add("s.status <> 'deleted'")
        return conditions


async def get_leases(db: Database, lease_ids: Sequence[str]) -> list[LeaseRow]:
    """Return the leases with these ids, in any order; unknown ids are omitted."""
    return await db.fetch_as(LeaseRow, f"{LEASES.query} WHERE l.lease_id = ANY(%s::uuid[])", (list(lease_ids),))


async def is_lease_of_user(db: Database, lease_id: str, user_id: str) -> bool:
    """Return True if the lease exists and its session belongs to this user."""
    query = "SELECT 1 FROM leases l JOIN sessions s USING (session_id) WHERE l.lease_id::text = %s AND s.user_id = %s"
    return await db.fetch_one(query, (lease_id, user_id)) is not None


async def find_lease_of(db: Database, session_id: str) -> LeaseRow | None:
    """Return the lease of a session; None if it has none."""
    return await LEASES.find(db, "l.session_id = %s", (session_id,))


async def write_lease(connection: Connection, user: SessionUser) -> None:
    """Store the lease of the session that the user's launch got in this transaction, and delete its reservation. Does
    nothing if the launch is not for a lease, or got no session. No row is fetched, so that a pipeline need not wait."""
    if (lease := user.lease) is None:
        return
    await connection.execute(
        "WITH made AS (INSERT INTO leases (lease_id, session_id, key_id, taken_by, max_lease_s, not_after, holder,"
        "   tags, record, record_text, record_required, must_record) SELECT %(lease_id)s::uuid, session_id, %(key_id)s,"
        "   %(taken_by)s::uuid, %(max_lease_s)s, %(not_after)s, %(holder)s, %(tags)s, %(record)s, %(record_text)s,"
        "   %(record_required)s, %(must_record)s"
        "  FROM sessions WHERE launch_id = %(launch_id)s RETURNING 1)"
        " DELETE FROM lease_reservations WHERE reservation_id = %(reservation_id)s::uuid AND EXISTS (SELECT FROM made)",
        values_of(NewLease, lease) | {"launch_id": user.launch_id, "tags": Jsonb(lease.tags)},
    )


async def extend(db: Database, session_id: str, seconds: float, max_s: float) -> bool:
    """Move a leased session's deadline to `seconds` from now. False = the session is ending, or would last longer than
    `max_s` (0 = no limit)."""
    rows = await db.write(
        "UPDATE sessions SET keepalive = extended.since, expires = extended.until, time_limit_ends = extended.until,"
        " expiry = expiry || jsonb_build_object('keepalive_s', extended.whole_s, 'time_limit_s', extended.whole_s)"
        " FROM (SELECT session_id, since, since + make_interval(secs => %(seconds)s) AS until,"
        "  extract(epoch FROM since - assigned)::double precision + %(seconds)s AS whole_s"
        "  FROM sessions, clock_timestamp() AS since WHERE session_id = %(id)s) extended"
        " WHERE sessions.session_id = extended.session_id AND status = ANY(%(extendable)s) AND user_id IS NOT NULL"
        " AND (%(max_s)s = 0 OR extended.whole_s <= %(max_s)s) RETURNING 1",
        {"id": session_id, "seconds": float(seconds), "max_s": float(max_s), "extendable": EXTENDABLE},
    )
    return bool(rows)


async def move_lease(connection: Connection, old_session_id: str, session_id: str) -> None:
    """Move a lease to the session that replaces its session."""
    await connection.execute("UPDATE leases SET session_id = %s WHERE session_id = %s", (session_id, old_session_id))


async def end_leases_of_key(connection: Connection, key_id: str, reason: str) -> list[DeletedSession]:
    """End the leases of an API key and invalidate their tokens; returns their sessions, for events after the commit."""
    cursor = await connection.execute(
        "SELECT session_id::text FROM sessions s WHERE status <> 'deleted' AND session_id IN"
        " (SELECT session_id FROM leases WHERE key_id = %s) ORDER BY s.session_id FOR NO KEY UPDATE",
        (key_id,),
    )
    session_ids = [row["session_id"] for row in await cursor.fetchall()]
    await connection.execute(
        "UPDATE leases SET auth_epoch = auth_epoch + 1 WHERE key_id = %s AND session_id = ANY(%s::uuid[])",
        (key_id, session_ids),
    )
    deletions = [await request_delete(connection, session_id, reason) for session_id in session_ids]
    return [session for session in deletions if session.changed]


async def sessions_of_owner(connection: Connection, user_id: str) -> list[str]:
    """Return the sessions of a user, and those that API keys of the user lease."""
    cursor = await connection.execute(
        "SELECT session_id::text FROM sessions WHERE status <> 'deleted' AND (user_id = %(user_id)s OR session_id IN"
        " (SELECT l.session_id FROM leases l JOIN api_keys k USING (key_id) WHERE k.created_by = %(user_id)s))",
        {"user_id": user_id},
    )
    return [row["session_id"] for row in await cursor.fetchall()]


async def limit_leases_of_key(connection: Connection, key: ApiKey) -> None:
    """Apply the limits of an API key to its leases. A deadline after the expiration of the key moves to that time."""
    await connection.execute(
        "UPDATE sessions s SET expires = LEAST(s.expires, %(until)s::timestamptz), time_limit_ends = %(until)s,"
        " expiry = s.expiry || jsonb_build_object('keepalive_s', limited.whole_s, 'time_limit_s', limited.whole_s)"
        " FROM (SELECT session_id, greatest(1, extract(epoch FROM %(until)s::timestamptz"
        "    - coalesce(s.assigned, s.created)))::double precision AS whole_s FROM sessions s JOIN leases"
        "   USING (session_id) WHERE key_id = %(key_id)s AND s.status <> 'deleted'"
        "   AND s.time_limit_ends > %(until)s::timestamptz ORDER BY session_id FOR NO KEY UPDATE OF s) limited"
        " WHERE s.session_id = limited.session_id",
        {"until": key.ends, "key_id": key.key_id},
    )
    await connection.execute(
        "UPDATE leases SET max_lease_s = %s, not_after = %s WHERE key_id = %s",
        (key.max_lease_s, key.ends, key.key_id),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSession:
    """A session whose desktop the api controls for a program: the session of a lease, or a session that an API key
    names by its id. `auth_epoch` is the epoch of its token; `upstream_auth` is the `host[:port]` of a gateway."""

    session_id: str
    status: SessionStatus
    auth_epoch: int
    image_friendly_name: str
    agent_id: str | None
    proxy: ProxyFacts
    upstream_auth: str
    services: list[Service]


_SELECT_PROGRAM_SESSION: Final[LiteralString] = (
    f"SELECT s.session_id::text, {STATUS} AS status, coalesce(l.auth_epoch, s.auth_epoch) AS auth_epoch,"
    f" coalesce(i.friendly_name, '') AS image_friendly_name, s.agent_id::text, {PROXY_JSON}"
    " || jsonb_build_object('edge_url', coalesce(a.edge_url, '')) AS proxy,"
    " coalesce(s.spec->>'upstream_auth', '') AS upstream_auth, coalesce(s.spec->'services', '[]') AS services"
    " FROM sessions s LEFT JOIN leases l USING (session_id) LEFT JOIN images i USING (image_id)"
    " LEFT JOIN zones z ON z.zone_id = s.zone_id LEFT JOIN agents a ON a.agent_id = s.agent_id"
)


async def leased_session(db: Database, lease_id: str) -> ProgramSession:
    """Return the session of a lease. Raises NotFound: there is no such lease."""
    return require_row(
        await db.fetch_one_as(ProgramSession, _SELECT_PROGRAM_SESSION + " WHERE l.lease_id = %s", (lease_id,)),
        "lease",
        lease_id,
    )


async def program_session(db: Database, session_id: str) -> ProgramSession:
    """Return the session with this id, with or without a lease. Raises NotFound: there is no such session."""
    row = await db.fetch_one_as(ProgramSession, _SELECT_PROGRAM_SESSION + " WHERE s.session_id = %s", (session_id,))
    return require_row(row, "session", session_id)


log = structlog.get_logger(__name__)

_KEY_LEASE_COUNTS: Final[LiteralString] = (
    "(SELECT count(*) FROM leases l JOIN sessions s USING (session_id)"
    "   WHERE l.key_id = %(key_id)s AND (s.status = ANY(%(counted_statuses)s) OR s.awaits_successor))"
    " + (SELECT count(*) FROM lease_reservations WHERE key_id = %(key_id)s"
    "   AND made > clock_timestamp() - interval '5 minutes' AND (idempotency_key IS NULL"
    "    OR (user_id, idempotency_key) IS DISTINCT FROM (%(user_id)s::uuid, %(idempotency_key)s::text))"
    "  ) AS key_leases,"
    " EXISTS (SELECT 1 FROM sessions WHERE user_id = %(user_id)s::uuid"
    "   AND idempotency_key = %(idempotency_key)s) AS repeated"
)
"""`key_leases`: the number of leases and reservations of API key `key_id`, without the reservation of this request;
`repeated`: an earlier request with this `idempotency_key` created a session of the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseCounts:
    """The input of the decision on another lease of a user (`core.lease.limit_refusal`).

    `user_leases` and `key_leases` are the numbers of leases that count towards the limits. `repeated`: the request gets
    the session of an earlier request.
    """

    groups: list[GroupSettings]
    user_leases: int
    key_leases: int
    max_leases: int | None
    repeated: bool


async def read_counts(db: Database, key_id: str | None, *, user_id: str, idempotency_key: str | None) -> LeaseCounts:
    """Return the leases of a user and of an API key, and their limits, without locks."""
    values = {"user_id": user_id, "key_id": key_id, "idempotency_key": idempotency_key}
    counts = await db.fetch_one_as(
        LeaseCounts,
        "SELECT " + GROUPS_OF_USER + " AS groups, " + COUNTED_SESSIONS + " AS user_leases, " + _KEY_LEASE_COUNTS + ","
        " (SELECT max_leases FROM api_keys WHERE key_id = %(key_id)s) AS max_leases",
        values | {"counted_statuses": COUNTED_STATUSES, "leased": True},
    )
    if counts is None:
        raise AssertionError("a query without FROM gives one row")
    return counts


async def reserve(db: Database, key_id: str, *, user_id: str, idempotency_key: str | None) -> str | None:
    """Reserve a lease of an API key before it is created; returns the id of the reservation. None = the API key has no
    limit, or an earlier request with the same idempotency key created the lease. Reservations with the same idempotency
    key do not count toward the limit. Raises LeaseLimit: the API key has `max_leases` leases."""
    async with db.transaction() as connection:
        cursor = await connection.execute(
            "SELECT max_leases FROM api_keys WHERE key_id = %s FOR NO KEY UPDATE", (key_id,)
        )
        row = await cursor.fetchone()
        if row is None or (max_leases := row["max_leases"]) is None:
            return None
        values = {"key_id": key_id, "user_id": user_id, "idempotency_key": idempotency_key}
        cursor = await connection.execute(
            "SELECT " + _KEY_LEASE_COUNTS, values | {"counted_statuses": COUNTED_STATUSES}
        )
        counts = await returned_row(cursor)
        if counts["repeated"]:
            return None
        if counts["key_leases"] >= max_leases:
            raise key_limit_reached(max_leases)
        cursor = await connection.execute(
            "INSERT INTO lease_reservations (key_id, user_id, idempotency_key)"
            " VALUES (%(key_id)s, %(user_id)s, %(idempotency_key)s) RETURNING reservation_id::text",
            values,
        )
        return (await returned_row(cursor))["reservation_id"]


async def delete_reservation(db: Database, reservation_id: str) -> None:
    """Delete the reservation of a lease. Never fails: a reservation that remains expires after some minutes."""
    try:
        await db.write("DELETE FROM lease_reservations WHERE reservation_id = %s", (reservation_id,))
    except Unavailable as error:
        log.warning(
            "the reservation of a failed lease could not be deleted; it counts until it expires", reason=error.message
        )
