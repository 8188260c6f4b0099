"""What the inside of a leased session offers, for programs with asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import httpx

from greenroom.client import inside, scripts
from greenroom.client.models import Change, Command, Element, Listing, Output
from greenroom.client.scripts import Send

if TYPE_CHECKING:
    from greenroom.client.asynchronous import AsyncGreenroom

TRANSFER_S: Final = 300.0
"""Limit of each wait while a file is carried."""


class AsyncInside:
    """Commands, files and elements of one session."""

    def __init__(self, greenroom: AsyncGreenroom, lease_id: str) -> None:
        self._greenroom = greenroom
        self._lease_id = lease_id
        self.files = AsyncFiles(greenroom, lease_id)

    async def exec(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        input: str | None = None,  # noqa: A002 -- as subprocess.run has it
        timeout_s: float = 60.0,
        wait_s: float | None = None,
    ) -> Command:
        """Run a command in the session and wait for its end. `timeout_s` counts from its beginning. While too many
        commands run in the session, it waits up to `wait_s` to begin (0 to 60; None = 10; 0 = fail at once).

        Raises:
            GreenroomError: it cannot be run (`Invalid`), may not be (`Forbidden`), too many run (`TooManyRequests`), …
        """
        limits = inside.CommandLimits(timeout_s=timeout_s, wait_s=wait_s)
        send = inside.command(self._lease_id, command, limits, env=env, workdir=workdir, input=input)
        return await self._greenroom.run(inside.ended(send, self._greenroom.retries))

    async def exec_stream(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        input: str | None = None,  # noqa: A002 -- as subprocess.run has it
        timeout_s: float = 3600.0,
        wait_s: float | None = None,
    ) -> AsyncGenerator[Output]:
        """The output of a command as it comes; the last one says how it ended. Closing this ends the command.
        `timeout_s` and `wait_s` as in `exec`.

        Raises:
            GreenroomError: as `exec`; the connection was broken off (`Interrupted`).
        """
        limits = inside.CommandLimits(timeout_s=timeout_s, wait_s=wait_s, is_streamed=True)
        send = inside.command(self._lease_id, command, limits, env=env, workdir=workdir, input=input)
        async for output in _said(self._greenroom, send, inside.output_of):
            yield output
            if output.has_ended:
                return
        raise inside.cut_short()

    async def tree(
        self, ref: str | None = None, *, depth: int | None = None, everything: bool = False
    ) -> list[dict[str, Any]]:
        """What programs say of the elements of their windows; `ref` = only those below this one."""
        script = inside.elements(self._lease_id, ref, depth, everything, self._greenroom.retries)
        return await self._greenroom.run(script)

    async def find(self, role: str | None = None, name: str | None = None, *, below: str | None = None) -> Element:
        """The first element with this role and name, of all or of those below one (`ref`).

        Raises:
            NotFound: there is none.
        """
        script = inside.first(self._lease_id, role, name, below, self._greenroom.retries)
        return await self._greenroom.run(script)

    async def find_all(
        self, role: str | None = None, name: str | None = None, *, below: str | None = None
    ) -> list[Element]:
        """All elements with this role and name."""
        script = inside.found(self._lease_id, role, name, below, self._greenroom.retries)
        return await self._greenroom.run(script)


class AsyncFiles:
    """Files of a session; paths are below its home folder."""

    def __init__(self, greenroom: AsyncGreenroom, lease_id: str) -> None:
        self._greenroom = greenroom
        self._lease_id = lease_id

    async def read(self, path: str) -> bytes:
        """A file. Raises GreenroomError: there is none (`NotFound`), …"""
        return await self._content(path)

    async def write(self, path: str, content: bytes | str) -> str:
        """Write a file, with the folders above it; returns its path."""
        return await self._written(path, content)

    async def list(self, path: str = "") -> Listing:
        """What lies in a folder."""
        return await self._greenroom.run(inside.listing(self._lease_id, path, self._greenroom.retries))

    async def make_folder(self, path: str) -> str:
        """Make a folder, with those above it; returns its path."""
        return await self._written(f"{path.rstrip('/')}/", b"")

    async def delete(self, path: str, *, recursive: bool = False) -> None:
        """Delete a file or an empty folder; with `recursive` any folder."""
        flags = ("recursive",) if recursive else ()
        send = inside.file(self._lease_id, "DELETE", path, *flags)
        await self._greenroom.run(scripts.answered(send, self._greenroom.retries))

    async def read_tar(self, path: str) -> bytes:
        """A folder as a tar."""
        return await self._content(path, "tar")

    async def write_tar(self, path: str, content: bytes) -> str:
        """Unpack a tar into a folder; returns its path."""
        return await self._written(path, content, "tar")

    def watch(self, path: str = "") -> AsyncGenerator[Change]:
        """What changes below a folder, as it happens, without end."""
        events = inside.ChangeReader()
        send = inside.file(self._lease_id, "GET", path, "watch", is_streamed=True)
        return _said(self._greenroom, send, events.take)

    async def _content(self, path: str, *flags: str) -> bytes:
        script = inside.content(self._lease_id, path, self._greenroom.retries, *flags, timeout_s=TRANSFER_S)
        return await self._greenroom.run(script)

    async def _written(self, path: str, content: bytes | str, *flags: str) -> str:
        data = content.encode() if isinstance(content, str) else content
        send = inside.file(self._lease_id, "PUT", path, *flags, content=data, timeout_s=TRANSFER_S)
        return await self._greenroom.run(inside.written(send, self._greenroom.retries))


async def _said(
    greenroom: AsyncGreenroom, send: Send, take: Callable[[str], scripts.T | None]
) -> AsyncGenerator[scripts.T]:
    async with _lines(greenroom, send) as lines:
        async for line in lines:
            if (said := take(line)) is not None:
                yield said


@asynccontextmanager
async def _lines(greenroom: AsyncGreenroom, send: Send) -> AsyncGenerator[AsyncIterator[str]]:
    answer = await greenroom.run(scripts.answered(send, greenroom.retries))
    try:
        yield answer.aiter_lines()
    except httpx.HTTPError as error:
        raise inside.cut_short() from error
    finally:
        await answer.aclose()
