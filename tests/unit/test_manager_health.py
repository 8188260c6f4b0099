"""What a Manager says of itself, and to Agents it does not answer (CONTRACT, Health)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from greenroom.db.fleet.managers import ManagerRow
from greenroom.manager import health, status
from greenroom.manager.status import ManagerStatus

ME = ManagerRow(
    manager_id="m",
    manager_key=1,
    instance_id="m",
    enabled=True,
    zone_id="z",
    zone_key=1,
    zone_name="eu",
    installation_id="i",
)


def standing(
    *, registered: bool = True, enabled: bool = True, stopping: bool = False, works: bool = True, database: bool = True
) -> ManagerStatus:
    found = ManagerStatus(unhealthy_after_s=10 if works else -1)
    found.me = ME if registered else None
    found.enabled = enabled
    found.stopping = stopping
    found.database_answers = database
    found.round_finished()
    return found


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
    answer = health.answer(standing(**how))
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
    away = standing(**how)
    assert not away.serves_agents
    answer = health.elsewhere(away)
    assert (answer.status_code, json.loads(bytes(answer.body))["status"]) == (status, word)
    assert answer.headers.get("Retry-After") == retry_after


def test_one_that_is_registered_and_answers_nobody_yet_is_starting_not_disabled():
    answer = health.elsewhere(standing(), starting=True)
    assert (json.loads(bytes(answer.body))["status"], answer.headers["Retry-After"]) == ("starting", "1")


@pytest.mark.parametrize("how", [{}, {"works": False, "database": False}])
def test_agents_are_answered_while_it_works_and_while_it_is_the_database_that_is_away(how: dict[str, Any]):
    assert standing(**how).serves_agents


def test_after_the_database_was_away_it_has_time_for_a_round_before_it_is_said_to_hang(monkeypatch: pytest.MonkeyPatch):
    """Otherwise it would send its Agents away, and give the role back, in the moment the database is there again."""
    now_s = 0.0
    monkeypatch.setattr(status, "boottime_s", lambda: now_s)
    found = standing()
    now_s = 60.0
    found.reconnected()
    assert not found.hangs
    assert found.serves_agents
    assert not found.healthy
    now_s = 71.0
    assert found.hangs
