"""The viewers that this Agent admitted. They are stored in a file, so that viewers may return after a restart of the
Agent and while the api or the database does not answer.

Only the hash of a token is stored. A viewer is removed when the permitted viewers of the session no longer include the
viewer. The opening of a stream is logged with its viewer and origin, at most once per `REPEAT_S` for each viewer and
address.

A guest is present while a connection of the guest exists, and for `AWAY_S` afterwards, because pages reconnect.
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
from greenroom.core.session.streams import LEASE_TOKEN_ACCESSES, AnyAccess, Grant, PermittedViewers, still_holds
from greenroom.core.session.viewing import Connection, Visit, Visits
from greenroom.kit.concurrency import wait_for
from greenroom.kit.repeats import RepeatFilter
from greenroom.kit.tcp import find_established
from greenroom.wire.viewers import ViewerReport, Watcher

log = structlog.get_logger(__name__)

FILE: Final = "viewers.json"
MAX_CONNECTIONS: Final = 50
"""The maximum number of stored connections of one guest. A revocation cannot end older connections."""


@dataclass(frozen=True, slots=True)
class StreamOrigin:
    """The origin of a stream: its name for logs, and its connection; None = the gateway did not report the
    connection."""

    name: str
    connection: Connection | None


class Viewer(msgspec.Struct, kw_only=True):
    """A viewer with one token that was accepted for a session.

    `shown_session_id` is the session that the viewer sees: the session itself or its replacement. `address` is the last
    host:port of its page. `path` is the path of its stream if another Agent runs it. `confirmed_at` is a time of
    `time.monotonic()`; `ttl_s` is the validity of the confirmation in seconds.
    """

    session_id: str
    token_hash: str
    shown_session_id: str
    user_id: str
    epoch: int
    confirmed_at: float
    ttl_s: float
    address: str
    path: str = ""
    database: str = ""
    """The database whose desired list permitted the viewer (`Grant.database`)."""
    viewer_id: str = ""
    """The id of a guest in the desired list; empty for the session's user and their programs."""
    access: AnyAccess = "control"
    leased: bool = False
    """True if a program has leased the session."""
    client: str = ""
    """The name of the last origin of a guest, for logs."""
    connections: list[Connection] = []
    """The connections of a guest that may still exist, so that they can be ended individually."""

    @property
    def is_view_only(self) -> bool:
        """True if the viewer may only watch."""
        return self.access == "view"

    @property
    def is_program(self) -> bool:
        """True if the viewer is a program or the api, with a token of the session's lease."""
        return self.access in LEASE_TOKEN_ACCESSES

    @property
    def name_on_page(self) -> str:
        """The name of the viewer on the page of a leased session (core.lease); empty if the session is not leased."""
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
    """Return the hash of a token, which is stored instead of the token."""
    return hashlib.sha256(token.encode()).hexdigest()


class Viewers:
    """The table of viewers. It is written to a file in `folder` in the background after every change.

    An admission waits until it is written (`saved`). Thus a revocation after a crash of this process finds the streams
    of the viewer. The file need not survive a power cut, because a power cut ends the streams.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._viewers: dict[tuple[str, str], Viewer] = {}
        self._changes = self._written = 0
        self._write_ended = asyncio.Event()
        self._saving: asyncio.Task[None] | None = None
        for viewer in self._read_file():
            self._viewers[viewer.session_id, viewer.token_hash] = viewer

    def _read_file(self) -> list[Viewer]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=list[Viewer])
        except (FileNotFoundError, msgspec.DecodeError):  # at worst, a viewer is checked again
            return []

    def get(self, session_id: str, token: str) -> Viewer | None:
        return self._viewers.get((session_id, token_hash(token)))

    def add(self, viewer: Viewer) -> None:
        self._viewers[viewer.session_id, viewer.token_hash] = viewer
        self._save()

    def set_address(self, viewer: Viewer, address: str) -> None:
        """Store the new address (host:port) of the page that the viewer sees."""
        viewer.address = address
        self._save()

    def remove_unless(self, condition: Callable[[Viewer], bool]) -> None:
        """Remove all viewers that do not meet the condition. The file is written with the next change."""
        self._viewers = {key: viewer for key, viewer in self._viewers.items() if condition(viewer)}

    @property
    def guests(self) -> list[Viewer]:
        return [viewer for viewer in self._viewers.values() if viewer.viewer_id]

    def add_connection(self, viewer: Viewer, origin: StreamOrigin) -> None:
        """Store a new connection of a guest."""
        if origin.connection in viewer.connections:
            return
        viewer.client = origin.name
        if origin.connection is not None:
            viewer.connections = [*viewer.connections[1 - MAX_CONNECTIONS :], origin.connection]
        self._save()

    def forget_revoked(self, session_id: str, permitted: PermittedViewers | None) -> list[Viewer]:
        """Remove and return the viewers of `session_id` who are not permitted any more."""
        revoked = [
            v
            for v in self._viewers.values()
            if v.shown_session_id == session_id and not still_holds(v.grant, permitted)
        ]
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
        """Write the table. An error, for example of a full disk, is only logged."""
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
            self._write_ended.set()
            self._write_ended = asyncio.Event()

    async def saved(self) -> None:
        """Wait until the file contains all changes that were made before this call."""
        number = self._changes
        while self._written < number:
            await self._write_ended.wait()


REPEAT_S: Final = 600.0
"""The time within which repeated openings of a session by a viewer are logged once, because pages reconnect."""
POLL_S: Final = 5.0

WriteLogRow = Callable[[str, str, str], None]
"""A function that writes a log row: (sentence, session_id, user_id)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvents:
    """The functions that record events of streams. `refused(sentence, session_id)` records refusals that administrators
    must see. `opened` and `closed` record the begin and the end of streams. `decided` records the outcome of every
    request: `allowed`, `moved` or `refused`."""

    refused: Callable[[str, str], None]
    opened: WriteLogRow
    closed: WriteLogRow
    decided: Callable[[str], None] = lambda _outcome: None


class VisitLog:
    """Logs the begin and the end of visits (`core.session.viewing`). `find_existing` returns the given connections that
    exist."""

    def __init__(
        self,
        opened: WriteLogRow,
        closed: WriteLogRow,
        clock: Callable[[], float],
        find_existing: Callable[[Set[Connection]], Set[Connection]] = find_established,
    ) -> None:
        self._opened = opened
        self._closed = closed
        self._clock = clock
        self._find_existing = find_existing
        self._repeats = RepeatFilter(REPEAT_S, now_s=clock)
        self._visits = Visits()
        self._wake = asyncio.Event()

    def opened(self, viewer: Viewer, origin: StreamOrigin) -> None:
        """Record an opened stream. It is logged unless the same opening was logged within `REPEAT_S`."""
        now_s, key = self._clock(), (viewer.shown_session_id, viewer.token_hash, source_of(origin.name))
        if origin.connection is not None:
            self._visits.record_opened(
                key, Visit(viewer.shown_session_id, viewer.user_id, origin.name, now_s), origin.connection
            )
            self._wake.set()
        if self._repeats.must_log(key):
            self._opened(
                f"The stream of session {viewer.shown_session_id} was opened from {origin.name}",
                viewer.shown_session_id,
                viewer.user_id,
            )

    async def run(self) -> None:
        while True:
            await wait_for(self._wake, POLL_S if self._visits.has_visits else None)
            self._wake.clear()
            await self.end_closed_visits()

    async def end_closed_visits(self) -> None:
        """End the visits whose connections are closed."""
        connections = self._visits.connections
        present = await asyncio.to_thread(self._find_existing, connections)
        for visit in self._visits.end_closed(present, connections - present, self._clock()):
            self._closed(
                f"The stream of session {visit.session_id}, opened from {visit.client}, was closed after"
                f" {visit.duration_s:.0f} s",
                visit.session_id,
                visit.user_id,
            )


def client_of(address: str, port: str, forwarded_for: str, gateway: str = "") -> StreamOrigin:
    """Return the origin of a viewer whose client connected to a gateway from `address` and `port`. `gateway` is the id
    of a gateway on another host; empty = the gateway on this host.

    `forwarded_for` is the client address that a gateway in front of this gateway reports; empty = there is none. A
    viewer with access to the edge gateway can forge this address, so the name of the origin contains both addresses.
    """
    try:
        connection = Connection(str(ip_address(address)), int(port), gateway)
    except ValueError:
        connection = None
    try:
        client_address = str(ip_address(forwarded_for))
    except ValueError:
        return StreamOrigin(address or "an unknown address", connection)
    return StreamOrigin(f"{client_address} (reported by {address})", connection)


REPORT_POLL_S: Final = 2.0
AWAY_S: Final = 6.0
"""The time after which a guest without connections counts as absent. Pages reconnect within 5 s."""

SendReport = Callable[[ViewerReport], Awaitable[bool]]
"""Sends a report to the api. Returns False if this Agent does not have the session. Raises Unavailable: the api does
not answer."""


class GuestPresence:
    """Reports the present guests among `viewers` to the api. `find_existing` returns the given connections that
    exist."""

    def __init__(
        self,
        viewers: Viewers,
        send: SendReport,
        clock: Callable[[], float] = time.monotonic,
        find_existing: Callable[[Set[Connection]], Set[Connection]] = find_established,
    ) -> None:
        self._viewers = viewers
        self._send = send
        self._clock = clock
        self._find_existing = find_existing
        self._last_present: dict[str, float] = {}
        """viewer_id → the last time at which one of the guest's connections existed."""
        self._reported: dict[str, tuple[Watcher, ...] | None] = {v.shown_session_id: None for v in viewers.guests}
        """session_id → the guests in the last report to the api; None = an earlier process sent the report."""
        self._wake = asyncio.Event()

    def opened(self, viewer: Viewer, origin: StreamOrigin) -> None:
        """Record a new connection of a guest."""
        self._viewers.add_connection(viewer, origin)
        self._last_present[viewer.viewer_id] = self._clock()
        self.changed()

    def changed(self) -> None:
        """Request a report, because a viewer was added or removed."""
        self._wake.set()

    async def run(self) -> None:
        while True:
            await wait_for(self._wake, REPORT_POLL_S if self._reported or self._viewers.guests else None)
            self._wake.clear()
            await self.report_guests()

    async def report_guests(self) -> None:
        """Determine the present guests, and report changes to the api."""
        present = await self._present_guests()
        for session_id in {*present, *self._reported}:
            watchers = tuple(sorted(present.get(session_id, ()), key=lambda watcher: watcher.viewer_id))
            if self._reported.get(session_id, ()) == watchers:
                continue
            try:
                has_session = await self._send(ViewerReport(session_id=session_id, watchers=list(watchers)))
            except Unavailable as error:  # the next call reports again
                log.warning(
                    "the viewers of a session could not be reported", session_id=session_id, reason=error.message
                )
                continue
            self._reported[session_id] = watchers
            if not watchers or not has_session:
                del self._reported[session_id]

    async def _present_guests(self) -> dict[str, list[Watcher]]:
        guests = self._viewers.guests
        connections = frozenset(connection for guest in guests for connection in guest.connections)
        closed = connections - await asyncio.to_thread(self._find_existing, connections) if connections else connections
        now_s, watchers_by_session = self._clock(), defaultdict[str, list[Watcher]](list)
        for guest in guests:
            guest.connections = [connection for connection in guest.connections if connection not in closed]
            if guest.connections:
                self._last_present[guest.viewer_id] = now_s
            if now_s - self._last_present.get(guest.viewer_id, float("-inf")) < AWAY_S:
                watchers_by_session[guest.shown_session_id].append(
                    Watcher(viewer_id=guest.viewer_id, client=guest.client)
                )
        guest_ids = {guest.viewer_id for guest in guests}
        self._last_present = {viewer_id: at for viewer_id, at in self._last_present.items() if viewer_id in guest_ids}
        return watchers_by_session
