"""The places of an Agent's starts: a user's session does not wait for those of pools, even if these hang."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.real_agents import agent_inside, behave, session_id
from tests.support.scripted_manager import ScriptedManager, World, spec

from greenroom.core.session.starts import MAX_START_SLOTS_PER_CORE
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.runtimes.contract import Container
from greenroom.runtimes.simulated import SimulatedRuntime
from greenroom.wire.messages import Authorised, DesiredImage

SLOW = "greenroom/desktop:slow"
CORES = 2
MANY = 3 * MAX_START_SLOTS_PER_CORE * CORES
"""The sessions of a pool: more than can be started at once, even if cores are idle."""


class SlowDocker:
    """A runtime in which the creation of a container of the image `SLOW` takes until `let` receives an item."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.let = asyncio.Semaphore(0)
        self.begun: list[str] = []
        create = SimulatedRuntime.create

        async def slow(runtime: SimulatedRuntime, session: str, spec: SessionSpec, **how: Any) -> Container:
            self.begun.append(session)
            if spec.image == SLOW:
                await self.let.acquire()
            return await create(runtime, session, spec, **how)

        monkeypatch.setattr(SimulatedRuntime, "create", slow)


async def refill(world: World, number: int = MANY, image: str = SLOW, **changes: Any) -> list[str]:
    """Desire this number of sessions in a pool."""
    sessions = [session_id() for _ in range(number)]
    for session in sessions:
        await world.want(session, spec=msgspec.to_builtins(spec(image=image, **changes)))
    return sessions


async def launch(world: World, image: str = "greenroom/desktop:openbox") -> str:
    """A user launches a session on demand."""
    session = session_id()
    user = Authorised(user_id=session_id(), epoch=1)
    await world.want(session, spec=msgspec.to_builtins(spec(image=image)), authorised=user)
    return session


async def test_a_launch_does_not_wait_for_refills_that_hang(
    world: World, manager: ScriptedManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    docker = SlowDocker(monkeypatch)
    behave(tmp_path, cores=CORES)
    async with agent_inside(tmp_path, manager):
        staged = await refill(world)
        await world.until(lambda: len(docker.begun) > 1)
        mine = await launch(world)
        await world.until(lambda: world.is_usable(mine))
        assert not any(world.is_usable(session) for session in staged)
        assert len(docker.begun) <= 1 + MAX_START_SLOTS_PER_CORE * CORES


async def test_images_that_are_fetched_and_first_launches_hold_no_place(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    behave(tmp_path, missing_images=[SLOW], pull_s=60)
    world.images = [DesiredImage(name=SLOW)]
    async with agent_inside(tmp_path, manager):
        await refill(world)
        preparing = await refill(world, image="greenroom/desktop:openbox", first_launch={"argv": ["sleep", "60"]})
        await world.until(lambda: all(world.state(session) == "running" for session in preparing))
        (mine,) = await refill(world, 1, image="greenroom/desktop:openbox")
        await world.until(lambda: world.is_usable(mine))
