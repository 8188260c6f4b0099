"""Websockets (RFC 6455), as much of them as the session's page needs."""

import asyncio
import base64
import hashlib
import os
import struct

from answers import BadRequestError, Request

MESSAGE_MAX = 16 << 20
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def accept(request: Request, writer: asyncio.StreamWriter) -> None:
    """Upgrade the connection of a request that asks for it."""
    key = request.headers.get("sec-websocket-key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    answer = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Accept: {answer}"]
    if "binary" in request.headers.get("sec-websocket-protocol", ""):
        lines += ["Sec-WebSocket-Protocol: binary"]
    writer.write("\r\n".join([*lines, "", ""]).encode())


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Opcode and unmasked payload of the next frame of the client."""
    first, second = await reader.readexactly(2)
    length = second & 127
    if length == 126:
        (length,) = struct.unpack(">H", await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack(">Q", await reader.readexactly(8))
    if not second & 128 or length > MESSAGE_MAX:
        raise BadRequestError("a frame without mask, or one that is too long")
    mask = await reader.readexactly(4)
    return first & 15, unmasked(await reader.readexactly(length), mask)


def unmasked(data: bytes, mask: bytes) -> bytes:
    """The payload of a client's frame."""
    pattern = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pattern, "big")).to_bytes(len(data), "big")


def frame(opcode: int, data: bytes) -> bytes:
    """A whole, final frame of the server."""
    length = len(data)
    if length < 126:
        head = struct.pack(">BB", 0x80 | opcode, length)
    elif length < 1 << 16:
        head = struct.pack(">BBH", 0x80 | opcode, 126, length)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 127, length)
    return head + data


def masked(opcode: int, data: bytes) -> bytes:
    """A whole, final frame of a client, of less than 126 bytes."""
    mask = os.urandom(4)
    return bytes((0x80 | opcode, 0x80 | len(data))) + mask + unmasked(data, mask)
