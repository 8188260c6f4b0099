"""The transitions of an order without intervention: requested, found, overdue, gone, released; and the back-off of
its pool."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.machines import NOW, POOL, agent, ago, joined, order

from greenroom.core.fleet.machines import orders as core
from greenroom.core.fleet.machines.model import (
    TRANSITIONS,
    Action,
    EndMachine,
    ListedMachines,
    Machine,
    MachineOrder,
    MachinePool,
    MachinePoolFailures,
    OrderState,
    OrderTransition,
    RequestMachine,
    StrayMachine,
)

NOTHING = ListedMachines(NOW, ())
DISABLED = replace(POOL, disabled=True)
UNASKED = order("o")
ASKED = order("o", requested=ago(60))
CREATED = order("o", "created", requested=ago(60), ref="r")
RELEASING = order("o", "releasing", requested=ago(1000), ref="r")
EMPTY = agent("a")


def shows(*refs: str) -> ListedMachines:
    return ListedMachines(NOW, tuple(Machine(ref, "o") for ref in refs))


def follow(
    one: MachineOrder, listing: ListedMachines | None = NOTHING, pool: MachinePool = POOL, *, quiet: bool = False
) -> list[Action]:
    return core.order_actions(one, pool, listing, NOW, quiet=quiet)


def moved(*arguments: object, **options: object) -> tuple[str, str, bool] | None:
    """The next state, its reason, and True if it is a failure."""
    moves = [action for action in follow(*arguments, **options) if isinstance(action, OrderTransition)]  # type: ignore[arg-type]
    return (str(moves[0].to), moves[0].reason, moves[0].failed) if moves else None


def test_a_machine_is_asked_for_once_and_only_after_a_look_at_what_there_is():
    assert follow(UNASKED) == [RequestMachine("o", "p")]
    assert follow(UNASKED, None) == []
    assert follow(ASKED) == []
    later = replace(POOL, failure_state=MachinePoolFailures(failures=1, next_try=NOW + timedelta(seconds=1)))
    assert follow(UNASKED, pool=later) == []
    assert follow(UNASKED, pool=replace(POOL, failure_state=MachinePoolFailures(failures=1, next_try=NOW))) == [
        RequestMachine("o", "p")
    ]


def test_a_machine_that_is_shown_is_that_of_the_order():
    assert follow(ASKED, shows("r")) == [
        OrderTransition("o", OrderState.CREATED, "the provider lists it as r", "r"),
    ]


def test_of_two_machines_of_one_order_one_ends():
    assert follow(CREATED, shows("q", "r")) == [EndMachine("o", "p", "q")]
    assert follow(ASKED, shows("q", "r"))[0] == EndMachine("o", "p", "r")


@pytest.mark.parametrize("state", ["ordered", "created", "joined", "draining"])
def test_of_two_machines_none_ends_once_an_agent_is_on_one_of_them_until_both_go(state: str):
    status = "pending" if state in ("ordered", "created") else "running"
    one = joined(replace(EMPTY, status=status), live=1 if state in ("joined", "draining") else 0, state=state)
    both = ListedMachines(NOW, (Machine("q", "o-a"), Machine("r-a", "o-a")))
    assert follow(one, both)[0] == StrayMachine(
        "o-a", "p", "q", "another machine has the same name, and the machine of the Agent is unknown"
    )
    assert not any(isinstance(action, EndMachine) for action in follow(one, both))
    assert follow(RELEASING, shows("q", "r")) == [EndMachine("o", "p", "q"), EndMachine("o", "p", "r")]


@pytest.mark.parametrize("one", [ASKED, CREATED])
def test_an_agent_that_joined_makes_it_joined_even_when_late(one: MachineOrder):
    late = replace(one, agent=EMPTY, deadline=ago(1))
    assert moved(late) == ("joined", "its Agent joined as a", False)


def test_what_does_not_join_in_time_is_released_and_counts_as_a_failure():
    reason = "no Agent joined within 900 s"
    assert moved(replace(CREATED, deadline=NOW)) == ("releasing", reason, True)
    assert moved(replace(ASKED, deadline=NOW)) == ("releasing", reason, True)
    assert moved(replace(UNASKED, deadline=NOW)) == ("ended", reason, False)


PENDING = replace(CREATED, agent=replace(EMPTY, status="pending"))


def test_an_agent_that_registers_has_not_joined_until_it_serves():
    assert moved(PENDING, shows("r")) is None
    assert moved(replace(PENDING, deadline=ago(179)), shows("r")) is None
    late = replace(PENDING, deadline=ago(180))
    reason = "its Agent a registered, but was not ready 1080 s after the order"
    assert follow(late, shows("r")) == [
        OrderTransition("o", OrderState.RELEASING, reason, "r", failed=True, agent_id="a")
    ]
    assert moved(late, shows("r"), quiet=True) is None
    disabled = replace(late, agent=replace(EMPTY, status="pending", enabled=False))
    assert moved(disabled, shows("r")) == (
        "releasing",
        "its Agent a registered, but no administrator enabled it within 1080 s of the order",
        True,
    )
    assert moved(replace(late, agent_sessions=1), shows("r")) is None
    assert moved(replace(late, agent=EMPTY), shows("r")) == ("joined", "its Agent joined as a", False)


def test_a_machine_whose_agent_has_registered_is_not_taken_to_be_gone():
    assert moved(replace(PENDING, changed=ago(180))) is None


def test_what_is_not_confirmed_and_not_shown_is_given_up_after_a_while():
    assert moved(replace(ASKED, requested=ago(179))) is None
    assert moved(replace(ASKED, requested=ago(180)), None) is None
    found = moved(replace(ASKED, requested=ago(180)))
    assert found == ("releasing", "the provider did not confirm the request for it and does not list it", True)


def test_a_created_machine_that_is_gone_is_given_up_after_a_while():
    assert moved(CREATED) is None
    assert moved(replace(CREATED, changed=ago(180)), shows("r")) is None
    found = moved(replace(CREATED, changed=ago(180)))
    assert found == ("releasing", "the provider no longer lists it, and it had not joined", True)


def test_a_disabled_pool_ends_what_was_not_asked_for_and_releases_the_rest():
    assert moved(UNASKED, NOTHING, DISABLED) == ("ended", "pool cloud was disabled before a machine joined", False)
    assert moved(ASKED, NOTHING, DISABLED)[0] == "releasing"  # type: ignore[index]
    assert moved(CREATED, shows("r"), DISABLED)[0] == "releasing"  # type: ignore[index]


def test_nothing_with_a_session_is_released_even_if_its_agent_is_gone():
    for status in ("running", "missing", "dead", "in another zone"):
        for state in ("joined", "draining"):
            assert moved(joined(agent("a", status=status, draining=True), live=1, state=state)) in (
                None,
                ("draining", "an administrator drains or disables its Agent a", False),
            )


def test_a_drained_machine_is_released_when_its_last_session_has_ended():
    draining = joined(replace(EMPTY, draining=True), state="draining")
    assert moved(draining) == ("releasing", "its last session has ended", False)


def test_a_machine_is_released_when_its_agent_is_gone():
    assert moved(replace(joined(EMPTY), agent=None)) == ("releasing", "its Agent was deleted", False)
    assert moved(joined(replace(EMPTY, status="dead"))) == ("releasing", "its Agent a is dead", False)
    missing = joined(replace(EMPTY, status="missing"))
    assert moved(missing) == ("releasing", "its Agent a is missing, and the provider does not list it", False)
    assert moved(missing, quiet=True) is None
    assert moved(missing, ListedMachines(NOW, (Machine("r-a", "o-a"),))) is None
    assert moved(joined(EMPTY)) is None


def test_a_machine_is_kept_while_another_agent_is_on_it():
    gone = (
        replace(joined(EMPTY), agent=None),
        joined(replace(EMPTY, status="dead")),
        joined(replace(EMPTY, draining=True), state="draining"),
    )
    for one in gone:
        assert moved(one)[0] == "releasing"  # type: ignore[index]
        assert moved(replace(one, other_agent="b")) is None
    assert follow(replace(RELEASING, other_agent="b"), shows("r")) == []
    assert moved(replace(RELEASING, other_agent="b"))[0] == "ended"  # type: ignore[index]


@pytest.mark.parametrize("out", [{"draining": True}, {"enabled": False}])
def test_an_administrator_who_takes_an_agent_out_gives_its_machine_back(out: dict[str, bool]):
    assert moved(joined(replace(EMPTY, **out)))[0] == "draining"  # type: ignore[index]


def test_a_released_machine_is_ended_until_it_is_shown_no_more():
    assert follow(RELEASING, shows("r")) == [EndMachine("o", "p", "r")]
    assert follow(RELEASING, None) == []
    assert follow(RELEASING, ListedMachines(RELEASING.changed, ())) == []
    assert follow(RELEASING) == [OrderTransition("o", OrderState.ENDED, "the provider does not list it any more", "r")]


def test_a_machine_that_could_not_be_ended_is_tried_again_later():
    later = replace(RELEASING, next_end=NOW + timedelta(seconds=1))
    assert follow(later, shows("r")) == []
    assert follow(replace(later, next_end=NOW), shows("r")) == [EndMachine("o", "p", "r")]
    assert follow(replace(CREATED, next_end=later.next_end), shows("q", "r")) == []
    assert core.next_end(1, 0.0, NOW) == NOW + timedelta(seconds=15)
    assert core.next_end(3, 0.0, NOW) == NOW + timedelta(seconds=60)
    assert core.next_end(50, 1e9, NOW) == NOW + timedelta(seconds=3600)


def test_what_is_not_shown_with_other_secrets_is_not_taken_to_be_gone():
    assert follow(replace(RELEASING, list_unreliable_since=ago(60))) == []
    assert follow(replace(RELEASING, list_unreliable_since=ago(60)), shows("r")) == [EndMachine("o", "p", "r")]
    assert moved(replace(RELEASING, list_unreliable_since=ago(7 * 86400)))[0] == "ended"  # type: ignore[index]


def test_a_machine_that_may_still_come_is_waited_for():
    unknown = replace(RELEASING, ref=None, requested=ago(899))
    assert follow(unknown) == []
    assert follow(unknown, shows("late")) == [EndMachine("o", "p", "late")]
    assert moved(replace(unknown, requested=ago(900)))[0] == "ended"  # type: ignore[index]
    assert moved(replace(unknown, requested=None))[0] == "ended"  # type: ignore[index]


def test_a_machine_without_an_open_order_is_released():
    assert core.stray_machines(POOL, [order("other")], shows("r")) == [
        StrayMachine("o", "p", "r", "the provider lists it without an open order")
    ]
    assert core.stray_machines(POOL, [UNASKED], shows("r")) == []
    assert core.stray_machines(POOL, [], None) == []


def test_every_move_is_an_edge():
    for one in (
        UNASKED,
        ASKED,
        CREATED,
        RELEASING,
        joined(EMPTY, state="draining"),
        replace(joined(EMPTY), agent=None),
    ):
        for listing in (None, NOTHING, shows("r")):
            for pool in (POOL, DISABLED):
                for action in follow(one, listing, pool):
                    assert not isinstance(action, OrderTransition) or action.to in TRANSITIONS[one.state]


def test_the_pause_after_failed_orders_grows_and_is_forgotten_when_one_joins():
    first = core.failures_after_orders(MachinePoolFailures(), ["it hangs", "it burns"], joined=False, now=NOW)
    assert first == MachinePoolFailures(failures=1, next_try=NOW + timedelta(seconds=7.5 * 2), last_error="it burns")
    second = core.failures_after_orders(first, ["it burns"], joined=True, now=NOW)
    assert second.next_try == NOW + timedelta(seconds=30)
    assert core.failures_after_orders(second, [], joined=False, now=NOW) == second
    assert core.failures_after_orders(second, [], joined=True, now=NOW) == MachinePoolFailures(last_error="it burns")


def test_a_provider_that_fails_is_called_later_and_at_the_earliest_when_it_said():
    first = core.failures_after_call(MachinePoolFailures(), "away", 0.0, NOW)
    assert first == MachinePoolFailures(call_failures=1, next_call=NOW + timedelta(seconds=15), last_error="away")
    assert core.failures_after_call(first, "busy", 100.0, NOW).next_call == NOW + timedelta(seconds=100)
    assert core.failures_after_call(first, "busy", 1e9, NOW).next_call == NOW + timedelta(seconds=3600)
    assert core.failures_after_call(first, None, 0.0, NOW) == MachinePoolFailures()
    assert core.failures_after_call(replace(first, failures=1), None, 0.0, NOW) == MachinePoolFailures(
        failures=1, last_error="away"
    )
