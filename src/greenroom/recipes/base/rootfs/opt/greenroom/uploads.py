"""Files that a viewer puts into ~/Uploads: whole, or in pieces that go on where a cut connection ended.

An upload in pieces has an id that its sender chose, and each piece says where it belongs (`Content-Range`). Until the last
byte is there it is a hidden file in ~/Uploads; one that got no piece for a day is removed. What a piece says is believed
as far as it makes nothing larger: it must begin where the file ends, and end within the limit.
"""

import asyncio
import contextlib
import errno
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from answers import CHUNK_BYTES, BadRequestError, Request, reply
from folders import folder, place

UPLOAD_MAX_BYTES = 16 << 30
CHUNK_TIMEOUT_S = 60
LET_GO_S = 0.5
NAMES_TRIED = 1000
FINISHED_KEPT = 1000
UNFINISHED = ".upload-"
UNFINISHED_KEPT_S = 24 * 3600
EXPIRE_EVERY_S = 3600
LAST = "Connection: close"
"""A request with a body is the last of its connection."""

finished: dict[str, str] = {}
"""Id → name of uploads in pieces that are complete: the answer to a last piece may be lost, and the piece sent again."""
owners: dict[str, object] = {}
"""Id → who writes it: of two connections the newer one, since the older was cut where the page could see it."""


class UploadError(Exception):
    """Status and sentence for a request that is not carried out."""


class Piece:
    """The part of an upload that a request brings: its bytes from `begin` on, of `total`; a whole file has no `id`."""

    def __init__(self, request: Request) -> None:
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            raise UploadError("411 Length Required", "The length of the file must be given.")
        self.id, self.begin, self.length, self.total = request.query.get("upload", ""), 0, int(length), int(length)
        if self.id:
            found = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", request.headers.get("content-range", ""))
            if not found or not is_id(self.id):
                raise UploadError("400 Bad Request", "This is not a piece of an upload.")
            self.begin, last, self.total = map(int, found.groups())
            if last - self.begin + 1 != self.length or last >= self.total:
                raise UploadError("400 Bad Request", "The piece does not have the length that it says.")


def max_bytes(request: Request) -> int:
    """The largest file that this viewer may upload."""
    limit = int(request.number("x-greenroom-max-upload-mb") * 1_000_000)
    return min(limit or UPLOAD_MAX_BYTES, UPLOAD_MAX_BYTES)


async def take(
    names: list[str], request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Store an upload or a piece of one; a piece that is not the last is answered with what is there now."""
    try:
        target = place("Uploads", names)
        if target is None or not names:
            raise UploadError("400 Bad Request", "This is not a name for a file.")
        piece = Piece(request)
        check_room(piece, max_bytes(request))
        name = await store(target, piece, reader)
    except UploadError as error:
        await let_go(reader)
        status, sentence, *more = error.args
        body = {"error_message": sentence} | (more[0] if more else {})
    else:
        received = {"received_bytes": piece.begin + piece.length}
        status, body = ("202 Accepted", received) if name is None else ("201 Created", {"name": name})
    reply(writer, status, json.dumps(body).encode(), "application/json", LAST)


def progress(request: Request, writer: asyncio.StreamWriter) -> None:
    """How much of an upload in pieces is there; with DELETE it is removed, since its user cancelled it."""
    upload, received = request.query.get("upload", ""), 0
    if is_id(upload):
        path = unfinished(upload)
        if request.method == "DELETE":
            owners.pop(upload, None)
            path.unlink(missing_ok=True)
        elif path.exists():
            received = path.stat().st_size
    reply(writer, "200 OK", json.dumps({"received_bytes": received}).encode())


def is_id(text: str) -> bool:
    """Whether it can be the id of an upload in pieces."""
    return re.fullmatch(r"[0-9a-f]{32}", text) is not None


def check_room(piece: Piece, limit: int) -> None:
    """Raises UploadError where the file is too large, or there is no room for the rest of it."""
    if piece.total > limit:
        at_most = f"{limit / 1_000_000:g} MB" if limit < UPLOAD_MAX_BYTES else f"{limit >> 30} GiB"
        sentence = f"The file is too large: up to {at_most} may be uploaded into this session at a time."
        raise UploadError("413 Content Too Large", sentence)
    with storing(unfinished(piece.id) if piece.id else None):
        folder("Uploads").mkdir(exist_ok=True)
        disk = os.statvfs(folder("Uploads"))
        if piece.total - piece.begin > disk.f_bavail * disk.f_frsize:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def storing(path: Path | None) -> Iterator[None]:
    """Where the disk refuses, what of the upload lies at `path` is removed, and its sender gets the reason."""
    try:
        yield
    except OSError as error:
        if path:
            path.unlink(missing_ok=True)
        sentence = f"The file could not be stored: {error.strerror or error}."
        raise UploadError("507 Insufficient Storage", sentence) from error


async def let_go(reader: asyncio.StreamReader) -> None:
    """Read some of what is not wanted: closing before would take the refusal away from its reader."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LET_GO_S):
            while await reader.read(CHUNK_BYTES):
                pass


async def store(target: Path, piece: Piece, reader: asyncio.StreamReader) -> str | None:
    """Read the piece; the name that the file got, below ~/Uploads, or None as long as more of it is to come."""
    if piece.id:
        return await store_piece(target, piece, reader)
    with storing(None):
        file = tempfile.NamedTemporaryFile(dir=folder("Uploads"), prefix=UNFINISHED)  # noqa: SIM115 -- closed below
    with file:
        await receive(file.fileno(), piece, reader)
        with storing(None):
            return linked(Path(file.name), target)


async def store_piece(target: Path, piece: Piece, reader: asyncio.StreamReader) -> str | None:
    """`store` of an upload in pieces; what a cut connection brought stays."""
    if piece.id in finished:
        await let_go(reader)
        return finished[piece.id]
    path, me = unfinished(piece.id), object()
    received = path.stat().st_size if path.exists() else 0
    owners[piece.id] = me
    try:
        if received != piece.begin:
            raise UploadError("409 Conflict", "Another piece is to come.", {"received_bytes": received})
        with storing(path):
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            await receive(file.fileno(), piece, reader, path)
    finally:
        if owners.get(piece.id) is me:
            del owners[piece.id]
    if piece.begin + piece.length < piece.total:
        return None
    with storing(path):
        name = linked(path, target)
        path.unlink()
    finished[piece.id] = name
    if len(finished) > FINISHED_KEPT:
        del finished[next(iter(finished))]
    return name


async def receive(descriptor: int, piece: Piece, reader: asyncio.StreamReader, path: Path | None = None) -> None:
    """Append what the piece brings."""
    left, owner = piece.length, owners.get(piece.id)
    while left > 0:
        data = await asyncio.wait_for(reader.read(min(left, CHUNK_BYTES)), CHUNK_TIMEOUT_S)
        if not data or owners.get(piece.id) is not owner:
            raise BadRequestError("the upload was broken off")
        left -= len(data)
        with storing(path):
            while data:
                data = data[os.write(descriptor, data) :]


def linked(file: Path, target: Path, root: Path | None = None) -> str:
    """Give the file its name, or the next one that is free; returns it, below `root` (~/Uploads)."""
    file.chmod(0o644)
    target.parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, NAMES_TRIED):
        free = target if number == 1 else target.with_name(f"{target.stem} ({number}){target.suffix}")
        try:
            os.link(file, free)
        except FileExistsError:
            continue
        return str(free.relative_to(root or folder("Uploads")))
    raise FileExistsError(errno.EEXIST, "there are too many files of this name")


def unfinished(upload: str) -> Path:
    """Where an upload in pieces lies until it is complete."""
    return folder("Uploads") / f"{UNFINISHED}{upload}"


async def expire() -> None:
    """Remove the uploads in pieces that did not go on for a day, for as long as the page is served."""
    while True:
        for path in folder("Uploads").glob(f"{UNFINISHED}*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - UNFINISHED_KEPT_S:
                    path.unlink()
        await asyncio.sleep(EXPIRE_EVERY_S)
