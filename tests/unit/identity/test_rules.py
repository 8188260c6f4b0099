"""Claims become fields and groups of users."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from greenroom.core.errors import Invalid
from greenroom.identity.rules import (
    MAX_VALUES,
    evaluate_rules,
    matching_rules,
    sample_claims,
    user_profile,
    values_of_claim,
)
from greenroom.identity.statements import GroupRule


@pytest.mark.parametrize(
    ("claims", "name", "values"),
    [
        ({"groups": ["a", "b"]}, "groups", ["a", "b"]),
        ({"groups": "a"}, "groups", ["a"]),
        ({"realm_access": {"roles": ["admin"]}}, "realm_access.roles", ["admin"]),
        ({"https://example.org/roles": ["a"]}, "https://example.org/roles", ["a"]),
        ({"verified": True, "level": 3}, "verified", ["true"]),
        ({"level": 3}, "level", ["3"]),
        ({"groups": [{"name": "a"}, None, "b"]}, "groups", ["b"]),
        ({"groups": ["a"]}, "groups.name", []),
        ({}, "groups", []),
    ],
)
def test_values_of_a_claim(claims: dict[str, Any], name: str, values: list[str]):
    assert values_of_claim(claims, name) == values


@pytest.mark.parametrize(
    ("value", "matching"),
    [
        ("staff", {"staff"}),
        ("it-*", {"it-admins", "it-"}),
        ("*admins", {"it-admins"}),
        ("i*-*s", {"it-admins"}),
        ("it-*-", set[str]()),
        ("*", {"staff", "it-admins", "it-"}),
        ("Staff", set[str]()),
        ("st.ff", set[str]()),
    ],
)
def test_a_star_stands_for_any_characters(value: str, matching: set[str]):
    found = {
        group
        for group in ("staff", "it-admins", "it-")
        if evaluate_rules([GroupRule("g", value, "1")], {"g": group}).matched
    }
    assert found == matching


def test_rules_change_only_the_groups_that_they_name():
    rules = [GroupRule("g", "a", "1"), GroupRule("g", "b", "2"), GroupRule("g", "c", "2")]
    result = evaluate_rules(rules, {"g": ["c"]})
    assert result.groups_after(frozenset({"1", "9"})) == {"2", "9"}


KEPT = [GroupRule("groups", "/staff", "1"), GroupRule("realm.roles", "a*", "2"), GroupRule("mail", "x", "2")]


@pytest.mark.parametrize(
    ("claims", "after", "problem"),
    [
        ({"groups": [], "realm": {"roles": []}, "mail": "y"}, set[str](), ""),
        ({"groups": "", "realm": {"roles": ""}, "mail": False}, set[str](), ""),
        ({"realm": {"roles": []}, "mail": "y"}, {"1"}, "The claim groups is missing. Check the scopes"),
        ({"groups": None, "realm": {"roles": []}, "mail": "y"}, {"1"}, "The claim groups is missing. "),
        ({"groups": {"a": 1}, "realm": {"roles": []}, "mail": "y"}, {"1"}, "The claim groups is missing. "),
        ({"groups": [], "realm": {}, "mail": "y"}, {"2"}, "The claim realm.roles is missing. "),
        ({"groups": [], "mail": "x"}, {"2"}, "The claim realm.roles is missing. "),
        ({"groups": ["/staff"], "realm": {"roles": []}}, {"1", "2"}, "The claim mail is missing. "),
        (
            {"_claim_names": {"groups": "src1"}, "realm": {"roles": []}, "mail": "y"},
            {"1"},
            "The claim groups is missing, because the user is in too many groups for a token. Microsoft Entra ID",
        ),
        ({"groups": "/staff,/x", "realm": {"roles": []}, "mail": "y"}, {"1"}, "groups is one text with several"),
        ({"groups": "/x /staff", "realm": {"roles": []}, "mail": "y"}, {"1"}, "groups is one text with several"),
        ({"groups": "/x, /staffing", "realm": {"roles": []}, "mail": "y"}, set[str](), ""),
        ({"groups": ["/staff,/x"], "realm": {"roles": []}, "mail": "y"}, set[str](), ""),
    ],
)
def test_a_claim_that_the_provider_does_not_send_changes_no_group(
    claims: dict[str, Any], after: set[str], problem: str
):
    result = evaluate_rules(KEPT, claims)
    assert result.groups_after(frozenset({"1", "2", "9"})) == {*after, "9"}
    assert len(result.unknown) == bool(problem)
    assert problem in "".join(result.unknown)


def test_one_text_with_several_values_gives_no_group():
    assert not evaluate_rules([GroupRule("groups", "/staff", "1")], {"groups": "/x,/staff"}).matched


def test_a_value_with_many_stars_takes_no_long_time():
    rule = GroupRule("g", "*a" * 200 + "b", "1")
    assert not evaluate_rules([rule], {"g": ["a" * 5000] * 20}).matched


class _CountedClaims(dict[str, Any]):
    """Claims that count how often each claim is read."""

    def __init__(self, **claims: Any) -> None:
        super().__init__(claims)
        self.reads = list[str]()

    def get(self, name: str, default: Any = None) -> Any:
        self.reads.append(name)
        return super().get(name, default)


def test_each_claim_is_read_once_for_all_rules():
    claims = _CountedClaims(groups=["a", "b"], roles=["c"])
    rules = [GroupRule(claim, value, "1") for claim in ("groups", "roles") for value in ("a", "b*", "*c", "x")]
    assert matching_rules(rules, claims) == [0, 1, 6]
    assert sorted(claims.reads) == ["groups", "roles"]


def test_a_claim_with_too_many_values_is_refused():
    claims = {"groups": ["a"] * (MAX_VALUES + 1)}
    assert matching_rules([], claims) == []
    with pytest.raises(Invalid, match="The claim groups has 10001 values; the maximum is 10000"):
        matching_rules([GroupRule("groups", "a", "1")], claims)


def test_fields_of_a_user_come_from_claims():
    claims = {"preferred_username": "ada", "given_name": "Ada", "family_name": "", "org": {"name": "Analytical"}}
    found = user_profile({"organization": "org.name"}, claims)
    assert (found.username, found.problem) == ("ada", None)
    assert found.fields == {"first_name": "Ada", "organization": "Analytical"}


@pytest.mark.parametrize("name", ["", " ", "a/b", "..", "a\\b", "a\u202eb", "a\0b", "x" * 300])
def test_an_unusable_user_name_has_a_reason(name: str):
    found = user_profile({}, {"preferred_username": name})
    assert found.problem
    assert found.problem.endswith(".")


@pytest.mark.parametrize("name", ["Łukasz Żółw", "王小明", "أحمد", "o'neil", "n\u0303ame", "😀", "Ⅳ", "a\u00a0b", "ﷺ"])
def test_names_of_all_scripts_are_usable_or_have_a_reason(name: str):
    found = user_profile({}, {"preferred_username": name})
    assert found.problem is None
    assert found.username


def test_a_field_that_cannot_be_stored_is_omitted():
    assert user_profile({}, {"preferred_username": "ada", "given_name": "A\nB"}).fields == {}


def test_a_sample_is_a_token_or_claims():
    payload = base64.urlsafe_b64encode(json.dumps({"sub": "1"}).encode()).decode().rstrip("=")
    assert sample_claims(f"e30.{payload}.sig") == sample_claims('{"sub": "1"}') == {"sub": "1"}


@pytest.mark.parametrize("text", ["", "abc", "a.b.c", "[1]", "{", "e30.W10.x", "[" * 100_000])
def test_another_sample_is_refused(text: str):
    with pytest.raises(Invalid):
        sample_claims(text)
