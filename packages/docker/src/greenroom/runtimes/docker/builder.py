"""Creates images with a Docker daemon: from a file tree, or from the instructions in a build context."""

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
"""CPU shares of a build; a container without shares has 1024. Sessions on the host keep their speed."""
ALONE: Final = "\0greenroom-builds"
"""Name of a socket that only one process of this host can bind; it is free again when that process ends."""
POLL_S: Final = 1.0


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
                await asyncio.sleep(POLL_S)  # there is no notification
            else:
                break
        yield


class DockerBuilder:
    """`contract.Builder` of the daemon of the connection `docker`."""

    def __init__(self, docker: aiodocker.Docker) -> None:
        self._docker: Any = docker

    async def labels(self, image: str) -> dict[str, str] | None:
        """The labels of an image; None = it is not here."""
        async with translated(read_only=True):
            try:
                found = await self._docker.images.inspect(image)
            except aiodocker.DockerError as error:
                if error.status == 404:
                    return None
                raise
        return cast("dict[str, str]", found["Config"].get("Labels") or {})

    async def tree(self, files: AsyncIterator[bytes]) -> str:
        """Create an image from a file system as a tar; returns its id.

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
        """Build an image from a context with a Dockerfile, as a tar; yields the output of the daemon and the commands,
        by line. The commands use the host's network, because rules for sessions and the host's own rules block traffic
        of other networks.

        Raises:
            BuildError: an instruction failed; the message contains the daemon's message.
        """
        parameters = {"t": reference, "buildargs": json.dumps(dict(arguments)), "networkmode": "host", "forcerm": "1"}
        parameters["cpushares"] = str(CPU_SHARES)
        rest = ""  # the daemon forwards a command's output, which may contain half a line
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
        """Call the API directly: aiodocker has no call for the import, and none for a build with a network."""
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
        """Add a name to an image."""
        async with translated():
            repository, _, tag = reference.rpartition(":")
            await self._docker.images.tag(image, repo=repository, tag=tag)


async def _continued(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
