"""The reservation of sessions with CPU quotas on an Agent whose cores are overcommitted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Literal

import pytest
from tests.support import rows
from tests.support.system import System

from greenroom.db.database import Database
from greenroom.db.fleet.agents import update_agent
from greenroom.db.fleet.liveness import changed_offers, lock_allocations, write_offers
from greenroom.db.session.sessions import insert_session
from greenroom.db.session.views import SessionFilter, list_sessions

OVERCOMMIT = 16.0


class Quotas(System):
    """An Agent of 2 cores, each offered 16 times."""

    async def place(self, cpu_mode: Literal["Shares", "Quotas"], cores: float = 1.0) -> str | None:
        """Place a session if there is capacity; returns it."""
        made = rows.new_session(self.zone_id, self.image_id, self.agent_id)
        new = replace(made, spec=replace(made.spec, cpu_mode=cpu_mode, cores=cores), memory=1_000_000)
        async with self.db.transaction() as connection:
            return new.session_id if await insert_session(connection, new) else None

    async def launches(self, number: int, cpu_mode: Literal["Shares", "Quotas"], cores: float = 1.0) -> list[str]:
        """Place this number of sessions at once; returns those that were placed."""
        placed = await asyncio.gather(*(self.place(cpu_mode, cores) for _ in range(number)))
        return [session_id for session_id in placed if session_id is not None]

    async def override(self, cores: float) -> None:
        """Set the override like an administrator, and run the next round of the Primary; 0 removes it."""
        await update_agent(self.db, self.agent_id, cores_override=cores)
        async with self.db.transaction() as connection:
            await write_offers(connection, await changed_offers(self.db, self.zone_id, OVERCOMMIT))

    async def counted(self) -> float:
        """The counted reservation, which must be the sum of the sessions."""
        async with self.db.transaction() as connection:
            (allocation,) = await lock_allocations(connection, self.zone_id, [self.agent_id])
        assert "I5" not in await self.broken()
        assert allocation.cores_stored == pytest.approx(allocation.cores_summed)
        return allocation.cores_stored


@pytest.fixture
async def stage(db: Database) -> Quotas:
    stage = await Quotas.populate(db, cores=2.0)
    await db.write("UPDATE agent_capacity SET overcommit = %(o)s, cores = cores_reported * %(o)s", {"o": OVERCOMMIT})
    return stage


@pytest.mark.parametrize(("cores", "room"), [(1.0, 2), (0.25, 8), (2.0, 1)])
async def test_of_many_at_once_as_many_quotas_fit_as_the_host_has_cores(stage: Quotas, cores: float, room: int):
    placed = await stage.launches(room + 12, "Quotas", cores)
    assert len(placed) == room
    assert await stage.counted() == 32
    shown = await list_sessions(stage.db, SessionFilter().conditions())
    assert {each.cores for each in shown.rows} == {cores}, "a session shows the cores of its workspace"
    await stage.end(placed[0])
    assert await stage.counted() == 32 - cores * OVERCOMMIT
    await stage.end(*placed[1:])
    assert await stage.counted() == 0


async def test_quotas_and_shares_have_the_offer_together(stage: Quotas):
    assert len(await stage.launches(1, "Quotas")) == 1
    assert len(await stage.launches(20, "Shares")) == 16
    assert await stage.place("Quotas", 0.1) is None


async def test_what_lives_is_weighed_anew_when_the_offer_changes(stage: Quotas):
    first, second = await stage.launches(2, "Quotas", 0.5)
    (shared,) = await stage.launches(1, "Shares")
    assert await stage.counted() == 17
    await stage.override(1.5)
    assert await stage.counted() == 2, "an override offers cores as they are; sessions beyond it go on"
    await stage.end(first)
    assert await stage.counted() == 1.5
    assert await stage.place("Quotas", 0.5) is None
    await stage.override(2)
    assert await stage.place("Quotas", 0.5) is not None
    await stage.override(0)
    assert await stage.counted() == 17
    assert len(await stage.launches(20, "Shares")) == 15
    await stage.end(second, shared)
    assert await stage.counted() == 32 - 8 - 1


async def test_launches_ends_and_changed_offers_at_once_lose_nothing(stage: Quotas):
    async def live(cpu_mode: Literal["Shares", "Quotas"]) -> None:
        for _ in range(8):
            session_id = await stage.place(cpu_mode, 0.25)
            if session_id is not None:
                await stage.end(session_id)

    async def change() -> None:
        for cores in (4, 0) * 8:
            await stage.override(cores)

    kept = await stage.launches(2, "Quotas", 0.25)
    await asyncio.gather(*(live("Quotas") for _ in range(4)), *(live("Shares") for _ in range(4)), change())
    assert await stage.counted() == 2 * 0.25 * OVERCOMMIT
    await stage.end(*kept)
    assert await stage.counted() == 0
