"""The runner of migrations on a real PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest

from greenroom.core.errors import SetupError
from greenroom.db.database import Database
from greenroom.db.migrate import Migration, migrate, migrations, plan


async def test_a_second_run_applies_nothing(dsn: str):
    assert await migrate(dsn) == []


async def test_concurrent_starters_apply_each_file_once(db: Database, dsn: str):
    await db.write("DROP SCHEMA public CASCADE")
    await db.write("CREATE SCHEMA public")
    applied = await asyncio.gather(*(migrate(dsn) for _ in range(4)))
    assert sorted(name for names in applied for name in names) == [m.name for m in migrations()]


async def test_a_wrong_address_is_one_sentence(tmp_path: object):
    with pytest.raises(SetupError, match="cannot be reached"):
        await migrate(f"host={tmp_path} dbname=x")


def test_a_changed_file_is_refused():
    with pytest.raises(SetupError, match="was changed after it was applied"):
        plan([Migration("0001_pre_a.sql", "SELECT 1")], {"0001_pre_a.sql": "0"})


def test_a_newer_database_is_refused():
    with pytest.raises(SetupError, match="newer version"):
        plan([], {"0009_pre_z.sql": "0"})
