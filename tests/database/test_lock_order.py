"""Transactions that change the same rows at the same time take their locks in one order
(docs/explanation/protocols.md §3).

In each test one connection holds the rows that the others need; with any other order PostgreSQL would abort one of
them.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.database.locks import ended, waiting, waits_or_ends
from tests.support import rows
from tests.support.system import primary_of

from greenroom.db.access import users
from greenroom.db.database import Connection, Database
from greenroom.db.fleet import zones
from greenroom.db.launch.claims import ClaimedSession, LedgerLine, claim
from greenroom.db.pool import configs
from greenroom.db.session import commands, sessions
from greenroom.db.session.observations import StartStep, write_steps
from greenroom.kit.config import ManagerConfig
from greenroom.manager.checkin.commit import apply_messages
from greenroom.manager.tasks.deadlines import run_missed_transitions
from greenroom.wire.messages import AssignmentReport, CheckIn, Observed, ReportedCapacity


async def ending_sessions(db: Database, number: int) -> list[str]:
    """Sessions that are being deleted, by id."""
    zone_id = await rows.zone(db)
    agent_id, image_id = await rows.agent(db, zone_id), await rows.image(db)
    config_id = await rows.staging_config(db, zone_id, image_id)
    return sorted(await rows.staged_sessions(db, config_id, agent_id, number, status="deleting"))


async def test_a_screenshot_of_a_session_that_ends(db: Database):
    (session_id,) = await ending_sessions(db, 1)
    await db.write(
        "INSERT INTO session_commands"
        " (command_id, session_id, agent_id, generation, argv, deadline_s, screenshot, created)"
        " SELECT %s, session_id, agent_id, 1, '[]', 1, '{}', clock_timestamp() - interval '1 h' FROM sessions",
        (str(uuid.uuid4()),),
    )

    async def end() -> list[str]:
        async with db.transaction() as connection:
            return await sessions.end_sessions(connection, [session_id], "gone")

    async with db.transaction() as holder:
        await holder.execute("SELECT 1 FROM sessions FOR UPDATE")
        ending = asyncio.create_task(end())
        await waiting(db, 1)
        ordering = asyncio.create_task(
            commands.request_screenshot(
                db, command_id=str(uuid.uuid4()), session_id=session_id, width=100, height=100, deadline_s=10
            )
        )
        await waiting(db, 2)
    assert await ending == [session_id]
    assert await ordering is None, "there is no picture of a session that is over"


async def test_two_zones_that_take_each_others_former_name(db: Database):
    for name in ("eu", "us"):
        await rows.zone(db, name)

    async def renamed(name: str, to: str, *, locked: asyncio.Event, go_on: asyncio.Event | None = None) -> None:
        (zone,) = await db.fetch("SELECT zone_id::text FROM zones WHERE zone_name = %s", (name,))
        async with db.transaction() as connection:
            before = await zones.lock_zone(connection, zone["zone_id"])
            locked.set()
            if go_on:
                await go_on.wait()
            await zones.update_zone(connection, replace(before, zone_name=to))

    for name in ("eu", "us"):
        await renamed(name, f"new-{name}", locked=asyncio.Event())
    held, go_on, second_holds = asyncio.Event(), asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(renamed("new-eu", "us", locked=held, go_on=go_on))
    await held.wait()
    second = asyncio.create_task(renamed("new-us", "eu", locked=second_holds))
    await asyncio.wait({asyncio.create_task(waiting(db, 1)), second}, return_when=asyncio.FIRST_COMPLETED)
    go_on.set()
    await asyncio.gather(first, second)
    found = await db.fetch("SELECT zone_name, former_names FROM zones")
    assert {zone["zone_name"]: zone["former_names"] for zone in found} == {"eu": ["new-us"], "us": ["new-eu"]}


async def test_a_user_who_is_deleted_while_their_sessions_end(db: Database):
    first, second = await ending_sessions(db, 2)
    user_id = await rows.user(db, "ada")
    for session_id in (second, first):  # stored in the opposite order of their ids
        await db.write("UPDATE sessions SET user_id = %s WHERE session_id = %s", (user_id, session_id))

    async def delete() -> None:
        async with db.transaction() as connection:
            await users.lock_user(connection, user_id)
            await users.delete_user_row(connection, user_id)

    async with db.transaction() as batch:
        lock = "SELECT 1 FROM sessions WHERE session_id = %s FOR NO KEY UPDATE"
        await batch.execute(lock, (first,))
        deleting = asyncio.create_task(delete())
        await waiting(db, 1)
        await batch.execute(lock, (second,))
    await deleting
    assert await db.fetch("SELECT 1 FROM users") == []
    assert await db.fetch("SELECT 1 FROM sessions WHERE user_id IS NOT NULL") == []


LOCK = "SELECT 1 FROM sessions WHERE session_id = %s FOR NO KEY UPDATE"


async def pool_of_two(db: Database) -> tuple[str, str, str, str]:
    """Two staged sessions by id, their config and their Agent."""
    zone_id = await rows.zone(db)
    agent_id, image_id = await rows.agent(db, zone_id), await rows.image(db)
    config_id = await rows.staging_config(db, zone_id, image_id)
    first, second = sorted(await rows.staged_sessions(db, config_id, agent_id, 2))
    return first, second, config_id, agent_id


def checkin_message(agent_id: str, *observed: Observed) -> CheckIn:
    return CheckIn(
        installation_id="",
        db_epoch="",
        agent_id=agent_id,
        incarnation=1,
        seq=1,
        hold_s=0,
        term_seen=0,
        have_digest="",
        capacity=ReportedCapacity(cores=2, memory_bytes=1 << 30),
        sessions=list(observed),
    )


async def test_a_report_of_a_hand_over_and_a_failure_locks_in_order(db: Database, tmp_path: Path):
    """The failed session is first by id, the hand-over is written first."""
    first, second, _, agent_id = await pool_of_two(db)
    user_id, assignment_id = await rows.user(db, "ada"), str(uuid.uuid4())
    await db.write("UPDATE sessions SET user_id = %s, assigned = clock_timestamp()", (user_id,))
    await db.write(
        "UPDATE sessions SET status = 'assigning', assignment_id = %s, assignment_state = 'requested'"
        " WHERE session_id = %s",
        (assignment_id, second),
    )
    report = AssignmentReport(assignment_id=assignment_id, state="received")
    message = checkin_message(
        agent_id,
        Observed(session_id=first, generation=1, state="failed", exit_code=3),
        Observed(session_id=second, generation=1, state="running", usable=True, assignment=report),
    )

    async def commit() -> None:
        config = ManagerConfig(database_url=db.dsn, secret_key_file=tmp_path, manager_dir=tmp_path)
        async with db.transaction() as connection:
            await apply_messages(connection, [message], config)

    async with db.transaction() as batch:
        await batch.execute(LOCK, (first,))
        committing = asyncio.create_task(commit())
        await waiting(db, 1)
        await batch.execute(LOCK, (second,))
    await ended(committing)
    found = await db.fetch("SELECT status, assignment_state FROM sessions ORDER BY session_id")
    assert [(row["status"], row["assignment_state"]) for row in found] == [("failed", None), ("assigning", "received")]


async def test_another_expiration_of_sessions_that_an_agent_reports(db: Database):
    """They are stored in the opposite order of their ids."""
    first, second, config_id, _ = await pool_of_two(db)
    for session_id in (second, first):
        await db.write("UPDATE sessions SET expires = created + interval '8 h' WHERE session_id = %s", (session_id,))

    async def update() -> None:
        async with db.transaction() as connection:
            config = await configs.lock_config(connection, config_id)
            await configs.update_config(connection, config_id, replace(config, expiration=2.0))

    async with db.transaction() as batch:
        await batch.execute(LOCK, (first,))
        updating = asyncio.create_task(update())
        await waiting(db, 1)
        await batch.execute(LOCK, (second,))
    await ended(updating)
    assert await db.fetch("SELECT 1 FROM sessions WHERE expires > created + interval '3 h'") == []


async def test_a_session_that_returns_with_its_agent_and_one_that_is_gone(db: Database, tmp_path: Path):
    """The returning session is first by id, the end is written first."""
    first, second, _, agent_id = await pool_of_two(db)
    await db.write("UPDATE sessions SET status = 'unreachable' WHERE session_id = %s", (first,))
    await db.write("UPDATE sessions SET status = 'deleting', want = 'absent' WHERE session_id = %s", (second,))
    await db.write(
        "INSERT INTO session_observed (session_id, agent_id, incarnation, seq, generation, state, usable)"
        " SELECT session_id, %s, 1, 1, generation, CASE want WHEN 'absent' THEN 'absent' ELSE 'running' END, true"
        " FROM sessions",
        (agent_id,),
    )
    (zone,) = await db.fetch("SELECT zone_id::text FROM zones")
    ctx = await primary_of(db, zone["zone_id"])
    async with db.transaction() as batch:
        await batch.execute(LOCK, (first,))
        moving = asyncio.create_task(run_missed_transitions(ctx))
        await waiting(db, 1)
        await batch.execute(LOCK, (second,))
    await ended(moving)
    found = await db.fetch("SELECT status FROM sessions ORDER BY session_id")
    assert [row["status"] for row in found] == ["running", "deleted"]


async def _delete_pool(connection: Connection, config_id: str, ids: list[str]) -> object:
    del ids
    return await sessions.end_pool_sessions(connection, config_id, "gone")


async def _end_sessions(connection: Connection, config_id: str, ids: list[str]) -> object:
    del config_id
    await connection.execute("UPDATE sessions SET status = 'failed' WHERE session_id = ANY(%s::uuid[])", (ids[:1],))
    return await sessions.end_sessions(connection, ids, "gone")


@pytest.mark.parametrize("act", [_delete_pool, _end_sessions])
async def test_steps_of_a_session_that_others_end(db: Database, act: Callable[..., Awaitable[object]]):
    """A step refers to its session; locking that one and the next must not block the Agent's report."""
    first, second, config_id, _ = await pool_of_two(db)

    async def end() -> None:
        async with db.transaction() as connection:
            await act(connection, config_id, [first, second])

    async with db.transaction() as report:
        await report.execute(LOCK, (second,))
        ending = asyncio.create_task(end())
        await waits_or_ends(db, ending, 1)
        await write_steps(report, [StartStep(session_id=first, name="painted")])
    await ended(ending)


async def test_a_session_whose_agent_just_reports_can_be_claimed(db: Database):
    """References to a session lock its key, which no transaction changes."""
    first, second, config_id, _ = await pool_of_two(db)
    await db.write("UPDATE sessions SET status = 'starting' WHERE session_id = %s", (second,))
    wanted = rows.claim(config_id, rows.session_user(await rows.user(db, "ada")))
    async with db.transaction() as report:
        await write_steps(report, [StartStep(session_id=first, name="painted")])
        claimed = await claim(db, wanted, LedgerLine(), max_sessions=1)
    assert isinstance(claimed, ClaimedSession)
    assert claimed.session_id == first
