"""Folders as archives. A zip file is created while it is sent: nothing of it is stored, and it may be larger than
memory and disk. tar files are created and unpacked by the program tar."""

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from files import UNFINISHED_PUT, make_folder
from protocol import CHUNK_BYTES, COMMON_HEADERS, Chunks, RefusedError, run_while_connected

OLDEST, NEWEST = (1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)
"""The range of times in the zip format."""


class Sink:
    """A write target for zipfile that collects the data until it is taken."""

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
    """Answer with the folder at `path` as zip. A file that cannot be read closes the connection, so that an
    incomplete archive is not mistaken for a complete one."""
    lines = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Content-Type: application/zip", *COMMON_HEADERS, *extra, "", ""]
    writer.write("\r\n".join(lines).encode())
    sink = Sink()
    with zipfile.ZipFile(sink, "w") as archive:  # type: ignore[arg-type] -- all that zipfile needs of a file
        for file, name in members(path):
            with file.open("rb") as source, archive.open(zip_member(file, name), "w", force_zip64=True) as target:
                while data := source.read(CHUNK_BYTES):
                    target.write(data)
                    writer.write(sink.pop_chunk())
                    await writer.drain()
            writer.write(sink.pop_chunk())
            await writer.drain()
    writer.write(sink.pop_chunk() + b"0\r\n\r\n")


def members(path: Path) -> Iterator[tuple[Path, str]]:
    """The files below a folder and their names in the archive, without links and hidden files."""
    for parent, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            file = Path(parent, name)
            if not name.startswith(".") and file.is_file() and not file.is_symlink():
                yield file, str(file.relative_to(path.parent))


def zip_member(file: Path, name: str) -> zipfile.ZipInfo:
    """The name and modification time of a member."""
    modified = time.localtime(file.stat().st_mtime)[:6]
    facts = zipfile.ZipInfo(name, date_time=min(max(modified, OLDEST), NEWEST))
    facts.external_attr = 0o644 << 16
    return facts


async def send_tar(path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with a folder as tar. If a part of it cannot be read, the answer is not terminated."""
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
    """Unpack a tar into a folder and replace files with the same names."""
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
    """Unpack a tar with the program tar.

    Raises:
        RefusedError: the data is no tar, or there is not enough space.
    """
    pipe, devnull = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    command = ("tar", "--extract", "--directory", str(path), "--no-same-owner", "--delay-directory-restore")
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=devnull, stderr=pipe, umask=0o022)
    message = asyncio.create_task(first_message(process.stderr))
    try:
        async for data in parts:
            with contextlib.suppress(ConnectionError):  # tar has read the end of the archive, or has failed
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
    """tar's message about the first failure. The rest is read, so that tar can continue."""
    first = ""
    while line := await pipe.readline():
        first = first or line.decode(errors="replace").strip().removeprefix("tar: ").rstrip(".")
    return first or "it is not a tar archive"


def merge(source: Path, target: Path) -> None:
    """Move the content of `source` into `target`.

    Raises:
        RefusedError: a file would take the place of a folder or a folder that of a file; nothing was moved.
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
