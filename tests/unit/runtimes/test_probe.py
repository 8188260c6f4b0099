"""Probes of pages, without a container: foreign pages, and the interval for pages of Greenroom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import httpx2
import pytest
from websockets.protocol import State

from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.runtimes.contract import ScreenshotError
from greenroom.runtimes.probe import PAGE_SERVER, Prober, _OpenScreen

SPEC = SessionSpec(image="i", image_id="i", credential="secret", protocol="http")


@asynccontextmanager
async def page(answer: Callable[[bytes], bytes], heads: list[bytes]) -> AsyncGenerator[str]:
    """A page at host:port that answers the head of each request; `heads` has the received heads."""

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
            assert (await prober.probe(address, SPEC, timeout_s=20)).usable
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
        assert (await prober.probe(address, SPEC, timeout_s=20)).usable
    await prober.close()


def moved(location: bytes) -> bytes:
    return b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def our_page(websocket: bytes) -> Callable[[bytes], bytes]:
    """A page that identifies itself as Greenroom's, with the answer of its websocket."""
    ours = f"HTTP/1.1 200 OK\r\nServer: {PAGE_SERVER}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    return lambda head: websocket if b"websockify" in head else ours


@pytest.mark.parametrize("location", [b"mailto:x", b"http://[/", b"ws://a:99999/", b"ws://\xc3\x9f..x/"])
async def test_a_page_that_answers_nonsense_is_only_unusable(location: bytes):
    prober = Prober()
    async with page(lambda _: moved(location), []) as address:
        await prober.probe(address, SPEC)
        with pytest.raises(ScreenshotError):
            await prober.screenshot(address, SPEC, 100, 100)
    async with page(our_page(moved(location)), []) as address:
        assert not (await prober.probe(address, SPEC)).usable
        with pytest.raises(ScreenshotError):
            await prober.screenshot(address, SPEC, 100, 100)
    await prober.close()


async def test_what_is_said_of_an_answer_is_short_however_long_it_is():
    prober = Prober()
    async with page(lambda _: b"\xff" * 50_000 + b"\r\n\r\n", []) as address:
        result = await prober.probe(address, SPEC, timeout_s=20)
    await prober.close()
    assert result.error.startswith("The session's page does not answer on port 6901 (http): illegal")
    assert len(result.error) < 400


async def test_a_page_does_not_lead_the_host_to_another_place():
    asked: list[bytes] = []
    prober = Prober()
    async with page(lambda _: b"HTTP/1.1 404 No\r\n\r\n", asked) as inside:
        async with page(lambda _: moved(f"http://{inside}/".encode()), []) as address:
            await prober.probe(address, SPEC)
        async with page(our_page(moved(f"ws://{inside}/".encode())), []) as address:
            await prober.probe(address, SPEC)
    await prober.close()
    assert asked == []


async def test_a_page_that_refuses_is_not_silent_and_one_that_hangs_is():
    prober = Prober()
    async with page(lambda _: b"", []) as address:
        pass
    refused = await prober.probe(address, SPEC, timeout_s=20)
    assert (refused.usable, refused.timed_out) == (False, False)

    accepted = asyncio.Event()
    async with await asyncio.start_server(lambda *_: accepted.set(), "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        hung = await prober.probe(f"{host}:{port}", SPEC, timeout_s=2)
    assert accepted.is_set()
    assert (hung.usable, hung.timed_out) == (False, True)
    await prober.close()


class Desktop(Prober):
    """A prober of a desktop of Greenroom that does not exist; counts the requests to its page, and the openings of
    its screen."""

    painted = True
    silent = False
    asked = 0
    opened = 0
    closed = 0
    state = State.OPEN

    async def _request_page(self, address: str, spec: SessionSpec) -> httpx2.Response:
        self.asked += 1
        return httpx2.Response(200, headers={"server": PAGE_SERVER})

    async def _open(self, address: str, spec: SessionSpec) -> Any:
        self.opened += 1
        return _OpenScreen(spec.credential, cast("Any", self), cast("Any", self))

    def _close_in_background(self, connection: object) -> None:
        self.closed += 1

    async def is_painted(self) -> bool:
        if self.silent:
            self.silent = False
            await asyncio.Event().wait()
        return self.painted


async def test_a_kept_connection_is_closed_by_the_first_look_that_may_not_keep_it():
    prober = Desktop()
    for keep_connection in (True, True, True, False):
        assert (await prober.probe("h:1", SPEC, keep_connection=keep_connection)).usable
    assert (prober.opened, prober.closed) == (1, 1)
    assert (await prober.probe("h:1", SPEC)).usable
    assert (prober.opened, prober.closed) == (2, 2)


async def test_a_kept_connection_that_does_not_answer_is_replaced():
    prober = Desktop()
    assert (await prober.probe("h:1", SPEC, keep_connection=True)).usable
    prober.silent = True
    assert (await prober.probe("h:1", SPEC, keep_connection=True)).usable
    assert (prober.opened, prober.closed, prober.asked) == (2, 1, 1)


async def test_the_connection_kept_for_another_session_at_the_same_address_is_not_used():
    prober = Desktop()
    assert (await prober.probe("h:1", SPEC, keep_connection=True)).usable
    assert (await prober.probe("h:1", replace(SPEC, credential="another"), keep_connection=True)).usable
    assert (prober.opened, prober.closed) == (2, 1)


async def test_a_usable_desktops_page_is_read_again_only_if_its_screen_fails():
    prober = Desktop()
    assert [(await prober.probe("h:1", SPEC)).usable for _ in range(3)] == [True] * 3
    assert prober.asked == 1
    prober.painted = False
    assert [(await prober.probe("h:1", SPEC)).usable for _ in range(2)] == [False] * 2
    assert prober.asked == 2, "the second look is a whole one: it says what is wrong"
    prober.painted = True
    assert (await prober.probe("h:1", SPEC)).usable
    assert prober.asked == 3
    await prober.close()


async def test_another_session_at_the_same_address_is_looked_at_as_a_whole():
    prober = Desktop()
    for spec in (SPEC, replace(SPEC, credential="another")):
        assert (await prober.probe("h:1", spec)).usable
    assert prober.asked == 2
    await prober.close()


def status(line: bytes) -> Callable[[bytes], bytes]:
    return lambda _: b"HTTP/1.1 " + line + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"200 OK", ""),
        (b"302 Found", ""),
        (b"426 Upgrade Required", ""),
        (
            b"400 Bad",
            "The session's page answered 400 over http; set the workspace's Protocol to https if it serves https.",
        ),
        (b"401 No", "The session's page refused the session's credential."),
        (b"502 Bad Gateway", "The session's page answered 502."),
    ],
)
async def test_a_page_of_others_is_usable_when_what_is_asked_for_answers(line: bytes, error: str):
    heads: list[bytes] = []
    spec = replace(SPEC, page_path="/desktop/x/", ready_path="websocket")
    prober = Prober()
    async with page(status(line), heads) as address:
        result = await prober.probe(address, spec, timeout_s=20)
    await prober.close()
    assert (result.usable, result.error) == (not error, error)
    assert heads[0].startswith(b"HEAD /desktop/x/websocket HTTP")


async def test_a_page_that_knows_only_get_is_asked_so():
    def answer(head: bytes) -> bytes:
        line = b"404 Not Found" if head.startswith(b"HEAD") else b"200 OK"
        return b"HTTP/1.1 " + line + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    prober = Prober()
    async with page(answer, []) as address:
        assert (await prober.probe(address, SPEC, timeout_s=20)).usable
    await prober.close()


async def test_https_at_a_port_without_it_is_named():
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    prober = Prober()
    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        result = await prober.probe(f"{host}:{port}", replace(SPEC, protocol="https", port=3000), timeout_s=20)
    await prober.close()
    assert (
        result.error
        == "Port 3000 of the container does not serve https; set the workspace's Protocol to http if it serves http."
    )
