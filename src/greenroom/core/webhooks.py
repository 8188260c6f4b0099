"""The events and messages of webhooks: signatures, results of deliveries, and the times of further attempts.

The signature is that of Standard Webhooks: HMAC-SHA256 of `id.timestamp.body`, with which receivers verify that a
message is from this installation, unchanged and new.

Triggers of the database write the events, in the transaction of the change (ADR 81). The dataclasses here have the same
fields as the events. A test compares the dataclasses with docs/reference/webhooks.md.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from greenroom.core.audit import AuditFields
from greenroom.core.rate_limits import Backoff

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 -- the prefix of a secret
SECRET_BYTES: Final = 32
BACKOFF: Final = Backoff(first_s=5.0, max_s=6 * 3600.0)
MAX_ATTEMPTS: Final = 16
"""The maximum number of attempts of a delivery. The last attempt is about a day after the first."""
MAX_COUNTED_AUDIT_ATTEMPTS: Final = 8
"""Further attempts to deliver an event of the audit have the pause of this attempt, about 10 minutes."""
MAX_REQUESTED_PAUSE_S: Final = 3600.0
"""The longest pause that a response may request."""
GONE: Final = 410
"""The status with which a receiver requests no further messages."""


class DeliveryState(StrEnum):
    """The state of a delivery: one message to one webhook."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


def secret_text(random: bytes) -> str:
    """Return the secret with these random bytes, as receivers of the webhook need it."""
    return SECRET_PREFIX + base64.b64encode(random).decode()


def signed_headers(secret: str, delivery_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """Return the headers of a delivery attempt at `at_s`, seconds since 1970."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    mac = hmac.digest(key, f"{delivery_id}.{at_s}.".encode() + body, "sha256")
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
        "content-type": "application/json",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryAttempt:
    """The result of an attempt. `status` is the HTTP status; None = there was no response, and `error` is the reason.
    `answer` is the beginning of the response, and `requested_pause_s` the pause that the response requested.
    """

    status: int | None = None
    answer: str = ""
    error: str = ""
    duration_ms: float = 0.0
    requested_pause_s: float = 0.0

    @property
    def text(self) -> str:
        """The result of the attempt, as the end of a sentence."""
        return self.error or f"the answer was {self.status}"


@dataclass(frozen=True, slots=True)
class DeliveryVerdict:
    """The state of a delivery after an attempt, and the pause before the next attempt; None = there is none."""

    state: DeliveryState
    retry_s: float | None = None


def after_attempt(attempt: DeliveryAttempt, attempts: int, *, event: str, spread: float) -> DeliveryVerdict:
    """Return the state after `attempts` attempts to deliver a message about `event`, of which `attempt` is the last. A
    test is attempted once. Events of the audit are never given up. `spread` is passed to `Backoff.delay_s`.
    """
    if attempt.status is not None and 200 <= attempt.status < 300:
        return DeliveryVerdict(DeliveryState.DELIVERED)
    if event == str(WebhookEvent.AUDIT_EVENT):
        attempts = min(attempts, MAX_COUNTED_AUDIT_ATTEMPTS)
    elif event == str(WebhookEvent.TEST) or attempts >= MAX_ATTEMPTS or attempt.status == GONE:
        return DeliveryVerdict(DeliveryState.GIVEN_UP)
    return DeliveryVerdict(
        DeliveryState.WAITING,
        max(BACKOFF.delay_s(attempts, spread), min(attempt.requested_pause_s, MAX_REQUESTED_PAUSE_S)),
    )


VERSION: Final = 1
"""The version of the messages. Fields may be added within a version; receivers ignore unknown fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSubject:
    """The common fields of sessions, launches and leases. A name is null if its object was deleted; the user is null if
    there is no user.
    """

    user_id: str | None
    username: str | None
    image_id: str | None
    image_friendly_name: str | None
    zone_id: str | None
    zone_name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionData(WebhookSubject):
    """A session. `reason` is the reason why it failed or ended; `staging_config_id` is the pool that it came from."""

    session_id: str
    staging_config_id: str | None
    launch_id: str | None
    status: str
    created: datetime
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchData(WebhookSubject):
    """A launch. `outcome` is staged, on_demand or failed; `reason` is the last line of its trace."""

    launch_id: str
    session_id: str | None
    outcome: str
    duration_ms: float
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseData(WebhookSubject):
    """A lease. `expires` is its deadline; `tags` are those of the request."""

    lease_id: str
    session_id: str
    holder: str
    tags: list[str] | dict[str, str]
    expires: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolData:
    """A pool. `shortfall_code` and `reason` are the reason why it is short."""

    staging_config_id: str
    image_id: str
    image_friendly_name: str | None
    zone_id: str
    zone_name: str | None
    num_sessions: int
    shortfall_code: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditData(AuditFields):
    """An event of the audit, with the fields of an export. `hash` is hexadecimal."""

    event_id: int
    time: datetime
    details: dict[str, Any]
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TestData:
    """A test message, sent by an administrator."""

    __test__ = False  # keeps pytest from collecting it

    webhook_id: str
    name: str


class WebhookEvent(StrEnum):
    """The type of a message, the event that it reports, and the type of its `data`."""

    meaning: str
    data: type[Any]

    def __new__(cls, text: str, meaning: str, data: type[Any]) -> WebhookEvent:
        member = str.__new__(cls, text)
        member._value_ = text
        member.meaning, member.data = meaning, data
        return member

    SESSION_ASSIGNED = (
        "session.assigned",
        "a user got a session, from a pool or created on demand",
        SessionData,
    )
    SESSION_RUNNING = "session.running", "a user's session is usable, for the first time or again", SessionData
    SESSION_FAILED = "session.failed", "a session failed; for a staged session, `user_id` is null", SessionData
    SESSION_ENDED = "session.ended", "a session of a user has ended", SessionData
    POOL_SHORT = (
        "pool.short",
        "a pool has fewer sessions than desired, and the missing ones are not starting; also when the cause changes",
        PoolData,
    )
    POOL_FULL = "pool.full", "a pool has as many sessions as desired again, after `pool.short`", PoolData
    LAUNCH_DONE = "launch.done", "a user got a session for a launch", LaunchData
    LAUNCH_FAILED = (
        "launch.failed",
        "a launch got no session, or its session failed and could not be replaced",
        LaunchData,
    )
    LEASE_GRANTED = "lease.granted", "a program got a lease", LeaseData
    LEASE_ENDED = "lease.ended", "a lease is over: released, past its deadline, or its session failed", LeaseData
    AUDIT_EVENT = "audit.event", "the audit has a new event; only for callers with `audit_view`", AuditData
    TEST = (
        "webhook.test",
        "an administrator tests the webhook; this event cannot be selected, and its message is sent once",
        TestData,
    )


SELECTABLE_EVENTS: Final = tuple(event for event in WebhookEvent if event is not WebhookEvent.TEST)
"""Events that can be selected for a webhook."""


class WebhookMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a delivery; `id` and `timestamp` are the same in every attempt."""

    type: str
    version: int = VERSION
    id: str
    timestamp: datetime
    data: Mapping[str, Any]


def body_of(event: str, delivery_id: str, at: datetime, data: Mapping[str, Any]) -> bytes:
    """Return the body of a delivery."""
    return msgspec.json.encode(WebhookMessage(type=event, id=delivery_id, timestamp=at, data=data))
