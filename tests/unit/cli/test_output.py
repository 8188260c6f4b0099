"""The display of values, and the parsing of objects from typed text."""

from __future__ import annotations

import io
import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from greenroom.cli.output import Column, Printer, format_cell, format_relative_time
from greenroom.cli.values import parse_assignments

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "now"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (-7201, "in 3 h"),
        (-7200, "in 2 h"),
        (86_400 * 3, "3 d ago"),
        (0.9, "now"),
    ],
)
def test_times_are_shown_from_now(seconds: float, shown: str):
    assert format_relative_time(NOW - timedelta(seconds=seconds), NOW) == shown


@pytest.mark.parametrize(
    ("value", "field", "shown"),
    [
        (None, "", "-"),
        ("", "", "-"),
        ({}, "", "-"),
        (True, "", "yes"),
        (1048576, "memory", "1 MB"),
        (1048576, "memory_used", "1 MB"),
        (1048576, "other", "1048576"),
        (8.0, "", "8"),
        ("2026-01-01T11:00:00Z", "", "1 h ago"),
        ("2026-99-99T00:00:00 to be named", "", "2026-99-99T00:00:00 to be named"),
        ("2026-01-01T11:00:00", "", "2026-01-01T11:00:00"),
        (["a", "b"], "", "a, b"),
        ([{"group_id": "x", "name": "All Users"}], "", "All Users"),
        ({"a": 1}, "", '{"a": 1}'),
    ],
)
def test_values_are_shown_as_people_read_them(value: Any, field: str, shown: str):
    assert format_cell(value, field, NOW).plain == shown


def test_the_last_time_of_the_calendar_is_shown_where_clocks_are_ahead(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        shown = format_cell("9999-12-31T23:59:59Z", "expires", NOW, full=True).plain
    finally:
        monkeypatch.undo()
        time.tzset()
    assert shown.startswith("9999-12-31 23:59:59 UTC (in ")


def test_a_field_missing_from_an_older_deployment_is_shown_empty():
    text = io.StringIO()
    output = Printer(as_json=False)
    output.out = Console(file=text, width=60)
    columns = (Column("Name", "name"), Column("New", "new"))
    output.print_list([{"name": "ann"}], columns, "")
    shown = text.getvalue()
    assert shown.splitlines()[-1].split() == ["ann", "-"]


def test_an_id_is_never_folded_however_narrow_the_terminal():
    text = io.StringIO()
    output = Printer(as_json=False)
    output.out = Console(file=text, width=60, force_terminal=True, color_system=None)
    identity, long = str(uuid.uuid4()), "a-name-that-does-not-fit-into-its-place@example.org"
    columns = (Column("ID", "id"), Column("User", "user"), Column("Zone", "zone"))
    output.print_list([{"id": identity, "user": long, "zone": "eu"}], columns, "")
    shown = text.getvalue()
    assert identity in shown
    assert "a-name-that-doe…" in shown
    assert max(map(len, shown.splitlines())) <= 60


@given(JSON)
def test_nothing_that_is_shown_acts_on_the_terminal(value: Any):
    assert not {c for c in format_cell(value, "", NOW).plain if ord(c) < 32 or 127 <= ord(c) < 160} - {"\n", "\t"}


@given(st.text(st.characters(exclude_characters="={", codec="utf-8"), min_size=1), JSON)
def test_an_object_is_read_from_assignments_and_from_json_alike(name: str, value: Any):
    expected = {name: value}
    assert parse_assignments([f"{name}={json.dumps(value)}"]) == expected
    assert parse_assignments([json.dumps(expected)]) == expected


@given(st.text(st.characters(exclude_characters="={", codec="utf-8"), min_size=1), st.text())
def test_texts_stay_texts_where_texts_are_wanted(name: str, value: str):
    assert parse_assignments([f"{name}={value}"], as_texts=True) == {name: value}
