"""The queries of a Manager at rest."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from tests.support.managers import Fleet, manager_here, primary_is
from tests.support.waiting import eventually

from greenroom.db.database import Database
from greenroom.db.session.deadlines import IS_DUE, WORK_QUERIES


@pytest.fixture
async def fleet(db: Database, dsn: str, tmp_path: Any) -> Fleet:
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    return Fleet(dsn, tmp_path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements of this process."""
    execute, statements = psycopg.AsyncConnection.execute, list[str]()

    async def recording(self: Any, query: Any, *rest: Any, **named: Any) -> Any:
        statements.append(str(query))
        return await execute(self, query, *rest, **named)

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", recording)
    return statements


async def test_a_round_at_rest_is_a_heartbeat_and_one_question(fleet: Fleet, db: Database, asked: list[str]):
    async with manager_here(fleet, guardian_interval_s=0.05):
        await primary_is(db, "one")
        await eventually(lambda: asked.count(IS_DUE) >= 10)  # its election was announced and processed by then
        asked.clear()
        await eventually(lambda: asked.count(IS_DUE) >= 60)
    assert not [query for query in asked if query.startswith(WORK_QUERIES)]
    looks = [query for query in asked if query.startswith("SELECT term, holder")]
    assert looks == [], "a lease that is renewed is known from the heartbeat"
