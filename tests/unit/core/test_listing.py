"""Sorting, filters and pages of a long list."""

from __future__ import annotations

import pytest

from greenroom.core.errors import Invalid
from greenroom.core.listing import (
    MAX_CURSOR_TEXT,
    MAX_WORDS,
    SortOrder,
    Word,
    in_cursor,
    may_be_hashed,
    order_of,
    words_of,
)

COLUMNS = ("user", "zone", "created")


def test_an_order_is_a_column_with_a_minus_for_descending():
    assert order_of("zone", COLUMNS) == SortOrder("zone", descending=False)
    assert order_of("-created", COLUMNS) == SortOrder("created", descending=True)
    assert str(order_of("-created", COLUMNS)) == "-created"


@pytest.mark.parametrize("text", ["", "-", "memory", "--zone", "zone desc", "Zone"])
def test_another_order_is_refused_with_those_there_are(text: str):
    with pytest.raises(Invalid, match="user, zone, created"):
        order_of(text, COLUMNS)


def test_a_word_is_searched_in_its_named_column_or_in_all():
    assert words_of("  Ada zone:EU z:us ", COLUMNS) == [Word("ada"), Word("eu", "zone"), Word("us", "zone")]
    assert words_of("12:30 :x memory:1", COLUMNS) == [Word("12:30"), Word(":x"), Word("memory:1")], "no such column"
    assert words_of("user:a:b", COLUMNS) == [Word("a:b", "user")]
    assert words_of("", COLUMNS) == []


def test_quotation_marks_keep_spaces_in_a_word():
    assert words_of('Ada zone:"eu West" "a b', COLUMNS) == [Word("ada"), Word("eu west", "zone"), Word("a b")]
    assert words_of('"" user:""', COLUMNS) == [Word("", "user")]


@pytest.mark.parametrize("text", ["a " * (MAX_WORDS + 1), "a\0b"])
def test_what_cannot_be_looked_for_is_refused(text: str):
    with pytest.raises(Invalid):
        words_of(text, COLUMNS)


def test_a_cursor_has_the_hash_of_a_long_value():
    short, long = "a" * MAX_CURSOR_TEXT, "\U0001f600" * (MAX_CURSOR_TEXT + 1)
    assert (in_cursor(short), may_be_hashed(in_cursor(short))) == (short, False)
    assert len(in_cursor(long)) < MAX_CURSOR_TEXT
    assert may_be_hashed(in_cursor(long))
    assert in_cursor(in_cursor(long)) == in_cursor(long)
    assert in_cursor(f"{long}x") != in_cursor(long)
