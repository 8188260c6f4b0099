"""Passwords: argon2id with OWASP's parameters (19 MiB, 2 passes), off the event loop, with a limit for concurrent
checks.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from greenroom.core.errors import TooManyRequests
from greenroom.core.text import normal_password
from greenroom.kit.concurrency import Turns

MEMORY_KIB: Final = 19_456
PASSES: Final = 2
_PRESENT: Final = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1$"
"""The beginning of a stored form with these parameters."""

CONCURRENT: Final = 2
MAX_WAITING: Final = 2000
MAX_OF_ONE: Final = 500
"""The maximum number of waiting checks, in total and of one source. All users of a lecture hall may log in at once from
one address.
"""


RETRY_S: Final = 5


def admit(waiting: int, of_source: int) -> None:
    """Refuse a check if too many are waiting. Raises TooManyRequests: too many checks are waiting."""
    if waiting >= MAX_WAITING or of_source >= MAX_OF_ONE:
        raise TooManyRequests("Too many log-ins are under way; try again in a moment.", retry_after_s=RETRY_S)


def hash_password(password: str) -> str:
    """Return the stored form of a password; takes about 20 ms of CPU."""
    hasher = Argon2id(salt=secrets.token_bytes(16), length=32, iterations=PASSES, lanes=1, memory_cost=MEMORY_KIB)
    return hasher.derive_phc_encoded(normal_password(password).encode())


@dataclass(frozen=True, slots=True)
class PasswordVerdict:
    """The result of a password check: `right` if the password is correct, `outdated` if its stored form must then be
    replaced because it has older parameters, or is a hash of the password before normalization.
    """

    right: bool
    outdated: bool = False


class Passwords:
    """Verifies and hashes passwords in threads, at most `CONCURRENT` at once. Sources take turns (`Turns`), so that a
    flood of log-ins from one address does not block users at other addresses.
    """

    def __init__(self) -> None:
        self._turns = Turns(CONCURRENT, admit)
        self._unknown = hash_password(secrets.token_urlsafe(16))

    async def hash(self, password: str, *, source: str = "") -> str:
        """Return the stored form of a password. Raises TooManyRequests: too many checks are waiting."""
        async with self._turns.turn(source):
            return await asyncio.to_thread(hash_password, password)

    async def verify(
        self, stored: str | None, password: str, *, source: str = "", admit: Callable[[], object] = lambda: None
    ) -> PasswordVerdict:
        """Check if the password matches. The check takes the same time if `stored` is None (no such user).

        `admit` is called at the beginning of the turn; its error ends the check.

        Raises:
            TooManyRequests: too many checks are waiting.
        """
        async with self._turns.turn(source):
            admit()
            verdict = await asyncio.to_thread(_verdict, stored or self._unknown, password)
        return verdict if stored is not None else PasswordVerdict(right=False)


def _verdict(stored: str, password: str) -> PasswordVerdict:
    normal = normal_password(password)
    if _matches(stored, normal):
        return PasswordVerdict(right=True, outdated=not stored.startswith(_PRESENT))
    right = normal != password and _matches(stored, password)
    return PasswordVerdict(right, outdated=right)


def _matches(stored: str, password: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(password.encode(), stored)
    except (InvalidKey, ValueError):  # another password, or no stored form
        return False
    return True
