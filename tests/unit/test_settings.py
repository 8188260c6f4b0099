"""Which value of a group setting holds for a user."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core import settings
from greenroom.core.errors import Invalid
from greenroom.core.settings import SETTINGS, STAGED_PERMISSIONS, GroupSettings, permissions_of, resolve, validated

values: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int": st.integers(1, 100_000),
    "float": st.floats(0, 1e6),
    "string": st.text(max_size=10),
    "mapping": st.dictionaries(st.sampled_from("abcd"), st.integers(), max_size=4),
}


def _value(name: str) -> st.SearchStrategy[Any]:
    setting = SETTINGS[name]
    if name == "volume_mapping":
        return st.dictionaries(
            st.sampled_from(["/a", "/b", "/c"]), st.builds(lambda n: {"bind": f"/{n}"}, st.integers())
        )
    return st.sampled_from(setting.choices) if setting.kind == "choice" else values[setting.kind]


group_settings = st.sets(st.sampled_from(sorted(SETTINGS)), max_size=6).flatmap(
    lambda names: st.fixed_dictionaries({name: _value(name) for name in names})
)
memberships = st.lists(
    st.builds(
        GroupSettings,
        group_id=st.uuids().map(str),
        name=st.text("abcdef", min_size=1, max_size=4),
        priority=st.integers(1, 10),
        settings=group_settings,
    ),
    max_size=5,
    unique_by=lambda group: group.group_id,
)


def lowest_priority_number_wins(groups: list[GroupSettings]) -> None:
    resolved = resolve(groups)
    for name, setting in SETTINGS.items():
        having = [group for group in groups if name in group.settings]
        if not having:
            assert resolved[name].value == setting.default
            assert not resolved[name].explicit
        elif setting.kind != "mapping":
            winner = min(having, key=lambda group: (group.priority, group.name, group.group_id))
            assert resolved[name].value == winner.settings[name]
            assert f"group {winner.name}, priority {winner.priority}" in resolved[name].trace


@given(memberships)
def test_the_lowest_priority_number_wins(groups: list[GroupSettings]):
    lowest_priority_number_wins(groups)


@given(memberships)
def test_mappings_are_merged_and_the_lowest_number_wins_per_key(groups: list[GroupSettings]):
    for name in ("run_config", "volume_mapping"):
        having = [group for group in groups if name in group.settings]
        value = resolve(groups)[name].value
        assert set(value) == {key for group in having for key in group.settings[name]}
        for key in value:
            with_key = [group for group in having if key in group.settings[name]]
            winner = min(with_key, key=lambda group: (group.priority, group.name, group.group_id))
            assert value[key] == winner.settings[name][key]


@given(memberships, st.randoms())
def test_the_order_of_groups_does_not_matter(groups: list[GroupSettings], random: Any):
    shuffled = list(groups)
    random.shuffle(shuffled)
    assert resolve(shuffled) == resolve(groups)


@given(memberships)
def test_the_eight_permissions_are_booleans(groups: list[GroupSettings]):
    assert set(permissions_of(resolve(groups))) == set(STAGED_PERMISSIONS)


def test_the_trace_is_a_sentence():
    resolved = resolve([GroupSettings("1", "Students", 5, {"idle_disconnect": 20.0}), GroupSettings("2", "All", 1000)])
    assert resolved["idle_disconnect"].trace == "`idle_disconnect` = 20 from group Students, priority 5"
    assert resolved["allow_zone_selection"].trace == "`allow_zone_selection` = false by default"


def test_a_mutant_that_takes_the_highest_number_is_caught(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(settings, "sorted", lambda items, key: sorted(items, key=key, reverse=True), raising=False)
    with pytest.raises(AssertionError):
        hypothesis.settings(report_multiple_bugs=False, database=None)(
            given(memberships)(lowest_priority_number_wins)
        )()


@given(st.sampled_from(sorted(SETTINGS)).flatmap(lambda name: st.tuples(st.just(name), _value(name))))
def test_values_of_the_right_kind_are_accepted_unchanged(pair: tuple[str, Any]):
    assert validated(*pair) == pair[1]


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
        validated(name, value)


def test_defaults_are_values_of_their_kind():
    for setting in SETTINGS.values():
        validated(setting.name, setting.default)
