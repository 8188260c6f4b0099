"""What is asked of recordings; `scripts` has what these are made of."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

import msgspec

from greenroom.client.models import RecordedRow, Recording
from greenroom.client.retries import Retries
from greenroom.client.scripts import PREFIX, Script, Send, answered, rows
from greenroom.shared.errors import NotFound


def recordings(session_id: str | None, retries: Retries) -> Script[list[Recording]]:
    """All that the caller may see, newest first."""
    found = yield from rows(f"{PREFIX}/recordings", {} if session_id is None else {"session_id": session_id}, retries)
    return msgspec.convert(found, type=list[Recording])


def recording(lease_id: str, retries: Retries) -> Script[Recording]:
    """That of a lease."""
    answer = yield from answered(Send(method="GET", path=f"{PREFIX}/leases/{lease_id}/recording"), retries)
    return msgspec.json.decode(answer.content, type=Recording)


def recorded_rows(lease_id: str, retries: Retries) -> Script[list[RecordedRow]]:
    """All rows of a recording."""
    found = yield from rows(f"{PREFIX}/leases/{lease_id}/recording/rows", {}, retries)
    return msgspec.convert(found, type=list[RecordedRow])


def picture_path(lease_id: str, number: int) -> str:
    """Where a picture is, below `/api/v1`."""
    return f"/leases/{lease_id}/recording/pictures/{number}"


def export_send(lease_id: str) -> Send:
    """The request for the whole recording, to be read while it comes."""
    return Send(method="GET", path=f"{PREFIX}/leases/{lease_id}/recording/export", is_streamed=True)


def deleted(lease_id: str, retries: Retries) -> Script[None]:
    """Delete it, if it is there."""
    try:
        yield from answered(Send(method="DELETE", path=f"{PREFIX}/leases/{lease_id}/recording"), retries)
    except NotFound:
        return


@contextmanager
def whole_file(file: Path | str) -> Generator[IO[bytes]]:
    """A file that is in its place when all of it was written, and not before."""
    target = Path(file)
    with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as written:
        try:
            yield written
        except BaseException:
            written.close()  # Windows deletes no open file
            Path(written.name).unlink()
            raise
    Path(written.name).replace(target)
