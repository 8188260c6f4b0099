"""The Primary plans the pools of which something was said; at rest it reads none and plans none."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from tests.support.system import System

from greenroom.core.pool import agenda, known_agents
from greenroom.core.pool.model import PoolPlan, PoolSnapshot
from greenroom.core.pool.plan import plan
from greenroom.db.database import Connection, Database
from greenroom.db.pool import snapshots
from greenroom.db.pool.snapshots import AgentsByImage
from greenroom.manager.tasks import pools
from greenroom.manager.tasks.pools import run_due_pools, run_named_pools
from greenroom.testing import rows

POOLS = 12


@pytest.fixture
async def stage(db: Database) -> System:
    """Full pools, and a Primary that has not looked at them yet."""
    stage = await System.populate(db, desired=1, cores=100)
    for number in range(POOLS - 1):
        image_id = await rows.image(db, friendly_name=f"Workspace {number}")
        await rows.staging_config(db, stage.zone_id, image_id, num_sessions=1)
    return await stage.settle()


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pools that were planned, in their order."""
    found: list[str] = []

    def noted(snapshot: PoolSnapshot) -> PoolPlan:
        found.append(snapshot.config.staging_config_id)
        return plan(snapshot)

    monkeypatch.setattr(pools, "plan", noted)
    return found


async def after_a_round(stage: System, planned: list[str]) -> int:
    """How many plans it takes."""
    planned.clear()
    await run_due_pools(stage.ctx)
    return len(planned)


async def test_a_new_term_plans_every_pool_and_the_rounds_at_rest_none(stage: System, planned: list[str]):
    assert await after_a_round(stage, planned) == POOLS
    assert [await after_a_round(stage, planned) for _ in range(3)] == [0, 0, 0]


async def test_what_is_said_of_a_pool_wakes_it_alone_until_it_is_full_again(stage: System, planned: list[str]):
    await after_a_round(stage, planned)
    assert await stage.claim(stage.user_id)
    assert await after_a_round(stage, planned) == 0, "nothing was said yet"
    stage.ctx.agenda.said(stage.config_id)
    await after_a_round(stage, planned)
    assert set(planned) == {stage.config_id}
    assert await stage.statuses(pooled=True) == {"requested": 1, "running": POOLS - 1}
    await after_a_round(stage, planned)
    assert set(planned) == {stage.config_id}, "it is short"
    await stage.become_usable()
    await after_a_round(stage, planned)
    assert await after_a_round(stage, planned) == 0


async def test_what_was_not_announced_is_found_later(
    stage: System, planned: list[str], monkeypatch: pytest.MonkeyPatch
):
    await after_a_round(stage, planned)
    assert await stage.claim(stage.user_id)
    monkeypatch.setattr(agenda, "LOOK_S", 0.0)
    await after_a_round(stage, planned)
    assert await stage.statuses(pooled=True) == {"requested": 1, "running": POOLS - 1}


async def test_refills_of_one_second_read_the_agents_once(stage: System, monkeypatch: pytest.MonkeyPatch):
    await run_due_pools(stage.ctx)
    monkeypatch.setattr(known_agents, "KNOWN_S", 3600.0)
    read, readings = snapshots.read_agents, list[Collection[str]]()

    async def noting(connection: Connection, zone_id: str, image_ids: Collection[str]) -> AgentsByImage:
        readings.append(image_ids)
        return await read(connection, zone_id, image_ids)

    monkeypatch.setattr(snapshots, "read_agents", noting)
    for _ in range(3):
        assert await stage.claim(stage.user_id)
        await run_named_pools(stage.ctx, [stage.config_id])
        await stage.become_usable()
    assert not readings, "the round before has read them"
    stage.ctx.agenda.said_of_all()
    await run_named_pools(stage.ctx, [stage.config_id])
    assert len(readings) == 1


async def test_an_agent_that_has_no_room_any_more_is_read_again(stage: System):
    await run_due_pools(stage.ctx)
    assert await stage.claim(stage.user_id)
    await stage.db.write("UPDATE agents SET draining = true")
    await run_named_pools(stage.ctx, [stage.config_id])
    await run_named_pools(stage.ctx, [stage.config_id])
    row = await stage.one("SELECT shortfall_code FROM staging_configs WHERE staging_config_id = %s", stage.config_id)
    assert row["shortfall_code"] == "no-agent"
