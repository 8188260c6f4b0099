"""`GET /events`: what changed, as server-sent events (`service`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from greenroom.api.deps import Db, EventHub
from greenroom.api.events.service import RESYNC, feed
from greenroom.api.security import Caller, authenticated, requires
from greenroom.core.access.permissions import USER

router = APIRouter(tags=["events"])


@router.get("/events", response_class=StreamingResponse)
async def events(
    request: Request, db: Db, hub: EventHub, caller: Annotated[Caller, requires(USER)]
) -> StreamingResponse:
    """What changed, as it happens (text/event-stream); 429 to who follows it twenty times already."""
    who = caller.user_id or caller.key_id or ""
    hub.admit(who)
    reconnected = "last-event-id" in request.headers

    async def again() -> Caller:
        return await authenticated(request)

    async def frames() -> AsyncGenerator[str]:
        with hub.subscription(who) as subscriber:
            if reconnected:
                subscriber.put(RESYNC)
            async for frame in feed(db, subscriber, caller, again):
                yield frame

    return StreamingResponse(frames(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
