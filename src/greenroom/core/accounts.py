"""Rules for user names and passwords."""

from __future__ import annotations

import unicodedata
from typing import Final

MIN_PASSWORD: Final = 8
MAX_PASSWORD: Final = 256
MAX_USERNAME: Final = 255

_COMMON: Final = frozenset(
    (
        "password",
        "password1",
        "passw0rd",
        "12345678",
        "123456789",
        "1234567890",
        "87654321",
        "qwertyui",
        "qwertyuiop",
        "qwerty123",
        "iloveyou",
        "letmein1",
        "welcome1",
        "sunshine",
        "princess",
        "football",
        "baseball",
        "trustno1",
        "superman",
        "changeme",
        "changeit",
        "administrator",
        "admin123",
        "admin1234",
        "greenroom",
    )
)


def password_problem(password: str, username: str) -> str | None:
    """Why this password cannot be used, as a sentence; None = it can (ASVS 6.2: length counts, no composition)."""
    if len(password) < MIN_PASSWORD:
        return f"The password must have at least {MIN_PASSWORD} characters."
    if len(password) > MAX_PASSWORD:
        return f"The password may have at most {MAX_PASSWORD} characters."
    lowered = password.casefold()
    if lowered in (username.casefold(), username.casefold().partition("@")[0]):
        return "The password must not be the user name."
    if lowered in _COMMON or len(set(password)) == 1:
        return "This password is among the first that are guessed; choose another."
    return None


def username_problem(username: str) -> str | None:
    """Why this user name cannot be used, as a sentence; None = it can.

    A name becomes part of folders ({username} in volume mappings), so it must not be able to leave one.
    """
    if not username.strip() or len(username) > MAX_USERNAME:
        return f"The user name must have 1 to {MAX_USERNAME} characters."
    if username != username.strip():
        return "The user name must not begin or end with a space."
    if any(character in "/\\" or unicodedata.category(character).startswith("C") for character in username):
        return "The user name must not contain slashes or control characters."
    if username.strip(".") == "":
        return "The user name must not consist of dots."
    return None
