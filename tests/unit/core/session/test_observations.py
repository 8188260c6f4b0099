"""From an observation to a session's next status: examples, and properties that each catch a mutant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.session.observations import (
    ObservedFacts,
    SessionRow,
    StatusTransition,
    is_newer,
    transition_after,
    verdicts,
)
from greenroom.core.session.states import ALLOWED, ObservedState, SessionStatus, Want, sources_of

S, Seeing = SessionStatus, ObservedState
Decide = Callable[[SessionRow, ObservedFacts], StatusTransition | None]


def row(status: SessionStatus, want: Want = Want.RUNNING, **fields: object) -> SessionRow:
    return replace(SessionRow(session_id="s", status=status, want=want, generation=3), **fields)


def observation(state: ObservedState, **fields: object) -> ObservedFacts:
    return replace(ObservedFacts(session_id="s", generation=3, state=state), **fields)


CREATED = "its container is being created"
GONE = "its container is gone although its deletion was not requested"
STARTED = "its container runs and is not usable yet"
USABLE = "its page answers and its first frame is painted"
STOPPED = "its container was stopped, as requested"
PAUSED = "its container was paused, as requested"


@pytest.mark.parametrize(
    ("before", "observed", "after"),
    [
        (row(S.REQUESTED), observation(Seeing.CREATING), (S.STARTING, CREATED)),
        (row(S.REQUESTED), observation(Seeing.RUNNING), (S.STARTING, STARTED)),
        (row(S.REQUESTED), observation(Seeing.RUNNING, usable=True), (S.RUNNING, USABLE)),
        (row(S.STARTING), observation(Seeing.RUNNING), None),
        (row(S.STARTING), observation(Seeing.RUNNING, usable=True), (S.RUNNING, USABLE)),
        (row(S.STARTING), observation(Seeing.FAILED), (S.FAILED, "its container ended")),
        (row(S.STARTING), observation(Seeing.FAILED, exit_code=0), (S.FAILED, "its container ended with exit code 0")),
        (row(S.STARTING), observation(Seeing.FAILED, error="no such image", exit_code=1), (S.FAILED, "no such image")),
        (row(S.STARTING), observation(Seeing.ABSENT), None),
        (row(S.RUNNING), observation(Seeing.RUNNING), None),
        (
            row(S.RUNNING),
            observation(Seeing.ABSENT),
            (S.FAILED, GONE),
        ),
        (row(S.RUNNING), observation(Seeing.FAILED), (S.FAILED, "its container ended")),
        (row(S.STOPPING, Want.STOPPED), observation(Seeing.RUNNING), None),
        (row(S.STOPPING, Want.STOPPED), observation(Seeing.STOPPED), (S.STOPPED, STOPPED)),
        (row(S.PAUSING, Want.PAUSED), observation(Seeing.PAUSED), (S.PAUSED, PAUSED)),
        (row(S.DELETING, Want.ABSENT), observation(Seeing.RUNNING, usable=True), None),
        (row(S.DELETING, Want.ABSENT), observation(Seeing.FAILED), None),
        (row(S.DELETING, Want.ABSENT), observation(Seeing.ABSENT), (S.DELETED, "its container is gone, as requested")),
        (row(S.FAILED), observation(Seeing.RUNNING, usable=True), None),
        (row(S.UNREACHABLE), observation(Seeing.RUNNING), None),
        (row(S.UNREACHABLE), observation(Seeing.RUNNING, usable=True), (S.RUNNING, USABLE)),
        (row(S.LOST), observation(Seeing.RUNNING, usable=True), (S.RUNNING, USABLE)),
        (row(S.LOST), observation(Seeing.PAUSED), None),
        (row(S.LOST), observation(Seeing.STOPPED), None),
        (row(S.LOST, Want.PAUSED), observation(Seeing.PAUSED), (S.PAUSED, PAUSED)),
        (row(S.LOST, Want.STOPPED), observation(Seeing.STOPPED), (S.STOPPED, STOPPED)),
        (row(S.FAILED, set_aside=True), observation(Seeing.FAILED), None),
        (
            row(S.FAILED, set_aside=True),
            observation(Seeing.FAILED, has_container=False),
            (S.DELETING, "it was kept for inspection, and its container is gone"),
        ),
        (row(S.DELETING, Want.ABSENT, set_aside=True), observation(Seeing.RUNNING, has_container=False), None),
        (row(S.FAILED), observation(Seeing.FAILED, has_container=False), None),
    ],
)
def test_what_follows_from_an_observation(
    before: SessionRow, observed: ObservedFacts, after: tuple[SessionStatus, str] | None
):
    move = transition_after(before, observed)
    assert (move and (move.to, move.reason)) == after
    assert move is None or (move.session_id == "s" and not (move.set_aside or move.slow or move.leaves_pool))


@pytest.mark.parametrize(
    ("report", "after"),
    [
        ({"handover": "assigned", "assignment_id": "a"}, (S.RUNNING, "its hand-over was acknowledged by the Agent")),
        (
            {"handover": "failed", "assignment_id": "a", "handover_error": "exit 3"},
            (S.FAILED, "its hand-over failed: exit 3"),
        ),
        (
            {"handover": "failed", "assignment_id": "a"},
            (S.FAILED, "its hand-over failed: the Agent gave no reason"),
        ),
        ({"handover": "received", "assignment_id": "a"}, None),
        ({"handover": "assigned", "assignment_id": "b"}, None),
        ({}, None),
    ],
)
def test_a_hand_over_ends_as_the_agent_reports_of_this_assignment(
    report: dict[str, Any], after: tuple[SessionStatus, str] | None
):
    move = transition_after(row(S.ASSIGNING, assignment_id="a"), observation(Seeing.RUNNING, usable=True, **report))
    assert (move and (move.to, move.reason)) == after
    assert move is None or move.set_aside == (move.to is S.FAILED)
    assert transition_after(row(S.ASSIGNING), observation(Seeing.RUNNING, usable=True, **report)) is None, (
        "no user was assigned"
    )


@pytest.mark.parametrize("slow", [True, False])
def test_a_hand_over_that_only_took_too_long_says_so(*, slow: bool):
    observed = observation(Seeing.RUNNING, handover="failed", assignment_id="a", handover_slow=slow)
    move = transition_after(row(S.ASSIGNING, assignment_id="a"), observed)
    assert move is not None
    assert move.slow is slow


@pytest.mark.parametrize("state", [Seeing.FAILED, Seeing.ABSENT])
def test_a_container_that_ends_during_its_hand_over_is_quarantined(state: ObservedState):
    move = transition_after(row(S.ASSIGNING, assignment_id="a"), observation(state))
    assert move is not None
    assert (move.to, move.set_aside, move.sources) == (S.FAILED, True, frozenset({S.ASSIGNING}))
    used = transition_after(row(S.RUNNING, assignment_id="a"), observation(state))
    assert used is not None
    assert (used.to, used.set_aside) == (S.FAILED, False)


@pytest.mark.parametrize(
    ("before", "observed", "reason"),
    [
        (
            row(S.RUNNING, claimable=True),
            observation(Seeing.RUNNING, broken=True, probe_error="Silence."),
            ": Silence.",
        ),
        (row(S.RUNNING, claimable=True), observation(Seeing.RUNNING, broken=True), ": The Agent gave no reason."),
        (row(S.RUNNING, claimable=True), observation(Seeing.FAILED, error="It ended."), "It ended."),
        (row(S.RUNNING, claimable=True), observation(Seeing.ABSENT), "is gone"),
    ],
)
def test_a_staged_session_that_stopped_working_leaves_its_pool(
    before: SessionRow, observed: ObservedFacts, reason: str
):
    move = transition_after(before, observed)
    assert move is not None
    assert (move.to, move.leaves_pool, move.sources) == (S.FAILED, True, frozenset({S.RUNNING}))
    assert reason in move.reason


@pytest.mark.parametrize(
    ("before", "observed"),
    [
        (row(S.RUNNING), observation(Seeing.RUNNING, broken=True)),  # a user's
        (row(S.RUNNING, claimable=True), observation(Seeing.RUNNING, usable=False)),  # not probed yet
        (row(S.RUNNING, claimable=True), observation(Seeing.RUNNING, generation=2, broken=True)),
        (row(S.STARTING), observation(Seeing.RUNNING, broken=True)),  # it may still become usable
        (row(S.UNREACHABLE), observation(Seeing.RUNNING, broken=True)),
    ],
)
def test_a_probe_that_fails_ends_nothing_else(before: SessionRow, observed: ObservedFacts):
    assert transition_after(before, observed) is None


# Properties -----------------------------------------------------------------------------------------------------------

rows = st.builds(
    SessionRow,
    session_id=st.just("s"),
    status=st.sampled_from(S),
    want=st.sampled_from(Want),
    generation=st.integers(1, 3),
    assignment_id=st.none() | st.sampled_from(["a", "b"]),
    claimable=st.booleans(),
).map(lambda one: replace(one, claimable=one.claimable and one.status is S.RUNNING and one.assignment_id is None))
sightings = st.builds(
    ObservedFacts,
    session_id=st.just("s"),
    generation=st.integers(1, 3),
    state=st.sampled_from(Seeing),
    usable=st.booleans(),
    broken=st.booleans(),
    exit_code=st.none() | st.integers(0, 255),
    error=st.sampled_from(["", "broken"]),
    assignment_id=st.none() | st.sampled_from(["a", "b"]),
    handover=st.none() | st.sampled_from(["received", "assigned", "failed"]),
)
cases = st.tuples(rows, sightings)
Case = tuple[SessionRow, ObservedFacts]


def only_allowed_edges(subject: Decide, case: Case) -> None:
    move = subject(*case)
    if move is not None:
        assert move.to in ALLOWED[case[0].status]
        assert case[0].status in move.sources
        assert move.sources <= sources_of(move.to)
        assert move.reason


def another_generation_changes_nothing(subject: Decide, case: Case) -> None:
    if case[0].generation != case[1].generation:
        assert subject(*case) is None


def deciding_again_changes_nothing(subject: Decide, case: Case) -> None:
    move = subject(*case)
    if move is not None:
        assert subject(replace(case[0], status=move.to), case[1]) is None


def no_user_is_freed_while_a_container_is_seen(subject: Decide, case: Case) -> None:
    move = subject(*case)
    if move is not None and move.to is S.DELETED:
        assert case[1].state is Seeing.ABSENT
        assert case[0].want is Want.ABSENT


def a_container_that_runs_fails_no_user_who_has_it(subject: Decide, case: Case) -> None:
    move = subject(*case)
    if move is not None and move.to is S.FAILED and case[1].state is Seeing.RUNNING:
        assert case[0].claimable or move.set_aside


PROPERTIES = [
    only_allowed_edges,
    another_generation_changes_nothing,
    deciding_again_changes_nothing,
    no_user_is_freed_while_a_container_is_seen,
]


@pytest.mark.parametrize("check", PROPERTIES)
def test_every_decision_keeps_the_rules(check: Callable[[Decide, Case], None]):
    holds(check, transition_after, cases)


def fails_what_is_broken(case_row: SessionRow, observed: ObservedFacts) -> StatusTransition | None:
    return transition_after(replace(case_row, claimable=True), observed)


running = st.tuples(
    rows.map(lambda one: replace(one, status=S.RUNNING, want=Want.RUNNING, generation=3)),
    sightings.map(lambda one: replace(one, state=Seeing.RUNNING, generation=3)),
)


def test_a_container_that_runs_fails_no_user_who_has_it():
    holds(a_container_that_runs_fails_no_user_who_has_it, transition_after, running)
    catches(a_container_that_runs_fails_no_user_who_has_it, fails_what_is_broken, running)


def always_fails(case_row: SessionRow, observed: ObservedFacts) -> StatusTransition | None:
    if observed.state is Seeing.FAILED:
        return StatusTransition(session_id="s", to=S.FAILED, sources=frozenset(S), reason="broken")
    return transition_after(case_row, observed)


def ignores_the_generation(case_row: SessionRow, observed: ObservedFacts) -> StatusTransition | None:
    return transition_after(replace(case_row, generation=observed.generation), observed)


def goes_back_to_starting(case_row: SessionRow, observed: ObservedFacts) -> StatusTransition | None:
    if case_row.status in (S.RUNNING, S.STARTING) and observed.state is Seeing.CREATING:
        return StatusTransition(
            session_id="s", to=S.STARTING, sources=frozenset({S.RUNNING, S.STARTING}), reason="created"
        )
    return transition_after(case_row, observed)


def frees_what_failed(case_row: SessionRow, observed: ObservedFacts) -> StatusTransition | None:
    if case_row.status is S.DELETING and observed.state is Seeing.FAILED:
        return StatusTransition(session_id="s", to=S.DELETED, sources=frozenset({S.DELETING}), reason="failed")
    return transition_after(case_row, observed)


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("check", "mutant"),
    list(
        zip(
            PROPERTIES,
            [always_fails, ignores_the_generation, goes_back_to_starting, frees_what_failed],
            strict=True,
        )
    ),
)
def test_each_rule_catches_its_mutant(check: Callable[[Decide, Case], None], mutant: Decide):
    catches(check, mutant, cases)


Newer = Callable[[int, int, int, int], bool]
Message = tuple[int, int, ObservedFacts]


def replay(newer: Newer, start: SessionRow, messages: list[Message]) -> tuple[SessionRow, list[tuple[int, int]]]:
    """Apply messages in the order of their arrival, like the group commit; returns the applied ones, in their order."""
    at, applied = (0, 0), list[tuple[int, int]]()
    for incarnation, seq, observed in messages:
        if newer(incarnation, seq, *at):
            at = (incarnation, seq)
            applied.append(at)
            move = transition_after(start, observed)
            start = replace(start, status=move.to) if move else start
    return start, applied


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[SessionRow, list[Message]]:
    """Messages of one Agent, some twice, in any order; a message has one content."""
    numbers = draw(st.lists(st.tuples(st.integers(1, 2), st.integers(1, 4)), min_size=1, max_size=6))
    contents = {number: draw(sightings) for number in sorted(set(numbers))}
    return draw(rows), [(*number, contents[number]) for number in numbers]


def late_and_repeated_messages_are_harmless(newer: Newer, case: tuple[SessionRow, list[Message]]) -> None:
    start, messages = case
    after, applied = replay(newer, start, messages)
    assert applied == sorted(set(applied))
    in_order = [next(m for m in messages if m[:2] == number) for number in applied]
    assert replay(newer, start, in_order)[0] == after
    assert replay(newer, after, messages + messages)[1][-1] == max(m[:2] for m in messages)


def test_late_and_repeated_messages_are_harmless():
    holds(late_and_repeated_messages_are_harmless, is_newer, deliveries())


@pytest.mark.mutant
@pytest.mark.parametrize(
    "mutant",
    [lambda i, s, ai, aseq: s > aseq, lambda i, s, ai, aseq: (i, s) >= (ai, aseq)],
    ids=["ignores the incarnation", "accepts repetitions"],
)
def test_the_rule_of_order_catches_its_mutants(mutant: Newer):
    catches(late_and_repeated_messages_are_harmless, mutant, deliveries())


questions = st.tuples(
    st.lists(st.sampled_from("abc"), unique=True),
    st.frozensets(st.sampled_from("abc")),
    st.dictionaries(st.sampled_from("abc"), st.floats(0, 30)),
)
Verdicts = Callable[..., dict[str, str]]


def nothing_is_destroyed_that_has_a_row_or_was_just_asked_about(
    subject: Verdicts, case: tuple[list[str], frozenset[str], dict[str, float]]
) -> None:
    unknown, living, reported_for_s = case
    found = subject(unknown, living, reported_for_s, 10.0)
    assert set(found) <= set(unknown)
    for session_id, verdict in found.items():
        if verdict == "destroy":
            assert session_id not in living
            assert reported_for_s.get(session_id, 0) >= 10
    assert all(found.get(session_id) == "keep" for session_id in set(unknown) & living)


def test_an_unknown_container_is_destroyed_after_its_grace_period():
    reported_for_s = {"living": 99.0, "old": 10.0, "new": 9.9}
    found = verdicts(["living", "old", "new", "first"], frozenset({"living"}), reported_for_s, 10.0)
    assert found == {"living": "keep", "old": "destroy"}


def test_nothing_is_destroyed_that_has_a_row_or_was_just_asked_about():
    holds(nothing_is_destroyed_that_has_a_row_or_was_just_asked_about, verdicts, questions)


@pytest.mark.mutant
@pytest.mark.parametrize(
    "mutant",
    [
        lambda unknown, living, asked, grace: {s: "keep" if s in living else "destroy" for s in unknown},
        lambda unknown, living, asked, grace: {s: "destroy" for s in unknown if asked.get(s, 0) >= grace},
    ],
    ids=["no grace", "does not look"],
)
def test_the_rule_of_verdicts_catches_its_mutants(mutant: Verdicts):
    catches(nothing_is_destroyed_that_has_a_row_or_was_just_asked_about, mutant, questions)
