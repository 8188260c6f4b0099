"""The pools that are planned: none at rest, until an event about the pool or a time of the pool."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from tests.unit.core.pool.test_properties import snapshots
from tests.unit.pools import BIG, CONFIG, IMAGE, NOW, session, snapshot
from tests.unit.properties import for_all

from greenroom.core.pool.agenda import MAX_POOLS, MAX_WAITING_POOLS, POLL_S, Agenda, plan_valid_until
from greenroom.core.pool.model import PoolSnapshot
from greenroom.core.pool.plan import plan

DAY_S = 86_400.0


@for_all(
    snapshots(), st.floats(0, 1), subject=plan_valid_until, mutants=[lambda shot, made: shot.now + timedelta(days=1)]
)
def test_the_plan_of_a_pool_at_rest_stays_the_same_until_its_time(subject: Any, shot: PoolSnapshot, part: float):
    made = plan(shot)
    until = subject(shot, made)
    if until is None or until <= shot.now:
        return
    later = shot.now + min(until - shot.now, timedelta(days=9)) * part * 0.999
    assert plan(replace(shot, now=later)) == made


def test_a_full_pool_is_at_rest_until_a_replacement_is_due_and_a_short_one_is_not():
    full = snapshot(*(session(number, expires=NOW + timedelta(hours=1)) for number in range(3)))
    until = plan_valid_until(full, plan(full))
    assert until is not None
    assert NOW < until < NOW + timedelta(hours=1)
    assert plan(replace(full, now=until)).creates
    short = snapshot(session(0))
    assert plan_valid_until(short, plan(short)) is None
    old = replace(
        full, config=replace(CONFIG, recycled=NOW), image=replace(IMAGE, cores=5.0), agents=(replace(BIG, cores=0.0),)
    )
    assert not plan(old).actions
    assert plan_valid_until(old, plan(old)) is None, "they wait for room"
    coming = replace(full, sessions=(*full.sessions[:2], session(2, "starting")))
    assert plan_valid_until(coming, plan(coming)) is None


def agenda(*config_ids: str, valid_s: float | None = DAY_S) -> Agenda:
    """The agenda of pools that were planned at 0."""
    made = Agenda()
    made.begin(7)
    made.set_list(dict.fromkeys(config_ids, 1), 0.0)
    for config_id in config_ids:
        made.mark_planned(config_id, version=made.version, now_s=0.0, valid_s=valid_s)
    return made


def test_a_new_term_looks_at_all_pools_and_then_at_none_at_rest():
    made = Agenda()
    made.begin(7)
    assert made.needs_list(0.0)
    some = {f"c{number}" for number in range(MAX_POOLS)}
    made.set_list(dict.fromkeys(some, 1), 0.0)
    assert set(made.due(0.0)) == some
    for config_id in some:
        made.mark_planned(config_id, version=made.version, now_s=0.0, valid_s=DAY_S)
    made.begin(7)
    assert set(made.due(1.0)) == set()
    assert not made.needs_list(1.0)
    made.begin(8)
    assert made.needs_list(1.0)
    assert set(made.due(1.0)) == some


def test_many_due_pools_are_looked_at_in_turn_also_those_that_cannot_be_planned():
    many = [f"c{number:04}" for number in range(3 * MAX_POOLS)]
    made, seen = agenda(*many, valid_s=None), list[str]()
    for now_s in (1.0, 2.0, 3.0):
        due = made.due(now_s)
        assert len(due) == MAX_POOLS
        for config_id in due:
            made.record_turn(config_id, now_s)
        seen += due
    assert sorted(seen) == many
    assert set(made.due(4.0)) == set(seen[:MAX_POOLS])


@for_all(
    st.sets(st.sampled_from("abcdef")),
    st.booleans(),
    subject=agenda,
    mutants=[lambda *ids: agenda(*ids, valid_s=0.5)],
)
def test_a_pool_is_woken_by_what_is_said_of_it_and_of_all_and_by_nothing_else(
    subject: Any, named: set[str], of_all: bool
):
    made = subject(*"abcdef")
    for config_id in named:
        made.mark_changed(config_id)
    if of_all:
        made.mark_all_changed()
    assert set(made.due(1.0)) == (set("abcdef") if of_all else named)


def test_a_pool_is_due_at_its_own_time_and_one_that_is_not_at_rest_in_every_round():
    assert agenda("a", valid_s=5.0).due(4.9) == []
    assert agenda("a", valid_s=5.0).due(5.0) == ["a"]
    assert agenda("a", valid_s=None).due(0.0) == ["a"]


def test_what_is_said_while_a_pool_is_looked_at_is_not_forgotten():
    made = agenda("a", "b")
    version = made.version
    made.mark_changed("a")
    for config_id in "ab":
        made.mark_planned(config_id, version=version, now_s=1.0, valid_s=DAY_S)
    assert set(made.due(1.0)) == {"a"}
    made.mark_planned("a", version=made.version, now_s=1.0, valid_s=DAY_S)
    version = made.version
    made.mark_all_changed()
    made.mark_planned("a", version=version, now_s=2.0, valid_s=DAY_S)
    assert set(made.due(2.0)) == {"a", "b"}


def test_pools_whose_rows_changed_without_an_event_and_new_pools_are_found():
    made = agenda("a", "b", "c")
    assert set(made.due(POLL_S)) == set()
    assert made.needs_list(POLL_S)
    made.set_list({"a": 1, "b": 2, "new": 1}, POLL_S)
    assert set(made.due(POLL_S)) == {"b", "new"}
    for config_id in ("b", "new"):
        made.mark_planned(config_id, version=made.version, now_s=POLL_S, valid_s=DAY_S)
    made.set_list({"a": 1, "b": 2, "new": 1}, 2 * POLL_S)
    assert set(made.due(2 * POLL_S)) == set()


def test_a_new_term_looks_at_the_most_urgent_pools_first():
    made, ids = Agenda(), [f"c{number}" for number in range(MAX_POOLS + 5)]
    made.begin(7)
    made.set_list(dict.fromkeys(reversed(ids), 1), 0.0)
    assert made.due(0.0) == ids[:4:-1]


def test_of_many_pools_that_wait_some_are_looked_at_in_turn_and_delay_no_others():
    ids = [f"c{number:04}" for number in range(2 * MAX_WAITING_POOLS)]
    made, seen = agenda(*ids, "full"), list[str]()
    for config_id in ids:
        made.mark_planned(config_id, version=made.version, now_s=0.0, valid_s=None, had_no_actions=True)
    for now_s in (1.0, 2.0):
        due = made.due(now_s)
        assert len(due) == MAX_WAITING_POOLS
        seen += due
        for config_id in due:
            made.mark_planned(config_id, version=made.version, now_s=now_s, valid_s=None, had_no_actions=True)
    assert sorted(seen) == ids
    made.mark_changed(last := max(made.due(2.0)))
    made.mark_changed("full")
    assert {last, "full"} < set(made.due(2.0))
    assert len(made.due(2.0)) == MAX_WAITING_POOLS + 2
    made.mark_all_changed()
    assert set(made.due(2.0)) == {*ids, "full"}


def test_a_pool_of_another_zone_is_not_looked_at_again():
    made = agenda("a")
    made.mark_changed("elsewhere")
    assert set(made.due(1.0)) == {"elsewhere"}
    made.remove("elsewhere")
    assert set(made.due(1.0)) == set()
