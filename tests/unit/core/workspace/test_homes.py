"""Homes that the installation keeps: their owners, and the times of their measurements."""

from __future__ import annotations

import posixpath
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.workspace.homes import (
    MEASURE_EVERY_S,
    MEASURE_UNUSED_EVERY_S,
    STORED_HOMES_PATH,
    HomeId,
    HomeMeasurement,
    deletion_warning,
    home_of,
    home_remark,
    home_state,
    home_with_name,
    in_use_problem,
    next_to_measure,
    parse_removal_name,
    removal_name,
)
from greenroom.core.workspace.session_spec import Mount
from greenroom.core.workspace.volumes import HOME, mappings_problem, profile_mount, profile_problem

ids = st.uuids().map(str)
homes = st.builds(HomeId, ids, ids)
parts = st.one_of(ids, st.sampled_from(["..", ".", "/", "a", STORED_HOMES_PATH, "\n", "."]))
paths = st.lists(parts, max_size=5).map("".join)


@for_all(
    homes,
    homes,
    ids,
    subject=home_with_name,
    mutants=[lambda name: (parse_removal_name(name) or [home_with_name(name)])[0]],
)
def test_a_homes_name_is_its_alone_and_leads_nowhere_else(subject: Any, home: HomeId, other: HomeId, removal_id: str):
    assert home_of(home.source) == home
    assert subject(home.name) == home
    assert parse_removal_name(removal_name(home, removal_id)) == (home, removal_id)
    assert subject(removal_name(home, removal_id)) is None, "what was moved away is no home"
    assert parse_removal_name(home.name) is None
    assert posixpath.normpath(f"/homes/{home.name}") == f"/homes/{home.name}"
    assert (home.name == other.name) == (home == other)


@for_all(paths, subject=home_of, mutants=[lambda path: HomeId("a", "b")])
def test_nothing_else_is_a_home(subject: Any, path: str):
    found = subject(f"/{STORED_HOMES_PATH}/{path}")
    assert found is None or found.source == f"/{STORED_HOMES_PATH}/{path}"
    assert home_with_name(path) is None or posixpath.normpath(path) == path
    assert mappings_problem({f"/{STORED_HOMES_PATH}/{path}": {"bind": "/x"}}), (
        "and no mapping of an administrator leads there"
    )


def test_a_workspace_that_keeps_homes_mounts_the_users_own():
    assert profile_problem(STORED_HOMES_PATH) is None
    for wrong in (f"/srv/{STORED_HOMES_PATH}", f"{STORED_HOMES_PATH}/x", f"/{STORED_HOMES_PATH}"):
        assert profile_problem(wrong) == (
            f"{wrong} cannot be used: {{homes}} must be the whole path; the installation then chooses the folder."
        )
    tokens = {"user_id": "u" * 8, "image_id": "i" * 8, "username": "ada"}
    made = profile_mount(STORED_HOMES_PATH, tokens, "Enabled")
    assert made == Mount(source="/{homes}/uuuuuuuu.iiiiiiii", target=HOME, profile="Enabled")


HERE = [HomeId(f"{n:08x}-0000-4000-8000-000000000000", "0" * 8) for n in range(4)]


uses = st.dictionaries(st.integers(0, 3), st.lists(st.booleans(), max_size=12), max_size=4)


@for_all(
    uses,
    subject=next_to_measure,
    mutants=[
        lambda here, in_use, measured, now_s: next_to_measure(here, here, measured, now_s),
        lambda here, in_use, measured, now_s: next_to_measure(here, (), measured, now_s) if measured else None,
        lambda here, in_use, measured, now_s: next_to_measure(in_use, in_use, measured, now_s),
    ],
)
def test_homes_are_measured_while_they_are_used_once_after_it_and_hardly_ever_then(
    subject: Any, used: dict[int, list[bool]]
):
    """A day in steps of a quarter of an hour; in each step all due homes are measured."""
    measured: dict[HomeId, HomeMeasurement] = {}
    times: dict[HomeId, int] = {}
    steps = int(2 * MEASURE_UNUSED_EVERY_S / MEASURE_EVERY_S)
    for step in range(steps):
        now_s = step * MEASURE_EVERY_S
        in_use = {home for n, home in enumerate(HERE) if used.get(n, [])[step : step + 1] == [True]}
        while (home := subject(HERE, in_use, measured, now_s)) is not None:
            last = measured.get(home)
            assert last is None or last.at_s < now_s or last.used_since, "it is measured twice for one figure"
            times[home] = times.get(home, 0) + 1
            measured[home] = HomeMeasurement(at_s=now_s, used_since=False)
        measured = {
            h: HomeMeasurement(at_s=m.at_s, used_since=m.used_since or h in in_use) for h, m in measured.items()
        }
        assert set(measured) == set(HERE), "every home has a figure"
        assert all(now_s - measured[home].at_s < MEASURE_EVERY_S for home in in_use), (
            "the figure of one in use is fresh"
        )
    for n, home in enumerate(HERE):
        uses = sum(used.get(n, []))
        assert times[home] <= uses * 2 + 3, "one that no session uses costs nothing"


def test_the_one_that_waits_longest_is_first():
    first, second, third, fourth = HERE
    measured = {
        first: HomeMeasurement(at_s=50.0),
        second: HomeMeasurement(at_s=0.0),
        third: HomeMeasurement(at_s=20.0, used_since=True),
    }
    assert next_to_measure(HERE, HERE, measured, 10_000.0) == fourth
    assert next_to_measure(HERE[:3], HERE, measured, 10_000.0) == second
    assert next_to_measure(HERE[:3], (), measured, 10_000.0) == third
    assert next_to_measure([second], [second], measured, MEASURE_EVERY_S - 1) is None


def test_a_home_in_use_is_not_deleted_and_the_sentence_names_the_sessions():
    assert in_use_problem([]) is None
    assert in_use_problem(["a"]) == "The home folder is in use by session a. Delete the session first."
    assert "by sessions a, b, c, …. Delete" in str(in_use_problem(["a", "b", "c", "d"]))


@pytest.mark.parametrize(
    ("sessions", "removal_id", "state"), [([], None, "kept"), (["s"], None, "in_use"), ([], "r", "deleting")]
)
def test_the_state_of_a_home(sessions: list[str], removal_id: str | None, state: str):
    assert home_state(sessions, removal_id) == state


def test_what_is_said_of_a_deletion_never_leaves_people_waiting_without_a_reason():
    def said(*, away: bool = False, reached: bool = True, problem: str = "") -> str:
        return home_remark("deleting", is_moved_away=away, is_reached=reached, problem=problem)

    assert said() == "It is being deleted."
    assert said(problem="It is in use.") == "It is in use."
    assert said(away=True) == "No session can use it any more; its files are being deleted."
    assert said(away=True, problem="Busy.") == "No session can use it any more; its files are being deleted. Busy."
    assert said(reached=False) == (
        "It is deleted when its Agent returns. If the Agent does not return, delete the Agent."
    )
    assert home_remark("kept", is_moved_away=False, is_reached=False, problem="Too many files.") == "Too many files."
    assert (
        deletion_warning("ada", "Desktop")
        == "All files that ada has in the home folder of Desktop are deleted permanently."
    )
