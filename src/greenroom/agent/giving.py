"""Gives images of this host to other Agents of the zone: one at a time, each to the one that a Manager named.

The edge gateway passes on `GET /agent_image/<route>` with a ticket as bearer. A Manager says whether the ticket counts
and which image it is for; it counts here once. A client without one costs a question a second at most.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from greenroom.agent.fleet.identity import Identity
from greenroom.agent.fleet.manager_client import ManagerClient, ManagerRefusedError, NoManager
from greenroom.core.errors import GreenroomError
from greenroom.runtimes.contract import Archives, CopyHost, ImageMissing
from greenroom.wire.copies import TicketCounts, TicketShown

log = structlog.get_logger(__name__)

TICKET_PATH: Final = "/manager_api/v1/image-ticket"
TICKET: Final = re.compile(r"Bearer ([A-Za-z0-9_=-]{40,2048})")
USED_S: Final = 600.0
"""Longer than a ticket counts."""
MOST_S: Final = 3600.0
"""No copy takes longer."""
REFUSED_PAUSE_S: Final = 1.0
BUSY_RETRY_S: Final = 15


class ImageGiver:
    """`runtime` is that of this host, None while it is not open."""

    def __init__(self, runtime: Callable[[], object], identity: Identity, link: ManagerClient) -> None:
        self._runtime = runtime
        self._identity = identity
        self._link = link
        self._is_busy = False
        self._used: dict[str, float] = {}
        self.routes = [Route("/image", self._give)]

    async def _give(self, request: Request) -> Response:
        shown = TICKET.fullmatch(request.headers.get("Authorization", ""))
        runtime = self._runtime()
        if shown is None:
            return _refusal(401, "An image is given for a ticket of a Manager alone.")
        if not isinstance(runtime, CopyHost):
            return _refusal(503, "This Agent has no images to give now.")
        if self._is_busy:
            return _refusal(503, "This Agent gives an image to another Agent already; try again when that is over.")
        self._is_busy = True
        try:
            response = await self._checked(shown[1], runtime.archives())
        except BaseException:
            self._is_busy = False
            raise
        if not isinstance(response, _Given):
            self._is_busy = False
        return response

    def _is_over(self) -> None:
        self._is_busy = False

    async def _checked(self, ticket: str, archives: Archives) -> Response:
        now = time.monotonic()
        self._used = {used: until for used, until in self._used.items() if until > now}
        try:
            if ticket in self._used:
                raise ManagerRefusedError(403, "The ticket for an image was used before; ask a Manager again.")
            counts = await self._ask(ticket)
        except ManagerRefusedError as error:
            log.warning("an image was not given", reason=error.message)
            await asyncio.sleep(REFUSED_PAUSE_S)  # one is asked about at a time
            return _refusal(403, error.message)
        except NoManager as error:
            return _refusal(503, error.message)
        self._used[ticket] = now + USED_S
        chunks = archives.save(counts.digest)
        try:
            async with asyncio.timeout(MOST_S):
                first = await anext(chunks)
        except ImageMissing as error:
            return _refusal(404, error.message)
        except (GreenroomError, StopAsyncIteration, TimeoutError) as error:
            return _refusal(503, str(error) or "The image cannot be read.")
        return _Given(self._rest(first, chunks, counts), self._is_over)

    async def _ask(self, ticket: str) -> TicketCounts:
        shown = TicketShown(agent_id=self._identity.agent_id, incarnation=self._identity.incarnation, ticket=ticket)
        return await self._link.ask(TICKET_PATH, shown, TicketCounts, bearer=self._identity.bearer, is_new=True)

    async def _rest(self, first: bytes, chunks: AsyncIterator[bytes], counts: TicketCounts) -> AsyncIterator[bytes]:
        given = len(first)
        async with asyncio.timeout(MOST_S):
            yield first
            async for chunk in chunks:
                given += len(chunk)
                yield chunk
        log.info("gave an image to another Agent", image=counts.name, hostname=counts.hostname, given_bytes=given)


class _Given(StreamingResponse):
    """`is_over` is called when it was sent, or could not be."""

    def __init__(self, chunks: AsyncIterator[bytes], is_over: Callable[[], None]) -> None:
        super().__init__(chunks, media_type="application/x-tar")
        self._is_over = is_over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._is_over()


def _refusal(status: int, sentence: str) -> Response:
    headers = {"Retry-After": str(BUSY_RETRY_S)} if status == 503 else None
    return JSONResponse({"error_message": sentence}, status, headers)
