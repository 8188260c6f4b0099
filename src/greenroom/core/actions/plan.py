"""Converts each action into the list of steps that the desktop performs for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from greenroom.core.actions.actions import (
    Action,
    BaseStep,
    Button,
    Click,
    Drag,
    LeftButton,
    Move,
    Point,
    Press,
    Scroll,
    SimpleStep,
    TakeScreenshot,
    WaitStep,
    Write,
)
from greenroom.core.errors import Invalid


class Pointer(BaseStep, frozen=True, tag="pointer"):
    """Hold exactly these buttons (the bits of `Button`) with the pointer at x, y, or at its current position."""

    buttons: int
    x: int | None = None
    y: int | None = None


class Key(BaseStep, frozen=True, tag="key"):
    """Press or release a key."""

    keysym: int
    down: bool


class Type(BaseStep, frozen=True, tag="type"):
    """Type text with any Unicode characters."""

    text: str


class Screenshot(BaseStep, frozen=True, tag="screenshot"):
    """Take a picture of the screen or of `region` (x1, y1, x2, y2), scaled to `width` and `height` if they are set.
    `cursor`: the picture shows the pointer."""

    region: tuple[int, int, int, int] | None = None
    width: int | None = None
    height: int | None = None
    cursor: bool = True


Step = Pointer | Key | Type | Screenshot | SimpleStep


PAUSE_S: Final = 0.02
"""The pauses in a drag after the press and before the release of the button. Without them, programs detect no drag."""


@dataclass(frozen=True, slots=True)
class Size:
    """The size in pixels of a screen, or of the picture of the screen that a client uses."""

    width: int
    height: int


def plan(
    actions: Sequence[Action],
    screen: Size,
    pointer: tuple[int, int],
    display: Size | None = None,
    held: Button = Button.NONE,
) -> list[list[Step]]:
    """Return the steps of each action. `pointer` is the position of the pointer on `screen`. With `display`, the
    coordinates of the actions are those of a screen of that size.

    The left button stays down from `left_mouse_down` to `left_mouse_up`, even across requests: `held` is the button
    that an earlier request left down. Each action releases all other buttons and keys that it presses. Raises Invalid:
    a coordinate is outside the screen, or a region is empty; the message names the action.
    """
    planner = _Planner(screen, display or screen, pointer, held)
    return [list(planner.steps(action, f"actions[{index}]")) for index, action in enumerate(actions)]


def to_display_point(x: int, y: int, screen: Size, display: Size) -> tuple[int, int]:
    """Convert a point of the screen to the coordinates of a client that uses `display`."""
    return x * display.width // screen.width, y * display.height // screen.height


class _Planner:
    def __init__(self, screen: Size, display: Size, pointer: tuple[int, int], held: Button) -> None:
        self._screen = screen
        self._display = display
        self.pointer = pointer
        self.held = held

    def steps(self, action: Action, where: str) -> Iterator[Step]:
        """Return the steps of an action. `where` is the path of the action in the request, for errors."""
        match action:
            case Move(at, keys):
                yield from self._while_holding(keys, [self._pointer(self._screen_position(at, where))])
            case Click(button, at, times, keys):
                yield from self._while_holding(
                    keys, [self._pointer(self._screen_position(at, where)), *self._clicks(button, times)]
                )
            case Drag(path, keys):
                yield from self._while_holding(
                    keys, list(self._drag([self._screen_position(point, where) for point in path]))
                )
            case LeftButton(down, at):
                yield self._pointer(self._screen_position(at, where))
                self.held = Button.LEFT if down else Button.NONE
                yield self._pointer(self.pointer)
            case Scroll(across, down, at, keys):
                yield from self._while_holding(
                    keys,
                    [
                        self._pointer(self._screen_position(at, where)),
                        *self._clicks(Button.UP if down < 0 else Button.DOWN, abs(down)),
                        *self._clicks(Button.WEST if across < 0 else Button.EAST, abs(across)),
                    ],
                )
            case Press(chords, seconds):
                for chord in chords:
                    yield from self._while_holding(chord, [WaitStep(seconds)] if seconds else [])
            case Write(text, at):
                yield from [] if at is None else self.steps(Click(Button.LEFT, at), where)
                yield Type(text)
            case TakeScreenshot(region):
                yield self._screenshot(region, where)
            case _:
                yield action

    def _screen_position(self, point: Point | None, where: str) -> tuple[int, int]:
        if point is None:
            return self.pointer
        self._check(point, where, margin=1)
        return self._scaled(point)

    def _scaled(self, point: Point) -> tuple[int, int]:
        screen, display = self._screen, self._display
        return point.x * screen.width // display.width, point.y * screen.height // display.height

    def _check(self, point: Point, where: str, *, margin: int) -> None:
        """Check that a point is on the screen. `margin` is 1 for a pixel, and 0 for a corner of a region, which may be
        at the right or lower edge of the screen. Raises Invalid: the point is outside."""
        width, height = self._display.width, self._display.height
        if not (0 <= point.x <= width - margin and 0 <= point.y <= height - margin):
            field_path = f"{where}.{point.field}" if point.field.isidentifier() or "[" in point.field else where
            raise Invalid(f"{field_path}: [{point.x}, {point.y}] is outside the screen of {width} x {height}.")

    def _screenshot(self, region: tuple[Point, Point] | None, where: str) -> Step:
        screen, display = self._screen, self._display
        if region is None:
            return Screenshot() if display == screen else Screenshot(None, display.width, display.height)
        first, last = region
        for corner in region:
            self._check(corner, where, margin=0)
        corners = (*self._scaled(first), *self._scaled(last))
        if corners[0] >= corners[2] or corners[1] >= corners[3]:
            raise Invalid(f"{where}.region: it is empty; write [x1, y1, x2, y2] with x1 < x2 and y1 < y2.")
        return Screenshot(corners)

    def _pointer(self, place: tuple[int, int]) -> Pointer:
        self.pointer = place
        return Pointer(int(self.held), *place)

    def _clicks(self, button: Button, times: int) -> list[Step]:
        self.held &= ~button  # a click ends with its button up, even if it was down before
        return [Pointer(int(mask), *self.pointer) for _ in range(times) for mask in (self.held | button, self.held)]

    def _drag(self, path: list[tuple[int, int]]) -> Iterator[Step]:
        path = path if len(path) > 1 else [self.pointer, *path]
        yield self._pointer(path[0])
        self.held = Button.LEFT
        yield self._pointer(path[0])
        yield WaitStep(PAUSE_S)
        for (x1, y1), (x2, y2) in pairwise(path):
            yield self._pointer(((x1 + x2) // 2, (y1 + y2) // 2))
            yield self._pointer((x2, y2))
        yield WaitStep(PAUSE_S)
        self.held = Button.NONE
        yield self._pointer(path[-1])

    @staticmethod
    def _while_holding(keys: tuple[int, ...], steps: list[Step]) -> Iterator[Step]:
        yield from (Key(keysym, down=True) for keysym in keys)
        yield from steps
        yield from (Key(keysym, down=False) for keysym in reversed(keys))
