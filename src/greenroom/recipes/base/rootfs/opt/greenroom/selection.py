"""Notices each change of the X server's clipboard, without asking it again and again: as much of X11 as that needs."""

import asyncio
import struct
from collections.abc import AsyncIterator

SOCKET = "/tmp/.X11-unix/X1"  # noqa: S108 -- where X servers listen
INTERN_ATOM, QUERY_EXTENSION = 16, 98
QUERY_VERSION, SELECT_SELECTION_INPUT = 0, 2
"""Requests of XFIXES."""
NEW_OWNER = 1
MESSAGE_BYTES = 32


def padded(text: bytes) -> bytes:
    """Text as it stands in a request: filled up to whole words."""
    return text + bytes(-len(text) % 4)


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    """The answer to a request that has one."""
    writer.write(request)
    return await reader.readexactly(MESSAGE_BYTES)


async def changes() -> AsyncIterator[None]:
    """Yields whenever a program has put something on the clipboard; ends with the X server."""
    reader, writer = await asyncio.open_unix_connection(SOCKET)
    try:
        writer.write(struct.pack("<BxHHHHxx", ord("l"), 11, 0, 0, 0))
        accepted, words = struct.unpack("<Bxxxxxh", await reader.readexactly(8))
        setup = await reader.readexactly(4 * words)
        if accepted != 1:
            raise ConnectionRefusedError("the X server takes no connections")
        (vendor_bytes,), formats = struct.unpack_from("<H", setup, 16), setup[21]
        (root,) = struct.unpack_from("<I", setup, 32 + len(padded(setup[32 : 32 + vendor_bytes])) + 8 * formats)
        name = b"CLIPBOARD"
        atom_of = struct.pack("<BBHHxx", INTERN_ATOM, 0, 2 + len(padded(name)) // 4, len(name)) + padded(name)
        (clipboard,) = struct.unpack_from("<I", await answered(reader, writer, atom_of), 8)
        name = b"XFIXES"
        number_of = struct.pack("<BxHHxx", QUERY_EXTENSION, 2 + len(padded(name)) // 4, len(name)) + padded(name)
        present, fixes, first_event = struct.unpack_from("<BBB", await answered(reader, writer, number_of), 8)
        if not present:
            return
        await answered(reader, writer, struct.pack("<BBHII", fixes, QUERY_VERSION, 3, 5, 0))
        writer.write(struct.pack("<BBHIII", fixes, SELECT_SELECTION_INPUT, 4, root, clipboard, NEW_OWNER))
        while True:
            event = await reader.readexactly(MESSAGE_BYTES)
            if event[0] & 127 == first_event:
                yield
    finally:
        writer.close()
