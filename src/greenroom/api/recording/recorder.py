"""The recorder stores the actions of programs on leased desktops, after the answers to their requests.

Each lease has a queue with one task. The task creates the rows of the requests in the order in which they ended,
adds pictures, writes the rows, and ends after the last row. A program waits for the task only when it releases its
lease, and only for a short time. If more arrives than can be stored, first pictures are omitted, then rows. Each
recording states the number of its omitted rows.
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
from greenroom.api.installation import SettingsSnapshot
from greenroom.core.errors import GreenroomError, Unavailable
from greenroom.core.log_codes import LogCode
from greenroom.core.recording import rows as recording_rows
from greenroom.core.recording.rows import (
    ENDED_BY_CLIENT,
    Picture,
    RecordedRequest,
    RecordingRow,
    RecordingSpace,
    RowsToStore,
    picture_of,
    row_of_missing_rows,
)
from greenroom.db import recordings
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.lease.controls import read_control
from greenroom.db.lease.leases import LeaseRow
from greenroom.db.recordings import RecordingSize, StoredSize

log = structlog.get_logger(__name__)

T = TypeVar("T")

MAX_WAITING: Final = 1000
"""The maximum number of requests of one lease that wait to be written."""
MAX_WAITING_BYTES: Final = 64 << 20
"""The maximum size of the waiting pictures of all leases in this process."""
BATCH_SIZE: Final = 100
PICTURE_TIMEOUT_S: Final = 5.0
"""The time limit of a picture."""
RETRY_PAUSE_S: Final = 1.0
"""The time until the next attempt while the database is unreachable."""
GIVE_UP_S: Final = 600.0
"""The duration of an outage of the database after which the waiting rows are omitted."""
CLOSE_TIMEOUT_S: Final = 3.0
"""The maximum time for which the stop of the process waits for pending records."""
RELEASE_WAIT_S: Final = 2.0
"""The maximum time for which the release of a lease waits for the recording of the latest requests."""
SIZES_MAX_AGE_S: Final = 5.0
"""The age after which the size of all recordings is read again."""
FULL_LOG_INTERVAL_S: Final = 3600.0
"""The minimum time between two log rows about omitted pictures."""
CLIENT_DISCONNECTED: Final = "The client closed the connection before the answer."
PROGRAM_CONTINUED: Final = "the program continued before the picture was taken"
TOO_MANY_PICTURES: Final = "too many pictures waited to be written"
ROWS_LOST: Final = "there were more than could be written, or a write failed"
NO_PNG: Final = "the session returned no picture"


@dataclass(slots=True)
class PendingRecord:
    """The record of a request that is not written yet.

    `make_rows` creates its rows later. `takes_picture`: a picture is taken if the last row has none. `size_bytes` is
    the size of the pictures in its rows. `omits_pictures`: too many pictures wait, so its rows are stored without them.
    """

    make_rows: Callable[[RecordedRequest], list[RecordingRow]] = lambda _: []
    takes_picture: bool = False
    size_bytes: int = 0
    recorded: RecordedRequest | None = None
    omits_pictures: bool = False

    def rows(self) -> list[RecordingRow]:
        """Return the rows of the request; empty before its end."""
        rows = [] if self.recorded is None else self.make_rows(self.recorded)
        if not self.omits_pictures:
            return rows
        return [row if row.picture is None else replace(row, picture=None, left_out=TOO_MANY_PICTURES) for row in rows]


@dataclass(slots=True)
class _LeaseQueue:
    lease: LeaseRow
    in_progress: int = 0
    waiting: list[PendingRecord] = field(default_factory=list[PendingRecord])
    missing: int = 0
    """The number of requests that arrived after the waiting requests and were omitted."""
    missing_since: datetime | None = None
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class RecordingCounts:
    """The numbers of rows and pictures that this process has stored or omitted."""

    rows: int = 0
    rows_left_out: int = 0
    pictures: int = 0
    pictures_left_out: int = 0


class Recorder:
    """Writes recordings; one instance per process."""

    def __init__(self, db: Database, desks: Callable[[], Desks], snapshot: SettingsSnapshot, logs: LogWriter) -> None:
        self._db = db
        self._logs = logs
        self._full_logged_at_s = float("-inf")
        self._desks = desks
        self._snapshot = snapshot
        self._queues: dict[str, _LeaseQueue] = {}
        self._waiting_bytes = 0
        self._sizes = StoredSize()
        self._sizes_read_at_s = float("-inf")
        self.counts = RecordingCounts()

    @contextmanager
    def record_request(self, lease: LeaseRow, request: Request) -> Generator[PendingRecord]:
        """Record the outcome of a request of this lease. The body of the `with` statement performs the request.

        The body also completes the yielded record. Its errors are raised again. Nothing is stored if the lease is not
        recorded.
        """
        pending = PendingRecord()
        if lease.record == "none":
            yield pending
            return
        queue = self._queues.setdefault(lease.lease_id, _LeaseQueue(lease))
        queue.in_progress += 1
        began, began_s = datetime.now(UTC), time.perf_counter()
        code, error = None, None
        try:
            yield pending
        except GreenroomError as refusal:
            code, error = refusal.code, refusal.message
            raise
        except (asyncio.CancelledError, ClientDisconnect, GeneratorExit):
            code, error = ENDED_BY_CLIENT, CLIENT_DISCONNECTED
            raise
        except BaseException:
            code, error = GreenroomError.code, GreenroomError().message
            raise
        finally:
            queue.in_progress -= 1
            caller = getattr(request.state, "caller", None)
            pending.recorded = RecordedRequest(
                began=began,
                duration_ms=(time.perf_counter() - began_s) * 1000,
                who="" if caller is None else caller.name,
                code=code,
                error=error,
                keep_text=lease.record_text,
            )
            self._enqueue(queue, pending)

    @asynccontextmanager
    async def record_block(
        self,
        lease: LeaseRow,
        request: Request,
        make_rows: Callable[[RecordedRequest], list[RecordingRow]],
        inner: AbstractAsyncContextManager[T],
        *,
        takes_picture: bool = False,
    ) -> AsyncGenerator[T]:
        """Enter `inner`, and at its end record the rows that `make_rows` returns."""
        with self.record_request(lease, request) as pending:
            pending.make_rows, pending.takes_picture = make_rows, takes_picture
            async with inner as opened:
                yield opened

    async def wait_until_idle(self) -> None:
        """Wait until all pending records are written."""
        while tasks := [queue.task for queue in self._queues.values() if queue.task is not None]:
            await asyncio.gather(*tasks)

    async def wait_until_written(self, lease_id: str) -> None:
        """Wait until the pending records of one lease in this process are written, or for at most `RELEASE_WAIT_S`."""
        queue = self._queues.get(lease_id)
        if queue is not None and queue.task is not None:
            await asyncio.wait([queue.task], timeout=RELEASE_WAIT_S)

    async def close(self) -> None:
        """Write the pending records, for at most `CLOSE_TIMEOUT_S`."""
        tasks = [queue.task for queue in self._queues.values() if queue.task is not None]
        if not tasks:
            return
        _, unfinished = await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT_S)
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.gather(*unfinished, return_exceptions=True)
            log.warning("parts of recordings were lost", leases=len(unfinished))

    def _enqueue(self, queue: _LeaseQueue, pending: PendingRecord) -> None:
        if len(queue.waiting) >= MAX_WAITING:
            queue.missing += 1
            queue.missing_since = queue.missing_since or datetime.now(UTC)
        else:
            pending.omits_pictures = self._waiting_bytes + pending.size_bytes > MAX_WAITING_BYTES
            pending.size_bytes = 0 if pending.omits_pictures else pending.size_bytes
            self._waiting_bytes += pending.size_bytes
            queue.waiting.append(pending)
        if queue.task is None:
            queue.task = asyncio.create_task(self._write_queue(queue), name="recording")

    async def _write_queue(self, queue: _LeaseQueue) -> None:
        records: list[PendingRecord] = []
        try:
            while queue.waiting or queue.missing:
                records, queue.waiting = queue.waiting[:BATCH_SIZE], queue.waiting[BATCH_SIZE:]
                rows = await self._create_rows(queue, records)
                if queue.missing and not queue.waiting:
                    since, number = queue.missing_since or datetime.now(UTC), queue.missing
                    queue.missing, queue.missing_since = 0, None
                    self.counts.rows_left_out += number
                    rows.append(row_of_missing_rows(since, number, ROWS_LOST))
                await self._write_rows(queue, rows)
                self._waiting_bytes -= sum(pending.size_bytes for pending in records)
        except Exception:
            log.exception("a part of a recording was lost", lease_id=queue.lease.lease_id)
            lost, queue.waiting = [*records, *queue.waiting], []
            self._waiting_bytes -= sum(pending.size_bytes for pending in lost)
            queue.missing += len(lost)  # their number is written with the next row
        finally:
            queue.task = None
            if not (queue.in_progress or queue.missing):
                self._queues.pop(queue.lease.lease_id, None)

    async def _create_rows(self, queue: _LeaseQueue, records: list[PendingRecord]) -> list[RecordingRow]:
        """Return the rows of requests. If the last request needs a picture, the picture is taken now."""
        rows: list[RecordingRow] = []
        for pending in records:
            new_rows = pending.rows()
            if new_rows and pending.takes_picture and queue.lease.record == "pictures" and _needs_picture(new_rows[-1]):
                is_last = pending is records[-1] and not queue.waiting and not queue.in_progress
                new_rows[-1] = (
                    await self._with_picture(queue, new_rows[-1])
                    if is_last
                    else replace(new_rows[-1], left_out=PROGRAM_CONTINUED)
                )
            rows += new_rows
        return rows

    async def _with_picture(self, queue: _LeaseQueue, row: RecordingRow) -> RecordingRow:
        try:
            picture = await self._take_picture(queue.lease)
        except GreenroomError as error:
            return replace(row, left_out=f"{NO_PNG}: {error.message}")
        if queue.waiting:
            return replace(row, left_out=PROGRAM_CONTINUED)  # the picture may show later actions of the program
        return replace(row, picture=picture, left_out=None if picture else NO_PNG)

    async def _take_picture(self, lease: LeaseRow) -> Picture | None:
        """Return the present screen; None if the answer of the session is not a usable PNG.

        A screen that is wider than `MAX_WIDTH` is scaled down. Raises GreenroomError: the session did not answer, or
        refused the request.
        """
        desks = self._desks()
        desk = await desks.of(lease)
        state = desks.screen_states.get(desk.session_id)
        is_wide = state is not None and state.width > recording_rows.MAX_WIDTH
        params = {"width": recording_rows.MAX_WIDTH} if is_wide else None
        return picture_of((await desk.request("GET", "screenshot", params=params, timeout_s=PICTURE_TIMEOUT_S)).content)

    async def _write_rows(self, queue: _LeaseQueue, rows: list[RecordingRow]) -> None:
        """Write rows. Try again while the database is unreachable for a short time. Raises Unavailable: the database is
        unreachable for longer than `GIVE_UP_S`."""
        end_s = time.monotonic() + GIVE_UP_S
        while rows:
            try:
                rows_to_store = await self._store_rows(queue.lease.lease_id, rows)
            except Unavailable as error:
                if time.monotonic() > end_s:
                    raise
                log.warning("a recording waits for the database", reason=error.message)
                await asyncio.sleep(RETRY_PAUSE_S)
                continue
            if rows_to_store is not None:
                self._count(rows_to_store)
            return

    async def _store_rows(self, lease_id: str, rows: list[RecordingRow]) -> RowsToStore | None:
        person_has_control = False
        if any(row.picture is not None for row in rows):
            person_has_control = (await read_control(self._db, lease_id)).holder == "person"
            if time.monotonic() - self._sizes_read_at_s > SIZES_MAX_AGE_S:
                self._sizes = await recordings.read_stored_size(self._db)
                self._sizes_read_at_s = time.monotonic()
        settings = self._snapshot.installation

        def choose_rows(used: RecordingSize) -> RowsToStore:
            space = RecordingSpace(
                rows=used.rows,
                picture_bytes=used.picture_bytes,
                all_bytes=self._sizes.all_bytes,
                optional_bytes=self._sizes.optional_bytes,
                user_bytes=used.user_bytes,
                required=used.required,
                user_mb=settings.recordings_user_max_mb,
                reserved_percent=settings.recordings_reserved_percent,
                recording_mb=settings.recording_max_mb,
                all_mb=settings.recordings_max_mb,
                person_has_control=person_has_control,
            )
            return recording_rows.rows_to_store(rows, space)

        rows_to_store = await recordings.append_rows(self._db, lease_id, choose_rows)
        if (
            rows_to_store is not None
            and rows_to_store.full is not None
            and time.monotonic() - self._full_logged_at_s > FULL_LOG_INTERVAL_S
        ):
            self._full_logged_at_s = time.monotonic()
            sentence = f"Pictures of recordings are omitted: {rows_to_store.full}"
            self._logs.write(LogCode.RECORDINGS_FULL, sentence, details={"lease_id": lease_id})
        return rows_to_store

    def _count(self, rows_to_store: RowsToStore) -> None:
        self._sizes = StoredSize(
            all_bytes=self._sizes.all_bytes + rows_to_store.picture_bytes,
            optional_bytes=self._sizes.optional_bytes + (0 if rows_to_store.required else rows_to_store.picture_bytes),
        )
        self.counts.rows += len(rows_to_store.rows)
        self.counts.rows_left_out += rows_to_store.rows_left_out
        self.counts.pictures += rows_to_store.pictures
        self.counts.pictures_left_out += rows_to_store.pictures_left_out


def _needs_picture(row: RecordingRow) -> bool:
    return row.picture is None and row.left_out is None and row.code in (None, "not-done", "failed")
