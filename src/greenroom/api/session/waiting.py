"""Waits for a session to change, without asking the database meanwhile: its events say when to look."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Set
from typing import Protocol, TypeVar

from greenroom.api.events.service import RESYNC, Hub
from greenroom.core.events import Event
from greenroom.core.session.states import SessionStatus


class HasStatus(Protocol):
    """A session, or what is shown of it."""

    @property
    def session_id(self) -> str: ...
    @property
    def status(self) -> SessionStatus: ...


S = TypeVar("S", bound=HasStatus)


T = TypeVar("T")


async def while_so(
    hub: Hub, session_id: str, is_so: Callable[[T], bool], look: Callable[[], Awaitable[T]], within_s: float
) -> T:
    """What `look` finds of the session once it `is_so` no more, or after `within_s`, or when the process is to stop."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + within_s
    with hub.subscription() as subscriber:
        found = await look()
        while is_so(found) and not subscriber.closed and (left_s := end_s - loop.time()) > 0:
            happened = await subscriber.take(left_s)
            if not happened or RESYNC in happened or Event.session(session_id) in happened:
                found = await look()
    return found


async def while_in(hub: Hub, statuses: Set[SessionStatus], look: Callable[[], Awaitable[S]], within_s: float) -> S:
    """What `look` finds once its status is none of these, or after `within_s`, or when the process is to stop."""
    first = await look()
    if first.status not in statuses:
        return first
    return await while_so(hub, first.session_id, lambda found: found.status in statuses, look, within_s)
