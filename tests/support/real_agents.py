"""Agents for tests: as a process, or inside the test, which can then access the simulated runtime."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.processes import RoleProcess, free_port
from tests.support.scripted_manager import JOIN_TOKEN, ScriptedManager, World

from greenroom.agent.main import Agent
from greenroom.kit.config import AgentConfig
from greenroom.runtimes.simulated import SimulatedRuntime, SimulationSettings, StoredContainer, stored_containers


def session_id() -> str:
    return str(uuid.uuid4())


def token_file(folder: Path) -> Path:
    file = folder / "join-token"
    file.write_text(JOIN_TOKEN + "\n")
    return file


class AgentProcess(RoleProcess):
    """An Agent as a process; its folder is `folder`/agent."""

    def __init__(self, folder: Path, *managers: ScriptedManager, **environment: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        mine = {
            "GREENROOM_AGENT_DIR": str(folder / "agent"),
            "GREENROOM_AGENT_PORT": str(port),
            "GREENROOM_MANAGER_URLS": ",".join(manager.url for manager in managers),
            "GREENROOM_JOIN_TOKEN_FILE": str(token_file(folder)),
            "GREENROOM_RUNTIME": "simulated",
        }
        super().__init__("agent", "agent", folder, {**mine, **environment})


@asynccontextmanager
async def agent_inside(folder: Path, *managers: ScriptedManager, **changes: Any) -> AsyncIterator[Agent]:
    """An Agent in this process; a failed loop fails the test."""
    settings = AgentConfig(
        **{
            "agent_dir": folder / "agent",
            "manager_urls": ",".join(manager.url for manager in managers),
            "join_token_file": token_file(folder),
            "runtime": "simulated",
            **changes,
        }
    )
    agent = Agent(settings)
    running = [asyncio.create_task(loop(), name=name) for name, loop in agent.loops]
    try:
        yield agent
    finally:
        for task in running:
            task.cancel()
        results = await asyncio.gather(*running, return_exceptions=True)
        await agent.close()
    broken = [r for r in results if isinstance(r, BaseException) and not isinstance(r, asyncio.CancelledError)]
    assert broken == []


def simulated(agent: Agent) -> SimulatedRuntime:
    assert isinstance(agent.host.runtime, SimulatedRuntime)
    return agent.host.runtime


def behave(folder: Path, **settings: Any) -> None:
    """Set the behavior of the simulated host of the Agent in `folder` from now on."""
    values: dict[str, Any] = {
        name: frozenset(value) if isinstance(value, list) else value for name, value in settings.items()
    }
    SimulatedRuntime("", "", folder=folder / "agent").configure(SimulationSettings(**values))


def containers(folder: Path) -> dict[str, StoredContainer]:
    """The containers of the simulated host, by session id."""
    return stored_containers(folder / "agent")


@asynccontextmanager
async def manager_of(world: World, instance_id: str = "manager-1") -> AsyncIterator[ScriptedManager]:
    manager = ScriptedManager(world, instance_id)
    await manager.start()
    try:
        yield manager
    finally:
        await manager.stop()
