"""Does nginx answer? A process can be there and serve nobody (frozen, out of files)."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from greenroom.gateway.nginx import STATUS_PATH
from greenroom.gateway.plan import GatewayPlan, port_of

TIMEOUT_S: Final = 2.0


async def failure(plan: GatewayPlan) -> str | None:
    """Ask nginx itself over TLS on its first listener; None when it answers 200, else what went wrong.

    The certificate is not verified: this is our own process on our own loopback.
    """
    address = plan.listeners[0]
    host = address.rpartition(":")[0].strip("[]")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    path = STATUS_PATH if plan.profile == "web" else "/health"
    try:
        async with asyncio.timeout(TIMEOUT_S):
            status = await _status(host, port_of(address), plan.served_hosts[0], path)
    except (OSError, TimeoutError) as error:
        return f"nginx does not answer on {address}: {error or 'timeout'}"
    return None if status == "200" else f"nginx answers {status} on {address}{path}"


async def _status(host: str, port: int, name: str, path: str) -> str:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        line = await reader.readline()
    finally:
        writer.close()
    return line.decode("latin-1").split(" ")[1] if b" " in line else "nothing"
