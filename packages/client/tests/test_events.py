"""Events of a deployment: the decoding of their lines, and a limited number of reconnects after a lost connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice

import httpx
import pytest

from greenroom.client import AsyncGreenroom, Event, Forbidden, Greenroom, Interrupted, Retries

PAST = 'id: 1\ndata: {"topic": "logs", "id": "", "at": "2026-01-02T03:04:05+00:00"}\n\n'
NEW = 'id: 1\ndata: {"topic": "session", "id": "s"}\n\n'
MISSED = "id: 1\nevent: resync\ndata: {}\n\n"
CONNECTED, ALIVE = ": connected\n\n", ": alive\n\n"
AT_ONCE = Retries(attempts=3, first_wait_s=0.0)


class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A text, followed by the end of the connection, which is an error if `cut` is set."""

    def __init__(self, text: str, *, cut: bool) -> None:
        self._text, self._cut = text, cut

    def __iter__(self) -> Iterator[bytes]:
        yield self._text.encode()
        if self._cut:
            raise httpx.ReadError("the line was cut")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self:
            yield part


def server(*texts: str, asked: list[httpx.Request], cut: bool = True) -> httpx.MockTransport:
    """Return a server: each connection gets the next text, and further connections the last one."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, stream=Stream(texts[min(len(asked), len(texts)) - 1], cut=cut))

    return httpx.MockTransport(answer)


def sync_client(transport: httpx.MockTransport) -> Greenroom:
    return Greenroom("https://desk.example", "key", "secret", retries=AT_ONCE, transport=transport)


def followed(transport: httpx.MockTransport, number: int, last: int = 0) -> list[Event]:
    return list(islice(sync_client(transport).events(last), number))


def followed_by_asyncio(transport: httpx.MockTransport, number: int, last: int = 0) -> list[Event]:
    async def run() -> list[Event]:
        client = AsyncGreenroom("https://desk.example", "key", "secret", retries=AT_ONCE, transport=transport)
        found: list[Event] = []
        async for event in client.events(last):
            found.append(event)
            if len(found) == number:
                return found
        return found

    return asyncio.run(run())


Follow = Callable[..., list[Event]]
both = pytest.mark.parametrize("follow", [followed, followed_by_asyncio])


@both
def test_events_are_followed_over_a_lost_connection(follow: Follow):
    asked: list[httpx.Request] = []
    events = follow(server(PAST + CONNECTED + NEW, CONNECTED + MISSED + ALIVE + NEW, asked=asked), 4, last=5)
    assert [(event.topic, event.id) for event in events] == [
        ("logs", ""),
        ("session", "s"),
        ("resync", ""),
        ("session", "s"),
    ]
    assert events[0].at is not None
    first, second = asked
    assert (first.url.params.get("last"), "last-event-id" in first.headers) == ("5", False)
    assert (second.url.params.get("last"), second.headers["last-event-id"]) == (None, "0")


@both
@pytest.mark.parametrize(("cut", "reason"), [(True, "the line was cut"), (False, "The server ended the connection")])
def test_connections_over_which_nothing_comes_are_given_up(follow: Follow, cut: bool, reason: str):
    asked: list[httpx.Request] = []
    with pytest.raises(Interrupted, match=f"{reason}.*lost in a row: 3"):
        follow(server(CONNECTED + NEW, CONNECTED, asked=asked, cut=cut), 9)
    assert len(asked) == 3


@both
def test_a_refusal_is_final(follow: Follow):
    problem = {"detail": "no", "code": "forbidden"}
    with pytest.raises(Forbidden):
        follow(httpx.MockTransport(lambda _: httpx.Response(403, json=problem)), 1)


def recent(transport: httpx.MockTransport) -> list[Event]:
    return sync_client(transport).recent_events(5)


def recent_by_asyncio(transport: httpx.MockTransport) -> list[Event]:
    return asyncio.run(AsyncGreenroom("https://desk.example", "key", "secret", transport=transport).recent_events(5))


@pytest.mark.parametrize("ask", [recent, recent_by_asyncio])
def test_the_last_events_end_where_the_connection_is_there(ask: Callable[[httpx.MockTransport], list[Event]]):
    events = ask(server(PAST + NEW + CONNECTED + NEW, asked=[]))
    assert [event.topic for event in events] == ["logs", "session"]
