"""What webhooks are sent: the events, what each says, and the message that carries it.

Triggers of the database write the events, in the transaction of what happened (ADR 81); the dataclasses here are what
they write. docs/reference/webhooks.md has the same table; a test compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

VERSION: Final = 1
"""Of the messages. Fields may be added within a version; receivers ignore those that they do not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What all sessions and launches say: whose, of which workspace and where. A name is null where its object is gone,
    a user where there is none."""

    user_id: str | None
    username: str | None
    image_id: str | None
    image_friendly_name: str | None
    zone_id: str | None
    zone_name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionData(Subject):
    """A session. `reason`: why it failed or ended; `staging_config_id`: of the pool that it came from."""

    session_id: str
    staging_config_id: str | None
    launch_id: str | None
    status: str
    created: datetime
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchData(Subject):
    """A launch. `outcome` is staged, on_demand or failed; `reason` is the last line of its trace."""

    launch_id: str
    session_id: str | None
    outcome: str
    duration_ms: float
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseData(Subject):
    """A lease. `expires` is its deadline, `tags` are as they were given."""

    lease_id: str
    session_id: str
    holder: str
    tags: list[str] | dict[str, str]
    expires: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolData:
    """A pool. `shortfall_code` and `reason` say why it is short."""

    staging_config_id: str
    image_id: str
    image_friendly_name: str | None
    zone_id: str
    zone_name: str | None
    num_sessions: int
    shortfall_code: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestData:
    """A message that an administrator sent to try a webhook."""

    __test__ = False  # pytest does not take it for a test

    webhook_id: str
    name: str


class WebhookEvent(StrEnum):
    """The type of a message, when it is sent, and what its `data` is."""

    meaning: str
    data: type[Any]

    def __new__(cls, text: str, meaning: str, data: type[Any]) -> WebhookEvent:
        member = str.__new__(cls, text)
        member._value_ = text
        member.meaning, member.data = meaning, data
        return member

    SESSION_ASSIGNED = (
        "session.assigned",
        "a session is a user's now: one of a pool that they were given, or one that was made for them",
        SessionData,
    )
    SESSION_RUNNING = "session.running", "a user's session can be used, for the first time or again", SessionData
    SESSION_FAILED = "session.failed", "a session failed; one of a pool has no user", SessionData
    SESSION_ENDED = "session.ended", "a session that was a user's is gone", SessionData
    POOL_SHORT = (
        "pool.short",
        "a pool has fewer sessions than Desired, and not just because some are starting; again when the cause changes",
        PoolData,
    )
    POOL_FULL = "pool.full", "a pool that was short has as many sessions as Desired again", PoolData
    LAUNCH_DONE = "launch.done", "a launch gave its user a session", LaunchData
    LAUNCH_FAILED = (
        "launch.failed",
        "a launch gave nothing, or what it gave failed and nothing could replace it",
        LaunchData,
    )
    LEASE_GRANTED = "lease.granted", "a program was given a lease", LeaseData
    LEASE_ENDED = "lease.ended", "a lease is over: released, past its deadline, or its session failed", LeaseData
    TEST = "webhook.test", "an administrator tries the webhook; it cannot be chosen, and is not tried again", TestData


CHOSEN: Final = tuple(event for event in WebhookEvent if event is not WebhookEvent.TEST)
"""Events that a webhook may be sent."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a delivery; `id` and `timestamp` are the same however often it is delivered."""

    type: str
    version: int = VERSION
    id: str
    timestamp: datetime
    data: Mapping[str, Any]


def body_of(event: str, delivery_id: str, at: datetime, data: Mapping[str, Any]) -> bytes:
    """What is sent."""
    return msgspec.json.encode(Message(type=event, id=delivery_id, timestamp=at, data=data))
