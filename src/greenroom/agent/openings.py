"""Who opened which stream, from where, and when they left: rows for the log.

A stream is opened at most once in a while for each viewer and address. It was left when none of the viewer's
connections to the gateway has been there for a while; the kernel's table is looked at for that, as a gateway or viewer
that ends without a word says nothing. Nothing is known of the end where this Agent was restarted meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Set
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from greenroom.agent.tcp_table import connected
from greenroom.agent.viewers import Viewer
from greenroom.core.security_events import source_of
from greenroom.core.visits import Connection, Visit, Visits

REPEAT_S: Final = 600.0
"""A viewer who opens a session again and again, as pages do that reconnect, is one row in this time."""
MOST_REMEMBERED: Final = 10_000
LOOK_S: Final = 5.0

Write = Callable[[str, str, str], None]
"""(sentence, session_id, user_id)."""


@dataclass(frozen=True, slots=True)
class Client:
    """From where a stream is opened: `name` for people; `connection` None = the gateway did not say."""

    name: str
    connection: Connection | None


class Openings:
    """See the module.

    Args:
        opened: told of each opening that is news.
        closed: told of each visit that has ended.
        clock: time.monotonic.
        look: which of these connections are there.
    """

    def __init__(
        self,
        opened: Write,
        closed: Write,
        clock: Callable[[], float],
        look: Callable[[Set[Connection]], Set[Connection]] = connected,
    ) -> None:
        self._opened = opened
        self._closed = closed
        self._clock = clock
        self._look = look
        self._written: dict[tuple[str, str, str], float] = {}
        self._visits = Visits()
        self._news = asyncio.Event()

    def opened(self, viewer: Viewer, client: Client) -> None:
        """`viewer` opened the stream of the session they are shown."""
        now_s, key = self._clock(), (viewer.shows, viewer.token_hash, source_of(client.name))
        if client.connection is not None:
            self._visits.opened(key, Visit(viewer.shows, viewer.user_id, client.name, now_s), client.connection)
            self._news.set()
        if now_s - self._written.get(key, float("-inf")) < REPEAT_S:
            return
        self._written = {one: at for one, at in self._written.items() if now_s - at < REPEAT_S}
        if len(self._written) < MOST_REMEMBERED:
            self._written[key] = now_s
        self._opened(
            f"The stream of session {viewer.shows} was opened from {client.name}", viewer.shows, viewer.user_id
        )

    async def run(self) -> None:
        """Look who is still there, for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S if self._visits.any else None):
                    await self._news.wait()
            self._news.clear()
            await self.look()

    async def look(self) -> None:
        """Look who is still there."""
        wanted = self._visits.connections
        there = await asyncio.to_thread(self._look, wanted)
        for visit in self._visits.looked(there, wanted - there, self._clock()):
            self._closed(
                f"The stream of session {visit.session_id}, opened from {visit.client}, was left after"
                f" {visit.lasted_s:.0f} s",
                visit.session_id,
                visit.user_id,
            )


def client_of(address: str, port: str, forwarded_for: str) -> Client:
    """Where a viewer is.

    Args:
        address: that connected to the gateway beside this Agent.
        port: from which it did.
        forwarded_for: whom a gateway in front of that one says it asks for; empty = nobody is in front. A viewer who
            may connect to the edge gateway could say anything, so the address that was seen stands beside it.
    """
    try:
        connection = Connection(str(ip_address(address)), int(port))
    except ValueError:
        connection = None
    try:
        said = str(ip_address(forwarded_for))
    except ValueError:
        return Client(address or "an unknown address", connection)
    return Client(f"{said} (as {address} says)", connection)
