"""The statements of every round of the Primary, and of every launch, read no whole tables of ended sessions."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, LiteralString
from uuid import UUID

import pytest
from psycopg import sql
from psycopg.rows import DictRow
from tests.support import rows

from greenroom.db.database import Database, Params
from greenroom.db.diagnostics.retention import BY_AGE
from greenroom.db.fleet.liveness import read_agents
from greenroom.db.launch.on_demand import COUNT_WAITING_USERS, read_starting_staged, waiting_parameters
from greenroom.db.session.deadlines import DELETE_ENDED_ROWS, read_recovered, read_with_deadline
from greenroom.db.session.observations import read_stored_observations
from greenroom.db.session.sessions import COUNTED_SESSIONS, COUNTED_STATUSES

ID: Final[LiteralString] = "'00000000-0000-4000-8000-000000000000'"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM sessions WHERE launch_id = " + ID,
        "SELECT 1 FROM session_commands WHERE session_id = " + ID,
        "SELECT 1 FROM session_steps WHERE session_id = " + ID,
        "SELECT 1 FROM sessions WHERE zone_id = " + ID + " AND status = ANY('{requested,lost}')",
        "SELECT 1 FROM sessions WHERE zone_id = " + ID + " AND status = 'failed'",
        "SELECT 1 FROM sessions WHERE agent_id = " + ID + " AND status <> 'deleted'",
        "SELECT 1 FROM sessions WHERE status = 'deleted' AND ended < clock_timestamp()",
    ],
)
async def test_an_index_answers(db: Database, query: LiteralString):
    found = await plan(db, query)
    assert "Seq Scan" not in found, found


async def test_who_waits_for_room_is_counted_without_reading_all_launches(db: Database):
    zone_id = await rows.zone(db)
    found = await plan(db, COUNT_WAITING_USERS, waiting_parameters(zone_id))
    assert re.search(r"Index Cond: .*at > \(now\(\)", found), found


async def test_a_plan_that_is_kept_counts_the_sessions_of_a_user_by_index(db: Database):
    """If it were more expensive than one for the current values, every launch would be planned again several times."""
    found = await kept_plan(
        db,
        "SELECT " + COUNTED_SESSIONS,
        {"user_id": UUID(int=1), "counted_statuses": COUNTED_STATUSES, "leased": False},
    )
    assert "sessions_live_by_user" in found, found


class Recorder(Database):
    """Replaces a database that is only read: records the last statement, and returns no rows."""

    def __init__(self) -> None:
        self.query: LiteralString = ""
        self.params: Params = None

    async def fetch(self, query: LiteralString, params: Params = None, *, retry: bool = True) -> list[DictRow]:
        self.query, self.params = query, params
        return []


@pytest.mark.parametrize(
    ("read", "index"),
    [
        (read_with_deadline, "sessions_live_by_zone"),
        (read_stored_observations, "sessions_live_by_zone"),
        (read_recovered, "sessions_set_aside"),
        (read_starting_staged, "sessions_live_by_zone"),
        (partial(read_agents, missing_s=15.0), "sessions_live_by_agent"),
    ],
)
async def test_a_kept_plan_reads_by_index_what_the_primary_reads_each_round(
    db: Database, read: Callable[[Any, str], Awaitable[Any]], index: str
):
    recorder = Recorder()
    await read(recorder, await rows.zone(db))
    found = await kept_plan(db, recorder.query, recorder.params)
    assert index in found, found


VALUES: Final = {"log_s": 1.0, "security_s": 1.0, "launch_s": 1.0, "command_s": 1.0, "batch": 10, "keep_days": 1.0}


@pytest.mark.parametrize(
    ("statement", "found_by"),
    [
        (BY_AGE["logs"], '("time" < '),
        (BY_AGE["security"], '("time" < '),
        (BY_AGE["manager_requests"], '("time" < '),
        (BY_AGE["launches"], "(at < "),
        (DELETE_ENDED_ROWS, "(ended < "),
    ],
)
async def test_what_is_too_young_to_be_forgotten_is_not_read(db: Database, statement: LiteralString, found_by: str):
    zone_id = await rows.zone(db)
    assert "Index Cond: " + found_by in await plan(db, statement, VALUES | {"zone_id": zone_id})


async def plan(db: Database, query: LiteralString, params: Params = None) -> str:
    """The plan of PostgreSQL if the tables were large."""
    async with db.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        cursor = await connection.execute("EXPLAIN " + query, params)
        return "\n".join(str(row["QUERY PLAN"]) for row in await cursor.fetchall())


async def kept_plan(db: Database, query: LiteralString, params: Params) -> str:
    """The generic plan of PostgreSQL, for any values, if the tables were large."""
    values: list[Any] = []

    def numbered(placeholder: re.Match[str]) -> str:
        values.append(params[placeholder[1]] if isinstance(params, Mapping) else (params or ())[len(values)])
        return f"${len(values)}"

    statement = re.sub(r"%(?:\((\w+)\))?s", numbered, query)
    async with db.transaction() as connection:
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.execute("SET LOCAL enable_seqscan = off")
        await connection.execute(b"PREPARE kept AS " + statement.encode())
        arguments = sql.SQL(", ").join(map(sql.Literal, values))
        cursor = await connection.execute(sql.SQL("EXPLAIN EXECUTE kept ({})").format(arguments))
        found = "\n".join(str(row["QUERY PLAN"]) for row in await cursor.fetchall())
        await connection.execute("DEALLOCATE kept")
        return found
