"""The order and the number of hits of the search, and the hits that are in no table."""

from __future__ import annotations

import pytest

from greenroom.core.access.permissions import PERMISSIONS
from greenroom.core.diagnostics.search import (
    KINDS,
    MAX_HITS,
    MAX_OF_KIND,
    MAX_WORDS,
    Hit,
    SearchKind,
    best,
    find_log_codes,
    find_settings,
    words_of_query,
)


def hit(title: str, kind: SearchKind = "user", object_id: str = "") -> Hit:
    return Hit(kind=kind, id=object_id or title, title=title)


def test_a_query_has_few_words_in_lower_case():
    assert words_of_query("  Ada  LOVELACE ") == ["ada", "lovelace"]
    assert len(words_of_query("x " * 50)) == MAX_WORDS


@pytest.mark.parametrize(
    ("query", "titles", "expected"),
    [
        ("ada", ["nevada", "lin ada", "adam", "ada"], ["ada", "adam", "lin ada", "nevada"]),
        ("example", ["anexample", "ada@example.org"], ["ada@example.org", "anexample"]),
        ("down", ["countdown", "allow_kasm_clipboard_down"], ["allow_kasm_clipboard_down", "countdown"]),
    ],
)
def test_a_title_that_is_the_query_comes_first(query: str, titles: list[str], expected: list[str]):
    assert [each.title for each in best(map(hit, titles), query)] == expected


def test_an_id_that_is_the_query_comes_first():
    assert best([hit("a12"), hit("Desktop", object_id="a1")], "A1")[0].title == "Desktop"


def test_people_come_before_codes_of_the_log():
    assert [each.kind for each in best([hit("login", "log_code"), hit("login")], "login")] == ["user", "log_code"]


def test_one_kind_does_not_hide_the_others():
    found = best([*(hit(f"x{number:02}") for number in range(50)), hit("xx", "group")], "x")
    assert [each.kind for each in found] == ["user"] * MAX_OF_KIND + ["group"]


def test_the_number_of_hits_is_limited():
    hits = [hit(f"x{number}", kind) for kind in KINDS for number in range(MAX_OF_KIND)]
    assert len(best(hits, "x")) == MAX_HITS


def test_a_setting_is_found_by_its_name_its_title_and_its_description():
    assert [each.id for each in find_settings("setting", ["min", "password", "length"])] == ["min_password_length"]
    assert [each.title for each in find_settings("setting", ["legal", "hold"])] == ["Legal hold"]
    assert "allow_kasm_clipboard_down" in [each.id for each in find_settings("group_setting", ["clipboard", "down"])]
    assert find_settings("setting", ["clipboard"]) == []


def test_a_code_of_the_log_is_found_by_its_words():
    assert [each.id for each in find_log_codes(["primary", "elected"])] == ["primary-elected"]


def test_each_kind_needs_a_permission_that_exists():
    assert set(KINDS.values()) <= PERMISSIONS.keys()
