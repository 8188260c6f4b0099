"""Nothing is stuck: deadlines of transitional statuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.deadlines import DEADLINE_S, Overdue, Waiting, due, plan
from greenroom.core.states import TRANSITIONAL, SessionStatus, may_follow

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
S = SessionStatus


def waiting(status: SessionStatus, waited_s: float, **fields: object) -> Waiting:
    values = {"session_id": "s", "agent_name": "host-1"} | fields
    return Waiting(status=status, status_changed=NOW - timedelta(seconds=waited_s), **values)  # type: ignore[arg-type]


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
            waiting(S.DELETING, 61),
            "delete_again",
            "host-1 did not confirm the deletion within 61 s; it is told again",
        ),
    ],
)
def test_what_is_overdue_is_acted_upon_with_a_reason(session: Waiting, kind: str, reason: str):
    (action,) = plan([session], NOW, quiet=False)
    assert (action.kind, action.reason) == (kind, reason)


times = st.integers(-400, 400).map(lambda s: NOW + timedelta(seconds=s))
sessions = st.builds(
    Waiting,
    session_id=st.uuids().map(str),
    status=st.sampled_from(S),
    status_changed=times,
    deadline=st.none() | times,
    assignment_state=st.none() | st.sampled_from(["requested", "received"]),
)
cases = st.tuples(st.lists(sessions, max_size=5), st.booleans())
Plan = Callable[..., Sequence[Overdue]]


def only_what_is_overdue(subject: Plan, case: tuple[list[Waiting], bool]) -> None:
    found, quiet = case
    actions = {action.session_id: action for action in subject(found, NOW, quiet=quiet)}
    for session in found:
        late = session.status in TRANSITIONAL and not quiet and due(session) <= NOW
        assert (session.session_id in actions) == late
    for action in actions.values():
        assert action.kind == "delete_again" or may_follow(action.status, S.FAILED)
        assert action.reason


def test_only_what_is_overdue_is_acted_upon():
    holds(only_what_is_overdue, plan, cases)


def ignores_quiet(found: list[Waiting], now: datetime, *, quiet: bool) -> Sequence[Overdue]:
    del quiet
    return plan(found, now, quiet=False)


def fails_deletions(found: list[Waiting], now: datetime, *, quiet: bool) -> Sequence[Overdue]:
    return [
        Overdue(session_id=a.session_id, status=a.status, kind="fail", reason=a.reason)
        for a in plan(found, now, quiet=quiet)
    ]


@pytest.mark.parametrize("mutant", [ignores_quiet, fails_deletions])
def test_the_property_catches_its_mutants(mutant: Plan):
    catches(only_what_is_overdue, mutant, cases)
