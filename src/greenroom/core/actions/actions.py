"""What a program may do to a desktop, in any dialect. `dialects` reads actions, `plan` makes steps of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta

from greenroom.core.errors import Invalid

MOST_ACTIONS: Final = 100
MOST_SECONDS: Final = 30.0
"""One wait, or one key that is held."""
MOST_SECONDS_TOGETHER: Final = 60.0
MOST_TEXT_BYTES: Final = 1_000_000
MOST_NOTCHES: Final = 100
MOST_PIXELS: Final = 1_000_000
"""A coordinate this far from the screen is no coordinate."""
MOST_REF: Final = 60
"""Characters of a reference to an element."""
MOST_ADDRESS: Final = 8000
"""Characters of a web address."""
Coordinate = Annotated[int, Meta(ge=-MOST_PIXELS, le=MOST_PIXELS)]


def checked_text(text: str) -> str:
    """The text, if it can be written as UTF-8 within the limit.

    Raises:
        Invalid: it cannot.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise Invalid("the text has half of a surrogate pair, which is no character.") from error
    if size > MOST_TEXT_BYTES:
        raise Invalid(f"the text has {size} bytes; at most {MOST_TEXT_BYTES} are taken, send it in parts or as a file.")
    return text


def web_address(url: str) -> str:
    """The address, if it is one of the web.

    Raises:
        Invalid: it is not, or is too long.
    """
    try:
        parts = urlsplit(checked_text(url))
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise Invalid(f"this is no web address: {error}.") from error
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable() or " " in url:
        raise Invalid("a web address begins with http:// or https://, has a host, and has no spaces.")
    if len(url) > MOST_ADDRESS:
        raise Invalid(f"the address has {len(url)} characters; at most {MOST_ADDRESS} are taken.")
    return url


class Button(IntFlag):
    """Buttons of the pointer, as RFB numbers them."""

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
    """A place on the screen; `field` is where the client wrote it."""

    x: int
    y: int
    field: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """Bring the pointer somewhere; a button that is held stays held."""

    at: Point
    keys: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Click:
    """Click so often, with keys held; without a place where the pointer is."""

    button: Button
    at: Point | None = None
    times: int = 1
    keys: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Drag:
    """Press the left button at the first point, let go of it at the last; with one point from where the pointer is."""

    path: tuple[Point, ...]
    keys: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """Press the left button, or let go of it."""

    down: bool
    at: Point | None = None


@dataclass(frozen=True, slots=True)
class Scroll:
    """Turn the wheel by notches: right and down are positive."""

    across: int
    down: int
    at: Point | None = None
    keys: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Press:
    """Press chords, one after another, each held for so long and then let go of."""

    chords: tuple[tuple[int, ...], ...]
    seconds: float = 0


@dataclass(frozen=True, slots=True)
class Write:
    """Type text, after a click there."""

    text: str
    at: Point | None = None


@dataclass(frozen=True, slots=True)
class Focus:
    """Give an element of the screen the keyboard."""

    ref: str


@dataclass(frozen=True, slots=True)
class Rest:
    """Do nothing for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Look:
    """A picture of the screen, or of the part between two corners."""

    region: tuple[Point, Point] | None = None


@dataclass(frozen=True, slots=True)
class WhereIs:
    """Where the pointer is."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Put text on the clipboard."""

    text: str


@dataclass(frozen=True, slots=True)
class Paste:
    """What text the clipboard has."""


@dataclass(frozen=True, slots=True)
class GoTo:
    """Open a web address."""

    url: str


Action = Move | Click | Drag | Hold | Scroll | Press | Write | Focus | Rest | Look | WhereIs | Copy | Paste | GoTo
