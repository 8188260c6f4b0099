"""The Agent's plan: examples by sentence, and its rules as properties that each catch a mutant."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.plans_of_agents import CREATED, EXITED, PAUSED, RUNNING, seen, wanted

from greenroom.core.session.reconcile import (
    ActionKind,
    ContainerState,
    DesiredContainer,
    JournalFacts,
    ObservedContainer,
    RequestedCommand,
    RoundSnapshot,
    observe,
    plan,
    unexpected_exit_text,
)
from greenroom.core.session.states import ObservedState, Want


def one(
    want: DesiredContainer | None,
    container: ObservedContainer | None = None,
    known: JournalFacts | None = None,
    **more: Any,
) -> RoundSnapshot:
    return RoundSnapshot(
        list_is_valid=True,
        desired={"s1": want} if want else {},
        observed={"s1": container} if container else {},
        journals={"s1": known} if known else {},
        **more,
    )


# Examples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("want", "state", "known", "kind"),
    [
        (Want.RUNNING, None, JournalFacts(), ActionKind.CREATE),
        (Want.RUNNING, None, JournalFacts(ran=True), None),
        (Want.RUNNING, None, JournalFacts(failure="no image"), None),
        (Want.RUNNING, CREATED, JournalFacts(), ActionKind.START),
        (Want.RUNNING, CREATED, JournalFacts(failure="port taken"), None),
        (Want.RUNNING, RUNNING, JournalFacts(ran=True), None),
        (Want.RUNNING, RUNNING, JournalFacts(ran=True, low_cpu_share=True), ActionKind.FULL_SHARE),
        (Want.RUNNING, RUNNING, JournalFacts(ran=True, low_cpu_share=True, failure="no page"), None),
        (Want.PAUSED, RUNNING, JournalFacts(ran=True, low_cpu_share=True), ActionKind.PAUSE),
        (Want.PAUSED, PAUSED, JournalFacts(ran=True, low_cpu_share=True), None),
        (Want.RUNNING, PAUSED, JournalFacts(ran=True), ActionKind.UNPAUSE),
        (Want.RUNNING, EXITED, JournalFacts(ran=True), ActionKind.EXAMINE),
        (Want.RUNNING, EXITED, JournalFacts(ran=True, stopped=True), ActionKind.START),
        (Want.RUNNING, EXITED, JournalFacts(ran=True, failure="ended by itself"), None),
        (Want.STOPPED, RUNNING, JournalFacts(ran=True), ActionKind.STOP),
        (Want.STOPPED, PAUSED, JournalFacts(ran=True), ActionKind.UNPAUSE),
        (Want.STOPPED, EXITED, JournalFacts(ran=True, stopped=True), None),
        (Want.STOPPED, EXITED, JournalFacts(ran=True), ActionKind.STOP),
        (Want.STOPPED, None, JournalFacts(), None),
        (Want.PAUSED, RUNNING, JournalFacts(ran=True), ActionKind.PAUSE),
        (Want.PAUSED, PAUSED, JournalFacts(ran=True), None),
        (Want.ABSENT, None, JournalFacts(ran=True), None),
        (Want.ABSENT, RUNNING, JournalFacts(ran=True), ActionKind.REMOVE),
        (Want.ABSENT, EXITED, JournalFacts(ran=True, failure="ended by itself"), ActionKind.REMOVE),
    ],
)
def test_next_step(want: Want, state: ContainerState | None, known: JournalFacts, kind: ActionKind | None):
    actions = plan(one(wanted(want), seen(state) if state else None, known))
    assert [action.kind for action in actions] == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("snapshot", "kind", "reason"),
    [
        (one(wanted(Want.ABSENT), seen(RUNNING)), ActionKind.REMOVE, "the desired state of the session is absent"),
        (one(wanted()), ActionKind.CREATE, "the desired state of the session is running, and it has no container yet"),
        (
            one(wanted(Want.PAUSED), seen(CREATED)),
            ActionKind.START,
            "the desired state of the session is paused, and its container is",
        ),
        (one(wanted(), seen(EXITED)), ActionKind.EXAMINE, "the container ended by itself with exit code 3"),
        (
            one(wanted(), seen(EXITED, exit_code=137)),
            ActionKind.EXAMINE,
            "the container was killed with SIGKILL (exit code 137), not by Greenroom",
        ),
        (
            one(wanted(Want.STOPPED), seen(EXITED)),
            ActionKind.STOP,
            "the container ended before it was stopped; this counts as the stop",
        ),
        (
            one(wanted(), seen(RUNNING, spec_hash="")),
            ActionKind.REPORT_MISMATCH,
            "the container has the specification (none), and the desired one is h; it stays unchanged, because",
        ),
        (
            one(wanted(), seen(RUNNING), JournalFacts(ran=True, low_cpu_share=True)),
            ActionKind.FULL_SHARE,
            "the session has a user or a first frame, or the time for a first frame is over; it gets its full share",
        ),
        (
            one(None, seen(RUNNING)),
            ActionKind.REPORT_UNKNOWN,
            "the label of the container is not the id of a session, so no Manager can decide about it",
        ),
        (
            one(None, seen(RUNNING), ids_to_destroy=frozenset({"s1"})),
            ActionKind.REMOVE,
            "the container belongs to no session, and the Manager returned the verdict destroy",
        ),
    ],
)
def test_what_is_done_has_its_reason(snapshot: RoundSnapshot, kind: ActionKind, reason: str):
    (action,) = plan(snapshot)
    assert (action.kind, action.session_id, action.target_id) == (kind, "s1", None)
    assert action.reason.startswith(reason)


def test_a_container_without_a_session_stays_until_its_manager_decides():
    session_id = "0c7f0f3e-58f5-4a35-9d2c-6f0f5d1f7a01"
    (action,) = plan(RoundSnapshot(list_is_valid=True, observed={session_id: seen(RUNNING)}))
    assert (action.kind, action.session_id) == (ActionKind.REPORT_UNKNOWN, session_id)
    assert action.reason.startswith("a container of this installation is in no desired list; it stays until")


@pytest.mark.parametrize("want", [Want.RUNNING, Want.STOPPED, Want.PAUSED])
def test_no_other_container_is_made_where_the_row_says_that_one_ran(want: Want):
    restored = wanted(want, has_run=True)
    assert plan(one(restored)) == []
    state, error = observe(restored, None, JournalFacts())
    assert state is ObservedState.FAILED
    assert error == "The container is gone although its deletion was not requested; its data is lost."


def test_a_start_that_is_to_give_way_does_so_on():
    known = JournalFacts(ran=True, low_cpu_share=True)
    assert plan(one(wanted(), seen(RUNNING), known, low_cpu_sessions=frozenset({"s1"}))) == []


@pytest.mark.parametrize(
    ("want", "state", "known", "expected"),
    [
        (Want.RUNNING, None, JournalFacts(), (ObservedState.CREATING, "")),
        (Want.RUNNING, RUNNING, JournalFacts(ran=True), (ObservedState.RUNNING, "")),
        (
            Want.RUNNING,
            EXITED,
            JournalFacts(ran=True),
            (ObservedState.FAILED, "The container ended by itself with exit code 3."),
        ),
        (Want.RUNNING, EXITED, JournalFacts(ran=True, stopped=True), (ObservedState.STOPPED, "")),
        (Want.STOPPED, EXITED, JournalFacts(ran=True, stopped=True), (ObservedState.STOPPED, "")),
        (Want.STOPPED, CREATED, JournalFacts(), (ObservedState.STOPPED, "")),
        (Want.RUNNING, CREATED, JournalFacts(failure="port taken"), (ObservedState.FAILED, "port taken")),
        (
            Want.RUNNING,
            None,
            JournalFacts(ran=True),
            (
                ObservedState.FAILED,
                "The container is gone although its deletion was not requested; its data is lost.",
            ),
        ),
        (
            Want.STOPPED,
            None,
            JournalFacts(),
            (ObservedState.FAILED, "The desired state is stopped, but the session never had a container here."),
        ),
        (Want.PAUSED, CREATED, JournalFacts(), (ObservedState.CREATING, "")),
        (Want.PAUSED, PAUSED, JournalFacts(ran=True), (ObservedState.PAUSED, "")),
        (Want.STOPPED, EXITED, JournalFacts(ran=True), (ObservedState.STOPPED, "")),
        (Want.ABSENT, None, JournalFacts(ran=True), (ObservedState.ABSENT, "")),
        (Want.ABSENT, None, JournalFacts(failure="x"), (ObservedState.ABSENT, "")),
        (Want.ABSENT, EXITED, JournalFacts(failure="x"), (ObservedState.STOPPED, "")),
    ],
)
def test_observed(want: Want, state: ContainerState | None, known: JournalFacts, expected: tuple[ObservedState, str]):
    assert observe(wanted(want), seen(state) if state else None, known) == expected


def test_a_container_that_is_being_created_is_not_absent():
    assert observe(wanted(Want.ABSENT), None, JournalFacts(), being_created=True) == (ObservedState.CREATING, "")
    assert observe(wanted(Want.ABSENT), None, JournalFacts()) == (ObservedState.ABSENT, "")


def test_hand_over_waits_for_the_container_and_is_begun_once():
    want = wanted(assignment_id="a1")
    assert [a.kind for a in plan(one(want, seen(CREATED)))] == [ActionKind.START]
    (action,) = plan(one(want, seen(RUNNING), JournalFacts(ran=True)))
    assert (action.kind, action.session_id, action.target_id) == (ActionKind.RUN_ASSIGNMENT, "s1", "a1")
    assert action.reason == "the session was assigned to a user, and its hand-over has not begun"
    assert plan(one(want, seen(RUNNING), JournalFacts(ran=True), begun=frozenset({"a1"}))) == []


ORDERED = "the command was requested and is not in the journal"


@pytest.mark.parametrize(
    ("want", "container", "known", "expected"),
    [
        (wanted(), seen(RUNNING), JournalFacts(ran=True), (ActionKind.RUN_COMMAND, ORDERED)),
        (wanted(), seen(PAUSED), JournalFacts(ran=True), None),
        (wanted(), None, JournalFacts(), None),
        (wanted(), None, JournalFacts(failure="no image"), (ActionKind.REFUSE_COMMAND, "no image")),
        (
            wanted(Want.STOPPED),
            seen(EXITED),
            JournalFacts(ran=True, stopped=True),
            (
                ActionKind.REFUSE_COMMAND,
                "the desired state of the session is stopped; commands run only in running sessions",
            ),
        ),
        (None, seen(RUNNING), JournalFacts(ran=True), None),
    ],
)
def test_a_command_runs_waits_or_is_refused(
    want: DesiredContainer | None,
    container: ObservedContainer | None,
    known: JournalFacts,
    expected: tuple[ActionKind, str] | None,
):
    order = RequestedCommand(command_id="c1", session_id="s1")
    found = [a for a in plan(one(want, container, known, commands=(order,))) if a.target_id == "c1"]
    assert [(a.session_id, a.kind, a.reason) for a in found] == ([("s1", *expected)] if expected else [])


# Properties -------------------------------------------------------------------------------------------------------


def test_a_container_that_ran_out_of_memory_says_so_and_what_to_do():
    reason = unexpected_exit_text(137, out_of_memory=True)
    assert reason == "The container ran out of memory and ended with exit code 137; raise the workspace's memory."


def test_a_session_that_this_agent_does_not_understand_is_refused():
    state, reason = observe(wanted(Want.RUNNING, spec_hash=None), None, JournalFacts())
    assert state is ObservedState.FAILED
    assert reason == "The Manager sent no specification for this session that this Agent can read."
