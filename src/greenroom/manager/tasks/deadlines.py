"""The Primary's tasks about sessions past a deadline: none is stuck in a transitional status, none outlives its clock.

Users' sessions are deleted, stopped or paused when one of their clocks ends. The pool plan handles staged ones.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from greenroom.core.events import session_events
from greenroom.core.fleet.lateness import Lateness
from greenroom.core.installation import installation_of
from greenroom.core.log_codes import Level, LogCode
from greenroom.core.session import deadlines as core_deadlines
from greenroom.core.session.deadlines import ActionKind, Overdue, Waiting, Watch
from greenroom.core.session.expiry import Expiry, ExpiryAction, SessionLifetime, plan, stored_clocks
from greenroom.core.session.states import SessionStatus, Want
from greenroom.db.database import Connection
from greenroom.db.fleet.leases import guarded
from greenroom.db.installation import stored_settings
from greenroom.db.session import deadlines as db_deadlines
from greenroom.db.session import lifecycle
from greenroom.db.session.lifecycle import take_back
from greenroom.db.session.observations import read_missed
from greenroom.db.session.transitions import ChangedSession
from greenroom.kit.stops import stop
from greenroom.manager import moves
from greenroom.manager.tasks.context import PrimaryContext, RoundEvents

POOL_FAILED_KEEP_S: Final = 300.0
"""Seconds until a failed staged session is discarded if its pool did not do so."""


async def run_deadlines(ctx: PrimaryContext, news: RoundEvents) -> None:
    """Act on every session whose time in a transitional status is over."""
    plan = _planned(await db_deadlines.read_waiting(ctx.db, ctx.zone_id), ctx)
    if not plan:
        return
    await stop("primary.after_check")
    done: list[tuple[Overdue, dict[str, Any]]] = []
    async with guarded(ctx.db, ctx.fence) as connection:
        await stop("primary.in_guard")
        rows = await db_deadlines.lock_waiting(connection, ctx.zone_id, [action.session_id for action in plan])
        for action in _planned(rows, ctx):
            async with ctx.tasks.isolated("deadlines", action.session_id, within=connection):
                row = await _act(connection, action)
                if row is not None:
                    done.append((action, row))
    for action, row in done:
        status, level = _BECOMES.get(action.kind, ("failed", None))
        news.moved(msgspec.convert({**row, "status": status}, ChangedSession), action.reason, level)


_BECOMES: Final[dict[ActionKind, tuple[str, Level]]] = {
    "delete_again": ("deleting", "WARNING"),
    "take_back": ("starting", "WARNING"),
}
"""A session's status after an action, and the level of its row; `failed` for actions not in here."""


async def _act(connection: Connection, action: Overdue) -> dict[str, Any] | None:
    if action.kind == "delete_again":
        return await db_deadlines.delete_again(connection, action.session_id)
    if action.kind == "take_back":
        return await take_back(connection, action.session_id, action.status)
    set_aside = action.kind == "set_aside"
    failed = db_deadlines.Failure(action.reason, set_aside=set_aside, slow=action.slow)
    return await db_deadlines.fail(connection, action.session_id, action.status, failed)


def _planned(rows: list[dict[str, Any]], ctx: PrimaryContext) -> list[Overdue]:
    if not rows:
        return []
    waiting = [_waiting(row) for row in rows]
    watch = Watch(ctx.config.handover_received_s, ctx.lateness)
    made = core_deadlines.plan(waiting, rows[0]["now"], quiet=ctx.quiet, watch=watch)
    return [action for action in made if not ctx.tasks.failures.in_backoff("deadlines", action.session_id)]


def _waiting(row: dict[str, Any]) -> Waiting:
    fields = {name: value for name, value in row.items() if name not in ("now", "status", "want", "lateness")}
    lateness = Lateness(**row["lateness"])
    return Waiting(status=SessionStatus(row["status"]), want=Want(row["want"]), lateness=lateness, **fields)


async def run_missed_moves(ctx: PrimaryContext, news: RoundEvents) -> None:
    """Decide again about sessions that wait for something already reported. This brings `unreachable` and `lost`
    sessions back with their Agent, and catches what the group commit missed."""
    decided = moves.decisions(await read_missed(ctx.db, ctx.zone_id))
    if not decided:
        return
    outcome = moves.Outcome()
    async with guarded(ctx.db, ctx.fence) as connection:
        await moves.lock(connection, decided)
        await moves.apply_moves(connection, decided, outcome)
    moves.announce(outcome, news, ctx.fence.zone_key)


async def run_recovered(ctx: PrimaryContext, news: RoundEvents) -> None:
    """End sessions that were quarantined as slow and answer again: there is nothing to inspect, and they use capacity.
    They do not return to their pool: a session that was assigned is never claimable again."""
    if not await db_deadlines.read_recovered(ctx.db, ctx.zone_id):
        return
    async with guarded(ctx.db, ctx.fence) as connection:
        rows = await db_deadlines.end_recovered(connection, ctx.zone_id)
    for row in rows:
        news.log(
            LogCode.SET_ASIDE_RECOVERED,
            f"session {row['session_id']}, which was set aside because it was slow, answers again; it ends, so that its"
            " room is free, because a session that was assigned to somebody never goes back to its pool",
            session_id=row["session_id"],
            staging_config_id=row["staging_config_id"],
        )
        news.add(*session_events(row["session_id"], agent_id=row["agent_id"], zone_key=ctx.fence.zone_key))


async def run_cleanup(ctx: PrimaryContext, news: RoundEvents) -> None:
    """Discard failed sessions after a while, and delete the rows of those that ended long ago."""
    kept_s = installation_of(await stored_settings(ctx.db)).failed_session_retention_s
    async with guarded(ctx.db, ctx.fence) as connection:
        rows = await db_deadlines.clear_failed(connection, ctx.zone_id, kept_s, POOL_FAILED_KEEP_S)
        await db_deadlines.forget_ended(connection, ctx.zone_id, ctx.config.ended_keep_days)
    for row in rows:
        news.moved(
            msgspec.convert({**row, "status": "deleting"}, ChangedSession), "it failed a while ago and is put away"
        )


_ENDS: Final[dict[ExpiryAction, str]] = {"delete": "ends", "stop": "is stopped", "pause": "is paused"}


async def run_expiry(ctx: PrimaryContext) -> None:
    """One round over the users' sessions of the zone.

    Raises:
        LeaseLost: the term is over; nothing was written.
        Unavailable: the database cannot be reached.
    """
    looked_at = await lifecycle.read_expiring(ctx.db, ctx.zone_id)
    if not _planned_expiry(looked_at, ctx):
        return
    await stop("primary.after_check")
    done: list[tuple[Expiry, dict[str, Any]]] = []
    async with guarded(ctx.db, ctx.fence) as connection:
        rows = await lifecycle.lock_expiring(connection, ctx.zone_id, [row["session_id"] for row in looked_at])
        names = {row["session_id"]: row["username"] for row in rows}
        for expiry in _planned_expiry(rows, ctx):
            async with ctx.tasks.isolated("expiry", expiry.session_id, within=connection):
                row = await _apply(connection, expiry)
                if row is not None:
                    done.append((expiry, row | {"username": names[expiry.session_id]}))
    for expiry, row in done:
        ctx.logs.write(
            LogCode.SESSION_EXPIRED,
            f"The session of {row['username']} {_ENDS[expiry.action]}: {expiry.reason}",
            zone_name=ctx.zone_name,
            session_id=row["session_id"],
            user_id=row["user_id"],
            username=row["username"],
            setting=expiry.setting,
        )
    if done:
        await ctx.db.notify(
            *(event for _, row in done for event in session_events(row["session_id"], agent_id=row["agent_id"]))
        )


def _planned_expiry(rows: list[dict[str, Any]], ctx: PrimaryContext) -> list[Expiry]:
    made = plan([_lived(row) for row in rows], rows[0]["now"], quiet=ctx.quiet) if rows else []
    return [expiry for expiry in made if not ctx.tasks.failures.in_backoff("expiry", expiry.session_id)]


async def _apply(connection: Connection, expiry: Expiry) -> dict[str, Any] | None:
    if expiry.action == "delete":
        return await lifecycle.expire(connection, expiry.session_id, expiry.reason)
    return await lifecycle.stop_or_pause(connection, expiry.session_id, expiry.action, expiry.reason)


def _lived(row: dict[str, Any]) -> SessionLifetime:
    return SessionLifetime(
        session_id=row["session_id"],
        status=SessionStatus(row["status"]),
        expires=row["expires"],
        time_limit_ends=row["time_limit_ends"],
        clocks=stored_clocks(row["expiry"], row["keepalive_s"]),
    )
