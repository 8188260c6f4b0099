"""Sessions that are replaced: before they expire, when their pool is recycled, after a change; on a real database."""

from __future__ import annotations

import asyncio
from typing import LiteralString

import psycopg
import pytest
from tests.support.system import System

from greenroom.db.database import Database
from greenroom.db.fleet.reports import ReportedImage, write_images


@pytest.fixture
async def stage(db: Database) -> System:
    return await System.populate(db, desired=3)


async def oldest_expires_in(stage: System, seconds: float) -> str:
    """Make the oldest claimable session an hour older, and let it expire after this time; returns its id."""
    (found,) = await stage.db.write(
        "UPDATE sessions SET created = created - interval '1 h', started = started - interval '1 h',"
        " expires = clock_timestamp() + make_interval(secs => %s) WHERE session_id ="
        " (SELECT session_id FROM sessions WHERE claimable ORDER BY created, session_id LIMIT 1)"
        " RETURNING session_id::text",
        (seconds,),
    )
    return found["session_id"]


async def replaced(stage: System) -> dict[str, str]:
    """Status of each replacement → the replaced session."""
    found = await stage.db.fetch("SELECT status, replaces::text FROM sessions WHERE replaces IS NOT NULL")
    return {row["status"]: row["replaces"] for row in found}


async def test_a_session_is_replaced_before_it_expires(stage: System):
    await stage.settle()
    old = await oldest_expires_in(stage, 10)
    await asyncio.gather(*(stage.plan() for _ in range(3)))
    assert await stage.statuses() == {"running": 3, "requested": 1}
    assert await replaced(stage) == {"requested": old}
    await stage.plan()
    assert await stage.statuses() == {"running": 3, "requested": 1}
    await stage.agents_do()
    assert await stage.statuses() == {"running": 4}
    await stage.plan()
    assert await stage.statuses() == {"running": 3, "deleting": 1}
    row = await stage.db.fetch_one("SELECT session_id::text, ended_reason FROM sessions WHERE status = 'deleting'")
    assert row == {"session_id": old, "ended_reason": "Its replacement is ready."}
    assert (await stage.config())["shortfall_code"] is None
    assert await stage.log("staging-shortfall") == []


async def test_sessions_of_an_older_image_are_replaced_one_by_one_where_a_newer_one_is(stage: System):
    async def reported(digest: str) -> None:
        image = ReportedImage(
            name="greenroom/desktop:test",
            state="present",
            how="",
            reason="",
            digest=digest,
            size_bytes=1,
            progress=0,
            error="",
            refreshed=0.0,
        )
        async with stage.db.transaction() as connection:
            await write_images(connection, stage.agent_id, [image])

    await reported("sha256:1")
    await stage.settle()
    await reported("sha256:1")
    await stage.plan()
    assert await stage.statuses() == {"running": 3}
    await reported("sha256:2")
    await stage.plan()
    assert await stage.statuses() == {"running": 3, "requested": 1}
    for _ in range(8):
        await stage.settle()
    assert (await stage.statuses())["running"] == 3
    changed = await stage.db.fetch(
        "SELECT 1 FROM sessions s JOIN agent_images a USING (agent_id) WHERE claimable AND s.created > a.changed"
    )
    assert len(changed) == 3


async def test_a_full_pool_whose_image_cannot_be_pulled_says_so_once(stage: System):
    await stage.settle()
    await stage.db.write("UPDATE images SET name = 'greenroom/nothere:1'")
    await stage.db.write("UPDATE staging_configs SET recycled = clock_timestamp()")
    await stage.db.write(
        "INSERT INTO agent_images (agent_id, name, state, error)"
        " VALUES (%s, 'greenroom/nothere:1', 'failed', 'not found')",
        (stage.agent_id,),
    )
    for _ in range(3):
        await stage.plan()
    assert await stage.statuses() == {"running": 3}
    reason = (
        "3 sessions of the former workspace; their replacements cannot start: agent-1 cannot get image"
        " greenroom/nothere:1: not found."
    )
    config = await stage.config()
    assert (config["shortfall_code"], config["refill_code"], config["refill_reason"]) == (
        None,
        "image-unavailable",
        reason,
    )
    (logged,) = await stage.log("staging-refill-blocked")
    assert (logged["level"], logged["message"]) == (
        "WARNING",
        f"Desktop in zone eu (config {stage.config_id[:8]}): {reason}",
    )
    await stage.db.write("UPDATE agent_images SET state = 'present'")
    await stage.plan()
    assert (await stage.config())["refill_code"] is None


async def test_a_replacement_refills_the_pool_if_the_old_session_is_claimed(stage: System):
    await stage.settle()
    await oldest_expires_in(stage, 10)
    await stage.plan()
    assert await stage.statuses() == {"running": 3, "requested": 1}
    assert await stage.claim(stage.user_id), "the oldest is given out first"
    await stage.plan()
    assert await stage.statuses() == {"assigning": 1, "running": 2, "requested": 1}
    await stage.settle()
    assert await stage.statuses() == {"running": 4}
    pooled = await stage.db.fetch_one("SELECT count(*) AS number FROM sessions WHERE claimable")
    assert pooled == {"number": 3}


async def test_the_database_keeps_a_second_replacement_out_of_a_pool(stage: System):
    await stage.settle()
    await oldest_expires_in(stage, 10)
    await stage.plan()
    with pytest.raises(psycopg.errors.UniqueViolation, match="sessions_one_in_rotation"):
        await stage.db.write(
            "UPDATE sessions SET status = 'starting', replaces = session_id"
            " WHERE session_id = (SELECT session_id FROM sessions WHERE claimable LIMIT 1)"
        )


async def test_a_session_without_room_for_its_replacement_goes_at_its_expiry(stage: System):
    await stage.db.write("UPDATE agent_capacity SET cores = 3")
    await stage.settle()
    await oldest_expires_in(stage, 10)
    await stage.plan()
    assert await stage.statuses() == {"running": 3}
    await oldest_expires_in(stage, 0)
    await stage.plan()
    assert await stage.statuses() == {"running": 2, "deleting": 1}
    assert (await stage.config())["shortfall_reason"] == (
        "1 of 3 not staged yet: 1 earlier session is ending to make room."
    )
    await stage.settle()
    assert await stage.statuses() == {"running": 3, "deleted": 1}
    assert await stage.log("staging-shortfall") == [], "nothing that needs an administrator"


@pytest.mark.parametrize(("cores", "least"), [(4, 3), (3, 2)])
async def test_a_recycled_pool_is_made_anew_one_by_one(stage: System, cores: int, least: int):
    await stage.db.write("UPDATE agent_capacity SET cores = %s", (cores,))
    await stage.settle()
    await stage.db.write("UPDATE staging_configs SET recycled = clock_timestamp()")
    for _ in range(12):
        await stage.plan()
        (pooled,) = await stage.db.fetch("SELECT count(*) AS number FROM sessions WHERE claimable")
        assert least <= pooled["number"] <= 4
        await stage.agents_do()
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
async def test_a_change_rolls_the_pool_over(stage: System, change: LiteralString):
    await stage.settle()
    await stage.db.write(change)
    await stage.plan()
    assert await stage.statuses() == {"deleting": 3, "requested": 3}


async def test_a_pool_that_takes_all_room_rolls_over_as_room_becomes_free(stage: System):
    await stage.db.write("UPDATE agent_capacity SET cores = 3")
    await stage.settle()
    await stage.db.write("UPDATE images SET revision = revision + 1")
    await stage.plan()
    assert await stage.statuses() == {"deleting": 3}
    assert (await stage.config())["shortfall_code"] == "starting"
    await stage.settle()
    assert await stage.statuses() == {"deleted": 3, "running": 3}
