"""The checker of histories finds violations, and nothing else."""

from __future__ import annotations

import pytest
from tests.support.history import Entry, problems


def took(name: str, term: int) -> Entry:
    return Entry(kind="take", writer=name, term=term, holder=f"process of {name}", manager=name)


def wrote(name: str, term: int, *, under: str | None = None) -> Entry:
    held_by = under or name
    return Entry(kind="write", writer=name, term=term, holder=f"process of {held_by}", manager=held_by)


def test_terms_in_order_by_their_holders_are_right():
    assert problems([took("one", 1), wrote("one", 1), took("two", 2), wrote("two", 2), took("one", 4)]) == []


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        (
            [took("one", 1), took("two", 2), wrote("one", 2, under="two")],
            "entry 2: write by one under term 2, which two held",
        ),
        ([wrote("two", 2), wrote("one", 1)], "entry 1: write by one under term 1 after one under term 2"),
        ([took("one", 1), took("two", 1)], "entry 1: take by two under term 1 by a second holder of this term"),
    ],
)
def test_what_must_not_happen_is_found(entries: list[Entry], sentence: str):
    assert problems(entries) == [sentence]
