"""`GET /events`: what changed, as server-sent events (`service`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from greenroom.api.deps import Db, EventHub
from greenroom.api.events import RESYNC, feed, past
from greenroom.api.security import Caller, authenticated, requires
from greenroom.core.access.permissions import USER
from greenroom.core.events import MAX_RECENT

router = APIRouter(tags=["events"])


@router.get("/events", response_class=StreamingResponse)
async def events(
    request: Request,
    db: Db,
    hub: EventHub,
    caller: Annotated[Caller, requires(USER)],
    last: Annotated[int, Query(ge=0, le=MAX_RECENT, description="begin with so many of the last ones")] = 0,
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
            async for frame in past(db, caller, hub.recent(last)):
                yield frame
            async for frame in feed(db, subscriber, caller, again):
                yield frame

    return StreamingResponse(frames(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
