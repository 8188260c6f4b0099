"""The homes on this host. The Agent measures them one at a time in the background, and removes them by order of a
Manager.

A report contains the last measurements, so that it does not wait for a new one. After a measurement, the Agent pauses
four times as long as the measurement took. A Manager repeats an order in every answer until the Agent reports the
removal. An interrupted removal continues after a restart, without an order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import structlog

from greenroom.core.errors import GreenroomError
from greenroom.core.log_codes import LogCode
from greenroom.core.rate_limits import Backoff
from greenroom.core.workspace.homes import HomeId, HomeMeasurement, next_to_measure
from greenroom.kit.concurrency import convert_item_error, wait_for, warn_of_item_error
from greenroom.runtimes.contract import HomeInUseError, Homes, StoredHome
from greenroom.wire.fields import HomeRemoval, HomeReport

log = structlog.get_logger(__name__)

POLL_S: Final = 60.0
PAUSE_FACTOR: Final = 4.0
REPORT_EVERY_S: Final = 600.0
"""The interval at which an unchanged report is repeated."""
SIZES_WAIT_S: Final = 30.0
"""The minimum interval of reports in which only sizes have changed."""
BACKOFF: Final = Backoff(first_s=2.0, max_s=300.0)
"""The pause after a failed removal."""
MAX_HOMES: Final = 10_000
"""The maximum number of homes in a report, and of remembered removals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _HomeFacts:
    """The facts about a home. Times are seconds since the epoch; None = not known yet."""

    size_bytes: int | None = None
    measured: float | None = None
    last_used: float | None = None
    problem: str = ""


@dataclass(slots=True)
class _Attempts:
    """The failed attempts of a removal."""

    count: int = 0
    next_try_s: float = 0.0
    problem: str = ""


@dataclass(eq=False)
class HomesKeeper:
    """Measures and removes the homes of a host. `on_change` is called after a change that must be reported immediately.
    `log_line` adds a log row (code, message)."""

    homes: Homes
    on_change: Callable[[], None] = lambda: None
    log_line: Callable[[LogCode, str], None] = lambda _code, _sentence: None

    def __post_init__(self) -> None:
        self._stored: dict[HomeId, _HomeFacts] | None = None
        self._moved_away: set[StoredHome] = set()
        """Homes whose removal has begun and is not complete. No session can use them."""
        self._in_use: frozenset[HomeId] = frozenset()
        self._measured: dict[HomeId, HomeMeasurement] = {}
        self._removal_orders: dict[str, HomeId] = {}
        self._completed: dict[str, None] = {}
        """Completed removals, oldest first. A Manager repeats an order until it receives the report."""
        self._attempts: dict[str, _Attempts] = {}
        """Removal id → the failed attempts."""
        self._work_added = asyncio.Event()
        self._listing_lock = asyncio.Lock()
        """Prevents two listings at the same time, of which the older one could be stored last."""
        self._last_report: list[HomeReport] | None = None
        self._last_report_s = float("-inf")

    # For the check-in -------------------------------------------------------------------------------------------------

    def report(self) -> list[HomeReport] | None:
        """Return all homes, or None if they were not listed yet, a removal has not begun, or no report is due."""
        attempted = self._attempts.keys() | {entry.removal_id for entry in self._moved_away}
        if self._stored is None or self._pending_removals().keys() - attempted:
            return None  # the Manager would count a home that is not in the report as removed
        problems = {
            home: self._attempts[removal_id].problem
            for removal_id, home in self._removal_orders.items()
            if removal_id in self._attempts
        }
        stored = sorted(self._stored.items(), key=lambda item: item[0])[:MAX_HOMES]
        reports = [_report(home, facts, problems.get(home, facts.problem)) for home, facts in stored]
        reports += [
            self._report_removal(entry) for entry in sorted(self._moved_away, key=lambda entry: entry.removal_id)
        ]
        return reports if self._is_due(reports) else None

    def _report_removal(self, moved_away: StoredHome) -> HomeReport:
        home, attempts = moved_away.home, self._attempts.get(moved_away.removal_id, _Attempts())
        return HomeReport(
            user_id=home.user_id, image_id=home.image_id, removal_id=moved_away.removal_id, problem=attempts.problem
        )

    def _is_due(self, reports: list[HomeReport]) -> bool:
        age_s = time.monotonic() - self._last_report_s
        if self._last_report is None or age_s >= REPORT_EVERY_S:
            return True
        if reports == self._last_report:
            return False
        return age_s >= SIZES_WAIT_S or _without_sizes(reports) != _without_sizes(self._last_report)

    def reported(self, reports: list[HomeReport]) -> None:
        """Record that this report arrived at the Manager."""
        self._last_report, self._last_report_s = reports, time.monotonic()

    def report_all_again(self) -> None:
        """Report all homes again, because the Manager has no report."""
        self._last_report = None

    def set_removal_orders(self, removals: list[HomeRemoval]) -> None:
        """Replace the orders to remove homes. Each answer of a Manager contains all of them."""
        ordered = {entry.removal_id: HomeId(entry.user_id, entry.image_id) for entry in removals}
        if ordered.keys() - self._removal_orders.keys() - self._completed.keys():
            self._work_added.set()
        self._removal_orders = ordered

    # The work ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._measure_all(), name="measure homes")
            group.create_task(self._remove_all(), name="remove homes")

    async def _measure_all(self) -> None:
        while True:
            begun = time.monotonic()
            with warn_of_item_error(log, "the home folders cannot be listed", "homes", next_try_s=POLL_S):
                await self._read_homes()
                while (home := self._next_to_measure()) is not None:
                    await self._measure(home)
            await asyncio.sleep(max(1.0, POLL_S - (time.monotonic() - begun)))

    def _next_to_measure(self) -> HomeId | None:
        return next_to_measure(self._stored or {}, self._in_use, self._measured, time.monotonic())

    async def _read_homes(self) -> None:
        """List the homes and the homes in use. Raises GreenroomError: they cannot be listed."""
        async with self._listing_lock:
            self._store_listing(frozenset(await self.homes.in_use()), await self.homes.list())

    def _store_listing(self, in_use: frozenset[HomeId], stored_homes: list[StoredHome]) -> None:
        before = self._stored or {}
        now = time.time()
        stored = {entry.home: before.get(entry.home, _HomeFacts()) for entry in stored_homes if not entry.removal_id}
        for home in stored.keys() & (in_use | self._in_use):
            stored[home] = replace(stored[home], last_used=now)
        changed = stored.keys() != before.keys()
        used = in_use | self._in_use
        self._measured = {
            home: replace(last, used_since=last.used_since or home in used)
            for home, last in self._measured.items()
            if home in stored
        }
        self._stored, self._in_use = stored, in_use
        moved_away = {entry for entry in stored_homes if entry.removal_id}
        if moved_away != self._moved_away:
            self._moved_away = moved_away
            self._work_added.set()
            changed = True
        if changed:
            self.on_change()

    async def _measure(self, home: HomeId) -> None:
        begun = time.monotonic()
        self._measured[home] = HomeMeasurement(at_s=begun)
        problem, size = "", None
        try:
            with convert_item_error("home", home.name):
                size = await self.homes.measure(home)
        except GreenroomError as error:
            problem = error.message
        duration_s = time.monotonic() - begun
        if self._stored is not None and home in self._stored:
            facts, now = self._stored[home], time.time()
            if size is not None:
                facts = replace(facts, size_bytes=size.size_bytes, measured=now)
                facts = replace(facts, last_used=min(now, max(facts.last_used or 0.0, size.changed or 0.0)) or None)
            self._stored[home] = replace(facts, problem=problem)
        if problem:
            log.warning("a home folder could not be measured", home=home.name, reason=problem)
        await asyncio.sleep(PAUSE_FACTOR * duration_s)

    # Removals ---------------------------------------------------------------------------------------------------------

    def _pending_removals(self) -> Mapping[str, HomeId]:
        """Return removal id → home of all ordered and interrupted removals that are not complete."""
        moved_away = {entry.removal_id: entry.home for entry in self._moved_away}
        return {
            removal_id: home
            for removal_id, home in {**moved_away, **self._removal_orders}.items()
            if removal_id not in self._completed
        }

    async def _remove_all(self) -> None:
        while True:
            await wait_for(self._work_added, self._pause_s())
            self._work_added.clear()
            for removal_id, home in self._pending_removals().items():
                if self._attempts.get(removal_id, _Attempts()).next_try_s <= time.monotonic():
                    await self._remove(removal_id, home)
            pending = self._pending_removals()
            self._attempts = {name: attempts for name, attempts in self._attempts.items() if name in pending}

    def _pause_s(self) -> float:
        now = time.monotonic()
        due = [self._attempts[name].next_try_s - now for name in self._pending_removals() if name in self._attempts]
        return max(0.1, min([POLL_S, *due]))

    async def _remove(self, removal_id: str, home: HomeId) -> None:
        try:
            with convert_item_error("home", home.name):
                await self.homes.remove(home, removal_id)
        except GreenroomError as error:
            attempts = self._attempts.setdefault(removal_id, _Attempts())
            pause_s = BACKOFF.delay_s(attempts.count)
            attempts.count, attempts.next_try_s, attempts.problem = (
                attempts.count + 1,
                time.monotonic() + pause_s,
                error.message,
            )
            log.warning("a home folder could not be removed", home=home.name, reason=error.message, next_try_s=pause_s)
            if attempts.count == 1 and not isinstance(error, HomeInUseError):
                self.log_line(LogCode.HOME_NOT_REMOVED, error.message)
        else:
            self._completed = dict.fromkeys([*self._completed, removal_id][-MAX_HOMES:])
            self._last_report = None  # a report without this home confirms the removal to the Manager
            log.info("removed a home folder", home=home.name, removal_id=removal_id)
        with warn_of_item_error(log, "the home folders cannot be listed", "homes"):
            await self._read_homes()
        self.on_change()


def _report(home: HomeId, facts: _HomeFacts, problem: str) -> HomeReport:
    return HomeReport(
        user_id=home.user_id,
        image_id=home.image_id,
        size_bytes=facts.size_bytes,
        measured=facts.measured,
        last_used=facts.last_used,
        problem=problem,
    )


def _without_sizes(reports: list[HomeReport]) -> set[tuple[str, str, str, str]]:
    return {(report.user_id, report.image_id, report.removal_id, report.problem) for report in reports}
