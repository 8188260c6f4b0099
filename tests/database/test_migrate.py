"""The runner of migrations on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import re

import pytest
from tests.support import rows

from greenroom.core.errors import SetupError
from greenroom.db import migrate as db_migrate
from greenroom.db.database import Database
from greenroom.db.migrate import Migration, before_new_code, migrate, migrations, pending_files, plan
from greenroom.db.upgrades import started_upgrade, store_upgrade


async def test_a_second_run_applies_nothing(dsn: str):
    assert await migrate(dsn) == []


async def test_concurrent_starters_apply_each_file_once(db: Database, dsn: str):
    await db.write("DROP SCHEMA public CASCADE")
    await db.write("CREATE SCHEMA public")
    applied = await asyncio.gather(*(migrate(dsn) for _ in range(4)))
    assert sorted(name for names in applied for name in names) == [m.name for m in migrations()]


async def test_a_wrong_address_is_one_sentence(tmp_path: object):
    with pytest.raises(SetupError, match="does not run, or listens at another address"):
        await migrate(f"host={tmp_path} dbname=x")


async def test_the_record_of_an_upgrade_can_be_read_before_its_first_migration(db: Database):
    await store_upgrade(db, "0.2.0", "web", "/old", ("/backup", "/passphrase"))
    stored = await started_upgrade(db)
    assert stored is not None
    assert (stored.backup, stored.passphrase_file) == ("/backup", "/passphrase")
    await db.write("ALTER TABLE upgrades DROP COLUMN passphrase_file")
    stored = await started_upgrade(db)
    assert stored is not None
    assert (stored.backup, stored.passphrase_file) == ("/backup", "")


async def test_before_an_update_only_what_the_old_code_can_use_is_applied(
    db: Database, dsn: str, monkeypatch: pytest.MonkeyPatch
):
    files = [
        *migrations(),
        Migration("9001_pre_a.sql", "ALTER TABLE zones ADD COLUMN a integer"),
        Migration("9002_post_b.sql", "ALTER TABLE zones DROP COLUMN a"),
    ]
    monkeypatch.setattr(db_migrate, "migrations", lambda: files)
    assert await migrate(dsn, only_pre=True) == ["9001_pre_a.sql"]
    assert await pending_files(dsn) == ["9002_post_b.sql"]
    assert await db.fetch("SELECT a FROM zones") == []
    assert await migrate(dsn) == ["9002_post_b.sql"]


async def test_a_new_database_gets_everything_at_once(db: Database, dsn: str, monkeypatch: pytest.MonkeyPatch):
    await db.write("DROP SCHEMA public CASCADE")
    await db.write("CREATE SCHEMA public")
    files = [*migrations(), Migration("9002_post_b.sql", "SELECT 1")]
    monkeypatch.setattr(db_migrate, "migrations", lambda: files)
    assert await migrate(dsn, only_pre=True) == [file.name for file in files]


async def test_a_database_of_a_version_before_the_first_release_is_refused(db: Database, dsn: str):
    await db.write("UPDATE schema_migrations SET name = '0001_pre_schema.sql' WHERE name = %s", (migrations()[0].name,))
    for attempt in (migrate(dsn), migrate(dsn, only_pre=True), pending_files(dsn)):
        with pytest.raises(SetupError, match=r"before 0\.1\.0 created the database.*specify an empty database"):
            await attempt


def test_what_an_earlier_update_left_comes_before_the_next_version():
    names = ["0001_post_old.sql", "0002_pre_new.sql", "0003_post_new.sql"]
    assert before_new_code(names) == names[:2]


def test_every_migration_says_when_it_is_applied():
    assert all(re.fullmatch(r"\d{4}_(pre|post)_[a-z_]+\.sql", file.name) for file in migrations())


def test_a_changed_file_is_refused():
    with pytest.raises(SetupError, match="was changed after it was applied"):
        plan([Migration("0001_pre_a.sql", "SELECT 1")], {"0001_pre_a.sql": "0"})


def test_a_newer_database_is_refused():
    with pytest.raises(SetupError, match="newer version"):
        plan([], {"0009_post_z.sql": "0"})


def test_what_the_next_version_applied_before_its_start_is_accepted():
    first, second = Migration("0001_pre_a.sql", ""), Migration("0002_pre_b.sql", "")
    assert plan([first, second], {first.name: first.checksum, "0009_pre_z.sql": "0"}) == [second]


async def test_pre_migrations_are_applied_together_or_not_at_all(dsn: str, monkeypatch: pytest.MonkeyPatch):
    last = Migration("9997_post_earlier.sql", "CREATE TABLE earlier ()")
    files = [*migrations(), last, Migration("9998_pre_good.sql", "CREATE TABLE good ()")]
    broken = Migration("9999_pre_broken.sql", "CREATE TABLE good ()")
    monkeypatch.setattr(db_migrate, "migrations", lambda: [*files, broken])
    with pytest.raises(SetupError, match=r"The migration 9999_pre_broken\.sql failed: .*already exists"):
        await migrate(dsn, only_pre=True)
    assert await pending_files(dsn) == [last.name, files[-1].name, broken.name]
    monkeypatch.setattr(db_migrate, "migrations", lambda: files)
    assert await migrate(dsn, only_pre=True) == [last.name, files[-1].name]


async def test_a_migration_does_not_wait_long_for_a_table_in_use(
    db: Database, dsn: str, monkeypatch: pytest.MonkeyPatch
):
    waiting = Migration("9999_pre_waiting.sql", "ALTER TABLE zones ADD COLUMN added integer")
    files = [*migrations(), waiting]
    monkeypatch.setattr(db_migrate, "migrations", lambda: files)
    monkeypatch.setattr(db_migrate, "LOCK_TIMEOUT_MS", 10)
    async with asyncio.timeout(20), db.transaction() as connection:
        await connection.execute("SELECT 1 FROM zones")
        with pytest.raises(SetupError, match=r"9999_pre_waiting\.sql failed: .* due to lock timeout"):
            await migrate(dsn, only_pre=True)


async def test_staged_sessions_of_a_restored_dump_end_and_those_of_users_stay(db: Database, dsn: str):
    zone_id, image_id = await rows.zone(db), await rows.image(db)
    config_id = await rows.staging_config(db, zone_id, image_id)
    staged, of_user = await rows.staged_sessions(db, config_id, await rows.agent(db, zone_id), 2)
    user = (await rows.user(db, "ann"), of_user)
    await db.write("UPDATE sessions SET user_id = %s, assigned = now() WHERE session_id = %s", user)
    await migrate(dsn)  # the database of a test is a copy of another one
    (later,) = await rows.staged_sessions(db, config_id, await rows.agent(db, zone_id, hostname="b"), 1)
    await migrate(dsn)
    found = await db.fetch("SELECT session_id::text, status FROM sessions")
    statuses = {row["session_id"]: row["status"] for row in found}
    assert statuses == {staged: "deleting", of_user: "running", later: "running"}
