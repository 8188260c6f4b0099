"""The Primary's tasks after a deadline: of the status, the time limit or the retention of a session, or of a share.

Sessions of users are deleted, stopped or paused when one of their time limits ends. The pool plan ends staged sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from greenroom.core.events import session_events
from greenroom.core.installation import installation_of
from greenroom.core.log_codes import Level, LogCode
from greenroom.core.session import deadlines as core_deadlines
from greenroom.core.session.deadlines import ActionKind, Expiry, ExpiryAction, ManagerTiming, OverdueAction, plan_expiry
from greenroom.db.database import Connection
from greenroom.db.fleet.leadership import guarded
from greenroom.db.installation import stored_settings
from greenroom.db.session import deadlines as db_deadlines
from greenroom.db.session import lifecycle
from greenroom.db.session.deadlines import SessionWithDeadline
from greenroom.db.session.lifecycle import ExpiringSession, revoke_stop_or_pause
from greenroom.db.session.observations import read_stored_observations
from greenroom.db.session.sessions import request_end
from greenroom.db.session.shares import end_expired_shares, read_expired_shares
from greenroom.db.session.transitions import ChangedSession
from greenroom.kit.stops import hold_if_armed
from greenroom.manager import transitions
from greenroom.manager.tasks.context import PrimaryContext

POOL_FAILED_KEEP_S: Final = 300.0
"""Seconds after which a failed staged session is discarded if its pool has not discarded it."""


async def run_deadlines(ctx: PrimaryContext) -> None:
    """Act on every session whose deadline for the present status has passed."""
    plan = _planned(await db_deadlines.read_with_deadline(ctx.db, ctx.zone_id), ctx)
    if not plan:
        return
    await hold_if_armed("primary.after_check")
    acted: list[tuple[OverdueAction, ChangedSession]] = []
    async with guarded(ctx.db, ctx.fence) as connection:
        await hold_if_armed("primary.in_guard")
        locked = await db_deadlines.lock_with_deadline(connection, ctx.zone_id, [action.session_id for action in plan])
        for action in _planned(locked, ctx):
            async with ctx.tasks.isolated("deadlines", action.session_id, within=connection):
                if (changed := await _apply_overdue_action(connection, action)) is not None:
                    acted.append((action, changed))
    for action, changed in acted:
        ctx.events.status_changed(changed, action.reason, _LEVELS.get(action.kind))


_LEVELS: Final[dict[ActionKind, Level]] = {"delete_again": "WARNING", "revoke": "WARNING"}
"""Level of the log row of an action, if it is not the usual level of the new status."""


async def _apply_overdue_action(connection: Connection, action: OverdueAction) -> ChangedSession | None:
    if action.kind == "delete_again":
        return await db_deadlines.delete_again(connection, action.session_id)
    if action.kind == "revoke":
        return await revoke_stop_or_pause(connection, action.session_id, action.status)
    set_aside = action.kind == "set_aside"
    failure = db_deadlines.SessionFailure(action.reason, set_aside=set_aside, slow=action.slow)
    return await db_deadlines.fail(connection, action.session_id, action.status, failure)


def _planned(sessions: Sequence[SessionWithDeadline], ctx: PrimaryContext) -> list[OverdueAction]:
    if not sessions:
        return []
    timing = ManagerTiming(ctx.config.handover_received_s, ctx.lateness)
    actions = core_deadlines.plan(sessions, sessions[0].now, quiet=ctx.quiet, timing=timing)
    return [action for action in actions if not ctx.tasks.failures.in_backoff("deadlines", action.session_id)]


async def run_missed_transitions(ctx: PrimaryContext) -> None:
    """Decide again on sessions whose stored observation requires another status. This includes `unreachable` and `lost`
    sessions whose Agent has returned, and transitions that `manager.checkin.commit` missed."""
    decided = transitions.decisions(await read_stored_observations(ctx.db, ctx.zone_id))
    if not decided:
        return
    async with guarded(ctx.db, ctx.fence) as connection:
        await transitions.lock(connection, decided)
        decided = await transitions.apply(connection, decided)
    transitions.announce(decided, ctx.events, ctx.fence.zone_key)


async def run_recovered_quarantines(ctx: PrimaryContext) -> None:
    """End sessions that were quarantined as slow and answer again. There is nothing to inspect, and they use capacity.
    They do not return to their pool, because a session that was assigned is never claimable again."""
    if not await db_deadlines.read_recovered(ctx.db, ctx.zone_id):
        return
    async with guarded(ctx.db, ctx.fence) as connection:
        ended = await db_deadlines.end_recovered(connection, ctx.zone_id)
    for session in ended:
        ctx.events.log(
            LogCode.SET_ASIDE_RECOVERED,
            f"session {session.session_id} was quarantined because it was slow, and answers again; it ends to release"
            " its reservation, because a session that was assigned to a user never returns to its pool",
            session_id=session.session_id,
            staging_config_id=session.staging_config_id,
        )
        ctx.events.add(*session_events(session.session_id, agent_id=session.agent_id, zone_key=ctx.fence.zone_key))


async def run_cleanup(ctx: PrimaryContext) -> None:
    """Discard failed sessions after their retention, and delete the rows of sessions that ended long ago."""
    retention_s = installation_of(await stored_settings(ctx.db)).failed_session_retention_s
    async with guarded(ctx.db, ctx.fence) as connection:
        cleared = await db_deadlines.discard_failed(connection, ctx.zone_id, retention_s, POOL_FAILED_KEEP_S)
        await db_deadlines.delete_ended_rows(connection, ctx.zone_id, ctx.config.ended_keep_days)
    for session in cleared:
        ctx.events.status_changed(session, "its retention after the failure has ended")


_VERBS: Final[dict[ExpiryAction, str]] = {"delete": "ends", "stop": "is stopped", "pause": "is paused"}


async def run_expiry(ctx: PrimaryContext) -> None:
    """Delete, stop or pause the users' sessions of the zone whose time limit or keepalive has ended.

    Raises:
        LeaseLost: the term is over; nothing was written.
        Unavailable: the database cannot be reached.
    """
    candidates = await lifecycle.read_expiring(ctx.db, ctx.zone_id)
    if not _planned_expiry(candidates, ctx):
        return
    await hold_if_armed("primary.after_check")
    acted: list[tuple[Expiry, ChangedSession]] = []
    async with guarded(ctx.db, ctx.fence) as connection:
        locked = await lifecycle.lock_expiring(connection, ctx.zone_id, [session.session_id for session in candidates])
        names = {session.session_id: session.username for session in locked}
        for expiry in _planned_expiry(locked, ctx):
            async with ctx.tasks.isolated("expiry", expiry.session_id, within=connection):
                if (changed := await _apply_expiry(connection, expiry)) is not None:
                    acted.append((expiry, changed))
    for expiry, changed in acted:
        username = names[expiry.session_id]
        ctx.events.log(
            LogCode.SESSION_EXPIRED,
            f"the session of {username} {_VERBS[expiry.action]}: {expiry.reason}",
            session_id=changed.session_id,
            user_id=changed.user_id,
            username=username,
            setting=expiry.setting,
        )
        ctx.events.add(*session_events(changed.session_id, agent_id=changed.agent_id))


def _planned_expiry(sessions: Sequence[ExpiringSession], ctx: PrimaryContext) -> list[Expiry]:
    expiries = plan_expiry(sessions, sessions[0].now, quiet=ctx.quiet) if sessions else []
    return [expiry for expiry in expiries if not ctx.tasks.failures.in_backoff("expiry", expiry.session_id)]


async def _apply_expiry(connection: Connection, expiry: Expiry) -> ChangedSession | None:
    if expiry.action == "delete":
        return await request_end(connection, expiry.session_id, expiry.reason)
    return await lifecycle.stop_or_pause(connection, expiry.session_id, expiry.action, expiry.reason)


async def run_shares(ctx: PrimaryContext) -> None:
    """End the shares of the zone whose time is over."""
    if not await read_expired_shares(ctx.db, ctx.zone_id):
        return
    async with guarded(ctx.db, ctx.fence) as connection:
        ended, events = await end_expired_shares(connection, ctx.zone_id)
    for share in ended:
        sentence = f"the share {share.share_id} of session {share.session_id} has ended: its time limit is reached"
        ctx.events.log(LogCode.SHARE_ENDED, sentence, session_id=share.session_id)
    ctx.events.add(*events)
