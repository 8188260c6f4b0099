"""The Agent as a process: killed at each of its stop points, it continues where it was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import httpx2
import pytest
from tests.support.processes import answers, arm_before_start
from tests.support.real_agents import AgentProcess, behave, containers, session_id
from tests.support.scripted_manager import ScriptedManager, World, spec
from tests.support.waiting import eventually

from greenroom.core.workspace.session_spec import SessionFile


@pytest.fixture
async def agent(world: World, manager: ScriptedManager, tmp_path: Path) -> AsyncIterator[AgentProcess]:
    del world
    agent = AgentProcess(tmp_path, manager)
    try:
        yield agent
    finally:
        agent.close()


async def kill_at(agent: AgentProcess, name: str) -> None:
    await agent.stops.reached(name)
    agent.kill()
    await agent.ended()


async def usable(world: World, session: str) -> None:
    await world.until(lambda: world.is_usable(session))


@pytest.mark.parametrize("name", ["agent.before_create", "agent.after_create", "agent.after_start"])
async def test_killed_while_a_session_starts(world: World, agent: AgentProcess, tmp_path: Path, name: str):
    session = session_id()
    await world.want(session)
    arm_before_start(tmp_path, "agent", name)
    agent.start()
    await kill_at(agent, name)
    made = containers(tmp_path)
    assert (session in made) == (name != "agent.before_create")
    agent.start()
    await usable(world, session)
    assert list(containers(tmp_path)) == [session]
    if made:
        assert containers(tmp_path)[session].container_id == made[session].container_id


@pytest.mark.parametrize("name", ["agent.before_create", "agent.after_create"])
async def test_files_arrive_even_if_the_agent_is_killed_before_the_start(
    world: World, agent: AgentProcess, tmp_path: Path, name: str
):
    session, key = session_id(), SessionFile(path="/home/kasm-user/.ssh/id_rsa", content="s3cret")
    await world.want(session, spec=asdict(spec(files=(key,))))
    arm_before_start(tmp_path, "agent", name)
    agent.start()
    await kill_at(agent, name)
    agent.start()
    await usable(world, session)
    assert containers(tmp_path)[session].files == {key.path: "s3cret"}
    kept = [file for file in (tmp_path / "agent").rglob("*") if file.is_file() and "simulated" not in file.parts]
    assert kept
    assert not any(b"s3cret" in file.read_bytes() for file in kept), "the Agent's own files hold no secret of a session"


@pytest.mark.parametrize("name", ["agent.before_remove", "agent.after_remove"])
async def test_killed_while_a_session_is_removed(world: World, agent: AgentProcess, tmp_path: Path, name: str):
    session = session_id()
    await world.want(session)
    arm_before_start(tmp_path, "agent", name)
    agent.start()
    await usable(world, session)
    await world.want(session, "absent")
    await kill_at(agent, name)
    agent.start()
    await world.until(lambda: world.state(session) == "absent")
    assert containers(tmp_path) == {}


@pytest.mark.parametrize("name", ["agent.command_journalled", "agent.command_ran"])
async def test_killed_around_a_command_it_never_runs_again(
    world: World, agent: AgentProcess, tmp_path: Path, name: str
):
    session = session_id()
    await world.want(session)
    arm_before_start(tmp_path, "agent", name)
    agent.start()
    await usable(world, session)
    command_id = await world.order(session, "echo", "once")
    await kill_at(agent, name)
    agent.start()
    await world.until(lambda: [c.state for c in world.observed[session].commands] == ["unknown"])
    later = await world.order(session, "echo", "later")
    await world.until(lambda: any(c.command_id == later for c in _results(world)))
    assert {c.state for c in _results(world) if c.command_id == command_id} <= {"started", "unknown"}


def _results(world: World) -> list:
    return [report for observed in world.history for report in observed.commands]


async def test_killed_between_received_and_assign_the_hand_over_goes_on(
    world: World, agent: AgentProcess, tmp_path: Path
):
    session = session_id()
    await world.want(session)
    arm_before_start(tmp_path, "agent", "agent.handover_received")
    agent.start()
    await usable(world, session)
    await world.hand_over(session, ["true"])
    await kill_at(agent, "agent.handover_received")
    agent.start()
    await world.until(lambda: _handed_over(world, session) == "assigned")


async def test_killed_while_assign_runs_the_hand_over_failed(world: World, agent: AgentProcess, tmp_path: Path):
    session = session_id()
    await world.want(session)
    agent.start()
    await usable(world, session)
    await world.hand_over(session, ["sleep", "60"], deadline_s=60)
    journal = tmp_path / "agent" / "journal.jsonl"
    await eventually(lambda: '"state":"started"' in journal.read_text())
    agent.kill()
    await agent.ended()
    agent.start()
    await world.until(lambda: _handed_over(world, session) == "failed")


def _handed_over(world: World, session: str) -> str:
    report = world.observed[session].assignment
    return report.state if report else ""


async def test_a_restarted_agent_adopts_what_runs_and_needs_no_token(
    world: World, manager: ScriptedManager, agent: AgentProcess, tmp_path: Path
):
    sessions = [session_id() for _ in range(5)]
    for session in sessions:
        await world.want(session)
    agent.start()
    for session in sessions:
        await usable(world, session)
    made = containers(tmp_path)
    agent.kill()
    await agent.ended()
    world.observed.clear()
    (tmp_path / "join-token").unlink()
    agent.start()
    for session in sessions:
        await usable(world, session)
    assert containers(tmp_path) == made
    assert manager.requests > 0
    assert [message.join_token for message in world.registrations] == ["join-me", None]


async def test_a_restarted_agent_changes_nothing_before_a_fresh_list(
    world: World, manager: ScriptedManager, agent: AgentProcess, tmp_path: Path
):
    world.hold_s = 0.1
    session = session_id()
    await world.want(session)
    agent.start()
    await usable(world, session)
    agent.kill()
    await agent.ended()
    await world.want(session, "absent")
    manager.fresh = False
    asked = manager.requests
    agent.start()
    await eventually(lambda: manager.requests >= asked + 5)
    assert containers(tmp_path)[session].state == "running"
    manager.fresh = True
    await world.until(lambda: world.state(session) == "absent")


async def test_sessions_run_on_while_no_manager_can_be_reached(
    world: World, manager: ScriptedManager, agent: AgentProcess, tmp_path: Path
):
    session = session_id()
    await world.want(session)
    agent.start()
    await usable(world, session)
    port = int(manager.url.rsplit(":", 1)[1])
    await manager.stop()
    agent.kill()
    await agent.ended()
    agent.start()
    await answers(f"{agent.url}/__healthcheck", 200)
    assert containers(tmp_path)[session].state == "running"
    world.observed.clear()
    world.managers.clear()
    await manager.start(port)
    await usable(world, session)


async def test_sigterm_ends_the_process_and_leaves_the_sessions(world: World, agent: AgentProcess, tmp_path: Path):
    session = session_id()
    await world.want(session)
    agent.start()
    await usable(world, session)
    agent.kill(15)
    assert await agent.ended() == 0
    assert containers(tmp_path)[session].state == "running"


async def test_health_and_metrics(world: World, agent: AgentProcess):
    agent.start()
    await world.until(lambda: world.check_ins)
    response = await answers(f"{agent.url}/__healthcheck", 200)
    assert response.json()["ok"] is True
    async with httpx2.AsyncClient() as client:
        metrics = await client.get(f"{agent.url}/metrics")
    assert "greenroom_agent_sessions" in metrics.text


async def test_a_hundred_sessions_at_once(world: World, agent: AgentProcess, tmp_path: Path):
    behave(tmp_path, create_s=0.02, start_s=0.02, paint_s=0.1)
    sessions = [session_id() for _ in range(100)]
    for session in sessions:
        await world.want(session)
    agent.start()
    for session in sessions:
        await usable(world, session)
    assert len(containers(tmp_path)) == 100
