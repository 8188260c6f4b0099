"""The parts of a change that are visible, and those that are only named."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.masking import MASK, SECRET_FIELDS, masked, masked_difference

names = st.sampled_from(["a", "environment", "settings", "run_config", *sorted(SECRET_FIELDS)])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(names, values, max_size=5)
SECRET = "correct horse battery"


def with_secret(parts: list[str]) -> dict[str, Any]:
    """An object with the secret at this path."""
    found: Any = SECRET
    for part in reversed(parts):
        found = {part: found}
    return found


def hidden_at(path: list[str], name: str) -> dict[str, Any]:
    return with_secret([*path, name, "VARIABLE"] if name == "environment" else [*path, name])


def at_the_top_alone(_: str, value: dict[str, Any]) -> dict[str, Any]:
    return {name: MASK if name in SECRET_FIELDS else inner for name, inner in value.items()}


PLACES = st.builds(hidden_at, st.lists(names, max_size=3), st.sampled_from([*sorted(SECRET_FIELDS), "environment"]))


@for_all(PLACES, subject=masked, mutants=[at_the_top_alone])
def test_no_secret_is_shown_however_deep_it_lies(subject: Any, hidden: dict[str, Any]):
    assert SECRET not in str(subject("", hidden))


def unmasked(before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return before, {name: value for name, value in after.items() if before.get(name) != value}


@for_all(PLACES, PLACES, subject=masked_difference, mutants=[unmasked])
def test_no_secret_is_shown_in_a_difference(subject: Any, hidden: dict[str, Any], other: dict[str, Any]):
    assert SECRET not in str(subject({}, hidden))
    assert SECRET not in str(subject(hidden, other | {"other": 1}))


@for_all(objects, subject=masked_difference, mutants=[unmasked])
def test_what_did_not_change_is_not_in_the_difference(subject: Any, value: dict[str, Any]):
    assert subject(value, value) == ({}, {})


@for_all(objects, objects, subject=masked_difference, mutants=[unmasked])
def test_both_sides_name_the_same_fields(subject: Any, before: dict[str, Any], after: dict[str, Any]):
    old, new = subject(before, after)
    assert old.keys() == new.keys()


def test_only_what_differs_inside_an_object_is_named():
    before = {"name": "Students", "settings": {"idle_disconnect": 20, "allow_kasm_audio": True}}
    after = {
        "name": "Students",
        "settings": {"idle_disconnect": 30, "allow_kasm_audio": True, "session_time_limit": 60},
    }
    assert masked_difference(before, after) == (
        {"settings.idle_disconnect": 20, "settings.session_time_limit": None},
        {"settings.idle_disconnect": 30, "settings.session_time_limit": 60},
    )


def test_a_changed_secret_is_named_and_not_shown():
    assert masked_difference({"docker_token": None}, {"docker_token": "abc"}) == (
        {"docker_token": None},
        {"docker_token": MASK},
    )


def test_what_is_no_secret_is_shown_as_it_is():
    plain = {"a": [1, {"b": None}], "environment": None, "c": "x"}
    assert masked("", plain) == plain
    assert masked("environment", "of an author") == MASK
    assert masked("settings", [{"password": "x"}, "x"]) == [{"password": MASK}, "x"]
    assert masked_difference({"a": [1]}, {"a": [1], "b": 2}) == ({"b": None}, {"b": 2})


def test_variables_of_an_environment_are_named():
    config = {"hostname": "a", "environment": {"TOKEN": SECRET, "PROXY": "x"}}
    assert masked("run_config", config) == {"hostname": "a", "environment": {"TOKEN": MASK, "PROXY": MASK}}
    changed = {"run_config": config | {"environment": {"TOKEN": "other", "PROXY": "x"}}}
    assert masked_difference({"run_config": config}, changed) == (
        {"run_config.environment.TOKEN": MASK},
        {"run_config.environment.TOKEN": MASK},
    )
