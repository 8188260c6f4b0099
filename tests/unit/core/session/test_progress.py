"""The content of the connecting screen: only recorded steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.session import progress as core_progress
from greenroom.core.session.progress import (
    ON_DEMAND,
    STAGED,
    QueuePosition,
    StartProgress,
    failure_message,
    request_reason,
    start_progress,
    starting_reason,
)
from greenroom.core.session.states import SessionStatus

S = SessionStatus


def test_a_start_in_the_middle():
    shown = start_progress(S.STARTING, {"requested": 1.0, "placed": 2.0, "received": 3.0}, staged=False)
    assert (shown.operational_status, shown.percent, shown.message) == ("starting", 20, "Creating the container")
    assert [(step.name, step.at) for step in shown.steps[:4]] == [
        ("requested", 1.0),
        ("placed", 2.0),
        ("received", 3.0),
        ("created", None),
    ]


def test_a_queue_is_shown_to_those_who_wait_in_it():
    recorded = {"requested": 1.0, "placed": 2.0, "received": 3.0, "queued": 4.0}
    shown = start_progress(S.STARTING, recorded, staged=False)
    assert (shown.percent, shown.message) == (22, "Waiting for other starts on the machine")
    assert [step.name for step in shown.steps[2:5]] == ["received", "queued", "created"]
    shown = start_progress(S.STARTING, recorded | {"admitted": 5.0}, staged=False)
    assert (shown.percent, shown.message) == (25, "Creating the container")


def test_the_wait_in_a_queue_is_estimated_from_what_was_painted_lately():
    recorded = {"received": 3.0, "queued": 4.0}

    def said(before: int, painted: int) -> str:
        return start_progress(
            S.STARTING, recorded, staged=False, queue=QueuePosition(before=before, painted=painted)
        ).message

    assert said(3, 6) == "Number 4 in the queue of the machine, about 20 s"
    assert said(0, 60) == "Number 1 in the queue of the machine, about 1 s"
    assert said(3, 0) == "Number 4 in the queue of the machine"


def test_a_staged_session_shows_the_hand_over_only():
    shown = start_progress(S.ASSIGNING, {"requested": 1.0, "painted": 2.0, "claimed": 9.0}, staged=True)
    assert (shown.percent, shown.message) == (40, "Handing the session over")
    assert [(step.name, step.title, step.at) for step in shown.steps] == [
        ("claimed", "Staged session assigned", 9.0),
        ("handed_over", "Handed over", None),
        ("ready", "Ready", None),
    ]


@pytest.mark.parametrize(
    ("status", "error", "percent", "message"),
    [
        (S.RUNNING, "", 100, "Ready"),
        (S.FAILED, "X did not start", 10, "The session could not be started: X did not start"),
        (S.FAILED, "", 10, failure_message({"placed": 2.0})),
        (S.UNREACHABLE, "", 100, "The machine of this session does not answer at the moment"),
        (S.LOST, "", 100, core_progress._MESSAGES[S.LOST]),
        (S.STOPPED, "", 10, "Stopped; resume it to continue"),
        (S.REQUESTED, "", 10, "Waiting for the machine to accept the session"),
    ],
)
def test_other_statuses(status: SessionStatus, error: str, percent: int, message: str):
    shown = start_progress(status, {"requested": 1.0, "placed": 2.0}, staged=False, error=error)
    assert (shown.percent, shown.message) == (percent, message)


def test_what_ran_before_it_failed_is_not_said_to_have_never_started():
    shown = start_progress(S.FAILED, {"started": 1.0, "ready": 2.0}, staged=False, error="Its node was drained.")
    assert shown.message == "The session stopped working: Its node was drained."


def test_a_failure_is_described_by_how_far_it_had_come():
    ask = "If it happens again, ask an administrator, who can see the cause on the page of the session."
    never = f"The workspace could not be started on any machine. Try again in a minute. {ask}"
    slow = f"The workspace started, but it was not ready in time. Try again in a minute. {ask}"
    later = f"The session stopped working and cannot be opened any more. Start the workspace again. {ask}"
    assert failure_message({"created": 1.0}) == never
    assert failure_message({"started": 1.0}) == slow
    assert failure_message({"started": 1.0, "ready": 2.0}) == later


def test_a_resumed_session_is_not_ready_because_it_once_was():
    shown = start_progress(S.STARTING, dict.fromkeys(NAMES, 1.0), staged=False, status_since=90.0)
    assert (shown.percent, shown.message) == (50, "Starting again")
    assert [(step.name, step.at) for step in shown.steps] == [("requested", 90.0), ("ready", None)]


def test_before_anything_was_recorded_it_is_requested():
    shown = start_progress(S.REQUESTED, {}, staged=True)
    assert (shown.percent, shown.message, {step.at for step in shown.steps}) == (0, "Requested", {None})


NAMES = [kind.name for kind in (*ON_DEMAND, *STAGED)]


def goes_back(status: SessionStatus, recorded: dict[str, float], *, staged: bool) -> StartProgress:
    shown = start_progress(status, recorded, staged=staged)
    return replace(shown, percent=100 - shown.percent)


def shows_all(status: SessionStatus, recorded: dict[str, float], *, staged: bool) -> StartProgress:
    return start_progress(status, dict.fromkeys(NAMES, 0.0) | recorded, staged=staged)


@for_all(
    st.lists(st.sampled_from(NAMES), unique=True),
    st.booleans(),
    st.sampled_from(list(S)),
    subject=start_progress,
    mutants=[goes_back, shows_all],
)
def test_the_bar_never_goes_back_and_shows_only_recorded_steps(
    subject: Any, order: list[str], staged: bool, status: SessionStatus
):
    recorded: dict[str, float] = {}
    before = 0
    for number, name in enumerate(name for name in NAMES if name in order and name != "ready"):
        recorded[name] = float(number)
        shown = subject(status, dict(recorded), staged=staged)
        assert before <= shown.percent <= 100
        before = shown.percent
        assert {step.name for step in shown.steps if step.at is not None} <= set(recorded)
        assert shown.message


@pytest.mark.parametrize(
    ("status", "seen", "age_s", "said"),
    [
        ("starting", "Its page does not answer.", 60.4, "Its page does not answer (60 s of 120 s)."),
        ("requested", "Docker does not answer.", 5.0, "Docker does not answer (5 s of 120 s)."),
        ("starting", "Its page does not answer.", 4.9, None),
        ("starting", "", 60.0, None),
        ("running", "Its page does not answer.", 60.0, None),
    ],
)
def test_a_start_that_takes_long_has_the_reason_that_its_agent_sees(
    status: str, seen: str, age_s: float, said: str | None
):
    assert starting_reason(SessionStatus(status), seen, age_s, 120.0) == said


def test_a_stop_is_requested_by_the_user_of_the_session_or_by_another_caller():
    assert request_reason("ada", is_own=True) == "Requested by its user."
    assert request_reason("ada", is_own=False) == "Requested by ada."
