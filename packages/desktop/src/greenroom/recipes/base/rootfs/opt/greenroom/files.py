"""Files that a viewer uploads into the session and downloads from the session.

    GET files/PATH/           the permissions, and the content of a folder in ~/Downloads; with ?in=Uploads in ~/Uploads
    GET files/PATH/?zip       the folder as a zip archive
    GET files/PATH            a file; with ?open, the browser displays a PDF instead of storing it
    GET files/?upload=ID      the received size of an upload in pieces
    PUT files/PATH            a file for ~/Uploads; with ?upload=ID and Content-Range, a piece of a file. If the name is
                              used, a number is added
    DELETE files/?upload=ID   cancel an upload in pieces

KASM_SVC_UPLOADS and KASM_SVC_DOWNLOADS set the permissions: 0 or false = not allowed.

A file arrives in one request, or in pieces, so that the upload can continue after a broken connection. The sender
chooses the id of an upload in pieces, and sends the position of each piece (`Content-Range`). An incomplete upload is a
hidden file in ~/Uploads, which is removed a day after its last piece. A piece must begin at the end of this file, and
end within the size limit.
"""

import asyncio
import contextlib
import errno
import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from protocol import (
    CHUNK_BYTES,
    CONNECTION_CLOSE,
    BadRequestError,
    RefusedError,
    Request,
    discard_input,
    refuse,
    refuse_error,
    reply,
    send_file,
)
from viewers import allowed, is_view_only

ROOTS = ("Downloads", "Uploads")
MAX_LISTED = 2000
"""The maximum number of entries in a listing; the rest of a larger folder is left out."""
NOTHING: dict[str, object] = {"files": [], "folders": [], "left_out": 0}
"""The listing of a folder that does not exist yet, or that the viewer may not see."""
UPLOAD_MAX_BYTES = 16 << 30
CHUNK_TIMEOUT_S = 60
MAX_NAMES_TRIED = 1000
FINISHED_KEPT = 1000
"""The maximum number of entries in `finished`."""
UNFINISHED, UNFINISHED_PUT = ".upload-", ".greenroom-"
"""The prefixes of the names of incomplete uploads: of viewers, and of programs."""
UNFINISHED_KEPT_S = 24 * 3600
EXPIRE_EVERY_S = 3600

finished: dict[str, str] = {}
"""Id → name of the file, for complete uploads in pieces: if the answer to the last piece is lost, the sender repeats
the piece."""
writers: dict[str, object] = {}
"""Id → an object that identifies the request that may write the upload. A newer request replaces an older one, because
the sender repeats a piece only if the older connection is broken."""

UPLOADS, DOWNLOADS = allowed("KASM_SVC_UPLOADS"), allowed("KASM_SVC_DOWNLOADS")


async def answer(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request for an address below files/."""
    names = request.parts[1:]
    if is_view_only(request) and (any(names) or request.query or request.method not in ("GET", "HEAD")):
        await discard_input(reader)
        refuse(writer, "403 Forbidden", "You can only view this session; its files are not available to you.")
    elif request.method == "PUT" or "upload" in request.query:
        if not UPLOADS:
            await discard_input(reader)
            refuse(writer, "403 Forbidden", "Uploads into this session are not allowed.")
        elif request.method == "PUT":
            await receive_upload(names, request, reader, writer)
        else:
            answer_progress(request, writer)
    elif request.method in ("GET", "HEAD"):
        await send_entry(names, request, writer)
    else:
        refuse(writer, "405 Method Not Allowed", "Use GET, PUT or DELETE.")


async def send_entry(names: list[str], request: Request, writer: asyncio.StreamWriter) -> None:
    """Answer with a folder or a file, or with the reason why it cannot be read."""
    try:
        await send_content(names, request, writer)
    except OSError as error:
        await refuse_error(error, writer)


async def send_content(names: list[str], request: Request, writer: asyncio.StreamWriter) -> None:
    """Do the same as `send_entry`. Raises OSError: the folder or file cannot be read."""
    *folders, name = names
    root = request.query.get("in", ROOTS[0])
    if not any(names) and (not DOWNLOADS or is_view_only(request)):
        return reply(writer, "200 OK", json.dumps(permissions_of(request) | NOTHING).encode())
    path = path_in(root, names if name else folders) if root in ROOTS else None
    attachment = "Content-Disposition: attachment; filename*=UTF-8''"
    if not DOWNLOADS:
        refuse(writer, "403 Forbidden", "Downloads from this session are not allowed.")
    elif path is None or (name and not path.is_file()):
        refuse(writer, "404 Not Found", f"There is no such file in {root if root in ROOTS else ROOTS[0]}.")
    elif name:
        # a browser displays a PDF in its own viewer, and scripts in the PDF cannot access the web page
        is_displayed = "open" in request.query and name.lower().endswith(".pdf")
        await send_file(writer, request, path, (attachment.replace("attachment", "inline") if is_displayed else attachment) + quote(name))
    elif folders and not path.is_dir():
        refuse(writer, "404 Not Found", f"There is no such folder in {root}.")
    elif "zip" in request.query:
        from archives import send_folder  # noqa: PLC0415 -- 2 MB of memory that most sessions never need

        try:
            await send_folder(writer, path, attachment + quote(f"{path.name}.zip"))
        except OSError as error:  # the answer has begun; the end of the connection shows that it is incomplete
            raise BadRequestError(f"a file could not be read: {error}") from error
    else:
        try:
            content = listing(path, lambda name: name.startswith("."), is_complete)
        except FileNotFoundError:
            content = NOTHING
        reply(writer, "200 OK", json.dumps(permissions_of(request) | content).encode())
    return None


def permissions_of(request: Request) -> dict[str, object]:
    """The permissions of this viewer for files."""
    may_change = not is_view_only(request)
    limit = max_bytes(request)
    return {"uploads": UPLOADS and may_change, "downloads": DOWNLOADS and may_change, "max_upload_bytes": limit}


def folder(name: str) -> Path:
    """A folder in the home of the session's user."""
    return Path(os.environ.get("HOME", "/")) / name


def is_name(name: str) -> bool:
    """True if viewers may use the name for a file or folder."""
    return not name.startswith(".") and "/" not in name and name.isprintable() and 0 < len(name.encode()) <= 240


def path_in(root: str, names: list[str]) -> Path | None:
    """The path below ~/`root` that consists of `names`; None if one of the names is not valid."""
    return folder(root).joinpath(*names) if all(is_name(name) for name in names) else None


def make_folder(path: Path) -> None:
    """Create a folder and its parents with mode 755, as programs of the desktop do; page.py has a stricter umask."""
    for each in reversed((path, *path.parents)):
        if not each.is_dir():
            each.mkdir()
            each.chmod(0o755)


def listing(path: Path, hides: Callable[[str], bool], offers: Callable[[str], bool]) -> dict[str, object]:
    """List a folder, sorted by name, without the names that `hides` accepts. `left_out` is the number of all other
    entries that are not listed: those beyond `MAX_LISTED`, with a name that `offers` rejects, or neither a file nor a
    folder, such as a link that cannot be followed. Raises OSError: the folder cannot be read."""
    files: list[dict[str, object]] = []
    folders: list[dict[str, object]] = []
    left_out = 0
    with os.scandir(path) as found:
        entries = sorted((each for each in found if not hides(each.name)), key=lambda each: each.name.lower())
    for entry in entries:
        is_offered = len(files) + len(folders) < MAX_LISTED and offers(entry.name)
        status = status_of(entry) if is_offered else None
        if status and stat.S_ISDIR(status.st_mode):
            folders.append({"name": entry.name, "modified": status.st_mtime})
        elif status and stat.S_ISREG(status.st_mode):
            files.append({"name": entry.name, "size_bytes": status.st_size, "modified": status.st_mtime})
        else:
            left_out += 1
    return {"files": files, "folders": folders, "left_out": left_out}


def status_of(entry: os.DirEntry[str]) -> os.stat_result | None:
    """The status of a file or folder, or of the target of a link. None if it was removed meanwhile, or if the link
    cannot be followed: one such entry must not prevent the listing of the others."""
    try:
        return entry.stat()
    except OSError:
        return None


def is_complete(name: str) -> bool:
    """True if viewers may use the name, and it is not that of an incomplete download of a browser."""
    return is_name(name) and not name.endswith((".part", ".crdownload"))


class Piece:
    """The piece of a file in a request: `length` bytes from the position `begin` on, of a file with `total` bytes. `id`
    is empty if the request contains the whole file.

    Raises:
        RefusedError: the headers of the request are not valid.
    """

    def __init__(self, request: Request) -> None:
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            raise RefusedError("411 Length Required", "The length of the file is missing.")
        self.id, self.begin, self.length, self.total = request.query.get("upload", ""), 0, int(length), int(length)
        if self.id:
            found = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", request.headers.get("content-range", ""))
            if not found or not is_id(self.id):
                raise RefusedError("400 Bad Request", "The request is not a valid piece of an upload.")
            self.begin, last, self.total = map(int, found.groups())
            if last - self.begin + 1 != self.length or last >= self.total:
                raise RefusedError("400 Bad Request", "The length of the piece does not match its Content-Range.")


def max_bytes(request: Request) -> int:
    """The size limit for uploads of this viewer, in bytes."""
    limit = int(request.number("x-greenroom-max-upload-mb") * 1_000_000)
    return min(limit or UPLOAD_MAX_BYTES, UPLOAD_MAX_BYTES)


async def receive_upload(
    names: list[str], request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Store a file or a piece of a file. The answer is the name of the stored file; before the last piece, the received
    size."""
    try:
        target = path_in("Uploads", names)
        if target is None or not names:
            raise RefusedError("400 Bad Request", "The name of the file is not valid.")
        piece = Piece(request)
        check_size(piece, max_bytes(request))
        name = await store(target, piece, reader)
    except RefusedError as error:
        await discard_input(reader)
        status, sentence, *more = error.args
        body = {"error_message": sentence} | (more[0] if more else {})
    else:
        received = {"received_bytes": piece.begin + piece.length}
        status, body = ("202 Accepted", received) if name is None else ("201 Created", {"name": name})
    reply(writer, status, json.dumps(body).encode(), "application/json", CONNECTION_CLOSE)


def answer_progress(request: Request, writer: asyncio.StreamWriter) -> None:
    """Answer with the received size of an upload in pieces. DELETE cancels the upload: it is removed."""
    upload, received = request.query.get("upload", ""), 0
    if is_id(upload):
        path = unfinished(upload)
        if request.method == "DELETE":
            writers.pop(upload, None)
            path.unlink(missing_ok=True)
        elif path.exists():
            received = path.stat().st_size
    reply(writer, "200 OK", json.dumps({"received_bytes": received}).encode())


def is_id(text: str) -> bool:
    """True if the text can be the id of an upload in pieces."""
    return re.fullmatch(r"[0-9a-f]{32}", text) is not None


def check_size(piece: Piece, limit: int) -> None:
    """Check that the file of a piece may be stored.

    Raises:
        RefusedError: the file is larger than `limit` bytes, or there is not enough space for the rest of the file.
    """
    if piece.total > limit:
        at_most = f"{limit / 1_000_000:g} MB" if limit < UPLOAD_MAX_BYTES else f"{limit >> 30} GiB"
        sentence = f"The file is too large: up to {at_most} may be uploaded into this session at a time."
        raise RefusedError("413 Content Too Large", sentence)
    with refusing_disk_errors(unfinished(piece.id) if piece.id else None):
        folder("Uploads").mkdir(exist_ok=True)
        disk = os.statvfs(folder("Uploads"))
        if piece.total - piece.begin > disk.f_bavail * disk.f_frsize:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def refusing_disk_errors(path: Path | None) -> Iterator[None]:
    """Convert an OSError of the block into a refusal, and remove the incomplete upload at `path`.

    Raises:
        RefusedError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        if path:
            path.unlink(missing_ok=True)
        sentence = f"The file could not be stored: {error.strerror or error}."
        raise RefusedError("507 Insufficient Storage", sentence) from error


async def store(target: Path, piece: Piece, reader: asyncio.StreamReader) -> str | None:
    """Receive the piece. Return the path of the file relative to ~/Uploads; None if the upload is not complete."""
    if piece.id:
        return await store_piece(target, piece, reader)
    with refusing_disk_errors(None):
        file = tempfile.NamedTemporaryFile(dir=folder("Uploads"), prefix=UNFINISHED)  # noqa: SIM115 -- closed below
    with file:
        await receive(file.fileno(), piece, reader)
        with refusing_disk_errors(None):
            return link_under_free_name(Path(file.name), target)


async def store_piece(target: Path, piece: Piece, reader: asyncio.StreamReader) -> str | None:
    """Do the same as `store` for an upload in pieces. The data that was received before a broken connection is kept.

    Raises:
        RefusedError: the piece does not begin at the end of the received data.
    """
    if piece.id in finished:
        await discard_input(reader)
        return finished[piece.id]
    path, this_request = unfinished(piece.id), object()
    received = path.stat().st_size if path.exists() else 0
    writers[piece.id] = this_request
    try:
        if received != piece.begin:
            raise RefusedError("409 Conflict", "Another piece is expected.", {"received_bytes": received})
        with refusing_disk_errors(path):
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            await receive(file.fileno(), piece, reader, path)
    finally:
        if writers.get(piece.id) is this_request:
            del writers[piece.id]
    if piece.begin + piece.length < piece.total:
        return None
    with refusing_disk_errors(path):
        name = link_under_free_name(path, target)
        path.unlink()
    finished[piece.id] = name
    if len(finished) > FINISHED_KEPT:
        del finished[next(iter(finished))]
    return name


async def receive(descriptor: int, piece: Piece, reader: asyncio.StreamReader, path: Path | None = None) -> None:
    """Append the bytes of the piece to the open file. An error of the disk removes the file at `path`.

    Raises:
        BadRequestError: the connection is broken, or a newer request has replaced this request.
    """
    left, owner = piece.length, writers.get(piece.id)
    while left > 0:
        data = await asyncio.wait_for(reader.read(min(left, CHUNK_BYTES)), CHUNK_TIMEOUT_S)
        if not data or writers.get(piece.id) is not owner:
            raise BadRequestError("the upload was interrupted")
        left -= len(data)
        with refusing_disk_errors(path):
            while data:
                data = data[os.write(descriptor, data) :]


def link_under_free_name(file: Path, target: Path, root: Path | None = None) -> str:
    """Link `file` at `target`, or at the first unused name with a number. Return the new path relative to `root`
    (default: ~/Uploads)."""
    file.chmod(0o644)
    target.parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, MAX_NAMES_TRIED):
        free = target if number == 1 else target.with_name(f"{target.stem} ({number}){target.suffix}")
        try:
            os.link(file, free)
        except FileExistsError:
            continue  # the next name may be unused
        return str(free.relative_to(root or folder("Uploads")))
    raise FileExistsError(errno.EEXIST, "there are too many files with this name")


def unfinished(upload: str) -> Path:
    """The path of an incomplete upload in pieces with this id."""
    return folder("Uploads") / f"{UNFINISHED}{upload}"


async def remove_expired() -> None:
    """Every hour, remove the incomplete uploads that received nothing for a day."""
    while True:
        for path in folder("Uploads").glob(f"{UNFINISHED}*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - UNFINISHED_KEPT_S:
                    path.unlink()
        await asyncio.sleep(EXPIRE_EVERY_S)
