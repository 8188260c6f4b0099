"""Roles, and the places in which their codes count."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.access.permissions import (
    GLOBAL_ADMIN,
    PERMISSIONS,
    allows,
    codes_for,
    implied_codes,
    limited_to_owner,
    missing_codes,
    read_only_codes,
)
from greenroom.core.access.roles import (
    ROLES,
    RoleAssignment,
    RoleName,
    assignment_problem,
    at,
    code_of,
    codes_granted,
    codes_in,
    codes_in_every,
    grants_of,
    place_of,
    places_with,
    session_places,
)

PLACES = ("zone:1", "zone:2", "group:1", "group:2")
SOME_CODES = ("agents_view", "agents_modify", "users_view", "users_modify", "user", GLOBAL_ADMIN)
codes = st.sampled_from(SOME_CODES)
roles = st.sampled_from([f"role:{name}" for name in ROLES])
places = st.sampled_from(PLACES)
grants = st.frozensets(st.one_of(codes, roles, st.builds(at, st.sampled_from(SOME_CODES[:4]), places)), max_size=5)
place_sets = st.frozensets(places, max_size=3)


def counting(granted: Any) -> set[tuple[str, str]]:
    """Each code in each place where it counts, by a definition of its own. The place `anywhere` is on no route."""
    held = implied_codes(granted)
    return {
        (code, place)
        for code in PERMISSIONS
        for place in (*PLACES, "anywhere")
        if code in held or at(code, place) in held
    }


def test_the_codes_of_roles_exist_and_the_auditor_has_all_codes_to_see():
    assert get_args(RoleName) == tuple(ROLES)
    assert {code for role in ROLES.values() for code in role.codes} <= PERMISSIONS.keys()
    assert set(ROLES["auditor"].codes) == read_only_codes({GLOBAL_ADMIN})


def test_only_the_administrator_has_the_code_of_the_administrator():
    assert [name for name, role in ROLES.items() if GLOBAL_ADMIN in role.codes] == ["administrator"]
    assert ROLES["administrator"].scope is None


@pytest.mark.parametrize(
    ("assignment", "problem"),
    [
        (RoleAssignment(role="zone_operator", zones=["1"]), None),
        (RoleAssignment(role="help_desk", groups=["1"]), None),
        (RoleAssignment(role="zone_operator"), None),
        (RoleAssignment(role="zone_operator", groups=["1"]), "cannot be restricted to groups"),
        (RoleAssignment(role="administrator", zones=["1"]), "cannot be restricted to zones"),
        (RoleAssignment(role="help_desk", groups=[]), "at least one group"),
        (RoleAssignment(role="help_desk", groups=["1"], zones=["1"]), "cannot be restricted to zones"),
    ],
)
def test_a_role_has_only_the_scope_that_fits(assignment: RoleAssignment, problem: str | None):
    found = assignment_problem(assignment)
    assert found is None if problem is None else problem in str(found)


def test_an_assignment_grants_the_role_in_each_place():
    assert RoleAssignment(role="auditor").grants == ["role:auditor"]
    assert RoleAssignment(role="zone_operator", zones=["1", "2"]).grants == [
        "role:zone_operator@zone:1",
        "role:zone_operator@zone:2",
    ]
    assert RoleAssignment(role="zone_operator", zones=[]).grants == [], "an empty scope is not the whole installation"


@pytest.mark.parametrize("grant", ["role:administrator@zone:1", "role:zone_operator@group:1", "role:other", "role:"])
def test_a_role_in_a_place_that_does_not_fit_grants_nothing(grant: str):
    assert implied_codes([grant]) == frozenset()


@for_all(grants, subject=implied_codes, mutants=[codes_granted, lambda granted: frozenset(map(code_of, granted))])
def test_a_code_is_either_for_the_whole_installation_or_in_places(subject: Any, granted: frozenset[str]):
    implied = subject(granted)
    everywhere = {code for code in implied if not place_of(code)}
    assert not {code for code in implied if place_of(code) and code_of(code) in everywhere}
    assert {code_of(code) for code in implied} <= PERMISSIONS.keys()


@for_all(
    grants,
    st.frozensets(codes, min_size=1),
    subject=allows,
    mutants=[lambda granted, required: allows(map(code_of, granted), required)],
)
def test_a_code_in_a_place_counts_on_no_route_without_a_scope(
    subject: Any, granted: frozenset[str], required: frozenset[str]
):
    implied = implied_codes(granted)
    everywhere = {code for code in implied if not place_of(code)}
    assert subject(implied, required) == (required <= everywhere)


@for_all(
    grants,
    grants,
    subject=missing_codes,
    mutants=[
        lambda granted, requested: sorted(implied_codes(map(code_of, requested)) - set(map(code_of, granted))),
        lambda granted, requested: [code for code in missing_codes(granted, requested) if not place_of(code)],
    ],
)
def test_a_caller_without_missing_codes_has_each_code_in_each_place(
    subject: Any, granted: frozenset[str], requested: frozenset[str]
):
    assert (not subject(granted, requested)) == (counting(requested) <= counting(granted))


@for_all(
    grants,
    grants,
    subject=limited_to_owner,
    mutants=[
        lambda key, owner: implied_codes(key) & implied_codes(map(code_of, owner)),
        lambda key, owner: implied_codes(key) & implied_codes(owner),
    ],
)
def test_a_key_keeps_the_places_of_its_owner(subject: Any, key: frozenset[str], owner: frozenset[str]):
    assert counting(subject(key, owner)) == counting(key) & counting(owner)


@for_all(grants, place_sets, subject=codes_for, mutants=[lambda granted, _places: implied_codes(granted)])
def test_the_codes_for_an_object_are_those_of_its_places(subject: Any, granted: frozenset[str], where: frozenset[str]):
    counted = counting(granted)
    assert subject(granted, where) == {code for code, place in counted if place in (where | {"anywhere"})}


@for_all(grants, place_sets, subject=codes_in_every, mutants=[codes_in])
def test_a_change_of_a_user_needs_the_code_in_every_place(subject: Any, granted: frozenset[str], where: frozenset[str]):
    held = implied_codes(granted)
    expected = {code_of(code) for code in held if where and all(at(code_of(code), place) in held for place in where)}
    assert subject(held, where) == expected


def test_the_places_of_a_session_are_its_zone_and_the_groups_of_its_user():
    assert session_places("1", ["a", "b"]) == {"zone:1", "group:a", "group:b"}
    assert places_with(["agents_view@zone:1", "agents_view", "users_view@group:1"], "agents_view") == {"zone:1"}


@for_all(grants, subject=read_only_codes, mutants=[implied_codes])
def test_a_read_only_key_sees_only_in_its_places(subject: Any, granted: frozenset[str]):
    kept = subject(granted)
    assert kept <= implied_codes(granted)
    assert all(code_of(code).endswith("_view") for code in kept)


def test_assignments_grant_their_roles_for_the_installation_or_in_places():
    assignments = [RoleAssignment(role="auditor"), RoleAssignment(role="zone_operator", zones=["1", "2"])]
    assert grants_of(assignments) == ["role:auditor", "role:zone_operator@zone:1", "role:zone_operator@zone:2"]
