"""What viewers learn without asking (GET events): something was copied in the session, or printed, or control changed hands,
which is all that those learn who may only watch. Server-sent events.
"""

import asyncio
import json
from collections.abc import Mapping

from answers import SECURITY, Request
from files import only_watches

HEARTBEAT_S = 20
"""Between two signs of life; a connection that is gone is noticed by writing to it."""

FOR_WATCHERS = ("control",)

_queues: dict[asyncio.Queue[bytes], bool] = {}
"""Queue of a viewer → whether they may only watch."""


def event(name: str, fields: Mapping[str, object]) -> bytes:
    """An event as it is sent."""
    return f"event: {name}\ndata: {json.dumps(fields)}\n\n".encode()


def publish(name: str, /, **fields: object) -> None:
    """Send an event to all viewers."""
    for queue, watches in _queues.items():
        if name in FOR_WATCHERS or not watches:
            queue.put_nowait(event(name, fields))


async def answer(request: Request, writer: asyncio.StreamWriter, first: bytes = b"") -> None:
    """Send a viewer `first`, and each event from now on, until they leave."""
    head = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", *SECURITY, "", ": ready\n\n"]
    writer.write("\r\n".join(head).encode() + first)
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    _queues[queue] = only_watches(request)
    try:
        while not writer.is_closing():
            await writer.drain()
            try:
                writer.write(await asyncio.wait_for(queue.get(), HEARTBEAT_S))
            except TimeoutError:
                writer.write(b":\n\n")
    finally:
        del _queues[queue]
