"""How a message is signed, what an answer means, and when a delivery is tried again.

The signature is that of Standard Webhooks: HMAC-SHA256 of `id.timestamp.body`, with which receivers know that a message
is ours, unchanged and new.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from greenroom.core.backoff import Backoff

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 -- what a secret begins with
SECRET_BYTES: Final = 32
BACKOFF: Final = Backoff(first_s=5.0, max_s=6 * 3600.0)
MOST_ATTEMPTS: Final = 16
"""The last is about a day after the first."""
MAX_ASKED_S: Final = 3600.0
"""The longest pause that an answer may ask for."""
GONE: Final = 410
"""The receiver wants no more of it."""


class DeliveryState(StrEnum):
    """Of one message to one webhook."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


def secret_text(random: bytes) -> str:
    """A secret as it is shown."""
    return SECRET_PREFIX + base64.b64encode(random).decode()


def signed_headers(secret: str, delivery_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers of an attempt at `at_s`, seconds since 1970."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    mac = hmac.digest(key, f"{delivery_id}.{at_s}.".encode() + body, "sha256")
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
        "content-type": "application/json",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How an attempt went: `status` None = there was no answer, and `error` says why; `answer` is how it begins.
    `asked_s` is the pause that it asked for.
    """

    status: int | None = None
    answer: str = ""
    error: str = ""
    duration_ms: float = 0.0
    asked_s: float = 0.0

    @property
    def words(self) -> str:
        """What came of it, as the end of a sentence."""
        return self.error or f"the answer was {self.status}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a delivery: `again_s` is when it is tried again, None = it is not."""

    state: DeliveryState
    again_s: float | None = None


def verdict(attempt: Attempt, attempts: int, *, once: bool, spread: float) -> Verdict:
    """What becomes of a delivery after so many attempts, this one included. `once`: one is all it gets; `spread` as in
    `Backoff`."""
    if attempt.status is not None and 200 <= attempt.status < 300:
        return Verdict(DeliveryState.DELIVERED)
    if once or attempts >= MOST_ATTEMPTS or attempt.status == GONE:
        return Verdict(DeliveryState.GIVEN_UP)
    return Verdict(DeliveryState.WAITING, max(BACKOFF.delay_s(attempts, spread), min(attempt.asked_s, MAX_ASKED_S)))
