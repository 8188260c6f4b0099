"""Why a group setting has its value: the groups in their order, the group that decides, and the affected users."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.core.diagnostics.test_why_agents import CAD

from greenroom.core.access.group_settings import STAGED_PERMISSIONS, GroupSettings, resolve
from greenroom.core.diagnostics.sentences import ObjectRef
from greenroom.core.diagnostics.why import settings as module
from greenroom.core.diagnostics.why.model import Affected, DecisiveSetting, Fact, sentence_of
from greenroom.core.diagnostics.why.settings import (
    ComparedPool,
    UsersOfGroups,
    affected_by,
    group_setting,
    setting_decision,
    with_group_value,
)

EVERYBODY = "all"
NAME = "allow_kasm_downloads"


def group(name: str, priority: int, **settings: Any) -> GroupSettings:
    return GroupSettings(EVERYBODY if name == "All Users" else name.lower(), name, priority, settings)


ALL = group("All Users", 9, allow_kasm_downloads=True)
STUDENTS = group("Students", 5, allow_kasm_downloads=False)
STAFF = group("Staff", 3)


def setting_for(*groups: GroupSettings, name: str = NAME) -> DecisiveSetting:
    return group_setting(resolve(groups)[name], groups, EVERYBODY)


def test_the_first_group_with_a_value_decides():
    decision = setting_decision("ann", NAME, [ALL, STUDENTS, STAFF], EVERYBODY)
    assert [step.rule for step in decision.steps] == [
        "Group Staff, priority 3",
        "Group Students, priority 5",
        "Group All Users, priority 9",
        "The default of Greenroom",
    ]
    assert [step.result for step in decision.steps] == ["passed", "stopped", "unreached", "unreached"]
    assert [step.decides for step in decision.steps] == [False, True, False, False]
    assert decision.steps[1].facts == (Fact("Value", "false"),)
    assert sentence_of(decision.answer) == f"`{NAME}` = false from group Students, priority 5."


def test_the_default_decides_if_no_group_sets_it():
    decision = setting_decision("ann", "idle_disconnect", [STAFF], EVERYBODY)
    assert [step.decides for step in decision.steps] == [False, True]
    assert decision.steps[1].facts == (Fact("Default", "20"),)
    assert decision.setting == setting_for(STAFF, name="idle_disconnect")


def test_all_groups_with_a_value_give_keys_to_a_mapping():
    groups = [group("A", 1, run_config={"environment": {"X": "secret"}}), group("B", 2, run_config={"hostname": "b"})]
    decision = setting_decision("ann", "run_config", groups, EVERYBODY)
    assert [(step.result, step.decides) for step in decision.steps] == [
        ("stopped", True),
        ("stopped", False),
        ("unreached", False),
    ]
    assert decision.setting is not None
    assert "secret" not in repr(decision)
    assert decision.setting.suggested is None


@pytest.mark.parametrize(
    ("groups", "source", "owner", "object_id"),
    [
        ((ALL,), "global", "group All Users", EVERYBODY),
        ((ALL, STUDENTS), "group", "group Students", "students"),
        ((STAFF,), "default", "the default of Greenroom", EVERYBODY),
    ],
)
def test_the_source_of_a_value(groups: tuple[GroupSettings, ...], source: str, owner: str, object_id: str):
    setting = setting_for(*groups)
    assert (setting.source, setting.owner, setting.object) == (source, owner, ObjectRef("group", object_id))


def test_a_preview_has_the_result_for_the_user():
    groups = (ALL, STUDENTS)
    setting = with_group_value(setting_for(*groups), groups, True)
    assert setting.before == f"`{NAME}` = false from group Students, priority 5."
    assert setting.after == f"`{NAME}` = true from group Students, priority 5."
    assert setting.suggested is True


# No mutant: the numbers below are the property.
def test_only_users_whose_value_changes_are_affected():
    setting = with_group_value(setting_for(ALL, STUDENTS), (ALL, STUDENTS), True)
    everyone = [
        UsersOfGroups(3, (ALL, STUDENTS), frozenset({"i1"})),
        UsersOfGroups(5, (ALL, group("Strict", 1, allow_kasm_downloads=False), STUDENTS), frozenset({"i1"})),
        UsersOfGroups(7, (ALL,), frozenset({"i1"})),
    ]
    granted = {name: name == NAME for name in STAGED_PERMISSIONS}
    pools = [
        ComparedPool("c1", CAD, granted),
        ComparedPool("c2", CAD, dict.fromkeys(STAGED_PERMISSIONS, True)),
        ComparedPool("c3", replace(CAD, image_id="other"), granted),
    ]
    assert affected_by(setting, everyone, pools) == Affected(users=3, pools=1, workspaces=1)


def test_too_many_pools_are_not_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_EVALUATIONS", 0)
    setting = with_group_value(setting_for(ALL, STUDENTS), (ALL, STUDENTS), True)
    everyone = [UsersOfGroups(3, (ALL, STUDENTS), frozenset({"i1"}))]
    assert affected_by(setting, everyone, [ComparedPool("c1", CAD, {})]) == Affected(users=3)


@pytest.mark.parametrize(
    ("groups", "number"),
    [((STUDENTS,), 4), ((STUDENTS, group("First", 1, max_upload_mb=5)), 0)],
    ids=["the default applies", "another group decides"],
)
def test_without_a_suggestion_the_users_are_those_it_decides_for(groups: tuple[GroupSettings, ...], number: int):
    default = setting_for(STAFF, name="max_upload_mb")
    members = (group("All Users", 9), *groups)
    assert affected_by(default, [UsersOfGroups(4, members, frozenset())], []) == Affected(users=number)


def test_a_setting_without_a_visible_object_affects_no_user():
    hidden = replace(setting_for(ALL), object=None)
    assert affected_by(hidden, [UsersOfGroups(4, (ALL,), frozenset())], []) == Affected(users=0, pools=0, workspaces=0)


def test_a_group_with_the_value_decides_for_its_members():
    limited = group("Limited", 2, max_upload_mb=5)
    setting = setting_for(limited, name="max_upload_mb")
    assert affected_by(setting, [UsersOfGroups(2, (ALL, limited), frozenset())], []) == Affected(users=2)
