"""The Primary's round: the time-sensitive tasks of the zone, one after another, each with a fencing token.

Refills, and the deletion of outdated rows, run in parallel to the rounds. Every `UPKEEP_INTERVAL_S` a round also runs
the `UPKEEP` tasks.

A round first checks in one query if any task is due. If none is due, it runs only the task of the pools, whose agenda
(`core.pool.agenda`) selects the pools to read.

After a claim, the pool is planned outside the rounds, so that the session is replaced within milliseconds. If this
fails, the next round plans the pool.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from greenroom.core.errors import GreenroomError
from greenroom.core.events import ChangeEvent
from greenroom.core.fleet.liveness import Removal, records_to_remove
from greenroom.core.installation import installation_of
from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.db.diagnostics.audit import delete_old_days
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.diagnostics.retention import CleanUps, RetentionLimits, prune
from greenroom.db.fleet import managers
from greenroom.db.fleet.leadership import lock_leadership
from greenroom.db.installation import stored_settings
from greenroom.db.pool.history import store_hourly_counts
from greenroom.db.session.deadlines import has_work
from greenroom.kit.clock import boottime_s
from greenroom.kit.concurrency import convert_item_error, warn_of_item_error
from greenroom.kit.secrets import Secrets
from greenroom.manager.tasks.agents import run_agents, run_allocation_corrections, run_offers
from greenroom.manager.tasks.context import PrimaryContext
from greenroom.manager.tasks.deadlines import (
    run_cleanup,
    run_deadlines,
    run_expiry,
    run_missed_transitions,
    run_recovered_quarantines,
    run_shares,
)
from greenroom.manager.tasks.pools import plan_pools, run_due_pools
from greenroom.manager.tasks.replacement import run_orphaned_starts, run_replacements

log = structlog.get_logger(__name__)

RETENTION_INTERVAL_S: Final = 60.0


class Retention:
    """Deletes outdated rows every `RETENTION_INTERVAL_S` while `is_primary()` returns True."""

    def __init__(self, db: Database, secrets: Secrets, logs: LogWriter, is_primary: Callable[[], bool]) -> None:
        self._db = db
        self._clean_ups = CleanUps(logs)
        self._secrets = secrets
        self._is_primary = is_primary

    async def run(self) -> None:
        """Run forever; failures are logged and retried."""
        while True:
            await asyncio.sleep(RETENTION_INTERVAL_S)
            if self._is_primary():
                with warn_of_item_error(log, "the clean-up is deferred", "clean-up"):
                    await self.round()

    async def round(self) -> None:
        """Delete outdated rows and update the counts of each hour once, by the present settings of the installation.
        Raises Unavailable: the database cannot be reached."""
        settings = installation_of(await stored_settings(self._db))
        retention = RetentionLimits(
            log_rows=settings.log_retention_rows,
            log_days=settings.log_retention_days,
            security_rows=settings.security_log_retention_rows,
            security_days=settings.security_log_retention_days,
            launch_days=settings.launch_retention_days,
            recording_days=settings.recording_retention_days,
            session_video_days=None if settings.audit_hold else settings.session_video_retention_days,
        )
        with self._clean_ups.isolated("rows"):
            if deleted := await prune(self._db, retention, self._clean_ups.isolated):
                log.info("rows past their retention were deleted", **deleted)
        with self._clean_ups.isolated("the audit"):
            if settings.audit_retention_days and not settings.audit_hold:
                await delete_old_days(self._db, self._secrets, settings.audit_retention_days)
        with self._clean_ups.isolated("the counts of hours"):
            await store_hourly_counts(self._db)


async def run_manager_records(ctx: PrimaryContext) -> None:
    """Remove the records of departed Managers, except Managers that have returned in the meantime.

    Raises:
        LeaseLost: the term ended in the meantime; nothing was written.
        Unavailable: the database cannot be reached.
    """
    keep_days = installation_of(await stored_settings(ctx.db)).manager_record_retention_days
    if ctx.quiet or keep_days == 0:
        return
    for removal in records_to_remove(await managers.read_records(ctx.db, ctx.zone_id), keep_days):
        if ctx.tasks.failures.in_backoff("records", removal.instance_id):
            continue
        async with ctx.tasks.isolated("records", removal.instance_id):
            await _remove_record(ctx, removal, keep_days)


async def _remove_record(ctx: PrimaryContext, removal: Removal, keep_days: float) -> None:
    async with ctx.db.transaction() as connection:
        await managers.lock_zones(connection)  # before the leadership, which `guarded` would lock first
        await lock_leadership(connection, ctx.fence)
        removed = await managers.remove_record(connection, removal.manager_id, keep_days)
    if removed:
        ctx.events.log(LogCode.MANAGER_REMOVED, f"the record of {removal.instance_id} was removed: {removal.reason}")


UPKEEP_INTERVAL_S: Final = 5.0

Task = Callable[[PrimaryContext], Awaitable[None]]

TASKS: Final[dict[str, Task]] = {
    "agents": run_agents,
    "transitions": run_missed_transitions,
    "deadlines": run_deadlines,
    "offers": run_offers,
    "replacements": run_replacements,
    "pools": run_due_pools,
    "expiry": run_expiry,
    "shares": run_shares,
}
"""The tasks of every round in which something is due (`db.session.deadlines`), in this order."""
TASKS_WITHOUT_DUE_WORK: Final = ("pools",)
"""The tasks of all other rounds."""
UPKEEP: Final[dict[str, Task]] = {
    "orphans": run_orphaned_starts,
    "reconcile": run_allocation_corrections,
    "recovered": run_recovered_quarantines,
    "cleanup": run_cleanup,
    "records": run_manager_records,
}
"""The tasks that run every `UPKEEP_INTERVAL_S`: they correct numbers, clean up, and replace orphaned starts, which must
not be attempted more often."""


class PrimaryRounds:
    """Runs the tasks of a round. Its state is only the term, and the time of the last `UPKEEP` tasks."""

    def __init__(self) -> None:
        self._upkeep_at_s = float("-inf")
        self._term = 0

    async def run(self, ctx: PrimaryContext) -> None:
        """Run the tasks of one round.

        Raises:
            LeaseLost: the term ended in the meantime; nothing was written afterwards.
            Unavailable: the database cannot be reached.
            GreenroomError: all tasks fail; another Manager may succeed.
        """
        if ctx.fence.term != self._term:
            # Agents of other Managers now connect to this Primary.
            await ctx.db.notify(ChangeEvent.primary(ctx.fence.zone_key))
            self._term = ctx.fence.term
        await _run(TASKS if await _is_due(ctx) else {name: TASKS[name] for name in TASKS_WITHOUT_DUE_WORK}, ctx)
        if boottime_s() - self._upkeep_at_s >= UPKEEP_INTERVAL_S:
            self._upkeep_at_s = boottime_s()
            await _run(UPKEEP, ctx)
        if all(ctx.tasks.failures.whole_task_failed(name) for name in TASKS):
            raise GreenroomError("All tasks of the Primary fail.")


async def _is_due(ctx: PrimaryContext) -> bool:
    """Return True if a task may have work. A failed task is tried again even if nothing is due, because the row that it
    failed on may have been deleted."""
    timings = {"missing_s": ctx.config.agent_missing_s, "cpu_overcommit": ctx.config.cpu_overcommit}
    return bool(ctx.tasks.failures.tasks) or await has_work(ctx.db, ctx.zone_id, **timings)


async def _run(tasks: dict[str, Task], ctx: PrimaryContext) -> None:
    for name, task in tasks.items():
        if not ctx.tasks.failures.in_backoff(name):
            try:
                async with ctx.tasks.isolated(name):
                    await task(ctx)
            finally:
                await ctx.events.send()


MAX_REFILL_S: Final = 10.0
"""Time limit of a refill: a plan that hangs is canceled, and does not delay later pools."""
MIN_REFILL_INTERVAL_S: Final = 0.1
"""The minimum time between the beginnings of two refills. The refill after a single claim begins immediately. Many
claims within this time share one refill, so that refills do not delay the hand-overs of the claimed sessions."""


class Refill:
    """Plans requested pools outside the rounds, in at most `max_s`; `context` returns None while this Manager is not
    Primary."""

    def __init__(
        self,
        context: Callable[[], PrimaryContext | None],
        max_s: float = MAX_REFILL_S,
        interval_s: float = MIN_REFILL_INTERVAL_S,
    ) -> None:
        self._context = context
        self._max_s = max_s
        self._interval_s = interval_s
        self._requested: set[str] = set()
        self._woken = asyncio.Event()

    def request(self, staging_config_id: str) -> None:
        """Request a plan of this pool as soon as possible."""
        self._requested.add(staging_config_id)
        self._woken.set()

    async def run(self) -> None:
        """Plan forever. Pools that are requested during a plan are in the next plan."""
        begun_s = float("-inf")
        while True:
            await self._woken.wait()
            await asyncio.sleep(begun_s + self._interval_s - boottime_s())
            begun_s = boottime_s()
            self._woken.clear()
            requested, self._requested = self._requested, set()
            ctx = self._context()
            if ctx is None or ctx.tasks.failures.in_backoff("pools"):
                continue
            try:
                async with asyncio.timeout(self._max_s):
                    with convert_item_error("pools"):
                        await plan_pools(ctx, sorted(requested))
            except TimeoutError:
                log.warning(
                    "the plan is deferred to the next round",
                    pools=sorted(requested),
                    reason=f"not finished after {self._max_s:g} s",
                )
            except GreenroomError as error:
                log.info("the plan is deferred to the next round", pools=sorted(requested), reason=error.message)
