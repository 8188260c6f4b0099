"""The viewers this Agent admitted, stored in a file, so that they may return while Agent, api or database is away.

Only the hash of a token is stored. A viewer is dropped when the session's permitted viewers change. The opening of a
stream, with its viewer and origin, is logged at intervals for each viewer and address.

A guest is present while a connection that they opened exists, or was opened a moment ago. Pages reconnect, so a guest
without connections counts as gone only some seconds later.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import msgspec
import structlog

from greenroom.agent.fleet.identity import write_private
from greenroom.core.errors import Unavailable
from greenroom.core.lease import PROGRAM, USER
from greenroom.core.rate_limits import source_of
from greenroom.core.session.streams import TOKEN_OF_LEASE, AnyAccess, Grant, Permitted, still_holds
from greenroom.core.session.viewing import Connection, Visit, Visits
from greenroom.kit.concurrency import wait_for
from greenroom.kit.tcp import connected
from greenroom.wire.viewers import Watched, Watcher

log = structlog.get_logger(__name__)

FILE: Final = "viewers.json"
MAX_CONNECTIONS: Final = 50
"""Maximum number of remembered connections of one guest; older ones are closed, or are cut off with all of the
session."""


@dataclass(frozen=True, slots=True)
class StreamOrigin:
    """The origin of a stream: `name` for people; `connection` None = the gateway did not report it."""

    name: str
    connection: Connection | None


class Viewer(msgspec.Struct, kw_only=True):
    """One token that was accepted for a session.

    `shows` is the session whose desktop it shows: the session itself, or its replacement. `address` is the last
    upstream address of its page; `path` is the path of its stream if another Agent runs it; `confirmed_at` and `ttl_s`
    are seconds (time.monotonic, of this boot).
    """

    session_id: str
    token_hash: str
    shows: str
    user_id: str
    epoch: int
    confirmed_at: float
    ttl_s: float
    address: str
    path: str = ""
    database: str = ""
    """The database whose list permitted it (`Grant.database`)."""
    viewer_id: str = ""
    """The id of a guest in the desired list; empty for the session's user and their programs."""
    access: AnyAccess = "control"
    leased: bool = False
    """True if a program has leased the session."""
    client: str = ""
    """The last origin of a guest, for people."""
    connections: list[Connection] = []
    """The connections of a guest that may still exist, so that they can be cut off individually."""

    @property
    def watches(self) -> bool:
        """True if the viewer may only watch."""
        return self.access == "view"

    @property
    def is_program(self) -> bool:
        """True if the viewer has a token of the session's lease: the program's or the api's."""
        return self.access in TOKEN_OF_LEASE

    @property
    def controller(self) -> str:
        """The name of the viewer in the page of a leased session (core.lease); empty if the session is not leased."""
        if self.is_program:
            return PROGRAM
        return (self.viewer_id or USER) if self.leased else ""

    @property
    def grant(self) -> Grant:
        return Grant(
            user_id=self.user_id,
            epoch=self.epoch,
            viewer_id=self.viewer_id,
            access=self.access,
            database=self.database,
        )


def token_hash(token: str) -> str:
    """The stored form of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


class Viewers:
    """The table of viewers, written to `folder` after every change of its members, if possible; the change does not
    wait for it.

    An admission waits until it was written (`saved`): after a crash of this process a revocation must find the viewer's
    streams. Nothing waits for the disk: a power cut ends the streams as well.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._viewers: dict[tuple[str, str], Viewer] = {}
        self._changes = self._written = 0
        self._wrote = asyncio.Event()
        self._saving: asyncio.Task[None] | None = None
        for viewer in self._stored():
            self._viewers[viewer.session_id, viewer.token_hash] = viewer

    def _stored(self) -> list[Viewer]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=list[Viewer])
        except (FileNotFoundError, msgspec.DecodeError):  # at worst, a viewer is checked again
            return []

    def get(self, session_id: str, token: str) -> Viewer | None:
        return self._viewers.get((session_id, token_hash(token)))

    def add(self, viewer: Viewer) -> None:
        self._viewers[viewer.session_id, viewer.token_hash] = viewer
        self._save()

    def moved(self, viewer: Viewer, address: str) -> None:
        viewer.address = address
        self._save()

    def keep(self, wanted: Callable[[Viewer], bool]) -> None:
        """Drop all viewers that are not `wanted`; on disk with the next change."""
        self._viewers = {key: viewer for key, viewer in self._viewers.items() if wanted(viewer)}

    @property
    def guests(self) -> list[Viewer]:
        return [viewer for viewer in self._viewers.values() if viewer.viewer_id]

    def add_connection(self, viewer: Viewer, client: StreamOrigin) -> None:
        """Store a new connection of a guest."""
        if client.connection in viewer.connections:
            return
        viewer.client = client.name
        if client.connection is not None:
            viewer.connections = [*viewer.connections[1 - MAX_CONNECTIONS :], client.connection]
        self._save()

    def forget_revoked(self, session_id: str, permitted: Permitted | None) -> list[Viewer]:
        """Drop and return the viewers who see `session_id` and are not permitted any more."""
        revoked = [v for v in self._viewers.values() if v.shows == session_id and not still_holds(v.grant, permitted)]
        for viewer in revoked:
            del self._viewers[viewer.session_id, viewer.token_hash]
        if revoked:
            self._save()
        return revoked

    def _save(self) -> None:
        self._changes += 1
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._write(), name="viewers")

    async def _write(self) -> None:
        """Write the table. A full disk excludes no viewer and admits none: revoked viewers are still disconnected."""
        while self._written < self._changes:
            number = self._changes
            content = msgspec.json.encode(list(self._viewers.values()))
            try:
                await asyncio.to_thread(write_private, self._file, content, survives_power_cut=False)
            except OSError as error:
                log.warning(
                    "the admitted viewers cannot be stored for a restart", file=str(self._file), reason=str(error)
                )
            self._written = number
            self._wrote.set()
            self._wrote = asyncio.Event()

    async def saved(self) -> None:
        """Wait until the file has the changes up to now, without later changes."""
        number = self._changes
        while self._written < number:
            await self._wrote.wait()


REPEAT_S: Final = 600.0
"""A viewer who reopens a session, as reconnecting pages do, is logged once in this time."""
MAX_OPENINGS_REMEMBERED: Final = 10_000
POLL_S: Final = 5.0

Write = Callable[[str, str, str], None]
"""(sentence, session_id, user_id)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvents:
    """The functions that record events of streams: `refused(sentence, session_id)` every refusal that concerns
    administrators, `opened` and `closed` every stream, `decided` the outcome of every request: `allowed`, `moved` or
    `refused`.
    """

    refused: Callable[[str, str], None]
    opened: Write
    closed: Write
    decided: Callable[[str], None] = lambda _outcome: None


class Openings:
    """Logs the opening and the end of visits; `look` returns those of the connections that exist."""

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

    def opened(self, viewer: Viewer, client: StreamOrigin) -> None:
        now_s, key = self._clock(), (viewer.shows, viewer.token_hash, source_of(client.name))
        if client.connection is not None:
            self._visits.opened(key, Visit(viewer.shows, viewer.user_id, client.name, now_s), client.connection)
            self._news.set()
        if now_s - self._written.get(key, float("-inf")) < REPEAT_S:
            return
        self._written = {one: at for one, at in self._written.items() if now_s - at < REPEAT_S}
        if len(self._written) < MAX_OPENINGS_REMEMBERED:
            self._written[key] = now_s
        self._opened(
            f"The stream of session {viewer.shows} was opened from {client.name}", viewer.shows, viewer.user_id
        )

    async def run(self) -> None:
        while True:
            await wait_for(self._news, POLL_S if self._visits.has_visits else None)
            self._news.clear()
            await self.end_closed_visits()

    async def end_closed_visits(self) -> None:
        """End the visits whose connections are closed."""
        connections = self._visits.connections
        present = await asyncio.to_thread(self._look, connections)
        for visit in self._visits.end_closed(present, connections - present, self._clock()):
            self._closed(
                f"The stream of session {visit.session_id}, opened from {visit.client}, was closed after"
                f" {visit.duration_s:.0f} s",
                visit.session_id,
                visit.user_id,
            )


def client_of(address: str, port: str, forwarded_for: str, gateway: str = "") -> StreamOrigin:
    """The viewer's client, by the `address` and `port` that connected to the gateway: the one on this Agent's host, or
    the one elsewhere with the id `gateway`.

    `forwarded_for` is the client address that a gateway in front reports, empty without one. A viewer who may connect
    to the edge gateway could forge it, so the connecting address is shown with it.
    """
    try:
        connection = Connection(str(ip_address(address)), int(port), gateway)
    except ValueError:
        connection = None
    try:
        said = str(ip_address(forwarded_for))
    except ValueError:
        return StreamOrigin(address or "an unknown address", connection)
    return StreamOrigin(f"{said} (reported by {address})", connection)


REPORT_POLL_S: Final = 2.0
AWAY_S: Final = 6.0
"""A page reconnects at most every five seconds."""

Send = Callable[[Watched], Awaitable[bool]]
"""Reports to the api; False = the session is not here any more, and no report is needed. Raises Unavailable."""


class GuestPresence:
    """Tracks the guests among `viewers`; `look` returns those of the connections that exist."""

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
        """viewer_id → the time at which a connection of theirs last existed."""
        self._reported: dict[str, tuple[Watcher, ...] | None] = {v.shows: None for v in viewers.guests}
        """session_id → the last report to the api; None = an earlier process sent one."""
        self._news = asyncio.Event()

    def opened(self, viewer: Viewer, client: StreamOrigin) -> None:
        """Note that a guest opens a connection."""
        self._viewers.add_connection(viewer, client)
        self._seen[viewer.viewer_id] = self._clock()
        self.changed()

    def changed(self) -> None:
        """Note that a viewer joined, or was removed."""
        self._news.set()

    async def run(self) -> None:
        while True:
            await wait_for(self._news, REPORT_POLL_S if self._reported or self._viewers.guests else None)
            self._news.clear()
            await self.report_guests()

    async def report_guests(self) -> None:
        """Read the present guests, and report changes."""
        there = await self._present_guests()
        for session_id in {*there, *self._reported}:
            watchers = tuple(sorted(there.get(session_id, ()), key=lambda one: one.viewer_id))
            if self._reported.get(session_id, ()) == watchers:
                continue
            try:
                known = await self._send(Watched(session_id=session_id, watchers=list(watchers)))
            except Unavailable as error:  # reported in the next round
                log.warning(
                    "the viewers of a session could not be reported", session_id=session_id, reason=error.message
                )
                continue
            self._reported[session_id] = watchers
            if not watchers or not known:
                del self._reported[session_id]

    async def _present_guests(self) -> dict[str, list[Watcher]]:
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
