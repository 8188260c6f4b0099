"""The Primary's safety net makes the same decisions as the commit of a report."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, Final

import pytest
from tests.database.test_lock_order import checkin_message
from tests.support import rows
from tests.support.system import primary_of

from greenroom.db.database import Database
from greenroom.db.session.observations import write_observations
from greenroom.manager.checkin.commit import apply_messages, observation_of
from greenroom.manager.tasks.deadlines import run_missed_transitions
from greenroom.manager.transitions import announce
from greenroom.wire.messages import AssignmentReport, Observed

ASSIGNMENT: Final = str(uuid.uuid4())
WANTED: Final = {"deleting": "absent", "stopping": "stopped", "pausing": "paused"}


def report(**of: Any) -> AssignmentReport:
    return AssignmentReport(assignment_id=ASSIGNMENT, **of)


@pytest.mark.parametrize(
    ("status", "reported"),
    [
        ("requested", {"state": "creating"}),
        ("starting", {"state": "running", "usable": True, "container_id": "c1"}),
        ("starting", {"state": "failed", "error": "no such image", "exit_code": 125, "log_tail": "pull: denied"}),
        ("starting", {"state": "failed", "exit_code": 3, "probe_error": "its page did not answer"}),
        ("assigning", {"state": "running", "container_id": "c1", "assignment": report(state="assigned")}),
        ("assigning", {"state": "running", "container_id": "c1", "assignment": report(state="failed", error="boom")}),
        ("assigning", {"state": "running", "assignment": report(state="failed", error="late", slow=True)}),
        ("assigning", {"state": "failed", "error": "it was killed", "exit_code": 137, "log_tail": "Killed"}),
        ("assigning", {"state": "running", "container_id": "c1", "assignment": report(state="received")}),
        ("deleting", {"state": "absent"}),
        ("stopping", {"state": "stopped", "container_id": "c1"}),
        ("pausing", {"state": "paused", "container_id": "c1"}),
        ("unreachable", {"state": "running", "usable": True, "container_id": "c1"}),
        ("lost", {"state": "absent"}),
    ],
)
async def test_a_report_and_the_net_under_it_come_to_the_same(
    db: Database, tmp_path: Path, status: str, reported: dict[str, Any]
):
    zone_id = await rows.zone(db)
    agent_id, image_id = await rows.agent(db, zone_id), await rows.image(db)
    config_id = await rows.staging_config(db, zone_id, image_id)
    by_report, by_net = sorted(await rows.staged_sessions(db, config_id, agent_id, 2))
    user_id = await rows.user(db, "ada")
    await db.write(
        "UPDATE sessions SET status = %s, want = %s, user_id = %s, assigned = clock_timestamp(), assignment_id = %s,"
        " assignment_state = 'requested'",
        (status, WANTED.get(status, "running"), user_id, ASSIGNMENT),
    )
    await db.write("UPDATE agents SET status = 'running', complete = true, incarnation = 1")
    ctx = await primary_of(db, zone_id)
    message = checkin_message(agent_id, Observed(session_id=by_report, generation=1, **reported))
    async with db.transaction() as connection:
        done = await apply_messages(connection, [message], ctx.config)
    announce(done.decisions, ctx.events, ctx.fence.zone_key)
    message = checkin_message(agent_id, Observed(session_id=by_net, generation=1, **reported))
    async with db.transaction() as connection:
        await write_observations(connection, [observation_of(message, message.sessions[0])])
    await run_missed_transitions(ctx)
    await ctx.logs.flush()
    assert await outcome(db, by_net) == await outcome(db, by_report)


async def outcome(db: Database, session_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The row of a session, and the log rows about it."""
    (row,) = await db.fetch(
        "SELECT status, error, log_tail, exit_code, set_aside_reason, slow, ended_reason, started IS NULL AS unstarted"
        " FROM sessions WHERE session_id = %s",
        (session_id,),
    )
    logged = await db.fetch(
        "SELECT level, code, replace(message, %(id)s, 'ID') AS message, user_id::text, details FROM logs"
        " WHERE session_id = %(id)s::uuid",
        {"id": session_id},
    )
    return row, logged
