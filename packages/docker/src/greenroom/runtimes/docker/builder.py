"""The creation of images with a Docker daemon, from a file system or from a build context."""

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
"""The CPU shares of a build, so that it does not slow sessions down. The default of a container is 1024."""
LOCK_SOCKET: Final = "\0greenroom-builds"
"""The name of an abstract socket. Only one process of this host can bind it, until that process ends."""
POLL_S: Final = 1.0


@asynccontextmanager
async def build_lock() -> AsyncGenerator[None]:
    """Wait until no other process builds images on this host, and hold the lock for builds."""
    with socket.socket(socket.AF_UNIX) as lock_socket:
        while True:
            try:
                lock_socket.bind(LOCK_SOCKET)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                await asyncio.sleep(POLL_S)  # the end of the other process causes no event
            else:
                break
        yield


class DockerBuilder:
    """Implements `contract.Builder` with the daemon of the connection `docker`."""

    def __init__(self, docker: aiodocker.Docker) -> None:
        self._docker: Any = docker

    async def labels(self, image: str) -> dict[str, str] | None:
        """Return the labels of an image, or None if the daemon does not have it."""
        async with translated(read_only=True):
            try:
                inspection = await self._docker.images.inspect(image)
            except aiodocker.DockerError as error:
                if error.status == 404:
                    return None
                raise
        return cast("dict[str, str]", inspection["Config"].get("Labels") or {})

    async def build_from_tree(self, files: AsyncIterator[bytes]) -> str:
        """Create an image from a tar archive of a file system. Return its id.

        Raises:
            BuildError: the daemon refuses the archive.
        """
        image_id = ""
        # the daemon closes a connection without a request after 5 minutes, and the first chunk may take longer
        first = await anext(files, b"")
        async for answer in self._answers("images/create", {"fromSrc": "-"}, _prepend(first, files)):
            image_id = str(answer.get("status", image_id))
        return image_id

    async def build_from_instructions(
        self, context: bytes, reference: str, arguments: Mapping[str, str]
    ) -> AsyncIterator[str]:
        """Build an image from a tar archive with a Dockerfile. Yield the output of the daemon and the commands, by
        line.

        The commands use the host's network, because firewall rules may block other networks.

        Raises:
            BuildError: an instruction failed. The message contains the daemon's message.
        """
        parameters = {"t": reference, "buildargs": json.dumps(dict(arguments)), "networkmode": "host", "forcerm": "1"}
        parameters["cpushares"] = str(CPU_SHARES)
        incomplete_line = ""  # an answer may end inside a line
        try:
            async for answer in self._answers("build", parameters, io.BytesIO(context)):
                *lines, incomplete_line = (incomplete_line + str(answer.get("stream", ""))).split("\n")
                for line in lines:
                    yield line
        except BuildError:
            yield incomplete_line
            raise

    async def _answers(
        self, path: str, parameters: Mapping[str, str], body: io.BytesIO | AsyncIterator[bytes]
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the answers to a request, which is sent directly because aiodocker has no method for it."""
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


async def _prepend(first: bytes, remaining: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in remaining:
        yield chunk
