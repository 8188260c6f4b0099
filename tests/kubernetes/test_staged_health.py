"""Staged sessions outlive their Agent: tests/acceptance/test_staged_health.py on Pods."""

from __future__ import annotations

from typing import Final

from tests.acceptance import test_staged_health as suite
from tests.kubernetes.on_pods import same

BY_DOCKER: Final = "the test damages containers with Docker commands"
NOT_HERE: Final = {
    "test_what_breaks_in_a_pool_is_replaced_and_launches_get_what_works": BY_DOCKER,
}
"""Test → the reason why it is not run here."""

globals().update(same(suite, without=NOT_HERE))
