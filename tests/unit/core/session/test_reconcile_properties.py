"""The properties of every plan of an Agent, each with a mutant that violates it (`core.session.reconcile`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import pytest
from hypothesis import strategies as st
from tests.support.plans_of_agents import CREATED, EXITED, PAUSED, RUNNING, seen, wanted
from tests.unit.properties import Property, catches, holds

from greenroom.core.session.reconcile import (
    Action,
    ActionKind,
    ContainerState,
    JournalFacts,
    RequestedCommand,
    RoundSnapshot,
    observe,
    plan,
)
from greenroom.core.session.states import ObservedState, Want

IDS = ["s1", "s2", "s3"]
CHANGES = {
    ActionKind.CREATE,
    ActionKind.START,
    ActionKind.STOP,
    ActionKind.PAUSE,
    ActionKind.UNPAUSE,
    ActionKind.REMOVE,
    ActionKind.EXAMINE,
    ActionKind.FULL_SHARE,
}
Planner = Callable[[RoundSnapshot], list[Action]]


@st.composite
def snapshots(draw: st.DrawFn) -> RoundSnapshot:
    """Hosts and lists in any combination, including some that should not occur."""
    ids = st.sampled_from(IDS)
    return RoundSnapshot(
        list_is_valid=draw(st.booleans() | st.just(True)),
        desired={
            i: wanted(
                draw(st.sampled_from(Want)),
                i,
                assignment_id=draw(st.none() | st.just(f"a-{i}")),
                generation=draw(st.integers(1, 3)),
            )
            for i in draw(st.sets(ids))
        },
        observed={
            i: seen(draw(st.sampled_from(ContainerState)), i, spec_hash=draw(st.sampled_from(["h", "h", "other"])))
            for i in draw(st.sets(ids))
        },
        journals={
            i: JournalFacts(
                ran=draw(st.booleans()),
                stopped=draw(st.booleans()),
                failure=draw(st.sampled_from(["", "", "it could not be started"])),
            )
            for i in draw(st.sets(ids))
        },
        commands=tuple(RequestedCommand(command_id=f"c-{i}", session_id=i) for i in draw(st.sets(ids))),
        begun=frozenset(draw(st.sets(st.sampled_from([f"{kind}-{i}" for kind in "ac" for i in IDS])))),
        ids_to_destroy=frozenset(draw(st.sets(ids))),
    )


def nothing_before_a_valid_list(planner: Planner, snapshot: RoundSnapshot) -> None:
    assert planner(replace(snapshot, list_is_valid=False)) == []


def absence_commands_nothing(planner: Planner, snapshot: RoundSnapshot) -> None:
    """A container that no list names is only reported, unless a verdict is destroy."""
    for action in planner(snapshot):
        if action.session_id not in snapshot.desired:
            assert action.kind is ActionKind.REPORT_UNKNOWN or action.session_id in snapshot.ids_to_destroy


def destroyed_only_on_order(planner: Planner, snapshot: RoundSnapshot) -> None:
    for action in planner(snapshot):
        if action.kind is ActionKind.REMOVE:
            want = snapshot.desired.get(action.session_id)
            assert want.want is Want.ABSENT if want else action.session_id in snapshot.ids_to_destroy


def failed_ones_are_never_started(planner: Planner, snapshot: RoundSnapshot) -> None:
    for action in planner(snapshot):
        known, container = (
            snapshot.journals.get(action.session_id, JournalFacts()),
            snapshot.observed.get(action.session_id),
        )
        if action.kind in {ActionKind.START, ActionKind.CREATE}:
            assert not known.failure
            assert container is None or container.state is not EXITED or known.stopped
            assert container is not None or not known.ran


def one_change_per_container(planner: Planner, snapshot: RoundSnapshot) -> None:
    changed = [action.session_id for action in planner(snapshot) if action.kind in CHANGES]
    assert len(changed) == len(set(changed))


def each_session_is_planned_by_itself(planner: Planner, snapshot: RoundSnapshot) -> None:
    """A round for some sessions makes the same plans for them as a round for all."""
    some = frozenset(IDS[:2])
    of_some = replace(
        snapshot,
        desired={k: v for k, v in snapshot.desired.items() if k in some},
        observed={k: v for k, v in snapshot.observed.items() if k in some},
        journals={k: v for k, v in snapshot.journals.items() if k in some},
        commands=tuple(order for order in snapshot.commands if order.session_id in some),
    )
    assert planner(of_some) == [action for action in planner(snapshot) if action.session_id in some]


def begun_once(planner: Planner, snapshot: RoundSnapshot) -> None:
    for action in planner(snapshot):
        assert action.target_id is None or action.target_id not in snapshot.begun


def comes_to_rest_as_wanted(planner: Planner, snapshot: RoundSnapshot) -> None:
    """Executed on a model host, a few rounds bring every session to its desired state, and then nothing is planned."""
    valid = replace(snapshot, list_is_valid=True)
    for _ in range(4):
        for action in planner(valid):
            valid = carry_out(valid, action)
    assert {a.kind for a in planner(valid)} <= {ActionKind.REPORT_UNKNOWN, ActionKind.REPORT_MISMATCH}
    for session_id, want in valid.desired.items():
        state, error = observe(want, valid.observed.get(session_id), valid.journals.get(session_id, JournalFacts()))
        assert state.value == want.want.value or (state is ObservedState.FAILED and error)


def every_action_has_a_reason(planner: Planner, snapshot: RoundSnapshot) -> None:
    assert all(len(action.reason.split()) > 3 for action in planner(snapshot))


def carry_out(snapshot: RoundSnapshot, action: Action) -> RoundSnapshot:
    """The snapshot after an action on a runtime that always succeeds."""
    session_id = action.session_id
    known = snapshot.journals.get(session_id, JournalFacts())
    to_state = {
        ActionKind.CREATE: CREATED,
        ActionKind.START: RUNNING,
        ActionKind.STOP: EXITED,
        ActionKind.PAUSE: PAUSED,
        ActionKind.UNPAUSE: RUNNING,
    }
    if action.target_id:
        return replace(snapshot, begun=snapshot.begun | {action.target_id})
    if action.kind is ActionKind.EXAMINE:
        return replace(snapshot, journals={**snapshot.journals, session_id: replace(known, failure="it ended")})
    if action.kind is ActionKind.REMOVE:
        return replace(snapshot, observed={k: v for k, v in snapshot.observed.items() if k != session_id})
    if action.kind not in to_state:
        return snapshot
    container = replace(snapshot.observed.get(session_id, seen(CREATED, session_id)), state=to_state[action.kind])
    known = replace(known, ran=known.ran or container.state is RUNNING, stopped=action.kind is ActionKind.STOP)
    return replace(
        snapshot,
        observed={**snapshot.observed, session_id: container},
        journals={**snapshot.journals, session_id: known},
    )


def _with(snapshot: RoundSnapshot, kind: ActionKind, ids: Iterable[str]) -> list[Action]:
    return plan(snapshot) + [Action(kind=kind, session_id=i, reason="because it seemed right") for i in ids]


def _without_failures(known: Mapping[str, JournalFacts]) -> dict[str, JournalFacts]:
    return {i: replace(k, failure="") for i, k in known.items()}


MUTANTS: list[tuple[Property, Planner]] = [
    (nothing_before_a_valid_list, lambda s: plan(replace(s, list_is_valid=True))),
    (absence_commands_nothing, lambda s: _with(s, ActionKind.STOP, s.observed.keys() - s.desired.keys())),
    (destroyed_only_on_order, lambda s: plan(replace(s, ids_to_destroy=frozenset(IDS)))),
    (failed_ones_are_never_started, lambda s: plan(replace(s, journals=_without_failures(s.journals)))),
    (one_change_per_container, lambda s: plan(s) * 2),
    (begun_once, lambda s: plan(replace(s, begun=frozenset()))),
    (each_session_is_planned_by_itself, lambda s: plan(s)[:1]),
    (comes_to_rest_as_wanted, lambda s: [a for a in plan(s) if a.kind is not ActionKind.UNPAUSE]),
    (every_action_has_a_reason, lambda s: [replace(a, reason="") for a in plan(s)]),
]


@pytest.mark.parametrize("check", [check for check, _ in MUTANTS], ids=lambda c: c.__name__)
def test_property(check: Property):
    holds(check, plan, snapshots())


@pytest.mark.mutant
@pytest.mark.parametrize(("check", "mutant"), MUTANTS, ids=lambda c: getattr(c, "__name__", ""))
def test_property_catches_its_mutant(check: Property, mutant: Planner):
    catches(check, mutant, snapshots())
