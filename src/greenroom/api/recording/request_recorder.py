"""Records the requests of programs to the desk of a session: one method for each kind of request.

A route passes its work to the method, which performs it and records the outcome.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Annotated, Final, TypeVar

from fastapi import Depends
from starlette.requests import Request

from greenroom.api.desk.answers import simple_fields
from greenroom.api.desk.schemas import ActionResultView, ActionsCreate, ActionsDone, ExecCreate, ExecDone
from greenroom.api.desk.transport import Desks
from greenroom.api.recording.recorder import Recorder
from greenroom.core.recording.rows import (
    ActionOutcome,
    Picture,
    RecordedRequest,
    RecordingRow,
    changes_screen,
    picture_of,
    row_of_command,
    row_of_elements,
    row_of_file,
    row_of_screenshot,
    rows_of_actions,
)
from greenroom.db.lease.leases import LeaseRow

T = TypeVar("T")
_TAIL_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class RequestRecorder:
    """Performs the work of one request, and records its outcome."""

    recorder: Recorder
    desks: Desks
    request: Request

    async def record_actions(self, lease: LeaseRow, body: ActionsCreate, work: Awaitable[ActionsDone]) -> ActionsDone:
        """Record actions. The picture of the last action is the picture in the answer, or is taken afterwards."""
        with self.recorder.record_request(lease, self.request) as pending:
            answers: list[ActionsDone] = []
            pending.make_rows = lambda recorded: self._rows_of_actions(lease, recorded, body, answers)
            answer = await work
            if lease.record != "none":
                answers.append(answer)
            if lease.record == "pictures":
                pending.takes_picture = changes_screen(body.actions)
                pictures = [part.screenshot for part in (*answer.results, answer) if part.screenshot]
                pending.size_bytes = sum(map(len, pictures))
            return answer

    def _rows_of_actions(
        self, lease: LeaseRow, recorded: RecordedRequest, body: ActionsCreate, answers: Sequence[ActionsDone]
    ) -> list[RecordingRow]:
        state = self.desks.screen_states.get(lease.session_id)
        screen = (state.width, state.height) if state is not None else None
        if body.display is not None:
            screen = (body.display.width, body.display.height)
        with_pictures = lease.record == "pictures"
        outcomes = [_outcome(result, with_picture=with_pictures) for answer in answers for result in answer.results]
        rows = rows_of_actions(recorded, body.actions, outcomes, screen)
        last_picture = _picture(answers[0].screenshot) if answers and with_pictures else None
        if rows and last_picture is not None and rows[-1].picture is None:
            rows[-1] = replace(rows[-1], picture=last_picture)
        return rows

    async def record_screenshot(self, lease: LeaseRow, work: Awaitable[bytes]) -> bytes:
        """Record a screenshot; the screenshot is the picture of the row."""
        with self.recorder.record_request(lease, self.request) as pending:
            pictures: list[bytes] = []
            pending.make_rows = lambda recorded: [
                row_of_screenshot(recorded, picture_of(pictures[0]) if pictures else None)
            ]
            data = await work
            if lease.record == "pictures":
                pictures.append(data)
                pending.size_bytes = len(data)
            return data

    async def record_command(self, lease: LeaseRow, body: ExecCreate, work: Awaitable[ExecDone]) -> ExecDone:
        """Record a command, at its end."""
        with self.recorder.record_request(lease, self.request) as pending:
            results: list[ExecDone] = []
            pending.make_rows = lambda recorded: [
                _row_of_command(recorded, body, results[0].exit_code if results else None)
            ]
            pending.takes_picture = True
            results.append(await work)
            return results[0]

    def record_streamed_command(
        self, lease: LeaseRow, body: ExecCreate, running: AbstractAsyncContextManager[T], tail: StreamedOutputTail
    ) -> AbstractAsyncContextManager[T]:
        """Record a command whose output is streamed; `tail` provides its exit code."""

        def make_rows(recorded: RecordedRequest) -> list[RecordingRow]:
            return [_row_of_command(recorded, body, tail.exit_code)]

        return self.recorder.record_block(lease, self.request, make_rows, running, takes_picture=True)

    def record_read(
        self, lease: LeaseRow, path: str, opened: AbstractAsyncContextManager[T]
    ) -> AbstractAsyncContextManager[T]:
        """Record the download of a file or the listing of a folder."""
        return self.recorder.record_block(
            lease, self.request, lambda recorded: [row_of_file(recorded, "read", path)], opened
        )

    async def record_file_change(self, lease: LeaseRow, verb: str, path: str, work: Awaitable[T]) -> T:
        """Record the upload or the deletion of a file. `verb` is a key of `FILE_VERBS`."""
        with self.recorder.record_request(lease, self.request) as pending:
            pending.make_rows = lambda recorded: [row_of_file(recorded, verb, path)]
            return await work

    async def record_elements(self, lease: LeaseRow, work: Awaitable[T]) -> T:
        """Record a read of the accessibility tree."""
        with self.recorder.record_request(lease, self.request) as pending:
            pending.make_rows = lambda recorded: [row_of_elements(recorded)]
            return await work


@dataclass(slots=True)
class StreamedOutputTail:
    """The end of a command's output. Its last line contains the exit code."""

    end: bytes = field(default=b"", repr=False)

    async def watch(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the pieces of the output unchanged, and store the end of the output."""
        async for piece in pieces:
            self.end = (self.end + piece)[-_TAIL_BYTES:]
            yield piece

    @property
    def exit_code(self) -> int | None:
        code = simple_fields(self.end.rstrip().rpartition(b"\n")[2]).get("exit_code")
        return code if isinstance(code, int) else None


def _row_of_command(recorded: RecordedRequest, body: ExecCreate, exit_code: int | None) -> RecordingRow:
    return row_of_command(recorded, body.command, list(body.env), exit_code)


def _outcome(result: ActionResultView, *, with_picture: bool) -> ActionOutcome:
    picture = _picture(result.screenshot) if with_picture else None
    return ActionOutcome(done=result.done, error=result.error, ms=result.ms, picture=picture)


def _picture(text: str | None) -> Picture | None:
    try:
        return picture_of(base64.b64decode(text)) if text else None
    except binascii.Error:
        return None


async def _request_recorder(request: Request) -> RequestRecorder:
    state = request.app.state
    return RequestRecorder(state.recorder, state.desks, request)


RequestRecorderDep = Annotated[RequestRecorder, Depends(_request_recorder)]
