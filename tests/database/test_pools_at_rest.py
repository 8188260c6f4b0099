"""The Primary plans the pools for which there was an event; at rest it reads none and plans none."""

from __future__ import annotations

from collections.abc import Collection
from typing import LiteralString

import pytest
from tests.support import rows
from tests.support.system import System

from greenroom.core.pool import agenda
from greenroom.core.pool.model import PoolPlan, PoolSnapshot
from greenroom.core.pool.plan import plan
from greenroom.db.database import Connection, Database
from greenroom.db.pool import snapshots
from greenroom.db.pool.snapshots import AgentsByImage
from greenroom.manager.tasks import pools
from greenroom.manager.tasks.pools import plan_pools, run_due_pools

POOLS = 12


@pytest.fixture
async def stage(db: Database) -> System:
    """Full pools, and a Primary that has not planned them yet."""
    stage = await System.populate(db, desired=1, cores=100)
    for number in range(POOLS - 1):
        image_id = await rows.image(db, friendly_name=f"Workspace {number}")
        await rows.staging_config(db, stage.zone_id, image_id, num_sessions=1)
    return await stage.settle()


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The planned pools, in their order."""
    found: list[str] = []

    def noted(snapshot: PoolSnapshot) -> PoolPlan:
        found.append(snapshot.config.staging_config_id)
        return plan(snapshot)

    monkeypatch.setattr(pools, "plan", noted)
    return found


async def after_a_round(stage: System, planned: list[str]) -> int:
    """The number of plans in a round."""
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
    stage.ctx.agenda.mark_changed(stage.config_id)
    await after_a_round(stage, planned)
    assert set(planned) == {stage.config_id}
    assert await stage.statuses(pooled=True) == {"requested": 1, "running": POOLS - 1}
    await after_a_round(stage, planned)
    assert set(planned) == {stage.config_id}, "it is short"
    await stage.become_usable()
    await after_a_round(stage, planned)
    assert await after_a_round(stage, planned) == 0


OF_ONE: tuple[LiteralString, ...] = (
    "UPDATE sessions SET user_id = %(user)s WHERE staging_config_id = %(pool)s",
    "UPDATE sessions SET retired = true WHERE staging_config_id = %(pool)s",
    "UPDATE sessions SET expires = now() WHERE staging_config_id = %(pool)s",
    "UPDATE staging_configs SET num_sessions = 2 WHERE staging_config_id = %(pool)s",
    "UPDATE images SET revision = 7 WHERE image_id = %(image)s",
)
OF_ALL: tuple[LiteralString, ...] = (
    "UPDATE zones SET allow_origin_domain = 'elsewhere.example'",
    "INSERT INTO settings (name, value) VALUES ('default_cpu_allocation_method', '\"Quotas\"')",
    "UPDATE agents SET status = 'missing'",
    "UPDATE agents SET enabled = false",
    "UPDATE agents SET draining = true",
    'UPDATE agents SET usage = \'{"disk_free_bytes": 1, "disk_kept_bytes": 2}\'',
    "UPDATE agent_capacity SET cores = 0",
)


@pytest.mark.parametrize("change", [*OF_ONE, *OF_ALL])
async def test_what_was_not_announced_is_found_later(
    stage: System, planned: list[str], monkeypatch: pytest.MonkeyPatch, change: LiteralString
):
    await after_a_round(stage, planned)
    await stage.db.write(change, {"pool": stage.config_id, "image": stage.image_id, "user": stage.user_id})
    assert await after_a_round(stage, planned) == 0
    monkeypatch.setattr(agenda, "POLL_S", 0.0)
    await after_a_round(stage, planned)
    assert stage.config_id in planned
    assert len(set(planned)) == (POOLS if change in OF_ALL else 1)


async def test_what_agents_report_all_the_time_wakes_no_pool(
    stage: System, planned: list[str], monkeypatch: pytest.MonkeyPatch
):
    await after_a_round(stage, planned)
    await stage.db.write("UPDATE agents SET last_reported = now(), usage = '{\"cpu\": 0.5}'")
    await stage.db.write("UPDATE agent_capacity SET cores = cores + 1")
    monkeypatch.setattr(agenda, "POLL_S", 0.0)
    assert await after_a_round(stage, planned) == 0


async def test_of_many_pools_that_cannot_be_filled_each_round_looks_at_some_in_turn(
    stage: System, planned: list[str], monkeypatch: pytest.MonkeyPatch
):
    await after_a_round(stage, planned)
    await stage.db.write("UPDATE staging_configs SET num_sessions = 2")
    await stage.db.write("UPDATE agent_capacity SET cores = cores_allocated")
    stage.ctx.agenda.mark_all_changed()
    await after_a_round(stage, planned)
    assert len(set(planned)) == POOLS
    monkeypatch.setattr(agenda, "MAX_WAITING_POOLS", POOLS // 2)
    turns: list[str] = []
    for _ in range(2):
        assert await after_a_round(stage, planned) == POOLS // 2
        turns += planned
    assert len(set(turns)) == POOLS
    await stage.db.write("UPDATE agent_capacity SET cores = cores + 1000")
    stage.ctx.agenda.mark_all_changed()
    await after_a_round(stage, planned)
    assert await stage.statuses(pooled=True) == {"requested": POOLS, "running": POOLS}


async def test_a_round_writes_of_so_many_pools_and_the_others_come_next(
    stage: System, planned: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pools, "MAX_PLANS", 5)
    await after_a_round(stage, planned)
    await stage.db.write("UPDATE staging_configs SET num_sessions = 2")
    stage.ctx.agenda.mark_all_changed()
    for number in (5, 10, POOLS):
        await run_due_pools(stage.ctx)
        assert await stage.statuses(pooled=True) == {"requested": number, "running": POOLS}


async def test_refills_of_one_second_read_the_agents_once(stage: System, monkeypatch: pytest.MonkeyPatch):
    await run_due_pools(stage.ctx)
    monkeypatch.setattr(agenda, "AGENTS_VALID_S", 3600.0)
    read, readings = snapshots.read_agents, list[Collection[str]]()

    async def noting(connection: Connection, zone_id: str, image_ids: Collection[str]) -> AgentsByImage:
        readings.append(image_ids)
        return await read(connection, zone_id, image_ids)

    monkeypatch.setattr(snapshots, "read_agents", noting)
    for _ in range(3):
        assert await stage.claim(stage.user_id)
        await plan_pools(stage.ctx, [stage.config_id])
        await stage.become_usable()
    assert not readings, "the round before has read them"
    stage.ctx.agenda.mark_all_changed()
    await plan_pools(stage.ctx, [stage.config_id])
    assert len(readings) == 1


async def test_an_agent_that_has_no_room_any_more_is_read_again(stage: System):
    await run_due_pools(stage.ctx)
    assert await stage.claim(stage.user_id)
    await stage.db.write("UPDATE agents SET draining = true")
    await plan_pools(stage.ctx, [stage.config_id])
    await plan_pools(stage.ctx, [stage.config_id])
    row = await stage.one("SELECT shortfall_code FROM staging_configs WHERE staging_config_id = %s", stage.config_id)
    assert row["shortfall_code"] == "no-agent"
