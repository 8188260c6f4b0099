"""Makes images with a Docker daemon: of a file tree, and of the instructions in a build context."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import aiodocker

from greenroom.runtimes.contract import BuildError
from greenroom.runtimes.docker.daemon import TAR, post
from greenroom.runtimes.docker.errors import translated

CPU_SHARES: Final = 64
"""Of a build, where a container without shares has 1024: sessions beside it keep their speed."""
ALONE: Final = "\0greenroom-builds"
"""Name of a socket that one process of this host has at a time; it is free again when that process ends."""
LOOK_AGAIN_S: Final = 1.0


@asynccontextmanager
async def alone_on_host() -> AsyncGenerator[None]:
    """Wait until no other process of this host builds."""
    with socket.socket(socket.AF_UNIX) as held:
        while True:
            try:
                held.bind(ALONE)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                await asyncio.sleep(LOOK_AGAIN_S)  # nothing announces it
            else:
                break
        yield


class DockerBuilder:
    """`contract.Builder` of the daemon that `docker` is connected to."""

    def __init__(self, docker: aiodocker.Docker) -> None:
        self._docker: Any = docker

    async def labels(self, image: str) -> dict[str, str] | None:
        """Those of an image; None = it is not here."""
        async with translated(asks=True):
            try:
                found = await self._docker.images.inspect(image)
            except aiodocker.DockerError as error:
                if error.status == 404:
                    return None
                raise
        return cast("dict[str, str]", found["Config"].get("Labels") or {})

    async def tree(self, files: AsyncIterator[bytes]) -> str:
        """Make an image of a file system, a tar; its id.

        Raises:
            BuildError: the daemon refuses it.
        """
        made = ""
        # The request is sent with its first piece, and the daemon ends a connection without a request after 5 minutes.
        first = await anext(files, b"")
        async for answer in self._answers("images/create", {"fromSrc": "-"}, _continued(first, files)):
            made = str(answer.get("status", made))
        return made

    async def instructions(self, context: bytes, reference: str, arguments: Mapping[str, str]) -> AsyncIterator[str]:
        """Make an image of a context with its Dockerfile, a tar; what the daemon and the commands write, by line. The
        commands are on the host's network: rules for sessions, and a host's own, stop what other networks ask for.

        Raises:
            BuildError: an instruction failed; in its message what the daemon says of that.
        """
        parameters = {"t": reference, "buildargs": json.dumps(dict(arguments)), "networkmode": "host", "forcerm": "1"}
        parameters["cpushares"] = str(CPU_SHARES)
        rest = ""  # the daemon passes on what a command writes, and a command may write half a line
        try:
            async for answer in self._answers("build", parameters, io.BytesIO(context)):
                *lines, rest = (rest + str(answer.get("stream", ""))).split("\n")
                for line in lines:
                    yield line
        except BuildError:
            yield rest
            raise

    async def _answers(
        self, path: str, parameters: Mapping[str, str], body: io.BytesIO | AsyncIterator[bytes]
    ) -> AsyncIterator[dict[str, Any]]:
        """aiodocker has no call for the one, and none for the other's network."""
        async with (
            translated(),
            post(self._docker, path, body, headers=TAR, params=parameters, timeout=None) as response,
        ):
            async for line in response.content:
                answer = json.loads(line)
                if "error" in answer:
                    raise BuildError(str(answer["error"]))
                yield answer

    async def name(self, image: str, reference: str) -> None:
        """Give an image one more name."""
        async with translated():
            repository, _, tag = reference.rpartition(":")
            await self._docker.images.tag(image, repo=repository, tag=tag)


async def _continued(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
