"""The deadlines of transitional statuses: no session stays in one forever."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.fleet.liveness import Lateness
from greenroom.core.session.deadlines import (
    DEADLINE_S,
    MAX_DEADLINE_S,
    RETURN_DEADLINE_S,
    ManagerTiming,
    OverdueAction,
    SessionInTransition,
    overdue_at,
    plan,
)
from greenroom.core.session.states import ALLOWED, TRANSITIONAL, WAITING_FOR_AGENT, SessionStatus, Want

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
S = SessionStatus


def waiting(status: SessionStatus, waited_s: float, **fields: Any) -> SessionInTransition:
    values: dict[str, Any] = {"session_id": "s", "agent_name": "host-1"} | fields
    return SessionInTransition(status=status, status_changed=NOW - timedelta(seconds=waited_s), **values)


def test_every_transitional_status_has_a_deadline():
    assert set(DEADLINE_S) == TRANSITIONAL


@pytest.mark.parametrize(
    ("session", "kind", "reason"),
    [
        (
            waiting(S.STARTING, 121, probe_error="refused"),
            "fail",
            "it was still starting on host-1 after 121 s (last probe: refused)",
        ),
        (waiting(S.ASSIGNING, 2.5), "set_aside", "host-1 did not acknowledge the hand-over within 2.5 s"),
        (
            waiting(S.ASSIGNING, 7, deadline=NOW, assignment_state="received"),
            "set_aside",
            "host-1 did not finish the hand-over within 7.0 s",
        ),
        (
            waiting(S.STOPPING, 61, want=Want.STOPPED),
            "revoke",
            "host-1 did not stop it within 61 s; the session is instructed to run",
        ),
        (
            waiting(S.PAUSING, 31, want=Want.PAUSED),
            "revoke",
            "host-1 did not pause it within 31 s; the session is instructed to run",
        ),
        (
            waiting(S.LOST, 700, want=Want.STOPPED, deadline=NOW),
            "revoke",
            "host-1 did not stop it within 700 s; the session is instructed to run",
        ),
        (
            waiting(S.LOST, 700, deadline=NOW, probe_error="refused"),
            "fail",
            "it was still lost on host-1 after 700 s (last probe: refused)",
        ),
        (waiting(S.REQUESTED, 60, agent_name=""), "fail", "it was still requested on its Agent after 60 s"),
        (
            waiting(S.DELETING, 61),
            "delete_again",
            "host-1 did not confirm the deletion within 61 s; it is instructed again",
        ),
    ],
)
def test_what_is_overdue_is_acted_upon_with_a_reason(session: SessionInTransition, kind: str, reason: str):
    (action,) = plan([session], NOW, quiet=False)
    assert action == OverdueAction(session_id="s", status=session.status, kind=cast("Any", kind), reason=reason)


def test_what_is_lost_may_stay_so_while_its_agent_is_away():
    assert plan([waiting(S.LOST, 90_000), waiting(S.UNREACHABLE, 90_000)], NOW, quiet=False) == []


LATE = Lateness(own_s=0.2, queue=4.0)
VERY_LATE = Lateness(own_s=0.3, queue=30.0)


@pytest.mark.parametrize(
    ("session", "ends_after_s"),
    [
        (waiting(S.ASSIGNING, 0), 2),
        (waiting(S.ASSIGNING, 0, lateness=LATE), 8),
        (waiting(S.ASSIGNING, 0, lateness=VERY_LATE), 20),
        (waiting(S.ASSIGNING, 0, lateness=VERY_LATE, silent_s=7.1), 2),
        (waiting(S.ASSIGNING, 5, deadline=NOW + timedelta(seconds=4), lateness=LATE), 5 + 4 + 3 * 2),
        (waiting(S.REQUESTED, 0, lateness=LATE), 240),
        (waiting(S.STARTING, 0), 120),
        (waiting(S.STARTING, 0, lateness=LATE), 480),
        (waiting(S.STARTING, 0, lateness=VERY_LATE), 600),
        (waiting(S.STARTING, 90, deadline=NOW + timedelta(seconds=30), stepped=NOW - timedelta(seconds=1)), 89 + 120),
        (waiting(S.STARTING, 590, stepped=NOW), 600),
        (waiting(S.STARTING, 500, stepped=NOW - timedelta(seconds=490), queued=True), 600),
        (waiting(S.STARTING, 590, stepped=NOW, admitted=NOW), 590 + 120),
        (waiting(S.STARTING, 1180, stepped=NOW, admitted=NOW - timedelta(seconds=590)), 1190),
        (waiting(S.LOST, 700, deadline=NOW, lateness=VERY_LATE), 700),
    ],
    ids=str,
)
def test_what_is_late_or_makes_progress_has_more_time_within_bounds(session: SessionInTransition, ends_after_s: float):
    assert overdue_at(session) == session.status_changed + timedelta(seconds=ends_after_s)


def test_a_late_manager_waits_longer_for_a_punctual_agent():
    timing = ManagerTiming(acknowledge_within_s=2.0, lateness=Lateness(own_s=0.2))
    assert overdue_at(waiting(S.ASSIGNING, 0), timing) == NOW + timedelta(seconds=8)
    (action,) = plan([waiting(S.ASSIGNING, 8)], NOW, quiet=False, timing=timing)
    assert action.slow
    assert "(this Manager ran 0.20 s late" in action.reason
    assert overdue_at(waiting(S.ASSIGNING, 0), ManagerTiming(acknowledge_within_s=3.0)) == NOW + timedelta(seconds=3)


def test_what_has_painted_never_ends_at_a_deadline():
    assert overdue_at(waiting(S.STARTING, 90_000, painted=True)) is None
    assert plan([waiting(S.STARTING, 90_000, painted=True)], NOW, quiet=False) == []


def test_a_start_that_never_had_its_turn_says_so():
    (action,) = plan([waiting(S.STARTING, 600, queued=True)], NOW, quiet=False)
    assert (action.kind, action.reason) == ("fail", "it still waited for its turn on host-1 after 600 s")


def test_the_reason_for_slowness_is_given_and_that_it_was_slow_is_kept():
    late = waiting(S.STARTING, 600, lateness=VERY_LATE)
    (action,) = plan([late], NOW, quiet=False)
    assert action.slow
    assert action.reason == (
        "it was still starting on host-1 after 600 s, 10.0 times as long as on a quiet host (host-1 ran "
        "0.30 s late, 30 tasks waited for each core)"
    )
    (frozen,) = plan([waiting(S.ASSIGNING, 3, lateness=VERY_LATE, silent_s=8)], NOW, quiet=False)
    assert (frozen.slow, frozen.reason) == (False, "host-1 did not acknowledge the hand-over within 3.0 s")


times = st.integers(-400, 400).map(lambda s: NOW + timedelta(seconds=s))
sessions = st.builds(
    SessionInTransition,
    session_id=st.uuids().map(str),
    status=st.sampled_from(S),
    status_changed=times,
    want=st.sampled_from(Want),
    deadline=st.none() | times,
    assignment_state=st.none() | st.sampled_from(["requested", "received"]),
    stepped=st.none() | times,
    queued=st.booleans(),
    admitted=st.none() | times,
    painted=st.booleans(),
    lateness=st.builds(Lateness, own_s=st.floats(0, 2), queue=st.floats(0, 50), waiting=st.floats(0, 1)),
    silent_s=st.floats(0, 20),
)
cases = st.tuples(st.lists(sessions, max_size=5), st.booleans())
Plan = Callable[..., Sequence[OverdueAction]]


def only_what_is_overdue(subject: Plan, case: tuple[list[SessionInTransition], bool]) -> None:
    found, quiet = case
    actions = {action.session_id: action for action in subject(found, NOW, quiet=quiet)}
    for session in found:
        waits = session.status in TRANSITIONAL or (session.status in WAITING_FOR_AGENT and session.deadline is not None)
        end = overdue_at(session)
        late = waits and not quiet and end is not None and end <= NOW
        assert (session.session_id in actions) == late
        own = session.deadline or session.status_changed + timedelta(
            seconds=DEADLINE_S.get(session.status, RETURN_DEADLINE_S)
        )
        longest = max(
            own,
            max(session.status_changed, session.admitted or session.status_changed) + timedelta(seconds=MAX_DEADLINE_S),
        )
        assert end is None or own <= end <= longest, "never before its own deadline, nor after the longest wait"
    for action in actions.values():
        target = {"delete_again": S.DELETED, "revoke": S.STARTING}.get(action.kind, S.FAILED)
        assert target in ALLOWED[action.status]
        assert action.reason


def test_only_what_is_overdue_is_acted_upon():
    holds(only_what_is_overdue, plan, cases)


def ignores_quiet(found: list[SessionInTransition], now: datetime, *, quiet: bool) -> Sequence[OverdueAction]:
    del quiet
    return plan(found, now, quiet=False)


def fails_deletions(found: list[SessionInTransition], now: datetime, *, quiet: bool) -> Sequence[OverdueAction]:
    return [
        OverdueAction(session_id=a.session_id, status=a.status, kind="fail", reason=a.reason)
        for a in plan(found, now, quiet=quiet)
    ]


def takes_starts_back(found: list[SessionInTransition], now: datetime, *, quiet: bool) -> Sequence[OverdueAction]:
    return [
        OverdueAction(session_id=a.session_id, status=a.status, kind="revoke", reason=a.reason)
        for a in plan(found, now, quiet=quiet)
    ]


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", [ignores_quiet, fails_deletions, takes_starts_back])
def test_the_property_catches_its_mutants(mutant: Plan):
    catches(only_what_is_overdue, mutant, cases)
