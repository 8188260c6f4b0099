"""The guardian: the round of a Manager, once a second, and immediately after a notification.

A round sends the heartbeat, and writes or deletes the sentinel file as the flag `enabled` in the database requires. If
the Manager is enabled and Primary, the round then does the time-sensitive work of the zone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import structlog

from greenroom.core.errors import GreenroomError, LeaseLost, RestartRequired
from greenroom.core.fleet.leadership import is_quiet
from greenroom.core.log_codes import LogCode
from greenroom.core.pool.agenda import Agenda
from greenroom.db.fleet.managers import Heartbeat, heartbeat
from greenroom.kit.clock import LatenessMeter, boottime_s
from greenroom.kit.concurrency import convert_item_error, wait_for
from greenroom.manager import files
from greenroom.manager.leadership import LeadershipKeeper, LeadershipWatch
from greenroom.manager.status import GuardianStatus, ManagerContext
from greenroom.manager.tasks.context import PrimaryContext, RoundEvents, TaskFailures, Tasks

log = structlog.get_logger(__name__)

MIN_PAUSE_S: Final = 0.005
"""Pause between two rounds, so that many simultaneous notifications cause one round."""


class Guardian:
    """Runs the rounds; one per process."""

    def __init__(
        self,
        shared: ManagerContext,
        *,
        leadership: LeadershipKeeper,
        watch: LeadershipWatch,
        primary_round: Callable[[PrimaryContext], Awaitable[None]],
        lateness: LatenessMeter,
        agenda: Agenda,
        read_crash_loop: Callable[[], str],
    ) -> None:
        self._shared = shared
        self._me = shared.me
        self._config = shared.config
        self._logs = shared.logs
        self._leadership = leadership
        self._watch = watch
        self._primary_round = primary_round
        self._lateness = lateness
        self._agenda = agenda
        self._read_crash_loop = read_crash_loop
        self._woken = asyncio.Event()
        self._enabled = shared.me.enabled
        self._finished_at_s: float | None = None
        self._reachable_since_s: float | None = None
        """The time since which heartbeats succeed; None while one is in progress, or after it failed."""
        self._failures = TaskFailures()
        self._context: PrimaryContext | None = None

    def wake(self) -> None:
        self._woken.set()

    def status(self) -> GuardianStatus:
        return GuardianStatus(
            enabled=self._enabled,
            round_age_s=_age_s(self._finished_at_s),
            task_success_age_s=boottime_s() - self._failures.last_success_at_s,
            database_reachable_s=_age_s(self._reachable_since_s),
            failing_tasks=self._failures.tasks,
        )

    def context(self) -> PrimaryContext | None:
        """Return the context of the Primary's tasks, for work between two rounds; None while not Primary."""
        fence = self._leadership.fence()
        return None if fence is None or self._context is None else replace(self._context, fence=fence)

    async def run(self) -> None:
        """Run the rounds, forever. Raises RestartRequired: the record of this Manager was deleted, or moved to
        another zone."""
        while True:
            self._woken.clear()
            try:
                with convert_item_error("round"):
                    await self._round()
                self._finished_at_s = boottime_s()
            except RestartRequired:
                raise
            except LeaseLost as error:
                log.info("the round ended early", reason=error.message)
                self._finished_at_s = boottime_s()
            except GreenroomError as error:
                log.warning("the round failed", reason=error.message)
            await asyncio.sleep(MIN_PAUSE_S)
            await wait_for(self._woken, self._config.guardian_interval_s)

    async def _round(self) -> None:
        heartbeat_row = await self._send_heartbeat()
        if heartbeat_row is None or heartbeat_row.zone_id != self._me.zone_id:
            raise RestartRequired(f"The record of {self._me.instance_id} was deleted or moved to another zone.")
        self._apply_flag(heartbeat_row)
        if heartbeat_row.enabled:
            self._leadership.record_seen_term(heartbeat_row.seen_term)
        fence = self._leadership.fence() if heartbeat_row.enabled else None
        if fence is None:
            self._failures.clear()
            self._context = None
            return
        self._context = PrimaryContext(
            db=self._shared.db,
            fence=fence,
            zone_id=self._me.zone_id,
            config=self._config,
            secrets=self._shared.secrets,
            logs=self._logs,
            events=RoundEvents(self._shared.db, self._logs),
            quiet=self._is_quiet(heartbeat_row),
            tasks=Tasks(self._failures, self._logs),
            lateness=self._lateness.current(),
            agenda=self._agenda,
        )
        await self._primary_round(self._context)
        self._shared.takeover.end()

    async def _send_heartbeat(self) -> Heartbeat | None:
        """Send the heartbeat and return its result; None = the record of this Manager does not exist. Record the
        time since which heartbeats succeed, for the quiet period."""
        since_s, self._reachable_since_s = self._reachable_since_s, None
        round_age_s = _age_s(self._finished_at_s)
        result = await heartbeat(self._shared.heartbeat_db, self._me.manager_id, round_age_s, self._read_crash_loop())
        self._reachable_since_s = boottime_s() if since_s is None else since_s
        return result

    def _apply_flag(self, heartbeat_row: Heartbeat) -> None:
        """Apply the flag `enabled` to all parts that depend on it, first to the sentinel file, which nginx reads.
        Raises SetupError: the sentinel file cannot be written; the flag was applied to all other parts."""
        self._logs.zone_name = heartbeat_row.zone_name
        try:
            files.update_sentinel(self._config.sentinel_file, heartbeat_row.enabled)
        finally:
            self._apply_flag_to_parts(heartbeat_row)

    def _apply_flag_to_parts(self, heartbeat_row: Heartbeat) -> None:
        self._leadership.set_enabled(heartbeat_row.enabled)
        self._watch.set_enabled(heartbeat_row.enabled)
        self._watch.schedule(heartbeat_row.remaining_s)
        if heartbeat_row.enabled != self._enabled:
            self._enabled = heartbeat_row.enabled
            self._shared.notifier.wake_all()
            code = LogCode.MANAGER_ENABLED if heartbeat_row.enabled else LogCode.MANAGER_DISABLED
            word = "enabled" if heartbeat_row.enabled else "disabled"
            self._logs.write(code, f"{self._me.instance_id} was {word}")

    def _is_quiet(self, heartbeat_row: Heartbeat) -> bool:
        return is_quiet(
            since_takeover_s=self._leadership.since_takeover_s,
            since_reconnect_s=_age_s(self._reachable_since_s) or 0.0,
            since_server_start_s=heartbeat_row.server_age_s,
            missing_s=self._config.agent_missing_s,
        )


def _age_s(at_s: float | None) -> float | None:
    return None if at_s is None else boottime_s() - at_s
