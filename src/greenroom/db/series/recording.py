"""Writes time series: one sample per minute, counts of launches, roll-ups, and deletions.

Every Primary calls `record`; an advisory lock lets one at a time write. Each part can be repeated without an effect: a
minute has at most one sample, launches are counted in the ledger, and the end of the final points (`series_done`)
changes in the transaction that writes the points. So a process that ends at any time, or that runs twice, neither loses
nor doubles a point.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from psycopg.rows import DictRow

from greenroom.core.series.points import (
    FINEST,
    RESOLUTIONS,
    Span,
    first_done,
    plan_count,
    plan_deletion,
    plan_roll_up,
    point_begin,
)
from greenroom.core.series.waits import UNKNOWN_WAIT, WAIT_BOUNDS_MS
from greenroom.db.database import Connection, Database
from greenroom.db.diagnostics.batches import BATCH, deletion
from greenroom.db.diagnostics.metrics import CAPACITIES
from greenroom.db.launch.ledger import WAITED_JOINS, WAITED_MS
from greenroom.db.pool.configs import POOL_FILLS
from greenroom.db.pool.history import SETTLED_HOURS

LOCK: Final = 79
"""Number of the advisory lock of the process that writes."""
MAX_COUNTS: Final = 500
"""The maximum number of periods that one call counts; more than the ledger has after the installation of the tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesTable:
    """A table of points: its columns in groups by how points are rolled up."""

    name: LiteralString
    keys: tuple[LiteralString, ...]
    sums: tuple[LiteralString, ...]
    minima: tuple[LiteralString, ...] = ()
    maxima: tuple[LiteralString, ...] = ()

    @property
    def rolled_up(self) -> tuple[LiteralString, ...]:
        """The columns of one point that is made of several points, without its keys."""
        return (
            *[f"sum({column}) AS {column}" for column in self.sums],
            *[f"min({column}) AS {column}" for column in self.minima],
            *[f"max({column}) AS {column}" for column in self.maxima],
        )

    @property
    def roll_up(self) -> LiteralString:
        """The statement that makes points of `step_s` seconds from the points of a span."""
        columns = ", ".join((*self.keys, *self.sums, *self.minima, *self.maxima))
        keys = ", ".join(self.keys)
        return (
            f"INSERT INTO {self.name} (step_s, begin, {columns})"
            f" SELECT %(to_step_s)s, {POINT_BEGIN}, {keys}, {', '.join(self.rolled_up)} FROM {self.name} t"
            f" WHERE {IN_SPAN} GROUP BY 2, {keys} ON CONFLICT DO NOTHING"
        )


POINT_BEGIN: Final[LiteralString] = "date_bin(make_interval(secs => %(to_step_s)s), t.begin, to_timestamp(0))"
"""The beginning of the point of `to_step_s` seconds to which the point `t` belongs."""
IN_SPAN: Final[LiteralString] = (
    "t.step_s = %(step_s)s AND t.begin >= to_timestamp(%(begin_s)s) AND t.begin < to_timestamp(%(end_s)s)"
)

ZONES: Final = SeriesTable(
    name="series_zones",
    keys=("zone_id",),
    sums=(
        "samples",
        "cores_offered",
        "cores_reserved",
        "memory_offered",
        "memory_reserved",
        "sessions_running",
        "sessions_starting",
        "sessions_stopped",
        "sessions_failed",
        "sessions_staged",
        "elections",
    ),
    minima=("cores_free_low", "memory_free_low"),
    maxima=("term",),
)
POOLS: Final = SeriesTable(
    name="series_pools",
    keys=("zone_id", "staging_config_id"),
    sums=("samples", "ready", "starting", "desired"),
    minima=("ready_low",),
)
LAUNCHES: Final = SeriesTable(name="series_launches", keys=("zone_id", "outcome", "wait_bucket"), sums=("launches",))
TABLES: Final = (ZONES, POOLS, LAUNCHES)

# A session of a user whose status is `assigning` is not open yet. The first Primary of a zone is no failover. Primaries
# before the first sample of the zone do not count.
_SAMPLE_ZONES: Final[LiteralString] = f"""
INSERT INTO series_zones (step_s, begin, zone_id, samples, cores_offered, cores_reserved, cores_free_low,
    memory_offered, memory_reserved, memory_free_low, sessions_running, sessions_starting, sessions_stopped,
    sessions_failed, sessions_staged, elections, term)
SELECT %(step_s)s, to_timestamp(%(begin_s)s), z.zone_id, 1, coalesce(c.cores, 0), coalesce(c.cores_reserved, 0),
       coalesce(c.cores - c.cores_reserved, 0), coalesce(c.memory, 0), coalesce(c.memory_reserved, 0),
       coalesce(c.memory - c.memory_reserved, 0), coalesce(s.running, 0), coalesce(s.starting, 0),
       coalesce(s.stopped, 0), coalesce(s.failed, 0), coalesce(s.staged, 0),
       CASE WHEN before.term IS NULL THEN 0 ELSE greatest(l.term - greatest(before.term, 1), 0) END, l.term
  FROM zones z JOIN zone_leases l USING (zone_key)
  LEFT JOIN ({CAPACITIES}) c USING (zone_id)
  LEFT JOIN (
      SELECT zone_id, count(*) FILTER (WHERE user_id IS NULL) AS staged,
             count(*) FILTER (WHERE user_id IS NOT NULL AND status = 'running') AS running,
             count(*) FILTER (WHERE user_id IS NOT NULL AND status IN ('requested', 'starting', 'assigning'))
                 AS starting,
             count(*) FILTER (WHERE user_id IS NOT NULL AND status IN ('stopping', 'stopped', 'pausing', 'paused'))
                 AS stopped,
             count(*) FILTER (WHERE user_id IS NOT NULL AND status IN ('failed', 'lost', 'unreachable')) AS failed
        FROM sessions WHERE status <> 'deleted' AND superseded_by IS NULL GROUP BY 1) s USING (zone_id)
  LEFT JOIN LATERAL (SELECT p.term FROM series_zones p WHERE p.zone_id = z.zone_id ORDER BY p.begin DESC LIMIT 1) before
         ON true
ON CONFLICT DO NOTHING
"""
_SAMPLE_POOLS: Final[LiteralString] = f"""
INSERT INTO series_pools (step_s, begin, zone_id, staging_config_id, samples, ready, ready_low, starting, desired)
SELECT %(step_s)s, to_timestamp(%(begin_s)s), zone_id::uuid, staging_config_id::uuid, 1,
       CASE WHEN paused THEN 0 ELSE current END, CASE WHEN paused THEN 0 ELSE current END, starting,
       CASE WHEN paused THEN 0 ELSE num_sessions END
  FROM ({POOL_FILLS}) p ON CONFLICT DO NOTHING
"""
_IS_SAMPLED: Final[LiteralString] = (
    "SELECT 1 FROM series_zones WHERE step_s = %(step_s)s AND begin = to_timestamp(%(begin_s)s) LIMIT 1"
)
_DELETE_COUNTS: Final[LiteralString] = "DELETE FROM series_launches t WHERE " + IN_SPAN
# The zone of a failed launch is that of its first step.
_COUNT: Final[LiteralString] = f"""
INSERT INTO series_launches (step_s, begin, zone_id, outcome, wait_bucket, launches)
SELECT %(step_s)s, date_trunc('minute', l.at), coalesce(l.zone_id, z.zone_id), l.outcome,
       coalesce(width_bucket(({WAITED_MS})::float8, %(bounds)s::float8[]), %(unknown)s), count(*)
  FROM launches l{WAITED_JOINS} LEFT JOIN zones z ON l.zone_id IS NULL AND z.zone_name = l.steps -> 0 ->> 'zone_name'
 WHERE l.at >= to_timestamp(%(begin_s)s) AND l.at < to_timestamp(%(end_s)s)
 GROUP BY 2, 3, 4, 5
"""
READ_DONE: Final[LiteralString] = "SELECT step_s, extract(epoch FROM done)::bigint AS done_s FROM series_done"
_SET_DONE: Final[LiteralString] = (
    "INSERT INTO series_done (step_s, done) VALUES (%(step_s)s, to_timestamp(%(done_s)s))"
    " ON CONFLICT (step_s) DO UPDATE SET done = excluded.done"
)
_DELETIONS: Final[tuple[LiteralString, ...]] = tuple(
    deletion(table.name, "ctid", "step_s = %(step_s)s AND begin < to_timestamp(%(before_s)s)") for table in TABLES
)
MAX_DELETIONS: Final = 100
"""The maximum number of batches that one call deletes of each table and resolution."""


async def database_now_s(db: Database) -> float:
    """Return the time by the clock of the database, in seconds since 1970."""
    (row,) = await db.fetch("SELECT extract(epoch FROM clock_timestamp())::float8 AS now_s")
    return row["now_s"]


async def read_done(connection: Connection) -> dict[int, int]:
    """Return the end of the final points of each resolution; empty before the first round."""
    return done_of(await (await connection.execute(READ_DONE)).fetchall())


def done_of(rows: Iterable[DictRow]) -> dict[int, int]:
    """Return the rows of `READ_DONE` by resolution."""
    return {row["step_s"]: row["done_s"] for row in rows}


async def is_sampled(db: Database, now_s: float) -> bool:
    """Return True if the present minute has its sample."""
    span = {"step_s": FINEST.step_s, "begin_s": point_begin(now_s, FINEST.step_s)}
    return await db.fetch_one(_IS_SAMPLED, span) is not None


async def record(db: Database, now_s: float) -> None:
    """Write the sample of the present minute, count launches, roll up, and delete old points.

    A call while another process writes changes nothing. Raises Unavailable: the database cannot be reached.
    """
    async with _alone(db) as connection:
        if connection is not None:
            await _sample(connection, now_s)
    await _count_launches(db, now_s)
    await _roll_up(db)
    await _delete_old(db, now_s)


async def count_again(db: Database) -> None:
    """Let the next call of `record` count all launches of the ledger, because launches of the past were inserted."""
    async with db.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", (LOCK,))
        await connection.execute("DELETE FROM series_launches")
        await connection.execute("DELETE FROM series_done")


@asynccontextmanager
async def _alone(db: Database) -> AsyncGenerator[Connection | None]:
    """Yield a connection inside a transaction with the lock of the writer; None = another process has it."""
    async with db.transaction() as connection:
        cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s, 0) AS mine", (LOCK,))
        row = await cursor.fetchone()
        yield connection if row is not None and row["mine"] else None


async def _sample(connection: Connection, now_s: float) -> None:
    values = {"step_s": FINEST.step_s, "begin_s": point_begin(now_s, FINEST.step_s)}
    await connection.execute(_SAMPLE_ZONES, values)
    await connection.execute(_SAMPLE_POOLS, values)
    if not await read_done(connection):
        cursor = await connection.execute("SELECT extract(epoch FROM min(at))::float8 AS at_s FROM launches")
        row = await cursor.fetchone()
        oldest_s = now_s if row is None or row["at_s"] is None else min(row["at_s"], now_s)
        for step_s, done_s in first_done(oldest_s, now_s).items():
            await _set_done(connection, step_s, done_s)


async def _set_done(connection: Connection, step_s: int, done_s: int) -> None:
    await connection.execute(_SET_DONE, {"step_s": step_s, "done_s": done_s})


async def _count_launches(db: Database, now_s: float) -> None:
    """Count the launches after the final points, in several parts if they are many."""
    for _ in range(MAX_COUNTS):
        async with _alone(db) as connection:
            done = {} if connection is None else await read_done(connection)
            if connection is None or not done:
                return
            plan = plan_count(done[FINEST.step_s], now_s, SETTLED_HOURS * 3600)
            values = _values(plan.span)
            await connection.execute(_DELETE_COUNTS, values)
            bounds = {"bounds": list(WAIT_BOUNDS_MS), "unknown": UNKNOWN_WAIT}
            await connection.execute(_COUNT, values | bounds)
            await _set_done(connection, FINEST.step_s, plan.done_s)
        if plan.is_last:
            return


async def _roll_up(db: Database) -> None:
    for number, resolution in enumerate(RESOLUTIONS[1:], 1):
        for _ in range(MAX_COUNTS):
            async with _alone(db) as connection:
                done = {} if connection is None else await read_done(connection)
                span = plan_roll_up(number, done) if done else None
                if connection is None or span is None:
                    break
                for table in TABLES:
                    await connection.execute(table.roll_up, _values(span) | {"to_step_s": resolution.step_s})
                await _set_done(connection, resolution.step_s, span.end_s)


def _values(span: Span) -> dict[str, Any]:
    return {"step_s": span.step_s, "begin_s": span.begin_s, "end_s": span.end_s}


async def _delete_old(db: Database, now_s: float) -> None:
    for number, resolution in enumerate(RESOLUTIONS):
        for statement in _DELETIONS:
            for _ in range(MAX_DELETIONS):
                async with _alone(db) as connection:
                    done = {} if connection is None else await read_done(connection)
                    if connection is None or not done:
                        return
                    before_s = plan_deletion(number, now_s, done)
                    values = {"step_s": resolution.step_s, "before_s": before_s, "batch": BATCH}
                    if (await connection.execute(statement, values)).rowcount < BATCH:
                        break
