"""Limits on failed log-ins, on wrong log-in links, share links, keys and tokens, and on bodies that cannot be read.
Failed attempts are counted by address; after too many, requests are refused.

The rules are in `core.rate_limits`. Each kind of credential is counted separately. Before the check of a password, a
link or the answer of a sign-on provider, the caller calls `admit`, and after a failed check `count_failure`. A key or
token is checked first, and the caller calls `count_wrong_key` only if the key is wrong, so that a program with a wrong
key does not block other programs at its address.

Each api process counts separately; counts by account are in the database (`greenroom.db.access.credentials`). A device
on which a user has logged in is recognized by a signed cookie. The cookie grants no access. An attempt with the
cookie is counted for the device instead of its address, so that attempts from other addresses do not block the user
(`core.rate_limits.account_wait_s`). The cookie is valid for one user, until the password changes, for at most 90 days.
A browser has only the cookie of its last user.
"""

from __future__ import annotations

import hmac
import math
import re
import time
from typing import Final, Literal, NoReturn

from fastapi import Request, Response

from greenroom.api.diagnostics.audit import RefusalLog
from greenroom.api.diagnostics.metrics import RequestMetrics
from greenroom.api.installation import SettingsSnapshot
from greenroom.api.security import client_address
from greenroom.core.errors import TooManyRequests
from greenroom.core.rate_limits import AddressFailures, source_of
from greenroom.db.access.users import User
from greenroom.kit.secrets import Secrets, new_secret

AttemptKind = Literal["password", "link", "sign-on", "key", "body"]
KEY_LIMIT_FACTOR: Final = 10
"""The limit for keys, tokens and malformed bodies is the limit for passwords times this factor. Keys cannot be guessed,
but a program may repeat an expired key often."""


class FailedAttempts:
    """The failed attempts of each address; one instance per process."""

    def __init__(self, snapshot: SettingsSnapshot, refusals: RefusalLog, metrics: RequestMetrics) -> None:
        self._snapshot = snapshot
        self._refusals = refusals
        self._metrics = metrics
        self._failures = AddressFailures()

    def admit(self, request: Request, kind: AttemptKind, claimed_name: str) -> None:
        """Refuse an attempt after too many failed attempts of the request's address; `claimed_name` is for the log.
        Raises TooManyRequests: the error contains the time to wait."""
        source = source_of(client_address(request))
        wait_s = self._failures.wait_s(kind, source, time.monotonic(), **self._limits(kind))
        if wait_s > 0:
            self.refuse(request, "address", claimed_name, wait_s)

    def count_failure(self, request: Request, kind: AttemptKind) -> None:
        """Count a failed attempt of the request's address."""
        self._failures.record_failure(kind, source_of(client_address(request)), time.monotonic(), **self._limits(kind))

    def withdraw_failure(self, request: Request, kind: AttemptKind) -> None:
        """Subtract a failed attempt that was counted before the attempt succeeded."""
        self._failures.withdraw_failure(kind, source_of(client_address(request)), **self._limits(kind))

    def count_wrong_key(self, request: Request, claimed_name: str) -> None:
        """Count a wrong key or token of the request's address. Raises TooManyRequests: there were too many."""
        self.admit(request, "key", claimed_name)
        self.count_failure(request, "key")

    def count_malformed_body(self, request: Request) -> None:
        """Count a body that cannot be read. Raises TooManyRequests: the address sent too many such bodies."""
        self.admit(request, "body", "a body that cannot be read")
        self.count_failure(request, "body")

    def refuse(self, request: Request, by: Literal["account", "address"], claimed_name: str, wait_s: float) -> NoReturn:
        """Refuse the request; `by` is the limit that was reached. Raises TooManyRequests: always."""
        seconds = math.ceil(wait_s)
        self._metrics.throttled.labels(by).inc()
        self._refusals.log_throttled_client(request, claimed_name)
        raise TooManyRequests(f"Too many failed attempts; try again in {seconds} s.", retry_after_s=seconds)

    def _limits(self, kind: AttemptKind) -> dict[str, int]:
        settings = self._snapshot.installation
        factor = KEY_LIMIT_FACTOR if kind in {"key", "body"} else 1
        return {"max_failures": factor * settings.max_login_attempts_per_address, "window_s": settings.login_window_s}


DEVICE_COOKIE: Final = "__Host-greenroom-device"
DEVICE_LIFETIME_S: Final = 90 * 24 * 3600
_EXPIRES: Final = re.compile(r"[0-9]{1,12}")


def remember_device(response: Response, secrets: Secrets, user: User) -> None:
    """Give the browser of an authenticated user a new device cookie, which remains after the user logs out."""
    device, expires_s = new_secret(), int(time.time()) + DEVICE_LIFETIME_S
    signature = secrets.device_signature(device, expires_s, user.user_id, user.password_hash or "")
    response.set_cookie(
        DEVICE_COOKIE,
        f"{device}.{expires_s}.{signature}",
        max_age=DEVICE_LIFETIME_S,
        path="/",
        secure=True,
        httponly=True,
        samesite="strict",
    )


def known_device(request: Request, secrets: Secrets, user: User | None) -> str | None:
    """Return the id of the device of the request if the user logged in there with the present password; else None."""
    device, _, signed_part = request.cookies.get(DEVICE_COOKIE, "").partition(".")
    expires, _, signature = signed_part.partition(".")
    if user is None or user.password_hash is None or not _EXPIRES.fullmatch(expires):
        return None
    expected = secrets.device_signature(device, int(expires), user.user_id, user.password_hash)
    if not hmac.compare_digest(signature.encode(), expected.encode()) or int(expires) <= time.time():
        return None
    return device
