"""A recording as a ZIP, made while it is read: `recording.json`, `rows.jsonl`, `pictures/000012.png`."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator
from io import RawIOBase
from typing import Final

from greenroom.api.recording.schemas import RecordedRowView, RecordingView
from greenroom.core.errors import NotFound
from greenroom.db.database import Database
from greenroom.db.recordings import RecordedRow, Recording, read_picture, read_rows

ROWS_AT_ONCE: Final = 500
MADE: Final = (1980, 1, 1, 0, 0, 0)
"""The time of all files in it: the same recording is the same ZIP."""


class _Made(RawIOBase):
    """What a ZIP has so far and was not yet taken; it cannot be gone back in."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._waiting += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._waiting)
        self._waiting.clear()
        return taken


async def exported(db: Database, recording: Recording) -> AsyncIterator[bytes]:
    """The ZIP, in pieces. A picture that is deleted meanwhile is not in it."""
    made = _Made()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(_file("recording.json"), view_of(recording).model_dump_json(indent=2) + "\n")
        numbers: list[int] = []
        with archive.open(_file("rows.jsonl"), "w", force_zip64=True) as lines:
            async for row in _rows(db, recording.lease_id):
                lines.write(row_view(row).model_dump_json().encode() + b"\n")
                numbers += [row.number] if row.picture else []
                yield made.take()
        for number in numbers:
            try:
                data = await read_picture(db, recording.lease_id, number)
            except NotFound:
                continue
            archive.writestr(_file(f"pictures/{number:06}.png"), data)
            yield made.take()
    yield made.take()


async def _rows(db: Database, lease_id: str) -> AsyncIterator[RecordedRow]:
    after = 0
    while rows := await read_rows(db, lease_id, after=after, limit=ROWS_AT_ONCE):
        for row in rows:
            yield row
        after = rows[-1].number


def _file(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, MADE)
    info.compress_type = zipfile.ZIP_STORED if name.endswith(".png") else zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info


def view_of(recording: Recording) -> RecordingView:
    """As it is answered."""
    return RecordingView.model_validate(recording)


def row_view(row: RecordedRow) -> RecordedRowView:
    """As it is answered."""
    width, height = row.picture or (0, 0)
    return RecordedRowView.of(row, picture={"width": width, "height": height} if row.picture else None)
