"""The actions that a program can perform on a desktop: parsed by `dialects`, converted into steps by `plan`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from greenroom.core.errors import Invalid

MAX_ACTIONS: Final = 100
MAX_SECONDS: Final = 30.0
"""The maximum duration of one wait, or of one key that is held down."""
MAX_TOTAL_SECONDS: Final = 60.0
MAX_TEXT_BYTES: Final = 1_000_000
MAX_NOTCHES: Final = 100
MAX_COORDINATE: Final = 1_000_000
"""The largest coordinate that is accepted, in pixels."""
MAX_REF_LENGTH: Final = 60
"""Maximum characters of a reference to an element."""
MAX_ADDRESS_LENGTH: Final = 8000
"""Maximum characters of a web address."""
Coordinate = Annotated[int, Meta(ge=-MAX_COORDINATE, le=MAX_COORDINATE)]


def checked_text(text: str) -> str:
    """Return the text. Raises Invalid: it cannot be encoded as UTF-8, or is too long."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise Invalid("the text contains an unpaired surrogate, which is not a character.") from error
    if size > MAX_TEXT_BYTES:
        raise Invalid(f"the text has {size} bytes; the maximum is {MAX_TEXT_BYTES}. Send it in parts or as a file.")
    return text


def web_address(url: str) -> str:
    """Return `url` if it is a web address. Raises Invalid: it is not a web address, or is too long."""
    try:
        parts = urlsplit(checked_text(url))
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise Invalid(f"this is not a web address: {error}.") from error
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable() or " " in url:
        raise Invalid("a web address must begin with http:// or https://, have a host, and have no spaces.")
    if len(url) > MAX_ADDRESS_LENGTH:
        raise Invalid(f"the address has {len(url)} characters; the maximum is {MAX_ADDRESS_LENGTH}.")
    return url


class Button(IntFlag):
    """Buttons of the pointer, with their bits in RFB, the protocol of VNC. UP to EAST are directions of the wheel."""

    NONE = 0
    LEFT = 1
    MIDDLE = 2
    RIGHT = 4
    UP = 8
    DOWN = 16
    WEST = 32
    EAST = 64


@dataclass(frozen=True, slots=True)
class Point:
    """A point on the screen, in pixels. `field` is the name of the point in the client's action, for errors."""

    x: int
    y: int
    field: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """Move the pointer; a button that is held down stays down."""

    at: Point
    keys: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Click:
    """Click `times` times with keys held down; without `at`, at the current position of the pointer."""

    button: Button
    at: Point | None = None
    times: int = 1
    keys: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Drag:
    """Press the left button at the first point and release it at the last. With one point, start at the pointer."""

    path: tuple[Point, ...]
    keys: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftButton:
    """Press or release the left button."""

    down: bool
    at: Point | None = None


@dataclass(frozen=True, slots=True)
class Scroll:
    """Turn the wheel by notches; right and down are positive."""

    across: int
    down: int
    at: Point | None = None
    keys: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Press:
    """Press chords in sequence. Each is held for `seconds` and then released."""

    chords: tuple[tuple[int, ...], ...]
    seconds: float = 0


@dataclass(frozen=True, slots=True)
class Write:
    """Type text, after a click at `at` if there is one."""

    text: str
    at: Point | None = None


@dataclass(frozen=True, slots=True)
class TakeScreenshot:
    """Take a picture of the screen, or of the part between two corners."""

    region: tuple[Point, Point] | None = None


class BaseStep(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="step"):
    """A step that the desktop performs. A subclass in this module is also an action of a program. `plan` converts all
    other actions into steps.
    """


class FocusElement(BaseStep, frozen=True, tag="focus"):
    """Give the keyboard focus to an element of the accessibility tree."""

    ref: str


class WaitStep(BaseStep, frozen=True, tag="wait"):
    """Wait for `seconds`."""

    seconds: float


class Clipboard(BaseStep, frozen=True, tag="clipboard"):
    """Copy text to the clipboard."""

    text: str


class OpenAddress(BaseStep, frozen=True, tag="open"):
    """Open a web address."""

    url: str


class CursorPosition(BaseStep, frozen=True, tag="cursor_position"):
    """Return the position of the pointer."""


class ReadClipboard(BaseStep, frozen=True, tag="read_clipboard"):
    """Return the text of the clipboard."""


SimpleStep = FocusElement | WaitStep | Clipboard | OpenAddress | CursorPosition | ReadClipboard
Action = Move | Click | Drag | LeftButton | Scroll | Press | Write | TakeScreenshot | SimpleStep
