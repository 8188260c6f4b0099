"""Users who may change only their own groups cannot loosen a rule, for any groups."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.access.group_settings import SETTINGS, GroupSettings
from greenroom.core.access.permissions import refusal_of_change, refusal_of_leaving

NUMBERS = st.sampled_from([0, 1, 60, 3600])
RULES: dict[str, st.SearchStrategy[Any]] = {
    "allow_kasm_downloads": st.booleans(),
    "allow_kasm_clipboard_down": st.booleans(),
    "allow_kasm_screenshot": st.booleans(),
    "session_time_limit": NUMBERS,
    "max_kasms_per_user": NUMBERS,
    "max_leases_per_user": NUMBERS,
    "max_upload_mb": NUMBERS,
    "keepalive_expiration_action": st.sampled_from(["delete", "stop", "pause"]),
    "web_filter_policy": st.sampled_from(["", "school", "office"]),
}
NO_LIMIT_AT_0 = {"session_time_limit", "idle_disconnect", "max_upload_mb"}

some_settings = st.fixed_dictionaries({}, optional=RULES)
group_of = st.builds(
    GroupSettings, st.sampled_from("abcd"), st.just("x"), st.sampled_from([1, 100, 100, 1000]), some_settings
)
worlds = st.lists(group_of, min_size=1, max_size=4, unique_by=lambda group: group.group_id)
changes = st.tuples(st.integers(0, 3), st.fixed_dictionaries({}, optional={n: st.none() | v for n, v in RULES.items()}))


def in_force(groups: list[GroupSettings], name: str) -> Any:
    """The value of a setting for a member of these groups, by a simple lookup."""
    for group in sorted(groups, key=lambda one: (one.priority, one.name, one.group_id)):
        if name in group.settings:
            return group.settings[name]
    return SETTINGS[name].default


def is_looser(name: str, new: Any, old: Any) -> bool:
    if name == "web_filter_policy":
        return old not in ("", new)
    if name in NO_LIMIT_AT_0:
        return old != 0 and (new == 0 or new > old)
    if name == "keepalive_expiration_action":
        return (old, new) in {("delete", "stop"), ("delete", "pause"), ("stop", "pause")}
    return new > old


def changed(groups: list[GroupSettings], group_id: str, new: dict[str, Any], priority: int) -> list[GroupSettings]:
    return [
        replace(
            one,
            priority=priority,
            settings={name: value for name, value in {**one.settings, **new}.items() if value is not None},
        )
        if one.group_id == group_id
        else one
        for one in groups
    ]


def allows_everything(*_: Any, **__: Any) -> None:
    return None


@for_all(
    worlds,
    st.lists(st.sets(st.integers(0, 3), min_size=1), max_size=4),
    st.lists(changes, min_size=1, max_size=4),
    subject=refusal_of_change,
    mutants=[allows_everything],
)
def test_an_allowed_change_makes_no_rule_of_a_member_looser(
    subject: Any, world: list[GroupSettings], people: list[set[int]], wanted: list[tuple[int, dict[str, Any]]]
):
    group_ids = [{world[n % len(world)].group_id for n in numbers} for numbers in people]
    for number, new in wanted:
        group = world[number % len(world)]
        before = [[one for one in world if one.group_id in ids] for ids in group_ids]
        members = [groups for groups in before if group in groups]
        if subject(group, new, members, priority=group.priority) is not None:
            continue
        world = changed(world, group.group_id, new, group.priority)
        for groups, ids in zip(before, group_ids, strict=True):
            after = [one for one in world if one.group_id in ids]
            for name in RULES:
                assert not is_looser(name, in_force(after, name), in_force(groups, name)), name


@for_all(worlds, st.integers(0, 3), subject=refusal_of_leaving, mutants=[allows_everything])
def test_an_allowed_end_of_a_membership_makes_no_rule_looser(subject: Any, world: list[GroupSettings], number: int):
    left = world[number % len(world)]
    if subject(left.group_id, world) is None:
        after = [one for one in world if one is not left]
        assert not [name for name in RULES if is_looser(name, in_force(after, name), in_force(world, name))]


DLP = GroupSettings("dlp", "DLP", 100, {"allow_kasm_downloads": False, "session_time_limit": 3600, "max_upload_mb": 10})
OWN = GroupSettings("own", "Class 7", 50, {"idle_disconnect": 10.0})
MEMBERS = [[DLP, OWN], [OWN]]


@pytest.mark.parametrize(
    ("new", "priority", "reason"),
    [
        (
            {"allow_kasm_downloads": True},
            50,
            "now `allow_kasm_downloads` = false from group DLP, priority 100, afterwards",
        ),
        ({"session_time_limit": 0}, 50, "`session_time_limit` = 0 from group Class 7"),
        ({"idle_disconnect": None}, 50, "afterwards `idle_disconnect` = 20 by default"),
        ({"max_upload_mb": 0}, 50, "now `max_upload_mb` = 10 from group DLP, priority 100, afterwards"),
        ({"max_kasms_per_user": 500}, 50, "`max_kasms_per_user` = 5 by default"),
        ({}, 1, "priority of Class 7"),
        ({"web_filter_policy": ""}, 50, "`web_filter_policy` cannot be changed by members"),
        ({"run_config": {}}, 50, "`run_config` cannot be changed by members"),
        ({"idle_disconnect": 5.0, "session_time_limit": 60, "allow_kasm_delete": False}, 50, None),
    ],
)
def test_the_reason_says_which_rule_would_be_lifted(new: dict[str, Any], priority: int, reason: str | None):
    refusal = refusal_of_change(OWN, new, MEMBERS, priority=priority)
    assert refusal is None if reason is None else reason in (refusal or ""), refusal


def test_a_member_does_not_leave_the_group_that_gives_the_web_filter():
    filtered = GroupSettings("school", "School", 100, {"web_filter_policy": "strict"})
    assert "`web_filter_policy` = strict from group School" in str(refusal_of_leaving("school", [filtered, OWN]))
