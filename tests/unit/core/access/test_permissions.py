"""Who may do what."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.access.permissions import (
    GLOBAL_ADMIN,
    PERMISSIONS,
    USER,
    above,
    allows,
    beyond,
    bounded,
    expanded,
    read_only,
    unknown,
)

codes = st.frozensets(st.sampled_from(sorted(PERMISSIONS)))


@given(codes, codes)
def test_everything_required_must_be_granted(granted: frozenset[str], required: frozenset[str]):
    assert allows(granted, required) == (GLOBAL_ADMIN in granted or required <= granted)


@given(codes)
def test_the_global_administrator_may_do_everything(required: frozenset[str]):
    assert allows({GLOBAL_ADMIN}, required)


@given(codes, codes)
def test_no_user_hands_on_more_than_they_have(granted: frozenset[str], given_away: frozenset[str]):
    kept = given_away - set(beyond(granted, given_away))
    assert expanded(kept) <= expanded(granted)


@given(codes)
def test_a_read_only_key_can_only_look(granted: frozenset[str]):
    kept = read_only(granted)
    assert all(code.endswith("_view") for code in kept)
    assert kept <= expanded(granted)


def test_a_read_only_key_of_the_administrator_sees_everything():
    assert read_only({GLOBAL_ADMIN}) == {code for code in PERMISSIONS if code.endswith("_view")}


def test_unknown_codes_are_named():
    assert unknown(["users_view", "zap", "abc"]) == ["abc", "zap"]


def test_an_unknown_code_grants_nothing():
    assert not allows({"root"}, {"users_view"})
    assert expanded({"root"}) == frozenset()


@given(codes, codes)
def test_a_key_never_exceeds_its_owner(granted: frozenset[str], owner: frozenset[str]):
    kept = bounded(granted, owner)
    assert kept <= expanded(owner)
    assert kept <= expanded(granted)
    assert all(allows(owner, [code]) and allows(granted, [code]) for code in kept)


def test_a_demoted_administrators_key_is_no_global_administrator():
    assert bounded({GLOBAL_ADMIN}, {USER, "zones_view"}) == {USER, "zones_view"}


@given(codes, codes)
def test_no_user_is_above_another_with_the_same_permissions(granted: frozenset[str], other: frozenset[str]):
    assert bool(above(granted, other)) == (not expanded(other) - {USER} <= expanded(granted))


def test_a_user_is_above_no_one_and_an_administrator_above_a_helpdesk():
    assert not above({"users_modify"}, {USER})
    assert above({"users_modify"}, {USER, GLOBAL_ADMIN})
    assert above({"users_modify"}, {USER, "zones_view"}) == ["zones_view"]
