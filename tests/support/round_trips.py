"""The number of times a client waits for the database."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from greenroom.db.database import Database


@asynccontextmanager
async def counted(dsn: str) -> AsyncIterator[tuple[Database, list[bytes]]]:
    """A pool of one connection, and the first bytes of each round trip: data that was sent after the server had
    sent."""
    folder = re.search(r"host=(\S+)", dsn)
    assert folder is not None
    mine, turns = tempfile.mkdtemp(prefix="gr-proxy-"), list[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(f"{folder[1]}/.s.PGSQL.5432")
        server_sent = True

        async def up() -> None:
            nonlocal server_sent
            while data := await reader.read(65536):
                if server_sent:
                    turns.append(data)
                server_sent = False
                upstream_writer.write(data)
            upstream_writer.close()

        async def down() -> None:
            nonlocal server_sent
            while data := await upstream_reader.read(65536):
                server_sent = True
                writer.write(data)
            writer.close()

        await asyncio.gather(up(), down())

    server = await asyncio.start_unix_server(serve, f"{mine}/.s.PGSQL.5432")
    async with server:
        db = Database(dsn.replace(f"host={folder[1]}", f"host={mine}"), application_name="counted", max_size=1)
        await db.open()
        try:
            yield db, turns
        finally:
            await db.close()
    shutil.rmtree(mine)
