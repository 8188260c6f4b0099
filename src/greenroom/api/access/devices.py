"""Devices on which a user has logged in, recognized by a signed cookie.

The cookie grants no access. With it a log-in attempt is counted for the device instead of its address, so that attempts
from elsewhere cannot lock the user out (`core.rate_limits.account_wait_s`). It is valid for one user, for 90 days, and
for one password. A browser keeps the cookie of the user who logged in last.
"""

from __future__ import annotations

import hmac
import re
import time
from typing import Final

from fastapi import Request, Response

from greenroom.db.access.users import User
from greenroom.kit.secrets import Secrets, new_secret

DEVICE_COOKIE: Final = "__Host-greenroom-device"
LIFETIME_S: Final = 90 * 24 * 3600
_EXPIRES: Final = re.compile(r"[0-9]{1,12}")


def remember_device(response: Response, secrets: Secrets, user: User) -> None:
    """Give the browser of an authenticated user a new cookie; it stays when they log out."""
    device, expires_s = new_secret(), int(time.time()) + LIFETIME_S
    signature = secrets.device_signature(device, expires_s, user.user_id, user.password_hash or "")
    response.set_cookie(
        DEVICE_COOKIE,
        f"{device}.{expires_s}.{signature}",
        max_age=LIFETIME_S,
        path="/",
        secure=True,
        httponly=True,
        samesite="strict",
    )


def known_device(request: Request, secrets: Secrets, user: User | None) -> str | None:
    """The request's device, if this user logged in on it with their present password."""
    device, _, rest = request.cookies.get(DEVICE_COOKIE, "").partition(".")
    expires, _, signature = rest.partition(".")
    if user is None or user.password_hash is None or not _EXPIRES.fullmatch(expires):
        return None
    expected = secrets.device_signature(device, int(expires), user.user_id, user.password_hash)
    if not hmac.compare_digest(signature.encode(), expected.encode()) or int(expires) <= time.time():
        return None
    return device
