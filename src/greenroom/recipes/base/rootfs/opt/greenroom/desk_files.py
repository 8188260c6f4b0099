"""Files of the session for programs: all that lies below the home folder, also what is hidden.

    GET    desk/files?path=PATH            a file, or a part of it (Range); of a folder its listing
    GET    desk/files?path=PATH&list       the listing of a folder
    GET    desk/files?path=PATH&tar        a folder as tar
    GET    desk/files?path=PATH&watch      server-sent events of what changes below a folder (desk_watch.py)
    PUT    desk/files?path=PATH            a file; one of this name is replaced once the new one is whole
    PUT    desk/files?path=PATH&tar        what is in a tar, into a folder, once it is unpacked
    PUT    desk/files?path=PATH/           a folder
    DELETE desk/files?path=PATH            a file or an empty folder; with &recursive any folder

Folders above a new file are made. Uploads and downloads are allowed or not as for viewers (files.py): what reads is a
download, what changes is an upload.
"""

import asyncio
import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uploads
from answers import Request, reply, send_file, sent
from chunks import Chunks, while_read
from files import DOWNLOADS, UPLOADS
from folders import folder, listing
from refusals import RefusedError, refuse

UNFINISHED = ".greenroom-"
PIECE_BYTES = 1 << 18
BAD, MISSING, CONFLICT = "400 Bad Request", "404 Not Found", "409 Conflict"
OPTIONS = ("list", "tar", "watch")


async def answer(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request for files."""
    try:
        require_allowed(request.method)
        text = request.query.get("path", "")
        path = place(text)
        if request.method == "PUT":
            await put(text, path, request, reader)
            reply(writer, "201 Created", json.dumps({"path": shown(path)}).encode(), "application/json", uploads.LAST)
        elif request.method == "DELETE":
            delete(path, recursive="recursive" in request.query)
            reply(writer, "200 OK", json.dumps({"path": shown(path)}).encode(), "application/json", uploads.LAST)
        else:
            await give(path, request, reader, writer)
    except Exception as error:
        await refuse(error, writer, reader if has_body(request) else None)


def has_body(request: Request) -> bool:
    """Whether the head of a request announces a body."""
    return request.number("content-length") > 0 or "transfer-encoding" in request.headers


def require_allowed(method: str) -> None:
    """Raises RefusedError: the session was made without what this would be, or there is no such method."""
    if method in ("GET", "HEAD"):
        if not DOWNLOADS:
            raise RefusedError("403 Forbidden", "Downloads from this session are not allowed.")
    elif method not in ("PUT", "DELETE"):
        raise RefusedError("405 Method Not Allowed", "Use GET, HEAD, PUT or DELETE.")
    elif not UPLOADS:
        raise RefusedError("403 Forbidden", "Uploads into this session are not allowed.")


def home() -> Path:
    """The folder that all paths are below."""
    return folder("").resolve()


def place(text: str) -> Path:
    """What a path leads to.

    Raises:
        RefusedError: it leads out of the home folder.
    """
    if ".." in text.split("/"):
        raise RefusedError(BAD, f"{text}: “..” is not for paths; they are below the home folder.")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise RefusedError(BAD, "The path is no UTF-8.")
    path = Path(home(), text)
    if not path.is_relative_to(home()):
        raise RefusedError(BAD, f"{text} is not below the home folder {home()}; a command reaches other files.")
    return path


def shown(path: Path) -> str:
    """The path as programs have it."""
    return str(path.relative_to(home()))


async def give(path: Path, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with a file or a folder.

    Raises:
        RefusedError: there is none.
    """
    wanted = [option for option in OPTIONS if option in request.query]
    if not path.exists():
        raise RefusedError(MISSING, f"There is no file or folder {shown(path)}.")
    if path.is_file() and not wanted:
        return await send_file(writer, request, path, "Content-Disposition: attachment")
    if not path.is_dir():
        kind = "a file" if path.is_file() else "neither a file nor a folder"
        raise RefusedError(CONFLICT, f"{shown(path)} is {kind}.")
    os.scandir(path).close()  # or a folder that may not be read would be an empty one
    if "watch" in wanted:
        from desk_watch import watch  # noqa: PLC0415 -- most sessions never need it

        await watch(path, shown(path), reader, writer)
    elif "tar" in wanted:
        await send_tar(path, reader, writer)
    else:
        said = {"path": shown(path), **listing(path, is_shown)}
        reply(writer, "200 OK", json.dumps(said).encode(), "application/json", uploads.LAST)
    return None


def is_shown(entry: os.DirEntry[str]) -> bool:
    """All files and folders that have a name in UTF-8, but what is only on its way."""
    is_named = not entry.name.startswith(UNFINISHED) and not any("\ud800" <= c <= "\udfff" for c in entry.name)
    return is_named and (entry.is_dir() or entry.is_file())


async def send_tar(path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with a folder; where not all of it can be read the answer is not ended."""
    pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    command = ("tar", "--create", "--directory", str(path), f"--exclude=./{UNFINISHED}*", ".")
    process = await asyncio.create_subprocess_exec(*command, stdin=none, stdout=pipe, stderr=none)
    chunks = Chunks(writer)

    async def carry() -> None:
        chunks.begin("application/x-tar", "Content-Disposition: attachment")
        while data := await process.stdout.read(PIECE_BYTES):
            await chunks.send(data)
        if await process.wait() == 0:
            chunks.end()

    try:
        await while_read(reader, asyncio.create_task(carry()))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()  # `wait` alone does not return while output that was not read fills the pipe


async def put(text: str, path: Path, request: Request, reader: asyncio.StreamReader) -> None:
    """Make a file or a folder, or nothing.

    Raises:
        RefusedError, UploadError, OSError: it cannot be.
    """
    if text.endswith("/") and "tar" not in request.query:
        if has_body(request):
            raise RefusedError(BAD, f"{text} names a folder, which has no content; a file has no slash at its end.")
        return make_folder(path)
    path = Path(os.path.realpath(path))
    into_folder = "tar" in request.query
    if into_folder and path.exists() and not path.is_dir():
        raise RefusedError(CONFLICT, f"{path.name} is a file.")
    if not into_folder and (path.is_dir() or path == home()):
        raise RefusedError(CONFLICT, f"{path.name} is a folder.")
    announced, limit = int(request.number("content-length")), uploads.max_bytes(request)
    if announced > limit:
        raise too_large(limit)
    with made(path.parent):
        disk = os.statvfs(path.parent)
        if announced > disk.f_bavail * disk.f_frsize:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await (unpack if into_folder else store)(path, limited(sent(request, reader), limit))
    return None


async def limited(parts: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """The same, refused where it becomes longer than that."""
    received = 0
    async for data in parts:
        received += len(data)
        if received > limit:
            raise too_large(limit)
        yield data


def too_large(limit: int) -> RefusedError:
    """The refusal of an upload."""
    return RefusedError("413 Content Too Large", f"Up to {limit / 1_000_000:g} MB may be uploaded into this session at a time.")


def make_folder(path: Path) -> None:
    """A folder with those above it, as the programs of the desktop make them: the page's own are for it alone."""
    for each in reversed((path, *path.parents)):
        if not each.is_dir():
            each.mkdir()
            each.chmod(0o755)


@contextlib.contextmanager
def made(path: Path) -> Iterator[None]:
    """The folder `path`, which is gone again with those above it that were made for it when what follows fails."""
    above = [each for each in (path, *path.parents) if not each.exists()]
    nearest = next(each for each in (path, *path.parents) if each.exists())
    if not nearest.is_dir():
        raise RefusedError(CONFLICT, f"{nearest.name} is a file; nothing can be put below it.")
    try:
        make_folder(path)
        yield
    except BaseException:
        for each in above:
            with contextlib.suppress(OSError):
                each.rmdir()
        raise


async def store(path: Path, parts: AsyncIterator[bytes]) -> None:
    """A file, under its name once it is whole; it keeps the mode of the one before it."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=UNFINISHED)
    try:
        os.fchmod(descriptor, path.stat().st_mode & 0o7777 if path.exists() else 0o644)
        async for data in parts:
            with uploads.storing(None):
                while data:
                    data = data[os.write(descriptor, data) :]
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    finally:
        os.close(descriptor)


async def unpack(path: Path, parts: AsyncIterator[bytes]) -> None:
    """A folder out of a tar: what it has takes the place of what has the same names."""
    unpacked = Path(tempfile.mkdtemp(dir=path.parent, prefix=UNFINISHED))
    try:
        unpacked.chmod(0o755)
        await run_tar(unpacked, parts)
        if path.exists():
            merge(unpacked, path)
        else:
            unpacked.rename(path)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


async def run_tar(path: Path, parts: AsyncIterator[bytes]) -> None:
    """Raises RefusedError: what came is no tar, or there is no room for what is in it."""
    pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    command = ("tar", "--extract", "--directory", str(path), "--no-same-owner", "--delay-directory-restore")
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=none, stderr=pipe, umask=0o022)
    said = asyncio.create_task(last_line(process.stderr))
    try:
        async for data in parts:
            with contextlib.suppress(ConnectionError):  # tar has seen enough, or has failed
                process.stdin.write(data)
                await process.stdin.drain()
        process.stdin.close()
        if await process.wait():
            why = await said
            status = "507 Insufficient Storage" if "No space left" in why else BAD
            raise RefusedError(status, f"The tar could not be unpacked: {why}.")
    finally:
        said.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def last_line(pipe: asyncio.StreamReader) -> str:
    """What tar says of the first thing that failed; the rest is read, so that it can go on."""
    first = ""
    while line := await pipe.readline():
        first = first or line.decode(errors="replace").strip().removeprefix("tar: ").rstrip(".")
    return first or "it is no tar"


def merge(source: Path, target: Path) -> None:
    """Move what is in `source` into `target`.

    Raises:
        RefusedError: a file would take the place of a folder or a folder that of a file; nothing was moved.
    """
    files = [Path(parent, name) for parent, _, names in os.walk(source) for name in names]
    folders = [Path(parent, name) for parent, names, _ in os.walk(source) for name in names]
    links = [each for each in folders if each.is_symlink()]
    for each in (*files, *folders):
        there = target / each.relative_to(source)
        if os.path.lexists(there) and there.is_dir() != (each.is_dir() and not each.is_symlink()):
            raise RefusedError(CONFLICT, f"{each.relative_to(source)} is a file on one side and a folder on the other.")
    for each in folders:
        if each not in links:
            make_folder(target / each.relative_to(source))
    for each in (*files, *links):
        os.replace(each, target / each.relative_to(source))


def delete(path: Path, *, recursive: bool) -> None:
    """Raises RefusedError, OSError: it cannot be deleted."""
    if path == home():
        raise RefusedError(CONFLICT, "The home folder itself cannot be deleted.")
    if not os.path.lexists(path):
        raise RefusedError(MISSING, f"There is no file or folder {shown(path)}.")
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    elif recursive:
        shutil.rmtree(path)
    elif any(path.iterdir()):
        raise RefusedError(CONFLICT, f"{shown(path)} is not empty; with “recursive” it is deleted with all that is in it.")
    else:
        path.rmdir()
