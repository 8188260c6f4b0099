"""Notices each change of the X server's clipboard, without asking it again and again."""

import asyncio
import struct
from collections.abc import AsyncIterator

import x11

SELECT_SELECTION_INPUT = 2
"""Request of XFIXES."""
NEW_OWNER = 1


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
