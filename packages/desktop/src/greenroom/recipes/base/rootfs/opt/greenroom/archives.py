"""Sends folders as zip or tar archives, and unpacks tar archives.

A zip archive is created while it is sent, so that it may be larger than memory and disk. The program tar creates and
unpacks tar archives."""

import asyncio
import contextlib
import os
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

from files import UNFINISHED_PUT, make_folder
from protocol import CHUNK_BYTES, COMMON_HEADERS, Chunks, RefusedError, run_while_connected

OLDEST_TIME, NEWEST_TIME = (1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)
"""The range of times that a zip archive can contain."""


class Sink:
    """A file object for zipfile, which collects the written data until `pop_chunk` returns the data."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        """Collect `data`."""
        self._written += data
        return len(data)

    def flush(self) -> None:
        """Do nothing; zipfile calls it."""

    def pop_chunk(self) -> bytes:
        """The data since the last call, as an HTTP chunk."""
        data, self._written = bytes(self._written), bytearray()
        return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


async def send_folder(writer: asyncio.StreamWriter, path: Path, *extra: str) -> None:
    """Answer with the folder at `path` as a zip archive, without files that are removed meanwhile. If a file or folder
    cannot be read, the connection is closed, so that the client does not mistake the incomplete archive for a complete
    one."""
    lines = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Content-Type: application/zip", *COMMON_HEADERS, *extra, "", ""]
    writer.write("\r\n".join(lines).encode())
    sink = Sink()
    with zipfile.ZipFile(sink, "w") as archive:  # type: ignore[arg-type] -- zipfile needs only these methods
        for file, name in members(path):
            try:
                source = file.open("rb")
            except FileNotFoundError:
                continue
            with source, archive.open(zip_member(source, name), "w", force_zip64=True) as target:
                while data := source.read(CHUNK_BYTES):
                    target.write(data)
                    writer.write(sink.pop_chunk())
                    await writer.drain()
            writer.write(sink.pop_chunk())
            await writer.drain()
    writer.write(sink.pop_chunk() + b"0\r\n\r\n")


def members(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files below a folder and their names in the archive, except links and hidden files. Raises OSError: a
    folder cannot be read."""
    for parent, folders, files in os.walk(path, onerror=raise_unless_removed):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            file = Path(parent, name)
            if not name.startswith(".") and not file.is_symlink() and file.is_file():
                yield file, str(file.relative_to(path.parent))


def raise_unless_removed(error: OSError) -> None:
    """Raise `error`, except if the folder was removed meanwhile."""
    if not isinstance(error, FileNotFoundError):
        raise error


def zip_member(file: BinaryIO, name: str) -> zipfile.ZipInfo:
    """The entry of a file in the archive: its name, modification time and mode. Names in an archive are UTF-8; every
    other byte of the name is written as in a URL, such as %E9, so that different names stay different."""
    modified = time.localtime(os.fstat(file.fileno()).st_mtime)[:6]
    name = re.sub("[\udc80-\udcff]", lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", name)
    member = zipfile.ZipInfo(name, date_time=min(max(modified, OLDEST_TIME), NEWEST_TIME))
    member.external_attr = 0o644 << 16
    return member


async def send_tar(path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with a folder as a tar archive. If tar fails, the last chunk is missing, so that the client detects the
    incomplete answer."""
    pipe, devnull = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    command = ("tar", "--create", "--directory", str(path), f"--exclude=./{UNFINISHED_PUT}*", ".")
    process = await asyncio.create_subprocess_exec(*command, stdin=devnull, stdout=pipe, stderr=devnull)
    chunks = Chunks(writer)

    async def send_output() -> None:
        chunks.begin("application/x-tar", "Content-Disposition: attachment")
        while data := await process.stdout.read(CHUNK_BYTES):
            await chunks.send(data)
        if await process.wait() == 0:
            chunks.end()

    try:
        await run_while_connected(reader, asyncio.create_task(send_output()))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()  # `wait` alone does not return while unread output fills the pipe


async def unpack(path: Path, parts: AsyncIterator[bytes]) -> None:
    """Unpack a tar archive, received in `parts`, into the folder `path`. Files with the same names are replaced.

    Raises:
        RefusedError: the archive cannot be unpacked, or conflicts with the folder.
    """
    unpacked = Path(tempfile.mkdtemp(dir=path.parent, prefix=UNFINISHED_PUT))
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
    """Unpack a tar archive into the existing folder `path` with the program tar.

    Raises:
        RefusedError: the data is not a tar archive, or there is not enough space.
    """
    pipe, devnull = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    command = ("tar", "--extract", "--directory", str(path), "--no-same-owner", "--delay-directory-restore")
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=devnull, stderr=pipe, umask=0o022)
    message = asyncio.create_task(first_message(process.stderr))
    try:
        async for data in parts:
            with contextlib.suppress(ConnectionError):  # tar reads no more after the end of the archive or an error
                process.stdin.write(data)
                await process.stdin.drain()
        process.stdin.close()
        if await process.wait():
            reason = await message
            status = "507 Insufficient Storage" if "No space left" in reason else "400 Bad Request"
            raise RefusedError(status, f"The tar archive could not be unpacked: {reason}.")
    finally:
        message.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def first_message(pipe: asyncio.StreamReader) -> str:
    """The first error message of tar. All other messages are read and dropped, because a full pipe would block tar."""
    first = ""
    while line := await pipe.readline():
        first = first or line.decode(errors="replace").strip().removeprefix("tar: ").rstrip(".")
    return first or "it is not a tar archive"


def merge(source: Path, target: Path) -> None:
    """Move the content of the folder `source` into the folder `target`.

    Raises:
        RefusedError: a file would replace a folder, or a folder a file; nothing was moved.
    """
    files = [Path(parent, name) for parent, _, names in os.walk(source) for name in names]
    folders = [Path(parent, name) for parent, names, _ in os.walk(source) for name in names]
    links = [each for each in folders if each.is_symlink()]
    for each in (*files, *folders):
        existing = target / each.relative_to(source)
        if os.path.lexists(existing) and existing.is_dir() != (each.is_dir() and not each.is_symlink()):
            raise RefusedError("409 Conflict", f"{each.relative_to(source)}: a file cannot replace a folder, nor a folder a file.")
    for each in folders:
        if each not in links:
            make_folder(target / each.relative_to(source))
    for each in (*files, *links):
        os.replace(each, target / each.relative_to(source))
