"""Users race while each role is killed: the tests with real sessions of tests/acceptance/test_exactly_once.py, on
Pods."""

from __future__ import annotations

from typing import Final

from tests.acceptance import test_exactly_once as suite
from tests.kubernetes.on_pods import same

NOT_HERE: Final = {
    "test_60_users_for_15_staged_sessions_while_each_role_is_killed": "the test uses simulated sessions",
}
"""Test → the reason why it is not run here."""

globals().update(same(suite, without=NOT_HERE))
