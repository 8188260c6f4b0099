"""The Agent with real containers: start, adopt, hand over, run once, and report their states."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.processes import arm_before_start
from tests.support.real_agents import AgentProcess, session_id
from tests.support.scripted_manager import ScriptedManager, World, spec

from greenroom.runtimes.registry import find_runtime

pytestmark = pytest.mark.docker


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world whose containers are removed at the end."""
    world = World()
    yield world
    await find_runtime("docker").remove_all(world.installation_id, tmp_path / "cleaner")


@pytest.fixture
async def agent(manager: ScriptedManager, docker_url: str, tmp_path: Path) -> AsyncIterator[AgentProcess]:
    agent = AgentProcess(tmp_path, manager, GREENROOM_RUNTIME="docker", GREENROOM_DOCKER_HOST=docker_url)
    try:
        yield agent
    finally:
        agent.close()


async def want_desktop(world: World, image: str, **changes: Any) -> str:
    session = session_id()
    wanted = spec(image=image, memory_bytes=512 << 20, **changes)
    await world.want(session, spec=msgspec.to_builtins(wanted))
    return session


async def usable(world: World, session: str) -> None:
    await world.until(lambda: world.is_usable(session))


async def kill_at(agent: AgentProcess, name: str) -> None:
    await agent.stops.reached(name)
    agent.kill()
    await agent.ended()


def inspect(session: str) -> dict[str, Any]:
    """Docker's description of a session's container; empty if there is none."""
    answer = subprocess.run(["docker", "inspect", f"gr-{session}"], check=False, capture_output=True, text=True)
    found = json.loads(answer.stdout or "[]")
    return found[0] if found else {}


def docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, capture_output=True)


def containers(world: World) -> list[str]:
    """Names of the installation's containers."""
    label = f"label=greenroom.installation={world.installation_id}"
    answer = subprocess.run(
        ["docker", "ps", "-a", "--filter", label, "--format", "{{.Names}}"], check=True, capture_output=True, text=True
    )
    return answer.stdout.split()


def inside(session: str, script: str) -> str:
    argv = ["docker", "exec", f"gr-{session}", "bash", "-c", script]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


async def test_a_desktop_starts_survives_the_agent_and_is_destroyed(
    world: World, agent: AgentProcess, openbox_image: str
):
    session = await want_desktop(world, openbox_image)
    agent.start()
    await usable(world, session)
    steps = [step.name for step in world.observed[session].steps]
    assert steps == ["received", "created", "started", "answering", "painted"]
    before = inspect(session)
    agent.kill()
    await agent.ended()
    world.observed.clear()
    agent.start()
    await usable(world, session)
    after = inspect(session)
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    await world.want(session, "absent")
    await world.until(lambda: world.state(session) == "absent")
    assert containers(world) == []


@pytest.mark.parametrize("name", ["agent.after_create", "agent.after_start"])
async def test_killed_while_it_starts_there_is_one_container(
    world: World, agent: AgentProcess, tmp_path: Path, openbox_image: str, name: str
):
    session = await want_desktop(world, openbox_image)
    arm_before_start(tmp_path, "agent", name)
    agent.start()
    await kill_at(agent, name)
    made = inspect(session)["Id"]
    agent.start()
    await usable(world, session)
    assert containers(world) == [f"gr-{session}"]
    assert inspect(session)["Id"] == made


async def test_a_command_that_was_cut_off_does_not_run_again(
    world: World, agent: AgentProcess, tmp_path: Path, openbox_image: str
):
    session = await want_desktop(world, openbox_image)
    arm_before_start(tmp_path, "agent", "agent.command_ran")
    agent.start()
    await usable(world, session)
    await world.order(session, "bash", "-c", "echo ran >> /tmp/ran")
    await kill_at(agent, "agent.command_ran")
    agent.start()
    await world.until(lambda: [c.state for c in world.observed[session].commands] == ["unknown"])
    later = await world.order(session, "bash", "-c", "echo later")
    await world.until(lambda: any(c.command_id == later and c.state == "done" for c in _reports(world)))
    assert inside(session, "cat /tmp/ran") == "ran"


def _reports(world: World) -> list[Any]:
    return [report for observed in world.history for report in observed.commands]


async def test_hand_over_runs_assign_inside(world: World, agent: AgentProcess, openbox_image: str):
    session = await want_desktop(world, openbox_image)
    agent.start()
    await usable(world, session)
    await world.hand_over(session, ["bash", "-c", "id -un > /tmp/assigned"])
    await world.until(lambda: _handed_over(world, session) == "assigned")
    assert inside(session, "cat /tmp/assigned")


def _handed_over(world: World, session: str) -> str:
    report = world.observed[session].assignment
    return report.state if report else ""


async def test_a_container_killed_or_removed_by_hand_fails_and_stays_away(
    world: World, agent: AgentProcess, openbox_image: str
):
    killed = await want_desktop(world, openbox_image)
    removed = await want_desktop(world, openbox_image)
    agent.start()
    await usable(world, killed)
    await usable(world, removed)
    docker("kill", f"gr-{killed}")
    docker("rm", "-f", f"gr-{removed}")
    await world.until(lambda: world.state(killed) == "failed" and world.state(removed) == "failed")
    assert world.observed[killed].exit_code == 137
    assert world.observed[killed].error == "The container was killed with SIGKILL (exit code 137), not by Greenroom."
    await asyncio.sleep(1)  # to see that neither comes back
    assert inspect(killed)["State"]["Running"] is False
    assert inspect(removed) == {}


async def test_stop_and_resume_keep_what_is_inside(world: World, agent: AgentProcess, openbox_image: str):
    session = await want_desktop(world, openbox_image)
    agent.start()
    await usable(world, session)
    inside(session, "echo kept > /tmp/kept")
    await world.want(session, "stopped")
    await world.until(lambda: world.state(session) == "stopped", 30)
    await world.want(session, "running")
    await usable(world, session)
    assert inside(session, "cat /tmp/kept") == "kept"


async def test_an_image_that_does_not_exist_fails_with_a_sentence(world: World, agent: AgentProcess):
    session = await want_desktop(world, "none.invalid/such:1")
    agent.start()
    await world.until(lambda: world.state(session) == "failed")
    assert "none.invalid/such:1" in world.observed[session].error
    assert containers(world) == []
