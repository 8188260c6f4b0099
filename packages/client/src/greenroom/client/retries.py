"""When a request is sent again: only if that does nothing twice, a bounded number of times, and as the server asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

_REPEATABLE: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_PASSING: Final = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Retries:
    """A request is sent at most `attempts` times; all waits for it together take at most `limit_s`."""

    attempts: int = 5
    limit_s: float = 60.0
    first_wait_s: float = 0.2

    def wait_s(self, attempt: int, waited_s: float, outcome: httpx.Response | httpx.HTTPError) -> float | None:
        """How long to wait after attempt number `attempt` (from 1) before the next; None = that was the last."""
        if attempt >= self.attempts or not _may_repeat(outcome):
            return None
        asked_s = _asked_s(outcome)
        wait_s = self.first_wait_s * 2 ** (attempt - 1) if asked_s is None else asked_s
        return wait_s if waited_s + wait_s <= self.limit_s else None


def _may_repeat(outcome: httpx.Response | httpx.HTTPError) -> bool:
    """A request that was not begun may be sent again, any other one if doing it twice is as doing it once."""
    if isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return "CERTIFICATE_VERIFY_FAILED" not in str(outcome)
    repeatable = _is_repeatable(outcome.request)
    if isinstance(outcome, httpx.Response):
        was_refused = outcome.status_code == 429 or (outcome.status_code == 503 and "Retry-After" in outcome.headers)
        return was_refused or (repeatable and outcome.status_code in _PASSING)
    return repeatable and isinstance(outcome, httpx.TransportError)


def _is_repeatable(request: httpx.Request) -> bool:
    return request.method in _REPEATABLE or "Idempotency-Key" in request.headers


def _asked_s(outcome: httpx.Response | httpx.HTTPError) -> float | None:
    """What `Retry-After` says: seconds, or a date."""
    if not isinstance(outcome, httpx.Response) or not (text := outcome.headers.get("Retry-After", "")):
        return None
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, TypeError):
        return None
