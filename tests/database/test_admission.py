"""More launches than can be served: those that are admitted are served, and the others are refused at once."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.system import System
from tests.support.waiting import eventually

from greenroom.api.problems import error_response
from greenroom.core.errors import Busy
from greenroom.core.launch import forecast
from greenroom.core.launch.forecast import MAX_LAUNCHES_AT_ONCE
from greenroom.db.database import Database

WAITING = 3


async def test_a_launch_without_a_turn_is_refused_at_once_and_the_others_are_served(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(forecast, "ALWAYS_ADMITTED", WAITING)
    monkeypatch.setattr(forecast, "MAX_WAIT_S", 0.0)
    stage = await System.populate(db, cores=100)
    launcher, users = stage.launcher, [await stage.user(f"user-{n}") for n in range(MAX_LAUNCHES_AT_ONCE + WAITING)]
    await launcher.launch(stage.request())
    async with db.transaction() as connection:
        await connection.execute("SELECT 1 FROM users FOR UPDATE")
        waiting = [asyncio.create_task(launcher.launch(stage.request(user_id=user))) for user in users]
        await asyncio.sleep(0)
        with pytest.raises(Busy) as refused:
            await launcher.launch(stage.request())
        assert not any(launch.done() for launch in waiting)
    served = await asyncio.gather(*waiting)
    assert len({result.session_id for result in served}) == len(users)

    answer = error_response("/api/v1/sessions", refused.value)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert refused.value.details["position"] == WAITING + 1

    async def recorded() -> bool:
        rows = await db.fetch("SELECT launch_id::text, steps FROM launches WHERE outcome = 'failed'")
        refusals = [(row["launch_id"], row["steps"][0]["code"], row["steps"][0]["reason"]) for row in rows]
        return refusals == [(refused.value.details["launch_id"], "busy", refused.value.message)]

    await eventually(recorded)
