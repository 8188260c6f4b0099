"""Hashes and verifies passwords in threads, with argon2id and the parameters that OWASP recommends (19 MiB, 2 passes).
The number of concurrent checks is limited.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from greenroom.core.errors import TooManyRequests
from greenroom.core.text import normal_password
from greenroom.kit.concurrency import FairLimit

MEMORY_KIB: Final = 19_456
PASSES: Final = 2
_CURRENT_PREFIX: Final = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1$"
"""The beginning of a stored password with the current parameters."""

MAX_CONCURRENT_CHECKS: Final = 2
"""The maximum number of checks at the same time."""
MAX_WAITING: Final = 2000
MAX_WAITING_OF_SOURCE: Final = 500
"""The maximum number of waiting checks, in total (`MAX_WAITING`) and of one source. All users of a lecture hall may log
in at the same time from one address.
"""
RETRY_S: Final = 5


def admit(waiting: int, of_source: int) -> None:
    """Refuse a check. Raises TooManyRequests: too many checks are waiting, in total or of one source (`of_source`)."""
    if waiting >= MAX_WAITING or of_source >= MAX_WAITING_OF_SOURCE:
        raise TooManyRequests("Too many log-ins are under way; try again in a moment.", retry_after_s=RETRY_S)


def hash_password(password: str) -> str:
    """Return the stored form of a password; takes about 20 ms of CPU."""
    hasher = Argon2id(salt=secrets.token_bytes(16), length=32, iterations=PASSES, lanes=1, memory_cost=MEMORY_KIB)
    return hasher.derive_phc_encoded(normal_password(password).encode())


@cache
def _hash_of_no_password() -> str:
    """Return the stored form of a random text, the same in all of this process."""
    return hash_password(secrets.token_urlsafe(16))


@dataclass(frozen=True, slots=True)
class PasswordVerdict:
    """The result of a password check. `is_correct` is True if the password is correct. `outdated` is then True if the
    stored hash must be replaced, because it has other parameters than new hashes.
    """

    is_correct: bool
    outdated: bool = False


class Passwords:
    """Verifies and hashes passwords in threads, at most `MAX_CONCURRENT_CHECKS` at the same time. Sources are served in
    rotation (`FairLimit`), so that many log-ins from one address do not block users at other addresses.
    """

    def __init__(self) -> None:
        self._turns = FairLimit(MAX_CONCURRENT_CHECKS, admit)
        self._hash_without_user = _hash_of_no_password()

    async def hash(self, password: str, *, source: str = "") -> str:
        """Return the stored form of a password. Raises TooManyRequests: too many checks are waiting."""
        async with self._turns.turn(source):
            return await asyncio.to_thread(hash_password, password)

    async def verify(
        self, stored: str | None, password: str, *, source: str = "", before_check: Callable[[], object] = lambda: None
    ) -> PasswordVerdict:
        """Check if the password matches `stored`. If `stored` is None (no such user), the check takes the same time.

        `before_check` is called after the wait for other checks; its error ends this check. Raises
        TooManyRequests: too many checks are waiting.
        """
        async with self._turns.turn(source):
            before_check()
            verdict = await asyncio.to_thread(_check_password, stored or self._hash_without_user, password)
        return verdict if stored is not None else PasswordVerdict(is_correct=False)


def _check_password(stored: str, password: str) -> PasswordVerdict:
    try:
        Argon2id.verify_phc_encoded(normal_password(password).encode(), stored)
    except (InvalidKey, ValueError):  # another password, or `stored` is not a hash
        return PasswordVerdict(is_correct=False)
    return PasswordVerdict(is_correct=True, outdated=not stored.startswith(_CURRENT_PREFIX))
