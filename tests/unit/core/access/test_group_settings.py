"""The value of a group setting that applies to a user."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.access.group_settings import (
    SETTINGS,
    STAGED_PERMISSIONS,
    EffectiveSetting,
    GroupSettings,
    client_settings_of,
    keepalive_interval_s,
    permissions_of,
    resolve,
    value_text,
)
from greenroom.core.access.inherited_settings import inherited_values
from greenroom.core.access.setting_checks import problems_of, validated_setting
from greenroom.core.errors import Invalid

run_configs = st.fixed_dictionaries(
    {},
    optional={
        "hostname": st.sampled_from(["a", "b"]),
        "working_dir": st.sampled_from(["/a", "/b"]),
        "environment": st.dictionaries(st.sampled_from(["A", "B", "C"]), st.sampled_from(["1", "2", "3"])),
        "tmpfs": st.dictionaries(st.sampled_from(["/a", "/b"]), st.sampled_from(["size=1m", "size=2m"])),
    },
)
values: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "string": st.text(max_size=10),
    "mapping": run_configs,
}


def _value(name: str) -> st.SearchStrategy[Any]:
    setting = SETTINGS[name]
    least = setting.minimum or 0
    if setting.kind == "int":
        return st.integers(int(least), 100_000)
    if setting.kind == "float":
        return st.floats(least, 1e6)
    if name == "volume_mapping":
        numbers = st.dictionaries(st.sampled_from(["/a", "/b", "/c"]), st.integers(0, 3))
        return numbers.map(lambda found: {path: {"bind": f"{path}/{number}"} for path, number in found.items()})
    return st.sampled_from(setting.choices) if setting.kind == "choice" else values[setting.kind]


def _memberships(settings_of_one: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[GroupSettings]]:
    group = st.builds(
        GroupSettings,
        group_id=st.uuids().map(str),
        name=st.text("abcdef", min_size=1, max_size=4),
        priority=st.integers(1, 10),
        settings=settings_of_one,
    )
    return st.lists(group, max_size=5, unique_by=lambda group: group.group_id)


memberships = _memberships(
    st.sets(st.sampled_from(sorted(SETTINGS)), max_size=6).flatmap(
        lambda names: st.fixed_dictionaries({name: _value(name) for name in names})
    )
)
memberships_with_mappings = _memberships(
    st.fixed_dictionaries({}, optional={name: _value(name) for name in ("run_config", "volume_mapping")})
)


def highest_number_wins(groups: list[GroupSettings]) -> dict[str, Any]:
    ordered = sorted(groups, key=lambda group: group.priority)
    return {name: resolve([one for one in ordered if name in one.settings][-1:])[name] for name in SETTINGS}


@for_all(memberships, subject=resolve, mutants=[highest_number_wins])
def test_the_lowest_priority_number_wins(subject: Any, groups: list[GroupSettings]):
    resolved = subject(groups)
    for name, setting in SETTINGS.items():
        having = [group for group in groups if name in group.settings]
        if not having:
            assert resolved[name].value == setting.default
            assert resolved[name].groups == ()
        elif setting.kind != "mapping":
            winner = min(having, key=lambda group: (group.priority, group.name, group.group_id))
            assert resolved[name].value == winner.settings[name]
            assert f"group {winner.name}, priority {winner.priority}" in resolved[name].trace


def first_alone(groups: list[GroupSettings]) -> dict[str, Any]:
    return resolve(groups[:1])


def outermost_keys_alone(groups: list[GroupSettings]) -> dict[str, Any]:
    ordered = sorted(groups, key=lambda one: (one.priority, one.name, one.group_id), reverse=True)
    merged = {key: value for group in ordered for key, value in group.settings.get("run_config", {}).items()}
    return resolve([GroupSettings("m", "M", 1, {"run_config": merged})])


def merged_by_key(
    resolved: Mapping[str, EffectiveSetting], groups: list[GroupSettings], name: str, inside: str | None = None
) -> None:
    """Each key has the value from the group with the lowest number that has the key; `inside` is a key whose value
    is a mapping."""

    def part(group: GroupSettings) -> dict[str, Any]:
        value = group.settings.get(name, {})
        return value if inside is None else value.get(inside, {})

    merged = resolved[name].value
    value = merged if inside is None else merged.get(inside, {})
    assert set(value) == {key for group in groups for key in part(group)}
    for key in value.keys() - {"environment", "tmpfs"}:
        with_key = [group for group in groups if key in part(group)]
        winner = min(with_key, key=lambda group: (group.priority, group.name, group.group_id))
        assert value[key] == part(winner)[key]


@for_all(memberships_with_mappings, subject=resolve, mutants=[highest_number_wins, first_alone])
def test_mappings_are_merged_and_the_lowest_number_wins_per_key(subject: Any, groups: list[GroupSettings]):
    merged_by_key(subject(groups), groups, "volume_mapping")
    merged_by_key(subject(groups), groups, "run_config")


@for_all(memberships_with_mappings, subject=resolve, mutants=[outermost_keys_alone])
def test_variables_and_scratch_folders_are_merged_one_by_one(subject: Any, groups: list[GroupSettings]):
    merged_by_key(subject(groups), groups, "run_config", "environment")
    merged_by_key(subject(groups), groups, "run_config", "tmpfs")


@pytest.mark.parametrize(("first", "second"), [("/srv/a", "/srv/z"), ("/srv/z", "/srv/a")])
def test_of_two_groups_with_one_mount_point_the_lowest_number_wins(first: str, second: str):
    def group(name: str, priority: int, mapping: dict[str, Any]) -> GroupSettings:
        return GroupSettings(name, name, priority, {"volume_mapping": mapping})

    groups = [
        group("strong", 1, {first: {"bind": "/mnt/team"}}),
        group("weak", 2, {second: {"bind": "/mnt/team/"}, "/srv/more": {"bind": "/mnt/more"}}),
    ]
    assert resolve(groups)["volume_mapping"].value == {
        first: {"bind": "/mnt/team"},
        "/srv/more": {"bind": "/mnt/more"},
    }


@pytest.mark.parametrize(("interval", "expiration", "said_every"), [(300, 3600, 300), (300, 60, 30), (5, 1, 0.5)])
def test_an_open_window_reports_twice_before_its_session_is_unused(interval: int, expiration: int, said_every: float):
    group = GroupSettings("1", "a", 1, {"keepalive_interval": interval, "keepalive_expiration": expiration})
    assert keepalive_interval_s(resolve([group])) == said_every


@for_all(memberships, st.randoms(), subject=resolve, mutants=[lambda groups: groups[:1]])
def test_the_order_of_groups_does_not_matter(subject: Any, groups: list[GroupSettings], random: Any):
    shuffled = list(groups)
    random.shuffle(shuffled)
    assert subject(shuffled) == subject(groups)


@for_all(memberships, subject=permissions_of, mutants=[lambda resolved: set(SETTINGS)])
def test_the_eight_permissions_are_booleans(subject: Any, groups: list[GroupSettings]):
    assert set(subject(resolve(groups))) == set(STAGED_PERMISSIONS)


def test_what_viewers_obey_stays_as_it_is_at_the_launch():
    kept = client_settings_of(resolve([GroupSettings("1", "A", 1, {"allow_kasm_downloads": True, "max_upload_mb": 5})]))
    assert kept == {
        **dict.fromkeys(STAGED_PERMISSIONS, False),
        "allow_kasm_downloads": True,
        "max_upload_mb": 5,
        "idle_disconnect": 20.0,
        "watermark": False,
        "watermark_text": "",
        "record_sessions": False,
        "allow_persistent_profile": False,
        "allow_kasm_sharing": False,
        "keepalive_interval": 300.0,
    }


def test_a_group_inherits_from_all_users_and_knows_who_comes_before_it():
    first = GroupSettings("1", "First", 1, {"allow_kasm_audio": True, "run_config": {"hostname": "a"}})
    group = GroupSettings("2", "Contractors", 5, {"allow_kasm_audio": False})
    everybody = GroupSettings("3", "All Users", 9, {"allow_kasm_audio": True, "allow_kasm_downloads": True})
    found = {each.name: each for each in inherited_values(group, [everybody, group, first], "3")}
    audio, downloads, pause = (found[f"allow_kasm_{what}"] for what in ("audio", "downloads", "pause"))
    assert (audio.value, audio.group, audio.outranked_by) == (True, "All Users", ("First",))
    assert (downloads.value, downloads.group, downloads.outranked_by) == (True, "All Users", ())
    assert (pause.value, pause.group) == (True, None)
    assert "run_config" not in found, "mappings are merged"
    of_everybody = {each.name: each for each in inherited_values(everybody, [everybody, group, first], "3")}
    assert (of_everybody["allow_kasm_audio"].group, of_everybody["allow_kasm_audio"].outranked_by) == (
        None,
        ("First", "Contractors"),
    )


def test_the_trace_is_a_sentence():
    resolved = resolve([GroupSettings("1", "Students", 5, {"idle_disconnect": 20.0}), GroupSettings("2", "All", 1000)])
    assert resolved["idle_disconnect"].trace == "`idle_disconnect` = 20 from group Students, priority 5"
    assert resolved["allow_zone_selection"].trace == "`allow_zone_selection` = false by default"
    mapping = {"run_config": {"hostname": "desk", "dns": []}}
    merged = resolve([GroupSettings("1", "A", 1, mapping), GroupSettings("2", "B", 2, mapping)])["run_config"]
    assert merged.groups == ("A", "B")
    assert merged.trace.endswith(" from group A, priority 1, group B, priority 2"), "and no value, it may be a secret"
    assert resolve([])["run_config"].trace == "`run_config` = (empty) by default"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (20.0, "20"),
        (0.5, "0.5"),
        (7, "7"),
        ("stop", "stop"),
        ("", "(empty)"),
        ({}, "(empty)"),
        ([], "(empty)"),
        (["desktop", "browser"], "desktop, browser"),
        ({"hostname": "secret", "dns": []}, "hostname, dns"),
    ],
)
def test_a_value_is_shown_without_what_may_be_secret(value: object, text: str):
    assert value_text(value) == text


def test_a_value_is_stored_as_its_kind_says():
    assert isinstance(validated_setting("idle_disconnect", 20), float)
    assert validated_setting("max_kasms_per_user", 0) == 0
    assert validated_setting("default_image", "x" * 4096) == "x" * 4096
    assert validated_setting("keepalive_expiration_action", "stop") == "stop"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("allow_kasm_audio", 1, "`allow_kasm_audio` must be true or false, not 1."),
        (
            "keepalive_expiration",
            0,
            "`keepalive_expiration` must be a whole number from 1 to 3153600000 (s), not 0.",
        ),
        ("idle_disconnect", -1, "`idle_disconnect` must be a number from 0 to 52560000 (min), not -1."),
        (
            "max_kasms_per_user",
            10**12 + 1,
            "`max_kasms_per_user` must be a whole number from 0 to 1000000000000 (sessions), not 1000000000001.",
        ),
        (
            "keepalive_expiration_action",
            "kill",
            "`keepalive_expiration_action` must be one of delete, stop, pause, not 'kill'.",
        ),
        ("default_image", 7, "`default_image` must be a text of at most 4096 characters, not 7."),
        ("run_config", [], "`run_config` must be a JSON object, not []."),
        ("run_config", {1: 2}, "`run_config` must be a JSON object, not {1: 2}."),
        ("volume_mapping", {"/srv": {}}, "/srv must be an object with bind, the path in the container."),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_words(name: str, value: object, problem: str):
    with pytest.raises(Invalid) as refused:
        validated_setting(name, value)
    assert refused.value.message == problem


@for_all(
    st.sampled_from(sorted(SETTINGS)).flatmap(lambda name: st.tuples(st.just(name), _value(name))),
    subject=validated_setting,
    mutants=[lambda name, value: str(value)],
)
def test_values_of_the_right_kind_are_accepted_unchanged(subject: Any, pair: tuple[str, Any]):
    assert subject(*pair) == pair[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("allow_kasm_audio", "True"),
        ("allow_kasm_audio", 1),
        ("max_kasms_per_user", -1),
        ("max_kasms_per_user", True),
        ("max_kasms_per_user", 1.5),
        ("idle_disconnect", float("nan")),
        ("idle_disconnect", float("inf")),
        ("keepalive_expiration", 0),
        ("run_config", "{}"),
        ("web_filter_policy", None),
        ("no_such_setting", True),
    ],
)
def test_other_values_are_refused_with_the_name(name: str, value: object):
    with pytest.raises(Invalid, match=f"`{name}`"):
        validated_setting(name, value)


def test_defaults_are_values_of_their_kind():
    for setting in SETTINGS.values():
        validated_setting(setting.name, setting.default)


def test_each_refused_value_of_several_has_its_reason():
    values = {"max_kasms_per_user": -1, "idle_disconnect": 5, "watermark": "yes", "keepalive_interval": None}
    problems = dict(problems_of(values, validated_setting))
    assert problems.keys() == {"max_kasms_per_user", "watermark"}
    assert "from 0 to 1000000000000 (sessions), not -1" in problems["max_kasms_per_user"]


def test_the_settings_of_a_section_are_together_and_have_different_titles():
    sections = [section for section, _ in groupby(SETTINGS.values(), lambda setting: setting.section)]
    assert len(sections) == len(set(sections))
    assert len({setting.title for setting in SETTINGS.values()}) == len(SETTINGS)
