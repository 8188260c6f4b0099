"""Describes actions for recordings: the kind of an action, its place, and the length of its text. Text that is typed,
copied or part of an address may be a password, so it is recorded only if the lease requested it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from greenroom.core.actions.actions import (
    Action,
    Button,
    Click,
    Clipboard,
    CursorPosition,
    Drag,
    FocusElement,
    LeftButton,
    Move,
    OpenAddress,
    Point,
    Press,
    ReadClipboard,
    Scroll,
    TakeScreenshot,
    WaitStep,
    Write,
)
from greenroom.core.actions.keys import KEYSYMS

RecordingMode = Literal["none", "actions", "pictures"]
"""The extent of the recording of a lease."""
RECORDING_MODES: Final[tuple[RecordingMode, ...]] = ("none", "actions", "pictures")
"""The modes in ascending order of the amount of recorded data."""
MAX_TEXT: Final = 2000
"""Maximum characters of a recorded text."""
MAX_CHORDS: Final = 20
"""Maximum number of chords (keys pressed together) in a sentence."""
HIDDEN_CHARACTER: Final = "•"
"""The character that replaces hidden characters."""
_KEY_NAMES: Final = {keysym: name for name, keysym in reversed(KEYSYMS.items())}
_SHORT_KEY_NAMES: Final = {
    "Control": "ctrl",
    "Alt": "alt",
    "Shift": "shift",
    "Super": "super",
    "Meta": "meta",
    "Hyper": "hyper",
}
_SHIFTS: Final = frozenset({KEYSYMS["Shift_L"], KEYSYMS["Shift_R"], KEYSYMS["ISO_Level3_Shift"]})
_KEYPAD: Final = range(KEYSYMS["KP_Multiply"], KEYSYMS["KP_9"] + 1)
_BUTTONS: Final = {Button.LEFT: "Left", Button.MIDDLE: "Middle", Button.RIGHT: "Right"}
_CLICKS: Final = {1: "click", 2: "double click", 3: "triple click"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionDescription:
    """The description of an action: its kind (`what`), a sentence (`said`), and its place on the screen. `changes` is
    True if the action may change the screen.
    """

    what: str
    said: str
    at: tuple[int, int] | None = None
    changes: bool = True
    details: dict[str, Any] = field(default_factory=dict[str, Any])


def describe(action: Action, *, keep_text: bool) -> ActionDescription:
    """Return the description of an action. With `keep_text`, it contains the text of the action."""
    match action:
        case Click(button, at, times, keys):
            name = f"{_BUTTONS.get(button, 'Other')} {_CLICKS.get(times, f'click, {times} times')}"
            return ActionDescription(what="click", said=f"{name}{_at(at)}{_with_keys(keys)}.", at=_place(at))
        case Press(chords, seconds):
            return _describe_keys(chords, seconds, keep_text=keep_text)
        case Write(text, at):
            sentence = f"Types {_text_or_length(text, keep_text=keep_text)}{_at(at)}."
            return ActionDescription(
                what="type", said=sentence, at=_place(at), details=_text_details(text, keep_text=keep_text)
            )
        case Clipboard() | OpenAddress():
            return _describe_text(action, keep_text=keep_text)
        case TakeScreenshot() | CursorPosition() | ReadClipboard() | WaitStep():
            return _describe_reading(action)
        case _:
            return _describe_move(action)


def _describe_text(action: Clipboard | OpenAddress, *, keep_text: bool) -> ActionDescription:
    if isinstance(action, OpenAddress):
        return ActionDescription(what="open", said=f"Opens {_address_or_host(action.url, keep_text=keep_text)}.")
    sentence = f"Copies {_text_or_length(action.text, keep_text=keep_text)} to the clipboard."
    return ActionDescription(
        what="copy", said=sentence, changes=False, details=_text_details(action.text, keep_text=keep_text)
    )


def _describe_reading(action: TakeScreenshot | CursorPosition | ReadClipboard | WaitStep) -> ActionDescription:
    match action:
        case TakeScreenshot(None):
            return ActionDescription(what="screenshot", said="Takes a screenshot.", changes=False)
        case TakeScreenshot():
            return ActionDescription(
                what="screenshot", said="Takes a screenshot of a part of the screen.", changes=False
            )
        case CursorPosition():
            return ActionDescription(what="where", said="Reads the position of the pointer.", changes=False)
        case ReadClipboard():
            return ActionDescription(what="paste", said="Reads the clipboard.", changes=False)
        case _:
            return ActionDescription(what="wait", said=f"Waits {action.seconds:g} s.")


def _describe_move(action: Move | Drag | LeftButton | Scroll | FocusElement) -> ActionDescription:
    match action:
        case Move(at, keys):
            return ActionDescription(
                what="move", said=f"Moves the pointer{_at(at, 'to')}{_with_keys(keys)}.", at=_place(at)
            )
        case Drag(path, keys):
            last = path[-1]
            return ActionDescription(what="drag", said=f"Drags{_at(last, 'to')}{_with_keys(keys)}.", at=_place(last))
        case LeftButton(down, at):
            said = "Presses the left button" if down else "Releases the left button"
            return ActionDescription(what="hold", said=f"{said}{_at(at)}.", at=_place(at))
        case Scroll(across, down, at, keys):
            directions = [(down, "down" if down > 0 else "up"), (across, "right" if across > 0 else "left")]
            said = (
                " and ".join(f"{abs(notches)} {direction}" for notches, direction in directions if notches) or "nowhere"
            )
            return ActionDescription(what="scroll", said=f"Scrolls {said}{_at(at)}{_with_keys(keys)}.", at=_place(at))
        case _:
            return ActionDescription(what="focus", said=f"Moves the focus to element {action.ref}.")


def _describe_keys(chords: Sequence[tuple[int, ...]], seconds: float, *, keep_text: bool) -> ActionDescription:
    names = [_chord(chord, keep_text=keep_text) for chord in chords[:MAX_CHORDS]]
    more = f" and {len(chords) - MAX_CHORDS} more" if len(chords) > MAX_CHORDS else ""
    duration_text = f" for {seconds:g} s" if seconds else ""
    return ActionDescription(what="key", said=f"Presses {' '.join(names)}{more}{duration_text}.")


def _chord(chord: tuple[int, ...], *, keep_text: bool) -> str:
    """Return the names of keys pressed together. Typed characters are hidden; a shortcut such as ctrl+s is not."""
    is_typed = all(keysym in _SHIFTS or _is_character(keysym) for keysym in chord)
    return "+".join(
        HIDDEN_CHARACTER if is_typed and not keep_text and _is_character(key) else _key(key) for key in chord
    )


def _is_character(keysym: int) -> bool:
    return keysym < 0xFE00 or (keysym >= 0x01000000 and keysym not in _KEY_NAMES) or keysym in _KEYPAD


def _key(keysym: int) -> str:
    if (name := _KEY_NAMES.get(keysym)) is not None:
        return _SHORT_KEY_NAMES.get(name.removesuffix("_L").removesuffix("_R"), name)
    code = keysym - 0x01000000 if keysym >= 0x01000000 else keysym
    return chr(code) if 0x20 < code <= 0x10FFFF else f"{keysym:#x}"


def _with_keys(keys: tuple[int, ...]) -> str:
    return f" with {'+'.join(map(_key, keys))}" if keys else ""


def _at(point: Point | None, word: str = "at") -> str:
    return "" if point is None else f" {word} {point.x}, {point.y}"


def _place(point: Point | None) -> tuple[int, int] | None:
    return None if point is None else (point.x, point.y)


def _text_or_length(text: str, *, keep_text: bool) -> str:
    characters = f"{len(text)} character{'' if len(text) == 1 else 's'}"
    return f"“{text[:60]}{'…' if len(text) > 60 else ''}”" if keep_text else characters


def _text_details(text: str, *, keep_text: bool) -> dict[str, Any]:
    details: dict[str, Any] = {"characters": len(text)}
    return details | ({"text": text[:MAX_TEXT]} if keep_text else {})


def _address_or_host(url: str, *, keep_text: bool) -> str:
    """Return the address, or without `keep_text` only its scheme, host and port, because the rest may be a secret."""
    if keep_text:
        return url[:MAX_TEXT]
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    path_text = "/…" if parts.path not in ("", "/") or parts.query or parts.fragment else ""
    return f"{parts.scheme}://{parts.hostname}{port}{path_text}"


def recorded_error(sentence: str, *, keep_text: bool) -> str:
    """Return the reason of a failure for a recording. Without `keep_text`, quoted text is hidden: it may be typed."""
    if keep_text:
        return sentence[:MAX_TEXT]
    for quote in "'\"":
        sentence = re.sub(f"{quote}.*{quote}", HIDDEN_CHARACTER, sentence, flags=re.DOTALL)
    return sentence[:MAX_TEXT]
