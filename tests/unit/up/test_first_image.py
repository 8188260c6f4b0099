"""`greenroom up` builds the image of the first workspace of a new instance if it is missing."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from greenroom.core.errors import SetupError
from greenroom.kit import recipes
from greenroom.recipes import build, shelf
from greenroom.recipes.build import BuildProgress
from greenroom.runtimes.contract import BuildError
from greenroom.up import checks
from greenroom.up.layout import Layout
from greenroom.up.progress import LineProgress

IMAGE = "greenroom/desktop:xfce"


class World:
    """A Docker host: the images that it has, those that were built, and the failure of the next build."""

    def __init__(self) -> None:
        self.images = set[str]()
        self.built = list[str]()
        self.failure = ""
        self.remote_sessions_text = False
        self.is_building = False

    @asynccontextmanager
    async def open_builder(self) -> AsyncGenerator[Any]:
        assert not self.is_building, "another process builds, so this one would wait"
        yield self

    async def labels(self, image: str) -> dict[str, str] | None:
        return {} if image in self.images else None

    async def check(self, image: str) -> None:
        if image not in self.images:
            raise SetupError(f"There is no image {image}.")

    async def make(self, _: object, image: shelf.RecipeImage) -> AsyncGenerator[BuildProgress]:
        if self.failure:
            raise BuildError(self.failure)
        for percent in (10, 40, 60, 100):
            yield BuildProgress(percent, "")
        self.built.append(image.reference)
        self.images.add(image.reference)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    found = World()
    monkeypatch.setattr(checks, "find_runtime", lambda _: found)
    monkeypatch.setattr(recipes, "find_recipes", lambda: shelf.SOURCE)
    monkeypatch.setattr(build, "make", found.make)
    monkeypatch.delenv("GREENROOM_DESKTOP_IMAGE", raising=False)
    return found


async def provide(folder: Path) -> list[str]:
    """Provide the image; returns the displayed lines."""
    settings: Any = SimpleNamespace(runtime="docker")
    out = io.StringIO()
    await checks.provide_desktop_image(Layout(folder), settings, LineProgress(out))
    return out.getvalue().splitlines()


async def test_a_missing_image_is_built_once(world: World, tmp_path: Path):
    lines = await provide(tmp_path)
    assert await provide(tmp_path) == []
    assert world.built == [IMAGE]
    text = f"Building the image {IMAGE} from Debian packages, once"
    assert lines == [f"{text} …", *(f"{text}: {percent} % …" for percent in (40, 60, 100))]


async def test_an_existing_image_is_used_while_another_process_builds(world: World, tmp_path: Path):
    world.images.add(IMAGE)
    world.is_building = True
    await provide(tmp_path)


async def test_an_image_of_another_registry_is_not_built(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GREENROOM_DESKTOP_IMAGE", "registry.example/desktop:1")
    with pytest.raises(SetupError, match="no image registry"):
        await provide(tmp_path)
    assert world.built == []


async def test_nothing_is_built_for_sessions_on_other_hosts(world: World, tmp_path: Path):
    world.remote_sessions_text = True
    with pytest.raises(SetupError):
        await provide(tmp_path)
    assert world.built == []


async def test_a_failed_build_names_the_image_and_the_reason(world: World, tmp_path: Path):
    world.failure = "no space left"
    with pytest.raises(SetupError, match=f"The image {IMAGE} could not be built: no space left"):
        await provide(tmp_path)


@pytest.mark.usefixtures("world")
async def test_an_existing_instance_needs_no_image(tmp_path: Path):
    Layout(tmp_path).instance.touch()
    await provide(tmp_path)
