"""The Agent and missing images of its host: downloads, waits, retries."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support import packages
from tests.support.real_agents import agent_inside, behave, session_id
from tests.support.scripted_manager import ScriptedManager, World, spec
from tests.support.waiting import eventually

from greenroom.agent import images
from greenroom.agent.images import STALL_TIMEOUT_S
from greenroom.core.rate_limits import Backoff
from greenroom.kit import plugins
from greenroom.recipes import build, shelf
from greenroom.runtimes.simulated import SimulatedRuntime
from greenroom.wire.messages import DesiredImage, ImageReport


async def test_an_image_that_is_not_there_fails_with_the_runtimes_sentence(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    behave(tmp_path, missing_images=["none/such:1"])
    session = session_id()
    async with agent_inside(tmp_path, manager):
        await world.want(session, spec=msgspec.to_builtins(spec(image="none/such:1")))
        await world.until(lambda: world.state(session) == "failed")
    assert world.observed[session].error == "The image none/such:1 is not on this host."


async def test_a_create_waits_for_an_image_that_is_being_fetched(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    behave(tmp_path, missing_images=["slow/image:1"], pull_s=3.0)
    world.images = [DesiredImage(name="slow/image:1")]
    session = session_id()
    async with agent_inside(tmp_path, manager):
        await world.until(lambda: _image_state(world, "slow/image:1") == "pulling")
        await world.want(session, spec=msgspec.to_builtins(spec(image="slow/image:1")))
        await world.until(lambda: world.is_usable(session))
        await world.until(lambda: _image_state(world, "slow/image:1") == "present")


async def test_an_image_is_not_fetched_before_its_registry_password_arrives(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    behave(tmp_path, missing_images=["team/closed:1"])
    withheld = DesiredImage(name="team/closed:1", user="robot", password_withheld=True)
    world.images = [withheld]
    async with agent_inside(tmp_path, manager):
        await world.until(lambda: _image_state(world, "team/closed:1") == "absent")
        world.images = [DesiredImage(name="team/closed:1", user="robot", password="secret")]
        await world.notify()
        await world.until(lambda: _image_state(world, "team/closed:1") == "present")
    states = [report.state for message in world.check_ins for report in message.images or []]
    assert "failed" not in states


async def test_an_image_that_cannot_be_fetched_says_why(world: World, manager: ScriptedManager, tmp_path: Path):
    behave(tmp_path, missing_images=["none/such:1"], broken_images=["none/such:1"])
    world.images = [DesiredImage(name="none/such:1")]
    async with agent_inside(tmp_path, manager):
        await world.until(lambda: _image_state(world, "none/such:1") == "failed")
    reports = [report for message in world.check_ins for report in message.images or []]
    assert reports[-1].error == "The image none/such:1 could not be fetched: it does not exist."


async def test_fetching_an_image_is_retried_after_growing_pauses(
    world: World, manager: ScriptedManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(images, "BACKOFF", Backoff(first_s=0.1, max_s=0.4))
    behave(tmp_path, missing_images=["none/such:1"], broken_images=["none/such:1"])
    tries: list[float] = []
    pull = SimulatedRuntime.pull

    def counted(self: SimulatedRuntime, name: str, credentials: Any = None) -> Any:
        tries.append(time.monotonic())
        return pull(self, name, credentials)

    monkeypatch.setattr(SimulatedRuntime, "pull", counted)
    world.images = [DesiredImage(name="none/such:1")]
    async with agent_inside(tmp_path, manager):
        await eventually(lambda: len(tries) >= 5)
        pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
        assert all(pause >= least for pause, least in zip(pauses, (0.1, 0.2, 0.4, 0.4), strict=False))
        behave(tmp_path, missing_images=["none/such:1"])
        await world.until(lambda: _image_state(world, "none/such:1") == "present")


async def test_a_fetch_that_lost_its_connection_is_none(
    world: World, manager: ScriptedManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def cut_off(self: SimulatedRuntime, name: str, credentials: Any = None) -> AsyncIterator[int]:
        yield 10

    monkeypatch.setattr(SimulatedRuntime, "pull", cut_off)
    behave(tmp_path, missing_images=["a/b:1"])
    world.images = [DesiredImage(name="a/b:1")]
    async with agent_inside(tmp_path, manager):
        await world.until(lambda: _image_state(world, "a/b:1") == "failed")


async def test_a_registry_that_says_nothing_holds_up_no_other_image(
    world: World, manager: ScriptedManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(STALL_TIMEOUT_S, "pulling", 4.0)
    behave(tmp_path, missing_images=["a/stalled:1", "b/good:1"])
    pull = SimulatedRuntime.pull

    async def stalled(self: SimulatedRuntime, name: str, credentials: Any = None) -> AsyncIterator[int]:
        yield 10
        if name == "a/stalled:1":
            await asyncio.Event().wait()
        async for percent in pull(self, name, credentials):
            yield percent

    monkeypatch.setattr(SimulatedRuntime, "pull", stalled)
    world.images = [DesiredImage(name="a/stalled:1"), DesiredImage(name="b/good:1")]
    async with agent_inside(tmp_path, manager):
        await world.until(lambda: _image_state(world, "b/good:1") == "present")
        assert _image_state(world, "a/stalled:1") == "failed"
    reports = [report for message in world.check_ins for report in message.images or [] if report.error]
    assert reports[-1].error.startswith("The image a/stalled:1 could not be fetched: no data was received for")


async def test_an_image_that_cannot_be_refreshed_stays_and_says_why(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    behave(tmp_path, missing_images=["a/rolling:1"])
    world.images = [DesiredImage(name="a/rolling:1")]
    async with agent_inside(tmp_path, manager):
        await world.until(lambda: _image_state(world, "a/rolling:1") == "present")
        behave(tmp_path, broken_images=["a/rolling:1"])
        world.images = [DesiredImage(name="a/rolling:1", pull_policy="always")]
        await world.notify()
        await world.until(lambda: bool(_last(world, "a/rolling:1").error))
    report = _last(world, "a/rolling:1")
    assert report.state == "present"
    assert report.error.startswith("The request to the registry for a newer image failed: The image a/rolling:1 could")


async def test_a_missing_image_comes_before_refreshes_that_wait(
    world: World, manager: ScriptedManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    behave(tmp_path, missing_images=["c/new:1"])
    pulled, begun, end = list[str](), asyncio.Event(), asyncio.Event()

    async def pull(self: SimulatedRuntime, name: str, credentials: Any = None) -> AsyncIterator[int]:
        del self, credentials
        pulled.append(name)
        begun.set()
        await end.wait()
        yield 100

    monkeypatch.setattr(SimulatedRuntime, "pull", pull)
    world.images = [DesiredImage(name=name, pull_policy="always") for name in ("a/old:1", "b/old:1")]
    async with agent_inside(tmp_path, manager):
        await begun.wait()
        world.images = [*world.images, DesiredImage(name="c/new:1")]
        await world.notify()
        await world.until(lambda: _image_state(world, "c/new:1") == "absent")
        end.set()
        await eventually(lambda: len(pulled) >= 2)
    assert pulled[:2] == ["a/old:1", "c/new:1"]


def _last(world: World, name: str) -> ImageReport:
    return [r for message in world.check_ins for r in message.images or [] if r.name == name][-1]


def _image_state(world: World, name: str) -> str:
    states = [r.state for message in world.check_ins for r in message.images or [] if r.name == name]
    return states[-1] if states else ""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's page, which images/build makes and every image has."""
    made = tmp_path / "page"
    made.mkdir()
    (made / "index.html").write_text("<!doctype html>")
    monkeypatch.setattr(build, "PAGE", made)


def _recipe_image(name: str = "terminal") -> str:
    return shelf.reference(shelf.find(name))


@pytest.mark.usefixtures("page")
async def test_an_image_of_a_known_recipe_is_built_here_with_progress_and_its_size(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    name = _recipe_image()
    behave(tmp_path, missing_images=[name], pull_s=2.0)
    world.images = [DesiredImage(name=name)]
    async with agent_inside(tmp_path, manager):
        await world.until(lambda: _image_state(world, name) == "present")
    reports = [report for message in world.check_ins for report in message.images or [] if report.name == name]
    assert {report.how for report in reports if report.state == "pulling"} == {"building"}
    assert any(0 < report.progress < 100 for report in reports)
    assert reports[-1].size_bytes > 0


async def test_an_image_of_a_workspace_with_a_registry_is_pulled_despite_a_known_recipe(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    name = _recipe_image()
    behave(tmp_path, missing_images=[name], pull_s=2.0)
    world.images = [DesiredImage(name=name, registry="https://index.docker.io/v1/")]
    async with agent_inside(tmp_path, manager):
        await world.until(lambda: _image_state(world, name) == "present")
    reports = [report for message in world.check_ins for report in message.images or [] if report.name == name]
    assert {report.how for report in reports if report.state == "pulling"} == {"pulling"}


async def test_an_agent_without_the_recipes_names_their_package_where_a_pull_fails(
    world: World, manager: ScriptedManager, tmp_path: Path
):
    behave(tmp_path, missing_images=["greenroom/terminal:1"], broken_images=["greenroom/terminal:1"])
    world.images = [DesiredImage(name="greenroom/terminal:1")]
    with packages.missing(plugins.RECIPES):
        async with agent_inside(tmp_path, manager):
            await world.until(lambda: _image_state(world, "greenroom/terminal:1") == "failed")
    reports = [report for message in world.check_ins for report in message.images or []]
    assert reports[-1].error.endswith("which is not installed: pip install greenroom-desktop.")


@pytest.mark.usefixtures("page")
async def test_a_build_that_fails_is_one_sentence_and_is_tried_again_after_a_pause(
    world: World, manager: ScriptedManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(images, "BACKOFF", Backoff(first_s=0.1, max_s=0.4))
    name = _recipe_image()
    behave(tmp_path, missing_images=[name], broken_images=[name])
    world.images = [DesiredImage(name=name)]
    async with agent_inside(tmp_path, manager):
        await world.until(lambda: _image_state(world, name) == "failed")
        reports = [report for message in world.check_ins for report in message.images or [] if report.name == name]
        assert "returned a non-zero code: 1" in reports[-1].error
        assert name in reports[-1].error
        behave(tmp_path, missing_images=[name])
        await world.until(lambda: _image_state(world, name) == "present")


@pytest.mark.usefixtures("page")
async def test_a_build_holds_up_no_image_of_a_registry(world: World, manager: ScriptedManager, tmp_path: Path):
    name = _recipe_image()
    behave(tmp_path, missing_images=[name], pull_s=600)
    world.images = [DesiredImage(name=name)]
    async with agent_inside(tmp_path, manager):
        await world.until(lambda: _image_state(world, name) == "pulling")
        behave(tmp_path, missing_images=[name, "a/b:1"])
        world.images = [DesiredImage(name=name), DesiredImage(name="a/b:1")]
        await world.notify()
        await world.until(lambda: _image_state(world, "a/b:1") == "present")
        assert _image_state(world, name) == "pulling"
