"""The plan of a zone's machines: orders, cancellations, drains, and the messages about them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.unit.machines import DESKTOP, GB, NOW, POOL, agent, ago, joined, order, pool, want, zone

from greenroom.core.fleet.disk import FreeDisk
from greenroom.core.fleet.machines.model import (
    MachinePlan,
    MachinePoolFailures,
    OrderState,
    OrderTransition,
    PlaceOrder,
    ScheduleEntry,
    Surplus,
    ZoneSnapshot,
)
from greenroom.core.fleet.machines.plan import MAX_AT_ONCE, plan


def orders_of(snapshot: ZoneSnapshot) -> list[str]:
    return [placed.reason for placed in plan(snapshot).orders]


def moves_of(made: MachinePlan) -> list[tuple[str, str]]:
    return [(move.machine_order_id, str(move.to)) for move in made.transitions]


def sentence_of(snapshot: ZoneSnapshot) -> str:
    (report,) = plan(snapshot).reports
    return report.sentence


# More ----------------------------------------------------------------------------------------------------------------


def test_what_finds_no_room_orders_as_many_machines_as_hold_it():
    assert (
        orders_of(zone(demands=(want(9, "the pool Desktop lacks 9 sessions"),)))
        == ["The pool Desktop lacks 9 sessions, and there is no room."] * 2
    )


def test_room_that_is_there_or_coming_orders_nothing():
    hand_made = agent("host", cores_used=7)
    assert orders_of(zone(agents=(hand_made,), demands=(want(1),))) == []
    assert orders_of(zone(order("o"), demands=(want(8),))) == []
    assert orders_of(zone(order("o", "created", ref="r"), demands=(want(9),))) == ["People wait, and there is no room."]


def test_a_machine_whose_agent_takes_no_sessions_yet_counts_for_as_long_as_an_order():
    pending = agent("a", status="pending", cores=0.0, memory=0)
    coming = joined(pending, state="created")
    assert orders_of(zone(coming, demands=(want(1),))) == []
    given_up = zone(replace(coming, deadline=ago(180)), demands=(want(1),))
    assert orders_of(given_up) == []
    assert "an order has just failed" in sentence_of(given_up)
    missing = joined(replace(pending, status="missing"))
    assert len(orders_of(zone(missing, demands=(want(1),)))) == 1


def test_a_session_that_no_machine_could_hold_orders_none_and_is_said():
    large = replace(DESKTOP, cores=9.0)
    snapshot = zone(demands=(want(1, "1 user waits for CAD", large),))
    assert orders_of(snapshot) == []
    assert sentence_of(snapshot) == (
        "No machine. 1 user waits for CAD, and the machines of this pool are too small: a machine of "
        "pool cloud has 8 of 8 cores free, 9 are needed."
    )


def test_what_machines_really_offer_counts_where_it_is_less_than_declared():
    small = agent("a", cores_used=8.0, memory=15 * GB)
    whole = replace(DESKTOP, cores=1.0, memory=16 * GB)
    assert len(orders_of(zone(demands=(want(1, request=whole),)))) == 1
    assert orders_of(zone(joined(small, live=8), demands=(want(1, request=whole),))) == []


def test_cores_of_the_host_are_offered_as_often_as_the_overcommit_says():
    assert len(orders_of(zone(demands=(want(8),), overcommit=4.0))) == 1
    assert len(orders_of(zone(demands=(want(33, request=replace(DESKTOP, memory=1)),), overcommit=4.0))) == 2


def test_no_more_than_allowed_are_ordered_and_those_being_released_count():
    releasing = order("o", "releasing", ref="r")
    snapshot = zone(releasing, demands=(want(100),), pools=(pool(max_machines=2),))
    assert len(orders_of(snapshot)) == 1
    assert "2 of at most 2 machines exist or are ordered" in sentence_of(snapshot)
    many = zone(demands=(want(10_000),), pools=(pool(max_machines=1000),))
    assert len(orders_of(many)) == MAX_AT_ONCE


def test_after_failures_nothing_is_ordered_before_the_next_try():
    state = MachinePoolFailures(failures=2, next_try=NOW + timedelta(seconds=30))
    waits = zone(demands=(want(1),), pools=(replace(POOL, failure_state=state),))
    assert orders_of(waits) == []
    assert "after 2 failures in a row, the next machine is ordered at 09:00:30 UTC" in sentence_of(waits)
    due = replace(state, next_try=NOW)
    assert len(orders_of(zone(demands=(want(1),), pools=(replace(POOL, failure_state=due),)))) == 1


def test_an_order_that_fails_is_not_followed_by_another_in_the_same_plan():
    overdue = order("o", "created", ref="r", requested=ago(900), deadline=NOW)
    snapshot = zone(overdue, demands=(want(1),))
    assert orders_of(snapshot) == []
    assert "an order has just failed" in sentence_of(snapshot)


def test_standby_room_is_ordered_beyond_what_is_wanted():
    assert orders_of(zone(pools=(pool(standby_cores=4.0),))) == ["4 cores must be free, and 0 are free."]
    assert orders_of(zone(pools=(pool(standby_memory=4 * GB),))) == ["4 GB memory must be free, and 0 B are free."]
    used = agent("host", cores_used=4)
    assert orders_of(zone(agents=(used,), pools=(pool(standby_cores=4.0),))) == []
    assert len(orders_of(zone(agents=(used,), demands=(want(1),), pools=(pool(standby_cores=4.0),)))) == 1
    no_disk = replace(used, disk=FreeDisk(free_bytes=1, kept_bytes=2))
    assert len(orders_of(zone(agents=(no_disk,), pools=(pool(standby_cores=4.0),)))) == 1


def test_the_schedule_has_machines_ready_when_its_time_comes():
    office = ScheduleEntry(days=(0, 1, 2, 3, 4), begin=9 * 60 + 10, end=18 * 60, min_machines=2)
    assert orders_of(zone(pools=(pool(schedule=(office,)),))) == ["At least 2 machines must exist at this time."] * 2
    later = replace(office, begin=9 * 60 + 30)
    assert orders_of(zone(pools=(pool(schedule=(later,)),))) == []
    assert len(orders_of(zone(pools=(pool(schedule=(office,), max_machines=1),)))) == 1


def test_a_draining_machine_is_taken_back_before_one_is_ordered():
    draining = joined(agent("a", draining=True), live=1, state="draining")
    made = plan(zone(draining, demands=(want(1),)))
    assert moves_of(made) == [("o-a", "joined")]
    assert made.transitions[0].reason == "it is used again: people wait, and there is no room"
    assert made.orders == ()
    disabled = joined(agent("a", draining=True, enabled=False), live=1, state="draining")
    assert len(orders_of(zone(disabled, demands=(want(1),)))) == 1


def test_what_one_pool_cannot_hold_another_may():
    large = replace(DESKTOP, cores=9.0)
    big = replace(POOL, machine_pool_id="q", name="zz", limits=replace(POOL.limits, cores=16.0))
    made = plan(zone(demands=(want(1, request=large),), pools=(POOL, big)))
    assert [placed.machine_pool_id for placed in made.orders] == ["q"]


# Fewer ---------------------------------------------------------------------------------------------------------------


def test_a_machine_that_others_can_replace_drains_after_a_while_and_not_at_once():
    kept, dispensable = joined(agent("a", cores_used=2), live=2), joined(agent("b", cores_used=1), live=1)
    assert plan(zone(kept, dispensable)).actions == (Surplus("o-b", NOW),)
    waiting = replace(dispensable, surplus_since=ago(599))
    assert plan(zone(kept, waiting)).actions == ()
    due = replace(dispensable, surplus_since=ago(600))
    (move,) = plan(zone(kept, due)).transitions
    assert (move.machine_order_id, move.to) == ("o-b", OrderState.DRAINING)
    assert move.reason == "the other machines had room for all its sessions for 600 s"


def test_a_machine_that_is_needed_again_is_surplus_no_longer():
    full = joined(agent("a", cores_used=8), live=8)
    dispensable = joined(agent("b", cores_used=1), live=1, surplus_since=ago(300))
    assert plan(zone(full, dispensable)).actions == (Surplus("o-b", None),)


def test_the_standby_room_and_the_smallest_number_stay():
    empty = joined(agent("a"), surplus_since=ago(9000))
    assert moves_of(plan(zone(empty))) == [("o-a", "draining")]
    assert moves_of(plan(zone(empty, pools=(pool(standby_cores=1.0),)))) == []
    assert moves_of(plan(zone(empty, pools=(pool(min_machines=1),)))) == []


def test_a_machine_that_the_standby_capacity_of_another_pool_needs_stays():
    empty = joined(agent("a"), surplus_since=ago(600))
    other = replace(pool(standby_cores=1.0, max_machines=0), machine_pool_id="q", name="q")
    assert moves_of(plan(zone(empty))) == [("o-a", "draining")]
    assert moves_of(plan(zone(empty, pools=(POOL, other)))) == []
    assert moves_of(plan(zone(empty, pools=(POOL, replace(other, disabled=True))))) == [("o-a", "draining")]


def test_nothing_drains_while_something_is_lacking_that_the_pool_could_hold():
    full, empty = joined(agent("a", cores_used=8), live=8), joined(agent("b"), surplus_since=ago(9000))
    large = replace(DESKTOP, cores=9.0)
    never = zone(full, empty, demands=(want(1, request=large),))
    assert moves_of(plan(never)) == [("o-b", "draining")]
    lacking = zone(full, replace(empty, surplus_since=ago(9000)), demands=(want(20),), pools=(pool(max_machines=2),))
    assert moves_of(plan(lacking)) == []


def test_of_several_only_as_many_drain_as_the_rest_can_stand_in_for():
    two = [joined(agent(name, cores_used=4), live=4, surplus_since=ago(9000)) for name in ("a", "b")]
    assert moves_of(plan(zone(*two))) == [("o-a", "draining")]
    spread = [joined(agent(name, cores_used=3), live=3, surplus_since=ago(9000)) for name in ("a", "b", "c")]
    assert moves_of(plan(zone(*spread))) == [("o-a", "draining")]


def test_a_machine_that_takes_no_sessions_is_not_judged_by_its_room():
    missing = joined(agent("a", status="missing"), live=1, surplus_since=ago(9000))
    assert plan(zone(missing)).actions == (Surplus("o-a", None),)


def test_the_machines_of_a_disabled_pool_drain_and_hold_nothing_up():
    kept = joined(agent("a", cores_used=1), live=1)
    made = plan(zone(kept, order("o", requested=None), demands=(want(1),), pools=(replace(POOL, disabled=True),)))
    assert moves_of(made) == [("o", "ended"), ("o-a", "draining")]
    assert made.orders == ()
    assert made.reports[0].sentence == "Disabled: 1 joined."
    draining = joined(agent("b", draining=True), live=1, state="draining")
    assert moves_of(plan(zone(draining, pools=(replace(POOL, disabled=True),)))) == []
    other = replace(POOL, machine_pool_id="q", name="other")
    made = plan(zone(kept, demands=(want(1),), pools=(replace(POOL, disabled=True), other)))
    assert [placed.machine_pool_id for placed in made.orders] == ["q"]


def test_a_pool_at_rest_says_so():
    assert sentence_of(zone(joined(agent("a", cores_used=8), live=8))) == ("1 joined. The capacity is sufficient.")
    assert sentence_of(zone(demands=(want(1),))) == "No machine. 1 more to be ordered."


def test_an_agent_that_keeps_a_machine_is_named():
    kept = replace(joined(agent("a", cores_used=8), live=8), other_agent="desk-7")
    assert sentence_of(zone(kept)) == (
        "1 joined. The capacity is sufficient. Agent desk-7 also joined on a machine of this pool; the "
        "machine is kept until this Agent is deleted."
    )


def test_a_want_that_another_pool_met_orders_nothing_more():
    first, second = POOL, replace(POOL, machine_pool_id="q", name="other")
    made = plan(zone(demands=(want(3),), pools=(second, first)))
    assert [placed.machine_pool_id for placed in made.orders] == ["p"]
    assert isinstance(made.actions[0], PlaceOrder)
    assert not any(isinstance(action, OrderTransition) for action in made.actions)
