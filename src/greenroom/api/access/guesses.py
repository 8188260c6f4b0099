"""Wrong passwords, links and keys are counted by address, and refused when there were too many (`core.rate_limits`).

Each api process counts for itself; what is counted by account is in the database (`greenroom.db.access.credentials`).
"""

from __future__ import annotations

import math
import time
from typing import Final, Literal, NoReturn

from fastapi import Request

from greenroom.api.diagnostics.audit import Refusals
from greenroom.api.diagnostics.metrics import Metrics
from greenroom.api.installation.settings_cache import Snapshot
from greenroom.api.security import client_address
from greenroom.core.errors import TooManyRequests
from greenroom.core.rate_limits import Failures
from greenroom.core.security_events import source_of

Guessed = Literal["password", "link", "key"]
KEY_ATTEMPTS: Final = 10
"""Times as many for API keys: nobody guesses 256 bits, but a program whose key has ended asks again and again."""


class Guesses:
    """See the module; one per process."""

    def __init__(self, snapshot: Snapshot, refusals: Refusals, metrics: Metrics) -> None:
        self._snapshot = snapshot
        self._refusals = refusals
        self._metrics = metrics
        self._failures = Failures()

    def admit(self, request: Request, what: Guessed, claimed_name: str) -> None:
        """Let an address try if it has not failed too often.

        Args:
            request: comes from there.
            what: they try.
            claimed_name: for the log, as which user or with what.

        Raises:
            TooManyRequests: says how long to wait.
        """
        source = source_of(client_address(request))
        wait_s = self._failures.wait_s(what, source, time.monotonic(), **self._limits(what))
        if wait_s > 0:
            self.refuse(request, "address", claimed_name, wait_s)

    def failed(self, request: Request, what: Guessed) -> None:
        """It was wrong."""
        self._failures.failed(what, source_of(client_address(request)), time.monotonic(), **self._limits(what))

    def refuse(self, request: Request, by: Literal["account", "address"], claimed_name: str, wait_s: float) -> NoReturn:
        """Refuse an attempt: too many failed before.

        Raises:
            TooManyRequests: always.
        """
        seconds = math.ceil(wait_s)
        self._metrics.throttled.labels(by).inc()
        self._refusals.throttled(request, claimed_name)
        raise TooManyRequests(f"Too many failed attempts; try again in {seconds} s.", retry_after_s=seconds)

    def _limits(self, what: Guessed) -> dict[str, int]:
        settings = self._snapshot.installation
        times = KEY_ATTEMPTS if what == "key" else 1
        return {"most": times * settings.max_login_attempts_per_address, "window_s": settings.login_window_s}
