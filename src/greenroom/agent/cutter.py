"""Cut established connections to a session's page: nginx cannot close a websocket, the kernel can.

`ss -K` aborts sockets where the kernel was built with INET_DIAG_DESTROY and this process has CAP_NET_ADMIN; whether it
does is tried once at start. Elsewhere the connections are shut down through copies of nginx's sockets
(`foreign_sockets`).
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from typing import Final

import structlog

from greenroom.agent.foreign_sockets import shut_down

log = structlog.get_logger(__name__)

REPEAT_S: Final = (0.0, 0.5, 1.5)
"""Cut at once, and again: a request that was let in just before may open its connection just after."""
PROBE_S: Final = 2.0


class Cutter:
    """Cuts connections."""

    def __init__(self) -> None:
        self.kernel_can = False
        self._cuts: set[asyncio.Task[None]] = set()

    async def probe(self) -> None:
        """Find out whether `ss -K` works here, on a connection of our own."""
        self.kernel_can = shutil.which("ss") is not None and await _can_destroy()
        if not self.kernel_can:
            log.warning("ss -K does not work here; the streams of a revoked viewer are shut down in nginx")

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
        for pause_s in REPEAT_S:
            await asyncio.sleep(pause_s)
            try:
                if self.kernel_can:
                    await destroy(address)
                else:
                    await asyncio.to_thread(shut_down, address)
            except OSError as error:
                log.error(
                    "the streams of a session could not be cut; they stay open until they are closed",
                    session_id=session_id,
                    reason=str(error),
                )


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
