"""Change events: one LISTEN per process, a bounded queue per subscriber, and functions that wait for a change.

An event contains only the id of the changed object (`topic`, `id`), which the console then fetches again. Equal waiting
events are therefore merged. A queue that becomes too long is replaced with `resync` ("fetch everything again"). All
subscribers get `resync` after an interruption of LISTEN. As server-sent events:

    id: 7
    data: {"topic": "session", "id": "…", "at": "…"}    something changed: fetch it again
    event: resync / data: {}                        events were missed: fetch everything again
    : (a comment every 15 s)                        the connection works
    event: alive / data: {}                         the same, on request: browsers hide comments from pages

If the client requests past events, the last events in this process come before the first comment, `: connected`.

The topics are those of `core.events.TOPICS`. Subscribers get only events that they may see.
A connection is closed after the end of its log-in.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence, Set
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from typing import Final, Protocol, TypeVar

from greenroom.api.security import Caller
from greenroom.core.errors import Forbidden, TooManyRequests, Unauthenticated, Unavailable
from greenroom.core.events import MAX_RECENT, TOPICS, ChangeEvent, Topic
from greenroom.core.session.states import SessionStatus
from greenroom.db.database import Database
from greenroom.db.lease.leases import is_lease_of_user
from greenroom.db.session.views import is_session_of_user
from greenroom.kit.concurrency import wait_for

MAX_WAITING_EVENTS: Final = 256
MAX_SUBSCRIPTIONS: Final = 20
"""The maximum number of subscriptions of a user or API key."""


class Resync(Enum):
    """The replacement for missed events."""

    RESYNC = "resync"


RESYNC: Final = Resync.RESYNC


class Subscriber:
    """The queue of one subscriber. A queue over `MAX_WAITING_EVENTS` becomes one `RESYNC`."""

    def __init__(self) -> None:
        self._waiting: dict[ChangeEvent | Resync, None] = {}
        self._wake = asyncio.Event()
        self.closed = False

    def close(self) -> None:
        self.closed = True
        self._wake.set()

    def put(self, event: ChangeEvent | Resync) -> None:
        """Add an event unless an equal one waits."""
        if RESYNC in self._waiting:
            return
        if event is RESYNC or len(self._waiting) >= MAX_WAITING_EVENTS:
            self._waiting.clear()
            event = RESYNC
        self._waiting[event] = None
        self._wake.set()

    async def take(self, timeout_s: float) -> list[ChangeEvent | Resync]:
        """Return all waiting events, oldest first; empty if there was none within `timeout_s`."""
        if not await wait_for(self._wake, timeout_s):
            return []
        self._wake.clear()
        events, self._waiting = list(self._waiting), {}
        return events


class EventHub:
    """All subscribers of this process, and its last events with their times."""

    def __init__(self) -> None:
        self._subscribers: dict[Subscriber, str] = {}
        self._closed = False
        self._recent = deque[tuple[ChangeEvent, datetime]](maxlen=MAX_RECENT)

    def require_free_subscription(self, owner: str) -> None:
        """Check that `owner` may have another subscription. Raises TooManyRequests: `owner` has `MAX_SUBSCRIPTIONS`."""
        if sum(subscriber == owner for subscriber in self._subscribers.values()) >= MAX_SUBSCRIPTIONS:
            raise TooManyRequests(
                f"You already have {MAX_SUBSCRIPTIONS} event streams. Close other windows of the console first."
            )

    @property
    def has_subscribers(self) -> bool:
        """True if a client waits for events."""
        return bool(self._subscribers)

    @contextmanager
    def subscription(self, owner: str = "") -> Generator[Subscriber]:
        subscriber = Subscriber()
        if self._closed:
            subscriber.close()
        self._subscribers[subscriber] = owner
        try:
            yield subscriber
        finally:
            del self._subscribers[subscriber]

    def publish(self, event: ChangeEvent) -> None:
        """Send an event to all subscribers; return immediately (callback of `greenroom.db.notifications.Listener`)."""
        self._recent.append((event, datetime.now(UTC)))
        for subscriber in self._subscribers:
            subscriber.put(event)

    def recent(self, number: int) -> list[tuple[ChangeEvent, datetime]]:
        """Return the last `number` events, oldest first."""
        return list(self._recent)[-number:] if number else []

    def close(self) -> None:
        """End all present and future subscriptions, so that the process can stop."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.close()

    def resync(self) -> None:
        """Send `RESYNC` to all subscribers, because events may have been missed."""
        for subscriber in self._subscribers:
            subscriber.put(RESYNC)


HEARTBEAT_S: Final = 15.0
MIN_ALIVE_S: Final = 1.0


async def recent_frames(
    db: Database, caller: Caller, recent: Sequence[tuple[ChangeEvent, datetime]]
) -> AsyncGenerator[str]:
    """Yield the past events that the caller may see, each as one server-sent event (a frame)."""
    for number, (event, at) in enumerate(recent, 1):
        if await _may_see(db, caller, event):
            yield _frame(number, event, at)


async def live_frames(
    db: Database,
    subscriber: Subscriber,
    caller: Caller,
    authenticate: Callable[[], Awaitable[Caller]],
    alive_s: float | None = None,
) -> AsyncGenerator[str]:
    """Yield the frames for one subscriber, until the log-in of the caller has ended. `authenticate` authenticates the
    caller again. After a silence of `alive_s`, the event `alive` follows; without
    `alive_s`, a comment follows after `HEARTBEAT_S`."""
    number = 0
    silence_s = HEARTBEAT_S if alive_s is None else alive_s
    sent_at = checked_at = asyncio.get_running_loop().time()
    yield ": connected\n\n"
    while True:
        events = await subscriber.take(max(0.0, sent_at + silence_s - asyncio.get_running_loop().time()))
        if subscriber.closed:
            return
        now = asyncio.get_running_loop().time()
        if now - checked_at >= HEARTBEAT_S - 1 or any(
            event is RESYNC or event.topic is Topic.USERS for event in events
        ):
            try:
                caller, checked_at = await authenticate(), now
            except (Unauthenticated, Forbidden):
                return
            except Unavailable:
                events = [RESYNC]  # permissions cannot be checked now, so RESYNC replaces the events
        for event in events:
            if await _may_see(db, caller, event):
                number += 1
                sent_at = now
                yield _frame(number, event, datetime.now(UTC))
        if now - sent_at >= silence_s:
            sent_at = now
            yield ": alive\n\n" if alive_s is None else "event: alive\ndata: {}\n\n"


def _frame(number: int, event: ChangeEvent | Resync, at: datetime) -> str:
    if event is RESYNC:
        return f"id: {number}\nevent: resync\ndata: {{}}\n\n"
    data = {"topic": event.topic, "id": event.id, "at": at.isoformat()}
    return f"id: {number}\ndata: {json.dumps(data)}\n\n"


async def _may_see(db: Database, caller: Caller, event: ChangeEvent | Resync) -> bool:
    if event is RESYNC or caller.may(TOPICS[event.topic].permission):
        return True
    belongs_to_user = {Topic.SESSION: is_session_of_user, Topic.LEASE: is_lease_of_user}.get(event.topic)
    if belongs_to_user is None or caller.user_id is None:
        return False
    try:
        return await belongs_to_user(db, event.id, caller.user_id)
    except Unavailable:
        return False


class HasStatus(Protocol):
    """A session, or a view of it."""

    @property
    def session_id(self) -> str: ...
    @property
    def status(self) -> SessionStatus: ...


S = TypeVar("S", bound=HasStatus)
T = TypeVar("T")


async def wait_while(
    hub: EventHub, session_id: str, is_pending: Callable[[T], bool], read: Callable[[], Awaitable[T]], timeout_s: float
) -> T:
    """Call `read` now and after each change of the session, until `is_pending` is false for the result, `timeout_s` has
    passed or the process stops. Return the last result."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + timeout_s
    with hub.subscription() as subscriber:
        result = await read()
        while is_pending(result) and not subscriber.closed and (remaining_s := end_s - loop.time()) > 0:
            events = await subscriber.take(remaining_s)
            if not events or RESYNC in events or ChangeEvent.session(session_id) in events:
                result = await read()
    return result


async def wait_while_status_in(
    hub: EventHub, statuses: Set[SessionStatus], read: Callable[[], Awaitable[S]], timeout_s: float
) -> S:
    """Read a session with `read` now and after each change, until its status is none of `statuses`, `timeout_s` has
    passed or the process stops. Return the last result."""
    first = await read()
    if first.status not in statuses:
        return first
    return await wait_while(hub, first.session_id, lambda session: session.status in statuses, read, timeout_s)
