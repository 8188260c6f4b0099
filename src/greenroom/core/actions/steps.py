"""The steps an action becomes: all that the desktop itself has to know. As JSON each is tagged by `step`."""

from __future__ import annotations

import msgspec


class _Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="step"):
    pass


class Pointer(_Step, frozen=True, tag="pointer"):
    """Hold just these buttons (mask of RFB: 1 left, 2 middle, 4 right, 8 to 64 wheel), at x, y or where it is."""

    buttons: int
    x: int | None = None
    y: int | None = None


class Key(_Step, frozen=True, tag="key"):
    """Press or let go of a key."""

    keysym: int
    down: bool


class Type(_Step, frozen=True, tag="type"):
    """Write text, any of Unicode."""

    text: str


class Focus(_Step, frozen=True, tag="focus"):
    """Give an element of the accessibility tree the keyboard."""

    ref: str


class Wait(_Step, frozen=True, tag="wait"):
    """Do nothing for so long."""

    seconds: float


class Clipboard(_Step, frozen=True, tag="clipboard"):
    """Put text on the clipboard."""

    text: str


class Open(_Step, frozen=True, tag="open"):
    """Open a web address."""

    url: str


class Screenshot(_Step, frozen=True, tag="screenshot"):
    """Picture of the screen or of `region` (x1, y1, x2, y2), scaled where a size is given."""

    region: tuple[int, int, int, int] | None = None
    width: int | None = None
    height: int | None = None
    cursor: bool = True


class CursorPosition(_Step, frozen=True, tag="cursor_position"):
    """Say where the pointer is."""


class ReadClipboard(_Step, frozen=True, tag="read_clipboard"):
    """Say what text the clipboard has."""


Step = Pointer | Key | Type | Focus | Wait | Clipboard | Open | Screenshot | CursorPosition | ReadClipboard
