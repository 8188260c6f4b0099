"""What the Primary does in every round, and every launch does, reads no whole tables of ended sessions."""

from __future__ import annotations

import re
from typing import Final, LiteralString

import pytest

from greenroom.db.database import Database, Params
from greenroom.db.making_room import PEOPLE_WAITING, patience
from greenroom.db.overdue import FORGET
from greenroom.db.retention import BY_AGE
from greenroom.db.sessions import NUMBER_OF_USER
from greenroom.testing import rows

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
    found = await plan(db, PEOPLE_WAITING, patience(zone_id))
    assert re.search(r"Index Cond: .*at > \(now\(\)", found), found


async def test_a_plan_that_is_kept_counts_the_sessions_of_a_user_by_index(db: Database):
    """Were it dearer than one for the values at hand, every launch would be planned anew several times."""
    counting = NUMBER_OF_USER % {"user_id": "$1", "counting": "$2"}
    async with db.transaction() as connection:
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.execute("SET LOCAL enable_seqscan = off")
        await connection.execute(f"PREPARE counted (uuid, text[]) AS SELECT {counting}".encode())
        cursor = await connection.execute(b"EXPLAIN EXECUTE counted (" + ID.encode() + b", '{running}')")
        found = "\n".join(str(row["QUERY PLAN"]) for row in await cursor.fetchall())
    assert "on sessions_live_by_user" in found, found


VALUES: Final = {"log_s": 1.0, "launch_s": 1.0, "command_s": 1.0, "batch": 10, "keep_days": 1.0}


@pytest.mark.parametrize(
    ("statement", "found_by"),
    [
        (BY_AGE["logs"], '("time" < '),
        (BY_AGE["manager_requests"], '("time" < '),
        (BY_AGE["launches"], "(at < "),
        (FORGET, "(ended < "),
    ],
)
async def test_what_is_too_young_to_be_forgotten_is_not_read(db: Database, statement: LiteralString, found_by: str):
    zone_id = await rows.zone(db)
    assert "Index Cond: " + found_by in await plan(db, statement, VALUES | {"zone_id": zone_id})


async def plan(db: Database, query: LiteralString, params: Params = None) -> str:
    """How PostgreSQL would do it if the tables were large."""
    async with db.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        cursor = await connection.execute("EXPLAIN " + query, params)
        return "\n".join(str(row["QUERY PLAN"]) for row in await cursor.fetchall())
