"""Streams of sessions that continue during an upgrade, and the page of simulated sessions."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.acceptance.instance import Instance
from tests.acceptance.open_desktop import entered, opening_of
from tests.support.played import container, make_certificate, serve
from tests.support.scratch import passing_folder
from websockets import ConnectionClosed

EVERY_S: Final = 0.1
"""The pause between two messages of a stream."""
ANSWERED_WITHIN_S: Final = 30.0


@contextmanager
def served_page() -> Generator[str]:
    """Serve the page of simulated sessions from a thread; yields its address. Its websockets echo every message."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    with passing_folder("gr-page-") as folder:
        make_certificate(folder)
        served = asyncio.run_coroutine_threadsafe(serve(container(), tls=folder), loop).result(ANSWERED_WITHIN_S)
        try:
            yield served.address
        finally:
            asyncio.run_coroutine_threadsafe(served.stop(), loop).result(ANSWERED_WITHIN_S)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


@dataclass
class Streams:
    """A stream of each session, through the gateway, on which a message goes to the session and back repeatedly."""

    instance: Instance
    session_ids: Sequence[str]
    answered: dict[str, int] = field(default_factory=dict[str, int])
    """The number of messages that came back, by session."""
    longest_s: float = 0.0
    """The longest time until a message came back."""
    cuts: list[str] = field(default_factory=list[str])

    def all_open(self) -> bool:
        """True if a message came back on every stream."""
        return len(self.answered) == len(self.session_ids)

    def run(self, ending: threading.Event) -> None:
        """Work for `beside`."""
        asyncio.run(self._run(ending))

    async def _run(self, ending: threading.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for session_id in self.session_ids:
                group.create_task(self._exchange(session_id, ending))

    async def _exchange(self, session_id: str, ending: threading.Event) -> None:
        address, cookie = await asyncio.to_thread(entered, self.instance, session_id)
        async with opening_of(self.instance, address, cookie) as websocket:
            await websocket.recv()  # the headers of its request
            try:
                while not ending.is_set():
                    begun_s = time.monotonic()
                    await websocket.send(b"here")
                    async with asyncio.timeout(ANSWERED_WITHIN_S):
                        assert await websocket.recv() == b"here"
                    self.longest_s = max(self.longest_s, time.monotonic() - begun_s)
                    self.answered[session_id] = self.answered.get(session_id, 0) + 1
                    await asyncio.sleep(EVERY_S)
            except ConnectionClosed as error:
                self.cuts.append(f"{session_id}: {error}")
