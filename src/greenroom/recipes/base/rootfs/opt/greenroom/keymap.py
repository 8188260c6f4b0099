"""Keys for characters that the keyboard of the X server does not have.

The X server gives such a character a key itself, but has some twenty keys to give, once. Here keys of multimedia keyboards are used,
and used again for other characters when programs had time to read what was typed: they look up what a key means when they read.
"""

import asyncio
import struct
import time
from collections.abc import Iterable, Iterator

import x11

CHANGE, READ = 100, 101
FIRST, COUNT = 8, 248
ASCII = range(0x20, 0x7F)
FUNCTION_KEYS = range(0xFD00, 0x10000)
MULTIMEDIA = range(0x1008FE00, 0x10090000)
KEPT = frozenset(0x1008FF00 + number for number in (0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x26, 0x27, 0x29))
"""Of these those that actions name: sound, and back, forward, refresh."""
MOST_AT_ONCE = 60
"""Characters for which there are keys at the same time; there are some eighty of these keys."""
READ_WITHIN_S = 0.25
"""So long after a key was typed it gets no other meaning."""


class Keymap:
    """The keys of one X server that were given to characters, those first that were given first."""

    def __init__(self) -> None:
        self._free: list[int] | None = None
        self._given: dict[int, int] = {}
        self._typed_s = 0.0

    async def provide(self, display: x11.Display, keysyms: Iterable[int]) -> None:
        """See that all of these, one of the `parts` of a text, can be typed; what is typed now counts as read after a while."""
        wanted = {keysym for keysym in keysyms if is_special(keysym)}
        if wanted:
            keys = await _read(display)
            missing = sorted(wanted.difference(*(key[:2] for key in keys.values())))
            if missing:
                await self._give(display, keys, missing, wanted)
        self._typed_s = time.monotonic()

    async def _give(
        self, display: x11.Display, keys: dict[int, tuple[int, ...]], missing: list[int], wanted: set[int]
    ) -> None:
        if self._free is None:
            self._free = [code for code, symbols in keys.items() if is_unused(symbols)]
        again = [code for code, keysym in self._given.items() if keysym not in wanted]
        chosen = [*self._free, *again][: len(missing)]
        if len(missing) > len(self._free):
            await asyncio.sleep(max(0.0, self._typed_s + READ_WITHIN_S - time.monotonic()))
        del self._free[: len(missing)]
        given = dict(zip(chosen, missing, strict=False))  # those without a key are left to the X server
        for code, keysym in given.items():
            self._given.pop(code, None)
            self._given[code] = keysym
        for request in changes(given):
            display.send(request)
        await _read(display)  # its answer comes when that is done


def parts(keysyms: list[int]) -> Iterator[list[int]]:
    """A text cut where there would be too many characters that need a key."""
    begin, special = 0, set[int]()
    for at, keysym in enumerate(keysyms):
        if is_special(keysym) and keysym not in special:
            if len(special) == MOST_AT_ONCE:
                yield keysyms[begin:at]
                begin, special = at, set()
            special.add(keysym)
    yield keysyms[begin:]


def changes(given: dict[int, int]) -> Iterator[bytes]:
    """The requests that give these characters (key → character) to keys, one request for each row of neighboring keys: a
    window manager reads the whole keyboard again after each request, and the pointer stalls meanwhile.
    """
    rows: list[list[int]] = []
    for code in sorted(given):
        if rows and rows[-1][-1] == code - 1:
            rows[-1].append(code)
        else:
            rows.append([code])
    for row in rows:
        symbols = [given[code] for code in row for _ in range(2)]  # without and with Shift
        yield struct.pack(f"<BBHBBxx{len(symbols)}I", CHANGE, len(row), 2 + len(symbols), row[0], 2, *symbols)


def is_special(keysym: int) -> bool:
    """Whether it is a character that not every keyboard has."""
    return not (keysym in ASCII or keysym in FUNCTION_KEYS or keysym in MULTIMEDIA)


def is_unused(symbols: tuple[int, ...]) -> bool:
    """Whether a key with these meanings is one that a session can do without."""
    meanings = {symbol for symbol in symbols if symbol}
    return bool(meanings) and all(symbol in MULTIMEDIA and symbol not in KEPT for symbol in meanings)


async def _read(display: x11.Display) -> dict[int, tuple[int, ...]]:
    """Key → what it means, first without and with Shift."""
    answer = await display.ask(struct.pack("<BxHBBxx", READ, 2, FIRST, COUNT))
    width = answer[1]
    symbols = struct.unpack_from(f"<{COUNT * width}I", answer, x11.MESSAGE_BYTES)
    return {FIRST + number: symbols[number * width : (number + 1) * width] for number in range(COUNT)}
