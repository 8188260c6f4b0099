"""The records of Managers that may be deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.fleet.liveness import DAY_S, ManagerRecord, Removal, records_to_remove


def record(name: str, silent_days: float, *, enabled: bool = True, is_live: bool = False) -> ManagerRecord:
    return ManagerRecord(
        manager_id=name, instance_id=name, enabled=enabled, is_live=is_live, silent_s=silent_days * DAY_S
    )


def test_a_manager_that_left_goes_and_the_reason_says_since_when():
    (removal,) = records_to_remove([record("here", 0), record("left", 31.25)], 30)
    assert removal.manager_id == "left"
    assert removal.reason == (
        "it last reported 31.2 days ago, and records are kept for 30 days (manager_record_retention_days)"
    )


def test_of_an_abandoned_zone_the_enabled_one_that_reported_last_stays():
    records = [record("a", 50), record("b", 40), record("c", 35, enabled=False)]
    assert [removal.instance_id for removal in records_to_remove(records, 30)] == ["a", "c"]


zones = st.tuples(
    st.lists(
        st.builds(
            record,
            st.uuids().map(str),
            st.floats(min_value=0, max_value=100),
            enabled=st.booleans(),
            is_live=st.booleans(),
        ),
        max_size=6,
    ),
    st.sampled_from([0, 1, 30]),
)


def only_those_that_left_go_and_an_enabled_one_stays(subject: Any, case: tuple[Sequence[ManagerRecord], float]) -> None:
    records, keep_days = case
    gone = {removal.manager_id for removal in subject(records, keep_days)}
    removed = [r for r in records if r.manager_id in gone]
    assert not any(r.is_live or r.silent_s <= keep_days * DAY_S for r in removed)
    assert keep_days > 0 or not removed
    assert not any(r.enabled for r in records) or any(r.enabled for r in records if r not in removed)
    stayed = [r for r in records if r not in removed and not r.is_live and r.silent_s > keep_days * DAY_S]
    assert keep_days == 0 or len(stayed) <= 1


def _removal(found: ManagerRecord) -> Removal:
    return Removal(manager_id=found.manager_id, instance_id=found.instance_id, reason="")


def removes_all_that_are_silent(records: Sequence[ManagerRecord], keep_days: float) -> list[Removal]:
    return [_removal(r) for r in records if keep_days and not r.is_live and r.silent_s > keep_days * DAY_S]


def removes_frozen_ones(records: Sequence[ManagerRecord], keep_days: float) -> list[Removal]:
    frozen = [_removal(r) for r in records[1:] if keep_days and r.is_live and r.silent_s > keep_days * DAY_S]
    return records_to_remove(records, keep_days) + frozen


def takes_0_for_at_once(records: Sequence[ManagerRecord], keep_days: float) -> list[Removal]:
    return records_to_remove(records, keep_days or 1e-9)


def removes_nothing(records: Sequence[ManagerRecord], keep_days: float) -> list[Removal]:
    return []


def test_only_those_that_left_go_and_an_enabled_one_stays():
    holds(only_those_that_left_go_and_an_enabled_one_stays, records_to_remove, zones)
    for mutant in (removes_all_that_are_silent, removes_frozen_ones, takes_0_for_at_once, removes_nothing):
        catches(only_those_that_left_go_and_an_enabled_one_stays, mutant, zones)
