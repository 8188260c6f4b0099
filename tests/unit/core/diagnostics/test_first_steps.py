"""The first steps in a new installation: what ends them, and who sees them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from greenroom.core.access.permissions import PERMISSIONS
from greenroom.core.diagnostics.first_steps import Beginning, first_steps

NEW = Beginning(
    has_one_time_password=True, workspaces=1, people=1, has_sign_on=False, managers=1, has_backup=False
)  # fmt: skip


def test_a_new_installation_has_all_steps_in_their_order():
    assert first_steps(NEW, PERMISSIONS.__contains__) == ["password", "workspace", "people", "manager", "backup"]


@pytest.mark.parametrize(
    ("fact", "step"),
    [
        ({"has_one_time_password": False}, "password"),
        ({"workspaces": 2}, "workspace"),
        ({"people": 2}, "people"),
        ({"has_sign_on": True}, "people"),
        ({"managers": 2}, "manager"),
        ({"has_backup": True}, "backup"),
    ],
)
def test_each_step_ends_with_its_fact(fact: dict[str, Any], step: str):
    remaining = first_steps(replace(NEW, **fact), PERMISSIONS.__contains__)
    assert len(remaining) == 4
    assert step not in remaining


def test_a_user_without_permissions_only_changes_the_password():
    assert first_steps(NEW, lambda _: False) == ["password"]
