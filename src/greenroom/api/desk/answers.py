"""Decoding of the answers of a session's page, which are not trusted, and a cache of the states of screens.

The page is the web server in the session; it performs actions on the desktop.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, Any, Final, TypeVar

import msgspec
from pydantic import BaseModel

from greenroom.core.actions.plan import Size
from greenroom.core.errors import Interrupted, Unavailable

T = TypeVar("T")

UNREADABLE: Final = (
    "The answer of the session's page cannot be read: the image and the api have incompatible "
    "versions, or a program in the session answers instead of the page. Release the lease, and "
    "create another one."
)
UNKNOWN_PROGRESS: Final = "The number of completed actions is unknown."
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_MAX_EXACT_INTEGER: Final = 1 << 53


def decode_answer(content: bytes, answer_type: type[T]) -> T:
    """Decode the JSON answer to a request that changes nothing, or that may be repeated. Raises Unavailable: the answer
    is not valid.
    """
    try:
        if issubclass(answer_type, BaseModel):
            return answer_type.model_validate_json(content)
        return msgspec.json.decode(content, type=answer_type)
    except (ValueError, RecursionError) as error:
        raise Unavailable(UNREADABLE) from error


def decode_answer_to_change(content: bytes, answer_type: type[T]) -> T:
    """Decode the JSON answer to a request that changes something. Raises Interrupted: the answer is not valid, so the
    result of the change is unknown.
    """
    try:
        return decode_answer(content, answer_type)
    except Unavailable as error:
        raise unreadable_change() from error


def unreadable_change() -> Interrupted:
    """Return the error for an invalid answer to a request that changes something."""
    return Interrupted(f"{UNREADABLE} {UNKNOWN_PROGRESS}")


def require_png(content: bytes) -> bytes:
    """Return the content. Raises Unavailable: it is not a PNG."""
    if not content.startswith(_PNG):
        raise Unavailable(UNREADABLE)
    return content


def simple_fields(content: bytes) -> dict[str, Any]:
    """Return the fields of a JSON object that are strings, or numbers of at most 2^53; empty if the JSON is not
    valid."""
    try:
        fields = msgspec.json.decode(content, type=dict[str, Any])
    except (ValueError, RecursionError):
        return {}
    return {name: value for name, value in fields.items() if _is_simple_value(value)}


def _is_simple_value(value: object) -> bool:
    is_number = isinstance(value, (int, float)) and abs(value) <= _MAX_EXACT_INTEGER
    return is_number or isinstance(value, str)


MAX_STATES: Final = 10_000
_SideLength = Annotated[int, msgspec.Meta(ge=1, le=65535)]
_UInt16 = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class ScreenState(msgspec.Struct, frozen=True):
    """The screen of a session for the planning of steps; `held` is the mask of pressed buttons, as in RFB."""

    width: _SideLength
    height: _SideLength
    pointer: tuple[_UInt16, _UInt16]
    held: _UInt16

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)


class ScreenStateCache:
    """The last state of each session, for the latest `MAX_STATES` sessions."""

    def __init__(self) -> None:
        self._states: OrderedDict[str, ScreenState] = OrderedDict()

    def get(self, session_id: str) -> ScreenState | None:
        return self._states.get(session_id)

    def put(self, session_id: str, state: ScreenState) -> None:
        self._states[session_id] = state
        self._states.move_to_end(session_id)
        if len(self._states) > MAX_STATES:
            self._states.popitem(last=False)
