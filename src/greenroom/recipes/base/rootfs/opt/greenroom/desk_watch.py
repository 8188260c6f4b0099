"""What changes below a folder, as server-sent events, by the kernel's inotify.

    event: created | written | deleted
    data: {"path": "Downloads/report.pdf", "is_folder": false}

`written`: the file is complete, because it was closed or got this name. `event: overflow`: more happened than could be
noticed; list again. A folder that is there `created` is watched from then on, and what is in it already is said, too.
"""

import asyncio
import contextlib
import ctypes
import errno
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from answers import SECURITY
from chunks import while_read
from refusals import RefusedError

MAX_FOLDERS = 1000
MAX_WATCHES = 8
SIGN_OF_LIFE_S = 10.0
CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE, DELETE_SELF, MOVE_SELF = 0x8, 0x40, 0x80, 0x100, 0x200, 0x400, 0x800
OVERFLOW, ONLYDIR, DONT_FOLLOW, ISDIR = 0x4000, 0x1000000, 0x2000000, 0x40000000
WATCHED = CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF | ONLYDIR | DONT_FOLLOW
HEAD = struct.Struct("iIII")
LIMITS = {errno.EMFILE: "fs.inotify.max_user_instances", errno.ENOSPC: "fs.inotify.max_user_watches"}

watches: set[object] = set()


class Changes:
    """What happens below `root` from now on, as (kind, path below root, whether it is a folder)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.folders: dict[int, str] = {}
        self.descriptor = self.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            raise limit_met(ctypes.get_errno())
        try:
            for _ in self.add(""):
                pass
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Watch no more."""
        os.close(self.descriptor)

    def add(self, name: str) -> Iterator[tuple[str, str, bool]]:
        """Watch a folder and those below it; what lies in them.

        Raises:
            RefusedError: it is too many folders.
        """
        number = self.libc.inotify_add_watch(self.descriptor, os.fsencode(self.root / name), WATCHED)
        if number < 0:
            code = ctypes.get_errno()
            if code in LIMITS:
                raise limit_met(code)
            return  # gone meanwhile, a link, or not to be read
        self.folders[number] = name
        if len(self.folders) > MAX_FOLDERS:
            raise RefusedError("409 Conflict", f"There are more than {MAX_FOLDERS} folders below this one; watch one further down.")
        with contextlib.suppress(FileNotFoundError):
            for entry in sorted(os.scandir(self.root / name), key=lambda each: each.name):
                below, is_folder = os.path.join(name, entry.name), entry.is_dir(follow_symlinks=False)
                yield ("created" if is_folder else "written"), below, is_folder
                if is_folder:
                    yield from self.add(below)

    def read(self) -> Iterator[tuple[str, str, bool]]:
        """What happened since the last time."""
        try:
            data = os.read(self.descriptor, 1 << 16)
        except BlockingIOError:
            return
        while data:
            number, mask, _, length = HEAD.unpack_from(data)
            name = os.fsdecode(data[HEAD.size : HEAD.size + length].rstrip(b"\0"))
            data = data[HEAD.size + length :]
            yield from self.meant(number, mask, name)

    def meant(self, number: int, mask: int, name: str) -> Iterator[tuple[str, str, bool]]:
        """What one event of the kernel says."""
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
        """Watch a folder no more that may be elsewhere now, nor those below it."""
        for number, folder in list(self.folders.items()):
            if folder == name or folder.startswith(f"{name}/"):
                self.libc.inotify_rm_watch(self.descriptor, number)
                del self.folders[number]


def limit_met(code: int) -> RefusedError:
    """The refusal for a limit of the host."""
    name = LIMITS.get(code, os.strerror(code))
    return RefusedError("429 Too Many Requests", f"No more folders can be watched on this host now: {name} is used up.")


async def watch(path: Path, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send what changes below the folder that programs know by `name`, until the other end goes, or the folder.

    Raises:
        RefusedError: it cannot be watched.
    """
    if len(watches) >= MAX_WATCHES:
        raise RefusedError("429 Too Many Requests", f"{MAX_WATCHES} folders are watched in this session; end one of them.")
    changes = Changes(path)
    watches.add(changes)
    try:
        await while_read(reader, asyncio.create_task(send(changes, name, writer)))
    finally:
        asyncio.get_running_loop().remove_reader(changes.descriptor)
        changes.close()
        watches.discard(changes)


async def send(changes: Changes, root: str, writer: asyncio.StreamWriter) -> None:
    """Send events until the folder itself is gone, or has become too large."""
    writer.write("\r\n".join(["HTTP/1.1 200 OK", "Content-Type: text/event-stream", *SECURITY, "", ": ready\n\n"]).encode())
    some = asyncio.Event()
    asyncio.get_running_loop().add_reader(changes.descriptor, some.set)
    while True:
        await writer.drain()
        try:
            await asyncio.wait_for(some.wait(), SIGN_OF_LIFE_S)
        except TimeoutError:
            writer.write(b":\n\n")
        some.clear()
        try:
            for kind, name, is_folder in changes.read():
                if not any(part.startswith(".greenroom-") for part in name.split("/")):
                    say(writer, kind, path=os.path.normpath(os.path.join(root, name)), is_folder=is_folder)
                if kind == "deleted" and not name:
                    return await writer.drain()
        except RefusedError as error:
            say(writer, "error", error_message=error.args[1])
            return await writer.drain()


def say(writer: asyncio.StreamWriter, kind: str, **fields: object) -> None:
    """Send one event."""
    writer.write(f"event: {kind}\ndata: {json.dumps(fields)}\n\n".encode())
