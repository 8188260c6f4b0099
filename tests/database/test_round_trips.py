"""The number of database round trips for a launch, which cause the duration of a hand-over, and for each user of a
synchronization."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from prometheus_client import Histogram
from tests.support import rows
from tests.support.agents import seen
from tests.support.round_trips import counted
from tests.support.system import System

from greenroom.api.access.lifecycle import access_transaction
from greenroom.core.events import ChangeEvent
from greenroom.core.pool import agenda
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.fleet.managers import find_or_insert_manager
from greenroom.manager.checkin.commit import Committer
from greenroom.manager.tasks.pools import plan_pool
from greenroom.wire.messages import AssignmentReport, CheckIn, ReportedCapacity

WARM = 6
"""The number of executions after which the driver has prepared all statements."""


async def test_a_report_of_a_hand_over_is_committed_and_announced_in_five(db: Database):
    stage = await System.populate(db, desired=3)
    me = await find_or_insert_manager(db, "one", "eu", "host", "1")
    (agent,) = await db.fetch("SELECT incarnation FROM agents")
    config_hash = await rows.config_hash(db, stage.config_id)
    async with counted(db.dsn) as (counted_db, turns):
        seconds = Histogram("commit_seconds", "", registry=None)
        committer = Committer(counted_db, me, stage.ctx.config, stage.logs, seconds)
        running = asyncio.create_task(committer.run())
        session_id = ""
        for seq in range(1, WARM + 2):
            await stage.staged(config_hash=config_hash)
            claimed = await stage.claim(stage.user_id)
            assert claimed is not None
            session_id = claimed.session_id
            assignment_id = str((await stage.row(session_id))["assignment_id"])
            report = seen(
                session_id,
                generation=2,
                usable=True,
                assignment=AssignmentReport(assignment_id=assignment_id, state="assigned"),
            )
            message = CheckIn(
                installation_id="",
                db_epoch="",
                agent_id=stage.agent_id,
                incarnation=agent["incarnation"],
                seq=seq,
                hold_s=0.0,
                term_seen=0,
                have_digest="",
                capacity=ReportedCapacity(cores=1, memory_bytes=1),
                sessions=[report],
            )
            turns.clear()
            await committer.submit(message, new_capacity=False)
            assert (await stage.row(session_id))["status"] == "running"
        running.cancel()
    assert len(turns) == 5, "agents, rows, hand-overs, statuses, commit"
    assert str(ChangeEvent.session(session_id)).encode() in turns[-1]


async def test_a_refill_is_planned_written_and_announced_in_five(db: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(agenda, "AGENTS_VALID_S", 60.0)  # as in a burst of launches, on a busy machine too
    stage = await System.populate(db, desired=1)
    async with counted(db.dsn) as (counted_db, turns):
        ctx = replace(stage.ctx, db=counted_db)
        for number in range(1, WARM + 2):
            await db.write("UPDATE staging_configs SET num_sessions = %s", (number,))
            turns.clear()
            made = await plan_pool(ctx, stage.config_id)
            assert made is not None
            assert len(made.creates) == 1
    assert len(turns) == 5, "lease, pool, what the plan depends on, new sessions, commit"
    assert f"agent:{stage.agent_id}".encode() in turns[-1]


async def test_a_change_of_a_user_who_loses_nothing_needs_eleven(db: Database):
    user_id = await rows.user(db, "ada")
    async with counted(db.dsn) as (counted_db, turns):
        for _ in range(WARM + 1):
            turns.clear()
            async with access_transaction(counted_db, LogWriter(counted_db, "api")) as access:
                await access.lock_user(user_id)
    assert len(turns) == 11, "begin, lock, user (2), before (2), after (2), shares, notification, commit"
