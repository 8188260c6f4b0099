"""The parts of a recording that are stored, and those that are left out with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.recording.rows import (
    ALL_RECORDINGS_FULL,
    MAX_PICTURE_BYTES,
    MAX_ROWS,
    OPTIONAL_RECORDINGS_FULL,
    PERSON_IN_CONTROL,
    RECORDING_FULL,
    TOO_LARGE,
    USER_RECORDINGS_FULL,
    Picture,
    RecordingRow,
    RecordingSpace,
    RowsToStore,
    rows_to_store,
)

MB = 1 << 20
EMPTY = RecordingSpace(rows=0, picture_bytes=0, all_bytes=0, recording_mb=3, all_mb=10)


def row(size: int | None = None) -> RecordingRow:
    picture = None if size is None else Picture(width=1, height=1, data=bytes(size))
    return RecordingRow(
        began=datetime(2026, 1, 1, tzinfo=UTC), duration_ms=1, what="click", said="Click.", picture=picture
    )


def reasons(room: RecordingSpace, *sizes: int | None) -> list[str | None]:
    return [one.left_out for one in rows_to_store([row(size) for size in sizes], room).rows]


def test_pictures_are_kept_up_to_the_limit_of_the_recording():
    assert reasons(EMPTY, MB, MB, None, MB, 1, 0) == [None, None, None, None, RECORDING_FULL.format(limit=3), None]
    assert reasons(replace(EMPTY, picture_bytes=2 * MB), MB, MB) == [None, RECORDING_FULL.format(limit=3)]


def test_pictures_of_all_recordings_have_a_limit():
    assert reasons(replace(EMPTY, all_bytes=9 * MB), MB, 1) == [None, ALL_RECORDINGS_FULL.format(limit=10)]


OPTIONAL = replace(EMPTY, required=False, reserved_percent=50, user_mb=4, recording_mb=10)


def test_optional_pictures_cannot_use_the_reserved_part_of_the_space():
    assert reasons(replace(OPTIONAL, optional_bytes=4 * MB), MB, 1) == [None, OPTIONAL_RECORDINGS_FULL.format(limit=5)]
    assert reasons(replace(OPTIONAL, optional_bytes=5 * MB, all_bytes=5 * MB, required=True), MB, MB) == [None, None]


def test_optional_pictures_of_one_user_have_a_limit():
    assert reasons(replace(OPTIONAL, user_bytes=3 * MB), MB, 1) == [None, USER_RECORDINGS_FULL.format(limit=4)]
    assert reasons(replace(OPTIONAL, user_bytes=4 * MB, required=True), MB) == [None]


def test_a_full_store_is_reported_and_a_full_recording_is_not():
    assert rows_to_store([row(MB)], replace(EMPTY, all_bytes=10 * MB)).full == ALL_RECORDINGS_FULL.format(limit=10)
    assert rows_to_store([row(MB)], replace(EMPTY, picture_bytes=3 * MB)).full is None


def test_a_picture_has_a_limit():
    assert reasons(EMPTY, MAX_PICTURE_BYTES, MAX_PICTURE_BYTES + 1) == [None, TOO_LARGE]


def test_what_a_person_does_is_not_pictured():
    assert reasons(replace(EMPTY, person_has_control=True), 5, None) == [PERSON_IN_CONTROL, None]


def test_rows_beyond_the_limit_are_counted():
    fits = rows_to_store([row(), row(), row()], replace(EMPTY, rows=MAX_ROWS - 1))
    assert (len(fits.rows), fits.rows_left_out) == (1, 2)
    assert rows_to_store([row()], replace(EMPTY, rows=MAX_ROWS + 5)).rows_left_out == 1


GIVEN = st.tuples(
    st.lists(st.none() | st.integers(0, 300_000), max_size=12),
    st.integers(MAX_ROWS - 8, MAX_ROWS + 2),
    st.integers(0, MB),
    st.booleans(),
)


def fits_and_says(subject: Callable[..., RowsToStore], given: tuple[list[int | None], int, int, bool]) -> None:
    """Nothing exceeds its limit, and each row that had a picture still has it, or a reason."""
    sizes, had, used, held = given
    room = RecordingSpace(
        rows=had, picture_bytes=used, all_bytes=used, recording_mb=1, all_mb=2, person_has_control=held
    )
    fits = subject([row(size) for size in sizes], room)
    assert room.picture_bytes + fits.picture_bytes <= MB
    assert room.rows + len(fits.rows) <= max(MAX_ROWS, had)
    assert len(fits.rows) + fits.rows_left_out == len(sizes)
    kept = [one for one, size in zip(fits.rows, sizes, strict=False) if size is not None]
    assert all((one.picture is None) != (one.left_out is None) for one in kept)
    assert (fits.pictures + fits.pictures_left_out, fits.picture_bytes) == (
        len(kept),
        sum(len(one.picture.data) for one in kept if one.picture is not None),
    )


def test_what_is_left_out_is_said():
    holds(fits_and_says, rows_to_store, GIVEN)
    catches(fits_and_says, lambda rows, room: rows_to_store(rows, replace(room, picture_bytes=0, all_bytes=0)), GIVEN)
