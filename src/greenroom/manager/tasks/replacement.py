"""Replaces the session of a user that fails while the user waits. `core.launch.wanted` plans the attempts.

The launch was answered with the first session. The replacement gets the token and idempotency key of the launch, and
readers of the first session follow `superseded_by` to it (docs/explanation/protocols.md §3).
"""

from __future__ import annotations

from collections.abc import Sequence

from greenroom.core.errors import Invalid, ProfileInUse
from greenroom.core.events import ChangeEvent, session_events
from greenroom.core.launch.plan import TraceStep
from greenroom.core.launch.wanted import (
    FailedSession,
    backoff_s,
    failure_text,
    final_error,
    mark_zones_without_host,
    plan_replacement,
)
from greenroom.core.log_codes import LogCode
from greenroom.core.session.states import SessionStatus
from greenroom.db.fleet.leadership import guarded
from greenroom.db.launch import replacement
from greenroom.db.launch.replacement import SessionToReplace
from greenroom.manager.tasks.context import PrimaryContext
from greenroom.sessions.launch import PlacedSession, Search
from greenroom.sessions.replace import (
    NoLongerWaitingError,
    ReplacementWriter,
    failed_session_of,
    further_steps,
    replacement_session,
)


async def run_replacements(ctx: PrimaryContext) -> None:
    """Replace the failed sessions of the zone whose users wait.

    Raises:
        LeaseLost: the term is over; nothing was written afterwards.
        Unavailable: the database cannot be reached.
    """
    for row in await replacement.read_sessions_to_replace(ctx.db, ctx.zone_id):
        if ctx.tasks.failures.in_backoff("replacements", row.session_id):
            continue
        if row.status_age_s < backoff_s(failed_session_of(row), row.session_id):
            continue
        async with ctx.tasks.isolated("replacements", row.session_id):
            await _replace(ctx, row)


async def run_orphaned_starts(ctx: PrimaryContext) -> None:
    """Replace starts on Agents that are missing, instead of waiting for their deadline.

    If no replacement can be created, the session is not changed: its Agent may return in time.

    Raises:
        LeaseLost: the term is over; nothing was written afterwards.
        Unavailable: the database cannot be reached.
    """
    if ctx.quiet:
        return
    for row in await replacement.read_orphaned_starts(ctx.db, ctx.zone_id):
        if ctx.tasks.failures.in_backoff("orphans", row.session_id):
            continue
        async with ctx.tasks.isolated("orphans", row.session_id):
            await _replace(ctx, row)


async def _replace(ctx: PrimaryContext, old: SessionToReplace) -> None:
    failed = failed_session_of(old)
    targets = await replacement.read_launch_targets(ctx.db, old.image_id)
    search = Search(
        db=ctx.db,
        secrets=ctx.secrets,
        requested=replacement_session(old, failed, targets.image, ctx.secrets),
        writer=ReplacementWriter(db=ctx.db, fence=ctx.fence, old=old, failed=failed),
        # These errors concern only this user: no container of the workspace can be created any more, or the user has
        # opened their profile elsewhere. They must not end the round, because other users wait for it.
        tolerated=(Invalid, ProfileInUse),
    )
    first_zone_id = (
        old.current_zone_id if old.current_zone_id in {zone.zone_id for zone in targets.zones} else old.zone_id
    )
    attempts = plan_replacement(failed, targets.zones, first_zone_id, targets.image, targets.pools)
    try:
        placed = await search.run(mark_zones_without_host(attempts, old.zone_id, old.request_host))
    except NoLongerWaitingError:
        return
    if placed is None and (
        old.status is not SessionStatus.FAILED or not await _end_search(ctx, old, failed, search.trace)
    ):
        return
    await _notify(ctx, old, placed)
    _log(ctx, old, failed, placed, search.trace)
    if old.staging_config_id is not None:
        await _limit_quarantine(ctx, old.staging_config_id)


async def _limit_quarantine(ctx: PrimaryContext, staging_config_id: str) -> None:
    """Destroy the oldest quarantined sessions of the pool if it has more than the limit. No user waits for this, so it
    is the last step."""
    async with guarded(ctx.db, ctx.fence) as connection:
        destroyed = await replacement.destroy_oldest_quarantined(connection, staging_config_id)
    for session in destroyed:
        ctx.events.add(*session_events(session.session_id, agent_id=session.agent_id))


async def _end_search(
    ctx: PrimaryContext, old: SessionToReplace, failed: FailedSession, trace: Sequence[TraceStep]
) -> bool:
    """End the search for a replacement, and store the error: the reason of a failed hand-over, or the causes of all
    failed starts. Return True if the user still waited."""
    error = (old.error or failed.cause) if failed.at_handover else final_error(failed, trace)
    async with guarded(ctx.db, ctx.fence) as connection:
        return await replacement.end_search(connection, old, error, further_steps(old, failed, trace))


async def _notify(ctx: PrimaryContext, old: SessionToReplace, placed: PlacedSession | None) -> None:
    """Notify the Agents of both sessions, the console, and the Primary of the replacement's zone, whose pool may have
    one session less. The events are sent before the end of the task, because the user waits."""
    events = session_events(old.session_id, agent_id=old.agent_id, staging_config_id=old.staging_config_id)
    if placed is not None:
        events |= {*placed.events, ChangeEvent.zone(placed.attempt.zone.zone_key)}
    ctx.events.add(*events)
    await ctx.events.send()


def _log(
    ctx: PrimaryContext,
    old: SessionToReplace,
    failed: FailedSession,
    placed: PlacedSession | None,
    trace: Sequence[TraceStep],
) -> None:
    ctx.logs.write(
        LogCode.SESSION_SET_ASIDE if failed.at_handover else LogCode.SESSION_START_FAILED,
        f"{failure_text(failed, old.session_id)}; {_outcome(old, placed, trace)}.",
        level="ERROR" if placed is None else None,
        session_id=old.session_id,
        user_id=old.user_id,
        username=old.username,
        staging_config_id=old.staging_config_id,
    )
    if placed is not None:
        placed.log_evictions(ctx.logs, f"{old.username}, whose session {old.session_id} failed")


def _outcome(old: SessionToReplace, placed: PlacedSession | None, trace: Sequence[TraceStep]) -> str:
    if placed is not None:
        zone = placed.attempt.zone
        in_zone = "" if zone.zone_id == old.zone_id else f" in zone {zone.zone_name}"
        return f"{old.username} gets session {placed.session_id}{in_zone} instead"
    reasons = dict.fromkeys(step.reason.rstrip(".") for step in trace)
    return "; ".join(reasons) or "no attempt is left"
