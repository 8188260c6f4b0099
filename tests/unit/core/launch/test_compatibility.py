"""The table of settings that keep a staged session from serving a launch (docs/reference/staging.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.access.group_settings import (
    SETTINGS,
    STAGED_PERMISSIONS,
    GroupSettings,
    Setting,
    permissions_of,
    resolve,
)
from greenroom.core.launch.compatibility import (
    ALL_AT_CREATION,
    AT_CREATION,
    RULES,
    LaunchFacts,
    unused_profile_warning,
    violations,
)
from greenroom.core.workspace.homes import STORED_HOMES_PATH
from greenroom.core.workspace.session_spec import Exec

OFF: dict[str, bool] = dict.fromkeys(STAGED_PERMISSIONS, False)


def facts(group: dict[str, Any] | None = None, **others: Any) -> LaunchFacts:
    return LaunchFacts(settings=resolve([GroupSettings("g", "Students", 5, group or {})]), **others)


CASES: list[tuple[str, LaunchFacts, str]] = [
    (
        "persistent_profile",
        facts({"allow_persistent_profile": True}, persistent_profile_path="/profiles/{username}"),
        f"persistent_profile_path: the workspace has a persistent profile, which is mounted {AT_CREATION}",
    ),
    (
        "image_volume_mapping",
        facts(image_volume_mappings={"/home/{username}": {"bind": "/home"}}),
        f"volume_mappings: the workspace's volume mapping /home/{{username}} needs the user's name or id {AT_CREATION}",
    ),
    (
        "expose_user_environment_vars",
        facts({"expose_user_environment_vars": True}),
        f"expose_user_environment_vars (group Students): the user's variables are set {ALL_AT_CREATION}",
    ),
    (
        "inject_ssh_keys",
        facts({"inject_ssh_keys": True}),
        f"inject_ssh_keys (group Students): the user's keys are added {ALL_AT_CREATION}",
    ),
    (
        "run_config",
        facts({"run_config": {"shm_size": "1g"}}),
        f"run_config (group Students): the group's run config is used {AT_CREATION}",
    ),
    (
        "volume_mapping",
        facts({"volume_mapping": {"/data": {"bind": "/data"}}}),
        f"volume_mapping (group Students): the group's volumes are mounted {ALL_AT_CREATION}",
    ),
    (
        "web_filter_policy",
        facts({"web_filter_policy": "strict"}),
        (
            f"web_filter_policy (group Students): the group's web filter is chosen {AT_CREATION};"
            " a policy of the workspace does not exclude staging"
        ),
    ),
    (
        "permissions",
        facts({"allow_kasm_audio": True}),
        (
            "permissions (group Students): allow_kasm_audio is on for the user and off in the staging config,"
            " so its sessions are not for this user"
        ),
    ),
    (
        "language_or_timezone",
        facts(language="de-DE"),
        f"preferred_language: the user's language de-DE is set {AT_CREATION}",
    ),
    (
        "language_or_timezone",
        facts(timezone="Europe/Berlin"),
        f"preferred_timezone: the user's time zone Europe/Berlin is set {AT_CREATION}",
    ),
    (
        "launch_options",
        facts(environment={"A": "b"}, network_id="n", kasm_url="https://a.example"),
        f"launch_options: the request asks for environment, network_id, kasm_url, set {ALL_AT_CREATION}",
    ),
]


@pytest.mark.parametrize(
    ("code", "launch", "reason"), CASES, ids=[f"{case[0]} {case[2].split(':')[0]}" for case in CASES]
)
def test_each_rule_with_its_sentence(code: str, launch: LaunchFacts, reason: str):
    assert [(v.code, v.reason) for v in violations(launch, OFF)] == [(code, reason)]


def test_every_rule_has_its_case():
    assert [rule.code for rule in RULES] == [case[0] for case in CASES]


@pytest.mark.parametrize(
    "launch",
    [
        facts(),
        facts(persistent_profile_path="/profiles/{username}"),
        facts({"allow_persistent_profile": True}, persistent_profile_path=""),
        facts({"allow_persistent_profile": True}, persistent_profile_path="/p", persistent_profile_mode="Disabled"),
        facts(image_volume_mappings={"/shared/{image_id}": {"bind": "/shared"}}),
        facts({"run_config": {}, "volume_mapping": {}, "web_filter_policy": "", "inject_ssh_keys": False}),
        facts({"inject_ssh_keys": True}, has_ssh_keys=False),
        facts({"web_filter_policy": "strict"}, filters_disabled=True),
        facts(
            {"staged_session_language_and_timezone_preference_override": True}, language="de-DE", timezone="Asia/Tokyo"
        ),
        facts(language="", timezone=None),
        facts(kasm_url="https://a.example", assign=Exec(argv=("welcome",))),
    ],
)
def test_what_is_not_applied_does_not_exclude(launch: LaunchFacts):
    assert violations(launch, OFF) == ()


def in_force(setting: Setting) -> Any:
    """A value that differs from the default."""
    values = {"bool": not setting.default, "int": 1, "float": 1.5, "string": "x", "mapping": {"x": {"bind": "/x"}}}
    return setting.choices[-1] if setting.kind == "choice" else values[setting.kind]


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=list(SETTINGS))
def test_of_all_settings_of_groups_only_those_of_the_table_exclude(setting: Setting):
    value = {"hostname": "desk"} if setting.name == "run_config" else in_force(setting)
    found = violations(facts({setting.name: value}), OFF)
    expected = "permissions" if setting.name in STAGED_PERMISSIONS else setting.name
    excludes = setting.excludes_staging or setting.name in STAGED_PERMISSIONS
    assert [(v.code, v.group) for v in found] == ([(expected, "Students")] if excludes else [])


def test_the_group_that_is_named_is_the_one_whose_value_holds():
    groups = [
        GroupSettings("1", "Low", 9, {"inject_ssh_keys": True, "run_config": {"hostname": "a"}}),
        GroupSettings("2", "High", 1, {"inject_ssh_keys": True, "run_config": {"shm_size": "1g"}}),
        GroupSettings("3", "Audio", 5, {"allow_kasm_audio": True}),
        GroupSettings("4", "Webcam", 6, {"allow_kasm_webcam": True}),
    ]
    found = violations(LaunchFacts(settings=resolve(groups)), OFF)
    named = {v.code: set((v.group or "").split(", ")) for v in found}
    assert named == {"inject_ssh_keys": {"High"}, "run_config": {"High", "Low"}, "permissions": {"Audio", "Webcam"}}


def test_a_setting_that_a_stronger_group_switches_off_does_not_exclude():
    groups = [
        GroupSettings("1", "Low", 9, {"inject_ssh_keys": True, "web_filter_policy": "strict"}),
        GroupSettings("2", "High", 1, {"inject_ssh_keys": False, "web_filter_policy": ""}),
    ]
    assert violations(LaunchFacts(settings=resolve(groups)), OFF) == ()


def test_all_violations_are_found():
    everything = facts(
        {"inject_ssh_keys": True, "expose_user_environment_vars": True, "allow_kasm_webcam": True}, network_id="n"
    )
    assert [v.code for v in violations(everything, OFF)] == [
        "expose_user_environment_vars",
        "inject_ssh_keys",
        "permissions",
        "launch_options",
    ]


def forgets_one(launch: LaunchFacts, staged: dict[str, bool]) -> Any:
    last = STAGED_PERMISSIONS[-1]
    return violations(launch, {**staged, last: permissions_of(launch.settings)[last]})


PERMISSIONS = st.fixed_dictionaries({name: st.booleans() for name in STAGED_PERMISSIONS})


@for_all(PERMISSIONS, PERMISSIONS, subject=violations, mutants=[forgets_one])
def test_permissions_must_match_exactly(subject: Any, staged: dict[str, bool], user: dict[str, bool]):
    found = subject(facts(user), staged)
    assert bool(found) == (user != staged)
    assert all(f"{name} is" in found[0].reason for name in user if user[name] != staged[name])


PROFILE = "/srv/profiles/{user_id}"


def allowed(*values: bool | None) -> LaunchFacts:
    """A plain launch of a user whose groups have this setting for persistent profiles; None if they have none."""
    groups = [
        GroupSettings(f"g{n}", f"g{n}", n, {} if value is None else {"allow_persistent_profile": value})
        for n, value in enumerate(values)
    ]
    return LaunchFacts(settings=resolve(groups), persistent_profile_path=PROFILE)


@pytest.mark.parametrize(
    ("facts", "source"),
    [
        (allowed(None), "no group enables it"),
        (allowed(False), "group g0"),
        (allowed(True), None),
        (LaunchFacts(), None),
        (LaunchFacts(persistent_profile_path=PROFILE, persistent_profile_mode="Disabled"), None),
    ],
)
def test_a_persistent_profile_that_a_launch_goes_without_is_said(facts: LaunchFacts, source: str | None):
    said = source and (
        "The workspace's persistent profile is not used: allow_persistent_profile is off for the user "
        f"({source}), so the files of the session are deleted when it ends."
    )
    assert facts.missing_profile_warning() == said


@pytest.mark.parametrize(("value", "is_kept"), [(None, True), (True, True), (False, False)])
def test_homes_of_the_installation_are_kept_unless_a_group_forbids_it(value: bool | None, is_kept: bool):
    launch = replace(allowed(value), persistent_profile_path=STORED_HOMES_PATH)
    assert launch.profile_is_applied() is is_kept
    assert (launch.missing_profile_warning() is None) is is_kept
    assert not replace(launch, persistent_profile_mode="Disabled").profile_is_applied()


@pytest.mark.parametrize(
    ("path", "users", "is_said"),
    [
        (PROFILE, [allowed(None), allowed(False)], True),
        (PROFILE, [], True),
        (PROFILE, [allowed(None), allowed(True)], False),
        (None, [], False),
    ],
)
def test_a_persistent_profile_that_no_user_gets_is_of_no_use(path: str | None, users: list[LaunchFacts], is_said: bool):
    said = (
        "No user gets the persistent profile of Desktop: allow_persistent_profile is off in the groups "
        "of all users who may use it, so the files of users are deleted with their sessions. Enable the "
        "setting in one of those groups."
    )
    assert unused_profile_warning("Desktop", path, users) == (said if is_said else None)


@pytest.mark.parametrize(
    ("facts", "writes"),
    [
        (LaunchFacts(), False),
        (LaunchFacts(image_volume_mappings={"/srv": {"bind": "/mnt", "mode": "ro"}}), False),
        (LaunchFacts(image_volume_mappings={"/srv": {"bind": "/mnt"}}), True),
        (facts({"volume_mapping": {"/srv": {"bind": "/mnt"}}}), True),
    ],
)
def test_a_launch_writes_to_host_folders_of_workspace_or_group(facts: LaunchFacts, writes: bool):
    assert facts.writes_to_the_host() is writes
