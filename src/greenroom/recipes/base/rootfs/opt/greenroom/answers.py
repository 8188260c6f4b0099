"""Requests and answers of the session's page: as much of HTTP 1.1 as it needs."""

import asyncio
import mimetypes
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl, unquote

CHUNK_BYTES = 1 << 18
READ_S = 60
SECURITY = (
    "Server: greenroom-desktop",
    "Cache-Control: no-cache",
    "X-Content-Type-Options: nosniff",
    "Referrer-Policy: no-referrer",
    "Content-Security-Policy: default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'",
)


class BadRequestError(Exception):
    """The other end violates HTTP or the websocket protocol."""


class Request:
    """The head of a request: its lines, method, path without query (`path`; `parts` are what stood between its slashes),
    query, headers by lower-case name.
    """

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

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection may carry another request; one with a body is the last."""
        return self.headers.get("connection", "").lower() != "close" and "content-length" not in self.headers

    def number(self, header: str) -> float:
        """The value of a header that is a number; 0 without it, or where it is none."""
        try:
            return float(self.headers.get(header, "0"))
        except ValueError:
            return 0.0


async def body(request: Request, reader: asyncio.StreamReader, at_most: int) -> bytes:
    """The body of a request, whole.

    Raises:
        BadRequestError: it is longer than that, or is not as HTTP has it.
    """
    whole = bytearray()
    async for part in sent(request, reader):
        whole += part
        if len(whole) > at_most:
            raise BadRequestError("a body that is too long")
    return bytes(whole)


async def sent(request: Request, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The body of a request, in parts.

    Raises:
        BadRequestError: it is not as HTTP has it, or is broken off.
    """
    if request.headers.get("transfer-encoding", "").lower() != "chunked":
        left = int(request.number("content-length"))
        while left > 0:
            left -= len(data := await some(reader, left))
            yield data
        return
    while size := chunk_size(await reader.readuntil(b"\r\n")):
        left = size
        while left > 0:
            left -= len(data := await some(reader, left))
            yield data
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass


def chunk_size(line: bytes) -> int:
    """The length in the first line of a chunk."""
    try:
        return int(line.split(b";")[0], 16)
    except ValueError as error:
        raise BadRequestError("a chunk without its length") from error


async def some(reader: asyncio.StreamReader, left: int) -> bytes:
    """The next bytes of a body."""
    data = await asyncio.wait_for(reader.read(min(left, CHUNK_BYTES)), READ_S)
    if not data:
        raise BadRequestError("the body was broken off")
    return data


def reply(writer: asyncio.StreamWriter, status: str, body: bytes, mime: str = "application/json", *extra: str) -> None:
    """Write a whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", f"Content-Type: {mime}", *SECURITY]
    writer.write("\r\n".join([*lines, *extra, "", ""]).encode() + body)


async def send_file(writer: asyncio.StreamWriter, request: Request, path: Path, *extra: str) -> None:
    """Answer with a file that exists, with an ETag so that asking again moves no bytes, or with the part of it that is asked
    for: a browser that was cut off in a download goes on there (`Range`, `If-Range`).
    """
    with path.open("rb") as file:
        facts = os.fstat(file.fileno())
        etag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
        if request.headers.get("if-none-match") == etag:
            writer.write("\r\n".join(["HTTP/1.1 304 Not Modified", f"ETag: {etag}", *SECURITY, "", ""]).encode())
            return None
        part = part_of(request, etag, facts.st_size)
        if part and part[0] >= facts.st_size:
            unmet = f"Content-Range: bytes */{facts.st_size}"
            return reply(writer, "416 Range Not Satisfiable", b"{}", "application/json", unmet)
        begin, end = part or (0, facts.st_size)
        left = end - begin
        mime = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        lines = ["HTTP/1.1 206 Partial Content" if part else "HTTP/1.1 200 OK", f"Content-Length: {left}"]
        lines += [f"Content-Type: {mime}", f"ETag: {etag}", "Accept-Ranges: bytes"]
        if part:
            lines += [f"Content-Range: bytes {begin}-{end - 1}/{facts.st_size}"]
        writer.write("\r\n".join([*lines, *SECURITY, *extra, "", ""]).encode())
        file.seek(begin)
        left = 0 if request.method == "HEAD" else left
        while left > 0:
            data = file.read(min(left, CHUNK_BYTES))
            if not data:
                raise BadRequestError("the file became shorter while it was sent")
            writer.write(data)
            await writer.drain()
            left -= len(data)
    return None


def part_of(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """The first byte of the part that is asked for and the one behind it, the first one past `size` where there is no such
    part; None = the whole file. Several parts at once are answered with the whole.
    """
    found = re.fullmatch(r"bytes=(\d{0,15})-(\d{0,15})", request.headers.get("range", ""))
    if not found or found[0] == "bytes=-" or request.headers.get("if-range", etag) != etag:
        return None
    first, last = found.groups()
    if not first:
        return (max(0, size - int(last)), size) if int(last) and size else (size, size)
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1 if last else size, size)
