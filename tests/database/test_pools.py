"""Pools on a real database: filled, shrunk, emptied, refilled, with the fence and the races of
docs/explanation/protocols.md §3."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import LiteralString

import pytest
from tests.support import rows
from tests.support.system import SECRETS, System

from greenroom.api.installation import record_unattended_pools
from greenroom.core.errors import LeaseLost, Refused
from greenroom.db.database import Database
from greenroom.db.fleet.agents import delete_agent
from greenroom.db.session.deadlines import discard_failed
from greenroom.manager.tasks.deadlines import run_expiry
from greenroom.manager.tasks.pools import examine_pools, plan_pool


@pytest.fixture
async def stage(db: Database) -> System:
    return await System.populate(db, desired=3)


async def test_a_new_config_is_filled_with_complete_rows(stage: System):
    await stage.plan()
    found = await stage.db.fetch("SELECT * FROM sessions")
    assert len(found) == 3
    for row in found:
        assert (row["status"], row["user_id"], row["term"]) == ("requested", None, 7)
        assert row["spec"]["environment"]["KASM_ID"] == str(row["session_id"])
        assert (row["spec"]["allow_origin"], row["upstream_auth"]) == (["127.0.0.1"], "127.0.0.1:8443")
        assert abs((row["expires"] - row["created"]).total_seconds() - 3600) < 1
    assert len({SECRETS.decrypt(row["credential_encrypted"]) for row in found}) == 3
    assert (await stage.config())["shortfall_code"] == "starting"
    await stage.settle()
    assert await stage.statuses() == {"running": 3}
    assert (await stage.config())["shortfall_code"] is None
    assert await stage.reserved() == {"agent-1": (3.0, 300_000_000)}


@pytest.mark.parametrize(
    "defect",
    [
        """UPDATE images SET exec_config = '{"first_launch": {"cmd": ""}}' WHERE image_id = %s""",
        "UPDATE images SET run_config = '[]' WHERE image_id = %s",  # a row that cannot be read
        "UPDATE images SET exec_config = '7' WHERE image_id = %s",
    ],
)
async def test_an_unusable_workspace_does_not_stop_other_pools(stage: System, defect: LiteralString):
    for number in range(2):  # one of them is before or after the good one
        broken = await rows.image(stage.db, friendly_name=f"Broken {number}")
        await stage.db.write(defect, (broken,))
        await rows.staging_config(stage.db, stage.zone_id, broken)
    await stage.plan()
    assert await stage.statuses() == {"requested": 3}


async def test_what_was_set_aside_goes_with_its_config(stage: System):
    await stage.settle()
    ada = stage.user_id
    await stage.db.write(
        "UPDATE sessions SET status = 'failed', set_aside_for = %s, status_changed = now() - interval '1 day'", (ada,)
    )
    async with stage.db.transaction() as connection:
        assert await discard_failed(connection, stage.zone_id, 60, 60) == []
    await stage.db.write("UPDATE staging_configs SET deleted = now()")
    async with stage.db.transaction() as connection:
        assert len(await discard_failed(connection, stage.zone_id, 60, 60)) == 3
    assert await stage.statuses() == {"deleting": 3}


async def test_fewer_desired_destroys_the_excess_and_never_an_assigned_one(stage: System):
    await stage.settle()
    assert await stage.claim(stage.user_id)
    await stage.db.write("UPDATE staging_configs SET num_sessions = 1")
    await stage.plan()
    assert await stage.statuses() == {"assigning": 1, "running": 1, "deleting": 1}


async def test_expired_sessions_are_destroyed_and_made_again(stage: System):
    await stage.settle()
    await stage.db.write("UPDATE sessions SET expires = clock_timestamp()")
    await stage.plan()
    assert await stage.statuses() == {"deleting": 3, "requested": 3}
    row = await stage.db.fetch_one("SELECT DISTINCT ended_reason, retired FROM sessions WHERE status = 'deleting'")
    assert row == {"ended_reason": "Its expiration of 1 h has passed.", "retired": True}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE images SET enabled = false", "image-disabled"),
        ("UPDATE zones SET allow_origin_domain = '$request_host$'", "zone-request-host"),
    ],
)
async def test_where_nothing_may_be_staged_the_pool_goes_to_zero(stage: System, change: LiteralString, code: str):
    await stage.settle()
    await stage.db.write(change)
    await stage.settle()
    assert await stage.statuses() == {"deleted": 3}
    assert (await stage.config())["shortfall_code"] == code


async def test_a_shortfall_is_logged_once_per_cause(stage: System):
    await stage.db.write("UPDATE agent_capacity SET cores = 1")
    await stage.settle()
    await stage.settle()
    config = await stage.config()
    assert (config["shortfall_code"], config["shortfall_reason"]) == (
        "no-capacity",
        (
            "2 of 3 not staged: no Agent in zone eu has 1 cores and 100 MB free"
            " (agent-1 has 0 of 1 cores free, 1 are needed)."
        ),
    )
    assert [row["level"] for row in await stage.log("staging-shortfall")] == ["WARNING"]
    await stage.db.write("UPDATE agent_capacity SET cores = 9")
    await stage.settle()
    assert len(await stage.log("staging-recovered")) == 1


async def test_the_next_primary_does_not_log_a_shortfall_again_that_is_known(stage: System):
    await stage.db.write("UPDATE agent_capacity SET cores = 1")
    await stage.settle()
    await stage.db.write("UPDATE zone_leases SET term = 8")
    stage.primaries["eu"] = replace(stage.ctx, fence=replace(stage.ctx.fence, term=8))
    await stage.settle()
    assert len(await stage.log("staging-shortfall")) == 1


async def test_a_pool_without_a_primary_is_logged_once_until_one_fills_it(stage: System):
    for _ in range(2):
        await asyncio.gather(*(record_unattended_pools(stage.db, stage.logs) for _ in range(3)))
    reason = "3 of 3 not staged: no Manager of the zone is running, so the pool is not filled."
    title = f"Desktop in zone eu (config {stage.config_id[:8]})"
    (logged,) = await stage.log("staging-shortfall")
    assert (logged["level"], logged["message"]) == ("ERROR", f"{title}: {reason}")
    assert (await stage.config())["shortfall_reason"] == reason
    await stage.settle()
    assert len(await stage.log("staging-recovered")) == 1
    await record_unattended_pools(stage.db, stage.logs)
    assert (await stage.config())["shortfall_code"] is None, "a full pool is not short, no matter who is there"


async def test_failing_starts_back_off_are_cleaned_up_and_recover(stage: System):
    await stage.plan()
    await stage.db.write("UPDATE sessions SET status = 'failed', error = 'X did not start'")
    await stage.plan()
    assert await stage.statuses() == {"deleting": 3}
    config = await stage.config()
    assert (config["failures"], config["last_error"], config["shortfall_code"]) == (
        1,
        "X did not start",
        "start-failing",
    )
    assert config["next_try"] is not None
    await stage.db.write("UPDATE staging_configs SET next_try = next_try + interval '1 min'")
    await stage.plan()
    assert await stage.statuses() == {"deleting": 3}, "nothing is tried before its time"
    assert [row["level"] for row in await stage.log("staged-session-failed")] == ["ERROR"] * 3
    await stage.db.write("UPDATE staging_configs SET next_try = clock_timestamp() - interval '1 s'")
    await stage.plan()
    assert await stage.statuses() == {"deleting": 3, "requested": 1}, "one at a time until one succeeds"
    await stage.settle()
    assert await stage.statuses() == {"deleted": 3, "running": 3}
    assert (await stage.config())["failures"] == 0


async def test_a_failing_pool_leaves_another_one_alone(stage: System):
    image_id = await rows.image(stage.db, friendly_name="Other", name="greenroom/desktop:other")
    await stage.db.write(
        "INSERT INTO agent_images VALUES (%s, 'greenroom/desktop:other', 'present')", (stage.agent_id,)
    )
    other = await rows.staging_config(stage.db, stage.zone_id, image_id)
    await stage.plan()
    await stage.db.write("UPDATE sessions SET status = 'failed' WHERE staging_config_id = %s", (stage.config_id,))
    await stage.settle()
    found = await stage.db.fetch_one(
        "SELECT count(*) AS number FROM sessions WHERE staging_config_id = %s AND claimable", (other,)
    )
    assert found == {"number": 3}


async def test_a_lost_agent_is_deleted_and_the_pool_filled_elsewhere(stage: System):
    await stage.settle()
    assert await stage.claim(stage.user_id)
    await stage.db.write(
        "UPDATE sessions SET status = 'failed', set_aside_for = user_id, user_id = NULL WHERE status = 'assigning'"
    )
    assert await stage.claim(await stage.user("grace"))
    other = await rows.agent(stage.db, stage.zone_id, hostname="agent-2")
    with pytest.raises(Refused, match="has 3 sessions"):
        await delete_agent(stage.db, stage.agent_id, force=False)
    with pytest.raises(Refused, match="its containers would remain"):
        await delete_agent(stage.db, stage.agent_id, force=True)
    await stage.db.write("UPDATE agents SET status = 'missing' WHERE agent_id = %s", (stage.agent_id,))
    await delete_agent(stage.db, stage.agent_id, force=True)
    assert await stage.statuses() == {"deleted": 3}
    await stage.settle()
    assert await stage.statuses() == {"deleted": 3, "running": 3}
    assert await stage.db.fetch("SELECT DISTINCT agent_id::text FROM sessions WHERE status = 'running'") == [
        {"agent_id": other}
    ]
    assert await stage.broken() == {}


async def test_a_deleted_config_is_emptied(stage: System):
    await stage.settle()
    await stage.db.write("UPDATE staging_configs SET deleted = now()")
    await stage.settle()
    assert await stage.statuses() == {"deleted": 3}


async def test_a_pool_that_needs_nothing_is_not_written(stage: System):
    await stage.settle()
    before = await stage.db.fetch_one("SELECT xmin::text FROM staging_configs")
    await stage.plan()
    assert await stage.db.fetch_one("SELECT xmin::text FROM staging_configs") == before


async def test_two_plans_at_once_never_exceed_desired(stage: System):
    """Locking and counting in one statement would result in six instead of three."""
    await asyncio.gather(*(plan_pool(stage.ctx, stage.config_id) for _ in range(6)))
    assert await stage.statuses() == {"requested": 3}


async def test_claims_and_plans_at_once_keep_the_pool_at_desired(stage: System):
    await stage.db.write("UPDATE staging_configs SET num_sessions = 5")
    await stage.settle()
    users = [await stage.user(f"user-{number}") for number in range(8)]

    async def plans() -> None:
        for _ in range(6):
            await stage.plan()

    given = await asyncio.gather(*(stage.claim(user_id) for user_id in users), plans(), plans())
    await stage.settle()
    assigned = await stage.db.fetch_one("SELECT count(*) AS number FROM sessions WHERE user_id IS NOT NULL")
    pooled = await stage.db.fetch_one("SELECT count(*) AS number FROM sessions WHERE claimable")
    assert assigned == {"number": sum(result is not None for result in given)}
    assert pooled == {"number": 5}


async def test_a_primary_whose_term_is_over_writes_nothing(stage: System):
    old = replace(stage.ctx, fence=replace(stage.ctx.fence, term=6))
    with pytest.raises(LeaseLost):
        await examine_pools(old)
    assert await stage.statuses() == {}


async def test_a_session_that_is_not_kept_alive_ends(stage: System):
    await stage.settle()
    assert await stage.claim(stage.user_id)
    await stage.agents_do()
    await stage.db.write("UPDATE sessions SET expires = clock_timestamp() WHERE user_id IS NOT NULL")
    await run_expiry(replace(stage.ctx, quiet=True))
    assert await stage.statuses() == {"running": 3}
    await run_expiry(stage.ctx)
    (row,) = await stage.db.fetch("SELECT want, ended_reason FROM sessions WHERE status = 'deleting'")
    assert row["want"] == "absent"
    assert row["ended_reason"].startswith("Its time without an open window is limited to 1 hour")
    assert len(await stage.log("session-expired")) == 1
