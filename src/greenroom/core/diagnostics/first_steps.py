"""The first steps in a new installation. A step is shown until its fact is true; there is no other state of a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

FirstStep = Literal["password", "workspace", "people", "manager", "backup"]
_NEEDS: Final[dict[FirstStep, str]] = {
    "workspace": "images_create",
    "people": "users_create",
    "manager": "managers_view",
    "backup": "audit_view",
}
"""Step → the permission without which it is not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """The facts that end the first steps. `people` is the number of users who are persons, and `has_sign_on` is True if
    they can log in with the accounts of another system. `has_one_time_password` is a fact of the caller."""

    has_one_time_password: bool
    workspaces: int
    people: int
    has_sign_on: bool
    managers: int
    has_backup: bool


def first_steps(facts: Beginning, may: Callable[[str], bool]) -> list[FirstStep]:
    """Return the steps that remain, in their order. `may` is True for the permissions of the caller."""
    remains: dict[FirstStep, bool] = {
        "password": facts.has_one_time_password,
        "workspace": facts.workspaces < 2,  # a new installation has one
        "people": facts.people < 2 and not facts.has_sign_on,
        "manager": facts.managers < 2,
        "backup": not facts.has_backup,
    }
    return [step for step, is_left in remains.items() if is_left and (step not in _NEEDS or may(_NEEDS[step]))]
