"""The rules for passwords."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

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
    "zyxwvutsrqponm",
    "1qaz2wsx3edc4rfv",
    "xyzwxyzwxyzwx",
    "pa$$word-dr4gon",
    "monkey!!monkey",
    "k7k7x9kx79xk77",
    "12345678dragon$$",
    "iloveyou-forever",
    "!!!!1111!!!!1111",
)


@pytest.mark.parametrize("password", GUESSED_FIRST)
def test_what_is_guessed_first_is_refused(password: str):
    assert password_problem(password, "someone", min_length=12) == (
        "This password is easy to guess; choose another, such as several unrelated words."
    )


@pytest.mark.parametrize(
    "password", ["alice-in-berlin-7", "7Q#aLICE-zzkw!", "xx.wonderland.xx", "Alice.Wonderland@example.org"]
)
def test_the_own_name_is_in_none(password: str):
    problem = password_problem(password, "alice.wonderland@example.org", min_length=12)
    assert problem == "The password must not contain the username, or a part of it with 4 or more letters."


def test_short_names_say_nothing_but_a_password_is_never_the_name():
    assert password_problem("correct horse battery bob", "bob@example.org", min_length=12) is None
    assert password_problem("correct horse battery anna", "anna@example.org", min_length=12) is not None
    assert password_problem("example.org is my home", "bob@example.org", min_length=12) is None, "the domain is no name"
    assert password_problem("k7-x.Q-b.Z", "K7-X.q-B.z", min_length=8) is not None


def test_the_shortest_is_a_setting():
    assert password_problem("7kfo3-xwq", "ann", min_length=8) is None
    assert password_problem("7kfo3-xwq", "ann", min_length=12) == "The password must have at least 12 characters."
    words = "quite unrelated words of some length "
    assert password_problem((words * 7)[:256], "ann", min_length=256) is None
    assert password_problem((words * 7)[:257], "ann", min_length=12) == "The password may have at most 256 characters."


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "quite ordinary",
        "another one!",
        "Tr0ub4dor & 3 keys",
        "пароль из трёх слов",
        "hello-monkey-dragon-cat",
    ],
)
def test_a_few_unrelated_words_are_accepted(password: str):
    assert password_problem(password, "someone", min_length=12) is None


# Hypothesis also tries words of the program, such as `service.password`, which is rightly refused.
UNUSUAL = st.text(min_size=12, max_size=256).filter(
    lambda text: not text.isascii() and len({c for c in text if c.isalpha()}) > 9
)


@for_all(
    UNUSUAL,
    subject=password_problem,
    mutants=[lambda password, *_, **__: None if password.isascii() else "It has other letters."],
)
def test_long_passwords_of_any_characters_are_accepted(subject: Any, password: str):
    assert subject(password, "someone", min_length=12) is None
