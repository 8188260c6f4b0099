"""Rows of Diagnostics hold what strangers said; none of it may keep the rows of others from being written."""

from __future__ import annotations

from greenroom.db.database import Database
from greenroom.db.logs import LogWriter
from greenroom.db.requests import RequestLog


async def test_a_log_row_with_what_postgresql_cannot_hold_is_written_in_a_storable_form(db: Database):
    logs = LogWriter(db, "api")
    logs.write("WARNING", "odd", "nul \0, half a pair \ud800", username="a\0b", details={"host\0": ["\0x"]})
    logs.write("INFO", "plain", "p" * 100_000)
    await logs.flush()
    rows = await db.fetch("SELECT code, message, username, details FROM logs ORDER BY log_id")
    assert [row["code"] for row in rows] == ["odd", "plain"]
    assert (rows[0]["message"], rows[0]["username"]) == ("nul , half a pair ?", "ab")
    assert rows[0]["details"] == {"host": ["x"]}
    assert len(rows[1]["message"]) < 10_000


async def test_a_log_row_that_cannot_be_stored_does_not_hold_up_the_others(db: Database):
    logs = LogWriter(db, "api")
    logs.write("INFO", "before", "m")
    logs.write("INFO", "wrong", "m", session_id="no uuid")
    logs.write("INFO", "after", "m")
    await logs.flush()
    await logs.flush()
    rows = await db.fetch("SELECT code FROM logs ORDER BY log_id")
    assert [row["code"] for row in rows] == ["before", "after"]


async def test_a_request_of_an_agent_without_a_real_id_does_not_hold_up_the_others(db: Database):
    requests = RequestLog(db, "manager-1")
    requests.note("x" * 36, "POST", "/manager_api/v1/register", 422, 1.0)
    requests.note(None, "POST", "/manager_api/v1/register", 401, 1.0)
    await requests.flush()
    await requests.flush()
    rows = await db.fetch("SELECT status FROM manager_requests")
    assert [row["status"] for row in rows] == [401]
