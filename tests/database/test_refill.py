"""Refill begins when a session is assigned, and does not wait for the Primary's next round."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.support import rows
from tests.support.managers import Fleet, manager_here, notifications, primary_is
from tests.support.system import System
from tests.support.waiting import eventually

from greenroom.core.events import ChangeEvent
from greenroom.core.session.observations import StatusTransition
from greenroom.core.session.states import ObservedState, SessionStatus, Want, sources_of
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.session.observations import Observation, ReportedSession
from greenroom.manager.tasks import pools, rounds
from greenroom.manager.tasks.context import PrimaryContext, RoundEvents
from greenroom.manager.tasks.pools import examine_pools
from greenroom.manager.tasks.rounds import Refill
from greenroom.manager.transitions import Decision, announce


async def test_an_assigned_session_is_replaced_before_the_next_round(fleet: Fleet, db: Database):
    found = await db.fetch("SELECT zone_id::text FROM zones")
    await db.write("UPDATE zones SET allow_origin_domain = '127.0.0.1', upstream_auth_address = '127.0.0.1:8443'")
    zone_id, image_id = found[0]["zone_id"], await rows.image(db)
    await rows.agent(db, zone_id)

    async def pooled(status: str) -> bool:
        row = await db.fetch_one(
            "SELECT count(*) AS number FROM sessions WHERE user_id IS NULL AND status = %s", (status,)
        )
        return row == {"number": 3}

    async with manager_here(fleet, guardian_interval_s=60, unhealthy_after_s=120):
        await primary_is(db, "one")
        config_id = await rows.staging_config(db, zone_id, image_id)
        await db.notify(ChangeEvent.staging(config_id))
        await eventually(lambda: pooled("requested"))
        user_id = await rows.user(db, "ada")
        for _ in range(3):  # the rounds after an election are over by then
            await db.write("UPDATE sessions SET status = 'running', started = created, user_id = %s", (user_id,))
            await db.notify(ChangeEvent.staging("no-uuid"), ChangeEvent.staging(config_id))
            await eventually(lambda: pooled("requested"))


async def test_a_plan_is_repeated_only_where_it_may_find_more_to_do(db: Database, tmp_path: Path):
    stage = await System.populate(db, desired=3)
    named = f"staging:{stage.config_id}"
    sent = await notifications(db, examine_pools(stage.ctx))
    assert "staging:" in sent, "pages look again"
    assert named not in sent, "three sessions were created; now they start"
    await stage.settle()
    await db.write("UPDATE staging_configs SET num_sessions = 1")
    assert named in await notifications(db, examine_pools(stage.ctx)), "what had to go first may have been in the way"
    await stage.settle()
    await db.write("UPDATE staging_configs SET num_sessions = 40")
    await db.write("UPDATE agent_capacity SET cores = 1000, memory = 1::bigint << 50")
    assert named in await notifications(db, examine_pools(stage.ctx)), "more than are created at once are missing"


async def test_a_plan_that_hangs_is_given_up_and_the_pool_planned_again(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stage = await System.populate(db, desired=3)
    hangs = asyncio.Event()

    async def hang_once(name: str) -> None:
        if not hangs.is_set():
            hangs.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(pools, "hold_if_armed", hang_once)
    refill = Refill(lambda: stage.ctx, max_s=3)  # more than a plan needs on a busy machine
    running = asyncio.create_task(refill.run())
    refill.request(stage.config_id)
    await hangs.wait()
    assert await stage.statuses() == {}
    refill.request(stage.config_id)

    async def filled() -> bool:
        return await stage.statuses() == {"requested": 3}

    await eventually(filled)
    running.cancel()


async def test_claims_of_a_burst_share_a_plan_and_the_first_is_followed_at_once(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    stage = await System.populate(db)
    planned: list[list[str]] = []

    async def noting(_: PrimaryContext, staging_config_ids: Iterable[str]) -> None:
        planned.append(list(staging_config_ids))

    monkeypatch.setattr(rounds, "plan_pools", noting)

    async def claimed(refill: Refill, number: int) -> None:
        refill.request(f"pool-{number}")
        for _ in range(5):
            await asyncio.sleep(0)

    for interval_s in (0.0, 3600.0):
        planned.clear()
        refill = Refill(lambda: stage.ctx, interval_s=interval_s)
        running = asyncio.create_task(refill.run())
        for number in range(9):
            await claimed(refill, number)
        assert planned == [[f"pool-{number}"] for number in range(1 if interval_s else 9)]
        running.cancel()
    refill = Refill(lambda: stage.ctx, interval_s=0.01)
    planned.clear()
    running = asyncio.create_task(refill.run())
    for number in (1, 2, 3):
        await claimed(refill, number)

    async def all_planned() -> bool:
        return sorted(itertools.chain(*planned)) == ["pool-1", "pool-2", "pool-3"]

    await eventually(all_planned)
    running.cancel()


@pytest.mark.parametrize(
    ("status", "user_id", "expected"),
    [
        ("starting", None, set[str]()),
        ("running", None, {"staging:"}),
        ("running", "u", set[str]()),
        ("failed", None, {"staging:c", "zone:1"}),
        ("failed", "u", {"zone:1"}),
    ],
)
async def test_the_primary_is_notified_of_what_it_may_act_on(
    db: Database, status: str, user_id: str | None, expected: set[str]
):
    to = SessionStatus(status)
    before = ReportedSession(
        session_id="s",
        status=SessionStatus.REQUESTED,
        want=Want.RUNNING,
        generation=1,
        agent_id="a",
        assignment_state=None,
        user_id=user_id,
        staging_config_id="c",
    )
    seen = Observation(session_id="s", generation=1, state=ObservedState.RUNNING, agent_id="a", incarnation=1, seq=1)
    move = StatusTransition(session_id="s", to=to, sources=sources_of(to), reason="it is so")
    news = RoundEvents(db, LogWriter(db, "manager", "eu"))
    announce([Decision(before, seen, move)], news, zone_key=1)
    assert await notifications(db, news.send()) == expected | {"session:s"}
