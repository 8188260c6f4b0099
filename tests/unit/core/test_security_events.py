"""The logging of events that anyone can cause without limit, and the grouping of attempts by source."""

from __future__ import annotations

import pytest

from greenroom.core.rate_limits import MAX_KINDS, MAX_NAMES, RepeatCounter, source_of


def test_of_too_many_kinds_there_is_one_number():
    repeats = RepeatCounter[int](60)
    assert sum(repeats.must_log(kind, 0, "it") for kind in range(3 * MAX_KINDS)) == MAX_KINDS
    ((kind, others),) = repeats.due(60)
    assert (kind, others.count) == (None, 2 * MAX_KINDS)


def test_what_goes_on_is_a_row_a_minute_and_what_ended_is_forgotten():
    repeats = RepeatCounter[str](60)
    assert repeats.must_log("a", 0, "it")
    for now in range(1, 50):
        assert not repeats.must_log("a", now, "it")
    assert repeats.due(59) == []
    assert [(kind, seen.count) for kind, seen in repeats.due(60)] == [("a", 49)]
    assert not repeats.must_log("a", 61, "it")
    assert [seen.count for _, seen in repeats.due(120)] == [1]
    assert repeats.due(180) == []
    assert repeats.must_log("a", 181, "it")


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("an unknown address", "an unknown address"),
    ],
)
def test_a_source_is_a_customer(address: str, source: str):
    assert source_of(address) == source


def test_a_row_about_many_names_some_of_them_each_once():
    repeats = RepeatCounter[str](60)
    assert repeats.must_log("a", 0, "the first", "ann")
    for number in (1, 1, *range(2, MAX_NAMES + 5)):
        assert not repeats.must_log("a", 1, "it", f"name {number}")
    ((_, seen),) = repeats.due(60)
    assert (seen.count, seen.names) == (MAX_NAMES + 5, [f"name {number}" for number in range(1, MAX_NAMES + 1)])
