"""The Manager to which an Agent connects, with scripted Managers: one that refuses, is silent or lost the database."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.real_agents import agent_inside, manager_of, session_id, simulated
from tests.support.scripted_manager import ScriptedManager, World
from tests.support.waiting import eventually


async def test_with_the_database_away_nothing_changes_and_answers_are_held(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    world.hold_s = 0.1
    session = session_id()
    async with manager_of(world, "manager-2") as second, agent_inside(tmp_path, manager, second) as agent:
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        manager.fresh = second.fresh = False
        world.desired.clear()
        begun, requests = time.monotonic(), manager.requests + second.requests
        await eventually(lambda: manager.requests + second.requests >= requests + 6)
        assert time.monotonic() - begun > 4 * world.hold_s
        assert [container.state for container in await simulated(agent).list()] == ["running"]
        assert agent.sessions.undesired() == []


async def test_an_agent_whose_manager_lost_the_database_follows_one_that_has_it(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    world.hold_s = 0.1
    session = session_id()
    async with manager_of(world, "manager-2") as second, agent_inside(tmp_path, manager, second):
        await world.until(lambda: world.check_ins)
        assert second.requests == 0
        manager.fresh = False
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        assert second.requests > 0


async def test_a_refusing_manager_is_left_at_once_and_not_asked_again_soon(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    world.hold_s = 30
    session = session_id()
    async with manager_of(world, "manager-2") as second, agent_inside(tmp_path, manager, second):
        await world.until(lambda: world.check_ins)
        assert second.requests == 0
        await manager.refuse(503)
        await world.want(session)
        await world.until(lambda: world.is_usable(session), 15)
        assert second.requests > 0
        asked = manager.requests
        await world.want(session, "absent")
        await world.until(lambda: world.state(session) == "absent", 15)
        assert manager.requests == asked


async def test_the_agent_returns_to_the_primary_when_retry_after_is_over(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    world.hold_s = 0.2
    manager.retry_after_s = 1
    async with manager_of(world, "manager-2") as second, agent_inside(tmp_path, manager, second):
        await world.until(lambda: world.check_ins)
        await manager.refuse(503)
        await world.until(lambda: second.requests > 1)
        manager.status = 200
        asked = manager.requests
        await world.until(lambda: manager.requests > asked + 1)


async def test_an_agent_returns_early_to_a_primary_that_failed_briefly(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    world.hold_s = 30
    async with manager_of(world, "manager-2") as second, agent_inside(tmp_path, manager, second):
        await world.until(lambda: world.check_ins)
        await manager.refuse(500)
        await world.until(lambda: second.requests)
        manager.status = 200
        asked = manager.requests
        await world.until(lambda: manager.requests > asked, 20)


async def test_a_manager_that_listens_no_more_is_left_at_once(world: World, manager: ScriptedManager, tmp_path: Path):
    world.hold_s = 30
    session = session_id()
    async with manager_of(world, "manager-2") as second, agent_inside(tmp_path, manager, second) as agent:
        await world.until(lambda: world.check_ins)
        await manager.stop()
        await world.want(session)
        await world.until(lambda: world.is_usable(session), 15)
        assert second.requests > 0
        assert (
            agent.metrics.registry.get_sample_value("greenroom_agent_check_ins_total", {"outcome": "NoManager"}) is None
        )


async def test_a_frozen_manager_is_left_as_soon_as_one_question_to_it_fails(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    world.hold_s = 30
    session = session_id()
    async with manager_of(world, "manager-2") as second, agent_inside(tmp_path, manager, second) as agent:
        await world.want(session)
        await world.until(lambda: world.is_usable(session))
        manager.deaf = True
        simulated(agent).die(session, 1)
        await world.until(lambda: world.state(session) == "failed", 15)
        assert second.requests > 0
