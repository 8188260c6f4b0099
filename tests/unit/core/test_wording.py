"""The messages about wrong values, and foreign texts inside our messages."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.errors import SetupError
from greenroom.core.text import (
    ERROR_TEXTS,
    MAX_ERROR,
    error_text,
    joined_problems,
    one_line,
    path_of_value,
    shortened,
    summary,
)


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ({"type": "missing", "msg": "Field required"}, "is missing"),
        ({"type": "greater_than", "msg": "", "ctx": {"gt": 0.0}}, "must be more than 0"),
        ({"type": "less_than_equal", "msg": "", "ctx": {"le": 123_456_789.5}}, "must be 123456789.5 or less"),
        ({"type": "string_too_long", "msg": "", "ctx": {"max_length": 63}}, "must have at most 63 characters"),
        ({"type": "literal_error", "msg": "", "ctx": {"expected": "'a' or 'b'"}}, "must be 'a' or 'b'"),
        ({"type": "value_error", "msg": "Value error, there is no such zone."}, "there is no such zone"),
        ({"type": "of_another_version", "msg": "It is odd."}, "It is odd"),
    ],
)
def test_what_is_wrong_with_a_value_is_the_rest_of_a_sentence(verdict: dict[str, Any], said: str):
    assert error_text(verdict) == said


@pytest.mark.parametrize(
    ("kind", "loc", "place"),
    [
        ("string_type", ("tags", "list[str]"), ("tags",)),
        ("string_type", ("tags", "dict[str,str]", "job"), ("tags", "job")),
        ("too_short", ("options", "egress", "Egress", "allow"), ("options", "egress", "allow")),
        ("missing", ("options", "egress", "Egress", "deny"), ("options", "egress", "deny")),
        ("int_type", ("names", 1, "int"), ("names", "1")),
        ("string_pattern_mismatch", ("A=B", "[key]"), ("A=B",)),
        ("missing", (), ()),
    ],
)
def test_the_place_of_an_error_is_one_in_what_was_sent(kind: str, loc: tuple[str | int, ...], place: tuple[str, ...]):
    sent = {"tags": {"job": 1}, "options": {"egress": {"allow": []}}, "names": ["a", "b"], "A=B": "1"}
    assert path_of_value({"type": kind, "loc": loc}, sent) == place


def test_what_is_wrong_at_one_place_is_said_together():
    problems = [(("a", "b"), "must be 'none'"), (("c",), "is missing"), (("a", "b"), "must be an object")]
    assert joined_problems(problems) == "a.b: must be 'none' or must be an object; c: is missing"


def test_the_words_are_no_sentence_of_their_own():
    assert not [words for words in ERROR_TEXTS.values() if words.endswith(".") or words[0].isupper()]


def test_a_name_breaks_and_turns_no_line():
    assert one_line("Zoë\u202egpj.exe\n\x1b[2J\u2028") == "Zoë\\u202egpj.exe\\u000a\\u001b[2J\\u2028"
    assert one_line("plain — with “quotes” 東京") == "plain — with “quotes” 東京"


@for_all(st.text(), subject=one_line, mutants=[str.strip, lambda text: text.replace("\n", " ")])
def test_one_line_is_one_line(subject: Any, text: str):
    assert len(subject(text).splitlines()) <= 1


def test_an_error_of_any_length_is_shown_with_its_beginning_and_its_end():
    text = "The files cannot be copied: " + "x" * 1_000_000 + " No space left on device."
    shown = shortened(text)
    assert len(shown) == MAX_ERROR
    assert shown.startswith("The files cannot be copied: xxx")
    assert shown.endswith("xxx No space left on device.")
    assert shortened("x" * MAX_ERROR) == "x" * MAX_ERROR


def test_a_failed_copy_of_many_files_is_one_sentence():
    failed = [(f"/from/{n}", f"/to/{n}", "[Errno 28] No space left on device") for n in range(5000)]
    assert summary(shutil.Error(failed)) == (
        "/from/0 could not be copied: [Errno 28] No space left on device (and 4999 other files)"
    )
    assert summary(OSError(28, "No space left on device", "/to")) == "No space left on device: /to"
    assert summary(OSError("odd")) == "OSError: odd"
    assert summary(TimeoutError()) == "TimeoutError"
    assert summary(ValueError("odd")) == "ValueError: odd"
    assert summary(SetupError("A sentence.")) == "A sentence."
