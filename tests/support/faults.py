"""A faulty line between processes and their PostgreSQL: it can hold requests, hold answers, or be cut.

Connections are distinguished by their application name, so that a test can delay the leadership connection of one
Manager while its other connections work, or cut its LISTEN permanently.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

from psycopg.conninfo import conninfo_to_dict, make_conninfo

Direction = Literal["questions", "answers"]


class _Line:
    def __init__(self, name: str, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.name = name
        self._writers = (client, server)
        self._open: dict[Direction, asyncio.Event] = {"questions": asyncio.Event(), "answers": asyncio.Event()}
        self.release()

    def hold(self, way: Direction) -> None:
        self._open[way].clear()

    def release(self) -> None:
        for gate in self._open.values():
            gate.set()

    def close(self) -> None:
        self.release()
        for writer in self._writers:
            writer.close()

    async def pass_on(self, way: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._open[way].wait()
                writer.write(data)
                await writer.drain()
        await self._open[way].wait()  # the end of one side is held like its data
        self.close()


class BadLine:
    """Lines to a database; `dsn` leads through them."""

    def __init__(self, server_socket: str, dsn: str) -> None:
        self.dsn = dsn
        self._server_socket = server_socket
        self._lines: set[_Line] = set()
        self._refused: set[str] = set()

    def names(self) -> list[str]:
        return sorted(line.name for line in self._lines)

    def hold(self, name: str, way: Direction) -> int:
        """Hold all data in this direction on the open lines of this name, not on later ones; returns their number."""
        lines = [line for line in self._lines if line.name == name]
        for line in lines:
            line.hold(way)
        return len(lines)

    def release(self, name: str) -> None:
        for line in [line for line in self._lines if line.name == name]:
            line.release()

    def cut(self, name: str) -> int:
        """Close the lines of this name and refuse new ones; returns their number."""
        self._refused.add(name)
        lines = [line for line in self._lines if line.name == name]
        for line in lines:
            line.close()
        return len(lines)

    def mend(self, name: str) -> None:
        self._refused.discard(name)

    def close(self) -> None:
        for line in list(self._lines):
            line.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay a client's connection, starting with its startup packet."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readexactly(4)
            greeting = await reader.readexactly(struct.unpack("!i", head)[0] - 4)
            name = _application_name(greeting)
            if name not in self._refused:
                await self._connect(name, head + greeting, reader, writer)
        writer.close()

    async def _connect(
        self, name: str, greeting: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._server_socket)
        if name in self._refused:  # cut meanwhile
            server_writer.close()
            return
        line = _Line(name, writer, server_writer)
        self._lines.add(line)
        server_writer.write(greeting)
        try:
            await asyncio.gather(
                line.pass_on("questions", reader, server_writer), line.pass_on("answers", server_reader, writer)
            )
        finally:
            self._lines.discard(line)


def _application_name(greeting: bytes) -> str:
    """The application name in a startup packet: alternating names and values, each terminated by a zero byte."""
    fields = greeting[4:].split(b"\0")
    pairs = dict(zip(fields[::2], fields[1::2], strict=False))
    return pairs.get(b"application_name", b"").decode()


@asynccontextmanager
async def bad_line(dsn: str, folder: Path) -> AsyncGenerator[BadLine]:
    """A line to the database that works until a test breaks it. Its socket is in `folder`, whose path must be short.
    `dsn` is that of a PostgreSQL on a unix socket."""
    parts = conninfo_to_dict(dsn)
    line = BadLine(f"{parts['host']}/.s.PGSQL.{parts['port']}", make_conninfo(dsn, host=str(folder), port="6433"))
    server = await asyncio.start_unix_server(line.serve, folder / ".s.PGSQL.6433")
    try:
        yield line
    finally:
        server.close()
        line.close()
