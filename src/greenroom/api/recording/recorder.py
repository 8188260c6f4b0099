"""The recorder: it stores the actions of programs on leased desktops, after the answers to their requests.

Each lease has a lane. One task per lane describes its requests, adds pictures and writes rows in the order in which the
requests ended; it ends with the last of them. A program waits for this only when it releases its lease, and only for a
short time. If more arrives than can be stored, pictures are left out first, then rows. The recording states their
number.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, TypeVar

import structlog
from starlette.requests import ClientDisconnect, Request

from greenroom.api.desk.transport import Desks
from greenroom.api.installation import Snapshot
from greenroom.core.errors import GreenroomError, Unavailable
from greenroom.core.log_codes import LogCode
from greenroom.core.recording import rows as recording_rows
from greenroom.core.recording.rows import (
    ENDED_BY_CLIENT,
    Fitted,
    Picture,
    RecordedRequest,
    RecordingRow,
    RecordingSpace,
    picture_of,
    row_of_gap,
)
from greenroom.db import recordings
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.lease.controls import read_control
from greenroom.db.lease.leases import LeaseRow
from greenroom.db.recordings import RecordingSize, StoredSize

log = structlog.get_logger(__name__)

T = TypeVar("T")

MOST_WAITING: Final = 1000
"""The maximum number of requests of one lease that wait to be written."""
MOST_WAITING_BYTES: Final = 64 << 20
"""The maximum size of the pictures of all leases that wait in this process."""
AT_ONCE: Final = 100
PICTURE_S: Final = 5.0
AGAIN_S: Final = 1.0
"""The time until the next attempt while the database is unreachable."""
GIVE_UP_S: Final = 600.0
"""The longest outage of the database before the waiting rows are left out."""
CLOSE_S: Final = 3.0
WRITTEN_S: Final = 2.0
"""The longest time that the release of a lease waits for the recording of the latest requests."""
ALL_BYTES_S: Final = 5.0
"""The age after which the size of all recordings is read again."""
FULL_SAID_S: Final = 3600.0
"""The shortest time between two log rows about pictures that are left out."""
GONE: Final = "The client closed the connection before the answer."
HURRY: Final = "the program continued before the picture was taken"
CROWDED: Final = "too many pictures waited to be written"
LOST: Final = "there were more than could be written, or a write failed"
NO_PNG: Final = "the session returned no picture"


@dataclass(slots=True)
class Note:
    """The pending record of a request.

    `make` creates its rows later. `look`: a picture belongs to it, which is taken if the last row has none.
    `size_bytes` is the size of the pictures in it.
    """

    make: Callable[[RecordedRequest], list[RecordingRow]] = lambda _: []
    look: bool = False
    size_bytes: int = 0
    asked: RecordedRequest | None = None
    crowded: bool = False

    def rows(self) -> list[RecordingRow]:
        made = [] if self.asked is None else self.make(self.asked)
        if not self.crowded:
            return made
        return [row if row.picture is None else replace(row, picture=None, left_out=CROWDED) for row in made]


@dataclass(slots=True)
class _Lane:
    lease: LeaseRow
    under_way: int = 0
    waiting: list[Note] = field(default_factory=list[Note])
    missing: int = 0
    """The number of requests after the waiting ones that were left out."""
    missing_since: datetime | None = None
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Counts:
    """The numbers of rows and pictures that this process has stored and left out."""

    rows: int = 0
    rows_left_out: int = 0
    pictures: int = 0
    pictures_left_out: int = 0


class Recorder:
    """Writes recordings; one instance per process."""

    def __init__(self, db: Database, desks: Callable[[], Desks], snapshot: Snapshot, logs: LogWriter) -> None:
        self._db = db
        self._logs = logs
        self._full_said_s = float("-inf")
        self._desks = desks
        self._snapshot = snapshot
        self._lanes: dict[str, _Lane] = {}
        self._waiting_bytes = 0
        self._stored = StoredSize()
        self._stored_at_s = float("-inf")
        self.counts = Counts()

    @contextmanager
    def noting(self, lease: LeaseRow, request: Request) -> Generator[Note]:
        """Record the outcome of a request of this lease, if the lease is recorded. Errors are raised again."""
        note = Note()
        if lease.record == "none":
            yield note
            return
        lane = self._lanes.setdefault(lease.lease_id, _Lane(lease))
        lane.under_way += 1
        began, began_s = datetime.now(UTC), time.perf_counter()
        code, error = None, None
        try:
            yield note
        except GreenroomError as refusal:
            code, error = refusal.code, refusal.message
            raise
        except (asyncio.CancelledError, ClientDisconnect, GeneratorExit):
            code, error = ENDED_BY_CLIENT, GONE
            raise
        except BaseException:
            code, error = GreenroomError.code, GreenroomError().message
            raise
        finally:
            lane.under_way -= 1
            caller = getattr(request.state, "caller", None)
            note.asked = RecordedRequest(
                began=began,
                duration_ms=(time.perf_counter() - began_s) * 1000,
                who="" if caller is None else caller.name,
                code=code,
                error=error,
                keep_text=lease.record_text,
            )
            self._add(lane, note)

    @asynccontextmanager
    async def around(
        self,
        lease: LeaseRow,
        request: Request,
        make: Callable[[RecordedRequest], list[RecordingRow]],
        inner: AbstractAsyncContextManager[T],
        *,
        look: bool = False,
    ) -> AsyncGenerator[T]:
        """Enter `inner`, and record the rows that `make` returns at its end."""
        with self.noting(lease, request) as note:
            note.make, note.look = make, look
            async with inner as opened:
                yield opened

    async def settled(self) -> None:
        """Wait until all pending records are written."""
        while tasks := [lane.task for lane in self._lanes.values() if lane.task is not None]:
            await asyncio.gather(*tasks)

    async def written(self, lease_id: str) -> None:
        """Wait until the pending records of one lease in this process are written, or for at most `WRITTEN_S`."""
        lane = self._lanes.get(lease_id)
        if lane is not None and lane.task is not None:
            await asyncio.wait([lane.task], timeout=WRITTEN_S)

    async def close(self) -> None:
        """Write the pending records, for at most `CLOSE_S`."""
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=CLOSE_S)
        for task in late:
            task.cancel()
        if late:
            await asyncio.gather(*late, return_exceptions=True)
            log.warning("parts of recordings were lost", leases=len(late))

    def _add(self, lane: _Lane, note: Note) -> None:
        if len(lane.waiting) >= MOST_WAITING:
            lane.missing += 1
            lane.missing_since = lane.missing_since or datetime.now(UTC)
        else:
            note.crowded = self._waiting_bytes + note.size_bytes > MOST_WAITING_BYTES
            note.size_bytes = 0 if note.crowded else note.size_bytes
            self._waiting_bytes += note.size_bytes
            lane.waiting.append(note)
        if lane.task is None:
            lane.task = asyncio.create_task(self._serve(lane), name="recording")

    async def _serve(self, lane: _Lane) -> None:
        notes: list[Note] = []
        try:
            while lane.waiting or lane.missing:
                notes, lane.waiting = lane.waiting[:AT_ONCE], lane.waiting[AT_ONCE:]
                rows = await self._rows(lane, notes)
                if lane.missing and not lane.waiting:
                    since, number = lane.missing_since or datetime.now(UTC), lane.missing
                    lane.missing, lane.missing_since = 0, None
                    self.counts.rows_left_out += number
                    rows.append(row_of_gap(since, number, LOST))
                await self._write(lane, rows)
                self._waiting_bytes -= sum(note.size_bytes for note in notes)
        except Exception:
            log.exception("a part of a recording was lost", lease_id=lane.lease.lease_id)
            lost, lane.waiting = [*notes, *lane.waiting], []
            self._waiting_bytes -= sum(note.size_bytes for note in lost)
            lane.missing += len(lost)  # the row that reports this is written with the next one
        finally:
            lane.task = None
            if not (lane.under_way or lane.missing):
                self._lanes.pop(lane.lease.lease_id, None)

    async def _rows(self, lane: _Lane, notes: list[Note]) -> list[RecordingRow]:
        """Return the rows of requests. If a picture belongs to the last one, it is taken now."""
        rows: list[RecordingRow] = []
        for note in notes:
            made = note.rows()
            if made and note.look and lane.lease.record == "pictures" and _needs_picture(made[-1]):
                is_last = note is notes[-1] and not lane.waiting and not lane.under_way
                made[-1] = await self._with_picture(lane, made[-1]) if is_last else replace(made[-1], left_out=HURRY)
            rows += made
        return rows

    async def _with_picture(self, lane: _Lane, row: RecordingRow) -> RecordingRow:
        try:
            picture = await self._picture(lane.lease)
        except GreenroomError as error:
            return replace(row, left_out=f"{NO_PNG}: {error.message}")
        if lane.waiting:
            return replace(row, left_out=HURRY)  # it shows later actions of the program
        return replace(row, picture=picture, left_out=None if picture else NO_PNG)

    async def _picture(self, lease: LeaseRow) -> Picture | None:
        """Return the present screen.

        A large screen is scaled; otherwise it has the size that programs get, which costs least. Raises GreenroomError:
        the session returned no picture.
        """
        desks = self._desks()
        desk = await desks.of(lease)
        seen = desks.seen.get(desk.session_id)
        is_wide = seen is not None and seen.width > recording_rows.WIDEST
        params = {"width": recording_rows.WIDEST} if is_wide else None
        return picture_of((await desk.request("GET", "screenshot", params=params, timeout_s=PICTURE_S)).content)

    async def _write(self, lane: _Lane, rows: list[RecordingRow]) -> None:
        """Write rows. Try again while the database is unreachable for a short time. Raises Unavailable: the database is
        unreachable for longer than `GIVE_UP_S`."""
        end_s = time.monotonic() + GIVE_UP_S
        while rows:
            try:
                fits = await self._written(lane.lease.lease_id, rows)
            except Unavailable as error:
                if time.monotonic() > end_s:
                    raise
                log.warning("a recording waits for the database", reason=error.message)
                await asyncio.sleep(AGAIN_S)
                continue
            if fits is not None:
                self._count(fits)
            return

    async def _written(self, lease_id: str, rows: list[RecordingRow]) -> Fitted | None:
        held = False
        if any(row.picture is not None for row in rows):
            held = (await read_control(self._db, lease_id)).holder == "person"
            if time.monotonic() - self._stored_at_s > ALL_BYTES_S:
                self._stored = await recordings.read_stored(self._db)
                self._stored_at_s = time.monotonic()
        settings = self._snapshot.installation

        def fit(used: RecordingSize) -> Fitted:
            room = RecordingSpace(
                rows=used.rows,
                picture_bytes=used.picture_bytes,
                all_bytes=self._stored.all_bytes,
                wished_bytes=self._stored.wished_bytes,
                user_bytes=used.user_bytes,
                required=used.required,
                user_mb=settings.recordings_user_max_mb,
                reserved_percent=settings.recordings_reserved_percent,
                recording_mb=settings.recording_max_mb,
                all_mb=settings.recordings_max_mb,
                held=held,
            )
            return recording_rows.fitted(rows, room)

        fits = await recordings.append(self._db, lease_id, fit)
        if fits is not None and fits.full is not None and time.monotonic() - self._full_said_s > FULL_SAID_S:
            self._full_said_s = time.monotonic()
            said = f"Pictures of recordings are omitted: {fits.full}"
            self._logs.write(LogCode.RECORDINGS_FULL, said, details={"lease_id": lease_id})
        return fits

    def _count(self, fits: Fitted) -> None:
        self._stored = StoredSize(
            all_bytes=self._stored.all_bytes + fits.picture_bytes,
            wished_bytes=self._stored.wished_bytes + (0 if fits.required else fits.picture_bytes),
        )
        self.counts.rows += len(fits.rows)
        self.counts.rows_left_out += fits.rows_left_out
        self.counts.pictures += fits.pictures
        self.counts.pictures_left_out += fits.pictures_left_out


def _needs_picture(row: RecordingRow) -> bool:
    return row.picture is None and row.left_out is None and row.code in (None, "not-done", "failed")
