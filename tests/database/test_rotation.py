"""Sessions that are replaced: before they expire, when their pool is recycled, after a change; on a real database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from tests.database.pool_stage import Stage, staged

from greenroom.db.database import Database
from greenroom.manager.tasks.pools import run_pools
from greenroom.testing import rows


@pytest.fixture
async def stage(db: Database, tmp_path: Path) -> Stage:
    return await staged(db, tmp_path)


async def test_a_session_is_replaced_before_it_expires(stage: Stage):
    await stage.settle()
    old = await stage.oldest_expires_in(10)
    await asyncio.gather(*(run_pools(stage.ctx) for _ in range(3)))
    assert await stage.statuses() == {"running": 3, "requested": 1}
    assert await stage.replaced() == {"requested": old}
    await run_pools(stage.ctx)
    assert await stage.statuses() == {"running": 3, "requested": 1}
    await stage.agent_does()
    assert await stage.statuses() == {"running": 4}
    await run_pools(stage.ctx)
    assert await stage.statuses() == {"running": 3, "deleting": 1}
    row = await stage.db.fetch_one("SELECT session_id::text, ended_reason FROM sessions WHERE status = 'deleting'")
    assert row == {"session_id": old, "ended_reason": "Its replacement is there."}
    assert (await stage.config())["shortfall_code"] is None
    assert await stage.log_rows("staging-shortfall") == []


async def test_a_session_that_is_claimed_while_its_replacement_starts_is_refilled_by_it(stage: Stage):
    await stage.settle()
    await stage.oldest_expires_in(10)
    await run_pools(stage.ctx)
    assert await stage.statuses() == {"running": 3, "requested": 1}
    assert await stage.claim(await rows.user(stage.db, "ada")), "the oldest is given out first"
    await run_pools(stage.ctx)
    assert await stage.statuses() == {"assigning": 1, "running": 2, "requested": 1}
    await stage.settle()
    assert await stage.statuses() == {"running": 4}
    pooled = await stage.db.fetch_one("SELECT count(*) AS number FROM sessions WHERE claimable")
    assert pooled == {"number": 3}


async def test_the_database_keeps_a_second_replacement_out_of_a_pool(stage: Stage):
    await stage.settle()
    await stage.oldest_expires_in(10)
    await run_pools(stage.ctx)
    with pytest.raises(psycopg.errors.UniqueViolation, match="sessions_one_in_rotation"):
        await stage.db.write(
            "UPDATE sessions SET status = 'starting', replaces = session_id"
            " WHERE session_id = (SELECT session_id FROM sessions WHERE claimable LIMIT 1)"
        )


async def test_a_replacement_of_the_previous_version_is_resumed(stage: Stage):
    """It left `replaces` in the row of the user."""
    await stage.settle()
    user_id = await rows.user(stage.db, "ada")
    await stage.db.write(
        "UPDATE sessions SET user_id = %s, assigned = clock_timestamp(), replaces = gen_random_uuid()"
        " WHERE session_id = (SELECT session_id FROM sessions WHERE claimable LIMIT 1)",
        (user_id,),
    )
    await stage.settle()
    await stage.oldest_expires_in(10)
    await stage.db.write("UPDATE sessions SET status = 'starting' WHERE user_id IS NOT NULL")
    await run_pools(stage.ctx)
    assert await stage.statuses() == {"running": 3, "starting": 1, "requested": 1}


async def test_a_session_without_room_for_its_replacement_goes_at_its_expiry(stage: Stage):
    await stage.db.write("UPDATE agent_capacity SET cores = 3")
    await stage.settle()
    await stage.oldest_expires_in(10)
    await run_pools(stage.ctx)
    assert await stage.statuses() == {"running": 3}
    await stage.oldest_expires_in(0)
    await run_pools(stage.ctx)
    assert await stage.statuses() == {"running": 2, "deleting": 1}
    assert (await stage.config())["shortfall_reason"] == (
        "1 of 3 not staged yet: one session before is on the way out, to make room."
    )
    await stage.settle()
    assert await stage.statuses() == {"running": 3, "deleted": 1}
    assert await stage.log_rows("staging-shortfall") == [], "nothing anybody has to do something about"


@pytest.mark.parametrize(("cores", "least"), [(4, 3), (3, 2)])
async def test_a_recycled_pool_is_made_anew_one_by_one(stage: Stage, cores: int, least: int):
    await stage.db.write("UPDATE agent_capacity SET cores = %s", (cores,))
    await stage.settle()
    await stage.db.write("UPDATE staging_configs SET recycled = clock_timestamp()")
    for _ in range(12):
        await run_pools(stage.ctx)
        pooled = await stage.db.fetch_one("SELECT count(*) AS number FROM sessions WHERE claimable")
        assert pooled is not None
        assert least <= pooled["number"] <= 4
        await stage.agent_does()
    assert await stage.statuses() == {"running": 3, "deleted": 3}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE zones SET upstream_auth_address = 'other:1'",
        "UPDATE zones SET allow_origin_domain = 'other'",
        'UPDATE images SET exec_config = \'{"first_launch": {"cmd": "true"}}\'',
        "UPDATE images SET revision = revision + 1",
        "UPDATE staging_configs SET allow_kasm_audio = true",
    ],
)
async def test_a_change_rolls_the_pool_over(stage: Stage, change: LiteralString):
    await stage.settle()
    await stage.db.write(change)
    await run_pools(stage.ctx)
    assert await stage.statuses() == {"deleting": 3, "requested": 3}


async def test_a_pool_that_takes_up_all_room_is_rolled_over_as_its_room_gets_free(stage: Stage):
    await stage.db.write("UPDATE agent_capacity SET cores = 3")
    await stage.settle()
    await stage.db.write("UPDATE images SET revision = revision + 1")
    await run_pools(stage.ctx)
    assert await stage.statuses() == {"deleting": 3}
    assert (await stage.config())["shortfall_code"] == "starting"
    await stage.settle()
    assert await stage.statuses() == {"deleted": 3, "running": 3}
