"""A small transaction pooler: every transaction of a client may run in another session of the server."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Pooler:
    """A pooler. Server sessions are lent for a transaction and returned to a stack."""

    def __init__(self, server_socket: str, user: str, database: str) -> None:
        self._socket = server_socket
        self._startup = b"user\0" + user.encode() + b"\0database\0" + database.encode() + b"\0\0"
        self._free: list[Stream] = []
        self._greeting = b""

    async def open(self) -> Stream:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        writer.write(struct.pack("!ii", len(self._startup) + 8, 196608) + self._startup)
        greeting = b""
        while True:
            kind, body = await _message(reader)
            greeting += kind + struct.pack("!i", len(body) + 4) + body
            if kind == b"Z":
                self._greeting = greeting  # complete, because connections are opened at the same time
                return reader, writer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = struct.unpack("!i", await reader.readexactly(4))[0]
        await reader.readexactly(length - 4)
        if not self._greeting:
            self._free.append(await self.open())
        writer.write(self._greeting)
        try:
            await self._transactions(reader, writer)
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()

    async def _transactions(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lent: Stream | None = None
        while batch := await _batch(reader):
            if lent is None:
                lent = self._free.pop() if self._free else await self.open()
            lent[1].write(batch)
            kind = body = b""
            while kind != b"Z":
                kind, body = await _message(lent[0])
                writer.write(kind + struct.pack("!i", len(body) + 4) + body)
            if body == b"I":
                self._free.append(lent)
                lent = None

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()


async def _batch(reader: asyncio.StreamReader) -> bytes:
    """The messages of a client until it waits for an answer; empty if it terminates."""
    batch = kind = b""
    while kind not in (b"Q", b"S"):
        kind, body = await _message(reader)
        if kind == b"X":
            return b""
        batch += kind + struct.pack("!i", len(body) + 4) + body
    return batch


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    return head[:1], await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)


@asynccontextmanager
async def pooled(dsn: str, folder: Path) -> AsyncGenerator[str]:
    """The address of a pooler in front of the database."""
    parts = conninfo_to_dict(dsn)
    pooler = Pooler(f"{parts['host']}/.s.PGSQL.{parts['port']}", str(parts["user"]), str(parts["dbname"]))
    server = await asyncio.start_unix_server(pooler.serve, folder / ".s.PGSQL.6432")
    try:
        yield make_conninfo(dsn, host=str(folder), port="6432")
    finally:
        server.close()
        pooler.close()
