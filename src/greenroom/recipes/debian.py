"""The base of images: a Debian root made of the packages of this machine's apt sources, so that no registry is needed.

The programs of an image are named in a folder: `packages`, a line each, and `excludes`, those of their files that no
session opens.
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
import re
import shutil
from asyncio import StreamReader
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final, cast

from greenroom.recipes.shelf import lines
from greenroom.runtimes.contract import Builder, BuildError

APT: Final = Path("/etc/apt")
CHUNK_BYTES: Final = 1 << 18
NO_BASE: Final = (
    "An image needs Debian packages: install mmdebstrap (on Debian or Ubuntu: apt-get install mmdebstrap), or name a"
    " base image that can be reached, like BASE=debian:bookworm-slim."
)


def suite() -> str:
    """The release of Debian or Ubuntu whose packages this machine has."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "bookworm")


def name_of(repository: str, folder: Path) -> str:
    """The base of what lies in `folder`, as this machine makes it."""
    parts = [suite(), *lines(folder / "packages"), "", *lines(folder / "excludes")]
    return f"{repository}:{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:16]}"


async def make(builder: Builder, name: str, folder: Path) -> AsyncGenerator[str]:
    """Make the base `name_of` a folder; the steps, as mmdebstrap words them.

    Raises:
        BuildError: it cannot be made here, or a step failed.
    """
    if shutil.which("mmdebstrap") is None:
        raise BuildError(NO_BASE)
    command = await _command(folder)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    stdout, stderr = cast("StreamReader", process.stdout), cast("StreamReader", process.stderr)
    taking = asyncio.create_task(builder.tree(_pieces(stdout)))

    def end_if_not_taken(done: asyncio.Task[str]) -> None:
        # Its output is not read any more, so that it would not end.
        if process.returncode is None and (done.cancelled() or done.exception()):
            process.kill()

    taking.add_done_callback(end_if_not_taken)
    last = ""
    try:
        async for line in stderr:
            if text := line.decode(errors="replace").strip():
                last = text
                yield re.sub(r"^I: ", "", text)
        image, code = await taking, await process.wait()
    finally:
        taking.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code:
        raise BuildError(f"The Debian packages could not be put together: {last.rstrip('.')}.")
    await builder.name(image, name)


async def _command(folder: Path) -> list[str]:
    release = suite()
    files = [APT / "sources.list", *sorted((APT / "sources.list.d").glob("*.*"))]
    sources = [str(file) for file in files if file.is_file() and release in file.read_text()]
    excluded = [f"--dpkgopt=path-exclude={line}" for line in lines(folder / "excludes")]
    return [
        *("mmdebstrap", "--variant=minbase", f"--include={','.join(lines(folder / 'packages'))}"),
        '--aptopt=APT::Install-Recommends "false"',
        *[f"--aptopt={line}" for line in await _apt_options()],
        *excluded,
        *(release, "-", *sources),
    ]


async def _apt_options() -> list[str]:
    """How this machine reaches its sources."""
    process = await asyncio.create_subprocess_exec("apt-config", "dump", stdout=PIPE)
    dump, _ = await process.communicate()
    return [line for line in dump.decode().splitlines() if re.match(r"Acquire::(Check-|https?::|Retries)", line)]


async def _pieces(stream: StreamReader) -> AsyncGenerator[bytes]:
    while piece := await stream.read(CHUNK_BYTES):
        yield piece
