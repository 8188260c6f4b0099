"""The loops of a Manager: each is listed here, and an error in the work of one stops no loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from tests.support.managers import Fleet, manager_here
from tests.support.waiting import eventually

from greenroom.db.database import Database
from greenroom.kit.concurrency import keep_running
from greenroom.manager import guardian, series
from greenroom.manager.leadership import LeadershipWatch
from greenroom.manager.machines.machine_rounds import MachineRounds
from greenroom.manager.tasks import rounds

LOOPS = {
    "listener": "one connection, opened again",
    "guardian": "a round, raises here; its tasks and their items are isolated (`manager.tasks.context`)",
    "refill": "named pools, raises here",
    "leadership": "one connection, opened again",
    "leadership watch": "a look, raises here",
    "commits": "messages, isolated one by one (test_checkin_isolation)",
    "unstored check-ins": "messages, isolated one by one (test_beats)",
    "retention": "a clean-up, raises here",
    "series": "the samples of a minute, raises here",
    "machines": "a round, raises here; calls of providers have outcomes of their pools",
    "logs": "rows, those without a storable form are dropped and counted",
    "audit": "events, whose texts are made storable; none is left out",
    "requests": "the same",
    "lateness": "measures this process",
}
"""Loop → its items, and the tests of their errors. A loop that is missing here fails the test."""

ERRORS: dict[str, Callable[[], Exception]] = {
    "value": lambda: ValueError("bad row"),
    "disk": lambda: OSError(28, "No space left on device"),
    "database": lambda: psycopg.ProgrammingError("column does not exist"),
    "group": lambda: ExceptionGroup("of a task group", [KeyError("name"), ValueError("bad row")]),
}


def _running() -> set[str]:
    """The loops that are kept running in this process."""
    loop = keep_running.__name__
    return {task.get_name() for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") == loop}


@pytest.mark.parametrize("name", ERRORS)
async def test_an_error_in_one_loop_ends_no_loop(
    name: str, fleet: Fleet, db: Database, monkeypatch: pytest.MonkeyPatch
):
    raised = list[str]()

    def fail_twice(owner: Any, work: str) -> None:
        healthy, which = getattr(owner, work), f"{owner.__name__}.{work}"

        async def failing(*args: Any, **kwargs: Any) -> Any:
            if raised.count(which) < 2:
                raised.append(which)
                error = ERRORS[name]()
                raise error
            return await healthy(*args, **kwargs)

        monkeypatch.setattr(owner, work, failing)

    fail_twice(guardian, "heartbeat")
    fail_twice(LeadershipWatch, "_check")
    fail_twice(MachineRounds, "round")
    fail_twice(rounds.Retention, "round")
    fail_twice(series.SeriesRecorder, "round")
    fail_twice(rounds, "has_work")
    monkeypatch.setattr(rounds, "RETENTION_INTERVAL_S", 0.1)
    monkeypatch.setattr(series, "CHECK_INTERVAL_S", 0.1)
    monkeypatch.setattr("greenroom.manager.machines.machine_rounds.ROUND_INTERVAL_S", 0.1)
    async with manager_here(fleet):
        await eventually(lambda: len(raised) == 12, 20)
        await eventually(lambda: db.fetch("SELECT 1 FROM zone_leases WHERE holder IS NOT NULL"))
        assert _running() == LOOPS.keys()
