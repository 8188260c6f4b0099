"""A Manager's health report, and its answers to Agents that it does not serve (docs/reference/managers.md)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from greenroom.manager import app
from greenroom.manager.status import GuardianStatus, ManagerStatus


def manager(
    *, registered: bool = True, enabled: bool = True, stopping: bool = False, works: bool = True, database: bool = True
) -> ManagerStatus:
    """A Manager that had a minute for its work, and did it or not."""
    idle_s = 0.0 if works else 60.0
    there = GuardianStatus(enabled=enabled, round_age_s=idle_s, database_reachable_s=60.0 if database else None)
    guardian = there if registered else GuardianStatus()
    return ManagerStatus(age_s=idle_s, unhealthy_after_s=10.0, stopping=stopping, guardian=guardian)


HEALTH: list[tuple[dict[str, Any], int, str, str | None]] = [
    ({}, 200, "running", None),
    ({"enabled": False}, 503, "disabled", "30"),
    ({"works": False}, 500, "unhealthy", None),
    ({"works": False, "enabled": False}, 500, "unhealthy", None),
    ({"works": False, "database": False}, 500, "unhealthy", None),
    ({"registered": False}, 503, "starting", "1"),
    ({"registered": False, "works": False}, 500, "unhealthy", None),
]


@pytest.mark.parametrize(("how", "status", "word", "retry_after"), HEALTH)
def test_health(how: dict[str, Any], status: int, word: str, retry_after: str | None):
    answer = app.health_answer(manager(**how))
    assert answer.status_code == status
    enabled = how.get("enabled", True) if how.get("registered", True) else None
    assert json.loads(bytes(answer.body)) == {"ok": status == 200, "status": word, "enabled": enabled}
    assert answer.headers.get("Retry-After") == retry_after


AWAY: list[tuple[dict[str, Any], int, str, str | None]] = [
    ({"enabled": False}, 503, "disabled", "30"),
    ({"works": False}, 500, "unhealthy", None),
    ({"registered": False}, 503, "starting", "1"),
    ({"stopping": True}, 503, "stopping", "1"),
    ({"stopping": True, "works": False}, 503, "stopping", "1"),
]


@pytest.mark.parametrize(("how", "status", "word", "retry_after"), AWAY)
def test_agents_are_sent_elsewhere(how: dict[str, Any], status: int, word: str, retry_after: str | None):
    away = manager(**how)
    assert not away.serves_agents
    answer = app.unavailable_answer(away)
    assert (answer.status_code, json.loads(bytes(answer.body))["status"]) == (status, word)
    assert answer.headers.get("Retry-After") == retry_after


@pytest.mark.parametrize("how", [{}, {"works": False, "database": False}])
def test_agents_are_answered_while_it_works_or_the_database_is_away(how: dict[str, Any]):
    assert manager(**how).serves_agents


@pytest.mark.parametrize(("database_reachable_s", "hangs"), [(0.0, False), (9.0, False), (11.0, True)])
def test_after_a_database_outage_a_round_has_time_before_it_hangs(database_reachable_s: float, hangs: bool):
    """Otherwise it would send its Agents away, and resign, at the moment the database is back."""
    guardian = GuardianStatus(enabled=True, round_age_s=60.0, database_reachable_s=database_reachable_s)
    found = ManagerStatus(age_s=99.0, unhealthy_after_s=10.0, guardian=guardian)
    assert not found.healthy
    assert (found.hangs, found.serves_agents) == (hangs, not hangs)


@pytest.mark.parametrize(("task_success_age_s", "works"), [(9.0, True), (11.0, False)])
def test_a_round_that_goes_on_is_slow_and_does_not_hang(task_success_age_s: float, works: bool):
    guardian = GuardianStatus(
        enabled=True, round_age_s=60.0, task_success_age_s=task_success_age_s, database_reachable_s=60.0
    )
    found = ManagerStatus(age_s=99.0, unhealthy_after_s=10.0, guardian=guardian)
    assert (found.healthy, found.hangs) == (works, not works)


def test_what_the_primary_cannot_do_is_named_and_sends_no_agent_away():
    found = ManagerStatus(
        age_s=99.0,
        unhealthy_after_s=10.0,
        guardian=GuardianStatus(enabled=True, round_age_s=0.0, failing_tasks=["pools"]),
    )
    answer = app.health_answer(found)
    assert (answer.status_code, json.loads(bytes(answer.body))["failing_tasks"]) == (200, ["pools"])
