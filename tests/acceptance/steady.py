"""Launches at a steady rate during a fault, and the observations meanwhile; each in a separate thread."""

from __future__ import annotations

import asyncio
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import httpx2
import psycopg
from tests.acceptance.instance import Instance

EVERY_S: Final = 0.2
ASKED_AGAIN_S: Final = 0.1
"""The pause of a client whose launch got no session."""
ALL_SERVED_S: Final = 60.0


@contextmanager
def beside(work: Callable[[threading.Event], None]) -> Generator[None]:
    """Run this in a thread during the block, until the event is set; then raise its error."""
    ending, failures = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            work(ending)
        except BaseException as error:  # noqa: BLE001 -- raised below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
    for error in failures:
        raise error


def repeated(look: Callable[[], None], every_s: float) -> Callable[[threading.Event], None]:
    """Work for `beside`: call it repeatedly."""

    def work(ending: threading.Event) -> None:
        look()
        while not ending.wait(every_s):
            look()

    return work


@dataclass(frozen=True)
class Acknowledged:
    """A session that a client got, `waited_s` seconds after its first request."""

    at_s: float
    session_id: str
    waited_s: float


class Launches:
    """A launch of `Desktop` every EVERY_S, each by another of `users` and repeated with its key until it succeeds."""

    def __init__(self, instance: Instance, users: Iterator[str]) -> None:
        self._instance = instance
        self._users = users
        self._image_id = instance.desktop()
        self.acknowledged: list[Acknowledged] = []
        self.without: Counter[str] = Counter()
        """The requests that got no session, by their result."""

    def run(self, ending: threading.Event) -> None:
        """Work for `beside`; at the end every user has a session."""
        asyncio.run(self._run(ending))

    async def _run(self, ending: threading.Event) -> None:
        auth = (self._instance.found["api_key"], self._instance.found["api_key_secret"])
        base, tls = f"{self._instance.url}/api/v1", self._instance.ca()
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(
            base_url=base, verify=tls, auth=auth, timeout=15, limits=limits, trust_env=False
        ) as client:
            begun: list[asyncio.Task[None]] = []
            due_s = time.monotonic()
            while not ending.is_set():
                begun.append(asyncio.create_task(self._launch(client, next(self._users))))
                due_s += EVERY_S
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            async with asyncio.timeout(ALL_SERVED_S):
                await asyncio.gather(*begun)

    async def _launch(self, client: httpx2.AsyncClient, user_id: str) -> None:
        body, headers = {"image_id": self._image_id, "user_id": user_id}, {"Idempotency-Key": uuid.uuid4().hex}
        begun_s = time.monotonic()
        while True:
            try:
                answer = await client.post("/sessions", json=body, headers=headers)
            except httpx2.TransportError as error:
                self.without[type(error).__name__] += 1
            else:
                if answer.status_code == 202:
                    at_s = time.monotonic()
                    self.acknowledged.append(Acknowledged(at_s, answer.json()["session_id"], at_s - begun_s))
                    return
                assert answer.status_code in (502, 503), f"{answer.status_code} {answer.text}"
                self.without[str(answer.status_code)] += 1
            await asyncio.sleep(ASKED_AGAIN_S)

    def longest_gap_s(self, since_s: float, until_s: float) -> float:
        """The longest time without an acknowledgment."""
        times = sorted(one.at_s for one in self.acknowledged if since_s < one.at_s < until_s)
        return max(after - before for before, after in zip([since_s, *times], [*times, until_s], strict=True))


@dataclass(frozen=True)
class Said:
    """A Manager's report, between these moments, that it is Primary with this term."""

    from_s: float
    until_s: float
    manager: str
    term: int


_TERM: Final = re.compile(r"^greenroom_manager_primary_term (\S+)$", re.MULTILINE)


@dataclass
class Primaries:
    """The leadership that the Managers of an instance with one zone report."""

    instance: Instance
    said: list[Said] = field(default_factory=list[Said])

    def look(self) -> None:
        """Send a request to each Manager."""
        for manager in self.instance.found["managers"]:
            from_s = time.monotonic()
            try:
                text = httpx2.get(f"http://127.0.0.1:{manager['port']}/metrics", timeout=5, trust_env=False).text
            except httpx2.TransportError:
                continue
            found = _TERM.search(text)
            assert found is not None, f"{manager['instance_id']} says its term: {text}"
            if term := int(float(found[1])):
                self.said.append(Said(from_s, time.monotonic(), manager["instance_id"], term))

    def at_one_time(self) -> list[str]:
        """The Managers that were Primary although another one had been Primary since: their term was older than one
        seen before the request, or that of another Manager."""
        wrong: list[str] = []
        holders: dict[int, str] = {}
        for one in self.said:
            newest = max((other.term for other in self.said if other.until_s < one.from_s), default=0)
            if one.term < newest or holders.setdefault(one.term, one.manager) != one.manager:
                wrong.append(f"{one.manager} with term {one.term}, after term {newest} of {holders.get(newest)}")
        return wrong


@dataclass
class Promotion:
    """The moment from which a standby is writable; `connection` is a connection to it."""

    connection: psycopg.Connection
    at_s: float | None = None

    def look(self) -> None:
        if self.at_s is None:
            row = self.connection.execute("SELECT pg_is_in_recovery()").fetchone()
            if row == (False,):
                self.at_s = time.monotonic()
