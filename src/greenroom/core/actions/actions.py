"""What a program may do to a desktop, in any dialect. `dialects` reads actions, `plan` makes steps of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag


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
