"""Claim, reservation and release on a real PostgreSQL: each race of docs/explanation/protocols.md §3."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any, LiteralString

import pytest
from tests.support import rows
from tests.support.managers import notifications
from tests.support.round_trips import counted
from tests.support.system import System

from greenroom.core.errors import IdempotencyMismatch
from greenroom.core.launch.plan import PoolContents
from greenroom.core.launch.request import RepeatedRequest
from greenroom.db.database import Database
from greenroom.db.launch.claims import ClaimedSession, LedgerLine, claim, claim_replacement
from greenroom.db.launch.on_demand import insert_for_user
from greenroom.db.session import sessions
from greenroom.db.session.sessions import NewSession, insert_staged


class Pool(System):
    """Sessions on an Agent with capacity for ten."""

    async def ask(
        self, user_id: str, *, max_sessions: int = 5, db: Database | None = None, **user: Any
    ) -> ClaimedSession | PoolContents:
        """Claim a session, or return the refusal."""
        wanted = rows.claim(self.config_id, rows.session_user(user_id, **user))
        return await claim(db or self.db, wanted, LedgerLine(), max_sessions=max_sessions)

    def new(self, user_id: str, *, agent_id: str | None = None, cores: float = 1.0) -> NewSession:
        made = rows.new_session(self.zone_id, self.image_id, agent_id or self.agent_id, rows.session_user(user_id))
        return replace(made, spec=replace(made.spec, cores=cores))

    async def insert(self, new: NewSession, *, max_sessions: int) -> bool:
        return await insert_for_user(self.db, new, LedgerLine(), max_sessions=max_sessions)

    async def users(self, number: int) -> list[str]:
        return [await self.user(f"user-{each}") for each in range(number)]


@pytest.fixture
def db_limits() -> dict[str, Any]:
    """A hundred requests at once wait for its eight connections, which takes time on a busy machine."""
    return {"acquire_timeout_s": 60, "statement_timeout_ms": 30_000}


@pytest.fixture
async def stage(db: Database) -> Pool:
    return await Pool.populate(db, cores=10.0, desired=3)


async def test_a_claim_gives_the_session_to_the_user(stage: Pool):
    (session_id,) = await stage.staged(1)
    claimed = await stage.ask(stage.user_id, kasm_url="https://a.example")
    assert claimed == ClaimedSession(session_id=session_id, agent_id=stage.agent_id, auth_epoch=1, edge_url="")
    (found,) = await stage.db.fetch("SELECT * FROM sessions")
    assert (found["status"], str(found["user_id"]), found["generation"]) == ("assigning", stage.user_id, 2)
    assert (found["claimable"], found["assignment_state"], found["kasm_url"]) == (
        False,
        "requested",
        "https://a.example",
    )
    assert found["deadline"] is None, "the deadline of a status is in core.session.deadlines"
    steps = await stage.db.fetch("SELECT name FROM session_steps")
    assert [step["name"] for step in steps] == ["claimed"]


async def test_a_claim_and_nothing_else_is_announced_with_its_commit(stage: Pool):
    (session_id,) = await stage.staged(1)
    events = {f"session:{session_id}", f"agent:{stage.agent_id}:{session_id}", f"staging:{stage.config_id}"}
    assert await notifications(stage.db, stage.ask(stage.user_id)) == events
    assert await notifications(stage.db, stage.ask(stage.user_id)) == set(), "the pool is empty"


async def test_a_claim_is_one_round_trip(stage: Pool):
    await stage.staged(20)
    async with counted(stage.db.dsn) as (db, turns):
        for _ in range(6):  # the driver prepares a statement after some uses
            await stage.ask(stage.user_id, max_sessions=99, db=db)
        turns.clear()
        assert isinstance(await stage.ask(stage.user_id, max_sessions=99, db=db), ClaimedSession)
    assert len(turns) == 1


async def test_a_refill_inserts_its_sessions_in_one_round_trip(stage: Pool):
    await stage.db.write("UPDATE agent_capacity SET cores = 49")
    inserted = list[bool]()
    async with counted(stage.db.dsn) as (db, turns):
        for _ in range(7):
            new = [rows.new_session(stage.zone_id, stage.image_id, stage.agent_id) for _ in range(8)]
            async with db.pipelined() as connection:
                turns.clear()
                inserted = await insert_staged(connection, new)
                assert len(turns) <= 1
    assert inserted == [True] + [False] * 7, "there is room for 49"


async def test_100_claims_on_10_staged_sessions_give_10_different_ones(stage: Pool):
    ids = await stage.staged(10)
    users = await stage.users(100)
    results = await asyncio.gather(*map(stage.ask, users))
    served = [claimed.session_id for claimed in results if isinstance(claimed, ClaimedSession)]
    assert sorted(served) == sorted(ids)
    assert await stage.statuses() == {"assigning": 10}
    assert all(contents.claimable == 0 for contents in results if isinstance(contents, PoolContents))


async def test_the_same_idempotency_key_gives_one_session(stage: Pool):
    await stage.staged(10)
    wanted = [stage.ask(stage.user_id, idempotency_key="k", idempotency_body="b") for _ in range(8)]
    results = await asyncio.gather(*wanted, return_exceptions=True)
    first = [result for result in results if isinstance(result, ClaimedSession)]
    repeated = [result for result in results if isinstance(result, RepeatedRequest)]
    assert (len(first), len(repeated)) == (1, 7)
    assert {error.session_id for error in repeated} == {first[0].session_id}
    with pytest.raises(IdempotencyMismatch):
        await stage.ask(stage.user_id, idempotency_key="k", idempotency_body="other")
    assert await stage.statuses() == {"assigning": 1, "running": 9}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("UPDATE agents SET enabled = false", "on_disabled_agents"),
        ("UPDATE agents SET draining = true", "on_disabled_agents"),
        ("UPDATE agents SET status = 'missing'", "on_missing_agents"),
        ("UPDATE sessions SET expires = clock_timestamp()", "expired"),
        ("UPDATE sessions SET config_hash = 'old'", "outdated"),
        ("UPDATE sessions SET status = 'starting'", "starting"),
        ("UPDATE sessions SET status = 'unreachable'", "on_missing_agents"),
        ("UPDATE staging_configs SET paused = true", "paused"),
        ("UPDATE staging_configs SET deleted = now()", "deleted"),
    ],
)
async def test_what_cannot_be_claimed_and_why(stage: Pool, change: LiteralString, field: str):
    await stage.staged(2)
    await stage.db.write(change)
    contents = await stage.ask(stage.user_id)
    assert isinstance(contents, PoolContents)
    assert getattr(contents, field) in (2, True)


async def test_a_disabled_image_is_not_claimed(stage: Pool):
    await stage.staged(1)
    await stage.db.write("UPDATE images SET enabled = false")
    contents = await stage.ask(stage.user_id)
    assert isinstance(contents, PoolContents)
    assert contents.image_enabled is False


async def test_agents_seen_lately_are_preferred(stage: Pool):
    silent = await rows.agent(stage.db, stage.zone_id, hostname="silent")
    await rows.staged_sessions(stage.db, stage.config_id, silent, 1)
    (fresh,) = await stage.staged(1)
    await stage.db.write(
        "UPDATE agents SET last_reported = clock_timestamp() - interval '8 s' WHERE agent_id = %s", (silent,)
    )
    first = await stage.ask(stage.user_id)
    assert isinstance(first, ClaimedSession)
    assert first.session_id == fresh
    assert isinstance(await stage.ask(await stage.user("bob")), ClaimedSession)


async def test_an_agent_that_closed_its_connection_is_the_last_choice_and_replaces_nothing(stage: Pool):
    gone = await rows.agent(stage.db, stage.zone_id, hostname="gone")
    await rows.staged_sessions(stage.db, stage.config_id, gone, 1)
    (fresh,) = await stage.staged(1)
    await stage.db.write("UPDATE agents SET disconnected = clock_timestamp() WHERE agent_id = %s", (gone,))
    first = await stage.ask(stage.user_id)
    assert isinstance(first, ClaimedSession)
    assert first.session_id == fresh
    async with stage.db.transaction() as connection:
        wanted = rows.claim(stage.config_id, rows.session_user(await stage.user("bob")))
        assert await claim_replacement(connection, wanted, failed_on=first.agent_id) is None
    assert isinstance(await stage.ask(await stage.user("carol")), ClaimedSession), "it is better than none"


async def test_a_claim_and_a_retirement_never_both_get_a_session(stage: Pool):
    """Expiry and shrink use `retire`."""
    ids = await stage.staged(10)
    users = await stage.users(10)

    async def retired(session_id: str) -> bool:
        async with stage.db.transaction() as connection:
            return await sessions.retire(connection, session_id, "Its expiration of 1 h has passed.")

    retirements, claims = await asyncio.gather(
        asyncio.gather(*(retired(i) for i in ids)), asyncio.gather(*map(stage.ask, users))
    )
    gone, given = sum(retirements), sum(isinstance(claimed, ClaimedSession) for claimed in claims)
    assert gone + given == 10
    assert await stage.statuses() == {k: v for k, v in {"assigning": given, "deleting": gone}.items() if v}


async def test_a_session_that_would_not_fit_in_memory_is_not_placed(stage: Pool):
    await stage.db.write("UPDATE agent_capacity SET memory = 150000000")
    placed = [await stage.insert(stage.new(stage.user_id), max_sessions=5) for _ in range(2)]
    assert placed == [True, False]


async def test_ending_gives_back_exactly_what_was_reserved(stage: Pool):
    """A plain UPDATE … FROM over several sessions of one Agent would return only one reservation."""
    ids = await stage.staged(3)
    async with stage.db.transaction() as connection:
        assert await sessions.end_sessions(connection, ids, "gone") == []
    await stage.db.write("UPDATE sessions SET status = 'deleting'")
    async with stage.db.transaction() as connection:
        assert await sessions.end_sessions(connection, ids, "gone") == sorted(ids)
        assert await sessions.end_sessions(connection, ids, "gone") == []
    assert await stage.reserved() == {"agent-1": (0.0, 0)}
    assert await stage.statuses() == {"deleted": 3}


async def test_fractions_of_cores_come_back_without_a_rest(stage: Pool):
    made = [stage.new(stage.user_id, cores=0.1) for _ in range(7)]
    for new in made:
        assert await stage.insert(new, max_sessions=99)
    await stage.db.write("UPDATE sessions SET status = 'deleting'")
    for new in made:
        async with stage.db.transaction() as connection:
            await sessions.end_sessions(connection, [new.session_id], "gone")
    assert await stage.reserved() == {"agent-1": (0.0, 0)}


async def test_release_and_placement_on_two_agents_do_not_deadlock(stage: Pool):
    other = await rows.agent(stage.db, stage.zone_id, cores=10.0, hostname="other")

    async def come_and_go(number: int) -> None:
        first, second = (stage.agent_id, other) if number % 2 else (other, stage.agent_id)
        for _ in range(5):
            made = [stage.new(stage.user_id, agent_id=first), stage.new(stage.user_id, agent_id=second)]
            placed = [new.session_id for new in made if await stage.insert(new, max_sessions=99)]
            async with stage.db.transaction() as connection:
                for session_id in sorted(placed):
                    await sessions.request_delete(connection, session_id, "done")
            async with stage.db.transaction() as connection:
                await sessions.end_sessions(connection, placed, "gone")

    await asyncio.gather(*(come_and_go(number) for number in range(6)))
    assert await stage.reserved() == {"agent-1": (0.0, 0), "other": (0.0, 0)}
    assert set(await stage.statuses()) == {"deleted"}


async def test_deleting_is_recorded_once_and_follows_the_successor(stage: Pool):
    old, new = await stage.staged(2)
    await stage.db.write("UPDATE sessions SET superseded_by = %s WHERE session_id = %s", (new, old))
    async with stage.db.transaction() as connection:
        first = await sessions.request_delete(connection, old, "deleted by ada")
        again = await sessions.request_delete(connection, old, "deleted by bob")
    assert (first.session_id, first.changed, again.changed) == (new, True, False)
    (row,) = await stage.db.fetch("SELECT * FROM sessions WHERE session_id = %s", (new,))
    assert (row["status"], row["want"], row["generation"], row["auth_epoch"], row["ended_reason"]) == (
        "deleting",
        "absent",
        2,
        2,
        "deleted by ada",
    )


async def test_deleting_a_pool_leaves_assigned_sessions_alone(stage: Pool):
    await stage.staged(3)
    await stage.ask(stage.user_id)
    async with stage.db.transaction() as connection:
        assert await sessions.end_pool_sessions(connection, stage.config_id, "The staging config was deleted.") == [
            stage.agent_id
        ]
    assert await stage.statuses() == {"assigning": 1, "deleting": 2}


async def test_20000_staged_sessions_are_claimed_by_index(stage: Pool):
    for _ in range(5):
        await stage.staged(1000)
    await stage.db.write("ANALYZE sessions")
    times: list[float] = []
    for _ in range(12):
        begin = time.perf_counter()
        claimed = await stage.ask(stage.user_id, max_sessions=99)
        times.append(time.perf_counter() - begin)
        assert isinstance(claimed, ClaimedSession)
    assert min(times) < 0.05
