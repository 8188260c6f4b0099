"""Log rows contain foreign texts; none of them may prevent other rows from being written."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any, LiteralString

import pytest
from psycopg.rows import DictRow
from tests.database.locks import waiting
from tests.support import rows
from tests.support.postgres import incompressible_text
from tests.support.waiting import eventually, timers_set

from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database, Params
from greenroom.db.diagnostics import batches
from greenroom.db.diagnostics.batches import insert_rows
from greenroom.db.diagnostics.logs import LogRow, LogWriter
from greenroom.db.diagnostics.views import RequestLog


async def test_a_log_row_postgresql_cannot_hold_is_written_storably(db: Database):
    logs = LogWriter(db, "api")
    logs.write(LogCode.WEB_FILTER_DENIED, "nul \0, half a pair \ud800", username="a\0b", details={"host\0": ["\0x"]})
    logs.write(LogCode.LOGIN, "p" * 100_000)
    await logs.flush()
    written = await db.fetch("SELECT code, message, username, details FROM logs ORDER BY log_id")
    assert [row["code"] for row in written] == ["web-filter-denied", "login"]
    assert (written[0]["message"], written[0]["username"]) == ("nul \\u0000, half a pair ?", "ab")
    assert written[0]["details"] == {"host": ["x"]}
    assert len(written[1]["message"]) < 10_000


async def test_a_row_about_a_session_has_its_user_unless_it_names_another(db: Database):
    zone_id = await rows.zone(db)
    config_id = await rows.staging_config(db, zone_id, await rows.image(db))
    mine, staged = await rows.staged_sessions(db, config_id, await rows.agent(db, zone_id), 2)
    ada, bob = [await rows.user(db, name) for name in ("ada", "bob")]
    await db.write("UPDATE sessions SET user_id = %s WHERE session_id = %s", (ada, mine))
    logs = LogWriter(db, "agent")
    logs.write(LogCode.STREAM_REFUSED, "m", session_id=mine)
    logs.write(LogCode.STREAM_REFUSED, "m", session_id=staged)
    logs.write(LogCode.STREAM_REFUSED, "m", session_id=mine, user_id=bob)
    await logs.flush()
    written = await db.fetch("SELECT user_id::text, username FROM logs ORDER BY log_id")
    assert [(row["user_id"], row["username"]) for row in written] == [(ada, "ada"), (None, None), (bob, "bob")]


async def test_rows_that_wait_are_one_statement(db: Database, monkeypatch: pytest.MonkeyPatch):
    statements: list[LiteralString] = []
    write = db.write

    async def noting(query: LiteralString, params: Params = None) -> list[DictRow]:
        statements.append(query)
        return await write(query, params)

    monkeypatch.setattr(db, "write", noting)
    logs = LogWriter(db, "api")
    for number in range(9):
        logs.write(LogCode.LOGIN, f"row {number}")
    await logs.flush()
    assert len(statements) == 1
    written = await db.fetch("SELECT message FROM logs ORDER BY log_id")
    assert [row["message"] for row in written] == [f"row {number}" for number in range(9)]
    statements.clear()
    monkeypatch.setattr(batches, "MAX_ROWS", 4)  # this number ends within the time limit of a statement
    for number in range(9):
        logs.write(LogCode.LOGIN, f"row {number}")
    await logs.flush()
    assert len(statements) == 3


async def test_a_log_row_that_cannot_be_stored_in_full_does_not_hold_up_the_others(db: Database):
    logs = LogWriter(db, "api")
    logs.write(LogCode.LOGIN, "m")
    logs.write(LogCode.LOGOUT, "without its session", session_id="no uuid", details={"a": 1})
    logs.add(LogRow(level="INFO", component="agent", code=incompressible_text(4000), message="m"))
    logs.write(LogCode.PASSWORD_CHANGED, "m")
    await logs.flush()
    written = await db.fetch("SELECT left(code, 16) AS code, message, details FROM logs ORDER BY log_id")
    assert [row["code"] for row in written] == ["login", "logout", incompressible_text(4000)[:16], "password-changed"]
    assert (written[1]["message"], written[1]["details"]) == ("without its session", {})


async def test_a_row_that_an_index_cannot_hold_is_no_outage(db: Database):
    await db.write("CREATE TABLE written (text text PRIMARY KEY)")
    statement: LiteralString = "INSERT INTO written SELECT r ->> 'text' FROM jsonb_array_elements(%(rows)s) r"
    rows = [{"text": text} for text in ("a", incompressible_text(4000), "b")]
    assert await insert_rows(db, statement, rows) == 1
    assert await db.fetch("SELECT text FROM written ORDER BY text") == [{"text": "a"}, {"text": "b"}]
    assert await insert_rows(db, statement, [rows[1]], lambda _: {"text": "reduced"}) == 0


async def test_a_request_of_an_agent_without_a_real_id_delays_no_other(db: Database):
    requests = RequestLog(db, "manager-1", LogWriter(db, "manager"))
    requests.add("x" * 36, "POST", "/manager_api/v1/register", 422, 1.0)
    requests.add(None, "POST", "/manager_api/v1/register", 401, 1.0)
    await requests.flush()
    await requests.flush()
    written = await db.fetch("SELECT status FROM manager_requests")
    assert [row["status"] for row in written] == [401]


class WalkedRows(dict[Any, Any]):
    """Counts its iterations."""

    walks = 0

    def items(self) -> Any:
        self.walks += 1
        return super().items()

    def values(self) -> Any:
        self.walks += 1
        return super().values()


async def test_requests_of_a_minute_are_counted_without_a_walk_over_all_agents(db: Database):
    requests = RequestLog(db, "manager-1", LogWriter(db, "manager"))
    requests.add(None, "POST", "/manager_api/v1/check-in", 200, 1.0)
    requests._counted = counted = WalkedRows(requests._counted)
    requests._minute += timedelta(hours=1)  # no minute ends during this test
    for _ in range(100):
        requests.add(str(uuid.uuid4()), "POST", "/manager_api/v1/check-in", 200, 1.0)
    assert (len(counted), counted.walks) == (101, 0)


async def test_lost_rows_are_counted_and_said_once(db: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("greenroom.db.diagnostics.logs.MAX_QUEUED", 3)
    monkeypatch.setattr("greenroom.db.diagnostics.views.MAX_QUEUED", 3)
    logs = LogWriter(db, "api")
    for number in range(5):
        logs.write(LogCode.LOGIN, f"{number}")
    requests = RequestLog(db, "manager-1", logs)
    for _ in range(4):
        requests.add(None, "POST", "/manager_api/v1/register", 401, 1.0)
    assert (logs.dropped, requests.dropped) == (2, 1)
    for _ in range(3):
        await logs.flush()
        await requests.flush()
    written = await db.fetch("SELECT code, message FROM logs WHERE level = 'WARNING' ORDER BY log_id")
    assert [(row["code"], row["message"].split()[0]) for row in written] == [
        ("log-rows-dropped", "2"),
        ("manager-requests-dropped", "1"),
    ]


async def test_who_has_no_rows_to_write_does_not_wake(db: Database, monkeypatch: pytest.MonkeyPatch):
    logs, timers = LogWriter(db, "api"), timers_set(monkeypatch)
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(logs.run())
        await asyncio.sleep(0)
        assert timers == []
        logs.write(LogCode.LOGIN, "first")
        await eventually(lambda: db.fetch("SELECT 1 FROM logs"))
        writing.cancel()


async def test_rows_that_wait_for_the_database_are_written_when_it_is_back(db: Database):
    away = Database("host=/nowhere", application_name="test", acquire_timeout_s=0.1)
    logs = LogWriter(away, "api")
    await away.open()
    try:
        logs.write(LogCode.LOGIN, "one")
        await logs.flush()
    finally:
        await away.close()
    logs._db, logs._rows._insert = db, LogWriter(db, "api")._rows._insert
    await logs.flush()
    assert [row["message"] for row in await db.fetch("SELECT message FROM logs")] == ["one"]
    assert logs.dropped == 0


async def test_a_row_that_the_database_refuses_does_not_hold_up_the_others(db: Database):
    """An error that Greenroom does not handle would end the process, and each that meets such a row."""
    await db.write("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$")
    await db.write(
        "CREATE TRIGGER refuse BEFORE INSERT ON logs FOR EACH ROW WHEN (NEW.code = 'logout') EXECUTE FUNCTION refuse()"
    )
    logs = LogWriter(db, "api")
    for code in (LogCode.LOGIN, LogCode.LOGOUT, LogCode.PASSWORD_CHANGED):
        logs.write(code, "m")
    await logs.flush()
    written = await db.fetch("SELECT code FROM logs ORDER BY log_id")
    assert [row["code"] for row in written] == ["login", "password-changed"]
    assert logs.dropped == 1


@pytest.mark.parametrize("table", ["logs", "manager_requests"])
async def test_log_rows_in_flight_when_the_process_stops_are_not_lost(db: Database, table: LiteralString):
    logs = LogWriter(db, "manager")
    requests = RequestLog(db, "manager-1", logs)
    writer = logs if table == "logs" else requests
    async with db.transaction() as blocking:
        await blocking.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        running = asyncio.create_task(writer.run())
        logs.write(LogCode.LOGIN, "m")
        requests.add(None, "POST", "/manager_api/v1/register", 401, 1.0)

        await waiting(db, 1)
        running.cancel()
        await asyncio.sleep(0)  # the cancellation arrives
    await asyncio.gather(running, return_exceptions=True)
    assert len(await db.fetch(f"SELECT 1 FROM {table}")) == 1
