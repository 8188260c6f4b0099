"""Hands requests on to the program of a workspace of kind page, which serves HTTP on a socket that only it and the page use.

The program needs no password and no certificate of its own: the page asks for the one and has the other.
"""

import asyncio

from answers import Request, reply

PIECE_BYTES = 1 << 16
DROPPED = ("authorization", "connection")


class Program:
    """The program that listens on `socket`."""

    def __init__(self, socket: str) -> None:
        self.socket = socket

    async def is_there(self) -> bool:
        """Whether it accepts connections."""
        try:
            _, writer = await asyncio.open_unix_connection(self.socket)
        except OSError:
            return False
        writer.close()
        return True

    async def answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand one request on, with all that follows on its connection, until one side ends."""
        try:
            upstream = await asyncio.open_unix_connection(self.socket)
        except OSError:
            return reply(writer, "503 Service Unavailable", b"", "text/html", "Retry-After: 1")
        kept = [line for line in request.lines[1:] if line.partition(":")[0].strip().lower() not in DROPPED]
        await carry_both([request.lines[0], *kept], request, reader, writer, upstream)
        return None


async def carry_both(
    lines: list[str],
    request: Request,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Begin a request with these lines, and carry all that follows on its connection, until one side ends."""
    is_upgrade = "upgrade" in request.headers
    program_reader, program_writer = upstream
    head = [*lines, f"Connection: {'Upgrade' if is_upgrade else 'close'}", "", ""]
    program_writer.write("\r\n".join(head).encode("latin-1"))
    there = asyncio.create_task(_carry(reader, program_writer))
    back = asyncio.create_task(_carry(program_reader, writer))
    try:
        await asyncio.wait({there, back} if is_upgrade else {back}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        there.cancel()
        back.cancel()
        await asyncio.gather(there, back, return_exceptions=True)
        program_writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
