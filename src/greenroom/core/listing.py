"""The order and the filter of a long list.

The filter of the console has the same rules: each row must contain every word. `zone:eu` searches for `eu` only in the
first column whose name begins with `zone`; without such a column, the search is for the whole word in all columns. A
word in quotation marks may have spaces: `zone:"eu west"`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from greenroom.core.errors import Invalid

MAX_WORDS: Final = 8
MAX_CURSOR_TEXT: Final = 100
"""The maximum characters of a value in a cursor, which is part of a header. For a longer value, it has the hash."""
_HASHED: Final = "sha256:"
_WORD: Final = re.compile(r'(?:[^\s"]|"[^"]*"?)+')


@dataclass(frozen=True, slots=True)
class SortOrder:
    """The order by a column of the list, ascending or descending."""

    column: str
    descending: bool = False

    def __str__(self) -> str:
        return f"-{self.column}" if self.descending else self.column


@dataclass(frozen=True, slots=True)
class Word:
    """A word that every row must contain, in `column` or, if that is None, in any column."""

    text: str
    column: str | None = None


def in_cursor(text: str) -> str:
    """Return a value of the last row of a page as a cursor contains it."""
    if len(text) <= MAX_CURSOR_TEXT:
        return text
    return _HASHED + hashlib.sha256(text.encode()).hexdigest()


def may_be_hashed(text: str) -> bool:
    """True if a value in a cursor is a hash, or looks like one. The value is then read from the row."""
    return text.startswith(_HASHED)


def order_of(text: str, columns: Collection[str]) -> SortOrder:
    """Return the order by a column; `-` before its name = descending. Raises Invalid: there is no such column."""
    order = SortOrder(text.removeprefix("-"), text.startswith("-"))
    if order.column not in columns:
        choices = ", ".join(columns)
        raise Invalid(f"`sort` must be one of {choices}, or -COLUMN for descending order. {text!r} is none of these.")
    return order


def words_of(text: str, columns: Collection[str]) -> list[Word]:
    """Return the lower-case words of a filter. Raises Invalid: it has more than `MAX_WORDS`, or a NUL."""
    words = [word for found in _WORD.findall(text.lower()) if (word := found.replace('"', ""))]
    if len(words) > MAX_WORDS or "\0" in text:
        raise Invalid(f"`q` can have at most {MAX_WORDS} words, and no NUL character.")
    return [_word(word, columns) for word in words]


def _word(word: str, columns: Collection[str]) -> Word:
    column_prefix, colon, value = word.partition(":")
    column = (
        next((each for each in columns if each.startswith(column_prefix)), None) if colon and column_prefix else None
    )
    return Word(value, column) if column else Word(word)
