"""Creates the rows of a recording from the requests of a program, one for each action, command or file, and limits the
amount of recorded data.

A recording is *required* if a group of its user requires pictures. A part of the space for pictures is reserved for
required recordings. The pictures of other recordings share the rest of the space, with a limit for each user.
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
from greenroom.core.recording.descriptions import MAX_TEXT, ActionDescription, describe, recorded_error

ENDED_BY_CLIENT: Final = "interrupted"
NOT_DONE: Final = "not-done"
FAILED: Final = "failed"
MAX_SIDE_PX: Final = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A PNG of the screen, or of a part of it."""

    width: int
    height: int
    data: bytes = field(repr=False)


_PNG: Final = b"\x89PNG\r\n\x1a\n"
_SIZE_END: Final = 24  # the bytes of a PNG up to the end of its width and height


def picture_of(data: bytes) -> Picture | None:
    """Return the picture in data that a session sent; None if the data is no PNG or its size is not usable."""
    if not data.startswith(_PNG) or len(data) < _SIZE_END:
        return None
    width, height = struct.unpack(">II", data[16:_SIZE_END])
    is_usable = 0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX
    return Picture(width=width, height=height, data=data) if is_usable else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAct:
    """A recorded act of a program. `what` is its kind, `said` its description as a sentence. `who` is the caller;
    empty = the holder of the lease's token. `code` and `error` are the reason of a failure.
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
    """A row of a recording. `left_out` is the reason why its picture is missing."""

    picture: Picture | None = None
    left_out: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """A request of a program. `who` is its caller, `error` the reason of a refusal. `keep_text`: texts are recorded."""

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
    request: RecordedRequest, items: Sequence[object], outcomes: Sequence[ActionOutcome], screen: tuple[int, int] | None
) -> list[RecordingRow]:
    """Return a row for each action that was begun, or one row with the reason why none was begun. Coordinates are for a
    screen of the size `screen`.
    """
    try:
        descriptions = [describe(action, keep_text=request.keep_text) for action in _parse(items)]
    except Invalid:
        descriptions = [
            ActionDescription(what="unknown", said="The action is not valid.", changes=False) for _ in items
        ]
    if request.code is not None or not outcomes:
        return [_refused(request, descriptions)]
    rows: list[RecordingRow] = []
    began = request.began
    for description, outcome in zip(descriptions, outcomes, strict=False):
        took_ms = request.duration_ms / len(outcomes)
        if outcome.ms is not None:  # The session sends this number, so it may have any value.
            took_ms = min(max(outcome.ms, 0.0), request.duration_ms)
        place = (
            {"at": list(description.at), "screen": list(screen)}
            if description.at is not None and screen is not None
            else {}
        )
        code, error = (None, None) if outcome.done else (NOT_DONE, outcome.error or "It failed.")
        action_request = replace(request, began=began, duration_ms=took_ms, code=code, error=error)
        rows.append(
            replace(
                _row(action_request, description.what, description.said, description.details | place),
                picture=outcome.picture,
            )
        )
        began += timedelta(milliseconds=took_ms)
        if not outcome.done:
            break
    return rows


def _parse(items: Sequence[object]) -> list[Action]:
    """Parse the actions. The position of an element is not known here; the corner of the screen replaces it."""
    refs = dialects.refs_of(items)
    return dialects.parse(dialects.replace_references(items, dict.fromkeys(refs, (0, 0))) if refs else items)


def _row(request: RecordedRequest, what: str, said: str, details: dict[str, Any] | None = None) -> RecordingRow:
    error = None if request.error is None else recorded_error(request.error, keep_text=request.keep_text)
    return RecordingRow(
        began=request.began,
        duration_ms=request.duration_ms,
        what=what,
        said=said,
        who=request.who,
        details=details or {},
        code=request.code,
        error=error,
    )


def _refused(request: RecordedRequest, descriptions: Sequence[ActionDescription]) -> RecordingRow:
    """Return the row of a refused or interrupted request. It is not known which of its actions were performed."""
    if len(descriptions) == 1:
        return _row(request, descriptions[0].what, descriptions[0].said)
    return _row(
        request,
        "actions",
        f"{len(descriptions)} actions.",
        {"actions": [description.what for description in descriptions]},
    )


def changes_screen(items: Sequence[object]) -> bool:
    """True if the screen may look different after these actions."""
    try:
        return any(describe(action, keep_text=False).changes for action in _parse(items))
    except Invalid:
        return False


def row_of_command(
    request: RecordedRequest, command: Sequence[str], environment: Sequence[str], exit_code: int | None
) -> RecordingRow:
    """Return the row of a command: its program, with `keep_text` its arguments too, and the names of its variables."""
    program, *arguments = command
    number = f"{len(arguments)} argument{'' if len(arguments) == 1 else 's'}"
    command_text = shlex.join(command)[:MAX_TEXT] if request.keep_text else f"{program} with {number}"
    details: dict[str, Any] = {"program": program[:MAX_TEXT], "arguments": len(arguments), "exit_code": exit_code}
    if request.keep_text:
        details["command"] = command_text
    if environment:
        details["variables"] = list(environment)
    exit_text = "" if exit_code in (None, 0) else f", which ends with exit code {exit_code}"
    row = _row(request, "exec", f"Runs {command_text}{exit_text}.", details)
    return replace(row, code=request.code or (FAILED if exit_code else None))


FILE_VERBS: Final = {"read": "Reads", "write": "Writes", "delete": "Deletes"}


def row_of_file(request: RecordedRequest, verb: str, path: str) -> RecordingRow:
    """Return the row of a file or folder that was read, written or deleted. Its path is below the home folder."""
    return _row(request, f"file-{verb}", f"{FILE_VERBS[verb]} {path[:MAX_TEXT] or 'the home folder'}.")


def row_of_screenshot(request: RecordedRequest, picture: Picture | None) -> RecordingRow:
    """Return the row of a screenshot by the program."""
    return replace(_row(request, "screenshot", "Takes a screenshot."), picture=picture)


def row_of_elements(request: RecordedRequest) -> RecordingRow:
    """Return the row of a read of the accessibility tree."""
    return _row(request, "elements", "Reads the elements of the screen.")


def row_of_missing_rows(began: datetime, number: int, reason: str) -> RecordingRow:
    """Return the row that replaces this number of missing rows."""
    number_text = "One action is" if number == 1 else f"{number} actions are"
    return RecordingRow(
        began=began, duration_ms=0, what="gap", said=f"{number_text} missing: {reason}.", details={"missing": number}
    )


MAX_ROWS: Final = 100_000
"""Maximum number of rows of one lease."""
MAX_PICTURE_BYTES: Final = 2 << 20
"""Maximum size of one picture."""
MAX_WIDTH: Final = 1280
"""Maximum width in pixels of a picture for the recording. Pictures of wider screens are scaled down."""
PERSON_IN_CONTROL: Final = "a person had control of the desktop; pictures of their actions are not stored"
TOO_LARGE: Final = f"the picture is larger than {MAX_PICTURE_BYTES >> 20} MB"
RECORDING_FULL: Final = "the pictures of this recording have {limit} MB, the maximum of `recording_max_mb`"
ALL_RECORDINGS_FULL: Final = "the pictures of all recordings have {limit} MB, the maximum of `recordings_max_mb`"
OPTIONAL_RECORDINGS_FULL: Final = (
    "the limit of {limit} MB for pictures that no group requires is reached; the rest of `recordings_max_mb` is"
    " reserved for members of groups whose `record_leases` is `pictures`"
)
USER_RECORDINGS_FULL: Final = (
    "the pictures of this user that no group requires have {limit} MB, the maximum of `recordings_user_max_mb`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSpace:
    """The used and the maximum space of a recording and of all recordings. `optional_bytes` are the bytes of all
    recordings that are not `required`, and `user_bytes` the part of them that belongs to the same user. Only required
    recordings can use `reserved_percent` of the space. If `person_has_control`, no picture is stored.
    """

    rows: int
    picture_bytes: int
    all_bytes: int
    recording_mb: int
    all_mb: int
    required: bool = True
    optional_bytes: int = 0
    user_bytes: int = 0
    user_mb: int = 0
    reserved_percent: int = 0
    person_has_control: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsToStore:
    """The rows to store. `rows_left_out` is the number of further rows, which are not stored."""

    rows: list[RecordingRow]
    rows_left_out: int
    picture_bytes: int
    required: bool = True
    full: str | None = None
    """The reason why a picture was omitted, if it concerns several recordings; None = there was no such reason."""

    @property
    def pictures(self) -> int:
        return sum(row.picture is not None for row in self.rows)

    @property
    def pictures_left_out(self) -> int:
        return sum(row.left_out is not None for row in self.rows)


def rows_to_store(rows: Sequence[RecordingRow], space: RecordingSpace) -> RowsToStore:
    """Return the rows that fit into the space, each with its picture or the reason why the picture was omitted."""
    stored: list[RecordingRow] = []
    used, full = 0, None
    for row in rows[: max(MAX_ROWS - space.rows, 0)]:
        reason = None if row.picture is None else _reason_to_omit(len(row.picture.data), used, space)
        if reason is not None:
            only_this = reason in (PERSON_IN_CONTROL, TOO_LARGE, RECORDING_FULL.format(limit=space.recording_mb))
            full = full if only_this else reason
            stored.append(replace(row, picture=None, left_out=reason))
            continue
        used += 0 if row.picture is None else len(row.picture.data)
        stored.append(row)
    return RowsToStore(
        rows=stored, rows_left_out=len(rows) - len(stored), picture_bytes=used, required=space.required, full=full
    )


def _reason_to_omit(size: int, used: int, space: RecordingSpace) -> str | None:
    if space.person_has_control:
        return PERSON_IN_CONTROL
    if size > MAX_PICTURE_BYTES:
        return TOO_LARGE
    if space.picture_bytes + used + size > space.recording_mb << 20:
        return RECORDING_FULL.format(limit=space.recording_mb)
    if space.all_bytes + used + size > space.all_mb << 20:
        return ALL_RECORDINGS_FULL.format(limit=space.all_mb)
    return None if space.required else _reason_to_omit_optional(used + size, space)


def _reason_to_omit_optional(new_bytes: int, space: RecordingSpace) -> str | None:
    optional_mb = space.all_mb * max(0, 100 - space.reserved_percent) // 100
    if space.optional_bytes + new_bytes > optional_mb << 20:
        return OPTIONAL_RECORDINGS_FULL.format(limit=optional_mb)
    if space.user_bytes + new_bytes > space.user_mb << 20:
        return USER_RECORDINGS_FULL.format(limit=space.user_mb)
    return None
