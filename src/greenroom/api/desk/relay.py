"""Hands on what a session's page answers, while it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import TypeVar

from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from greenroom.api.desk.transport import while_asked

T = TypeVar("T")


class Relay(StreamingResponse):
    """An answer whose source is closed with it, also when its client goes away or has gone before it began."""

    def __init__(
        self,
        content: AsyncIterator[bytes],
        source: AsyncExitStack,
        *,
        media_type: str,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(content, status_code, headers, media_type)
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._source:
            with suppress(ClientDisconnect):
                await while_asked(Request(scope, receive), self.stream_response(send))


async def opened(request: Request, wanted: AbstractAsyncContextManager[T]) -> tuple[T, AsyncExitStack]:
    """What `wanted` gives, and what closes it, as long as the client of `request` waits for it."""
    stack = AsyncExitStack()
    try:
        return await while_asked(request, stack.enter_async_context(wanted)), stack
    except BaseException:
        await stack.aclose()
        raise
