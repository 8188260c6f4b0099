"""Cut established connections to a session's page: nginx cannot close a websocket, the kernel can.

`ss -K` aborts sockets where the kernel was built with INET_DIAG_DESTROY and this process has CAP_NET_ADMIN; whether it
does is tried once at start. Elsewhere the container is taken off its network for a moment (`detach`).
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from greenroom.core.errors import GreenroomError

log = structlog.get_logger(__name__)

REPEAT_S: Final = (0.0, 0.5, 1.5)
"""Cut at once, and again: a request that was let in just before may open its connection just after."""
PROBE_S: Final = 2.0


class Cutter:
    """Cuts connections.

    Args:
        detach: takes the container of a session off its network and puts it back, for machines without `ss -K`.
    """

    def __init__(self, detach: Callable[[str], Awaitable[None]] | None = None) -> None:
        self._detach = detach
        self.kernel_can = False
        self._cuts: set[asyncio.Task[None]] = set()

    async def probe(self) -> None:
        """Find out whether `ss -K` works here, on a connection of our own."""
        self.kernel_can = shutil.which("ss") is not None and await _can_destroy()
        if not self.kernel_can:
            how = (
                "its container's network"
                if self._detach
                else "nothing: a revoked desktop stays open until it is closed"
            )
            log.warning("ss -K does not work here; a revoked stream is cut through another way", way=how)

    def cut_soon(self, session_id: str, address: str) -> None:
        """Cut all connections to `address` (host:port), the page of the session, within two seconds."""
        task = asyncio.create_task(self._cut(session_id, address), name=f"cut {session_id}")
        self._cuts.add(task)
        task.add_done_callback(self._cuts.discard)

    async def wait(self) -> None:
        """Wait until everything begun is cut."""
        while self._cuts:
            await asyncio.gather(*self._cuts)

    async def _cut(self, session_id: str, address: str) -> None:
        log.info("the streams of a session are cut", session_id=session_id)
        if self.kernel_can:
            for pause_s in REPEAT_S:
                await asyncio.sleep(pause_s)
                await destroy(address)
        elif self._detach is not None:
            try:
                await self._detach(session_id)
            except GreenroomError as error:
                log.error("the streams of a session could not be cut", session_id=session_id, reason=error.message)


async def destroy(address: str) -> None:
    """Abort every TCP connection of this host to `address`."""
    process = await asyncio.create_subprocess_exec(
        "ss",
        "--kill",
        "--tcp",
        "--numeric",
        "--no-header",
        "dst",
        address,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    if errors:
        log.debug("ss -K", address=address, said=errors.decode("utf-8", "replace").strip())


async def _can_destroy() -> bool:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        accepted, _ = listening.accept()
        try:
            await destroy(f"{host}:{port}")
            async with asyncio.timeout(PROBE_S):
                await reader.read(1)
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        finally:
            writer.close()
            accepted.close()
    return False
