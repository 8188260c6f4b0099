"""The gateway's requests to its api, over plain HTTP with the credential of the gateway.

While a Manager drains or is unavailable, nginx itself answers the requests of Agents to this Manager, with 503 or 502.
Diagnostics lists these refused requests: nginx sends each as a datagram to a socket of the gateway, which reports them
to the api in batches. At most `MAX_QUEUED` requests wait; further requests are dropped and counted. If a report fails,
requests of Agents are not affected.

nginx has no pause before it sends a request to its upstream again. While the api is replaced, nginx therefore sends
requests to the waiting room, a socket of the gateway, which forwards them to the api as soon as the api accepts them.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import msgspec
import structlog

from greenroom.core.errors import SetupError
from greenroom.gateway.plan import GatewayPlan
from greenroom.wire.fleet import ManagerRequest, ManagerRequests

TIMEOUT_S: Final = 5.0
_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # no certificates are loaded, because the api uses plain HTTP


def api_client() -> httpx2.AsyncClient:
    """Return a client for the api. The caller must close it."""
    return httpx2.AsyncClient(timeout=TIMEOUT_S, trust_env=False, verify=_NO_TLS)


def authorization_header(credential_file: str) -> dict[str, str]:
    """Return the Authorization header. The file is read each time, so that a new credential is used at once. Raises
    SetupError: the file cannot be read."""
    try:
        return {"Authorization": f"Bearer {Path(credential_file).read_text().strip()}"}
    except OSError as error:
        raise SetupError(f"The gateway's credential {credential_file} cannot be read: {error.strerror}.") from error


log = structlog.get_logger(__name__)

MAX_QUEUED: Final = 2000
MAX_BATCH: Final = 500
REPORT_INTERVAL_S: Final = 1.0


def parse_line(datagram: bytes) -> ManagerRequest | None:
    """Return the request in one syslog datagram of nginx (`<190>Nov 20 08:10:14 greenroom: {…}`), or None."""
    start = datagram.find(b"{")
    if start < 0:
        return None
    try:
        line = msgspec.json.decode(datagram[start:], type=dict[str, Any])
        request = ManagerRequest(
            at=float(line["time"]),
            manager=str(line["manager"]),
            agent_id=str(uuid.UUID(line["agent_id"])) if line["agent_id"] else None,
            method=str(line["method"])[:16],
            path=str(line["path"])[:200],
            status=int(line["status"]),
            duration_ms=float(line["duration_s"]) * 1000,
        )
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return None
    return request if request.manager else None


class RequestReporter:
    """Receives the log lines of nginx about refused requests, and reports them and warnings to the api."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: list[ManagerRequest] = []
        self._warnings: tuple[str, ...] = ()
        self.unreported_drops = 0
        """The number of dropped requests since the last report to the api."""
        self.total_dropped = 0
        """The number of dropped requests since the start."""
        self._api = ""
        self._host = ""
        self._credential_file = ""

    def set_plan(self, plan: GatewayPlan) -> None:
        """Use the address of the api and the credential of this plan from now on."""
        self._api, self._host, self._credential_file = plan.api, plan.served_hosts[0], plan.credential_file

    def add(self, request: ManagerRequest) -> None:
        """Queue a request. It is dropped and counted if the queue is full."""
        if len(self._queue) >= MAX_QUEUED:
            self.unreported_drops += 1
            self.total_dropped += 1
        else:
            self._queue.append(request)

    def set_warnings(self, warnings: Sequence[str]) -> None:
        """Report these warnings about certificates once, in place of others that wait."""
        self._warnings = tuple(warnings)

    def waiting(self) -> int:
        return len(self._queue)

    async def run(self) -> None:
        receiver_task = asyncio.create_task(self._receive(), name="requests socket")
        try:
            async with api_client() as client:
                while not receiver_task.done():
                    await asyncio.sleep(REPORT_INTERVAL_S)
                    await self._report(client)
                receiver_task.result()
        finally:
            receiver_task.cancel()

    async def _receive(self) -> None:
        self._path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(str(self._path))
            receiver.setblocking(False)
            loop = asyncio.get_running_loop()
            while True:
                if request := parse_line(await loop.sock_recv(receiver, 65536)):
                    self.add(request)

    async def _report(self, client: httpx2.AsyncClient) -> None:
        if not (self._queue or self._warnings) or not self._credential_file:
            return
        batch, warnings = self._queue[:MAX_BATCH], self._warnings
        report = ManagerRequests(requests=batch, dropped=self.unreported_drops, warnings=warnings)
        try:
            reply = await client.post(
                f"http://{self._api}/api/internal/manager-requests",
                content=msgspec.json.encode(report),
                headers=authorization_header(self._credential_file) | {"Host": self._host},
            )
            if reply.status_code == 422:
                log.error("the api refused a report; it is dropped", requests=len(batch), answer=reply.text[:200])
            else:
                reply.raise_for_status()
        except (httpx2.HTTPError, SetupError) as error:
            log.warning(
                "refused requests could not be reported to the api", waiting=len(self._queue), reason=str(error)
            )
            await asyncio.sleep(5)
            return
        del self._queue[: len(batch)]
        self._warnings = () if self._warnings is warnings else self._warnings
        self.unreported_drops = 0


WAIT_S: Final = 8.0
"""The time for which requests wait for an api that has ended. The next process starts when the previous one has
finished its requests (`serving.GRACE_S`).
"""
_ATTEMPT_INTERVAL_S: Final = 0.05
_CONNECT_TIMEOUT_S: Final = 3.0
MAX_WAITING: Final = 500
_BLOCK_BYTES: Final = 1 << 16


class WaitingRoom:
    """Forwards requests of nginx to the api, as soon as the api accepts a connection. Each connection has one request.

    nginx sends a request here if the api has received nothing of it, or if its method permits a repetition. If the api
    is away for longer than `WAIT_S`, connections are closed immediately, until the api works again. `api` returns the
    address of the api (host:port).
    """

    def __init__(self, path: Path, api: Callable[[], str]) -> None:
        self._path = path
        self._api = api
        self._lock = asyncio.Lock()
        """Held by the one waiting connection that tries to reach the api."""
        self._waiting = 0
        self._away_since_s = -math.inf
        self._last_failure_s = -math.inf

    async def run(self) -> None:
        self._path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._forward, self._path)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()

    async def _forward(self, from_nginx: asyncio.StreamReader, to_nginx: asyncio.StreamWriter) -> None:
        try:
            if (connection := await self._connect()) is not None:
                from_api, to_api = connection
                # Otherwise nginx would send later requests over this connection, and not see at once when the api ends.
                to_api.write(await from_nginx.readline() + b"Connection: close\r\n")
                await asyncio.gather(_copy(from_nginx, to_api), _copy(from_api, to_nginx))
        except OSError as error:
            log.debug("a connection from the waiting room ended", reason=str(error))
        finally:
            to_nginx.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Connect to the api, and wait for it if it is away. Return None if it is away for too long, or if too many
        connections wait."""
        if self._waiting >= MAX_WAITING:
            return None
        self._waiting += 1
        try:
            async with self._lock:
                while True:
                    try:
                        return await self._attempt()
                    except OSError:
                        if self._is_given_up(time.monotonic()):
                            return None
                    await asyncio.sleep(_ATTEMPT_INTERVAL_S)
        finally:
            self._waiting -= 1

    async def _attempt(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = urlsplit(f"//{self._api()}")
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            connection = await asyncio.open_connection(address.hostname, address.port)
        self._last_failure_s = -math.inf
        return connection

    def _is_given_up(self, now_s: float) -> bool:
        """Record a failure, and return True if the api has been away for `WAIT_S`."""
        if now_s - self._last_failure_s > WAIT_S:  # nothing is known about the time between them
            self._away_since_s = now_s
        self._last_failure_s = now_s
        return now_s - self._away_since_s > WAIT_S


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copy until the end of `source`, and close `target`, which ends the copy in the other direction."""
    try:
        while block := await source.read(_BLOCK_BYTES):
            target.write(block)
            await target.drain()
    finally:
        target.close()
