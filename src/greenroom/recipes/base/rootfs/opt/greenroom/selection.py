"""Notices each change of the X server's clipboard, without asking it again and again, and waits for one of ours."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import x11

SELECT_SELECTION_INPUT = 2
"""Request of XFIXES."""
NEW_OWNER = 1
GET_SELECTION_OWNER = 23
TAKEN_WITHIN_S = 5
LOOK_S = 0.002


async def changes() -> AsyncIterator[None]:
    """Yields whenever a program has put something on the clipboard; ends with the X server."""
    display = await x11.connect()
    try:
        clipboard = await display.atom(b"CLIPBOARD")
        fixes, first_event = await display.extension(x11.FIXES, x11.FIXES_VERSION)
        changed = asyncio.Event()
        display.on_event(first_event, lambda _: changed.set())
        display.on_end(changed.set)
        display.send(struct.pack("<BBHIII", fixes, SELECT_SELECTION_INPUT, 4, display.root, clipboard, NEW_OWNER))
        while True:
            await changed.wait()
            changed.clear()
            if not display.is_open:
                return
            yield
    finally:
        await display.close()


@asynccontextmanager
async def taken() -> AsyncIterator[None]:
    """Left when the clipboard has another owner than at the beginning: a program that ends may have its request still on
    the way to the X server.

    Raises:
        TimeoutError: it had none within `TAKEN_WITHIN_S`.
    """
    display = await x11.connect()
    try:
        clipboard = await display.atom(b"CLIPBOARD")
        before = await _owner(display, clipboard)
        yield
        async with asyncio.timeout(TAKEN_WITHIN_S):
            while await _owner(display, clipboard) == before:
                await asyncio.sleep(LOOK_S)
    finally:
        await display.close()


async def _owner(display: x11.Display, clipboard: int) -> int:
    answer = await display.ask(struct.pack("<BxHI", GET_SELECTION_OWNER, 2, clipboard))
    (window,) = struct.unpack_from("<I", answer, 8)
    return window
