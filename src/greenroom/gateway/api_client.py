"""The gateway's requests to its api, over plain HTTP with the credential of the gateway.

While a Manager drains or is unavailable, nginx itself answers the requests of Agents to this Manager, with 503 or 502.
Diagnostics lists these refused requests: nginx sends each as a datagram to a socket of the gateway, which reports them
to the api in batches. At most `MAX_QUEUED` requests wait; further requests are dropped and counted. If a report fails,
requests of Agents are not affected.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

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
