"""The writes of a status change of a session are defined in a single table."""

from __future__ import annotations

import re

import pytest

from greenroom.core.session.states import WANTED_IN, SessionStatus
from greenroom.db.session.transitions import CHANGE_TO


@pytest.mark.parametrize("status", CHANGE_TO)
def test_a_new_status_has_its_time_and_no_deadline_of_the_one_before(status: SessionStatus):
    assert CHANGE_TO[status].startswith(f"status = '{status}', ")
    assert "status_changed = clock_timestamp(), deadline = NULL" in CHANGE_TO[status]


@pytest.mark.parametrize("status", CHANGE_TO)
def test_the_agent_is_instructed_what_a_status_allows(status: SessionStatus):
    wanted = re.search(r"want = '(\w+)'", CHANGE_TO[status])
    if wanted is not None:
        assert wanted.group(1) in WANTED_IN[status]
        assert "generation = generation + 1" in CHANGE_TO[status]


def test_viewers_of_a_session_that_ends_are_cut():
    for status in (SessionStatus.DELETING, SessionStatus.DELETED):
        assert "auth_epoch = auth_epoch + 1" in CHANGE_TO[status]
