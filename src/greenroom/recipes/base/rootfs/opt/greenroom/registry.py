"""The registry of accessible programs on the session's bus: programs that draw with GTK ask for it at their start, and each
writes warnings into its terminal where nothing answers. It registers nothing, because desk_tree.py asks the bus itself.
"""

import asyncio
from typing import Any

import bus
from bus import Bus, BusError, Writing

NAME = "org.a11y.atspi.Registry"
ROOT = "/org/a11y/atspi/accessible/root"
DO_NOT_QUEUE = 4
AGAIN_S = 0.1
EMPTY_ARRAY = bytes(8)
LISTS = {"GetRegisteredEvents": "a(ss)", "GetKeystrokeListeners": "a(souua(iisi)u(bbb))", "GetDeviceEventListeners": "a(souua(iisi)u(bbb))"}
"""Method → the signature of its answer, which is an empty list."""


async def keep() -> None:
    """Answer for the registry until the session ends."""
    while True:
        try:
            connection = await bus.connect()
            connection.on_call = lambda member: answer(connection, member)
            await connection.call(bus.OWN, "/org/freedesktop/DBus", bus.OWN, "RequestName", "su", NAME, DO_NOT_QUEUE)
            await connection.ended()
        except BusError:
            await asyncio.sleep(AGAIN_S)  # the bus is still starting


def answer(connection: Bus, member: Any) -> tuple[str, bytes] | None:
    """Signature and body of the answer to a call; None = there is no such method."""
    if member == "Embed":
        body = Writing()
        body.put("s", connection.name)
        body.put("o", ROOT)
        return "(so)", bytes(body.data)
    return (LISTS[member], EMPTY_ARRAY) if member in LISTS else None
