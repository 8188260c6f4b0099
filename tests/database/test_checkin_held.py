"""Check-ins that a Manager holds until there is something new for the Agent (PROTOCOLS §2)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.support.agents import ToldAgent, joined, row, seen, session, term_above
from tests.support.managers import Fleet, manager_here
from tests.support.waiting import eventually

from greenroom.core.events import Event
from greenroom.db.database import Database

HOLD_S = 20.0
END_OF_HOLD_S = 8.0
"""What is held for `HOLD_S` and answered before this was answered because there were news."""


@pytest.fixture
async def long_holding(fleet: Fleet) -> AsyncIterator[httpx.ASGITransport]:
    """The side for Agents of a Manager that holds check-ins for long, so that no stall looks like the end of a hold."""
    async with manager_here(fleet, checkin_hold_s=HOLD_S, agent_missing_s=60) as transport:
        yield transport


@pytest.fixture
def notified_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held check-ins look for news when they are notified of some, not by themselves."""
    monkeypatch.setattr("greenroom.manager.checkin.polling._LOOK_AGAIN_S", 60)


async def _held(db: Database, agent: ToldAgent, hold_s: float = HOLD_S) -> asyncio.Task[float]:
    """A poll that is being held; its result is how long it took."""
    await eventually(lambda: term_above(db, 0))
    await agent.check_in()  # news of the election would end a hold as well

    async def poll() -> float:
        begun = time.monotonic()
        await agent.check_in(hold_s=hold_s)
        return time.monotonic() - begun

    task = asyncio.create_task(poll())
    await asyncio.sleep(0.4)  # to see that nothing happens
    assert not task.done()
    return task


async def test_a_held_poll_is_answered_at_once_when_a_session_is_added(
    long_holding: httpx.ASGITransport, db: Database, fleet: Fleet, notified_only: None
):
    agent = await joined(db, long_holding)
    first = await session(db, agent)  # with its image, which would be news of its own
    task = await _held(db, agent)
    second = await session(db, agent)
    await db.notify(Event.agent(agent.agent_id))
    assert await task < END_OF_HOLD_S
    assert set(agent.desired) == {first, second}


async def test_without_a_notification_news_come_at_the_next_look(
    long_holding: httpx.ASGITransport, db: Database, fleet: Fleet
):
    agent = await joined(db, long_holding)
    first = await session(db, agent)  # with its image, which would be news of its own
    task = await _held(db, agent)
    second = await session(db, agent)
    assert await task < END_OF_HOLD_S, "a hand-over must be acknowledged within 2 s"
    assert set(agent.desired) == {first, second}


async def test_while_a_poll_is_held_the_agent_can_report(agent: ToldAgent, db: Database):
    session_id = await session(db, agent)
    task = await _held(db, agent, hold_s=5)
    answer = await agent.check_in(seen(session_id, "running", usable=True))
    assert not task.done()
    assert answer.acked_seq == agent.seq
    assert (await row(db, session_id))["status"] == "running"
    assert await task > 1.5


async def test_a_new_primary_is_announced_at_once_and_recorded(
    fleet: Fleet, db: Database, long_holding: httpx.ASGITransport, notified_only: None
):
    agent = await joined(db, long_holding)
    task = await _held(db, agent)
    await db.write("UPDATE zone_leases SET term = term + 1, expires_at = '-infinity'")
    await db.notify(Event.lease(1))
    assert await task < END_OF_HOLD_S
    assert agent.term_seen >= 2

    async def is_recorded() -> bool:
        said = agent.term_seen
        await agent.check_in()
        return await db.fetch_one("SELECT manager_term FROM agents") == {"manager_term": said}

    await eventually(is_recorded)
