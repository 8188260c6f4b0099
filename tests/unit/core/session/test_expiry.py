"""The two clocks of a user's session, and the effect of their expiry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.access.group_settings import GroupSettings, resolve
from greenroom.core.errors import Invalid
from greenroom.core.session.deadlines import (
    Clocks,
    Expiry,
    SessionLifetime,
    clocks_of,
    lease_clocks,
    next_expiry,
    plan_expiry,
)
from greenroom.core.session.states import ALLOWED, KEPT_ALIVE, SessionStatus

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
S = SessionStatus
PAST, FUTURE = NOW - timedelta(minutes=1), NOW + timedelta(minutes=1)
THROUGH = {"delete": S.DELETING, "stop": S.STOPPING, "pause": S.PAUSING}


def settings(**values: Any) -> Any:
    return resolve([GroupSettings("g", "Students", 5, values)])


def lived(status: SessionStatus = S.RUNNING, expires: datetime | None = PAST, **fields: Any) -> SessionLifetime:
    limit, can_pause = fields.pop("limit", None), fields.pop("can_pause", True)
    clocks = Clocks(keepalive_s=60, keepalive_from="K", action_from="A", time_limit_from="L", **fields)
    return SessionLifetime(
        session_id="s", status=status, expires=expires, time_limit_ends=limit, clocks=clocks, can_pause=can_pause
    )


@pytest.mark.parametrize(("group_s", "image_s", "limit_s"), [(0, None, 0), (600, 0, 600), (0, 60, 60), (600, 60, 60)])
def test_the_smaller_of_two_time_limits_counts_and_0_is_none(group_s: int, image_s: int | None, limit_s: float):
    clocks = clocks_of(settings(session_time_limit=group_s), image_s, "Desktop")
    assert clocks.time_limit_s == limit_s
    assert clocks.first_end_s == (limit_s or 3600)
    assert Clocks(keepalive_s=30, time_limit_s=60).first_end_s == 30


def test_the_clocks_name_setting_value_and_where_it_comes_from():
    clocks = clocks_of(settings(keepalive_expiration=90, keepalive_expiration_action="pause"), 60, "Desktop")
    assert (clocks.keepalive_s, clocks.action) == (90, "pause")
    assert clocks.keepalive_from == "`keepalive_expiration` = 90 from group Students, priority 5"
    assert clocks.action_from == "`keepalive_expiration_action` = pause from group Students, priority 5"
    assert clocks.time_limit_from == "`session_time_limit` = 60 of workspace Desktop"
    assert clocks_of(settings(), None, "Desktop").time_limit_from == ""
    of_group = clocks_of(settings(session_time_limit=60), 90, "Desktop")
    assert (clocks.time_limit_of_image, of_group.time_limit_of_image) == (True, False)
    assert of_group.time_limit_from == "`session_time_limit` = 60 from group Students, priority 5"


def test_a_lease_has_one_clock_and_is_no_longer_than_the_time_limit():
    allowed = clocks_of(settings(session_time_limit=600), None, "Desktop")
    clocks = lease_clocks(600, allowed)
    assert (clocks.keepalive_s, clocks.time_limit_s, clocks.action, clocks.leased) == (600, 600, "delete", True)
    assert lease_clocks(601, clocks_of(settings(), None, "Desktop")).first_end_s == 601
    with pytest.raises(Invalid, match="601 s here: `session_time_limit` = 600 from group Students"):
        lease_clocks(601, allowed)


def test_at_its_deadline_a_leased_session_is_deleted():
    (expiry,) = plan_expiry([lived(limit=PAST, leased=True)], NOW, quiet=False)
    assert (expiry.action, expiry.setting, expiry.reason) == ("delete", "lease", "It ends with its lease.")
    assert not expiry.is_of_group


@pytest.mark.parametrize("of_image", [True, False])
def test_a_time_limit_of_the_workspace_is_no_group_setting(of_image: bool):
    (expiry,) = plan_expiry([lived(limit=PAST, time_limit_of_image=of_image)], NOW, quiet=False)
    assert (expiry.setting, expiry.is_of_group) == ("session_time_limit", not of_image)


@pytest.mark.parametrize("action", ["stop", "pause"])
def test_where_sessions_cannot_rest_an_unused_one_is_deleted_and_that_is_said(action: Any):
    (expiry,) = plan_expiry([lived(action=action, can_pause=False)], NOW, quiet=False)
    assert (expiry.action, "It is deleted" in expiry.reason) == ("delete", True)


@pytest.mark.parametrize("action", ["delete", "stop", "pause"])
def test_an_unused_session_meets_the_action_of_its_owner(action: Any):
    (expiry,) = plan_expiry([lived(action=action)], NOW, quiet=False)
    assert expiry == Expiry(
        session_id="s",
        status=S.RUNNING,
        action=action,
        at=PAST,
        setting="keepalive_expiration",
        reason="Its time without an open window is limited to 1 minute: K; A.",
    )


def test_where_no_source_is_stored_the_settings_are_named():
    unnamed = replace(lived(), clocks=Clocks(keepalive_s=60))
    assert [e.reason for e in plan_expiry([unnamed], NOW, quiet=False)] == [
        "Its time without an open window is limited to 1 minute: `keepalive_expiration`."
    ]
    ended = replace(unnamed, expires=None, time_limit_ends=NOW)
    assert [e.reason for e in plan_expiry([ended], NOW, quiet=False)] == [
        "It ends at its time limit: `session_time_limit`."
    ]


def test_a_clock_is_over_at_its_moment_and_not_before():
    assert plan_expiry([lived(expires=NOW)], NOW, quiet=False)
    assert not plan_expiry([lived(expires=NOW + timedelta(microseconds=1))], NOW, quiet=False)
    assert plan_expiry([lived(S.STARTING, action="stop", limit=NOW)], NOW, quiet=False)


def test_the_time_limit_deletes_with_any_action():
    (expiry,) = plan_expiry([lived(action="stop", limit=PAST)], NOW, quiet=False)
    assert (expiry.action, expiry.setting, expiry.reason) == (
        "delete",
        "session_time_limit",
        "It ends at its time limit: L.",
    )


@pytest.mark.parametrize("status", [S.STOPPING, S.STOPPED, S.PAUSING, S.PAUSED])
def test_at_rest_only_the_time_limit_runs(status: SessionStatus):
    assert plan_expiry([lived(status, PAST)], NOW, quiet=False) == []
    assert plan_expiry([lived(status, PAST, limit=FUTURE)], NOW, quiet=False) == []
    (expiry,) = plan_expiry([lived(status, None, limit=PAST)], NOW, quiet=False)
    assert expiry.action == "delete"


def test_what_does_not_run_yet_is_stopped_later_but_deleted_at_once():
    assert plan_expiry([lived(S.STARTING, action="stop")], NOW, quiet=False) == []
    assert [e.action for e in plan_expiry([lived(S.STARTING)], NOW, quiet=False)] == ["delete"]


def test_a_time_limit_ends_a_session_whose_machine_is_away():
    longer = PAST - timedelta(hours=1)
    assert plan_expiry([lived(S.LOST, longer, action="stop", limit=FUTURE)], NOW, quiet=False) == []
    (expiry,) = plan_expiry([lived(S.LOST, longer, action="stop", limit=PAST)], NOW, quiet=False)
    assert (expiry.action, expiry.setting) == ("delete", "session_time_limit")


def test_what_will_happen_is_shown_before_it_does():
    shown = next_expiry(lived(expires=FUTURE, action="pause", limit=FUTURE + timedelta(hours=1)))
    assert shown is not None
    assert (shown.action, shown.at) == ("pause", FUTURE)
    for later_s, action in ((0, "delete"), (0.999, "delete"), (1, "pause")):
        limit = FUTURE + timedelta(seconds=later_s)
        shown = next_expiry(lived(expires=FUTURE, action="pause", limit=limit))
        assert shown is not None
        assert shown.action == action, "nothing is paused just before it is deleted"
    assert next_expiry(lived(S.PAUSED, None)) is None
    assert next_expiry(lived(S.FAILED, limit=FUTURE)) is None


times = st.integers(-400, 400).map(lambda s: NOW + timedelta(seconds=s))
sessions = st.builds(
    SessionLifetime,
    session_id=st.uuids().map(str),
    status=st.sampled_from(S),
    expires=st.none() | times,
    time_limit_ends=st.none() | times,
    clocks=st.builds(Clocks, keepalive_s=st.just(60.0), action=st.sampled_from(["delete", "stop", "pause"])),
)
cases = st.tuples(st.lists(sessions, max_size=5), st.booleans())
Plan = Callable[..., Sequence[Expiry]]


def only_what_is_over_along_allowed_edges(subject: Plan, case: tuple[list[SessionLifetime], bool]) -> None:
    found, quiet = case
    by_id = {session.session_id: session for session in found}
    actions = subject(found, NOW, quiet=quiet)
    assert not (quiet and actions)
    for action in actions:
        session = by_id[action.session_id]
        over = [at for at in (session.expires, session.time_limit_ends) if at is not None and at <= NOW]
        assert over
        assert THROUGH[action.action] in ALLOWED[session.status]
        assert action.reason
        if session.status not in KEPT_ALIVE:
            assert action.setting == "session_time_limit"
            assert session.time_limit_ends is not None
            assert session.time_limit_ends <= NOW


def test_only_what_is_over_along_allowed_edges():
    holds(only_what_is_over_along_allowed_edges, plan_expiry, cases)


def ignores_quiet(found: list[SessionLifetime], now: datetime, *, quiet: bool) -> Sequence[Expiry]:
    del quiet
    return plan_expiry(found, now, quiet=False)


def stops_what_starts(found: list[SessionLifetime], now: datetime, *, quiet: bool) -> Sequence[Expiry]:
    del now, quiet
    return [e for s in found if (e := next_expiry(s)) is not None]


def wakes_the_resting(found: list[SessionLifetime], now: datetime, *, quiet: bool) -> Sequence[Expiry]:
    resting = [s for s in found if s.status is S.PAUSED and s.expires is not None]
    return plan_expiry([replace(s, status=S.RUNNING) for s in resting], now, quiet=quiet)


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", [ignores_quiet, stops_what_starts, wakes_the_resting])
def test_the_property_catches_its_mutants(mutant: Plan):
    catches(only_what_is_over_along_allowed_edges, mutant, cases)
