"""The process `greenroom api`, and a program that calls it with an API key."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
from tests.support.processes import free_port

KEY = ("abcdefghijkl", "the secret half")
"""The key and secret of the program; the test inserts the key into the database."""


@asynccontextmanager
async def api_process(
    key_file: Path, dsn: str, timeout_s: float = 20, **settings: str
) -> AsyncGenerator[httpx2.AsyncClient]:
    """An api that answers each request within `timeout_s`; at the end SIGTERM ends it, with exit code 0. `settings`
    are GREENROOM_* in lower case."""
    port = free_port()
    environment = os.environ | {
        "GREENROOM_DATABASE_URL": dsn,
        "GREENROOM_SECRET_KEY_FILE": str(key_file),
        "GREENROOM_API_PORT": str(port),
        **{f"GREENROOM_{key.upper()}": value for key, value in settings.items()},
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "greenroom", "api", env=environment)
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{port}",
        auth=httpx2.BasicAuth(*KEY),
        timeout=timeout_s,
        limits=httpx2.Limits(max_connections=50),
        trust_env=False,
    ) as client:
        try:
            async with asyncio.timeout(60):
                await _answers(client, process)
            yield client
        finally:
            process.terminate()
            async with asyncio.timeout(20):
                assert await process.wait() == 0


async def _answers(client: httpx2.AsyncClient, process: asyncio.subprocess.Process) -> None:
    """Return when it listens."""
    while True:
        assert process.returncode is None
        try:
            await client.get("/api/v1/openapi.json")
        except httpx2.ConnectError:
            await asyncio.sleep(0.05)  # it sends no notification
        else:
            return
