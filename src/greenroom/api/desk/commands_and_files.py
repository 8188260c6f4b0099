"""Commands and files in the session of a lease, through the page of the session, as the user of the session."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import httpx2
import msgspec
from fastapi.responses import Response, StreamingResponse
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from greenroom.api.desk.answers import decode_answer
from greenroom.api.desk.schemas import ExecCreate, ExecDone, ListingView, Written
from greenroom.api.desk.transport import Desks, LeaseDesk, read_content, while_connected
from greenroom.api.lease.access import AuthorizedLease
from greenroom.core.errors import GreenroomError, Interrupted, Invalid, TooManyRequests, Unavailable
from greenroom.core.log_codes import LogCode
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.lease.leases import LeaseRow

T = TypeVar("T")


class StreamedAnswer(StreamingResponse):
    """A streamed answer that closes `source` at its end, and if the client disconnects before or during the answer."""

    def __init__(
        self,
        content: AsyncIterator[bytes],
        source: AsyncExitStack,
        *,
        media_type: str,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(content, status_code, headers, media_type)
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._source:
            with suppress(ClientDisconnect):
                await while_connected(Request(scope, receive), self.stream_response(send))


async def enter_while_connected(request: Request, context: AbstractAsyncContextManager[T]) -> tuple[T, AsyncExitStack]:
    """Enter `context`; return its value, and the stack that closes it. Raises ClientDisconnect: the client of `request`
    disconnected."""
    stack = AsyncExitStack()
    try:
        return await while_connected(request, stack.enter_async_context(context)), stack
    except BaseException:
        await stack.aclose()
        raise


FILES_PATH: Final = "files"
FILE_DATA_TIMEOUT_S: Final = 60.0
"""The time limit for each wait for more data of a file."""
PIECE_BYTES: Final = 1 << 18
"""The size of the pieces in which files are streamed. It is 16 TLS records, because to forward each record separately
would take more processor time."""
MAX_LISTING_BYTES: Final = 4 << 20
UNCHANGED_STATUSES: Final = frozenset({304, 416})
"""Statuses that are returned to the client unchanged, in addition to 200 and 206."""
_REQUEST_HEADERS: Final = ("range", "if-range", "if-none-match")
_ANSWER_HEADERS: Final = ("content-length", "content-range", "etag", "accept-ranges")
_TAR: Final = "application/x-tar"


@dataclass(frozen=True, slots=True)
class PathRequest:
    """The path of a file or folder, and the requested kind of answer."""

    path: str
    as_listing: bool = False
    tar: bool = False
    watch: bool = False

    @property
    def params(self) -> dict[str, str]:
        """The query parameters. Raises Invalid: more than one kind of answer is requested."""
        flags = {"list": self.as_listing, "tar": self.tar, "watch": self.watch}
        kinds = [name for name, is_set in flags.items() if is_set]
        if len(kinds) > 1:
            raise Invalid(f"{' and '.join(kinds)} cannot be combined in one request.")
        return {"path": self.path} | dict.fromkeys(kinds, "")


@asynccontextmanager
async def read(
    desks: Desks, lease: LeaseRow, path_request: PathRequest, headers: Mapping[str, str]
) -> AsyncGenerator[httpx2.Response]:
    """Yield the answer of the page, to be read while it arrives.

    Raises:
        Invalid: the path leads out of the home folder.
        NotFound: there is no such file or folder.
        Forbidden: the session was created without downloads.
        WrongState: a file, or a folder, has no answer of the requested kind; or as for `Desks.of`.
        TooManyRequests, Unavailable: as for `LeaseDesk.stream`.
    """
    params = path_request.params
    desk = await desks.of(lease)
    forwarded = {name: headers[name] for name in _REQUEST_HEADERS if name in headers}
    async with desk.stream(
        "GET",
        FILES_PATH,
        params=params,
        headers={**forwarded, "Accept-Encoding": "identity"},
        timeout_s=FILE_DATA_TIMEOUT_S,
        accepted=UNCHANGED_STATUSES,
    ) as answer:
        yield answer


async def file_answer(answer: httpx2.Response, source: AsyncExitStack, *, is_watch: bool) -> Response:
    """Return the answer for the client.

    The media type from the container is not returned, so that no browser runs the file in the origin of the api.
    """
    is_listing = "content-disposition" not in answer.headers and not is_watch and answer.status_code == 200
    if is_listing:
        async with source:
            listing = decode_answer(await read_content(answer, MAX_LISTING_BYTES), ListingView)
            return Response(listing.model_dump_json(exclude_unset=True), media_type="application/json")
    if is_watch:
        return StreamedAnswer(answer.aiter_raw(), source, media_type="text/event-stream")
    headers = {name: value for name in _ANSWER_HEADERS if (value := answer.headers.get(name, "")).isascii() and value}
    if answer.status_code in UNCHANGED_STATUSES:
        async with source:
            headers.pop("content-length", None)
            return Response(status_code=answer.status_code, headers=headers)
    headers["content-disposition"] = "attachment"
    media_type = _TAR if answer.headers.get("content-type") == _TAR else "application/octet-stream"
    pieces = answer.aiter_raw(PIECE_BYTES)
    return StreamedAnswer(pieces, source, status_code=answer.status_code, media_type=media_type, headers=headers)


async def write(desks: Desks, lease: LeaseRow, path: str, request: Request, *, tar: bool) -> Written:
    """Write the body of a request to a file, or unpack it into a folder: completely or not at all.

    Raises:
        Invalid: the path leads out of the home folder; or the body is not a tar.
        Forbidden: the session was created without uploads.
        TooLarge: the body exceeds the upload limit of the session's user.
        WrongState: a folder has the path of the file, or a file the path of the folder; or as for `Desks.of`.
        Refused: the disk is full.
    """
    desk = await desks.of(lease)
    length = request.headers.get("content-length")
    headers = {} if length is None else {"Content-Length": length}
    params = {"path": path} | ({"tar": ""} if tar else {})
    answer = await desk.request(
        "PUT", FILES_PATH, params=params, content=request.stream(), headers=headers, timeout_s=FILE_DATA_TIMEOUT_S
    )
    return decode_answer(answer.content, Written)


async def delete(desks: Desks, lease: LeaseRow, path: str, *, recursive: bool) -> None:
    """Delete a file or folder.

    Raises:
        NotFound: it does not exist.
        WrongState: the folder is not empty.
        Invalid, Forbidden: as for `write`.
    """
    desk = await desks.of(lease)
    await desk.request("DELETE", FILES_PATH, params={"path": path} | ({"recursive": ""} if recursive else {}))


EXEC_PATH: Final = "exec"
RETRY_PAUSE_S: Final = 0.2
"""The pause between two attempts to start a command, while too many other commands run."""
OUTPUT_TIMEOUT_S: Final = 30.0
"""The time limit for each wait for output. The page sends a keepalive three times in this time."""
MAX_OUTPUT_BYTES: Final = 4 << 20
"""The maximum size of both outputs together, in an answer that is sent after the command has ended."""
MAX_LINE_BYTES: Final = 1 << 20
CONNECTION_CLOSED: Final = "The session closed the connection; the command was ended."


class OutputLine(msgspec.Struct):
    """A line from the page: a piece of output, a keepalive, or the result of the command."""

    stdout: str = ""
    stderr: str = ""
    stdout_base64: str = ""
    stderr_base64: str = ""
    exit_code: int | msgspec.UnsetType | None = msgspec.UNSET
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class RunningCommand:
    """A command while it runs."""

    desk: LeaseDesk
    answer: httpx2.Response

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the output of the command while it arrives: lines of JSON (`OutputLine`).

        Raises:
            WrongState: the lease ended meanwhile.
            Interrupted: the session closed the connection.
        """
        try:
            async for piece in self.answer.aiter_bytes():
                yield piece
        except httpx2.HTTPError as error:
            await self.desk.require_lease()
            raise Interrupted(CONNECTION_CLOSED) from error


@asynccontextmanager
async def running(
    desks: Desks, logs: LogWriter, authorized: AuthorizedLease, command: ExecCreate
) -> AsyncGenerator[RunningCommand]:
    """Run a command as long as the context lasts; yield the running command.

    Raises:
        Forbidden: the session was created without uploads or downloads.
        Invalid: the program or the folder does not exist.
        WrongState, TooManyRequests, Unavailable, Interrupted: as for `Desks.of` and `LeaseDesk.stream`.
    """
    lease, caller = authorized.lease, authorized.caller
    desk = await desks.of(lease)
    body: dict[str, Any] = command.model_dump(exclude={"stream", "wait_s"}, exclude_none=True)
    content = msgspec.json.encode(body)
    async with AsyncExitStack() as stack:
        answer = await start_command(stack, desk, content, command.wait_s)
        logs.write(
            LogCode.SESSION_COMMAND,
            f"{caller.name if caller else lease.holder} runs {command.command[0]} in session {lease.session_id}"
            f" {'with the token of' if caller is None else 'through'} its lease",
            zone_name=lease.zone_name,
            session_id=lease.session_id,
            user_id=caller.user_id if caller else lease.user_id,
            username=caller.name if caller else lease.username,
            details={"lease_id": lease.lease_id, "program": command.command[0]},
        )
        yield RunningCommand(desk, answer)


async def start_command(stack: AsyncExitStack, desk: LeaseDesk, content: bytes, wait_s: float) -> httpx2.Response:
    """Start a command within `wait_s`, as soon as fewer commands run in the session, and return its answer. Raises
    TooManyRequests: too many commands ran during this time."""
    end_s = time.monotonic() + wait_s
    headers = {"Content-Type": "application/json"}
    while True:
        try:
            started = desk.stream("POST", EXEC_PATH, content=content, headers=headers, timeout_s=OUTPUT_TIMEOUT_S)
            return await stack.enter_async_context(started)
        except TooManyRequests:
            if (remaining_s := end_s - time.monotonic()) <= 0:
                raise
        await asyncio.sleep(min(RETRY_PAUSE_S, remaining_s))


@dataclass
class CommandOutput:
    """The output of a command, up to `MAX_OUTPUT_BYTES`, and its result."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    omitted_bytes: int = 0
    exit_code: int | None = None
    error: str | None = CONNECTION_CLOSED

    def add(self, line: OutputLine) -> None:
        self._append(self.stdout, line.stdout.encode() + _decode_base64(line.stdout_base64))
        self._append(self.stderr, line.stderr.encode() + _decode_base64(line.stderr_base64))
        if line.exit_code is not msgspec.UNSET:
            self.exit_code, self.error = line.exit_code, line.error_message

    def _append(self, output: bytearray, data: bytes) -> None:
        free_bytes = MAX_OUTPUT_BYTES - len(self.stdout) - len(self.stderr)
        output += data[:free_bytes]
        self.omitted_bytes += len(data[free_bytes:])

    @property
    def result(self) -> ExecDone:
        return ExecDone(
            exit_code=self.exit_code,
            stdout=_readable_text(self.stdout),
            stderr=_readable_text(self.stderr),
            stdout_base64=_base64_unless_text(self.stdout, cut=bool(self.omitted_bytes)),
            stderr_base64=_base64_unless_text(self.stderr, cut=bool(self.omitted_bytes)),
            left_out_bytes=self.omitted_bytes,
            error=self.error,
        )


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except ValueError:  # not sent by the page of Greenroom
        return b""


def _readable_text(data: bytearray) -> str:
    """Return the data as text; empty for binary data."""
    return "" if b"\0" in data else data.decode(errors="replace")


def _base64_unless_text(data: bytearray, *, cut: bool) -> str | None:
    """Return the data in base64; None for a text, even if a character at its end was cut in two."""
    try:
        data.decode()
        is_text = b"\0" not in data
    except UnicodeDecodeError as error:
        is_text = cut and error.end == len(data) and b"\0" not in data
    return None if is_text else base64.b64encode(data).decode()


async def run_to_end(desks: Desks, logs: LogWriter, authorized: AuthorizedLease, command: ExecCreate) -> ExecDone:
    """Run a command, and return its output and result after it has ended. Raises the same errors as `running`."""
    output = CommandOutput()
    try:
        async with running(desks, logs, authorized, command) as running_command:
            async for line in _lines(running_command.pieces()):
                output.add(_output_line(line))
            if output.error == CONNECTION_CLOSED:
                raise Interrupted(CONNECTION_CLOSED)
    except GreenroomError as error:
        if not (output.stdout or output.stderr):
            raise
        if output.error == CONNECTION_CLOSED:
            output.error = error.message
    return output.result


def _output_line(line: bytes) -> OutputLine:
    try:
        return decode_answer(line, OutputLine)
    except Unavailable as error:
        raise Interrupted(CONNECTION_CLOSED) from error


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    incomplete_line = b""
    async for piece in pieces:
        *lines, incomplete_line = (incomplete_line + piece).split(b"\n")
        for line in lines:
            yield line
        if len(incomplete_line) > MAX_LINE_BYTES:
            raise Interrupted(CONNECTION_CLOSED)


async def output_lines(running_command: RunningCommand) -> AsyncIterator[bytes]:
    """Yield the output lines of a command. The last line contains its result, even if the connection was
    interrupted."""
    try:
        async for piece in running_command.pieces():
            yield piece
    except GreenroomError as error:
        yield b"\n" + msgspec.json.encode({"exit_code": None, "error_message": error.message}) + b"\n"
