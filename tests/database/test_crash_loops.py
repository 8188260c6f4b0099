"""A Manager or api that restarts repeatedly records this in the database, with the error of its last end."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.database.api_process import api_process
from tests.support.managers import Fleet
from tests.support.waiting import eventually

from greenroom.core.fleet.restarts import CRASH_STARTS
from greenroom.db.database import Database
from greenroom.db.fleet.managers import list_managers

SENTENCE = " is crash-looping: it started 3 times within 5 minutes. The last error: ValueError: bad row."


def _loop(folder: Path) -> None:
    """Insert the starts of a process that ended with errors, so that the next one is crash-looping."""
    folder.mkdir(exist_ok=True)
    starts = {"at_s": [time.time() - 1] * (CRASH_STARTS - 1), "error": "ValueError: bad row."}
    (folder / "starts.json").write_text(json.dumps(starts))


@pytest.fixture
async def fleet(db: Database, dsn: str, tmp_path: Path):
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    fleet = Fleet(dsn, tmp_path)
    yield fleet
    fleet.close()


async def test_a_crash_looping_manager_is_listed_with_its_last_error(fleet: Fleet, db: Database):
    _loop(fleet.folder / "one")
    await fleet.start("one")
    (manager,) = await list_managers(db)
    assert (manager.crash_looping, manager.status_reason) == (True, f"It{SENTENCE}")


async def test_a_crash_looping_api_writes_its_last_error_to_the_log(fleet: Fleet, db: Database):
    folder = fleet.folder / "api"
    _loop(folder)
    async with api_process(fleet.key_file, fleet.dsn, api_dir=str(folder)):
        await eventually(lambda: db.fetch("SELECT 1 FROM logs WHERE code = 'crash-looping'"))
    (row,) = await db.fetch("SELECT message FROM logs WHERE code = 'crash-looping'")
    assert row["message"] == f"The api{SENTENCE}"
    assert not (folder / "starts.json").exists(), "it was stopped"
