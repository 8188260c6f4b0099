"""Claim, reservation and release on a real PostgreSQL: each race of PROTOCOLS §3."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, LiteralString

import pytest

from greenroom.core.errors import IdempotencyMismatch, SessionLimit
from greenroom.core.launch.plan import PoolContents
from greenroom.core.launch.request import RepeatedRequest
from greenroom.db.database import Database
from greenroom.db.launch.claims import ClaimedSession, LedgerLine, claim
from greenroom.db.launch.on_demand import insert_for_user
from greenroom.db.session import sessions
from greenroom.db.session.sessions import NewSession
from greenroom.testing import rows


@dataclass(frozen=True)
class Stage:
    db: Database
    zone_id: str
    agent_id: str
    image_id: str
    group_id: str
    config_id: str

    async def user(self, name: str) -> str:
        return await rows.user(self.db, name, self.group_id)

    async def claim(
        self, user_id: str, *, max_sessions: int = 5, db: Database | None = None, **user: Any
    ) -> ClaimedSession | PoolContents:
        wanted = rows.claim(self.config_id, rows.session_user(user_id, **user))
        return await claim(db or self.db, wanted, LedgerLine(), max_sessions=max_sessions)

    def new(self, user_id: str, *, agent_id: str | None = None, cores: float = 1.0) -> NewSession:
        made = rows.new_session(self.zone_id, self.image_id, agent_id or self.agent_id, rows.session_user(user_id))
        return replace(made, spec=replace(made.spec, cores=cores))

    async def insert(self, new: NewSession, *, max_sessions: int) -> bool:
        return await insert_for_user(self.db, new, LedgerLine(), max_sessions=max_sessions)

    async def allocated(self) -> tuple[float, int]:
        row = await self.db.fetch_one(
            "SELECT cores_allocated, memory_allocated FROM agent_capacity WHERE agent_id = %s", (self.agent_id,)
        )
        assert row is not None
        return row["cores_allocated"], row["memory_allocated"]

    async def statuses(self) -> dict[str, int]:
        found = await self.db.fetch("SELECT status, count(*) AS number FROM sessions GROUP BY status")
        return {row["status"]: row["number"] for row in found}


@pytest.fixture
def db_limits() -> dict[str, Any]:
    """A hundred at once wait for its eight connections, and on a busy machine that takes a while."""
    return {"acquire_timeout_s": 60, "statement_timeout_ms": 30_000}


@pytest.fixture
async def stage(db: Database) -> Stage:
    zone_id = await rows.zone(db)
    agent_id = await rows.agent(db, zone_id, cores=10.0)
    image_id = await rows.image(db)
    group_id = await rows.group(db, image_id)
    return Stage(db, zone_id, agent_id, image_id, group_id, await rows.staging_config(db, zone_id, image_id))


async def test_a_claim_gives_the_session_to_the_user(stage: Stage):
    (session_id,) = await rows.staged_sessions(stage.db, stage.config_id, stage.agent_id, 1)
    user_id = await stage.user("ada")
    claimed = await stage.claim(user_id, kasm_url="https://a.example")
    assert claimed == ClaimedSession(session_id=session_id, agent_id=stage.agent_id, auth_epoch=1, edge_url="")
    found = await stage.db.fetch_one("SELECT * FROM sessions")
    assert found is not None
    assert (found["status"], str(found["user_id"]), found["generation"]) == ("assigning", user_id, 2)
    assert (found["claimable"], found["assignment_state"], found["kasm_url"]) == (
        False,
        "requested",
        "https://a.example",
    )
    assert found["deadline"] is None, "the deadline of a status is in core.session.deadlines"
    steps = await stage.db.fetch("SELECT name FROM session_steps")
    assert [step["name"] for step in steps] == ["claimed"]


@asynccontextmanager
async def counting_proxy(dsn: str, turns: list[int]) -> AsyncIterator[str]:
    """A socket in front of the database; each time the client speaks after the server did is a turn."""
    folder = re.search(r"host=(\S+)", dsn)
    assert folder is not None
    mine = tempfile.mkdtemp(prefix="gr-proxy-")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(f"{folder[1]}/.s.PGSQL.5432")
        server_spoke = True

        async def up() -> None:
            nonlocal server_spoke
            while data := await reader.read(65536):
                turns[0] += server_spoke
                server_spoke = False
                upstream_writer.write(data)
            upstream_writer.close()

        async def down() -> None:
            nonlocal server_spoke
            while data := await upstream_reader.read(65536):
                server_spoke = True
                writer.write(data)
            writer.close()

        await asyncio.gather(up(), down())

    server = await asyncio.start_unix_server(serve, f"{mine}/.s.PGSQL.5432")
    async with server:
        yield dsn.replace(f"host={folder[1]}", f"host={mine}")
    shutil.rmtree(mine)


async def test_a_claim_is_one_round_trip(stage: Stage):
    await rows.staged_sessions(stage.db, stage.config_id, stage.agent_id, 20)
    user_id = await stage.user("ada")
    turns = [0]
    async with counting_proxy(stage.db.dsn, turns) as dsn:
        db = Database(dsn, application_name="greenroom test", max_size=1)
        await db.open()
        try:
            for _ in range(6):  # the driver prepares a statement after some uses
                await stage.claim(user_id, max_sessions=99, db=db)
            turns[0] = 0
            assert isinstance(await stage.claim(user_id, max_sessions=99, db=db), ClaimedSession)
            assert turns[0] == 1
        finally:
            await db.close()


async def test_100_claims_on_10_staged_sessions_give_10_different_ones(stage: Stage):
    """R13."""
    ids = await rows.staged_sessions(stage.db, stage.config_id, stage.agent_id, 10)
    users = [await stage.user(f"user-{number}") for number in range(100)]
    results = await asyncio.gather(*map(stage.claim, users))
    served = [claimed.session_id for claimed in results if isinstance(claimed, ClaimedSession)]
    assert sorted(served) == sorted(ids)
    assert await stage.statuses() == {"assigning": 10}
    assert all(contents.claimable == 0 for contents in results if isinstance(contents, PoolContents))


async def test_the_users_limit_holds_for_concurrent_claims(stage: Stage):
    await rows.staged_sessions(stage.db, stage.config_id, stage.agent_id, 10)
    user_id = await stage.user("ada")
    results = await asyncio.gather(*(stage.claim(user_id, max_sessions=3) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(result, SessionLimit) for result in results) == 5
    assert await stage.statuses() == {"assigning": 3, "running": 7}


async def test_the_same_idempotency_key_gives_one_session(stage: Stage):
    await rows.staged_sessions(stage.db, stage.config_id, stage.agent_id, 10)
    user_id = await stage.user("ada")
    wanted = [stage.claim(user_id, idempotency_key="k", idempotency_body="b") for _ in range(8)]
    results = await asyncio.gather(*wanted, return_exceptions=True)
    first = [result for result in results if isinstance(result, ClaimedSession)]
    repeated = [result for result in results if isinstance(result, RepeatedRequest)]
    assert (len(first), len(repeated)) == (1, 7)
    assert {error.session_id for error in repeated} == {first[0].session_id}
    with pytest.raises(IdempotencyMismatch):
        await stage.claim(user_id, idempotency_key="k", idempotency_body="other")
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
async def test_what_cannot_be_claimed_and_why(stage: Stage, change: LiteralString, field: str):
    await rows.staged_sessions(stage.db, stage.config_id, stage.agent_id, 2)
    await stage.db.write(change)
    contents = await stage.claim(await stage.user("ada"))
    assert isinstance(contents, PoolContents)
    assert getattr(contents, field) in (2, True)


async def test_a_disabled_image_is_not_claimed(stage: Stage):
    await rows.staged_sessions(stage.db, stage.config_id, stage.agent_id, 1)
    await stage.db.write("UPDATE images SET enabled = false")
    contents = await stage.claim(await stage.user("ada"))
    assert isinstance(contents, PoolContents)
    assert contents.image_enabled is False


async def test_agents_seen_lately_are_preferred(stage: Stage):
    silent = await rows.agent(stage.db, stage.zone_id, hostname="silent")
    await rows.staged_sessions(stage.db, stage.config_id, silent, 1)
    (fresh,) = await rows.staged_sessions(stage.db, stage.config_id, stage.agent_id, 1)
    await stage.db.write(
        "UPDATE agents SET last_reported = clock_timestamp() - interval '8 s' WHERE agent_id = %s", (silent,)
    )
    first = await stage.claim(await stage.user("ada"))
    assert isinstance(first, ClaimedSession)
    assert first.session_id == fresh
    assert isinstance(await stage.claim(await stage.user("bob")), ClaimedSession)


async def test_a_claim_and_a_retirement_never_both_get_a_session(stage: Stage):
    """R14: expiry and shrink use `retire`."""
    ids = await rows.staged_sessions(stage.db, stage.config_id, stage.agent_id, 10)
    users = [await stage.user(f"user-{number}") for number in range(10)]

    async def retired(session_id: str) -> bool:
        async with stage.db.transaction() as connection:
            return await sessions.retire(connection, session_id, "Its expiration of 1 h has passed.")

    retirements, claims = await asyncio.gather(
        asyncio.gather(*(retired(i) for i in ids)),
        asyncio.gather(*map(stage.claim, users)),
    )
    gone, given = sum(retirements), sum(isinstance(claimed, ClaimedSession) for claimed in claims)
    assert gone + given == 10
    assert await stage.statuses() == {k: v for k, v in {"assigning": given, "deleting": gone}.items() if v}


async def test_100_launches_on_room_for_10_place_exactly_10(stage: Stage):
    users = [await stage.user(f"user-{number}") for number in range(100)]
    results = await asyncio.gather(*(stage.insert(stage.new(user_id), max_sessions=5) for user_id in users))
    assert sum(results) == 10
    assert await stage.allocated() == (10.0, 1_000_000_000)
    assert await stage.statuses() == {"requested": 10}


async def test_a_session_that_would_not_fit_in_memory_is_not_placed(stage: Stage):
    await stage.db.write("UPDATE agent_capacity SET memory = 150000000")
    user_id = await stage.user("ada")
    placed = [await stage.insert(stage.new(user_id), max_sessions=5) for _ in range(2)]
    assert placed == [True, False]


async def test_the_limit_holds_for_concurrent_launches(stage: Stage):
    user_id = await stage.user("ada")
    results = await asyncio.gather(
        *(stage.insert(stage.new(user_id), max_sessions=2) for _ in range(6)),
        return_exceptions=True,
    )
    assert sum(result is True for result in results) == 2
    assert sum(isinstance(result, SessionLimit) for result in results) == 4
    assert (await stage.allocated())[0] == 2.0


async def test_ending_gives_back_exactly_what_was_reserved(stage: Stage):
    """A plain UPDATE … FROM over several sessions of one Agent would give back one of them."""
    ids = await rows.staged_sessions(stage.db, stage.config_id, stage.agent_id, 3)
    async with stage.db.transaction() as connection:
        assert await sessions.end_sessions(connection, ids, "gone") == []
    await stage.db.write("UPDATE sessions SET status = 'deleting'")
    async with stage.db.transaction() as connection:
        assert await sessions.end_sessions(connection, ids, "gone") == sorted(ids)
        assert await sessions.end_sessions(connection, ids, "gone") == []
    assert await stage.allocated() == (0.0, 0)
    assert await stage.statuses() == {"deleted": 3}


async def test_fractions_of_cores_come_back_without_a_rest(stage: Stage):
    user_id = await stage.user("ada")
    made = [stage.new(user_id, cores=0.1) for _ in range(7)]
    for new in made:
        assert await stage.insert(new, max_sessions=99)
    await stage.db.write("UPDATE sessions SET status = 'deleting'")
    for new in made:
        async with stage.db.transaction() as connection:
            await sessions.end_sessions(connection, [new.session_id], "gone")
    assert await stage.allocated() == (0.0, 0)


async def test_release_and_placement_on_two_agents_do_not_deadlock(stage: Stage):
    other = await rows.agent(stage.db, stage.zone_id, cores=10.0, hostname="other")
    user_id = await stage.user("ada")

    async def come_and_go(number: int) -> None:
        first, second = (stage.agent_id, other) if number % 2 else (other, stage.agent_id)
        for _ in range(5):
            made = [stage.new(user_id, agent_id=first), stage.new(user_id, agent_id=second)]
            placed = [new.session_id for new in made if await stage.insert(new, max_sessions=99)]
            async with stage.db.transaction() as connection:
                for session_id in sorted(placed):
                    await sessions.request_delete(connection, session_id, "done")
            async with stage.db.transaction() as connection:
                await sessions.end_sessions(connection, placed, "gone")

    await asyncio.gather(*(come_and_go(number) for number in range(6)))
    left = await stage.db.fetch_one("SELECT sum(cores_allocated) AS cores FROM agent_capacity")
    assert left == {"cores": 0.0}
    assert set(await stage.statuses()) == {"deleted"}


async def test_deleting_is_recorded_once_and_follows_the_successor(stage: Stage):
    old, new = await rows.staged_sessions(stage.db, stage.config_id, stage.agent_id, 2)
    await stage.db.write("UPDATE sessions SET superseded_by = %s WHERE session_id = %s", (new, old))
    async with stage.db.transaction() as connection:
        first = await sessions.request_delete(connection, old, "deleted by ada")
        again = await sessions.request_delete(connection, old, "deleted by bob")
    assert (first.session_id, first.changed, again.changed) == (new, True, False)
    row = await stage.db.fetch_one("SELECT * FROM sessions WHERE session_id = %s", (new,))
    assert row is not None
    assert (row["status"], row["want"], row["generation"], row["auth_epoch"], row["ended_reason"]) == (
        "deleting",
        "absent",
        2,
        2,
        "deleted by ada",
    )


async def test_deleting_a_pool_leaves_assigned_sessions_alone(stage: Stage):
    await rows.staged_sessions(stage.db, stage.config_id, stage.agent_id, 3)
    await stage.claim(await stage.user("ada"))
    async with stage.db.transaction() as connection:
        assert await sessions.delete_pool(connection, stage.config_id, "The staging config was deleted.") == [
            stage.agent_id
        ]
    assert await stage.statuses() == {"assigning": 1, "deleting": 2}


async def test_20000_staged_sessions_are_claimed_by_index(stage: Stage):
    for _ in range(5):
        await rows.staged_sessions(stage.db, stage.config_id, stage.agent_id, 1000)
    await stage.db.write("ANALYZE sessions")
    user_id = await stage.user("ada")
    times: list[float] = []
    for _ in range(12):
        begin = time.perf_counter()
        claimed = await stage.claim(user_id, max_sessions=99)
        times.append(time.perf_counter() - begin)
        assert isinstance(claimed, ClaimedSession)
    assert min(times) < 0.05
