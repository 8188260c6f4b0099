"""The turns in which a Manager reads the rows that check-ins depend on (ADR 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import cast

import pytest

from greenroom.db.fleet.checkin import CheckInReading
from greenroom.manager.checkin import readings
from greenroom.manager.checkin.readings import BatchedReader

READING = cast("CheckInReading", object())


class Reader:
    """Replaces the statement; it returns once it is `answered`."""

    def __init__(self) -> None:
        self.begun: list[list[str]] = []
        self.is_reading = asyncio.Event()
        self.answered = asyncio.Event()

    async def read(self, agent_ids: Collection[str]) -> CheckInReading:
        self.begun.append(sorted(agent_ids))
        self.is_reading.set()
        if "slow" in agent_ids:
            await self.answered.wait()
        return READING


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.setattr(readings, "COLLECT_S", 0.0)
    return Reader()


async def test_what_is_asked_for_in_a_hurry_waits_for_no_other(reader: Reader):
    reads = BatchedReader(reader.read)
    slow = asyncio.create_task(reads.read("slow", urgent=False))
    await reader.is_reading.wait()
    assert await reads.read("agent") is READING
    assert not slow.done()
    reader.answered.set()
    assert await slow is READING


async def test_of_many_that_were_read_together_only_some_go_on_at_once(reader: Reader):
    reads = BatchedReader(reader.read)
    went_on = list[str]()

    async def ask(name: str) -> None:
        await reads.read(name, urgent=False)
        went_on.append(name)

    all_of_them = asyncio.gather(*(ask(f"agent-{n}") for n in range(10 * readings.BATCH_SIZE)))
    steps = list[int]()
    while not all_of_them.done():
        before = len(went_on)
        await asyncio.sleep(0)
        steps.append(len(went_on) - before)
    assert max(steps) <= 2 * readings.BATCH_SIZE  # a step of this test may see two of their reads
    assert len(reader.begun) == 1
