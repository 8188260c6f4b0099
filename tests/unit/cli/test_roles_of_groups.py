"""Commands for the roles of groups."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.cli.conftest import Done, Pretended
from tests.unit.cli.test_commands import FOUND, GROUP, ZONE

Greenroom = Callable[..., Done]

OPERATOR = {"role": "zone_operator", "zones": [ZONE]}
HELP_DESK = {"role": "help_desk", "zones": None, "groups": [GROUP]}


@pytest.mark.parametrize(
    ("typed", "before", "after"),
    [
        ("add-role Sales auditor", [], [{"role": "auditor"}]),
        (
            "add-role Sales zone_operator --zone eu",
            [HELP_DESK],
            [HELP_DESK, {"role": "zone_operator", "zones": [ZONE]}],
        ),
        ("add-role Sales help_desk --group Sales", [{"role": "help_desk"}], [{"role": "help_desk", "groups": [GROUP]}]),
        ("remove-role Sales help_desk", [HELP_DESK, {"role": "auditor"}], [{"role": "auditor"}]),
    ],
)
def test_roles_of_a_group_change_one_at_a_time(
    api: Pretended, greenroom: Greenroom, typed: str, before: list[Any], after: list[Any]
):
    group = {"group_id": GROUP, "name": "Sales", "roles": before}
    api.answers |= FOUND | {("GET", "/groups"): [group], ("GET", f"/groups/{GROUP}"): group}
    api.answers[("PATCH", f"/groups/{GROUP}")] = group | {"roles": after}
    done = greenroom("groups", *typed.split())
    assert done.code == 0, done.err
    patch = next(request for request in api.asked if request.method == "PATCH")
    assert json.loads(patch.content) == {"roles": after}


def test_a_role_that_a_group_does_not_have_is_not_removed(api: Pretended, greenroom: Greenroom):
    group = {"group_id": GROUP, "name": "Sales", "roles": [HELP_DESK]}
    api.answers |= {("GET", "/groups"): [group], ("GET", f"/groups/{GROUP}"): group}
    done = greenroom("groups", "remove-role", "Sales", "auditor")
    assert (done.code, "does not have the role auditor" in done.err) == (1, True)
    assert all(request.method == "GET" for request in api.asked)


def test_the_scope_of_a_role_is_displayed_with_names(api: Pretended, greenroom: Greenroom):
    group = {"group_id": GROUP, "name": "Sales", "roles": [HELP_DESK]}
    api.answers |= {("GET", "/groups"): [group], ("GET", f"/groups/{GROUP}"): group}
    done = greenroom("groups", "get", "Sales")
    assert "Sales" in next(row for row in done.out.splitlines() if "help_desk" in row)
