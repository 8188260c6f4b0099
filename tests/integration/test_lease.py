"""The lease of a zone with real Managers on a real PostgreSQL (PROTOCOLS §1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.managers import Fleet, primary_is

from greenroom.db.database import Database


@pytest.fixture
async def fleet(db: Database, dsn: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    fleet = Fleet(dsn, tmp_path)
    yield fleet
    fleet.close()


async def test_two_managers_on_an_empty_lease_give_one_primary_with_term_1(fleet: Fleet, db: Database):
    for name in ("one", "two"):
        fleet.make(name).start()
    lease = await primary_is(db, "one", "two")
    assert lease["term"] == 1
