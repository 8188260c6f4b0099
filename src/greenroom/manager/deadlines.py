"""The Primary's tasks about sessions that wait: nothing may be stuck in a transitional status."""

from __future__ import annotations

from typing import Any, Final

from greenroom.core import deadlines
from greenroom.core.checkin import Move, Seen, SessionRow, decide
from greenroom.core.deadlines import DEADLINE_S, Overdue, Waiting
from greenroom.core.states import ObservedState, SessionStatus, Want
from greenroom.db import overdue as sql
from greenroom.db.checkin import move_sessions
from greenroom.db.leases import guarded
from greenroom.db.sessions import end_sessions
from greenroom.kit.stops import stop
from greenroom.manager.context import PrimaryContext
from greenroom.manager.news import News

POOL_FAILED_KEEP_S: Final = 300.0
"""Seconds a failed staged session stays when its pool did not put it away."""


async def run_deadlines(ctx: PrimaryContext, news: News) -> None:
    """Act on every session whose time in a transitional status is over."""
    rows = await sql.read_waiting(ctx.db, ctx.zone_id)
    if not rows:
        return
    now = rows[0]["now"]
    waiting = [_waiting(row) for row in rows]
    plan = deadlines.plan(waiting, now, quiet=ctx.quiet, received_s=ctx.config.handover_received_s)
    if not plan:
        return
    await stop("primary.after_check")
    done: list[tuple[Overdue, dict[str, Any]]] = []
    async with guarded(ctx.db, ctx.fence) as connection:
        await stop("primary.in_guard")
        for action in sorted(plan, key=lambda action: action.session_id):
            if action.kind == "delete_again":
                row = await sql.delete_again(connection, action.session_id)
            else:
                set_aside = action.kind == "set_aside"
                row = await sql.fail(connection, action.session_id, action.status, action.reason, set_aside=set_aside)
            if row is not None:
                done.append((action, row))
    for action, row in done:
        status = "deleting" if action.kind == "delete_again" else "failed"
        news.moved({**row, "status": status}, action.reason, "WARNING" if status == "deleting" else "ERROR")


def _waiting(row: dict[str, Any]) -> Waiting:
    fields = {name: value for name, value in row.items() if name not in ("now", "status")}
    return Waiting(status=SessionStatus(row["status"]), **fields)


async def run_missed_moves(ctx: PrimaryContext, news: News) -> None:
    """Decide again about sessions that wait although what they wait for was reported.

    This brings `unreachable` and `lost` sessions back with their Agent, and is the net under the group commit.
    """
    rows = await sql.read_missed_moves(ctx.db, ctx.zone_id)
    decided = [(row, move) for row in rows if (move := _decision(row)) is not None]
    if not decided:
        return
    ends = [move for _, move in decided if move.to is SessionStatus.DELETED]
    moves = {move.session_id: _update(row, move) for row, move in decided if move.to is not SessionStatus.DELETED}
    reasons = {move.session_id: move.reason for _, move in decided}
    async with guarded(ctx.db, ctx.fence) as connection:
        ended = await end_sessions(connection, [move.session_id for move in ends], "its container is gone")
        moved = await move_sessions(connection, [moves[key] for key in sorted(moves)]) if moves else []
    for row in [*moved, *({"session_id": session_id, "status": "deleted"} for session_id in ended)]:
        news.moved(row, reasons[row["session_id"]])


def _decision(row: dict[str, Any]) -> Move | None:
    handover = row["assignment_state"]
    session = SessionRow(
        session_id=row["session_id"],
        status=SessionStatus(row["status"]),
        want=Want(row["want"]),
        generation=row["generation"],
        assignment_id=row["assignment_id"],
    )
    seen = Seen(
        session_id=row["session_id"],
        generation=row["generation"],
        state=ObservedState(row["state"]),
        usable=row["usable"],
        exit_code=row["exit_code"],
        error=row["probe_error"],
        assignment_id=row["assignment_id"],
        handover=handover if handover in ("received", "assigned", "failed") else None,
    )
    return decide(session, seen)


def _update(row: dict[str, Any], move: Move) -> dict[str, Any]:
    return {
        "session_id": move.session_id,
        "agent_id": row["agent_id"],
        "status": move.to,
        "sources": sorted(move.sources),
        "generation": row["generation"],
        "assignment_id": row["assignment_id"],
        "error": move.reason if move.to is SessionStatus.FAILED else None,
        "log_tail": None,
        "exit_code": row["exit_code"],
        "set_aside_reason": move.reason if move.set_aside else None,
        "deadline_s": DEADLINE_S.get(move.to),
    }


async def run_cleanup(ctx: PrimaryContext, news: News) -> None:
    """Put failed sessions away after a while, and forget those that ended long ago."""
    async with guarded(ctx.db, ctx.fence) as connection:
        rows = await sql.clear_failed(connection, ctx.zone_id, ctx.config.failed_keep_s, POOL_FAILED_KEEP_S)
        await sql.forget_ended(connection, ctx.zone_id, ctx.config.ended_keep_days)
    for row in rows:
        news.moved({**row, "status": "deleting"}, "it failed a while ago and is put away")
