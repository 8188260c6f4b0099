"""The values that a group inherits for settings that it does not set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from greenroom.core.access.group_settings import SETTINGS, GroupSettings, rank, resolve


@dataclass(frozen=True, slots=True)
class InheritedValue:
    """The value of a setting that applies to the members of a group that does not set it.

    `value` is that of the group All Users, otherwise the default; `group` is its source (None = the default).
    `outranked_by` names the groups with a lower priority number that set it: their members get their value instead.
    """

    name: str
    value: Any
    group: str | None
    outranked_by: tuple[str, ...]


def inherited_values(group: GroupSettings, others: Sequence[GroupSettings], all_users_id: str) -> list[InheritedValue]:
    """Return the inherited value of `group` for each setting, except mappings, which are merged over all groups.
    `others` are all groups, with or without `group`. `all_users_id` is the id of the group All Users.
    """
    resolved = resolve([each for each in others if each.group_id == all_users_id and each.group_id != group.group_id])
    outranking = [each for each in sorted(others, key=rank) if rank(each) < rank(group)]
    return [
        InheritedValue(
            setting.name,
            setting.value,
            next(iter(setting.groups), None),
            tuple(each.name for each in outranking if setting.name in each.settings),
        )
        for setting in resolved.values()
        if SETTINGS[setting.name].kind != "mapping"
    ]
