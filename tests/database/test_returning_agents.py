"""Agents that report again are marked as running in batches, because thousands may return at the same time."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.support.system import System

from greenroom.db.database import Connection, Database
from greenroom.db.fleet import liveness
from greenroom.manager.tasks import context
from greenroom.manager.tasks.agents import run_agents


@pytest.fixture
async def system(db: Database) -> System:
    """Five Agents that are missing and have just reported."""
    system = await System.populate(db, agents=[f"agent-{n}" for n in range(5)])
    await db.write("UPDATE agents SET status = 'missing', complete = true, last_reported = clock_timestamp()")
    return system


async def _running(db: Database) -> set[str]:
    return {row["hostname"] for row in await db.fetch("SELECT hostname FROM agents WHERE status = 'running'")}


async def test_agents_that_return_are_marked_in_one_transaction(system: System, monkeypatch: pytest.MonkeyPatch):
    marked, real = list[set[str]](), liveness.mark_running

    async def noting(connection: Connection, agents: Mapping[str, str]) -> frozenset[str]:
        marked.append(set(agents))
        return await real(connection, agents)

    monkeypatch.setattr(liveness, "mark_running", noting)
    await run_agents(system.ctx)
    assert marked == [set(system.agents.values())]
    assert await _running(system.db) == set(system.agents)


async def test_one_that_cannot_be_marked_stops_no_other(system: System, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(context, "boottime_s", lambda: 0.0)
    await system.db.write("ALTER TABLE agents ADD CHECK (hostname <> 'agent-2' OR status = 'missing')")
    for _ in range(2):
        await run_agents(system.ctx)
    assert await _running(system.db) == set(system.agents) - {"agent-2"}
