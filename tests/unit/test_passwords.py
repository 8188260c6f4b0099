"""The stored forms of passwords."""

from __future__ import annotations

import pytest

from greenroom.kit.passwords import Passwords, PasswordVerdict, hash_password

PASSWORD = "correct horse"
OF_ANOTHER_LIBRARY = "$argon2id$v=19$m=19456,t=2,p=1$FQWmmnHFWFJsPZj6l7YBug$lcE4P4vybJakDlnM2BqojZDRg6CBYwkT18H/jyygF2I"
"""A stored form of `PASSWORD` that argon2-cffi wrote."""
OF_ONE_PASS = "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MjZP1+1U9JUbDWvDvtLyEsZiNXOKEUxfi6O2oe46uxA"


@pytest.mark.parametrize(
    ("stored", "verdict"),
    [
        (hash_password(PASSWORD), PasswordVerdict(is_correct=True)),
        (OF_ANOTHER_LIBRARY, PasswordVerdict(is_correct=True)),
        (OF_ONE_PASS, PasswordVerdict(is_correct=True, outdated=True)),
        (hash_password("another"), PasswordVerdict(is_correct=False)),
        (OF_ANOTHER_LIBRARY.replace("argon2id", "argon2i"), PasswordVerdict(is_correct=False)),
        (OF_ANOTHER_LIBRARY[:-1], PasswordVerdict(is_correct=False)),
        ("$argon2id$v=19$m=8,t=1,p=1$YWJj$YWJj", PasswordVerdict(is_correct=False)),
        ("$argon2id$x", PasswordVerdict(is_correct=False)),
        (None, PasswordVerdict(is_correct=False)),
    ],
    ids=[
        "new",
        "another library",
        "outdated",
        "another password",
        "another algorithm",
        "cut",
        "weak",
        "nonsense",
        "none",
    ],
)
async def test_a_password_is_compared_with_its_stored_form(stored: str | None, verdict: PasswordVerdict):
    assert await Passwords().verify(stored, PASSWORD) == verdict
