"""Files of the session for programs: everything below the home folder, including hidden files.

    GET    desk/files?path=PATH            a file, or a part of a file (Range); for a folder, its listing
    GET    desk/files?path=PATH&list       the listing of a folder
    GET    desk/files?path=PATH&tar        a folder as tar
    GET    desk/files?path=PATH&watch      server-sent events of changes below a folder
    PUT    desk/files?path=PATH            a file; an existing file is replaced when the new file is complete
    PUT    desk/files?path=PATH&tar        a tar archive, which is unpacked into a folder
    PUT    desk/files?path=PATH/           a folder
    DELETE desk/files?path=PATH            a file or an empty folder; with &recursive any folder

Missing parent folders are created. The permissions are those of viewers (files.py): a request that reads is a download,
a request that changes files is an upload.

Changes come from the kernel's inotify:

    event: created | written | deleted
    data: {"path": "Downloads/report.pdf", "is_folder": false}

`written`: the file is complete, because it was closed or was renamed to this name. `event: overflow`: some changes were
lost; list the folder again. A `created` folder is watched as well, and its existing content is reported.
"""

import asyncio
import contextlib
import ctypes
import errno
import json
import os
import shutil
import struct
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from files import DOWNLOADS, UNFINISHED_PUT, UPLOADS, folder, listing, make_folder, max_bytes, refusing_disk_errors
from protocol import (
    COMMON_HEADERS,
    CONNECTION_CLOSE,
    RefusedError,
    Request,
    body_parts,
    refuse_error,
    reply,
    run_while_connected,
    send_file,
)

BAD, MISSING, CONFLICT = "400 Bad Request", "404 Not Found", "409 Conflict"
OPTIONS = ("list", "tar", "watch")
MAX_FOLDERS = 1000
"""The maximum number of folders that one request watches. `MAX_WATCHES` requests can watch at the same time."""
MAX_WATCHES = 8
KEEPALIVE_S = 10.0
CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE, DELETE_SELF, MOVE_SELF = 0x8, 0x40, 0x80, 0x100, 0x200, 0x400, 0x800
OVERFLOW, ONLYDIR, DONT_FOLLOW, ISDIR = 0x4000, 0x1000000, 0x2000000, 0x40000000
WATCHED = CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF | ONLYDIR | DONT_FOLLOW
EVENT_HEAD = struct.Struct("iIII")
"""The head of an inotify event: number of the watch, mask, cookie, length of the name."""
LIMITS = {errno.EMFILE: "fs.inotify.max_user_instances", errno.ENOSPC: "fs.inotify.max_user_watches"}
"""Error of inotify → the sysctl of the host that sets the limit."""

watches: set[object] = set()


async def answer(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request for files."""
    try:
        require_allowed(request.method)
        text = request.query.get("path", "")
        path = absolute_path(text)
        if request.method == "PUT":
            await put(text, path, request, reader)
            reply(writer, "201 Created", json.dumps({"path": relative_to_home(path)}).encode(), "application/json", CONNECTION_CLOSE)
        elif request.method == "DELETE":
            delete(path, recursive="recursive" in request.query)
            reply(writer, "200 OK", json.dumps({"path": relative_to_home(path)}).encode(), "application/json", CONNECTION_CLOSE)
        else:
            await send_content(path, request, reader, writer)
    except Exception as error:
        await refuse_error(error, writer, reader if has_body(request) else None)


def has_body(request: Request) -> bool:
    """True if the head of a request announces a body."""
    return request.number("content-length") > 0 or "transfer-encoding" in request.headers


def require_allowed(method: str) -> None:
    """Check the permissions of the session.

    Raises:
        RefusedError: the session does not allow uploads or downloads, or the method is not supported.
    """
    if method in ("GET", "HEAD"):
        if not DOWNLOADS:
            raise RefusedError("403 Forbidden", "Downloads from this session are not allowed.")
    elif method not in ("PUT", "DELETE"):
        raise RefusedError("405 Method Not Allowed", "Use GET, HEAD, PUT or DELETE.")
    elif not UPLOADS:
        raise RefusedError("403 Forbidden", "Uploads into this session are not allowed.")


def home() -> Path:
    """The home folder, which contains all files of this interface."""
    return folder("").resolve()


def absolute_path(text: str) -> Path:
    """The absolute path for the path in a request.

    Raises:
        RefusedError: the path is not below the home folder.
    """
    if ".." in text.split("/"):
        raise RefusedError(BAD, f"{text}: “..” is not allowed in paths, which are below the home folder.")
    if not is_utf8(text):
        raise RefusedError(BAD, "The path is not UTF-8.")
    path = Path(home(), text)
    if not path.is_relative_to(home()):
        raise RefusedError(BAD, f"{text} is not below the home folder {home()}; use a command for other files.")
    return path


def relative_to_home(path: Path) -> str:
    """The path relative to the home folder, as in requests."""
    return str(path.relative_to(home()))


async def send_content(path: Path, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with a file or a folder.

    Raises:
        RefusedError: the path does not exist, or is not a folder although the request has an option for folders.
    """
    options = [option for option in OPTIONS if option in request.query]
    if not path.exists():
        raise RefusedError(MISSING, f"There is no file or folder {relative_to_home(path)}.")
    if path.is_file() and not options:
        return await send_file(writer, request, path, "Content-Disposition: attachment")
    if not path.is_dir():
        kind = "a file" if path.is_file() else "neither a file nor a folder"
        raise RefusedError(CONFLICT, f"{relative_to_home(path)} is {kind}.")
    os.scandir(path).close()  # raises an error for a folder that may not be read, before an answer begins
    if "watch" in options:
        await watch(path, relative_to_home(path), reader, writer)
    elif "tar" in options:
        from archives import send_tar  # noqa: PLC0415 -- 2 MB of memory that most sessions never need

        await send_tar(path, reader, writer)
    else:
        content = {"path": relative_to_home(path), **listing(path, is_unfinished, is_utf8)}
        reply(writer, "200 OK", json.dumps(content).encode(), "application/json", CONNECTION_CLOSE)
    return None


def is_unfinished(name: str) -> bool:
    """True for the name of an incomplete upload of a program."""
    return name.startswith(UNFINISHED_PUT)


def is_utf8(text: str) -> bool:
    """True if the bytes of a file name, which `os.fsdecode` has decoded, are UTF-8."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


async def put(text: str, path: Path, request: Request, reader: asyncio.StreamReader) -> None:
    """Create or replace a file, create a folder, or unpack a tar archive. An incomplete request has no effect.

    Raises:
        RefusedError, OSError: the file or folder cannot be created.
    """
    if text.endswith("/") and "tar" not in request.query:
        if has_body(request):
            raise RefusedError(BAD, f"{text} is the path of a folder, which has no content; the path of a file does not end with a slash.")
        return make_folder(path)
    path = Path(os.path.realpath(path))
    into_folder = "tar" in request.query
    if into_folder and path.exists() and not path.is_dir():
        raise RefusedError(CONFLICT, f"{path.name} is a file.")
    if not into_folder and (path.is_dir() or path == home()):
        raise RefusedError(CONFLICT, f"{path.name} is a folder.")
    announced, limit = int(request.number("content-length")), max_bytes(request)
    if announced > limit:
        raise size_error(limit)
    with create_folder(path.parent):
        disk = os.statvfs(path.parent)
        if announced > disk.f_bavail * disk.f_frsize:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        parts = limit_size(body_parts(request, reader), limit)
        if into_folder:
            from archives import unpack  # noqa: PLC0415

            await unpack(path, parts)
        else:
            await store(path, parts)
    return None


async def limit_size(parts: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """Yield the same parts; refuse the request when they exceed `limit` bytes."""
    received = 0
    async for data in parts:
        received += len(data)
        if received > limit:
            raise size_error(limit)
        yield data


def size_error(limit: int) -> RefusedError:
    """The refusal of an upload with more than `limit` bytes."""
    return RefusedError("413 Content Too Large", f"Up to {limit / 1_000_000:g} MB may be uploaded into this session at a time.")


@contextlib.contextmanager
def create_folder(path: Path) -> Iterator[None]:
    """Create a folder and its parents, then run the block. If the block fails, remove the new folders."""
    missing_folders = [each for each in (path, *path.parents) if not each.exists()]
    nearest = next(each for each in (path, *path.parents) if each.exists())
    if not nearest.is_dir():
        raise RefusedError(CONFLICT, f"{nearest.name} is a file and cannot contain other files.")
    try:
        make_folder(path)
        yield
    except BaseException:
        for each in missing_folders:
            with contextlib.suppress(OSError):
                each.rmdir()
        raise


async def store(path: Path, parts: AsyncIterator[bytes]) -> None:
    """Store a file under its name when it is complete, with the mode of the file that it replaces."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=UNFINISHED_PUT)
    try:
        with os.fdopen(descriptor, "wb", 0):  # closed before the rename; `watch` would report both
            os.fchmod(descriptor, path.stat().st_mode & 0o7777 if path.exists() else 0o644)
            async for data in parts:
                with refusing_disk_errors(None):
                    while data:
                        data = data[os.write(descriptor, data) :]
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def delete(path: Path, *, recursive: bool) -> None:
    """Delete a file or a folder.

    Raises:
        RefusedError, OSError: the file or folder cannot be deleted.
    """
    if path == home():
        raise RefusedError(CONFLICT, "The home folder itself cannot be deleted.")
    if not os.path.lexists(path):
        raise RefusedError(MISSING, f"There is no file or folder {relative_to_home(path)}.")
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    elif recursive:
        shutil.rmtree(path)
    elif any(path.iterdir()):
        raise RefusedError(CONFLICT, f"{relative_to_home(path)} is not empty; use “recursive” to delete it with its content.")
    else:
        path.rmdir()


class Changes:
    """Watches the folder `root` and its subfolders. A change is (kind, path below `root`, True for a folder).
    `folders`: number of an inotify watch → path below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.folders: dict[int, str] = {}
        self.descriptor = self.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            raise limit_error(ctypes.get_errno())
        try:
            for _ in self.add(""):
                pass
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop watching."""
        os.close(self.descriptor)

    def add(self, name: str) -> Iterator[tuple[str, str, bool]]:
        """Watch the folder with the path `name` relative to `root`, and its subfolders. Yield their existing content.

        Raises:
            RefusedError: more than `MAX_FOLDERS` folders are watched, or a limit of the host is reached.
        """
        number = self.libc.inotify_add_watch(self.descriptor, os.fsencode(self.root / name), WATCHED)
        if number < 0:
            code = ctypes.get_errno()
            if code in LIMITS:
                raise limit_error(code)
            return  # removed meanwhile, a link, or not readable
        self.folders[number] = name
        if len(self.folders) > MAX_FOLDERS:
            raise RefusedError("409 Conflict", f"The folder has more than {MAX_FOLDERS} subfolders; watch one of them.")
        with contextlib.suppress(FileNotFoundError, PermissionError):
            for entry in sorted(os.scandir(self.root / name), key=lambda each: each.name):
                below, is_folder = os.path.join(name, entry.name), entry.is_dir(follow_symlinks=False)
                yield ("created" if is_folder else "written"), below, is_folder
                if is_folder:
                    yield from self.add(below)

    def read(self) -> Iterator[tuple[str, str, bool]]:
        """Yield the changes since the last call."""
        try:
            data = os.read(self.descriptor, 1 << 16)
        except BlockingIOError:
            return
        while data:
            number, mask, _, length = EVENT_HEAD.unpack_from(data)
            name = os.fsdecode(data[EVENT_HEAD.size : EVENT_HEAD.size + length].rstrip(b"\0"))
            data = data[EVENT_HEAD.size + length :]
            yield from self.changes_of_event(number, mask, name)

    def changes_of_event(self, number: int, mask: int, name: str) -> Iterator[tuple[str, str, bool]]:
        """Yield the changes that an event of inotify reports."""
        parent, is_folder = self.folders.get(number), bool(mask & ISDIR)
        if mask & OVERFLOW:
            yield "overflow", "", True
        elif parent is None:
            pass
        elif mask & (DELETE_SELF | MOVE_SELF):
            del self.folders[number]
            if not parent:
                yield "deleted", "", True
        else:
            below = os.path.join(parent, name)
            if mask & (DELETE | MOVED_FROM):
                self.forget(below)
                yield "deleted", below, is_folder
            elif is_folder:
                yield "created", below, True
                yield from self.add(below)
            else:
                yield ("created" if mask & CREATE else "written"), below, False

    def forget(self, name: str) -> None:
        """Stop watching a folder that was deleted or moved, and its subfolders."""
        for number, watched in list(self.folders.items()):
            if watched == name or watched.startswith(f"{name}/"):
                self.libc.inotify_rm_watch(self.descriptor, number)
                del self.folders[number]


def limit_error(code: int) -> RefusedError:
    """The refusal of a watch after the inotify error `code`: a limit of the host is reached."""
    name = LIMITS.get(code, os.strerror(code))
    return RefusedError("429 Too Many Requests", f"No more folders can be watched on this host now: the limit {name} is reached.")


async def watch(path: Path, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the changes below `path` until the connection ends or the folder is removed. `name`: its path in requests.

    Raises:
        RefusedError: the folder cannot be watched.
    """
    if len(watches) >= MAX_WATCHES:
        raise RefusedError("429 Too Many Requests", f"{MAX_WATCHES} folders are already watched in this session; end one of the requests.")
    changes = Changes(path)
    watches.add(changes)
    try:
        await run_while_connected(reader, asyncio.create_task(send(changes, name, writer)))
    finally:
        asyncio.get_running_loop().remove_reader(changes.descriptor)
        changes.close()
        watches.discard(changes)


async def send(changes: Changes, root: str, writer: asyncio.StreamWriter) -> None:
    """Send events until the folder is removed or has too many subfolders. `root` is its path below the home folder."""
    writer.write("\r\n".join(["HTTP/1.1 200 OK", "Content-Type: text/event-stream", *COMMON_HEADERS, "", ": ready\n\n"]).encode())
    has_changes = asyncio.Event()
    asyncio.get_running_loop().add_reader(changes.descriptor, has_changes.set)
    while True:
        await writer.drain()
        try:
            await asyncio.wait_for(has_changes.wait(), KEEPALIVE_S)
        except TimeoutError:
            writer.write(b":\n\n")
        has_changes.clear()
        try:
            for kind, name, is_folder in changes.read():
                if not any(map(is_unfinished, name.split("/"))):
                    changed = os.fsencode(os.path.normpath(os.path.join(root, name))).decode(errors="replace")
                    send_event(writer, kind, path=changed, is_folder=is_folder)
                if kind == "deleted" and not name:
                    return await writer.drain()
        except RefusedError as error:
            send_event(writer, "error", error_message=error.args[1])
            return await writer.drain()


def send_event(writer: asyncio.StreamWriter, kind: str, **fields: object) -> None:
    """Send one event."""
    writer.write(f"event: {kind}\ndata: {json.dumps(fields)}\n\n".encode())
