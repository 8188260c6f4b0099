"""Validates and executes the steps of actions on this screen. The api translates each action of a program to steps
(greenroom.core.actions.steps).

A character that is missing on the keyboard needs a key. The X server assigns keys by itself, but it has only about
twenty unused keys and does not reuse them. `Keymap` assigns the keys of multimedia keyboards. It reuses a key for
another character only after a pause, because programs look up the meaning of a key when they read the event.
"""

import asyncio
import base64
import contextlib
import os
import struct
import time
from collections.abc import Iterable, Iterator
from typing import Any

import clipboard
import x11
from rfb import Input
from screen import FIRST_DRAWING_S, MAX_DRAWING_S, POINTER_DRAWING_S, Screen

Step = dict[str, Any]
Result = dict[str, Any]

NUMBERS = (int, float)
OPTIONAL_INTEGER = (int, type(None))
FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    "pointer": {"buttons": (int,), "x": OPTIONAL_INTEGER, "y": OPTIONAL_INTEGER},
    "key": {"keysym": (int,), "down": (bool,)},
    "type": {"text": (str,)},
    "focus": {"ref": (str,)},
    "wait": {"seconds": NUMBERS},
    "clipboard": {"text": (str,)},
    "open": {"url": (str,)},
    "screenshot": {
        "region": (list, type(None)),
        "width": OPTIONAL_INTEGER,
        "height": OPTIONAL_INTEGER,
        "cursor": (bool, type(None)),
    },
    "cursor_position": {},
    "read_clipboard": {},
}
"""Step → its fields and their types. A field whose types include None may be missing."""
MAX_VALUES = {"buttons": 0x7F, "x": 0xFFFF, "y": 0xFFFF, "keysym": 0xFFFFFFFF, "seconds": 60, "width": 8192, "height": 8192}
INPUT = ("pointer", "key", "type", "focus", "open")
"""Steps that are input: programs may draw a reaction to them."""

KEYSYMS = {"\n": 0xFF0D, "\t": 0xFF09, "\b": 0xFF08, "\x1b": 0xFF1B, "\x7f": 0xFFFF}
UNICODE = 0x01000000
"""The number that is added to a Unicode character outside of Latin-1 for its keysym."""
TYPED_AT_ONCE = 32
"""The number of characters after which to wait for the X server."""
OPEN_PROGRAM = "/opt/greenroom/open"
"""The program that opens an address."""
OPEN_TIMEOUT_S = 10.0
"""The time limit for the exit code of `OPEN_PROGRAM`. If it runs longer, it has become the browser that shows the
address."""
TEXT = "UTF8_STRING"
"""The format of text on the clipboard."""
CHANGE_KEYS, READ_KEYS = 100, 101
"""Requests of X11."""
FIRST_KEY, KEYS = 8, 248
"""The lowest keycode, and the number of keycodes."""
ASCII = range(0x20, 0x7F)
FUNCTION_KEYS = range(0xFD00, 0x10000)
MULTIMEDIA_KEYSYMS = range(0x1008FE00, 0x10090000)
NAMED_KEYS = frozenset(0x1008FF00 + number for number in (0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x26, 0x27, 0x29))
"""The multimedia keys that actions can press: for sound, and back, forward and refresh."""
MAX_ASSIGNED_KEYS = 60
"""The maximum number of characters that have a key at the same time; a keyboard has about eighty multimedia keys."""
REASSIGN_AFTER_S = 0.25
"""The time for which an assigned key keeps its character after a text was typed."""


class StepError(Exception):
    """A step cannot be done; the message is the reason."""


def checked(step: Any) -> Step:
    """Validate a step and return it.

    Raises:
        StepError: the step is not valid.
    """
    fields = FIELDS.get(step.get("step")) if isinstance(step, dict) else None
    if fields is None:
        raise StepError(f"{str(step)[:60]} is not a step; the field `step` must be one of {', '.join(FIELDS)}")
    for name, value in step.items():
        if name != "step" and (name not in fields or not isinstance(value, fields[name])):
            raise StepError(f"{step['step']}: the field {name[:40]} is not allowed here, or its value is not valid")
        if name in MAX_VALUES and value is not None and not 0 <= value <= MAX_VALUES[name]:
            raise StepError(f"{step['step']}: {name} must be from 0 to {MAX_VALUES[name]}")
    missing = [name for name, kinds in fields.items() if name not in step and type(None) not in kinds]
    if missing:
        raise StepError(f"{step['step']}: {', '.join(missing)} is missing")
    return step


def keysym_of(character: str) -> int:
    """The keysym that types a character: the code of the character in Latin-1, else its Unicode code plus `UNICODE`.

    Raises:
        StepError: no key can type the character.
    """
    code = ord(character)
    if character in KEYSYMS:
        return KEYSYMS[character]
    if code < 0x20 or 0x7F <= code < 0xA0:
        raise StepError(f"the text has the control character U+{code:04X}, which no key can type")
    return code if code <= 0xFF else UNICODE + code


class Keymap:
    """The keys of one X server that are assigned to characters. `_assigned`: keycode → keysym, the oldest assignment
    first; `_free`: the multimedia keys without an assignment, None before the first use."""

    def __init__(self) -> None:
        self._free: list[int] | None = None
        self._assigned: dict[int, int] = {}
        self._typed_s = 0.0

    async def provide(self, display: x11.Display, keysyms: Iterable[int]) -> None:
        """Assign keys so that all of these keysyms can be typed; `split_by_keys` limits their number. The keys are not
        reassigned within `REASSIGN_AFTER_S` after this call."""
        wanted = {keysym for keysym in keysyms if is_special(keysym)}
        if wanted:
            keys = await _read_keys(display)
            missing = sorted(wanted.difference(*(key[:2] for key in keys.values())))
            if missing:
                await self._assign(display, keys, missing, wanted)
        self._typed_s = time.monotonic()

    async def _assign(
        self, display: x11.Display, keys: dict[int, tuple[int, ...]], missing: list[int], wanted: set[int]
    ) -> None:
        if self._free is None:
            self._free = [code for code, symbols in keys.items() if is_unused(symbols)]
        reusable = [code for code, keysym in self._assigned.items() if keysym not in wanted]
        chosen = [*self._free, *reusable][: len(missing)]
        if len(missing) > len(self._free):
            await asyncio.sleep(max(0.0, self._typed_s + REASSIGN_AFTER_S - time.monotonic()))
        del self._free[: len(missing)]
        assigned = dict(zip(chosen, missing, strict=False))  # the X server assigns keys to the other characters
        for code, keysym in assigned.items():
            self._assigned.pop(code, None)
            self._assigned[code] = keysym
        for request in assignment_requests(assigned):
            display.send(request)
        await _read_keys(display)  # the X server answers after it has processed the changes


def split_by_keys(keysyms: list[int]) -> Iterator[list[int]]:
    """Split the keysyms of a text so that no part has more than `MAX_ASSIGNED_KEYS` different characters that may need
    a key."""
    begin, special = 0, set[int]()
    for at, keysym in enumerate(keysyms):
        if is_special(keysym) and keysym not in special:
            if len(special) == MAX_ASSIGNED_KEYS:
                yield keysyms[begin:at]
                begin, special = at, set()
            special.add(keysym)
    yield keysyms[begin:]


def assignment_requests(assigned: dict[int, int]) -> Iterator[bytes]:
    """The requests of X11 that assign keys (keycode → keysym), one request for each row of neighboring keys. There are
    as few requests as possible, because the window manager reads the whole keyboard after each request, and the pointer
    stalls meanwhile."""
    rows: list[list[int]] = []
    for code in sorted(assigned):
        if rows and rows[-1][-1] == code - 1:
            rows[-1].append(code)
        else:
            rows.append([code])
    for row in rows:
        symbols = [assigned[code] for code in row for _ in range(2)]  # without and with Shift
        yield struct.pack(f"<BBHBBxx{len(symbols)}I", CHANGE_KEYS, len(row), 2 + len(symbols), row[0], 2, *symbols)


def is_special(keysym: int) -> bool:
    """True if the keysym is a character that the keyboard may lack."""
    return not (keysym in ASCII or keysym in FUNCTION_KEYS or keysym in MULTIMEDIA_KEYSYMS)


def is_unused(symbols: tuple[int, ...]) -> bool:
    """True if a key with these keysyms may be assigned to a character."""
    keysyms = {symbol for symbol in symbols if symbol}
    return bool(keysyms) and all(symbol in MULTIMEDIA_KEYSYMS and symbol not in NAMED_KEYS for symbol in keysyms)


async def _read_keys(display: x11.Display) -> dict[int, tuple[int, ...]]:
    """Read the keyboard. Return keycode → its keysyms, the first two without and with Shift."""
    answer = await display.ask(struct.pack("<BxHBBxx", READ_KEYS, 2, FIRST_KEY, KEYS))
    width = answer[1]
    symbols = struct.unpack_from(f"<{KEYS * width}I", answer, x11.MESSAGE_BYTES)
    return {FIRST_KEY + number: symbols[number * width : (number + 1) * width] for number in range(KEYS)}


class StepExecutor:
    """Executes steps, one after the other."""

    def __init__(self, screen: Screen, keyboard: Input) -> None:
        self._screen = screen
        self._input = keyboard
        self._keymap = Keymap()
        self._last_input_s: float | None = None
        self._only_moved = True

    async def act(self, steps: list[Step]) -> Result:
        """Perform one action. Return its output or its error. After an error, the keys and buttons that the action
        pressed are released."""
        begun = time.monotonic()
        buttons, keys = self._input.buttons, set(self._input.keys)
        result: Result = {"done": True}
        try:
            for step in steps:
                result |= await self._execute(step)
        except StepError as error:
            result = {"done": False, "error": f"{error}."}
            await self.release_except(buttons, keys)
        return result | {"ms": round((time.monotonic() - begun) * 1000, 1)}

    async def release_except(self, buttons: int, keys: set[int]) -> None:
        """Release all keys and buttons that are pressed, except these."""
        for keysym in reversed([key for key in self._input.keys if key not in keys]):
            self._input.key(keysym, down=False)
        if self._input.buttons & ~buttons:
            x, y, _ = await self._screen.pointer()
            self._input.point(self._input.buttons & buttons, x, y)

    async def screenshot(
        self, region: list[int] | None = None, width: int | None = None, height: int | None = None, *, cursor: bool = True
    ) -> bytes:
        """Return the screen as PNG, once programs have drawn their reaction to the last input.

        Raises:
            StepError: the region is not on the screen.
        """
        last_input_s, self._last_input_s = self._last_input_s, None
        if last_input_s is not None:
            await self._input.wait_until_processed()
        if region is not None and not (len(region) == 4 and all(isinstance(number, int) for number in region)):
            raise StepError("region: must be [x1, y1, x2, y2]")
        exact_region = (region[0], region[1], region[2], region[3]) if region else None
        try:
            last_input = None
            if last_input_s is not None and time.monotonic() - last_input_s < MAX_DRAWING_S:
                last_input = (last_input_s, POINTER_DRAWING_S if self._only_moved else FIRST_DRAWING_S)
            return await self._screen.picture(exact_region, width, height, cursor=cursor, last_input=last_input)
        except ValueError as error:
            raise StepError(str(error)) from error

    async def _execute(self, step: Step) -> Result:
        if step["step"] in INPUT:
            if self._last_input_s is None:
                await self._screen.forget_drawing()
                self._only_moved = True
            self._only_moved &= step["step"] == "pointer" and step["buttons"] == self._input.buttons == 0
            self._last_input_s = time.monotonic()
        match step:
            case {"step": "pointer", "buttons": buttons}:
                await self._point(buttons, step.get("x"), step.get("y"))
            case {"step": "key", "keysym": keysym, "down": down}:
                if down:
                    await self._keymap.provide(await self._screen.display(), [keysym])
                self._input.key(keysym, down=down)
            case {"step": "type", "text": text}:
                await self._type(text)
            case {"step": "focus", "ref": ref}:
                await self._focus(ref)
            case {"step": "wait", "seconds": seconds}:
                await asyncio.sleep(seconds)
            case {"step": "clipboard", "text": text}:
                await self._copy(text)
            case {"step": "open", "url": url}:
                await self._open(url)
            case {"step": "screenshot"}:
                cursor = step.get("cursor") is not False
                picture = await self.screenshot(step.get("region"), step.get("width"), step.get("height"), cursor=cursor)
                return {"screenshot": base64.b64encode(picture).decode()}
            case {"step": "cursor_position"}:
                await self._input.wait_until_processed()
                x, y, _ = await self._screen.pointer()
                return {"coordinate": [x, y]}
            case _:
                return {"text": await self._paste()}
        return {}

    async def _point(self, buttons: int, x: int | None, y: int | None) -> None:
        if x is None or y is None:
            x, y, _ = await self._screen.pointer()
        self._input.point(buttons, x, y)

    async def _type(self, text: str) -> None:
        display = await self._screen.display()
        for part in split_by_keys([keysym_of(character) for character in text.replace("\r\n", "\n").replace("\r", "\n")]):
            await self._keymap.provide(display, part)
            for at in range(0, len(part), TYPED_AT_ONCE):
                for keysym in part[at : at + TYPED_AT_ONCE]:
                    self._input.key(keysym, down=True)
                    self._input.key(keysym, down=False)
                await self._input.wait_until_processed()
            self._last_input_s = time.monotonic()

    async def _focus(self, ref: str) -> None:
        from desk_tree import grab_focus  # noqa: PLC0415 -- most sessions never need it

        if problem := await grab_focus(ref):
            raise StepError(problem)

    async def _copy(self, text: str) -> None:
        if not clipboard.IN:
            raise StepError("copying into this session is not allowed (allow_kasm_clipboard_up)")
        try:
            await clipboard.put_on_clipboard(TEXT, text.encode())
        except TimeoutError as error:
            raise StepError("the X server did not accept the text; try again") from error

    async def _paste(self) -> str:
        if not clipboard.OUT:
            raise StepError("copying from this session is not allowed (allow_kasm_clipboard_down)")
        try:
            return (await clipboard.content(TEXT)).decode(errors="replace")
        except clipboard.ContentError as error:
            raise StepError(str(error)) from error

    async def _open(self, url: str) -> None:
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            OPEN_PROGRAM, url, stdin=quiet, stdout=quiet, stderr=quiet, env={**os.environ, "KASM_URL": ""}
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                if await process.wait():
                    raise StepError("no program of this session opens addresses, or the program is not running")


