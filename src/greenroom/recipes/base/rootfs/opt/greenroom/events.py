"""What viewers learn without asking (GET events): something was copied in the session, or printed. Server-sent events."""

import asyncio
import json

from answers import SECURITY, Request

HEARTBEAT_S = 20
"""Between two signs of life; a connection that is gone is noticed by writing to it."""

_queues: set[asyncio.Queue[bytes]] = set()


def publish(name: str, /, **fields: object) -> None:
    """Send an event to all viewers."""
    for queue in _queues:
        queue.put_nowait(f"event: {name}\ndata: {json.dumps(fields)}\n\n".encode())


async def answer(_request: Request, writer: asyncio.StreamWriter) -> None:
    """Send a viewer each event from now on, until they leave."""
    writer.write("\r\n".join(["HTTP/1.1 200 OK", "Content-Type: text/event-stream", *SECURITY, "", ": ready\n\n"]).encode())
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    _queues.add(queue)
    try:
        while not writer.is_closing():
            await writer.drain()
            try:
                writer.write(await asyncio.wait_for(queue.get(), HEARTBEAT_S))
            except TimeoutError:
                writer.write(b":\n\n")
    finally:
        _queues.discard(queue)
