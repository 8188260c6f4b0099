"""A request to `/api/v1` from within the api, with the credential of the request that it is made for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from fastapi import Request
from starlette.types import Message, Receive, Scope, Send

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


_under_way: Final[set[asyncio.Task[httpx.Response]]] = set()


async def answer_to(request: Request, asked: Asked) -> httpx.Response:
    """The whole answer that a client with the credential of `request` would get.

    Who is cancelled meanwhile is to the route a client that goes away: it ends what it began as it does for any other.
    A cancellation would also cut off what it does for that.
    """
    gone = asyncio.Event()
    task = asyncio.create_task(_answer(request, asked, gone))
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    try:
        return await asyncio.shield(task)
    finally:
        gone.set()


async def _answer(request: Request, asked: Asked, gone: asyncio.Event) -> httpx.Response:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_read = False

        async def received() -> Message:
            nonlocal is_read
            if is_read:
                await gone.wait()
                return {"type": "http.disconnect"}
            message = await receive()
            is_read = not message.get("more_body", False)
            return message

        await request.app(scope, received, send)

    address = (request.client.host, request.client.port) if request.client else ("", 0)
    sent = httpx.Request(
        asked.method,
        httpx.URL(f"https://{request.headers['host']}{PREFIX}{asked.path}"),
        params=asked.query,
        headers={name: request.headers[name] for name in _PASSED_ON if name in request.headers} | dict(asked.headers),
        json=asked.json,
        content=asked.content,
    )
    answer = await httpx.ASGITransport(app, client=address).handle_async_request(sent)
    await answer.aread()
    return answer
