"""The programs of the session's page, served on a socket of this machine for tests of one of its folders."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
from protocol import BadRequestError, Request  # type: ignore[import-not-found]  -- of the image

Answer = Callable[[Any, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def served(answer: Answer) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a page that answers each request with this handler."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(Request(await reader.readuntil(b"\r\n\r\n")), reader, writer)
        except (OSError, EOFError, BadRequestError):
            pass  # as the page has it: this connection has ended
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 18)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("protocol.DISCARD_S", 0.05)
        async with server, httpx2.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
            yield client
