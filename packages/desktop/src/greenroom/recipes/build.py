"""Builds the image of a recipe on this host: the shared base from Debian packages, then the layer of the recipe.

Two files of a folder define a base image: `packages` lists the Debian packages, and `excludes` the files of these
packages that are not installed, because no session uses them.

An image has the labels `greenroom.recipe`, the digest of all its inputs, and `greenroom.base`, the name of its base
image. An image with the current values of both labels is not built again.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import platform
import re
import shutil
import tarfile
import zipfile
from asyncio import StreamReader
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from greenroom.recipes.shelf import BASE, RecipeImage, files_of, lines
from greenroom.runtimes.contract import Builder, BuildError

APT: Final = Path("/etc/apt")
ENDINGS: Final = (".list", ".sources")
"""The endings of the files with package sources; apt ignores other files."""
CHUNK_BYTES: Final = 1 << 18
NO_BASE_MESSAGE: Final = (
    "An image requires Debian packages: install mmdebstrap with `sudo greenroom host setup`, or set a"
    " base image that can be reached, such as BASE=debian:bookworm-slim."
)


def suite() -> str:
    """Return the codename of the Debian or Ubuntu release of this machine, such as `bookworm`."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "bookworm")


def package_sources() -> list[Path]:
    """Return the files of this machine with package sources of its release."""
    files = [APT / "sources.list", *sorted((APT / "sources.list.d").glob("*.*"))]
    return [
        file
        for file in files
        if file.suffix in {".list", ".sources"} and file.is_file() and suite() in file.read_text()
    ]


def base_name(repository: str, folder: Path) -> str:
    """Return the name of the base image that this machine builds from `folder`."""
    parts = [suite(), *lines(folder / "packages"), "", *lines(folder / "excludes")]
    return f"{repository}:{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:16]}"


async def build_base(builder: Builder, name: str, folder: Path) -> AsyncGenerator[str]:
    """Build the base image of `folder`, and name it `name`. Yield the messages of mmdebstrap.

    Raises:
        BuildError: mmdebstrap is missing, or a step failed.
    """
    if shutil.which("mmdebstrap") is None:
        raise BuildError(NO_BASE_MESSAGE)
    command = await _mmdebstrap_command(folder)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    stdout, stderr = cast("StreamReader", process.stdout), cast("StreamReader", process.stderr)
    image_build = asyncio.create_task(builder.build_from_tree(_read_chunks(stdout)))

    def kill_if_unread(done: asyncio.Task[str]) -> None:
        # After a failed import nothing reads the output of mmdebstrap, so mmdebstrap would block.
        if process.returncode is None and (done.cancelled() or done.exception()):
            process.kill()

    image_build.add_done_callback(kill_if_unread)
    last_line = ""
    try:
        async for line in stderr:
            if text := line.decode(errors="replace").strip():
                last_line = text
                yield re.sub(r"^I: ", "", text)
        image, code = await image_build, await process.wait()
    finally:
        image_build.cancel()
        await asyncio.wait([image_build])
        if process.returncode is None:
            process.kill()
        await process.communicate()  # `wait` alone does not return while unread output fills the pipe
    if code:
        raise BuildError(f"The Debian packages could not be installed: {last_line.rstrip('.')}.")
    await builder.name(image, name)


async def _mmdebstrap_command(folder: Path) -> list[str]:
    excluded = [f"--dpkgopt=path-exclude={line}" for line in lines(folder / "excludes")]
    return [
        *("mmdebstrap", "--variant=minbase", f"--include={','.join(lines(folder / 'packages'))}"),
        '--aptopt=APT::Install-Recommends "false"',
        *[f"--aptopt={line}" for line in await _apt_options()],
        *excluded,
        *(suite(), "-", *(str(file) for file in package_sources())),
    ]


async def _apt_options() -> list[str]:
    """Return the options with which apt on this machine accesses its package sources."""
    process = await asyncio.create_subprocess_exec("apt-config", "dump", stdout=PIPE)
    dump, _ = await process.communicate()
    return [line for line in dump.decode().splitlines() if re.match(r"Acquire::(Check-|https?::|Retries)", line)]


async def _read_chunks(stream: StreamReader) -> AsyncGenerator[bytes]:
    while chunk := await stream.read(CHUNK_BYTES):
        yield chunk


BASE_REPOSITORY: Final = "greenroom/desktop-base"
RECIPE_LABEL: Final = "greenroom.recipe"
BASE_LABEL: Final = "greenroom.base"
PAGE: Final = BASE / "page"
"""The web page of a session. script/lib builds it from images/page; it is part of the package."""
ENCODER: Final = BASE / "encoder"
"""The folder with the library pixelflux, which encodes the screen as video. script/lib downloads the library; sessions
of an image without it have no video."""
BASE_PERCENT: Final = 50
"""The progress when the base image is complete, in a build that includes the base image."""
BASE_STEPS: Final = 12
"""The approximate number of lines that mmdebstrap writes."""
CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
PROXY_VARIABLES: Final = ("http_proxy", "https_proxy", "no_proxy")
START_SCRIPT: Final = """#!/bin/bash
# Start the application; an address or a file to open may follow.
exec {command} "$@"
"""
_STEP: Final = re.compile(r"Step ([0-9]+)/([0-9]+) : ")
_COLOR: Final = re.compile(r"\x1b\[[0-9;]*m")
"""A color code: Docker writes the errors of commands in red."""
_LINES_WITHOUT_REASON: Final = re.compile(
    r"^ ?--->|^Removing intermediate|^Step |^[+] |^Get:|^Hit:|^Selecting |^[(]?Reading |^Building dependency "
)
"""Lines that do not contain the reason of a failure: of the daemon, and of downloads of apt."""


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """The progress of a build and its current step."""

    percent: int
    step: str


async def is_built(builder: Builder, image: RecipeImage, base: str = "") -> bool:
    """True if this host has the image, built from the current recipe and the current base image."""
    labels = await builder.labels(image.reference) or {}
    return labels.get(RECIPE_LABEL) == image.digest and labels.get(BASE_LABEL) == _base_reference(base)


async def make(builder: Builder, image: RecipeImage, base: str = "") -> AsyncGenerator[BuildProgress]:
    """Build the image if it is missing or outdated. Yield the progress.

    Arguments:
        base: the base image; empty to build the base image from the Debian packages of this machine.

    Raises:
        BuildError: the build failed; the message contains the reason.
        RuntimeUnavailable: no Docker daemon answers.
    """
    if await is_built(builder, image, base):
        return
    if not (PAGE / "index.html").is_file():
        raise BuildError(
            "The session's page is not built; run images/build in the checkout once, which requires Node.js."
        )
    base_percent = 0
    if not base and await builder.labels(_base_reference(base)) is None:
        async for progress in _base_progress(builder, _base_reference(base)):
            yield progress
        base_percent = BASE_PERCENT
    last_message = ""
    arguments = {
        "BASE": _base_reference(base),
        "PACKAGES": " ".join(lines(BASE / "packages")),
        "OWN_PACKAGES": " ".join(image.packages),
        "FLAVOR": image.flavor,
        "RECIPE": image.digest,
        **{name: os.environ[name] for name in PROXY_VARIABLES if name in os.environ},
    }
    progress = BuildProgress(base_percent, "The image's own layer")
    try:
        async for written in builder.build_from_instructions(_build_context(image), image.reference, arguments):
            line = _COLOR.sub("", written)
            if step := _STEP.match(line):
                completed, total = int(step[1]) - 1, int(step[2])
                progress = BuildProgress(base_percent + (100 - base_percent) * completed // total, progress.step)
                yield progress
            elif line.strip() and not _LINES_WITHOUT_REASON.match(line):
                last_message = line.strip()
                progress = BuildProgress(progress.percent, last_message)
                yield progress
    except BuildError as error:
        reason = last_message if last_message and "returned a non-zero code" in error.message else error.message
        raise BuildError(f"The image {image.reference} could not be built: {reason.rstrip('.')}.") from error
    yield BuildProgress(100, "Done")


async def _base_progress(builder: Builder, name: str) -> AsyncGenerator[BuildProgress]:
    count = 0
    async for step in build_base(builder, name, BASE):
        count += 1
        yield BuildProgress(min(BASE_PERCENT - 1, BASE_PERCENT * count // BASE_STEPS), f"Debian packages: {step}")


def _base_reference(chosen: str) -> str:
    return chosen or base_name(BASE_REPOSITORY, BASE)


def _build_context(image: RecipeImage) -> bytes:
    """Return a tar archive with the Dockerfile and all files that it copies."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("own", "install", "encoder"):  # the Dockerfile copies them even if there are no such files
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, content in _context_files(image):
            entry = tarfile.TarInfo(name)
            # The mode of the file on this machine is not used: some package formats do not preserve it.
            entry.mode = 0o755 if content.startswith(b"#!") else 0o644
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _context_files(image: RecipeImage) -> Iterator[tuple[str, bytes]]:
    for name in ("Dockerfile", "own-packages"):
        yield name, (BASE / name).read_bytes()
    yield from _files_below(BASE / "rootfs", "rootfs")
    yield from _files_below(PAGE, "page")
    for wheel in ENCODER.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            yield from ((f"encoder/{name}", archive.read(name)) for name in archive.namelist() if name[-1] != "/")
    for folder in image.folders:
        yield from _files_below(folder / "rootfs", "own")
        yield from _files_below(folder / "install", "install")
        if (folder / "install").is_dir() and CERTIFICATES.is_file():
            yield "install/authorities.pem", CERTIFICATES.read_bytes()
    if image.application:
        yield "own/opt/greenroom/application", START_SCRIPT.format(command=image.application.command).encode()


def _files_below(folder: Path, into: str) -> Iterator[tuple[str, bytes]]:
    for file in files_of(folder):
        yield f"{into}/{file.relative_to(folder)}", file.read_bytes()
