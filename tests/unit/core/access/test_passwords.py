"""Which passwords can be used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.access.accounts import password_problem

GUESSED_FIRST = (
    "1234567890123",
    "abcdefghijklm",
    "qwertyuiopasdf",
    "fdsapoiuytrewq",
    "aaaaaaaaaaaaaa",
    "abcabcabcabcabc",
    "password1234567",
    "P4ssw0rd2026!!",
    "Passw0rd!Passw0rd!",
    "letmein-letmein",
    "Welcome2024!!!!",
    "administrator1",
    "greenroom12345",
    "summer-winter-26",
    "iloveyou-forever",
    "!!!!1111!!!!1111",
)


@pytest.mark.parametrize("password", GUESSED_FIRST)
def test_what_is_guessed_first_is_refused(password: str):
    assert "guessed" in (password_problem(password, "someone", shortest=12) or "")


@pytest.mark.parametrize(
    "password", ["alice-in-berlin-7", "7Q#alice-zzkw!", "xx.wonderland.xx", "Alice.Wonderland@example.org"]
)
def test_the_own_name_is_in_none(password: str):
    problem = password_problem(password, "alice.wonderland@example.org", shortest=12)
    assert problem == "The password must not be or contain the user name."


def test_short_names_say_nothing():
    assert password_problem("correct horse battery bo", "bo@example.org", shortest=12) is None


def test_the_shortest_is_a_setting():
    assert password_problem("7kfo3-xwq", "ann", shortest=8) is None
    assert password_problem("7kfo3-xwq", "ann", shortest=12) == "The password must have at least 12 characters."
    assert password_problem("k7" * 200, "ann", shortest=12) == "The password may have at most 256 characters."


@pytest.mark.parametrize(
    "password", ["correct horse battery", "quite ordinary", "another one!", "Tr0ub4dor & 3 keys", "пароль из трёх слов"]
)
def test_a_few_unrelated_words_are_accepted(password: str):
    assert password_problem(password, "someone", shortest=12) is None


@given(st.text(min_size=12, max_size=256).filter(lambda text: len({c for c in text if c.isalpha()}) > 9))
def test_long_passwords_of_any_characters_are_accepted(password: str):
    assert password_problem(password, "someone", shortest=12) is None
