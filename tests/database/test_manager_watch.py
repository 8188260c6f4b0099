"""The supervisor restarts a Manager, an Agent or the api that no longer answers, but not after a short silence."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from tests.support import rows

from greenroom.db.database import Database
from greenroom.up import health
from greenroom.up.restart_rules import SILENT_S
from greenroom.up.site import ManagerSite
from greenroom.up.supervisor import Part
from greenroom.up.upkeep import ManagerWatch, PartWatch


class Stage:
    """A Manager, whose answers and process are controlled by the test; times are in seconds."""

    def __init__(self, db: Database) -> None:
        endpoint = ManagerSite(
            name="manager-eu-1",
            zone="eu",
            instance_id="manager-eu-1-4d77061a",
            port=9,
            gateway_port=9,
            sentinel_file=Path("/nowhere"),
        )
        self.db = db
        self.status: int | None = None
        self.text = ""
        self.restarted: list[str] = []
        self.part = Part(name=endpoint.name, role="manager", command=lambda: pytest.fail("nothing is started here"))
        self.is_process(1)
        self._watch = ManagerWatch(endpoint, self.part, lambda _, reason: self.restarted.append(reason), db)

    def is_process(self, pid: int) -> None:
        """Let this process be the Manager."""
        process: Any = SimpleNamespace(pid=pid)
        self.part.process = process

    async def check(self, *times_s: float) -> None:
        """Check its health."""
        async with httpx2.AsyncClient() as http:
            for now_s in times_s:
                await self._watch.check(http, now_s)


@pytest.fixture
async def stage(db: Database, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A Manager with an enabled record that does not answer."""
    zone_id = await rows.zone(db)
    for name in ("manager-eu-1-4d77061a", "another"):
        await db.write("INSERT INTO managers (instance_id, zone_id) VALUES (%s, %s)", (name, zone_id))
    made = Stage(db)

    async def answered(*_: object) -> tuple[int | None, str]:
        return made.status, made.text

    monkeypatch.setattr(health, "get_status", answered)
    return made


async def test_a_silent_manager_is_restarted_and_a_log_row_says_why(stage: Stage):
    await stage.check(0, SILENT_S / 2, SILENT_S - 1)
    assert stage.restarted == []
    await stage.check(SILENT_S)
    assert len(stage.restarted) == 1
    (row,) = await stage.db.fetch(
        "SELECT level, component, zone_name, message FROM logs WHERE code = 'manager-restarted'"
    )
    assert (row["level"], row["component"], row["zone_name"]) == ("WARNING", "up", "eu")
    assert row["message"] == (
        "manager-eu-1-4d77061a answered no health check for 120 s while the database could be reached;"
        " it is started again."
    )


async def test_what_is_answered_for_a_frozen_one_is_its_silence(stage: Stage):
    stage.status, stage.text = 500, '{"ok": false, "status": "unhealthy", "enabled": true, "frozen": true}'
    await stage.check(0, 2, 4, 6, SILENT_S - 1)
    assert stage.restarted == []
    await stage.check(SILENT_S)
    assert len(stage.restarted) == 1


async def test_a_disabled_one_may_be_silent(stage: Stage):
    await stage.db.write("UPDATE managers SET enabled = false WHERE instance_id <> 'another'")
    await stage.check(0, SILENT_S, 2 * SILENT_S)
    assert stage.restarted == []


async def test_another_process_is_not_blamed_for_the_silence_before(stage: Stage):
    await stage.check(0, SILENT_S - 1)
    stage.is_process(2)
    await stage.check(SILENT_S)
    assert stage.restarted == []
    await stage.check(2 * SILENT_S)
    assert len(stage.restarted) == 1


async def test_while_the_database_is_away_no_part_is_restarted(stage: Stage):
    await stage.db.close()
    stage.status = 500
    await stage.check(0, 2, 4, 6)
    assert stage.restarted == []


async def test_an_api_silent_for_two_minutes_is_restarted(stage: Stage):
    watch = PartWatch(stage.part, "http://127.0.0.1:9", lambda _, reason: stage.restarted.append(reason), stage.db)
    async with httpx2.AsyncClient() as http:
        for now_s, status in ((0, None), (SILENT_S - 1, 503), (SILENT_S, None), (2 * SILENT_S - 1, None)):
            stage.status = status
            await watch.check(http, now_s)
        assert stage.restarted == []
        await watch.check(http, 2 * SILENT_S)
        assert stage.restarted == ["manager-eu-1 answered no health check for 120 s"]
    (row,) = await stage.db.fetch("SELECT level, component, message FROM logs WHERE code = 'part-restarted'")
    assert tuple(row.values()) == ("WARNING", "up", f"{stage.restarted[0]}; it is started again.")
