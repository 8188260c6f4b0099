"""The runner of migrations on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import re

import pytest
from tests.support import rows

from greenroom.core.errors import SetupError
from greenroom.db import migrate as db_migrate
from greenroom.db.access.users import find_user
from greenroom.db.database import Database
from greenroom.db.migrate import LAST_REPLACED, Migration, before_new_code, migrate, migrations, pending_files, plan
from greenroom.up.invariants import INVARIANTS, find_violations


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


async def test_a_database_made_before_the_first_schema_has_that_schema(db: Database, dsn: str):
    await db.write("DELETE FROM schema_migrations WHERE name = %s", (migrations()[0].name,))
    for name in ("0001_pre_initial.sql", LAST_REPLACED):
        await db.write("INSERT INTO schema_migrations (name, checksum) VALUES (%s, 'x')", (name,))
    assert await pending_files(dsn) == []
    assert await migrate(dsn) == []
    rows = await db.fetch("SELECT name FROM schema_migrations ORDER BY name")
    assert [row["name"] for row in rows] == [m.name for m in migrations()]


def test_what_an_earlier_update_left_comes_before_the_next_version():
    names = ["0001_post_old.sql", "0002_pre_new.sql", "0003_post_new.sql"]
    applied = before_new_code([Migration(name, "") for name in names])
    assert [file.name for file in applied] == names[:2]


def test_every_migration_says_when_it_is_applied():
    assert all(re.fullmatch(r"\d{4}_(pre|post)_[a-z_]+\.sql", file.name) for file in migrations())


def test_a_changed_file_is_refused():
    with pytest.raises(SetupError, match="was changed after it was applied"):
        plan([Migration("0001_pre_a.sql", "SELECT 1")], {"0001_pre_a.sql": "0"})


def test_a_newer_database_is_refused():
    with pytest.raises(SetupError, match="newer version"):
        plan([], {"0009_post_z.sql": "0"})


def test_what_the_next_version_applied_before_its_start_is_accepted():
    file = Migration("0001_pre_a.sql", "")
    assert plan([file], {"0009_pre_z.sql": "0"}) == [file]


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


async def apply(db: Database, name: str) -> None:
    (migration,) = (one for one in migrations() if one.name == name)
    async with db.transaction() as connection:
        await connection.execute(migration.sql.encode())


async def test_users_with_equal_names_are_kept_and_reported(db: Database):
    for undo in (
        "DROP TRIGGER users_end_shared_username ON users",
        "DROP FUNCTION end_shared_username",
        "DROP INDEX users_username_key_unique",
        "ALTER TABLE users DROP COLUMN username_shared",
        "DROP FUNCTION username_key",
    ):
        await db.write(undo)
    names = ["Zo\u00eb", "Zoe\u0308", "Stra\u00dfe", "STRASSE", "ann"]
    for name in names:
        await db.write("INSERT INTO users (username) VALUES (%s)", (name,))
    await apply(db, "0102_pre_equal_usernames.sql")
    found = [await find_user(db, name) for name in names]
    assert [user and user.username for user in found] == names, "each by the name as it is written"
    (invariant,) = (one for one in INVARIANTS if one.code == "I28")
    assert len(await find_violations(db, invariant)) == 2
    await db.write("UPDATE users SET username = 'other ' || username WHERE username_shared")
    assert await find_violations(db, invariant) == []


async def test_a_group_that_limits_sessions_limits_leases_to_the_same_number(db: Database):
    group_id = await rows.group(db, max_kasms_per_user=30)
    await apply(db, "0140_pre_limits_of_leases.sql")
    found = await db.fetch("SELECT name, value FROM group_settings WHERE group_id = %s ORDER BY name", (group_id,))
    assert [(row["name"], row["value"]) for row in found] == [("max_kasms_per_user", 30), ("max_leases_per_user", 30)]


async def test_applications_of_a_registry_take_no_variables_of_launches(db: Database):
    allowed = ["greenroom/kiosk:1", "registry.example/greenroom/desktop:1", "other/firefox:1"]
    applications = ["registry.example/greenroom/kiosk:1", "registry.example:5000/a/greenroom/firefox@sha256:0"]
    for name in (*allowed, *applications):
        await rows.image(db, name=name, friendly_name=name)
    await apply(db, "0150_pre_launch_variables_of_registries.sql")
    changed = await db.fetch("SELECT name FROM images WHERE NOT allow_launch_variables")
    assert {row["name"] for row in changed} == set(applications)


@pytest.mark.parametrize(
    ("of_groups", "record", "required"),
    [
        ({"staff": "pictures"}, "pictures", (True, True, True)),
        ({"staff": "pictures"}, "actions", (True, False, False)),
        ({"staff": "actions"}, "pictures", (True, False, False)),
        ({"first": "none", "staff": "pictures"}, "pictures", (False, False, False)),
        ({}, "pictures", (False, False, False)),
    ],
)
async def test_earlier_leases_of_groups_that_require_a_recording_require_it(
    db: Database, of_groups: dict[str, str], record: str, required: tuple[bool, bool, bool]
):
    zone_id, image_id = await rows.zone(db), await rows.image(db)
    groups = [
        await rows.group(db, name=name, priority=number, record_leases=mode)
        for number, (name, mode) in enumerate(of_groups.items())
    ]
    await db.write(
        "INSERT INTO sessions (session_id, zone_id, image_id, user_id, status, spec, credential_encrypted, spec_hash,"
        " cores, memory) VALUES (gen_random_uuid(), %s, %s, %s, 'running', '{}', '', '', 1, 1)",
        (zone_id, image_id, await rows.user(db, "ann", *groups)),
    )
    await db.write(
        "INSERT INTO leases (session_id, holder, tags, record) SELECT session_id, 'ann', '[]', %s FROM sessions",
        (record,),
    )
    (before,) = await db.fetch("SELECT generation FROM sessions")
    await apply(db, "0151_pre_recordings_of_earlier_leases.sql")
    (row,) = await db.fetch(
        "SELECT must_record, record_required, required, generation FROM leases JOIN sessions USING (session_id)"
        " JOIN recordings USING (lease_id)"
    )
    assert (row["must_record"], row["record_required"], row["required"]) == required
    assert (row["generation"] > before["generation"]) is row["must_record"]
