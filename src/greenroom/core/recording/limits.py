"""How much of a recording is kept. What does not fit is left out, and counted; pictures first, rows last.

A recording is *required* if a group of its user requires pictures. A part of the store is reserved for these.
Pictures that holders of leases only wished share the rest, and those of one user have a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from greenroom.core.recording.rows import Row

MOST_ROWS: Final = 100_000
"""Of one lease."""
MOST_PICTURE_BYTES: Final = 2 << 20
"""Of one picture."""
WIDEST: Final = 1280
"""Pixels of a picture that is taken for the recording; wider screens are scaled."""
HELD: Final = "a person had control of the desktop; pictures of what they do are not kept"
TOO_LARGE: Final = f"it has more than {MOST_PICTURE_BYTES >> 20} MB"
FULL: Final = "the pictures of this recording have {limit} MB, as many as `recording_max_mb` allows"
ALL_FULL: Final = "the pictures of all recordings have {limit} MB, as many as `recordings_max_mb` allows"
WISHED_FULL: Final = (
    "the pictures that no group requires have {limit} MB; the rest of `recordings_max_mb` is reserved for the others"
)
USER_FULL: Final = (
    "the pictures of this user that no group requires have {limit} MB, as many as `recordings_user_max_mb` allows"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a recording and all of them have, and what they may have (megabytes). `wished_bytes` are of all recordings
    that are not `required`, `user_bytes` those of the same user; `reserved_percent` of the store is not for them.
    """

    rows: int
    picture_bytes: int
    all_bytes: int
    recording_mb: int
    all_mb: int
    required: bool = True
    wished_bytes: int = 0
    user_bytes: int = 0
    user_mb: int = 0
    reserved_percent: int = 0
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The rows to keep; `rows_left_out` came after the last one."""

    rows: list[Row]
    rows_left_out: int
    picture_bytes: int
    required: bool = True
    full: str | None = None
    """Which limit of several recordings left a picture out, as a sentence."""

    @property
    def pictures(self) -> int:
        return sum(row.picture is not None for row in self.rows)

    @property
    def pictures_left_out(self) -> int:
        return sum(row.left_out is not None for row in self.rows)


def fitted(rows: Sequence[Row], room: Room) -> Fitted:
    """The rows that fit, in their order, each with its picture or with the reason why that was left out."""
    kept: list[Row] = []
    used, full = 0, None
    for row in rows[: max(MOST_ROWS - room.rows, 0)]:
        reason = None if row.picture is None else _refusal(len(row.picture.data), used, room)
        if reason is not None:
            full = reason if reason not in (HELD, TOO_LARGE, FULL.format(limit=room.recording_mb)) else full
            kept.append(replace(row, picture=None, left_out=reason))
            continue
        used += 0 if row.picture is None else len(row.picture.data)
        kept.append(row)
    return Fitted(rows=kept, rows_left_out=len(rows) - len(kept), picture_bytes=used, required=room.required, full=full)


def _refusal(size: int, used: int, room: Room) -> str | None:
    if room.held:
        return HELD
    if size > MOST_PICTURE_BYTES:
        return TOO_LARGE
    if room.picture_bytes + used + size > room.recording_mb << 20:
        return FULL.format(limit=room.recording_mb)
    if room.all_bytes + used + size > room.all_mb << 20:
        return ALL_FULL.format(limit=room.all_mb)
    return None if room.required else _refusal_of_wished(used + size, room)


def _refusal_of_wished(more: int, room: Room) -> str | None:
    wished_mb = room.all_mb * max(0, 100 - room.reserved_percent) // 100
    if room.wished_bytes + more > wished_mb << 20:
        return WISHED_FULL.format(limit=wished_mb)
    if room.user_bytes + more > room.user_mb << 20:
        return USER_FULL.format(limit=room.user_mb)
    return None
