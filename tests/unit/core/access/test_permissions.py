"""The permissions of users."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.access.permissions import (
    GLOBAL_ADMIN,
    PERMISSIONS,
    USER,
    allows,
    grants_with,
    implied_codes,
    limited_to_owner,
    missing_admin_codes,
    missing_codes,
    read_only_codes,
    unknown_codes,
)

codes = st.frozensets(st.sampled_from(sorted(PERMISSIONS)))


@for_all(
    codes,
    codes,
    subject=allows,
    mutants=[lambda granted, required: required <= granted, lambda granted, required: bool(granted & required)],
)
def test_everything_required_must_be_granted(subject: Any, granted: frozenset[str], required: frozenset[str]):
    assert subject(granted, required) == (GLOBAL_ADMIN in granted or required <= granted)


@for_all(codes, subject=allows, mutants=[lambda granted, required: required <= granted])
def test_the_global_administrator_may_do_everything(subject: Any, required: frozenset[str]):
    assert subject({GLOBAL_ADMIN}, required)


@for_all(codes, codes, subject=missing_codes, mutants=[lambda granted, given: sorted(given - granted - {GLOBAL_ADMIN})])
def test_no_user_hands_on_more_than_they_have(subject: Any, granted: frozenset[str], given_away: frozenset[str]):
    kept = given_away - set(subject(granted, given_away))
    assert implied_codes(kept) <= implied_codes(granted)


@for_all(codes, subject=read_only_codes, mutants=[implied_codes, lambda granted: read_only_codes(PERMISSIONS)])
def test_a_read_only_key_can_only_look(subject: Any, granted: frozenset[str]):
    kept = subject(granted)
    assert all(code.endswith("_view") for code in kept)
    assert kept <= implied_codes(granted)


def test_a_read_only_key_of_the_administrator_sees_everything():
    assert read_only_codes({GLOBAL_ADMIN}) == {code for code in PERMISSIONS if code.endswith("_view")}


def test_the_grants_with_a_code_are_the_code_and_the_roles_that_include_it():
    assert grants_with(USER) == ["global_admin", "role:administrator", "role:user", "user"]
    assert grants_with("sessions_assist") == ["global_admin", "role:administrator", "role:help_desk", "sessions_assist"]


def test_unknown_codes_are_named():
    assert unknown_codes(["users_view", "zap", "abc"]) == ["abc", "zap"]


def test_an_unknown_code_grants_nothing():
    assert not allows({"root"}, {"users_view"})
    assert implied_codes({"root"}) == frozenset()


@for_all(
    codes,
    codes,
    subject=limited_to_owner,
    mutants=[lambda granted, owner: implied_codes(granted), lambda granted, owner: granted & owner | {USER}],
)
def test_a_key_never_exceeds_its_owner(subject: Any, granted: frozenset[str], owner: frozenset[str]):
    kept = subject(granted, owner)
    assert kept <= implied_codes(owner)
    assert kept <= implied_codes(granted)
    assert all(allows(owner, [code]) and allows(granted, [code]) for code in kept)


def test_a_demoted_administrators_key_is_no_global_administrator():
    assert limited_to_owner({GLOBAL_ADMIN}, {USER, "zones_view"}) == {USER, "zones_view"}


@for_all(
    codes, codes, subject=missing_admin_codes, mutants=[missing_codes, lambda granted, other: sorted(other - granted)]
)
def test_no_user_is_above_another_with_the_same_permissions(
    subject: Any, granted: frozenset[str], other: frozenset[str]
):
    assert bool(subject(granted, other)) == (not implied_codes(other) - {USER} <= implied_codes(granted))


def test_a_user_is_above_no_one_and_an_administrator_above_a_helpdesk():
    assert not missing_admin_codes({"users_modify"}, {USER})
    assert missing_admin_codes({"users_modify"}, {USER, GLOBAL_ADMIN})
    assert missing_admin_codes({"users_modify"}, {USER, "zones_view"}) == ["zones_view"]
