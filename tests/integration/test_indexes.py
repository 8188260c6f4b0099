"""What the Primary does in every round does not read whole tables, however many ended sessions are kept."""

from __future__ import annotations

from typing import Final, LiteralString

import pytest

from greenroom.db.database import Database

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
    async with db.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        cursor = await connection.execute("EXPLAIN " + query)
        plan = "\n".join(str(row["QUERY PLAN"]) for row in await cursor.fetchall())
    assert "Seq Scan" not in plan, plan
