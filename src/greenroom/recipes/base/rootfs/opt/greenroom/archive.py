"""A folder as a zip file, sent while it is made: nothing of it is stored, and it may be larger than memory and disk."""

import asyncio
import os
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from answers import CHUNK_BYTES, SECURITY

OLDEST, NEWEST = (1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)
"""The times that the format knows."""


class Sink:
    """What zipfile writes to: remembers it until it is taken."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        """Keep this."""
        self._written += data
        return len(data)

    def flush(self) -> None:
        """Nothing to be done; zipfile calls it."""

    def taken(self) -> bytes:
        """What was written since the last time, as a chunk of HTTP."""
        data, self._written = bytes(self._written), bytearray()
        return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


async def send_folder(writer: asyncio.StreamWriter, path: Path, *extra: str) -> None:
    """Answer with the folder at `path`; a file that cannot be read ends the connection, so that no part is taken for the
    whole.
    """
    lines = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Content-Type: application/zip", *SECURITY, *extra, "", ""]
    writer.write("\r\n".join(lines).encode())
    sink = Sink()
    with zipfile.ZipFile(sink, "w") as archive:  # type: ignore[arg-type] -- all that zipfile needs of a file
        for file, name in members(path):
            with file.open("rb") as source, archive.open(facts_of(file, name), "w", force_zip64=True) as target:
                while data := source.read(CHUNK_BYTES):
                    target.write(data)
                    writer.write(sink.taken())
                    await writer.drain()
            writer.write(sink.taken())
            await writer.drain()
    writer.write(sink.taken() + b"0\r\n\r\n")


def members(path: Path) -> Iterator[tuple[Path, str]]:
    """The files below a folder and their names in the archive. Links are not followed, and what is hidden is left out."""
    for parent, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            file = Path(parent, name)
            if not name.startswith(".") and file.is_file() and not file.is_symlink():
                yield file, str(file.relative_to(path.parent))


def facts_of(file: Path, name: str) -> zipfile.ZipInfo:
    """Name and time of a member."""
    modified = time.localtime(file.stat().st_mtime)[:6]
    facts = zipfile.ZipInfo(name, date_time=min(max(modified, OLDEST), NEWEST))
    facts.external_attr = 0o644 << 16
    return facts
