"""The leadership of a zone (docs/explanation/protocols.md §1).

`LeadershipConnection` holds the advisory lock (71, zone_key) of the zone. PostgreSQL releases it when this process
dies, so that a waiting Manager gets it immediately. All other readers of a leadership use the connection pool.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
import structlog
from psycopg.rows import dict_row

from greenroom.core.errors import LeaseLost
from greenroom.core.events import ChangeEvent
from greenroom.core.fleet.leadership import Predecessor
from greenroom.db.connections import ANSWER_SLACK_S, KEEPALIVE_OPTIONS, TimeLimitedConnection, reraise_lost_cancellation
from greenroom.db.database import CHANNEL, Connection, Database, row_as

log = structlog.get_logger(__name__)

STATEMENT_TIMEOUT_S: Final = 0.9
"""Timeout of every statement on the leadership connection except the statement of `take`."""

_OPTIONS: Final = (
    "-c lock_timeout=1s -c statement_timeout=2s -c client_connection_check_interval=300ms"
    " -c tcp_keepalives_idle=2 -c tcp_keepalives_interval=1 -c tcp_user_timeout=3000 -c TimeZone=UTC"
)


@dataclass(frozen=True, slots=True)
class Fence:
    """The leadership under which a Primary writes; the database refuses the write if this leadership has ended."""

    zone_key: int
    holder: str
    term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leadership:
    """A zone's leadership in the database. `remaining_s` may be negative or infinite."""

    term: int
    holder: str | None
    manager_id: str | None
    remaining_s: float


@asynccontextmanager
async def guarded(db: Database, fence: Fence) -> AsyncGenerator[Connection]:
    """Yield a transaction that only the holder of the term can commit.

    The zone's row of `zone_leases` is locked FOR SHARE until commit, so no other term can begin in the meantime. The
    block must be short and call nothing outside the database (GUARD of docs/explanation/protocols.md §1). A plan that
    counts rows must lock them in one statement and count them in a later statement. Raises LeaseLost: the term is over;
    nothing was written.
    """
    async with db.transaction() as connection:
        await lock_leadership(connection, fence)
        yield connection


async def lock_leadership(connection: Connection, fence: Fence) -> None:
    """Bind the transaction of `connection` to the term. Only for transactions that lock other rows before the row of
    the leadership, or use a pipeline; all others use `guarded`. Raises LeaseLost: the term is over."""
    cursor = await connection.execute(
        "SELECT 1 FROM zone_leases WHERE zone_key = %s AND holder = %s AND term = %s"
        " AND expires_at > clock_timestamp() FOR SHARE",
        (fence.zone_key, fence.holder, fence.term),
    )
    if await cursor.fetchone() is None:
        raise LeaseLost(f"Term {fence.term} is over; another Manager is Primary of this zone now.")


class LeadershipConnection:
    """A direct connection, which is open while this Manager is Primary or waits to become Primary. After any error the
    connection must be closed (docs/explanation/protocols.md §1): the error rolls the statement back, but does not
    release an advisory lock that the statement took."""

    def __init__(self, connection: psycopg.AsyncConnection[dict[str, Any]], zone_key: int, holder: str) -> None:
        self._connection = connection
        self._zone_key = zone_key
        self._holder = holder

    async def take(self, manager_id: str, my_term: int, ttl_s: float) -> int | None:
        """Wait up to a second for the zone's lock and take the leadership; returns its term.

        None = this Manager is disabled, or another leadership has not expired; wait briefly. 0 = another connection
        held the lock for the whole second; check whether this Manager is still enabled, and try again. Must not be
        called while this Manager is Primary: PostgreSQL counts repeated locks of a connection, so one release would not
        free the lock. Raises psycopg.Error: the connection must be closed.
        """
        row = await self._row(
            "SELECT lease_take(%s, %s, %s, %s, make_interval(secs => %s)) AS term",
            (self._zone_key, self._holder, manager_id, my_term, ttl_s),
        )
        return None if row is None or row["term"] is None else int(row["term"])

    async def complete_takeover(self, manager_id: str) -> Predecessor | None:
        """Set the statement timeout and record this Manager as the holder. Return the previous holder; None = there was
        none. Call it once, after the first renewal that follows `take`: it must not delay this renewal."""
        await self._row("SELECT set_config('statement_timeout', '900ms', false)", ())
        row = await self._row(
            "WITH l AS (UPDATE zone_leases SET announced_term = term WHERE zone_key = %s AND holder = %s"
            "  AND backend_pid = pg_backend_pid() RETURNING *)"
            " SELECT m.instance_id, m.enabled IS TRUE AS enabled, l.previous_manager_id = %s AS is_same_manager,"
            " l.previous_expires_at = '-infinity' AS resigned,"
            " l.previous_expires_at > '-infinity' AND l.previous_expires_at <= l.renewed_at AS expired"
            " FROM l LEFT JOIN managers m ON m.manager_id = l.previous_manager_id"
            " WHERE l.previous_manager_id IS NOT NULL",
            (self._zone_key, self._holder, manager_id),
        )
        return row_as(Predecessor, row)

    async def renew(self, term: int, ttl_s: float) -> bool:
        """Extend the leadership of this term that this connection holds; False = the leadership was lost."""
        return await self._changes_row(
            "UPDATE zone_leases SET expires_at = clock_timestamp() + make_interval(secs => %s),"
            " renewed_at = clock_timestamp() WHERE zone_key = %s AND holder = %s AND term = %s"
            " AND backend_pid = pg_backend_pid() AND expires_at > clock_timestamp() RETURNING 1 AS one",
            (ttl_s, self._zone_key, self._holder, term),
        )

    async def raise_term(self, term: int, new_term: int) -> bool:
        """Continue the leadership with a higher term; False = the leadership was lost."""
        return await self._changes_row(
            "UPDATE zone_leases SET term = %s, announced_term = %s WHERE zone_key = %s AND holder = %s AND term = %s"
            " AND backend_pid = pg_backend_pid() AND expires_at > clock_timestamp() RETURNING 1 AS one",
            (new_term, new_term, self._zone_key, self._holder, term),
        )

    async def resign(self, term: int) -> bool:
        """End the leadership of this term and notify the waiting Managers; False = the term was over."""
        return await self._changes_row(
            "WITH ended AS (UPDATE zone_leases SET expires_at = '-infinity' WHERE zone_key = %s AND holder = %s"
            " AND term = %s RETURNING 1) SELECT pg_notify(%s, %s) FROM ended",
            (self._zone_key, self._holder, term, CHANNEL, str(ChangeEvent.primary(self._zone_key))),
        )

    async def _changes_row(self, query: LiteralString, params: tuple[Any, ...]) -> bool:
        return await self._row(query, params) is not None

    async def _row(self, query: LiteralString, params: tuple[Any, ...]) -> dict[str, Any] | None:
        with reraise_lost_cancellation():
            return await (await self._connection.execute(query, params)).fetchone()


@asynccontextmanager
async def leadership_connection(
    dsn: str, name: str, zone_key: int, holder: str
) -> AsyncGenerator[LeadershipConnection]:
    """Open the connection, and close it at the end in every case, which releases the zone's lock. `dsn` is the address
    of PostgreSQL, not of a connection pooler; `name` is the application name; `holder` is the uuid of this process."""
    connection = await TimeLimitedConnection[dict[str, Any]].connect(
        dsn,
        autocommit=True,
        row_factory=dict_row,
        application_name=name,
        connect_timeout=3,
        options=_OPTIONS,
        **KEEPALIVE_OPTIONS,
    )
    connection.answer_timeout_s = ANSWER_SLACK_S  # longer than the server's own limits
    try:
        yield LeadershipConnection(connection, zone_key, holder)
    finally:
        # A clean shutdown would wait while the network is interrupted. PostgreSQL detects the closed socket too.
        connection.pgconn.finish()


REMAINING: Final[LiteralString] = (
    # Numbers are subtracted, because before PostgreSQL 17 nothing can be subtracted from an infinite time.
    "(extract(epoch FROM l.expires_at) - extract(epoch FROM clock_timestamp()))::double precision"
)
"""Seconds until the end of the leadership in `zone_leases l`."""


async def read_leadership(db: Database, zone_key: int) -> Leadership:
    """Return the zone's leadership by the database's clock."""
    leadership = await db.fetch_one_as(
        Leadership,
        "SELECT term, holder::text, manager_id::text, " + REMAINING + " AS remaining_s"
        " FROM zone_leases l WHERE zone_key = %s",
        (zone_key,),
    )
    return leadership or Leadership(term=0, holder=None, manager_id=None, remaining_s=float("-inf"))


async def end_expired_connections(db: Database, zone_key: int) -> int:
    """End the connections that still hold the lock of a zone after its leadership ended; returns their number.

    A connection that is not that of the last holder is ended only after a second without activity, because it may have
    just got the lock and not yet committed its leadership.
    """
    rows = await db.write(
        "SELECT pg_terminate_backend(l.pid) FROM zone_leases z JOIN pg_locks l"
        " ON l.locktype = 'advisory' AND l.classid = 71 AND l.objid = z.zone_key::oid AND l.objsubid = 2 AND l.granted"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " JOIN pg_stat_activity a ON a.pid = l.pid"
        " WHERE z.zone_key = %s AND z.expires_at <= clock_timestamp()"
        " AND (l.pid = z.backend_pid"
        " OR a.state = 'idle' AND a.state_change <= clock_timestamp() - interval '1 second')",
        (zone_key,),
    )
    return len(rows)
