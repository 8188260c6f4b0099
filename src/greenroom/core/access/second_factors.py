"""Second factors: the codes of authenticator apps (TOTP, RFC 6238) and recovery codes.

The codes have six digits, change every 30 seconds and use HMAC-SHA-1, because all authenticator apps support these
values. The code of the previous and of the next step is also accepted, because clocks differ. Each step is accepted
once, so that a person who sees a code cannot use it again.
"""

from __future__ import annotations

import base64
import hmac
from typing import Final, Literal
from urllib.parse import quote, urlencode

FactorKind = Literal["totp", "passkey"]

STEP_S: Final = 30
DIGITS: Final = 6
KEY_BYTES: Final = 20
ALLOWED_STEPS: Final = (-1, 0, 1)
RECOVERY_CODES: Final = 10
RECOVERY_CODE_BYTES: Final = 15
"""120 bits, so that SHA-256 without a salt protects the stored codes (OWASP ASVS 6.5.2)."""
MAX_WRONG_CODES: Final = 50
"""After this number of wrong codes in a row, an authenticator app is blocked. Only a person who knows the password can
enter codes, so no one else can block it. All guesses together succeed with a probability of 0.015 %."""
MAX_FACTORS: Final = 20
"""The maximum number of second factors of a user."""


def totp_code(key: bytes, step: int, *, digits: int = DIGITS) -> str:
    """Return the code of a time step: the number of whole `STEP_S` since 1970."""
    digest = hmac.digest(key, step.to_bytes(8), "sha1")
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4]) & 0x7FFFFFFF
    return str(number % 10**digits).zfill(digits)


def matching_step(key: bytes, code: str, now_s: float, used_step: int | None) -> int | None:
    """Return the time step of a code; None if the code is wrong, or its step is not later than `used_step`."""
    matching = None
    for difference in ALLOWED_STEPS:
        step = int(now_s) // STEP_S + difference
        expected = totp_code(key, max(step, 0))
        if hmac.compare_digest(expected.encode(), code.encode()) and (used_step is None or step > used_step):
            matching = step
    return matching


def key_text(key: bytes) -> str:
    """Return the key as a user types it into an app."""
    return base64.b32encode(key).decode().rstrip("=")


def setup_uri(key: bytes, username: str, issuer: str) -> str:
    """Return the content of the QR code with which an app stores the key. `issuer` names the installation."""
    label = quote(f"{issuer}:{username}", safe="")
    parameters = {"secret": key_text(key), "issuer": issuer, "digits": DIGITS, "period": STEP_S}
    return f"otpauth://totp/{label}?{urlencode(parameters, quote_via=quote)}"


def recovery_code(random_bytes: bytes) -> str:
    """Return a recovery code of `RECOVERY_CODE_BYTES`, such as `abcd-2345-efgh-6723-ijkl-mnop`."""
    text = key_text(random_bytes).lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def normal_code(text: str) -> str:
    """Return a code as it is compared, without the spaces and hyphens that make it readable, in lower case."""
    return "".join(character for character in text if not character.isspace() and character != "-").lower()
