"""Images built on this host: the progress of a build, the message when it fails, and the images that are not
rebuilt."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiodocker
import pytest

from greenroom.recipes import build
from greenroom.recipes.shelf import RecipeImage
from greenroom.runtimes.contract import BuildError
from greenroom.runtimes.docker.builder import DockerBuilder

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("openbox_image")]


@pytest.fixture
def builder(docker: aiodocker.Docker) -> DockerBuilder:
    return DockerBuilder(docker)


@pytest.fixture
async def reference(docker: aiodocker.Docker) -> AsyncIterator[str]:
    """The name of an image that is removed at the end."""
    name = f"greenroom/test:{uuid.uuid4().hex[:12]}"
    yield name
    if await DockerBuilder(docker).labels(name) is not None:
        await docker.images.delete(name, force=True)


def recipe_folder(folder: Path, install: str) -> Path:
    (folder / "install").mkdir()
    (folder / "install/install").write_text(f"#!/bin/sh\n{install}\n")
    return folder


async def test_a_build_says_how_far_it_is_and_its_image_is_not_made_again(
    builder: DockerBuilder, reference: str, tmp_path: Path
):
    folder = recipe_folder(tmp_path, "echo Making everything ready")
    image = RecipeImage(reference=reference, digest=uuid.uuid4().hex, flavor="openbox", folders=(folder,))
    steps = [progress async for progress in build.make(builder, image)]
    percents = [progress.percent for progress in steps]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert "Making everything ready" in [progress.step for progress in steps]
    assert await build.is_built(builder, image)
    assert [progress async for progress in build.make(builder, image)] == []


@pytest.mark.parametrize(
    ("package", "install", "why"),
    [
        ("no-such-package", "true", "E: Unable to locate package no-such-package"),
        (
            "tini",
            "printf 'the checksum' >&2; sleep 1; echo ' is another one' >&2; exit 3",
            "the checksum is another one",
        ),
    ],
)
async def test_a_build_that_fails_says_why_in_a_sentence_and_leaves_no_image(
    builder: DockerBuilder, tmp_path: Path, package: str, install: str, why: str
):
    reference = f"greenroom/test:{uuid.uuid4().hex[:12]}"
    folder = recipe_folder(tmp_path, install)
    image = RecipeImage(
        reference=reference, digest=uuid.uuid4().hex, flavor="openbox", packages=(package,), folders=(folder,)
    )
    with pytest.raises(BuildError) as failed:
        async for _ in build.make(builder, image):
            pass
    assert failed.value.message == f"The image {reference} could not be built: {why}."
    assert await builder.labels(reference) is None


async def test_a_base_that_cannot_be_reached_is_named(builder: DockerBuilder, reference: str):
    image = RecipeImage(reference=reference, digest=uuid.uuid4().hex, flavor="openbox")
    with pytest.raises(BuildError, match=r"could not be built: .*nowhere\.invalid"):
        async for _ in build.make(builder, image, base="nowhere.invalid/debian:bookworm"):
            pass


async def test_a_host_without_mmdebstrap_says_what_to_do(builder: DockerBuilder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(BuildError, match=r"install mmdebstrap .* or set a base image"):
        async for _ in build.build_base(builder, "greenroom/test:none", Path("/nowhere")):
            pass
