"""Whether nginx answers: a process can exist and serve no client (frozen, out of files)."""

from __future__ import annotations

import asyncio
import ssl
from functools import cache
from typing import Final

import structlog

from greenroom.gateway.nginx import STATUS_PATH
from greenroom.gateway.plan import GatewayPlan, port_of

log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 2.0
MAX_BYTES: Final = 65536


async def failure(plan: GatewayPlan) -> str | None:
    """Ask nginx over TLS on its first listener; None when it answers 200, else the error. The certificate is not
    verified: this is our own process on our own loopback."""
    path = STATUS_PATH if plan.profile == "web" else "/health"
    try:
        status, _ = _parsed(await _asked(plan, path))
    except (OSError, TimeoutError) as error:
        return f"nginx does not answer on {plan.listeners[0]}: {error or 'timeout'}"
    return None if status == "200" else f"nginx answers {status} on {plan.listeners[0]}{path}"


async def status_page(plan: GatewayPlan) -> str:
    """The status page of nginx (profile `web`); empty when it does not answer."""
    try:
        status, body = _parsed(await _asked(plan, STATUS_PATH))
    except (OSError, TimeoutError) as error:
        log.info("nginx gives no figures", reason=str(error) or "timeout")
        return ""
    return body if status == "200" else ""


async def _asked(plan: GatewayPlan, path: str) -> str:
    address = plan.listeners[0]
    host = address.rpartition(":")[0].strip("[]")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    async with asyncio.timeout(TIMEOUT_S):
        return await _answer(host, port_of(address), plan.served_hosts[0], path)


@cache
def _unverified() -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    return tls


async def _answer(host: str, port: int, name: str, path: str) -> str:
    reader, writer = await asyncio.open_connection(host, port, ssl=_unverified())
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read(MAX_BYTES)
        while not reader.at_eof() and len(answer) < MAX_BYTES:
            answer += await reader.read(MAX_BYTES)
    finally:
        writer.close()
    return answer.decode("latin-1")


def _parsed(answer: str) -> tuple[str, str]:
    head, _, body = answer.partition("\r\n\r\n")
    words = head.split(" ", 2)
    return (words[1] if len(words) > 1 else "nothing"), body
