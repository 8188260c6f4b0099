"""Beats: check-ins without news, which a Manager stores together within a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.system import System
from tests.support.waiting import eventually

from greenroom.core.errors import Unavailable
from greenroom.db.database import Database
from greenroom.db.fleet import reports
from greenroom.db.fleet.managers import find_or_insert_manager
from greenroom.manager.checkin.commit import UnstoredCheckIns
from greenroom.wire.messages import CheckIn, ReportedCapacity


@pytest.fixture
async def system(db: Database) -> System:
    return await System.populate(db, agents=[f"agent-{n}" for n in range(3)])


@pytest.fixture
async def beats(system: System) -> AsyncIterator[UnstoredCheckIns]:
    beats = UnstoredCheckIns(system.db, await find_or_insert_manager(system.db, "one", "eu", "host-1", "1.0"))
    task = asyncio.create_task(beats.run())
    yield beats
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _beat(agent_id: str, seq: int, runtime_error: str = "") -> CheckIn:
    return CheckIn(
        agent_id=agent_id,
        incarnation=1,
        seq=seq,
        runtime_error=runtime_error,
        installation_id="",
        db_epoch="",
        hold_s=5.0,
        term_seen=7,
        have_digest="",
        capacity=ReportedCapacity(cores=2, memory_bytes=8 << 30),
    )


async def _until_stored(db: Database, seqs: dict[str, int]) -> None:
    async def are_stored() -> bool:
        rows = await db.fetch("SELECT agent_id::text, seq FROM agents WHERE manager_term = 7")
        return {row["agent_id"]: row["seq"] for row in rows} == seqs

    await eventually(are_stored)


async def test_one_that_cannot_be_stored_stops_no_other(system: System, beats: UnstoredCheckIns):
    first, second, third = system.agents.values()
    await system.db.write("UPDATE agents SET incarnation = 1, seq = 0")
    beats.add(_beat(first, seq=1))
    beats.add(_beat(second, seq=1, runtime_error="no\ud800text"))
    beats.add(_beat(third, seq=2))
    beats.add(_beat(third, seq=1))
    await _until_stored(system.db, {first: 1, third: 2})


async def test_what_the_database_does_not_take_is_stored_later(
    system: System, beats: UnstoredCheckIns, monkeypatch: pytest.MonkeyPatch
):
    real, failed = reports.write_progress, asyncio.Event()

    async def fails_once(*given: Any) -> frozenset[str]:
        if failed.is_set():
            return await real(*given)
        failed.set()
        raise Unavailable

    monkeypatch.setattr(reports, "write_progress", fails_once)
    await system.db.write("UPDATE agents SET incarnation = 1, seq = 0")
    beats.add(_beat(system.agent_id, seq=1))
    await _until_stored(system.db, {system.agent_id: 1})
    assert failed.is_set()
