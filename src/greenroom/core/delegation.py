"""What people may change in a group who were given only the groups they are in (`groups_modify_ifmember`).

They may tighten what holds for its members, never lift it: whatever the groups are, no change of theirs makes a guarded
setting of any member looser than before, whichever group decided it. The rank of a group, its web filter and how
containers are made are not theirs to decide at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from greenroom.core.settings import SETTINGS, STAGED_PERMISSIONS, GroupSettings, Resolved, resolve

FILTER: Final = "web_filter_policy"


def _no_limit_at_0(value: float) -> float:
    return value or float("inf")


GUARDED: Final[dict[str, Callable[[Any], float]]] = {
    **dict.fromkeys(
        (*STAGED_PERMISSIONS, "allow_persistent_profile", "allow_zone_selection", "allow_kasm_screenshot"), float
    ),
    **dict.fromkeys(("max_kasms_per_user", "keepalive_expiration"), float),
    **dict.fromkeys(("session_time_limit", "idle_disconnect"), _no_limit_at_0),
    "keepalive_expiration_action": SETTINGS["keepalive_expiration_action"].choices.index,
}
"""Setting → how loose a value is: what may leave a session or stay behind, who sees it, and how much and how long."""


def refusal_of_change(
    group: GroupSettings,
    changed: Mapping[str, Any],
    members: Iterable[Sequence[GroupSettings]],
    *,
    priority: int,
) -> str | None:
    """Why such a change of a group is not theirs, as a sentence; None = it is.

    Args:
        group: as it is.
        changed: settings with their new values; None = the setting is removed.
        members: the groups of each member, the group among them.
        priority: of the group afterwards.
    """
    if priority != group.priority:
        return f"The priority of {group.name} decides which rules it overrides, so it is not for its members to change."
    if names := _not_theirs(changed):
        return f"`{names[0]}` is not for members of a group to change."
    kept = {name: value for name, value in group.settings.items() if name not in changed}
    after = replace(group, settings=kept | {name: value for name, value in changed.items() if value is not None})
    for groups in members:
        if reason := _lifted(groups, [after if one.group_id == group.group_id else one for one in groups]):
            return reason
    return None


def refusal_of_leaving(group_id: str, groups: Sequence[GroupSettings]) -> str | None:
    """Why they may not end somebody's membership, their own not either; None = they may.

    Args:
        group_id: the group to be left.
        groups: all groups of the user.
    """
    return _lifted(groups, [one for one in groups if one.group_id != group_id])


def _not_theirs(names: Collection[str]) -> list[str]:
    return sorted(name for name in names if name == FILTER or SETTINGS[name].kind == "mapping")


def _lifted(before: Sequence[GroupSettings], after: Sequence[GroupSettings]) -> str | None:
    """The first rule that would hold no longer."""
    old, new = resolve(before), resolve(after)
    for name, looseness in GUARDED.items():
        if looseness(new[name].value) > looseness(old[name].value):
            return _sentence(old[name], new[name])
    if old[FILTER].value not in ("", new[FILTER].value):
        return _sentence(old[FILTER], new[FILTER])
    return None


def _sentence(old: Resolved, new: Resolved) -> str:
    return f"This would lift a rule for a member: now {old.trace}, then {new.trace}."
