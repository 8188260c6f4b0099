"""A request to `/api/v1` from within the api, with the credential of the request that it is made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from fastapi import Request

PREFIX: Final = "/api/v1"
_PASSED_ON: Final = ("authorization", "host", "x-greenroom-zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request to a route; `path` is below `/api/v1`."""

    method: str
    path: str
    query: Mapping[str, Any] | None = None
    json: object = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


async def answer_to(request: Request, asked: Asked) -> httpx.Response:
    """The whole answer that a client with the credential of `request` would get."""
    address = (request.client.host, request.client.port) if request.client else ("", 0)
    transport = httpx.ASGITransport(request.app, client=address)
    sent = httpx.Request(
        asked.method,
        httpx.URL(f"https://{request.headers['host']}{PREFIX}{asked.path}"),
        params=asked.query,
        headers={name: request.headers[name] for name in _PASSED_ON if name in request.headers} | dict(asked.headers),
        json=asked.json,
        content=asked.content,
    )
    answer = await transport.handle_async_request(sent)
    await answer.aread()
    return answer
