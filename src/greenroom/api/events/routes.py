"""`GET /events`: what changed, as server-sent events.

    id: 7
    data: {"topic": "session", "id": "…"}          something changed: fetch it anew
    event: resync / data: {}                        events were missed: fetch everything anew
    : (a comment every 15 s)                        the connection lives

Topics: those of `core.events.TOPICS`. Subscribers get only events they may see, checked per event; a connection whose
log-in ended is closed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Annotated, Final

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from greenroom.api.deps import Db, EventHub
from greenroom.api.events.hub import RESYNC, Resync, Subscriber
from greenroom.api.security import Caller, authenticated, requires
from greenroom.core.access.permissions import USER
from greenroom.core.errors import Forbidden, Unauthenticated, Unavailable
from greenroom.core.events import TOPICS, Event, Topic
from greenroom.db.database import Database

router = APIRouter(tags=["events"])

HEARTBEAT_S: Final = 15.0


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
            async for frame in _frames(db, subscriber, caller, again):
                yield frame

    return StreamingResponse(frames(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _frames(
    db: Database, subscriber: Subscriber, caller: Caller, again: Callable[[], Awaitable[Caller]]
) -> AsyncGenerator[str]:
    """Ends when the caller's log-in has ended."""
    number = 0
    checked = asyncio.get_running_loop().time()
    yield ": connected\n\n"
    while True:
        happened = await subscriber.take(HEARTBEAT_S)
        if subscriber.closed:
            return
        now = asyncio.get_running_loop().time()
        if now - checked >= HEARTBEAT_S - 1 or any(event is RESYNC or event.topic is Topic.USERS for event in happened):
            try:
                caller, checked = await again(), now
            except (Unauthenticated, Forbidden):
                return
            except Unavailable:
                happened = [RESYNC]  # permissions cannot be checked now, so send nothing; the console fetches again
        if not happened:
            yield ": alive\n\n"
        for event in happened:
            if await _sees(db, caller, event):
                number += 1
                yield _frame(number, event)


def _frame(number: int, event: Event | Resync) -> str:
    if event is RESYNC:
        return f"id: {number}\nevent: resync\ndata: {{}}\n\n"
    return f"id: {number}\ndata: {json.dumps({'topic': event.topic, 'id': event.id})}\n\n"


async def _sees(db: Database, caller: Caller, event: Event | Resync) -> bool:
    if event is RESYNC or caller.may(TOPICS[event.topic].seen_with):
        return True
    return event.topic is Topic.SESSION and await _owns(db, caller, event.id)


async def _owns(db: Database, caller: Caller, session_id: str) -> bool:
    if caller.user_id is None:
        return False
    try:
        row = await db.fetch_one(
            "SELECT 1 FROM sessions WHERE session_id::text = %s AND user_id = %s", (session_id, caller.user_id)
        )
    except Unavailable:
        return False
    return row is not None
