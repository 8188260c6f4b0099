"""Recordings of leases: rows about the actions of programs, and pictures of the screen. A recording remains after its
lease and session have ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from psycopg.types.json import Jsonb

from greenroom.core.errors import require_row
from greenroom.core.listing import SortOrder
from greenroom.core.recording.descriptions import RecordingMode
from greenroom.core.recording.rows import RecordedAct, RecordingRow, RowsToStore
from greenroom.db.database import Connection, Database, row_as
from greenroom.db.diagnostics.batches import storable
from greenroom.db.listing import ListColumn, ListDefinition
from greenroom.db.rows import values_of


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecording:
    """The recording of a lease; `rows_left_out` and `pictures_left_out` are numbers of omitted rows and pictures."""

    lease_id: str
    session_id: str
    user_id: str | None
    username: str | None
    key_id: str | None
    holder: str
    image_friendly_name: str
    zone_name: str
    record: RecordingMode
    record_text: bool
    begun: datetime
    ended: datetime | None
    is_over: bool
    rows: int
    rows_left_out: int
    pictures: int
    pictures_left_out: int
    picture_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecordingRow(RecordedAct):
    """A stored row. `picture` is the width and the height of its picture in pixels."""

    number: int
    picture: list[int] | None
    picture_left_out: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSize:
    """The size of a locked recording. `required` is True if a group of its user requires pictures. `user_bytes` is the
    size of the pictures of all recordings of its user that are not required; 0 if this recording is required."""

    rows: int
    picture_bytes: int
    required: bool
    user_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSize:
    """The size of the pictures of all recordings, and of those that are not `required` (`optional_bytes`)."""

    all_bytes: int = 0
    optional_bytes: int = 0


NEWEST_FIRST: Final = SortOrder("begun", descending=True)
RECORDINGS: Final = ListDefinition(
    row_type=LeaseRecording,
    noun="recording of lease",
    select=(
        "r.lease_id::text, r.session_id::text, r.user_id::text, u.username, r.key_id, r.holder, r.image_friendly_name,"
        " r.zone_name, r.record, r.record_text, r.begun, r.ended,"
        " r.ended IS NOT NULL OR NOT EXISTS (SELECT 1 FROM leases l WHERE l.lease_id = r.lease_id) AS is_over,"
        " r.rows, r.rows_left_out, r.pictures, r.pictures_left_out, r.picture_bytes"
    ),
    source="FROM recordings r LEFT JOIN users u ON u.user_id = r.user_id",
    key="r.lease_id",
    columns={"begun": ListColumn("r.begun", "timestamptz")},
    order=NEWEST_FIRST,
    filters={
        "user_id": "r.user_id = %(user_id)s::uuid",
        "key_id": "r.key_id = %(key_id)s",
        "session_id": "r.session_id = %(session_id)s::uuid",
    },
)
get_recording: Final = RECORDINGS.get
_SELECT_ROWS: Final[LiteralString] = (
    "SELECT number, began, duration_ms, what, said, who, details, code, error,"
    " (SELECT ARRAY[p.width, p.height] FROM recording_pictures p"
    "   WHERE p.lease_id = w.lease_id AND p.number = w.number) AS picture, picture_left_out FROM recording_rows w"
)


async def read_rows(db: Database, lease_id: str, *, after: int, limit: int) -> list[StoredRecordingRow]:
    """Return at most `limit` rows of a recording with a number above `after`, in order."""
    return await db.fetch_as(
        StoredRecordingRow,
        f"{_SELECT_ROWS} WHERE w.lease_id = %s AND w.number > %s ORDER BY w.number LIMIT %s",
        (lease_id, after, limit),
    )


async def read_picture(db: Database, lease_id: str, number: int) -> bytes:
    """Return the picture of a row, a PNG. Raises NotFound: the row has no picture."""
    row = await db.fetch_one(
        "SELECT data FROM recording_pictures WHERE lease_id = %s AND number = %s", (lease_id, number)
    )
    return require_row(row, "picture of row", str(number))["data"]


async def read_stored_size(db: Database) -> StoredSize:
    """Return the size of all pictures."""
    row = await db.fetch_one_as(
        StoredSize,
        "SELECT coalesce(sum(picture_bytes), 0)::bigint AS all_bytes,"
        " coalesce(sum(picture_bytes) FILTER (WHERE NOT required), 0)::bigint AS optional_bytes FROM recordings",
    )
    return row or StoredSize()


async def append_rows(
    db: Database, lease_id: str, select_rows: Callable[[RecordingSize], RowsToStore]
) -> RowsToStore | None:
    """Append the rows that `select_rows` returns for the size of the recording; None = there is no recording.

    A transaction writes only one recording, because two transactions that write several recordings could deadlock.
    Raises Unavailable: the database cannot be reached; nothing was written.
    """
    async with db.transaction() as connection:
        cursor = await connection.execute(
            "SELECT rows, picture_bytes, required, CASE WHEN required THEN 0 ELSE (SELECT"
            "  coalesce(sum(o.picture_bytes), 0)::bigint FROM recordings o"
            "  WHERE o.user_id = r.user_id AND NOT o.required) END AS user_bytes"
            " FROM recordings r WHERE lease_id = %s FOR NO KEY UPDATE OF r",
            (lease_id,),
        )
        size = row_as(RecordingSize, await cursor.fetchone())
        if size is None:
            return None
        rows_to_store = select_rows(size)
        await _insert(connection, lease_id, size.rows + 1, rows_to_store.rows)
        await connection.execute(
            "UPDATE recordings SET rows = rows + %s, rows_left_out = rows_left_out + %s, pictures = pictures + %s,"
            " pictures_left_out = pictures_left_out + %s, picture_bytes = picture_bytes + %s WHERE lease_id = %s",
            (
                len(rows_to_store.rows),
                rows_to_store.rows_left_out,
                rows_to_store.pictures,
                rows_to_store.pictures_left_out,
                rows_to_store.picture_bytes,
                lease_id,
            ),
        )
        return rows_to_store


_INSERT: Final[LiteralString] = """
INSERT INTO recording_rows (lease_id, number, began, duration_ms, what, said, who, details, code, error,
    picture_left_out)
SELECT r.lease_id, r.number, r.began, r.duration_ms, r.what, r.said, r.who, r.details, r.code, r.error,
    r.picture_left_out
  FROM jsonb_populate_recordset(NULL::recording_rows, %s) r
"""


async def _insert(connection: Connection, lease_id: str, first: int, rows: Sequence[RecordingRow]) -> None:
    if not rows:
        return
    acts = [
        storable(values_of(RecordedAct, row))
        | {"lease_id": lease_id, "number": number, "picture_left_out": row.left_out}
        for number, row in enumerate(rows, first)
    ]
    await connection.execute(_INSERT, (Jsonb(acts),))
    for number, row in enumerate(rows, first):
        if row.picture is not None:
            await connection.execute(
                "INSERT INTO recording_pictures (lease_id, number, width, height, data) VALUES (%s, %s, %s, %s, %s)",
                (lease_id, number, row.picture.width, row.picture.height, row.picture.data),
            )


async def delete_recording(db: Database, lease_id: str) -> None:
    """Delete a recording with all its rows and pictures."""
    await db.write("DELETE FROM recordings WHERE lease_id = %s", (lease_id,))
