"""What one subscriber is sent of what happens, as frames of server-sent events.

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
from typing import Final

from greenroom.api.events.hub import RESYNC, Resync, Subscriber
from greenroom.api.security import Caller
from greenroom.core.errors import Forbidden, Unauthenticated, Unavailable
from greenroom.core.events import TOPICS, Event, Topic
from greenroom.db.database import Database
from greenroom.db.session.views import is_of_user

HEARTBEAT_S: Final = 15.0


async def feed(
    db: Database, subscriber: Subscriber, caller: Caller, again: Callable[[], Awaitable[Caller]]
) -> AsyncGenerator[str]:
    """The frames for one subscriber; it ends when the caller's log-in has ended."""
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
    if event.topic is not Topic.SESSION or caller.user_id is None:
        return False
    try:
        return await is_of_user(db, event.id, caller.user_id)
    except Unavailable:
        return False
