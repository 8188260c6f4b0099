"""Races of claims with a session that is replaced before it expires, and with its replacement."""

from __future__ import annotations

import asyncio

import pytest
from tests.database.full_pool import DESIRED, FullPool
from tests.database.locks import ended, held_at_commit, waiting, waits_or_ends

from greenroom.db.database import Database


@pytest.fixture
async def stage(db: Database) -> FullPool:
    return await FullPool.filled(db)


async def rotating(stage: FullPool) -> tuple[str, str]:
    """The pool's oldest session, about to expire, and its usable replacement, which the plan has not read."""
    # Starts take 20 s here, and took an hour before.
    await stage.db.write(
        "UPDATE sessions SET created = created - interval '1 h', started = created - interval '1 h' + interval '20 s'"
    )
    (old,) = await stage.db.write(
        "UPDATE sessions SET expires = clock_timestamp() + interval '10 s', created = created - interval '1 s'"
        " WHERE session_id = (SELECT session_id FROM sessions LIMIT 1) RETURNING session_id::text"
    )
    await stage.plan()
    (new,) = await stage.db.fetch(
        "SELECT session_id::text FROM sessions WHERE replaces = %s AND status = 'requested'", (old["session_id"],)
    )
    assert len(await stage.sessions()) == DESIRED + 1
    assert await stage.broken() == {}
    await stage.become_usable()
    return old["session_id"], new["session_id"]


async def test_a_session_claimed_while_being_replaced_is_the_users(stage: FullPool):
    old, new = await rotating(stage)
    ada = await stage.user("ada")
    async with held_at_commit(stage.db, "assigning"):
        claiming = asyncio.create_task(stage.claim(ada))
        await waiting(stage.db, 1)
        acting = asyncio.create_task(stage.plan())
        await waits_or_ends(stage.db, acting, 2)
    claimed, _ = await ended(claiming, acting)
    assert claimed is not None
    assert claimed.session_id == old, "the oldest goes first"
    await stage.plan()
    found = await stage.sessions()
    assert found[new]["claimable"], "the replacement is the refill"
    assert len([row for row in found.values() if row["user_id"] is None]) == DESIRED
    assert await stage.broken() == {}


async def test_a_session_that_is_being_replaced_is_given_to_no_user(stage: FullPool):
    old, _ = await rotating(stage)
    ada = await stage.user("ada")
    async with held_at_commit(stage.db, "leaving"):
        acting = asyncio.create_task(stage.plan())
        await waiting(stage.db, 1)
        claimed = await stage.claim(ada)
    await ended(acting)
    assert claimed is not None
    assert claimed.session_id != old
    assert (await stage.sessions())[old]["status"] == "deleting"
    assert await stage.broken() == {}


async def test_a_replacement_that_became_the_refill_is_the_only_one(stage: FullPool):
    old, new = await rotating(stage)
    await stage.db.write("UPDATE sessions SET status = 'starting' WHERE session_id = %s", (new,))
    claimed = await stage.claim(await stage.user("ada"))
    assert claimed is not None
    assert claimed.session_id == old
    await stage.db.write("UPDATE sessions SET expires = clock_timestamp() + interval '10 s' WHERE claimable")
    await stage.plan()
    coming = [i for i, row in (await stage.sessions()).items() if row["status"] in ("requested", "starting")]
    assert coming == [new]
    await stage.become_usable()
    await stage.plan()
    assert len([i for i, row in (await stage.sessions()).items() if row["status"] == "requested"]) == 1
    assert await stage.broken() == {}


async def test_a_users_session_that_is_resumed_is_in_nobodys_place(stage: FullPool):
    """It was a replacement earlier; while the next one is starting it can still be resumed."""
    old, new = await rotating(stage)
    await stage.plan()
    assert (await stage.sessions())[old]["status"] == "deleting"
    await stage.db.write("UPDATE sessions SET created = created - interval '2 h' WHERE session_id = %s", (new,))
    claimed = await stage.claim(await stage.user("ada"))
    assert claimed is not None
    assert claimed.session_id == new
    await stage.plan()
    await stage.become_usable()
    await stage.db.write(
        "UPDATE sessions SET expires = clock_timestamp() + interval '10 s', created = created - interval '1 h'"
        " WHERE claimable"
    )
    await stage.plan()
    resume = "UPDATE sessions SET status = 'starting' WHERE session_id = %s RETURNING replaces"
    assert await stage.db.write(resume, (new,)) == [{"replaces": None}]
    await stage.plan()
    assert await stage.broken() == {}
