"""Drive the stop points of a process from a test (greenroom.kit.stops).

A stop armed with `arm` (or `arm_before_start`) holds the process at that place; `reached` waits until it is there; then
the test kills it, freezes it, or releases it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path


def arm_before_start(folder: Path, process_name: str, *names: str) -> None:
    """Have these stops armed when the process starts."""
    (folder / f"{process_name}.armed").write_text("\n".join(names))


class StopClient:
    """Commands to one process; each has its own connection, so that a killed process leaves nothing behind. `folder`
    and `process_name` are GREENROOM_STOP_DIR and GREENROOM_PROCESS_NAME of the process.
    """

    def __init__(self, folder: Path, process_name: str) -> None:
        self._path = folder / f"{process_name}.sock"

    async def arm(self, name: str) -> None:
        await self._ask("arm", name)

    async def reached(self, name: str, timeout_s: float = 60.0) -> None:
        """Wait until a caller is held at `name`.

        Raises:
            TimeoutError: none came.
        """
        async with asyncio.timeout(timeout_s):
            await self._ask("wait", name)

    async def release(self, name: str) -> None:
        await self._ask("release", name)

    async def _ask(self, verb: str, name: str) -> None:
        reader, writer = await self._connected()
        try:
            writer.write(f"{verb} {name}\n".encode())
            await writer.drain()
            reply = (await reader.readline()).decode().strip()
        finally:
            writer.close()
        if reply not in ("ok", "reached"):
            raise ConnectionError(f"{self._path}: {verb} {name} was answered {reply!r}")

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, waiting for a process that is just starting."""
        async with asyncio.timeout(60):
            while True:
                try:
                    return await asyncio.open_unix_connection(self._path)
                except (FileNotFoundError, ConnectionRefusedError):
                    await asyncio.sleep(0.02)
