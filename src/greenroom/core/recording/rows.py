"""Creates the rows of a recording from the requests of a program, one for each action, command or file, and limits the
amount of recorded data.

A recording is *required* if a group of its user requires pictures. A part of the store is reserved for these. Pictures
that only the holders of leases requested share the rest, with a limit for each user.
"""

from __future__ import annotations

import shlex
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from greenroom.core.actions import dialects
from greenroom.core.actions.actions import Action
from greenroom.core.errors import Invalid
from greenroom.core.recording.described import MAX_TEXT, Described, described, recorded_error

ENDED_BY_CLIENT: Final = "interrupted"
NOT_DONE: Final = "not-done"
FAILED: Final = "failed"
MOST_SIDE: Final = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A PNG of the screen, or of a part of it."""

    width: int
    height: int
    data: bytes = field(repr=False)


_PNG: Final = b"\x89PNG\r\n\x1a\n"
_SIZE_ENDS: Final = 24


def picture_of(data: bytes) -> Picture | None:
    """Return a picture from the data of a session; None if it is no PNG."""
    if not data.startswith(_PNG) or len(data) < _SIZE_ENDS:
        return None
    width, height = struct.unpack(">II", data[16:_SIZE_ENDS])
    is_usable = 0 < width <= MOST_SIDE and 0 < height <= MOST_SIDE
    return Picture(width=width, height=height, data=data) if is_usable else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAct:
    """An act of a program at a time. `said` is a sentence, `who` the requester: empty = the holder of the lease's
    token. `code` and `error` are the reason why it failed.
    """

    began: datetime
    duration_ms: float
    what: str
    said: str
    who: str = ""
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    code: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRow(RecordedAct):
    """A row to write. `left_out` is the reason why its picture is missing."""

    picture: Picture | None = None
    left_out: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """A request: its time, its author, its duration, and the reason if it was refused."""

    began: datetime
    duration_ms: float
    who: str = ""
    code: str | None = None
    error: str | None = None
    keep_text: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionOutcome:
    """The outcome of one action."""

    done: bool
    error: str | None = None
    ms: float | None = None
    picture: Picture | None = None


def rows_of_actions(
    asked: RecordedRequest, items: Sequence[object], outcomes: Sequence[ActionOutcome], screen: tuple[int, int] | None
) -> list[RecordingRow]:
    """Return a row for each action begun, or one with the reason why none was. Coordinates refer to `screen`."""
    try:
        kinds = [described(action, keep_text=asked.keep_text) for action in _read(items)]
    except Invalid:
        kinds = [Described(what="unknown", said="The action is not valid.", changes=False) for _ in items]
    if asked.code is not None or not outcomes:
        return [_refused(asked, kinds)]
    rows: list[RecordingRow] = []
    began = asked.began
    for kind, outcome in zip(kinds, outcomes, strict=False):
        took_ms = asked.duration_ms / len(outcomes)
        if outcome.ms is not None:  # from the session, so it may be any number
            took_ms = min(max(outcome.ms, 0.0), asked.duration_ms)
        where = {"at": list(kind.at), "screen": list(screen)} if kind.at is not None and screen is not None else {}
        code, error = (None, None) if outcome.done else (NOT_DONE, outcome.error or "It failed.")
        one = replace(asked, began=began, duration_ms=took_ms, code=code, error=error)
        rows.append(replace(_row(one, kind.what, kind.said, kind.details | where), picture=outcome.picture))
        began += timedelta(milliseconds=took_ms)
        if not outcome.done:
            break
    return rows


def _read(items: Sequence[object]) -> list[Action]:
    """Parse the actions. Those at an element are parsed with the corner of the screen as their place."""
    refs = dialects.refs_of(items)
    return dialects.parse(dialects.located(items, dict.fromkeys(refs, (0, 0))) if refs else items)


def _row(asked: RecordedRequest, what: str, said: str, details: dict[str, Any] | None = None) -> RecordingRow:
    error = None if asked.error is None else recorded_error(asked.error, keep_text=asked.keep_text)
    return RecordingRow(
        began=asked.began,
        duration_ms=asked.duration_ms,
        what=what,
        said=said,
        who=asked.who,
        details=details or {},
        code=asked.code,
        error=error,
    )


def _refused(asked: RecordedRequest, kinds: Sequence[Described]) -> RecordingRow:
    """Return the row of a request without performed actions, or with an unknown number of them."""
    if len(kinds) == 1:
        return _row(asked, kinds[0].what, kinds[0].said)
    return _row(asked, "actions", f"{len(kinds)} actions.", {"actions": [kind.what for kind in kinds]})


def changes_screen(items: Sequence[object]) -> bool:
    """True if the screen may look different after these actions."""
    try:
        return any(described(action, keep_text=False).changes for action in _read(items))
    except Invalid:
        return False


def row_of_command(
    asked: RecordedRequest, command: Sequence[str], environment: Sequence[str], exit_code: int | None
) -> RecordingRow:
    """Return the row of a command: its program, or the whole with `keep_text`; of variables only the names."""
    program, *arguments = command
    number = f"{len(arguments)} argument{'' if len(arguments) == 1 else 's'}"
    shown = shlex.join(command)[:MAX_TEXT] if asked.keep_text else f"{program} with {number}"
    details: dict[str, Any] = {"program": program[:MAX_TEXT], "arguments": len(arguments), "exit_code": exit_code}
    if asked.keep_text:
        details["command"] = shown
    if environment:
        details["variables"] = list(environment)
    ends = "" if exit_code in (None, 0) else f", which ends with exit code {exit_code}"
    row = _row(asked, "exec", f"Runs {shown}{ends}.", details)
    return replace(row, code=asked.code or (FAILED if exit_code else None))


FILE_VERBS: Final = {"read": "Reads", "write": "Writes", "delete": "Deletes"}


def row_of_file(asked: RecordedRequest, verb: str, path: str) -> RecordingRow:
    """Return the row of a file or folder that was read, written or deleted. Its path is below the home folder."""
    return _row(asked, f"file-{verb}", f"{FILE_VERBS[verb]} {path[:MAX_TEXT] or 'the home folder'}.")


def row_of_screenshot(asked: RecordedRequest, picture: Picture | None) -> RecordingRow:
    """Return the row of a screenshot by the program."""
    return replace(_row(asked, "screenshot", "Takes a screenshot."), picture=picture)


def row_of_elements(asked: RecordedRequest) -> RecordingRow:
    """Return the row of a read of the accessibility tree."""
    return _row(asked, "elements", "Reads the elements of the screen.")


def row_of_gap(began: datetime, number: int, reason: str) -> RecordingRow:
    """Return the row that replaces this number of missing rows."""
    words = "One action is" if number == 1 else f"{number} actions are"
    return RecordingRow(
        began=began, duration_ms=0, what="gap", said=f"{words} missing: {reason}.", details={"missing": number}
    )


MOST_ROWS: Final = 100_000
"""Maximum number of rows of one lease."""
MOST_PICTURE_BYTES: Final = 2 << 20
"""Maximum size of one picture."""
WIDEST: Final = 1280
"""Maximum width in pixels of a picture for the recording; pictures of wider screens are scaled."""
HELD: Final = "a person had control of the desktop; pictures of their actions are not stored"
TOO_LARGE: Final = f"the picture is larger than {MOST_PICTURE_BYTES >> 20} MB"
FULL: Final = "the pictures of this recording have {limit} MB, the maximum of `recording_max_mb`"
ALL_FULL: Final = "the pictures of all recordings have {limit} MB, the maximum of `recordings_max_mb`"
WISHED_FULL: Final = (
    "the pictures that no group requires have {limit} MB; the rest of `recordings_max_mb` is reserved for required"
    " pictures"
)
USER_FULL: Final = (
    "the pictures of this user that no group requires have {limit} MB, the maximum of `recordings_user_max_mb`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSpace:
    """The used and the maximum space (megabytes) of a recording and of all recordings. `wished_bytes` are those of all
    recordings that are not `required`, `user_bytes` those of the same user; these recordings cannot use
    `reserved_percent` of the store.
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
    """The rows to keep. `rows_left_out` is the number of rows after the last one."""

    rows: list[RecordingRow]
    rows_left_out: int
    picture_bytes: int
    required: bool = True
    full: str | None = None
    """The limit of several recordings because of which a picture was left out, as a sentence."""

    @property
    def pictures(self) -> int:
        return sum(row.picture is not None for row in self.rows)

    @property
    def pictures_left_out(self) -> int:
        return sum(row.left_out is not None for row in self.rows)


def fitted(rows: Sequence[RecordingRow], room: RecordingSpace) -> Fitted:
    """Return the rows that fit, in their order, each with its picture or with the reason why it was left out."""
    kept: list[RecordingRow] = []
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


def _refusal(size: int, used: int, room: RecordingSpace) -> str | None:
    if room.held:
        return HELD
    if size > MOST_PICTURE_BYTES:
        return TOO_LARGE
    if room.picture_bytes + used + size > room.recording_mb << 20:
        return FULL.format(limit=room.recording_mb)
    if room.all_bytes + used + size > room.all_mb << 20:
        return ALL_FULL.format(limit=room.all_mb)
    return None if room.required else _refusal_of_wished(used + size, room)


def _refusal_of_wished(more: int, room: RecordingSpace) -> str | None:
    wished_mb = room.all_mb * max(0, 100 - room.reserved_percent) // 100
    if room.wished_bytes + more > wished_mb << 20:
        return WISHED_FULL.format(limit=wished_mb)
    if room.user_bytes + more > room.user_mb << 20:
        return USER_FULL.format(limit=room.user_mb)
    return None
