"""Data with a retention period is deleted, oldest first, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, LiteralString

import pytest
from psycopg.errors import InsufficientPrivilege
from tests.support import rows

from greenroom.api.diagnostics.audit import CallerChange
from greenroom.api.installation import clean_up
from greenroom.api.security import Caller
from greenroom.core.installation import Installation
from greenroom.core.log_codes import SECURITY_CODES, LogCode
from greenroom.db.access.credentials import prune_logins
from greenroom.db.database import Database
from greenroom.db.diagnostics import batches
from greenroom.db.diagnostics.batches import LOCK
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.diagnostics.retention import CleanUps, RetentionLimits, prune
from greenroom.db.migrate import OWNER_ROLE, SERVICE_ROLE
from greenroom.db.session.deadlines import delete_ended_rows
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import Secrets
from greenroom.manager.tasks import rounds
from greenroom.manager.tasks.rounds import Retention

KEEP = RetentionLimits(
    log_rows=1_000_000, log_days=30, security_rows=1_000_000, security_days=365, launch_days=90, recording_days=14
)


async def logs(db: Database, number: int, days_ago: float = 0) -> None:
    await db.write(
        "INSERT INTO logs (time, level, component, code, message) SELECT now() - make_interval(secs => %s), 'INFO',"
        " 'api', 'plain', n::text FROM generate_series(1, %s) n",
        (days_ago * 86400, number),
    )
    await db.write(
        "INSERT INTO manager_requests (time, manager_instance_id, method, path, status, duration_ms)"
        " SELECT now() - make_interval(secs => %s), 'm', 'POST', '/', 401, 1 FROM generate_series(1, %s)",
        (days_ago * 86400, number),
    )


async def count(db: Database, query: LiteralString) -> int:
    return (await db.fetch(query))[0]["count"]


@pytest.mark.parametrize("table", ["logs", "manager_requests"])
async def test_rows_of_diagnostics_go_by_age(db: Database, table: LiteralString):
    await logs(db, 3, days_ago=31)
    await logs(db, 2, days_ago=29)
    assert (await prune(db, KEEP))[table] == 3
    assert await count(db, "SELECT count(*) FROM " + table) == 2
    assert await prune(db, KEEP) == {}


@pytest.mark.parametrize("table", ["logs", "manager_requests"])
async def test_and_by_number_the_newest_stay(db: Database, table: LiteralString):
    await logs(db, 50)
    assert (await prune(db, replace(KEEP, log_rows=20)))[table] == 30
    assert await count(db, "SELECT count(*) FROM " + table) == 20
    messages = [row["message"] for row in await db.fetch("SELECT message FROM logs ORDER BY log_id")]
    assert messages == [str(number) for number in range(31, 51)]


async def test_a_flood_of_other_rows_does_not_drive_out_who_changed_what(db: Database):
    writer = LogWriter(db, "api")
    caller, config = Caller("user", frozenset(), username="eve"), ApiConfig(database_url="", secret_key_file=Path())
    change = CallerChange(caller, db, writer, Secrets(bytes(32)), config, Installation())
    change.audit(LogCode.ZONE_CHANGED, "eu", after={"proxy_port": 1})
    await writer.flush()
    await logs(db, 50)
    keep = replace(KEEP, log_rows=20)
    await prune(db, keep)
    found = await db.fetch("SELECT code FROM logs ORDER BY log_id")
    assert [row["code"] for row in found] == ["zone-changed", *["plain"] * 20]
    await db.write("UPDATE logs SET time = now() - interval '364 days' WHERE code = 'zone-changed'")
    await prune(db, keep)
    assert await count(db, "SELECT count(*) FROM logs WHERE code = 'zone-changed'") == 1
    await db.write("UPDATE logs SET time = now() - interval '366 days' WHERE code = 'zone-changed'")
    await prune(db, keep)
    assert await count(db, "SELECT count(*) FROM logs WHERE code = 'zone-changed'") == 0


async def test_a_flood_of_one_security_event_drives_out_only_its_own_oldest(db: Database):
    writer = LogWriter(db, "api")
    for code in sorted(SECURITY_CODES):
        writer.write(code, f"{code} of before")
    for number in range(40):
        writer.write(LogCode.LOGIN_FAILED, f"a guess, number {number}")
    await writer.flush()
    await logs(db, 50)
    assert (await prune(db, replace(KEEP, log_rows=20, security_rows=30)))["security"] == 11
    codes = {row["code"] for row in await db.fetch("SELECT code FROM logs WHERE message LIKE '% of before'")}
    assert codes == SECURITY_CODES - {LogCode.LOGIN_FAILED}
    guesses = await db.fetch("SELECT message FROM logs WHERE code = 'login-failed' ORDER BY log_id")
    assert [row["message"] for row in guesses] == [f"a guess, number {number}" for number in range(10, 40)]


async def test_a_round_is_bounded(db: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(batches, "BATCH", 4)
    monkeypatch.setattr(batches, "MAX_BATCHES", 2)
    await logs(db, 10, days_ago=31)
    assert (await prune(db, KEEP))["logs"] == 8
    assert (await prune(db, KEEP))["logs"] == 2


async def test_what_ended_of_log_ins_goes_in_batches(db: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(batches, "BATCH", 4)
    monkeypatch.setattr(batches, "MAX_BATCHES", 2)
    user_id = await rows.user(db, "ada")
    tables: tuple[LiteralString, ...] = ("login_sessions", "login_links", "login_failures")
    for table in tables[:2]:
        await db.write(
            "INSERT INTO " + table + " (token_hash, user_id, expires) SELECT n::text::bytea, %s,"
            " now() + make_interval(secs => n * 60 - 570) FROM generate_series(0, 12) n",
            (user_id,),
        )
    await db.write(
        "INSERT INTO login_failures (username_lower, client_ip, at) SELECT 'ada', '', now() - make_interval(mins => n)"
        " FROM generate_series(0, 12) n"
    )
    for left in (5, 3, 3):
        await prune_logins(db, 150)
        assert [await count(db, "SELECT count(*) FROM " + table) for table in tables] == [left] * 3


async def test_a_round_keeps_up_with_a_flood_of_refused_requests(db: Database):
    for _ in range(6):
        await logs(db, 10_000)
    await prune(db, replace(KEEP, log_rows=1000))
    assert await count(db, "SELECT count(*) FROM manager_requests") == 1000


async def test_sessions_that_ended_go_some_hundreds_at_a_time_in_a_round(db: Database):
    zone_id, image_id = await rows.zone(db), await rows.image(db)
    await db.write(
        "INSERT INTO sessions (session_id, zone_id, image_id, status, want, spec, credential_encrypted, spec_hash,"
        " cores, memory, ended) SELECT gen_random_uuid(), %s, %s, 'deleted', 'absent', '{}', '', '', 1, 1,"
        " now() - make_interval(days => n) FROM generate_series(1, 707) n",
        (zone_id, image_id),
    )
    async with db.transaction() as connection:
        gone = [await delete_ended_rows(connection, zone_id, keep_days=7.5) for _ in range(4)]
    assert gone == [300, 300, 100, 0]


async def test_a_launch_stays_in_the_ledger_while_its_session_is_there(db: Database):
    zone_id, image_id = await rows.zone(db), await rows.image(db)
    for _ in range(3):
        await db.write(
            "INSERT INTO launches (launch_id, outcome, steps, at)"
            " VALUES (gen_random_uuid(), 'failed', '[]', now() - interval '91 days')"
        )
    await db.write(
        "INSERT INTO sessions (session_id, zone_id, image_id, launch_id, status, spec, credential_encrypted, spec_hash,"
        " cores, memory) SELECT gen_random_uuid(), %s, %s, launch_id, 'running', '{}', '', '', 1, 1 FROM launches"
        " LIMIT 1",
        (zone_id, image_id),
    )
    assert (await prune(db, KEEP))["launches"] == 2
    assert await count(db, "SELECT count(*) FROM launches JOIN sessions USING (launch_id)") == 1


async def test_results_of_commands_and_screenshots_go_soon(db: Database):
    zone_id, image_id = await rows.zone(db), await rows.image(db)
    agent_id = await rows.agent(db, zone_id)
    config_id = await rows.staging_config(db, zone_id, image_id)
    (session_id,) = await rows.staged_sessions(db, config_id, agent_id, 1)
    for state, finished_s, created_s, screenshot in (
        ("done", 2 * 86400, 2 * 86400, None),
        ("done", 3600, 3600, None),
        ("requested", None, 2 * 86400, None),
        ("done", 61, 62, '{"width": 1, "height": 1}'),
    ):
        await db.write(
            "INSERT INTO session_commands (command_id, session_id, agent_id, generation, argv, state, finished,"
            " created, screenshot) VALUES (gen_random_uuid(), %s, %s, 1, '[]', %s, now() - make_interval(secs => %s),"
            " now() - make_interval(secs => %s), %s)",
            (session_id, agent_id, state, finished_s, created_s, screenshot),
        )
    assert await prune(db, KEEP) == {"session_commands": 2, "screenshots": 1}
    assert await count(db, "SELECT count(*) FROM session_commands") == 1


async def test_a_table_that_takes_too_long_does_not_keep_the_others_waiting(db: Database):
    """The database cancels only a statement that waits for the lock, however slow the machine is."""
    await logs(db, 3, days_ago=31)
    await db.write("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout = 200', current_database()); END $$")
    hurried = Database(db.dsn, application_name="greenroom test")
    await hurried.open()
    async with db.transaction() as other:
        await other.execute("LOCK TABLE logs IN ACCESS EXCLUSIVE MODE")
        assert await prune(hurried, KEEP) == {"manager_requests": 3}
    assert await prune(hurried, KEEP) == {"logs": 3}
    await hurried.close()


async def test_one_process_at_a_time_cleans_up(db: Database):
    await logs(db, 3, days_ago=31)
    async with db.transaction() as other:
        await other.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        assert await prune(db, KEEP) == {}
    assert (await prune(db, KEEP))["logs"] == 3


async def test_the_primary_goes_by_the_settings_of_the_installation(db: Database):
    await logs(db, 3, days_ago=5)
    await Retention(db, Secrets(bytes(32)), LogWriter(db, "manager"), lambda: True).round()
    assert await count(db, "SELECT count(*) FROM logs") == 3
    await set_installation(db, log_retention_days=4)
    await Retention(db, Secrets(bytes(32)), LogWriter(db, "manager"), lambda: True).round()
    assert await count(db, "SELECT count(*) FROM logs") == 0


async def test_a_clean_up_that_fails_three_times_is_reported_once(db: Database):
    writer = LogWriter(db, "manager")
    retention = Retention(db, Secrets(bytes(32)), writer, lambda: True)
    await logs(db, 3, days_ago=31)
    await db.write("ALTER TABLE lease_reservations RENAME TO lease_reservations_away")
    for number_reported in (0, 0, 1, 1):
        await retention.round()
        await writer.flush()
        assert await count(db, "SELECT count(*) FROM logs WHERE code = 'clean-up-failed'") == number_reported
    assert await count(db, "SELECT count(*) FROM logs") == 1, "the other clean-ups do their work"
    (row,) = await db.fetch("SELECT message, level FROM logs")
    assert row["message"].startswith("The clean-up of lease_reservations by age has failed 3 times in a row")
    await db.write("ALTER TABLE lease_reservations_away RENAME TO lease_reservations")


async def test_the_api_reports_a_clean_up_that_fails(db: Database):
    writer = LogWriter(db, "api")
    clean_ups = CleanUps(writer)
    await db.write("ALTER TABLE pending_logins RENAME TO pending_logins_away")
    for _ in range(3):
        await clean_up(db, Installation(), writer, clean_ups)
    await writer.flush()
    (row,) = await db.fetch("SELECT message FROM logs WHERE code = 'clean-up-failed'")
    assert row["message"].startswith("The clean-up of log-ins has failed 3 times in a row, so outdated data stays: ")
    await db.write("ALTER TABLE pending_logins_away RENAME TO pending_logins")


async def test_hours_are_counted_although_rows_cannot_be_deleted(db: Database, monkeypatch: pytest.MonkeyPatch):
    counted = list[Database]()

    async def fails(*_: Any) -> Any:
        raise ValueError("bad row")

    async def counts(db: Database) -> None:
        counted.append(db)

    monkeypatch.setattr(rounds, "prune", fails)
    monkeypatch.setattr(rounds, "store_hourly_counts", counts)
    await Retention(db, Secrets(bytes(32)), LogWriter(db, "manager"), lambda: True).round()
    assert counted == [db]


async def set_installation(db: Database, **values: Any) -> None:
    for name, value in values.items():
        await db.write("INSERT INTO settings (name, value) VALUES (%s, to_jsonb(%s::int))", (name, value))


@pytest.fixture
async def service(dsn: str) -> AsyncIterator[Database]:
    """The database for api and Managers with a separate role."""
    database = Database(dsn.replace(f"user={OWNER_ROLE}", f"user={SERVICE_ROLE}"), application_name="greenroom test")
    await database.open()
    yield database
    await database.close()


async def evidence(db: Database, number: int, days_ago: float = 0) -> None:
    await db.write(
        "INSERT INTO logs (time, level, component, code, message, security) SELECT now() - make_interval(secs => %s),"
        " 'INFO', 'api', 'login', n::text, true FROM generate_series(1, %s) n",
        (days_ago * 86400, number),
    )


async def test_the_service_role_cleans_evidence_up_and_can_delete_no_other(db: Database, service: Database):
    await evidence(db, 5, days_ago=2)
    await evidence(db, 1010)
    least = replace(KEEP, security_days=1, security_rows=1000)
    assert (await prune(service, least))["security"] == 15
    with pytest.raises(InsufficientPrivilege, match="a row login of the security log is too young to be deleted"):
        await service.write("DELETE FROM logs WHERE security AND message = '1010'")
    with pytest.raises(InsufficientPrivilege):
        await service.write("UPDATE logs SET message = 'nothing happened'")
    with pytest.raises(InsufficientPrivilege):
        await service.write("TRUNCATE logs")
    with pytest.raises(InsufficientPrivilege):
        await service.write("ALTER TABLE logs DISABLE TRIGGER keep_evidence")
    assert await count(db, "SELECT count(*) FROM logs") == 1000
