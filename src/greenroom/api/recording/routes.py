"""Recordings of leases: the actions of programs, with pictures of their screens, also as a ZIP file.

A recording is for the user of the session, the API key that held the lease, and callers with `recordings_view`. The
token of the lease is not sufficient: a recording also contains the actions of people, and untrusted programs have the
token.
"""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator
from datetime import datetime
from io import RawIOBase
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Path, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import Field

from greenroom.api.bodies import View
from greenroom.api.deps import ChangeDep, Db, Logs
from greenroom.api.lease.access import LEASE_FOR_OTHERS
from greenroom.api.paging import Paging
from greenroom.api.problems import api_router
from greenroom.api.security import AccessDeclaration, Caller, Requires, requires_one_of
from greenroom.api.session.authorized import caller_for, kind_of, session_caller_of
from greenroom.core.access.permissions import USER
from greenroom.core.errors import NotFound, WrongState
from greenroom.core.listing import SortOrder
from greenroom.core.log_codes import LogCode
from greenroom.core.recording.descriptions import RecordingMode
from greenroom.core.session.authorization import Act, Kind, SessionFacts, decide
from greenroom.db import recordings
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.listing import ListPage, Position
from greenroom.db.recordings import RECORDINGS, LeaseRecording, StoredRecordingRow, read_picture, read_rows
from greenroom.kit.repeats import RepeatFilter

VIEW_PERMISSION: Final = "recordings_view"
LOG_INTERVAL_S: Final = 600.0
"""The access of a caller to the recording of another user is logged once in this time, not for each picture."""


class RecordingAccess(AccessDeclaration):
    """A dependency that returns the recording of the path, for callers who may see it.

    Access to the recordings of other users is logged.
    """

    acts = (Act.SEE_RECORDING,)

    def __init__(self) -> None:
        self._requires = Requires(one_of=(USER, "users_auth_session", LEASE_FOR_OTHERS, VIEW_PERMISSION))
        self.codes = self._requires.codes
        self.one_of = self._requires.one_of

    async def __call__(self, request: Request, lease_id: UUID) -> LeaseRecording:
        """Authenticate and authorize.

        Raises:
            Unauthenticated: there is no valid credential; the token of a lease is not accepted.
            NotFound: the recording does not exist, or the caller may not see it.
        """
        caller = await self._requires(request)
        recording = await recordings.get_recording(request.app.state.db, str(lease_id))
        kind = kind_of(caller, recording.user_id, recording.key_id)
        verdict = decide(Act.SEE_RECORDING, session_caller_of(caller, recording.user_id, kind), SessionFacts())
        if verdict.refused:
            raise NotFound(f"There is no recording of lease {lease_id}; it may have been deleted.")
        if kind is Kind.OTHER:
            request.app.state.recording_view_log.log_access(caller, recording)
        return recording


class RecordingViewLog:
    """Writes log rows about access to recordings of other users; one instance per process."""

    def __init__(self, logs: LogWriter) -> None:
        self._logs = logs
        self._repeats = RepeatFilter(LOG_INTERVAL_S)

    def log_access(self, caller: Caller, recording: LeaseRecording) -> None:
        """Write a row, unless the last row for this caller and recording is less than `LOG_INTERVAL_S` old."""
        if self._repeats.must_log(caller.name, recording.lease_id):
            _log_access_to_recording(self._logs, LogCode.RECORDING_VIEWED, f"{caller.name} viewed", recording)


def _log_access_to_recording(logs: LogWriter, code: LogCode, subject: str, recording: LeaseRecording) -> None:
    """Write a log row about another user's recording. The row is stored before the api answers."""
    logs.write(
        code,
        f"{subject} the recording of lease {recording.lease_id} of {recording.username or recording.holder}",
        session_id=recording.session_id,
        user_id=recording.user_id,
        username=recording.username,
        details={"lease_id": recording.lease_id},
        urgent=True,
    )


class RecordingView(View, row=LeaseRecording, without={"key_id", "is_over"}):
    """The recording of a lease."""

    lease_id: UUID
    session_id: UUID
    user_id: UUID | None
    holder: Annotated[str, Field(description="caller that requested the lease")]
    record: Annotated[RecordingMode, Field(description="recorded data")]
    record_text: Annotated[
        bool, Field(description="true = typed text, clipboard, addresses and complete commands are recorded")
    ]
    ended: Annotated[datetime | None, Field(description="end of the lease; null = the lease is not over")]
    rows: Annotated[int, Field(description="number of rows; they are numbered from 1")]
    rows_left_out: Annotated[int, Field(description="number of rows beyond 100,000")]
    pictures_left_out: Annotated[
        int, Field(description="number of rows without their picture; each row contains the reason")
    ]


class RecordedPicture(View):
    """The size of a picture, in pixels."""

    width: int
    height: int


class RecordedRowView(View, row=StoredRecordingRow):
    """One recorded action."""

    what: Annotated[str, Field(description="click, type, exec, file-write, control, ended, …")]
    said: Annotated[str, Field(description="the action, as a sentence")]
    who: Annotated[str, Field(description="caller; empty = the program with the token of the lease, or Greenroom")]
    details: Annotated[dict[str, Any], Field(description="e.g. the position `at`, and the size of the `screen`")]
    code: Annotated[str | None, Field(description="code of the failure; null = the action succeeded")]
    error: Annotated[str | None, Field(description="the failure, as a sentence")]
    picture: Annotated[RecordedPicture | None, Field(description="screen after the action, at `pictures/{number}`")]
    picture_left_out: Annotated[str | None, Field(description="reason for a missing picture")]


ROWS_PER_READ: Final = 500
FILE_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""The time of all files in the ZIP, so that the same recording results in the same ZIP."""


class _ZipBuffer(RawIOBase):
    """The bytes of a ZIP file that are not sent yet; not seekable."""

    def __init__(self) -> None:
        super().__init__()
        self._unsent = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._unsent += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self._unsent)
        self._unsent.clear()
        return data


async def export_zip(db: Database, recording: LeaseRecording) -> AsyncIterator[bytes]:
    """Yield the ZIP file in pieces. A picture that is deleted during the export is omitted."""
    buffer = _ZipBuffer()
    with zipfile.ZipFile(buffer, "w") as archive:
        view = RecordingView.model_validate(recording)
        archive.writestr(_zip_entry("recording.json"), view.model_dump_json(indent=2) + "\n")
        numbers: list[int] = []
        with archive.open(_zip_entry("rows.jsonl"), "w", force_zip64=True) as lines:
            async for row in _read_all_rows(db, recording.lease_id):
                lines.write(row_view(row).model_dump_json().encode() + b"\n")
                numbers += [row.number] if row.picture else []
                yield buffer.take()
        for number in numbers:
            try:
                data = await read_picture(db, recording.lease_id, number)
            except NotFound:
                continue  # it was deleted during the export
            archive.writestr(_zip_entry(f"pictures/{number:06}.png"), data)
            yield buffer.take()
    yield buffer.take()


async def _read_all_rows(db: Database, lease_id: str) -> AsyncIterator[StoredRecordingRow]:
    after = 0
    while rows := await read_rows(db, lease_id, after=after, limit=ROWS_PER_READ):
        for row in rows:
            yield row
        after = rows[-1].number


def _zip_entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, FILE_TIME)
    info.compress_type = zipfile.ZIP_STORED if name.endswith(".png") else zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info


def row_view(row: StoredRecordingRow) -> RecordedRowView:
    """Return the view of a row."""
    width, height = row.picture or (0, 0)
    return RecordedRowView.of(row, picture={"width": width, "height": height} if row.picture else None)


router = api_router("leases")

Recording = Annotated[LeaseRecording, Depends(RecordingAccess())]
BY_NUMBER: Final = SortOrder("number", descending=False)
_BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}


@router.get("/recordings")
async def list_recordings(
    db: Db,
    page: Paging,
    caller: Annotated[Caller, requires_one_of(USER, "users_auth_session", LEASE_FOR_OTHERS, VIEW_PERMISSION)],
    session_id: Annotated[UUID | None, Query(description="only the recording of the lease of this session")] = None,
) -> list[RecordingView]:
    """List recordings, newest first. Callers without `recordings_view` get only those of their own leases."""
    may_view_all = caller.may(VIEW_PERMISSION)
    conditions = RECORDINGS.matching(
        user_id=None if may_view_all else caller.user_id,
        key_id=None if may_view_all else caller.key_id,
        session_id=session_id,
    )
    return [RecordingView.model_validate(recording) for recording in await page.read(db, RECORDINGS, conditions)]


@router.get("/leases/{lease_id}/recording")
async def get_recording(recording: Recording) -> RecordingView:
    """Return the recording of a lease, also of a lease that is over."""
    return RecordingView.model_validate(recording)


@router.get("/leases/{lease_id}/recording/rows")
async def list_recorded_rows(db: Db, page: Paging, recording: Recording) -> list[RecordedRowView]:
    """List the recorded actions, in their order."""
    after = page.after_row(BY_NUMBER)
    rows = await recordings.read_rows(
        db, recording.lease_id, after=_row_number(after) if after else 0, limit=page.limit + 1
    )
    rows_of_page = rows[: page.limit]
    end = Position(str(rows_of_page[-1].number), "") if len(rows) > len(rows_of_page) else None
    return [row_view(row) for row in page.rows(ListPage(rows_of_page, end), BY_NUMBER)]


def _row_number(after: Position) -> int:
    return int(after.value) if after.value.isascii() and after.value.isdecimal() and len(after.value) < 10 else 0


@router.get(
    "/leases/{lease_id}/recording/pictures/{number}",
    response_class=Response,
    responses={200: {"content": {"image/png": _BINARY}, "description": "the screen as a PNG"}},
)
async def get_recorded_picture(
    number: Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the row")], db: Db, recording: Recording
) -> Response:
    """Return the picture of a row."""
    data = await recordings.read_picture(db, recording.lease_id, number)
    return Response(data, media_type="image/png", headers={"Cache-Control": "private, max-age=3600, immutable"})


@router.get(
    "/leases/{lease_id}/recording/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": _BINARY}, "description": "the recording as a ZIP"}},
)
async def export_recording(
    db: Db,
    logs: Logs,
    recording: Recording,
    caller: Annotated[Caller, requires_one_of(USER, "users_auth_session", LEASE_FOR_OTHERS, VIEW_PERMISSION)],
) -> StreamingResponse:
    """Return the whole recording: `recording.json`, `rows.jsonl` with one row per line, and `pictures/000012.png`."""
    if kind_of(caller, recording.user_id, recording.key_id) is Kind.OTHER:
        _log_access_to_recording(logs, LogCode.RECORDING_EXPORTED, f"{caller.name} exports", recording)
    name = f'attachment; filename="recording-{recording.lease_id}.zip"'
    headers = {"Content-Disposition": name}
    return StreamingResponse(export_zip(db, recording), media_type="application/zip", headers=headers)


@router.delete("/leases/{lease_id}/recording", status_code=204, dependencies=[caller_for(Act.DELETE_RECORDING)])
async def delete_recording(lease_id: UUID, change: ChangeDep) -> None:
    """Delete the recording of a lease that is over."""
    recording = await recordings.get_recording(change.db, str(lease_id))
    if not recording.is_over:
        raise WrongState("The lease is not over. Release the lease before you delete its recording.")
    await recordings.delete_recording(change.db, recording.lease_id)
    before = {"user": recording.username or recording.holder, "begun": recording.begun, "rows": recording.rows}
    change.audit(LogCode.RECORDING_DELETED, recording.lease_id, before=before, zone_name=recording.zone_name)
