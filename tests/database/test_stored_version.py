"""The version that is stored in the database: which other versions may migrate it, and start with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from tests.support.processes import free_port

from greenroom.core.errors import SetupError
from greenroom.db import migrate as db_migrate
from greenroom.db import stored_version
from greenroom.db.database import Database
from greenroom.db.migrate import Migration, migrate, migrations, pending_files
from greenroom.db.stored_version import check_database, read_version
from greenroom.kit.program import version
from greenroom.kit.secrets import Secrets

NEW = [
    *migrations(),
    Migration("9001_pre_a.sql", "ALTER TABLE zones ADD COLUMN a integer"),
    Migration("9002_post_b.sql", "ALTER TABLE zones DROP COLUMN a"),
]

Become = Callable[..., None]


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Become:
    """Continue as another version, with these migrations."""

    def become(version: str, files: list[Migration] | None = None) -> None:
        monkeypatch.setattr(stored_version, "version", lambda: version)
        monkeypatch.setattr(db_migrate, "migrations", lambda: files or migrations())

    return become


@pytest.fixture
def old(db: Database, become: Become) -> None:
    """A database of version 0.1.5."""
    with psycopg.connect(db.dsn, autocommit=True) as connection:
        connection.execute("UPDATE installation SET migrated_by = '0.1.5'")
    become("0.1.5")


async def stored(dsn: str) -> str:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        return str(await read_version(connection))


async def refused(dsn: str) -> list[str]:
    """The messages of `migrate`, of its checks and of the start of a role."""
    messages: list[str] = []
    for attempt in (migrate(dsn), migrate(dsn, only_pre=True), pending_files(dsn), check_database(dsn)):
        with pytest.raises(SetupError) as refusal:
            await attempt
        messages.append(refusal.value.message)
    return messages


async def test_a_new_database_stores_the_version_that_created_it(dsn: str):
    assert await stored(dsn) == version()


async def test_an_older_version_can_start_until_the_post_migrations(dsn: str, old: None, become: Become):
    become("0.2.0", NEW)
    await check_database(dsn)
    await migrate(dsn, only_pre=True)
    assert await stored(dsn) == "0.1.5"
    become("0.1.5")
    await check_database(dsn)
    assert await migrate(dsn) == []
    become("0.2.0", NEW)
    await migrate(dsn)
    become("0.1.5", NEW)
    for message in await refused(dsn):
        assert "This is Greenroom 0.1.5" in message
        assert "used by the newer version 0.2.0; use 0.2.0, or restore a backup of 0.1.5" in message


async def test_a_part_of_the_post_migrations_excludes_the_older_version(dsn: str, old: None, become: Become):
    become("0.2.0", [*NEW, Migration("9003_post_c.sql", "SELECT no_function()")])
    with pytest.raises(SetupError, match=r"9003_post_c\.sql failed"):
        await migrate(dsn)
    assert await stored(dsn) == "0.2.0"


async def test_a_failed_first_post_migration_does_not_exclude_it(dsn: str, old: None, become: Become):
    become("0.2.0", [*migrations(), Migration("9002_post_b.sql", "SELECT no_function()")])
    with pytest.raises(SetupError, match=r"9002_post_b\.sql failed"):
        await migrate(dsn)
    assert await stored(dsn) == "0.1.5"


async def test_a_version_that_skips_a_series_is_refused_except_after_a_restore(dsn: str, old: None, become: Become):
    become("0.3.0", NEW)
    for message in await refused(dsn):
        assert "The upgrade from 0.1.5 to 0.3.0 would skip the series 0.2" in message
    assert await stored(dsn) == "0.1.5"
    await migrate(dsn, may_skip=True)
    assert await stored(dsn) == "0.3.0"


@pytest.mark.parametrize("role", ["api", "manager"])
def test_roles_of_an_older_version_do_not_start(dsn: str, tmp_path: Path, role: str):
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("UPDATE installation SET migrated_by = '99.0.0'")
    Secrets.create_file(tmp_path / "key")
    environment = os.environ | {
        "GREENROOM_DATABASE_URL": dsn,
        "GREENROOM_SECRET_KEY_FILE": str(tmp_path / "key"),
        "GREENROOM_MANAGER_DIR": str(tmp_path),
        "GREENROOM_API_PORT": str(free_port()),
        "GREENROOM_MANAGER_PORT": str(free_port()),
    }
    command = [sys.executable, "-m", "greenroom", role]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(f"greenroom: This is Greenroom {version()}, and the instance was")


async def test_a_full_disk_is_one_sentence_and_changes_nothing(dsn: str, old: None, become: Become):
    full = "DO $$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$"
    become("0.2.0", [*NEW[:-1], Migration("9002_pre_full.sql", full)])
    with pytest.raises(SetupError) as failure:
        await migrate(dsn, only_pre=True)
    assert failure.value.message.startswith(
        "The migration 9002_pre_full.sql failed: The disk of the database is full; free space on it ("
    )
    assert (await stored(dsn), await pending_files(dsn)) == ("0.1.5", ["9001_pre_a.sql", "9002_pre_full.sql"])
