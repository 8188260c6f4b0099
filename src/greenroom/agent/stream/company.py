"""Who is in the sessions of this host besides their users: reported to the api whenever it changes.

A guest is there while a connection that they opened exists, or was opened a moment ago. Pages reconnect, so one whose
connections are all gone has left only some seconds later.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Set
from typing import Final

import structlog

from greenroom.agent.stream.viewers import Client, Viewer, Viewers
from greenroom.core.errors import Unavailable
from greenroom.core.session.visits import Connection
from greenroom.kit.concurrency import wait_for
from greenroom.kit.tcp import connected
from greenroom.wire.viewers import Watched, Watcher

log = structlog.get_logger(__name__)

LOOK_S: Final = 2.0
AWAY_S: Final = 6.0
"""A page tries to come back every five seconds at most."""

Send = Callable[[Watched], Awaitable[bool]]
"""Reports to the api; False = the session is not here any more, and no one needs to know. Raises Unavailable."""


class Company:
    """Looks after the guests among `viewers`; `look` returns which of these connections exist."""

    def __init__(
        self,
        viewers: Viewers,
        send: Send,
        clock: Callable[[], float] = time.monotonic,
        look: Callable[[Set[Connection]], Set[Connection]] = connected,
    ) -> None:
        self._viewers = viewers
        self._send = send
        self._clock = clock
        self._look = look
        self._seen: dict[str, float] = {}
        """viewer_id → when a connection of theirs was there last."""
        self._reported: dict[str, tuple[Watcher, ...] | None] = {v.shows: None for v in viewers.guests}
        """session_id → what the api was sent; None = an earlier process sent it something."""
        self._news = asyncio.Event()

    def opened(self, viewer: Viewer, client: Client) -> None:
        """A guest opens a connection."""
        self._viewers.came(viewer, client)
        self._seen[viewer.viewer_id] = self._clock()
        self.changed()

    def changed(self) -> None:
        """Someone came, or was put out."""
        self._news.set()

    async def run(self) -> None:
        while True:
            await wait_for(self._news, LOOK_S if self._reported or self._viewers.guests else None)
            self._news.clear()
            await self.look()

    async def look(self) -> None:
        """Find out who is there, and report what changed."""
        there = await self._there()
        for session_id in {*there, *self._reported}:
            watchers = tuple(sorted(there.get(session_id, ()), key=lambda one: one.viewer_id))
            if self._reported.get(session_id, ()) == watchers:
                continue
            try:
                known = await self._send(Watched(session_id=session_id, watchers=list(watchers)))
            except Unavailable as error:  # reported at the next look
                log.warning("who is in a session could not be reported", session_id=session_id, reason=error.message)
                continue
            self._reported[session_id] = watchers
            if not watchers or not known:
                del self._reported[session_id]

    async def _there(self) -> dict[str, list[Watcher]]:
        guests = self._viewers.guests
        wanted = frozenset(connection for guest in guests for connection in guest.connections)
        gone = wanted - await asyncio.to_thread(self._look, wanted) if wanted else wanted
        now_s, found = self._clock(), defaultdict[str, list[Watcher]](list)
        for guest in guests:
            guest.connections = [connection for connection in guest.connections if connection not in gone]
            if guest.connections:
                self._seen[guest.viewer_id] = now_s
            if now_s - self._seen.get(guest.viewer_id, float("-inf")) < AWAY_S:
                found[guest.shows].append(Watcher(viewer_id=guest.viewer_id, client=guest.client))
        present = {guest.viewer_id for guest in guests}
        self._seen = {viewer_id: at for viewer_id, at in self._seen.items() if viewer_id in present}
        return found
