"""The Agent downloads images from a real registry that requires a password."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support import registry as registries
from tests.support.real_agents import agent_inside, manager_of
from tests.support.registry import PASSWORD, USER, Registry
from tests.support.scripted_manager import World

from greenroom.agent import images
from greenroom.core.rate_limits import Backoff
from greenroom.runtimes.registry import find_runtime
from greenroom.wire.messages import DesiredImage, ImageReport

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def registry(docker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    registry = registries.started(tmp_path_factory.mktemp("registry"))
    yield registry
    registry.close()


@pytest.fixture
async def world(tmp_path: Path, docker_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A Manager and an Agent with Docker."""
    monkeypatch.setenv("GREENROOM_DOCKER_HOST", docker_url)
    world = World()
    async with manager_of(world) as manager, agent_inside(tmp_path, manager, runtime="docker"):
        yield world
    await find_runtime("docker").remove_all(world.installation_id, tmp_path)


def report_on(world: World, name: str) -> ImageReport | None:
    """The Agent's last report about an image."""
    reports = next((message.images for message in reversed(world.check_ins) if message.images is not None), [])
    return next((report for report in reports if report.name == name), None)


async def want(world: World, name: str, password: str = PASSWORD) -> None:
    world.images = [DesiredImage(name=name, user=USER, password=password)]
    await world.notify()


def docker(*arguments: str) -> bool:
    return subprocess.run(["docker", *arguments], check=False, capture_output=True).returncode == 0


def on_this_host(name: str) -> bool:
    return docker("image", "inspect", name)


async def state_of(world: World, name: str, state: str) -> ImageReport:
    await world.until(lambda: (found := report_on(world, name)) is not None and found.state == state)
    found = report_on(world, name)
    assert found is not None
    return found


async def test_an_image_is_fetched_with_user_and_password(world: World, registry: Registry):
    name = registry.push("team/tiny:1")
    await want(world, name)
    report = await state_of(world, name, "present")
    assert report.digest.startswith("sha256:")
    assert on_this_host(name)


async def test_wrong_credentials_are_said_and_the_right_ones_help_at_once(world: World, registry: Registry):
    name = registry.push("team/closed:1")
    await want(world, name, "wrong")
    report = await state_of(world, name, "failed")
    assert name in report.error
    assert "unauthorized" in report.error or "no basic auth" in report.error
    assert "wrong" not in report.error
    assert not on_this_host(name)
    await want(world, name)
    await state_of(world, name, "present")


async def test_an_image_without_a_tag_is_found_again(world: World, registry: Registry):
    registry.push("team/untagged:latest")
    name = f"{registry.host}/team/untagged"
    await want(world, name)
    await state_of(world, name, "present")


async def test_a_moved_tag_arrives_when_a_refresh_is_requested(world: World, registry: Registry):
    name = registry.push("team/rolling:latest")
    await want(world, name)
    before = (await state_of(world, name, "present")).digest
    registry.push("team/rolling:next")
    registry.move_tag("team/rolling", "latest", "next")
    world.images = [DesiredImage(name=name, user=USER, password=PASSWORD, refresh=5.0)]
    await world.notify()
    await world.until(lambda: (found := report_on(world, name)) is not None and found.refreshed == 5.0)
    after = report_on(world, name)
    assert after is not None
    assert (after.state, after.error) == ("present", "")
    assert after.digest != before


async def test_what_is_not_wanted_is_not_fetched(world: World, registry: Registry):
    wanted, other = registry.push("team/wanted:1"), registry.push("team/disabled:1")
    await want(world, wanted)
    await state_of(world, wanted, "present")
    assert report_on(world, other) is None
    assert not on_this_host(other)


async def test_an_image_that_was_loaded_by_hand_needs_no_registry(
    world: World, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(images, "BACKOFF", Backoff(first_s=0.2, max_s=300.0))
    name = registry.push("team/carried:1")
    file = str(tmp_path / "image.tar")
    assert docker("--config", str(registry.folder / "docker"), "pull", name)
    assert docker("save", "--output", file, name)
    assert docker("rmi", name)
    await want(world, name, "wrong")
    await state_of(world, name, "failed")
    assert docker("load", "--input", file)
    await state_of(world, name, "present")
