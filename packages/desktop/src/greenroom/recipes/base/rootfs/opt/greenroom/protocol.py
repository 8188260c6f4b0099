"""The part of HTTP 1.1 and of websockets (RFC 6455) that page.py needs."""

import asyncio
import base64
import contextlib
import errno
import hashlib
import json
import mimetypes
import os
import re
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl, unquote

CHUNK_BYTES = 1 << 18
READ_TIMEOUT_S = 60
DISCARD_S = 0.5
PIECE_BYTES = 1 << 16
CONNECTION_CLOSE = "Connection: close"
"""The header of an answer after which the server closes the connection, for example after a request with a body."""
COMMON_HEADERS = (
    "Server: greenroom-desktop",
    "Cache-Control: no-cache",
    "X-Content-Type-Options: nosniff",
    "Referrer-Policy: no-referrer",
    "Content-Security-Policy: default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'",
)


class BadRequestError(Exception):
    """The other side violates HTTP, the websocket protocol or RFB, or has interrupted a transfer. The connection
    ends."""


class RefusedError(Exception):
    """A request is refused. The arguments are the HTTP status, such as "404 Not Found", and the message."""


class Request:
    """The head of a request: its lines, its method, the decoded path without query, the decoded segments of the path
    (`parts`), the parameters of the query, and the headers by name in lower case."""

    def __init__(self, head: bytes) -> None:
        self.lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        first, *lines = self.lines
        try:
            self.method, target, _ = first.split(" ", 2)
        except ValueError as error:
            raise BadRequestError(first) from error
        path, _, query = target.partition("?")
        self.path = unquote(path, errors="replace")
        if "\0" in self.path:
            raise BadRequestError(first)
        self.parts = [unquote(part, errors="replace") for part in path.removeprefix("/").split("/")]
        self.query = dict(parse_qsl(query, keep_blank_values=True))
        pairs = (line.partition(":") for line in lines if line)
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self.websocket: Websocket | None = None

    @property
    def keeps_alive(self) -> bool:
        """True if another request may follow on the connection; a request with a body is the last."""
        return self.headers.get("connection", "").lower() != "close" and "content-length" not in self.headers

    def number(self, header: str) -> float:
        """The value of a numeric header; 0 if the header is missing or not a number."""
        try:
            return float(self.headers.get(header, "0"))
        except ValueError:
            return 0.0


async def body(request: Request, reader: asyncio.StreamReader, max_bytes: int) -> bytes:
    """Return the whole body of a request.

    Raises:
        BadRequestError: the body is longer than `max_bytes`, violates HTTP, or is incomplete.
    """
    content = bytearray()
    async for part in body_parts(request, reader):
        content += part
        if len(content) > max_bytes:
            raise BadRequestError("the body is too long")
    return bytes(content)


async def body_parts(request: Request, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the body of a request in parts.

    Raises:
        BadRequestError: the body violates HTTP, or is incomplete.
    """
    if request.headers.get("transfer-encoding", "").lower() != "chunked":
        remaining = int(request.number("content-length"))
        while remaining > 0:
            remaining -= len(data := await read_some(reader, remaining))
            yield data
        return
    while size := chunk_size(await reader.readuntil(b"\r\n")):
        remaining = size
        while remaining > 0:
            remaining -= len(data := await read_some(reader, remaining))
            yield data
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass


def chunk_size(line: bytes) -> int:
    """The length in the first line of a chunk."""
    try:
        return int(line.split(b";")[0], 16)
    except ValueError as error:
        raise BadRequestError("a chunk has no valid length") from error


async def read_some(reader: asyncio.StreamReader, remaining: int) -> bytes:
    """The next bytes of a body."""
    data = await asyncio.wait_for(reader.read(min(remaining, CHUNK_BYTES)), READ_TIMEOUT_S)
    if not data:
        raise BadRequestError("the body is incomplete")
    return data


def reply(writer: asyncio.StreamWriter, status: str, body: bytes, mime: str = "application/json", *extra: str) -> None:
    """Write a complete answer; `extra` are additional header lines."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", f"Content-Type: {mime}", *COMMON_HEADERS]
    writer.write("\r\n".join([*lines, *extra, "", ""]).encode() + body)


async def send_file(writer: asyncio.StreamWriter, request: Request, path: Path, *extra: str) -> None:
    """Answer with an existing file; `extra` are additional header lines. With the ETag, a client avoids a repeated
    transfer; with `Range` and `If-Range`, it requests a part of the file, such as the rest of an interrupted
    download."""
    with path.open("rb") as file:
        file_status = os.fstat(file.fileno())
        etag = f'"{file_status.st_mtime_ns:x}-{file_status.st_size:x}"'
        if request.headers.get("if-none-match") == etag:
            writer.write("\r\n".join(["HTTP/1.1 304 Not Modified", f"ETag: {etag}", *COMMON_HEADERS, "", ""]).encode())
            return None
        part = requested_range(request, etag, file_status.st_size)
        if part and part[0] >= file_status.st_size:
            content_range = f"Content-Range: bytes */{file_status.st_size}"
            return reply(writer, "416 Range Not Satisfiable", b"{}", "application/json", content_range)
        begin, end = part or (0, file_status.st_size)
        remaining = end - begin
        mime = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        lines = ["HTTP/1.1 206 Partial Content" if part else "HTTP/1.1 200 OK", f"Content-Length: {remaining}"]
        lines += [f"Content-Type: {mime}", f"ETag: {etag}", "Accept-Ranges: bytes"]
        if part:
            lines += [f"Content-Range: bytes {begin}-{end - 1}/{file_status.st_size}"]
        writer.write("\r\n".join([*lines, *COMMON_HEADERS, *extra, "", ""]).encode())
        file.seek(begin)
        remaining = 0 if request.method == "HEAD" else remaining
        while remaining > 0:
            data = file.read(min(remaining, CHUNK_BYTES))
            if not data:
                raise BadRequestError("the file became shorter while it was sent")
            writer.write(data)
            await writer.drain()
            remaining -= len(data)
    return None


def requested_range(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """The requested part of a file with `size` bytes: the position of its first byte, and the position after its last
    byte. If the first position is `size` or more, the part does not exist. None: the whole file must be sent, also if
    several parts are requested."""
    found = re.fullmatch(r"bytes=(\d{0,15})-(\d{0,15})", request.headers.get("range", ""))
    if not found or found[0] == "bytes=-" or request.headers.get("if-range", etag) != etag:
        return None
    first, last = found.groups()
    if not first:
        return (max(0, size - int(last)), size) if int(last) and size else (size, size)
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1 if last else size, size)


class Chunks:
    """An answer in HTTP chunks. A client considers the answer incomplete until `end` is called."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._write_lock = asyncio.Lock()

    def begin(self, mime: str, *extra: str) -> None:
        """Write the head of the answer."""
        lines = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", f"Content-Type: {mime}", "Connection: close"]
        self._writer.write("\r\n".join([*lines, *COMMON_HEADERS, *extra, "", ""]).encode())

    async def send(self, data: bytes) -> None:
        """Write a chunk after all earlier chunks.

        Raises:
            OSError: the client has disconnected.
        """
        async with self._write_lock:
            self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await self._writer.drain()

    def end(self) -> None:
        """Write the end of the answer."""
        self._writer.write(b"0\r\n\r\n")


async def run_while_connected(reader: asyncio.StreamReader, work: "asyncio.Task[None]") -> bool:
    """Run `work` until it is done, or cancel it when the client disconnects. All data that the client sends meanwhile
    is discarded. Return True if the work was done.
    """
    disconnected = asyncio.create_task(_until_closed(reader))
    try:
        await asyncio.wait({work, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        was_done = work.done()
    finally:
        disconnected.cancel()
        work.cancel()
        await asyncio.gather(work, disconnected, return_exceptions=True)
    if was_done:
        work.result()
    return was_done


async def _until_closed(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(1 << 10):
            pass
    except OSError:
        pass  # a broken connection counts as closed


REFUSED_BY_SYSTEM = {
    errno.ENOENT: "404 Not Found",
    errno.ENOTDIR: "409 Conflict",
    errno.EISDIR: "409 Conflict",
    errno.EEXIST: "409 Conflict",
    errno.ENOTEMPTY: "409 Conflict",
    errno.EACCES: "403 Forbidden",
    errno.EPERM: "403 Forbidden",
    errno.EROFS: "403 Forbidden",
    errno.ENAMETOOLONG: "400 Bad Request",
    errno.ELOOP: "400 Bad Request",
    errno.EINVAL: "400 Bad Request",
    errno.E2BIG: "413 Content Too Large",
    errno.ENOSPC: "507 Insufficient Storage",
    errno.EDQUOT: "507 Insufficient Storage",
}
"""Error of the operating system → the status of the refusal. All other errors are internal errors."""


def status_and_message(error: Exception) -> tuple[str, str]:
    """The status and the message for an error."""
    if isinstance(error, RefusedError):
        return error.args[0], error.args[1]
    if isinstance(error, OSError):
        named = f" ({error.filename})" if isinstance(error.filename, str) else ""
        return REFUSED_BY_SYSTEM.get(error.errno, "500 Internal Server Error"), f"{error.strerror or error}{named}."
    return "400 Bad Request", f"{error}."


def refuse(writer: asyncio.StreamWriter, status: str, sentence: str, *extra: str) -> None:
    """Refuse a request with this status and message."""
    reply(writer, status, json.dumps({"error_message": sentence}).encode(), "application/json", CONNECTION_CLOSE, *extra)


async def discard_input(reader: asyncio.StreamReader) -> None:
    """Read and discard data for `DISCARD_S`, before a request is refused: if the connection were closed earlier, the
    client could lose the refusal."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_S):
            while await reader.read(CHUNK_BYTES):
                pass


async def refuse_error(
    error: Exception, writer: asyncio.StreamWriter, unread_body: asyncio.StreamReader | None = None
) -> None:
    """Refuse a request with the status and the message of `error`. `unread_body` is the connection if the client may
    still be sending the body.

    Raises:
        ConnectionError, EOFError, TimeoutError, BadRequestError: `error` itself, because the connection must end.
    """
    if isinstance(error, (ConnectionError, EOFError, TimeoutError, BadRequestError)):
        raise error
    if unread_body:
        await discard_input(unread_body)
    refuse(writer, *status_and_message(error))


MAX_MESSAGE_BYTES = 16 << 20
MAX_REASON_BYTES = 123
"""The maximum length of the reason in a close frame."""
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
"""Opcodes of websocket frames."""
CONTINUATION, FIRST_CONTROL_OPCODE, MASKED = 0, 8, 128
"""The opcode of a continued message, the lowest opcode of control frames, and the flag of a frame with a mask."""


def accept(request: Request, writer: asyncio.StreamWriter) -> None:
    """Accept the upgrade of a request to a websocket."""
    key = request.headers.get("sec-websocket-key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    answer = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Accept: {answer}"]
    if "binary" in request.headers.get("sec-websocket-protocol", ""):
        lines += ["Sec-WebSocket-Protocol: binary"]
    writer.write("\r\n".join([*lines, "", ""]).encode())


class Websocket:
    """An open websocket, which `close` ends from this side. `message_lock` is locked while a message is sent in
    pieces; nothing may be sent inside the message."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.message_lock = asyncio.Lock()
        self.is_closing = False
        self.ended = asyncio.Event()

    async def close(self, code: int, reason: str) -> None:
        """Send the close code and its reason, and wait until the client has closed the connection."""
        await self.message_lock.acquire()  # it stays locked, because no message may follow
        self.is_closing = True
        self._writer.write(frame(CLOSE, struct.pack(">H", code) + reason.encode()[:MAX_REASON_BYTES]))
        await self.ended.wait()


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read the next frame of a client. Return its opcode and its unmasked payload."""
    first, second = await reader.readexactly(2)
    length = second & 127
    if length == 126:
        (length,) = struct.unpack(">H", await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack(">Q", await reader.readexactly(8))
    if not second & 128 or length > MAX_MESSAGE_BYTES:
        raise BadRequestError("a frame has no mask or is too long")
    mask = await reader.readexactly(4)
    return first & 15, unmasked(await reader.readexactly(length), mask)


def unmasked(data: bytes, mask: bytes) -> bytes:
    """Apply a mask of 4 bytes to a payload; a second call with the same mask restores the payload."""
    pattern = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pattern, "big")).to_bytes(len(data), "big")


def frame(opcode: int, data: bytes) -> bytes:
    """The bytes of a message of the server, in one frame."""
    length = len(data)
    if length < 126:
        head = struct.pack(">BB", 0x80 | opcode, length)
    elif length < 1 << 16:
        head = struct.pack(">BBH", 0x80 | opcode, 126, length)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 127, length)
    return head + data


def masked(opcode: int, data: bytes) -> bytes:
    """The bytes of a message of a client, in one frame; `data` has less than 126 bytes."""
    mask = os.urandom(4)
    return bytes((0x80 | opcode, 0x80 | len(data))) + mask + unmasked(data, mask)


async def read_head(reader: asyncio.StreamReader) -> tuple[bytes, bool, int, int]:
    """Read the head of the next frame. Return the bytes of the head with the mask, True for the last frame of a
    message, the opcode, and the length of the payload in bytes."""
    head = await reader.readexactly(2)
    length = head[1] & 127
    if length >= 126:
        size = await reader.readexactly(2 if length == 126 else 8)
        head += size
        (length,) = struct.unpack(">H" if len(size) == 2 else ">Q", size)
    if head[1] & MASKED:
        head += await reader.readexactly(4)
    return head, head[0] >= 128, head[0] & 15, length


async def copy_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, length: int) -> None:
    """Copy `length` bytes."""
    while length > 0:
        data = await reader.readexactly(min(length, PIECE_BYTES))
        writer.write(data)
        length -= len(data)
        await writer.drain()


async def forward_request(
    lines: list[str],
    request: Request,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Send the request with these `lines` to `upstream`. Relay the data of both sides until `upstream` ends, or, after
    an upgrade, until one side ends."""
    is_upgrade = "upgrade" in request.headers
    program_reader, program_writer = upstream
    head = [*lines, f"Connection: {'Upgrade' if is_upgrade else 'close'}", "", ""]
    program_writer.write("\r\n".join(head).encode("latin-1"))
    forward = asyncio.create_task(_copy(reader, program_writer))
    back = asyncio.create_task(_copy(program_reader, writer))
    try:
        await asyncio.wait({forward, back} if is_upgrade else {back}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        forward.cancel()
        back.cancel()
        await asyncio.gather(forward, back, return_exceptions=True)
        program_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
