"""The table of session states."""

from __future__ import annotations

import pytest

from greenroom.core.session.states import (
    ALLOWED,
    COUNTS_FOR_USER,
    KEPT_ALIVE,
    STOPPED_OR_PAUSED,
    TRANSITIONAL,
    WANTED_IN,
    SessionStatus,
    Want,
    sources_of,
)


def test_every_status_has_a_row():
    assert set(ALLOWED) == set(SessionStatus)


def test_deleted_is_final():
    assert ALLOWED[SessionStatus.DELETED] == frozenset()


@pytest.mark.parametrize("status", sorted(set(SessionStatus) - {SessionStatus.DELETED, SessionStatus.DELETING}))
def test_every_living_status_can_be_deleted(status: SessionStatus):
    assert SessionStatus.DELETING in ALLOWED[status]


@pytest.mark.parametrize("status", sorted(TRANSITIONAL - {SessionStatus.DELETING}))
def test_every_transitional_status_can_fail(status: SessionStatus):
    assert SessionStatus.FAILED in ALLOWED[status]


def test_every_status_is_reached_from_the_first_and_leads_to_the_last():
    reached, ends = {SessionStatus.REQUESTED}, {SessionStatus.DELETED}
    for _ in SessionStatus:
        reached |= {after for before in reached for after in ALLOWED[before]}
        ends |= {before for before in SessionStatus if ALLOWED[before] & ends}
    assert reached == ends == set(SessionStatus)


def test_a_users_session_is_kept_alive_or_is_stopped_or_paused():
    assert STOPPED_OR_PAUSED | KEPT_ALIVE == COUNTS_FOR_USER
    assert not STOPPED_OR_PAUSED & KEPT_ALIVE
    assert {Want.STOPPED, Want.PAUSED} == {want for status in STOPPED_OR_PAUSED for want in WANTED_IN[status]}


def test_a_stopped_or_paused_session_may_run_again_with_any_agent():
    assert all(SessionStatus.STARTING in ALLOWED[status] for status in STOPPED_OR_PAUSED)


def test_sources_are_the_table_read_backwards():
    for target in SessionStatus:
        assert sources_of(target) == {s for s in SessionStatus if target in ALLOWED[s]}
