"""When a session that a user waits for fails, they get another one (`core.launch.replacement` says which).

The reply to the launch was given long ago and names the first session; the successor has the launch's token and
idempotency key, and `superseded_by` leads everybody to it (PROTOCOLS §3).
"""

from __future__ import annotations

import structlog
from psycopg.rows import DictRow

from greenroom.core.errors import Invalid, ProfileInUse
from greenroom.core.events import session_events
from greenroom.core.launch.plan import Attempt, Miss, TraceStep, failed_steps, skipped_steps
from greenroom.core.launch.replacement import Failed, backoff_s, failure, final_error, plan_successor, unheard
from greenroom.core.log_codes import LogCode
from greenroom.core.session.states import SessionStatus
from greenroom.db import row_mapping
from greenroom.db.fleet.leases import guarded
from greenroom.db.launch import replacement
from greenroom.manager.tasks.claim_or_create import (
    NoLongerWaitingError,
    PlacedSession,
    Search,
    claim_another,
    make_another,
)
from greenroom.manager.tasks.context import PrimaryContext

log = structlog.get_logger(__name__)


async def run_successors(ctx: PrimaryContext) -> None:
    """One round over the failed sessions of the zone whose users wait.

    Raises:
        LeaseLost: the term is over; nothing was written afterwards.
        Unavailable: the database cannot be reached.
    """
    for row in await replacement.read_waiting(ctx.db, ctx.zone_id):
        if ctx.tasks.failures.in_backoff("successors", row["session_id"]):
            continue
        if row["failed_s"] < backoff_s(failed_of(row), row["session_id"]):
            continue
        async with ctx.tasks.isolated("successors", row["session_id"]):
            await _run_successor(ctx, row)


async def run_orphaned_starts(ctx: PrimaryContext) -> None:
    """Start elsewhere what users wait for on Agents that went missing, rather than wait for its deadline.

    Where nobody else takes such a session it stays as it is: its Agent may be back in time.

    Raises:
        LeaseLost: the term is over; nothing was written afterwards.
        Unavailable: the database cannot be reached.
    """
    if ctx.quiet:
        return
    for row in await replacement.read_orphaned_starts(ctx.db, ctx.zone_id):
        if ctx.tasks.failures.in_backoff("stranded", row["session_id"]):
            continue
        async with ctx.tasks.isolated("stranded", row["session_id"]):
            await _run_successor(ctx, row)


async def _run_successor(ctx: PrimaryContext, row: DictRow) -> None:
    failed = failed_of(row)
    way = await replacement.read_launch_targets(ctx.db, row["image_id"])
    search = Search(row, failed, row_mapping.image_facts(way["image"]), _last_line(row))
    zones = [row_mapping.launch_zone(zone) for zone in way["zones"]]
    begins_in = row["current_zone_id"] if row["current_zone_id"] in {z.zone_id for z in zones} else row["zone_id"]
    pools = [row_mapping.staged_pool(pool) for pool in way["pools"]]
    trace: list[TraceStep] = []
    try:
        found = await _find(ctx, search, plan_successor(failed, zones, begins_in, search.image, pools), trace)
    except NoLongerWaitingError:
        return
    if found is None and (row["status"] != SessionStatus.FAILED or not await _give_up(ctx, search, trace)):
        return
    zone_keys = {str(zone["zone_id"]): zone["zone_key"] for zone in way["zones"]}
    await _notify(ctx, row, found, zone_keys)
    _log(ctx, search, found, trace)
    if row["staging_config_id"] is not None:
        await _keep_few(ctx, row["staging_config_id"])


async def _keep_few(ctx: PrimaryContext, staging_config_id: str) -> None:
    """Called after the successor's Agent was notified: nobody waits for this."""
    async with guarded(ctx.db, ctx.fence) as connection:
        gone = await replacement.destroy_oldest_quarantined(connection, staging_config_id)
    if gone:
        await ctx.db.notify(
            *(event for row in gone for event in session_events(row["session_id"], agent_id=row["agent_id"]))
        )


def failed_of(row: DictRow) -> Failed:
    """A row of `db.launch.replacement` as the core sees it."""
    return Failed(
        handover=row["set_aside_reason"] is not None,
        agent_name=row["agent_name"],
        cause=row["set_aside_reason"] or row["error"] or _unsaid(row),
        tried=row["tried"],
        starts=row["starts"],
        causes=tuple(row["causes"]),
        slow=row["slow"],
        permissions=row["permissions"],
    )


def _unsaid(row: DictRow) -> str:
    return "no reason was given" if row["status"] == SessionStatus.FAILED else unheard(row["silent_s"])


def _last_line(row: DictRow) -> TraceStep:
    """The last line of the launch's trace; one that says as much where the ledger has it no more."""
    if row["last_step"] is not None:
        return TraceStep(**row["last_step"])
    staged = row["staging_config_id"] is not None
    return TraceStep(
        order=row["tried"],
        step="staged_here" if staged else "on_demand_here",
        zone_name=row["zone_name"],
        candidate=row["staging_config_id"] if staged else row["agent_name"],
        used=True,
        code=None,
        reason="",
    )


async def _find(
    ctx: PrimaryContext, search: Search, attempts: tuple[Attempt, ...], trace: list[TraceStep]
) -> PlacedSession | None:
    """Try one after the other; what came of each is added to the trace."""
    for attempt in attempts:
        if attempt.misses:
            trace += skipped_steps(attempt)
            continue
        found = await _try(ctx, search, attempt, trace)
        if isinstance(found, PlacedSession):
            return found
        trace += failed_steps(attempt, found)
    return None


async def _try(
    ctx: PrimaryContext, search: Search, attempt: Attempt, trace: list[TraceStep]
) -> PlacedSession | list[Miss]:
    try_it = claim_another if attempt.staged else make_another
    try:
        return await try_it(ctx, search, attempt, trace)
    # No container of this workspace can be created any more, or the user has their profile open elsewhere by now; other
    # users are waiting, too.
    except (Invalid, ProfileInUse) as error:
        log.error("a successor cannot be made", session_id=search.row["session_id"], reason=error.message)
        return [Miss(error.code, error.message)]


async def _give_up(ctx: PrimaryContext, search: Search, trace: list[TraceStep]) -> bool:
    """A hand-over has its reason already; for a start all causes are given.

    Returns:
        Whether the user still waited.
    """
    row, failed = search.row, search.failed
    error = (row["error"] or failed.cause) if failed.handover else final_error(failed, trace)
    async with guarded(ctx.db, ctx.fence) as connection:
        return await replacement.give_up(connection, row, error, search.steps(trace))


async def _notify(ctx: PrimaryContext, old: DictRow, found: PlacedSession | None, zone_keys: dict[str, int]) -> None:
    """Tell the Agents concerned, the pages that look on, and the Primary whose pool has one less."""
    events = session_events(old["session_id"], agent_id=old["agent_id"], staging_config_id=old["staging_config_id"])
    if found is not None:
        events |= session_events(
            found.session_id,
            agent_id=found.agent_id,
            staging_config_id=found.attempt.pool.staging_config_id if found.attempt.pool else None,
            zone_key=zone_keys[found.attempt.zone.zone_id],
        )
        for gone in found.yielding:
            events |= session_events(gone.session_id, staging_config_id=gone.staging_config_id)
    await ctx.db.notify(*events)


def _log(ctx: PrimaryContext, search: Search, found: PlacedSession | None, trace: list[TraceStep]) -> None:
    old, failed = search.row, search.failed
    ctx.logs.write(
        LogCode.SESSION_SET_ASIDE if failed.handover else LogCode.SESSION_START_FAILED,
        f"{failure(failed, old['session_id'])}; {_outcome(old, found, trace)}.",
        level="ERROR" if found is None else None,
        zone_name=ctx.zone_name,
        session_id=old["session_id"],
        user_id=old["user_id"],
        username=old["username"],
        staging_config_id=old["staging_config_id"],
    )
    if found is not None:
        _log_yielding(ctx, old, found)


def _log_yielding(ctx: PrimaryContext, old: DictRow, found: PlacedSession) -> None:
    for gone in found.yielding:
        ctx.logs.write(
            LogCode.STAGED_SESSION_ENDED,
            f"A staged session ends before it was usable: its room was given to {old['username']}, whose session"
            f" {old['session_id']} failed; people go first.",
            zone_name=found.attempt.zone.zone_name,
            session_id=gone.session_id,
            staging_config_id=gone.staging_config_id,
        )


def _outcome(old: DictRow, found: PlacedSession | None, trace: list[TraceStep]) -> str:
    if found is not None:
        zone = found.attempt.zone
        where = "" if zone.zone_id == old["zone_id"] else f" in zone {zone.zone_name}"
        return f"{old['username']} gets session {found.session_id}{where} in its place"
    reasons = dict.fromkeys(step.reason.rstrip(".") for step in trace)
    return "; ".join(reasons) or "it was tried often enough"
