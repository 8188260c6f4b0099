"""`python -m greenroom.recipes NAME…` builds images on this host. images/build and other scripts call this command.

NAME is a flavor of greenroom/desktop, a recipe, or `catalogue` for all recipes. `--base REPOSITORY FOLDER` builds the
base image of FOLDER from Debian packages, and prints its name. If the environment variable BASE is set, it names the
base image, and no base image is built.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from greenroom.core.errors import GreenroomError
from greenroom.recipes import build, shelf
from greenroom.runtimes.contract import RuntimeUnavailable
from greenroom.runtimes.docker import daemon
from greenroom.runtimes.docker.builder import DockerBuilder

PRINT_EVERY_S: Final = 20.0
"""The time between two lines of progress if the output is not a terminal."""


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    try:
        asyncio.run(_run(arguments))
    except (GreenroomError, RuntimeUnavailable) as error:
        print(f"\nimages/build: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


async def _run(arguments: list[str]) -> None:
    docker = daemon.connect(os.environ.get("DOCKER_HOST"))
    try:
        builder = DockerBuilder(docker)
        base = os.environ.get("BASE", "")
        if arguments[:1] == ["--base"]:
            print(base or await _base_image(builder, arguments[1], Path(arguments[2])))  # noqa: T201
            return
        for image in _images(arguments or list(shelf.FLAVORS)):
            await _show(image.reference, build.make(builder, image, base))
    finally:
        await docker.close()


def _images(names: list[str]) -> list[shelf.RecipeImage]:
    images: list[shelf.RecipeImage] = []
    for name in names:
        if name in shelf.FLAVORS:
            images.append(shelf.flavor(name))
        elif name == "catalogue":
            images += [shelf.image_of(recipe) for recipe in shelf.all_recipes()]
        else:
            images.append(shelf.image_of(shelf.find(name)))
    return images


async def _base_image(builder: DockerBuilder, repository: str, folder: Path) -> str:
    name = build.base_name(repository, folder)
    if await builder.labels(name) is None:
        await _show(name, _as_progress(build.build_base(builder, name, folder)))
    return name


async def _as_progress(steps: AsyncIterator[str]) -> AsyncIterator[build.BuildProgress]:
    async for step in steps:
        yield build.BuildProgress(0, step)


async def _show(title: str, steps: AsyncIterator[build.BuildProgress]) -> None:
    """Show the progress and the duration of a build: on a terminal one line that changes, otherwise a line every
    `PRINT_EVERY_S`. Nothing is shown for a build without steps."""
    began = printed = time.monotonic()
    is_terminal = sys.stderr.isatty()
    has_steps = False
    async for progress in steps:
        now = time.monotonic()
        if not has_steps or is_terminal or now - printed > PRINT_EVERY_S:
            printed = now
            _print_line(f"{title} … {now - began:.0f} s · {progress.percent} % · {progress.step[:60]}", is_terminal)
        has_steps = True
    if has_steps:
        _print_line(f"{title}: {time.monotonic() - began:.0f} s\n", is_terminal)


def _print_line(line: str, is_terminal: bool) -> None:
    sys.stderr.write(f"\r\033[K    {line}" if is_terminal else f"    {line.rstrip()}\n")
    sys.stderr.flush()
