"""The table of session states."""

from __future__ import annotations

import pytest

from greenroom.core.states import ALLOWED, TRANSITIONAL, SessionStatus, may_follow, sources_of


def test_every_status_has_a_row():
    assert set(ALLOWED) == set(SessionStatus)


def test_deleted_is_final():
    assert ALLOWED[SessionStatus.DELETED] == frozenset()


@pytest.mark.parametrize("status", sorted(set(SessionStatus) - {SessionStatus.DELETED, SessionStatus.DELETING}))
def test_every_living_status_can_be_deleted(status: SessionStatus):
    assert may_follow(status, SessionStatus.DELETING)


@pytest.mark.parametrize("status", sorted(TRANSITIONAL - {SessionStatus.DELETING}))
def test_every_transitional_status_can_fail(status: SessionStatus):
    assert may_follow(status, SessionStatus.FAILED)


def test_sources_are_the_table_read_backwards():
    for target in SessionStatus:
        assert sources_of(target) == {s for s in SessionStatus if may_follow(s, target)}
