"""Probing pages that are not ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from greenroom.core.sessions import SessionSpec
from greenroom.runtimes.probe import Prober

SPEC = SessionSpec(image="i", image_id="i", credential="secret", protocol="http")


@asynccontextmanager
async def page(answer: Callable[[bytes], bytes], heads: list[bytes]) -> AsyncIterator[str]:
    """A page at host:port that answers the head of each request; `heads` has what was asked."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer(heads[-1]))
        await writer.drain()
        if not heads[-1].startswith(b"GET"):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"


async def test_a_cookie_of_one_page_never_reaches_another():
    heads: list[bytes] = []
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    prober = Prober()
    async with page(lambda _: answer, heads) as one, page(lambda _: answer, heads) as other:
        for address in (one, one, other):
            assert (await prober.probe(address, SPEC)).usable
    await prober.close()
    assert len(heads) == 3
    assert not [head for head in heads if b"cookie" in head.lower()]


async def test_a_body_without_end_is_not_waited_for():
    def answer(head: bytes) -> bytes:
        if head.startswith(b"HEAD"):
            return b"HTTP/1.1 405 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"

    prober = Prober()
    async with page(answer, []) as address:
        assert (await prober.probe(address, SPEC, timeout_s=3)).usable
    await prober.close()
