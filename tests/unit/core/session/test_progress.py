"""What the connecting screen shows: only what was recorded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.core.session import progress as core_progress
from greenroom.core.session.progress import ON_DEMAND, STAGED, failure, progress
from greenroom.core.session.states import SessionStatus

S = SessionStatus


def test_a_start_in_the_middle():
    shown = progress(S.STARTING, {"requested": 1.0, "placed": 2.0, "received": 3.0}, staged=False)
    assert (shown.operational_status, shown.percent, shown.message) == ("starting", 20, "Creating the container")
    assert [(step.name, step.at) for step in shown.steps[:4]] == [
        ("requested", 1.0),
        ("placed", 2.0),
        ("received", 3.0),
        ("created", None),
    ]


def test_a_staged_session_shows_the_hand_over_only():
    shown = progress(S.ASSIGNING, {"requested": 1.0, "painted": 2.0, "claimed": 9.0}, staged=True)
    assert (shown.percent, shown.message) == (40, "Handing the session over")
    assert [step.name for step in shown.steps] == ["claimed", "handed_over", "ready"]


@pytest.mark.parametrize(
    ("status", "error", "percent", "message"),
    [
        (S.RUNNING, "", 100, "Ready"),
        (S.FAILED, "X did not start", 10, "The session could not be started: X did not start"),
        (S.FAILED, "", 10, failure({"placed": 2.0})),
        (S.UNREACHABLE, "", 100, "The machine of this session does not answer at the moment"),
    ],
)
def test_other_statuses(status: SessionStatus, error: str, percent: int, message: str):
    shown = progress(status, {"requested": 1.0, "placed": 2.0}, staged=False, error=error)
    assert (shown.percent, shown.message) == (percent, message)


def test_a_failure_is_described_by_how_far_it_had_come():
    never, slow, later = failure({"created": 1.0}), failure({"started": 1.0}), failure({"started": 1.0, "ready": 2.0})
    assert "could not be started" in never
    assert "not ready in time" in slow
    assert "stopped working" in later


def test_a_resumed_session_is_not_ready_because_it_once_was():
    assert progress(S.STARTING, {"ready": 1.0}, staged=False).percent < 100


def check() -> None:
    names = [kind.name for kind in (*ON_DEMAND, *STAGED)]

    @settings(max_examples=150, deadline=None, derandomize=True, database=None, report_multiple_bugs=False)
    @given(st.lists(st.sampled_from(names), unique=True), st.booleans(), st.sampled_from(list(S)))
    def run(order: list[str], staged: bool, status: SessionStatus) -> None:
        order = [name for name in names if name in order and name != "ready"]
        recorded: dict[str, float] = {}
        before = 0
        for number, name in enumerate(order):
            recorded[name] = float(number)
            shown = progress(status, dict(recorded), staged=staged)
            assert before <= shown.percent <= 100
            before = shown.percent
            assert {step.name for step in shown.steps if step.at is not None} <= set(recorded)
            assert shown.message

    run()


def test_the_bar_never_goes_back_and_shows_only_recorded_steps():
    check()


def test_the_property_catches_a_step_out_of_order(monkeypatch: pytest.MonkeyPatch):
    worse = tuple(replace(kind, percent=105 - kind.percent) for kind in ON_DEMAND)
    monkeypatch.setattr(core_progress, "ON_DEMAND", worse)
    with pytest.raises(AssertionError):
        check()
