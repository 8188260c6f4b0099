"""`logs tail` follows the server's events, and polls if there are none."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from itertools import islice, repeat
from typing import Any, cast

import httpx
import pytest

from greenroom.cli import logs
from greenroom.cli.client import ApiError, Client
from greenroom.cli.server import Server


def row(number: int) -> dict[str, Any]:
    return {"log_id": number, "time": f"2026-01-01T00:00:{number:02}+00:00"}


class Deployment:
    """A deployment with a new row for every request for rows; `events` is the content of the stream of events."""

    def __init__(self, events: httpx.Response) -> None:
        self.events = events
        self.asked = 0
        self.away = False

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("refused")
        if request.url.path == "/api/v1/events":
            return self.events
        self.asked += 1
        return httpx.Response(200, json=[row(number) for number in range(self.asked, 0, -1)])


def follow(deployment: Deployment, number: int) -> list[int]:
    server = Server("https://greenroom.example", "key", "secret", tls=ssl.create_default_context(), is_local=False)
    with Client(server, httpx.MockTransport(deployment.answer)) as client:
        return [found["log_id"] for found in islice(logs.follow_rows(client, {}, 20), number)]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    made: list[float] = []
    monkeypatch.setattr(time, "sleep", made.append)
    return made


def test_every_event_of_the_log_is_a_reason_to_look(pauses: list[float]):
    said = ": connected\n\nid: 1\ndata: {}\n\n".replace("{}", '{"topic": "logs", "id": ""}')
    said += 'id: 2\ndata: {"topic": "session", "id": "s"}\n\nid: 3\nevent: resync\ndata: {}\n\n: alive\n\n'
    deployment = Deployment(httpx.Response(200, text=said))
    assert follow(deployment, 5) == [1, 2, 3, 4, 5]
    assert deployment.asked == 5, "at first, when connected, on the row, on resync, on the sign of life"
    assert pauses == []


@pytest.mark.parametrize(
    "events", [httpx.Response(403, json={"detail": "no", "code": "forbidden"}), httpx.Response(200)]
)
def test_without_events_it_asks_every_second(events: httpx.Response, pauses: list[float]):
    assert follow(Deployment(events), 4) == [1, 2, 3, 4]
    assert pauses == [logs.POLL_S] * 3


def test_it_ends_with_a_sentence_when_the_server_is_away(pauses: list[float]):
    deployment = Deployment(httpx.Response(200))
    server = Server("https://greenroom.example", "key", "secret", tls=ssl.create_default_context(), is_local=False)
    with Client(server, httpx.MockTransport(deployment.answer)) as client:
        rows = logs.follow_rows(client, {}, 20)
        next(rows)
        deployment.away = True
        with pytest.raises(ApiError, match="does not answer"):
            next(rows)
    assert logs.POLL_S in pauses


def test_following_the_log_shows_each_row_once_also_a_late_one():
    def at(number: int, second: int) -> dict[str, Any]:
        return row(second) | {"log_id": number}

    pages = iter([[at(3, 30), at(2, 20), at(1, 10)], [at(5, 31), at(3, 30)], [at(5, 31), at(4, 29), at(3, 30)]])
    queries: list[dict[str, Any]] = []

    class Sent:
        def rows(self, path: str, query: dict[str, Any], limit: int | None = None) -> list[dict[str, Any]]:
            queries.append(query)
            return next(pages)

        def changes(self, topic: str) -> Iterator[None]:
            yield from repeat(None)

    rows = logs.follow_rows(cast("Client", Sent()), {"level": "INFO"}, 2)
    assert [next(rows)["log_id"] for _ in range(4)] == [2, 3, 5, 4]
    assert queries[1] == {"level": "INFO", "since": "2026-01-01T00:00:20+00:00"}
