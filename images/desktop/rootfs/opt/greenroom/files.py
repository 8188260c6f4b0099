"""Files that a viewer puts into the session and takes out of it, where the session was made so.

    GET files/        what is allowed, and what lies in ~/Downloads
    GET files/NAME    one of these
    PUT files/NAME    into ~/Uploads, under the next free name

KASM_SVC_UPLOADS and KASM_SVC_DOWNLOADS say what is allowed: 0 or false = not.
"""

import asyncio
import contextlib
import json
import os
import tempfile
from pathlib import Path
from urllib.parse import quote

from answers import CHUNK_BYTES, BadRequestError, Request, reply, send_file

UPLOAD_MAX_BYTES = 16 << 30
CHUNK_TIMEOUT_S = 60
LET_GO_S = 0.5
NAMES_TRIED = 1000
LAST = "Connection: close"
"""A request with a body is the last of its connection."""


def allowed(variable: str) -> bool:
    """Whether a service of the session is on."""
    return os.environ.get(variable, "1").lower() not in ("0", "false")


UPLOADS, DOWNLOADS = allowed("KASM_SVC_UPLOADS"), allowed("KASM_SVC_DOWNLOADS")


def folder(name: str) -> Path:
    """A folder in the home of the session's user."""
    return Path(os.environ.get("HOME", "/")) / name


async def answer(name: str, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request for files/`name`."""
    if request.method == "PUT":
        await take(name, request, reader, writer)
    elif request.method not in ("GET", "HEAD"):
        refuse(writer, "405 Method Not Allowed", "Use GET or PUT.")
    elif not name:
        body = {"uploads": UPLOADS, "downloads": DOWNLOADS, "files": listing() if DOWNLOADS else []}
        reply(writer, "200 OK", json.dumps(body).encode())
    elif not DOWNLOADS:
        refuse(writer, "403 Forbidden", "Downloads from this session are not allowed.")
    elif not is_name(name) or not (folder("Downloads") / name).is_file():
        refuse(writer, "404 Not Found", "There is no such file in Downloads.")
    else:
        disposition = f"Content-Disposition: attachment; filename*=UTF-8''{quote(name)}"
        await send_file(writer, request, folder("Downloads") / name, disposition)


def listing() -> list[dict[str, object]]:
    """Name, size and time of the files in ~/Downloads; those of browsers' unfinished downloads are left out."""
    found = []
    try:
        entries = sorted(os.scandir(folder("Downloads")), key=lambda entry: entry.name.lower())
    except OSError:
        return found
    for entry in entries:
        if entry.is_file() and is_name(entry.name) and not entry.name.endswith((".part", ".crdownload")):
            facts = entry.stat()
            found.append({"name": entry.name, "size_bytes": facts.st_size, "modified": facts.st_mtime})
    return found


def is_name(name: str) -> bool:
    """Whether it names a file in a folder and nothing else."""
    return not name.startswith(".") and "/" not in name and name.isprintable() and 0 < len(name.encode()) <= 240


async def take(name: str, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Store an upload: whole, or not at all."""
    length = request.headers.get("content-length", "")
    if problem := refusal(name, length):
        await let_go(reader)
        return refuse(writer, *problem)
    try:
        stored = await store(name, int(length), reader)
    except OSError as error:
        await let_go(reader)
        refuse(writer, "507 Insufficient Storage", f"The file could not be stored: {error.strerror}.")
    else:
        reply(writer, "201 Created", json.dumps({"name": stored}).encode(), "application/json", LAST)
    return None


def refusal(name: str, length: str) -> tuple[str, str] | None:
    """Status and sentence where an upload is not taken."""
    if not UPLOADS:
        return "403 Forbidden", "Uploads into this session are not allowed."
    if not is_name(name):
        return "400 Bad Request", "This is not a name for a file."
    if not length.isdecimal():
        return "411 Length Required", "The length of the file must be given."
    if int(length) > UPLOAD_MAX_BYTES:
        return "413 Content Too Large", f"A file may have {UPLOAD_MAX_BYTES >> 30} GiB at most."
    return None


async def let_go(reader: asyncio.StreamReader) -> None:
    """Read some of what is not wanted: closing before would take the refusal away from its reader."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LET_GO_S):
            while await reader.read(CHUNK_BYTES):
                pass


async def store(name: str, length: int, reader: asyncio.StreamReader) -> str:
    """Read the file and put it into ~/Uploads; returns the name it got."""
    uploads = folder("Uploads")
    uploads.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=uploads, prefix=".upload-") as file:
        left = length
        while left > 0:
            data = await asyncio.wait_for(reader.read(min(left, CHUNK_BYTES)), CHUNK_TIMEOUT_S)
            if not data:
                raise BadRequestError("the upload was broken off")
            file.write(data)
            left -= len(data)
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        return linked(Path(file.name), uploads, name)


def linked(file: Path, uploads: Path, name: str) -> str:
    """Give the file its name, or the next one that is free."""
    stem, suffix = Path(name).stem, Path(name).suffix
    for number in range(1, NAMES_TRIED):
        free = name if number == 1 else f"{stem} ({number}){suffix}"
        try:
            os.link(file, uploads / free)
        except FileExistsError:
            continue
        return free
    raise FileExistsError(17, "there are too many files of this name")


def refuse(writer: asyncio.StreamWriter, status: str, sentence: str) -> None:
    """Say why not."""
    reply(writer, status, json.dumps({"error_message": sentence}).encode(), "application/json", LAST)
