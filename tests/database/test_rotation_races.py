"""A session that is replaced before it expires meets a claim, and its replacement does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.database.full_pool import DESIRED, Stage, filled
from tests.database.locks import ended, held_at_commit, waiting, waits_or_ends

from greenroom.db.database import Database
from greenroom.manager.tasks.pools import run_pools


@pytest.fixture
async def stage(db: Database, tmp_path: Path) -> Stage:
    return await filled(db, tmp_path)


async def rotating(stage: Stage) -> tuple[str, str]:
    """The pool's oldest session, about to expire, and its replacement, which is usable; the plan has not seen that."""
    # Starts take 20 s here, and were an hour ago.
    await stage.db.write(
        "UPDATE sessions SET created = created - interval '1 h', started = created - interval '1 h' + interval '20 s'"
    )
    (old,) = await stage.db.write(
        "UPDATE sessions SET expires = clock_timestamp() + interval '10 s', created = created - interval '1 s'"
        " WHERE session_id = (SELECT session_id FROM sessions LIMIT 1) RETURNING session_id::text"
    )
    await run_pools(stage.ctx)
    (new,) = await stage.db.fetch(
        "SELECT session_id::text FROM sessions WHERE replaces = %s AND status = 'requested'", (old["session_id"],)
    )
    assert len(await stage.rows()) == DESIRED + 1
    await stage.nothing_is_broken()
    await stage.become_usable()
    return old["session_id"], new["session_id"]


async def test_one_that_is_claimed_while_its_replacement_takes_over_is_the_users(stage: Stage):
    old, new = await rotating(stage)
    ada = await stage.user("ada")
    async with held_at_commit(stage.db, "assigning"):
        claiming = asyncio.create_task(stage.claim(ada))
        await waiting(stage.db, 1)
        acting = asyncio.create_task(run_pools(stage.ctx))
        await waits_or_ends(stage.db, acting, 2)
    claimed, _ = await ended(claiming, acting)
    assert claimed is not None
    assert claimed.session_id == old, "the oldest goes first"
    await run_pools(stage.ctx)
    found = await stage.rows()
    assert found[new]["claimable"], "the replacement is the refill"
    assert len([row for row in found.values() if row["user_id"] is None]) == DESIRED
    await stage.nothing_is_broken()


async def test_one_that_was_replaced_is_given_to_nobody(stage: Stage):
    old, _ = await rotating(stage)
    ada = await stage.user("ada")
    async with held_at_commit(stage.db, "leaving"):
        acting = asyncio.create_task(run_pools(stage.ctx))
        await waiting(stage.db, 1)
        claimed = await stage.claim(ada)
    await ended(acting)
    assert claimed is not None
    assert claimed.session_id != old
    assert (await stage.rows())[old]["status"] == "deleting"
    await stage.nothing_is_broken()


async def test_while_a_replacement_is_the_refill_of_one_that_was_claimed_no_other_one_is_made(stage: Stage):
    old, new = await rotating(stage)
    await stage.db.write("UPDATE sessions SET status = 'starting' WHERE session_id = %s", (new,))
    claimed = await stage.claim(await stage.user("ada"))
    assert claimed is not None
    assert claimed.session_id == old
    await stage.db.write("UPDATE sessions SET expires = clock_timestamp() + interval '10 s' WHERE claimable")
    await run_pools(stage.ctx)
    coming = [i for i, row in (await stage.rows()).items() if row["status"] in ("requested", "starting")]
    assert coming == [new]
    await stage.become_usable()
    await run_pools(stage.ctx)
    assert len([i for i, row in (await stage.rows()).items() if row["status"] == "requested"]) == 1
    await stage.nothing_is_broken()


async def test_a_users_session_that_is_resumed_is_in_nobodys_place(stage: Stage):
    """It was a replacement once; while the next one is under way it can still be started again."""
    old, new = await rotating(stage)
    await run_pools(stage.ctx)
    assert (await stage.rows())[old]["status"] == "deleting"
    await stage.db.write("UPDATE sessions SET created = created - interval '2 h' WHERE session_id = %s", (new,))
    claimed = await stage.claim(await stage.user("ada"))
    assert claimed is not None
    assert claimed.session_id == new
    await run_pools(stage.ctx)
    await stage.become_usable()
    await stage.db.write(
        "UPDATE sessions SET expires = clock_timestamp() + interval '10 s', created = created - interval '1 h'"
        " WHERE claimable"
    )
    await run_pools(stage.ctx)
    resume = "UPDATE sessions SET status = 'starting' WHERE session_id = %s RETURNING replaces"
    assert await stage.db.write(resume, (new,)) == [{"replaces": None}]
    await run_pools(stage.ctx)
    await stage.nothing_is_broken()
