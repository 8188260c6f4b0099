"""A claim races with every other change of a staged session: exactly one of the two gets it, without a deadlock.

Each is held at its commit while the other runs, in both orders, and all are run at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.database.full_pool import DESIRED, FullPool
from tests.database.locks import ended, held_at_commit, waiting, waits_or_ends
from tests.support import rows
from tests.support.waiting import eventually

from greenroom.core.errors import SessionLimit
from greenroom.db.database import Database
from greenroom.db.fleet.leadership import guarded
from greenroom.db.fleet.liveness import mark_missing
from greenroom.db.launch.claims import LedgerLine
from greenroom.db.launch.on_demand import insert_for_user
from greenroom.db.pool import configs
from greenroom.db.session.sessions import end_pool_sessions
from greenroom.manager.tasks.replacement import run_replacements


@pytest.fixture
def db_limits() -> dict[str, Any]:
    """The limits of a statement that is held at its commit until a time is over, longer on a busy machine."""
    return {"statement_timeout_ms": 30_000}


@pytest.fixture
async def stage(db: Database) -> FullPool:
    return await FullPool.filled(db)


# Actions that take sessions out of a pool: each is prepared, which changes no session, and then executed.


async def _nothing(stage: FullPool) -> None:
    del stage


async def _plan(stage: FullPool) -> None:
    await stage.plan()


async def _expire(stage: FullPool) -> None:
    over = "SELECT 1 FROM sessions HAVING count(*) FILTER (WHERE claimable AND expires > clock_timestamp()) = 0"
    await eventually(lambda: stage.db.fetch(over), 30)


async def _delete_config(stage: FullPool) -> None:
    async with stage.db.transaction() as connection:
        await configs.lock_config(connection, stage.config_id)
        await configs.mark_deleted(connection, stage.config_id)
        await end_pool_sessions(connection, stage.config_id, "Its staging config was deleted.")


async def _agents_fall_silent(stage: FullPool) -> None:
    await stage.db.write("UPDATE agents SET last_reported = clock_timestamp() - interval '1 min'")


async def _mark_missing(stage: FullPool) -> None:
    async with guarded(stage.db, stage.ctx.fence) as connection:
        for agent_id in sorted(stage.agents.values()):
            await mark_missing(connection, agent_id, 15)


async def _disable_an_agent(stage: FullPool) -> None:
    """Disable an Agent: its sessions are replaced on the other Agent, and end in the next plan."""
    await stage.db.write("UPDATE agents SET enabled = false WHERE agent_id = %s", (stage.agent_id,))
    await stage.plan()
    await stage.become_usable()


def _sql(statement: Any) -> Callable[[FullPool], Coroutine[Any, Any, Any]]:
    return lambda stage: stage.db.write(statement)


Step = Callable[[FullPool], Coroutine[Any, Any, Any]]
ENDINGS: dict[str, tuple[Step, Step]] = {
    "expiry": (_expire, _plan),
    "shrink": (_sql("UPDATE staging_configs SET num_sessions = 0"), _plan),
    "config deleted": (_nothing, _delete_config),
    "roll-over": (_sql("UPDATE images SET revision = revision + 1"), _plan),
    "image disabled": (_sql("UPDATE images SET enabled = false"), _plan),
    "zone changed": (_sql("UPDATE zones SET upstream_auth_address = 'other:1'"), _plan),
    "agent disabled": (_disable_an_agent, _plan),
    "agents missing": (_agents_fall_silent, _mark_missing),
}
each_ending = pytest.mark.parametrize("ending", ENDINGS)


async def _soon(stage: FullPool, ending: str) -> None:
    """Set the expiry shortly before the claim begins, which must be in time even on a busy host."""
    if ending == "expiry":
        await stage.db.write("UPDATE sessions SET expires = clock_timestamp() + interval '2500 ms'")


def given_or_gone(found: dict[str, dict[str, Any]]) -> tuple[set[str], set[str]]:
    """Sessions that have a user, and those that left the pool; no session is in both sets, or partly in one."""
    given = {i for i, row in found.items() if row["user_id"] is not None}
    gone = {i for i, row in found.items() if row["status"] in ("deleting", "unreachable")}
    assert given & gone == set()
    assert {(found[i]["status"], found[i]["want"], found[i]["retired"]) for i in given} <= {
        ("assigning", "running", False)
    }
    return given, gone


@each_ending
async def test_what_is_being_claimed_stays_the_users(stage: FullPool, ending: str):
    prepare, act = ENDINGS[ending]
    ada = await stage.user("ada")
    async with held_at_commit(stage.db, "assigning"):
        await _soon(stage, ending)
        claiming = asyncio.create_task(stage.claim(ada))
        await waiting(stage.db, 1)
        await prepare(stage)
        acting = asyncio.create_task(act(stage))
        await waits_or_ends(stage.db, acting, 2)
    claimed, _ = await ended(claiming, acting)
    assert claimed is not None
    given, gone = given_or_gone(await stage.sessions())
    assert given == {claimed.session_id}
    await stage.plan()
    assert given_or_gone(await stage.sessions())[0] == given
    assert gone, "the others left the pool"
    assert await stage.broken() == {}


@each_ending
async def test_a_session_that_is_leaving_the_pool_is_given_to_no_user(stage: FullPool, ending: str):
    prepare, act = ENDINGS[ending]
    ada = await stage.user("ada")
    await _soon(stage, ending)
    async with held_at_commit(stage.db, "leaving"):
        await prepare(stage)
        acting = asyncio.create_task(act(stage))
        await waiting(stage.db, 1)
        async with asyncio.timeout(30):  # it never waits for held transactions
            claimed = await stage.claim(ada)
    await ended(acting)
    given, gone = given_or_gone(await stage.sessions())
    assert given == ({claimed.session_id} if claimed else set())
    assert gone
    assert await stage.broken() == {}


@each_ending
async def test_all_at_once(stage: FullPool, ending: str):
    prepare, act = ENDINGS[ending]
    users = [await stage.user(f"user-{number}") for number in range(2 * DESIRED)]
    await _soon(stage, ending)
    before = set(await stage.sessions())

    async def end() -> None:
        await prepare(stage)
        await act(stage)

    first, last = users[:DESIRED], users[DESIRED:]
    async with asyncio.timeout(60):
        results = await asyncio.gather(*map(stage.claim, first), end(), *map(stage.claim, last))
    claimed = [row.session_id for row in results if row is not None]
    assert len(claimed) == len(set(claimed))
    given, gone = given_or_gone(await stage.sessions())
    assert given == set(claimed)
    assert before - given - gone == {
        i for i, row in (await stage.sessions()).items() if i in before and row["claimable"]
    }
    assert await stage.broken() == {}


async def _on_demand(stage: FullPool, user_id: str, limit: int) -> bool:
    new = rows.new_session(stage.zone_id, stage.image_id, stage.agents["agent-2"], rows.session_user(user_id))
    return await insert_for_user(stage.db, new, LedgerLine(), max_sessions=limit)


async def test_the_limit_holds_for_staged_and_new_sessions_at_once(stage: FullPool):
    ada = await stage.user("ada")
    launches = [stage.claim(ada, max_sessions=3) if n % 2 else _on_demand(stage, ada, 3) for n in range(8)]
    results = await asyncio.gather(*launches, return_exceptions=True)
    assert sum(isinstance(result, SessionLimit) for result in results) == 5
    found = await stage.sessions()
    assert len([row for row in found.values() if str(row["user_id"]) == ada]) == 3


async def failed_hand_over(stage: FullPool, user_id: str) -> str:
    """A session whose hand-over failed: the user waits for another one."""
    claimed = await stage.claim(user_id)
    assert claimed is not None
    await stage.db.write(
        "UPDATE sessions SET status = 'failed', error = 'assign ended with 1',"
        " set_aside_reason = 'assign ended with 1' WHERE session_id = %s",
        (claimed.session_id,),
    )
    return claimed.session_id


async def test_a_successor_and_a_claim_never_get_the_same_session(stage: FullPool):
    await stage.db.write("UPDATE staging_configs SET num_sessions = 2")
    await stage.plan()
    ada, bob = await stage.user("ada"), await stage.user("bob")
    first = await failed_hand_over(stage, ada)
    async with held_at_commit(stage.db, "assigning"):
        succeeding = asyncio.create_task(run_replacements(stage.ctx))
        await waiting(stage.db, 1)
        assert await stage.claim(bob) is None, "the last one is on its way to Ada"
    await ended(succeeding)
    found = await stage.sessions()
    successor = str(found[first]["superseded_by"])
    assert str(found[successor]["user_id"]) == ada
    assert [i for i, row in found.items() if str(row["user_id"]) == bob] == []
    assert await stage.broken() == {}


async def test_who_waits_for_a_successor_has_no_room_for_another_session(stage: FullPool):
    """With a limit of one, the user would have two once the successor exists."""
    ada = await stage.user("ada")
    await failed_hand_over(stage, ada)
    for launch in (stage.claim(ada, max_sessions=1), _on_demand(stage, ada, 1)):
        with pytest.raises(SessionLimit):
            await launch
    await run_replacements(stage.ctx)
    found = await stage.sessions()
    assert len([row for row in found.values() if str(row["user_id"]) == ada]) == 1


async def test_a_session_held_for_a_moment_is_no_reason_for_a_cold_start(stage: FullPool):
    """A claim skips rows that others hold; a refused claim releases them at once."""
    await stage.db.write("UPDATE staging_configs SET num_sessions = 1")
    await stage.plan()
    full, *others = [await stage.user(f"user-{number}") for number in range(5)]
    results = await asyncio.gather(
        *(stage.claim(full, max_sessions=0) for _ in range(6)),
        *(stage.claim(user_id) for user_id in others),
        return_exceptions=True,
    )
    served = [row for row in results if row is not None and not isinstance(row, BaseException)]
    assert len(served) == 1
