"""Passwords: argon2id with OWASP's parameters (19 MiB, 2 passes), off the event loop, a few at a time."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)

CONCURRENT: Final = 2


def hash_password(password: str) -> str:
    """The stored form of a password; takes some 20 ms of CPU."""
    return _HASHER.hash(password)


class Passwords:
    """Verifies and hashes passwords in threads, at most `CONCURRENT` at once: a flood of log-ins starves nobody."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(CONCURRENT)
        self._nobody = hash_password(secrets.token_urlsafe(16))

    async def hash(self, password: str) -> str:
        """The stored form of a password."""
        async with self._slots:
            return await asyncio.to_thread(hash_password, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one; takes the same time where `stored` is None (no such user)."""
        async with self._slots:
            right = await asyncio.to_thread(_matches, stored or self._nobody, password)
        return right and stored is not None

    @staticmethod
    def outdated(stored: str) -> bool:
        """Whether a stored form has older parameters and should be made anew at this log-in."""
        return _HASHER.check_needs_rehash(stored)


def _matches(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
