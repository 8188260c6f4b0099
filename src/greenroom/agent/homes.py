"""The home folders that this Agent keeps: measured one at a time in the background, and removed on order.

No other work waits for this: a report contains the known facts. A measurement is followed by a pause four times as
long. Orders to remove are repeated in every answer of a Manager until they are reported as done. A home that a removal
moved away is found after a restart and removed without an order.
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
from greenroom.kit.concurrency import one_item, wait_for, warned
from greenroom.runtimes.contract import HomeInUseError, Homes, StoredHome
from greenroom.wire.parts import HomeRemoval, HomeReport

log = structlog.get_logger(__name__)

POLL_S: Final = 60.0
PAUSE_FACTOR: Final = 4.0
REPORT_EVERY_S: Final = 600.0
"""Interval at which an unchanged report is repeated. A report of new sizes waits `SIZES_WAIT_S`."""
SIZES_WAIT_S: Final = 30.0
BACKOFF: Final = Backoff(first_s=2.0, max_s=300.0)
"""Pause before a failed removal is tried again."""
MOST: Final = 10_000
"""Maximum number of homes in a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figures:
    """The known facts of a home; times are seconds since the epoch."""

    size_bytes: int | None = None
    measured: float | None = None
    last_used: float | None = None
    problem: str = ""


@dataclass(slots=True)
class _Attempts:
    """The attempts of a removal that did not succeed yet."""

    number: int = 0
    next_s: float = 0.0
    problem: str = ""


@dataclass(eq=False)
class HomesKeeper:
    """Keeps the homes of a host. `on_change` is called when there is a change to report at once; `log_line` with
    messages for an administrator."""

    homes: Homes
    on_change: Callable[[], None] = lambda: None
    log_line: Callable[[LogCode, str], None] = lambda _code, _sentence: None

    def __post_init__(self) -> None:
        self._kept: dict[HomeId, _Figures] | None = None
        self._away: set[StoredHome] = set()
        self._in_use: frozenset[HomeId] = frozenset()
        self._measured: dict[HomeId, HomeMeasurement] = {}
        self._wanted: dict[str, HomeId] = {}
        self._done: dict[str, None] = {}
        """Completed removals, in order: a Manager may repeat one whose end it has not received yet."""
        self._attempts: dict[str, _Attempts] = {}
        self._wake = asyncio.Event()
        self._reading = asyncio.Lock()
        """Of two listings at the same time, the older one could be stored last."""
        self._arrived: list[HomeReport] | None = None
        self._arrived_s = float("-inf")

    # For the check-in -------------------------------------------------------------------------------------------------

    def report(self) -> list[HomeReport] | None:
        """All homes; None before the first look, or if the Manager has them."""
        begun = self._attempts.keys() | {one.removal_id for one in self._away}
        if self._kept is None or self._removals().keys() - begun:
            return None  # a home that was not read yet must not count as removed
        problems = {one: self._attempts[name].problem for name, one in self._wanted.items() if name in self._attempts}
        kept = sorted(self._kept.items(), key=lambda item: item[0])[:MOST]
        reports = [_report(home, known, problems.get(home, known.problem)) for home, known in kept]
        reports += [self._report_removal(one) for one in sorted(self._away, key=lambda one: one.removal_id)]
        return reports if self._is_due(reports) else None

    def _report_removal(self, away: StoredHome) -> HomeReport:
        home, tried = away.home, self._attempts.get(away.removal_id, _Attempts())
        return HomeReport(
            user_id=home.user_id, image_id=home.image_id, removal_id=away.removal_id, problem=tried.problem
        )

    def _is_due(self, reports: list[HomeReport]) -> bool:
        age_s = time.monotonic() - self._arrived_s
        if self._arrived is None or age_s >= REPORT_EVERY_S:
            return True
        if reports == self._arrived:
            return False
        return age_s >= SIZES_WAIT_S or _names(reports) != _names(self._arrived)

    def reported(self, reports: list[HomeReport]) -> None:
        self._arrived, self._arrived_s = reports, time.monotonic()

    def start_again(self) -> None:
        """Report all homes again: the Manager has no report yet."""
        self._arrived = None

    def want_removed(self, removals: list[HomeRemoval]) -> None:
        """Set all homes to remove, as the Manager lists them in each answer."""
        wanted = {one.removal_id: HomeId(one.user_id, one.image_id) for one in removals}
        if wanted.keys() - self._wanted.keys() - self._done.keys():
            self._wake.set()
        self._wanted = wanted

    # The work ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._measure_all(), name="measure homes")
            group.create_task(self._remove_all(), name="remove homes")

    async def _measure_all(self) -> None:
        while True:
            begun = time.monotonic()
            with warned(log, "the home folders cannot be listed", "homes", next_try_s=POLL_S):
                await self._read_homes()
                while (home := self._next()) is not None:
                    await self._measure(home)
            await asyncio.sleep(max(1.0, POLL_S - (time.monotonic() - begun)))

    def _next(self) -> HomeId | None:
        return next_to_measure(self._kept or {}, self._in_use, self._measured, time.monotonic())

    async def _read_homes(self) -> None:
        """Read the homes. Raises GreenroomError: the homes, or their users, cannot be listed."""
        async with self._reading:
            self._keep(frozenset(await self.homes.in_use()), await self.homes.list())

    def _keep(self, in_use: frozenset[HomeId], found: list[StoredHome]) -> None:
        before = self._kept or {}
        now = time.time()
        kept = {one.home: before.get(one.home, _Figures()) for one in found if not one.removal_id}
        for home in kept.keys() & (in_use | self._in_use):
            kept[home] = replace(kept[home], last_used=now)
        changed = kept.keys() != before.keys()
        used = in_use | self._in_use
        self._measured = {
            home: replace(last, used_since=last.used_since or home in used)
            for home, last in self._measured.items()
            if home in kept
        }
        self._kept, self._in_use = kept, in_use
        away = {one for one in found if one.removal_id}
        if away != self._away:
            self._away = away
            self._wake.set()
            changed = True
        if changed:
            self.on_change()

    async def _measure(self, home: HomeId) -> None:
        begun = time.monotonic()
        self._measured[home] = HomeMeasurement(at_s=begun)
        problem, size = "", None
        try:
            with one_item("home", home.name):
                size = await self.homes.measure(home)
        except GreenroomError as error:
            problem = error.message
        took_s = time.monotonic() - begun
        if self._kept is not None and home in self._kept:
            known, now = self._kept[home], time.time()
            if size is not None:
                known = replace(known, size_bytes=size.size_bytes, measured=now)
                known = replace(known, last_used=min(now, max(known.last_used or 0.0, size.changed or 0.0)) or None)
            self._kept[home] = replace(known, problem=problem)
        if problem:
            log.warning("a home folder could not be measured", home=home.name, reason=problem)
        await asyncio.sleep(PAUSE_FACTOR * took_s)

    # Removals ---------------------------------------------------------------------------------------------------------

    def _removals(self) -> Mapping[str, HomeId]:
        """The removals to do: those that were ordered, and homes that an earlier order moved away."""
        away = {one.removal_id: one.home for one in self._away}
        return {name: home for name, home in {**away, **self._wanted}.items() if name not in self._done}

    async def _remove_all(self) -> None:
        while True:
            await wait_for(self._wake, self._pause_s())
            self._wake.clear()
            for removal_id, home in self._removals().items():
                if self._attempts.get(removal_id, _Attempts()).next_s <= time.monotonic():
                    await self._remove(removal_id, home)
            pending = self._removals()
            self._attempts = {name: tried for name, tried in self._attempts.items() if name in pending}

    def _pause_s(self) -> float:
        now = time.monotonic()
        due = [self._attempts[name].next_s - now for name in self._removals() if name in self._attempts]
        return max(0.1, min([POLL_S, *due]))

    async def _remove(self, removal_id: str, home: HomeId) -> None:
        try:
            with one_item("home", home.name):
                await self.homes.remove(home, removal_id)
        except GreenroomError as error:
            tried = self._attempts.setdefault(removal_id, _Attempts())
            pause_s = BACKOFF.delay_s(tried.number)
            tried.number, tried.next_s, tried.problem = tried.number + 1, time.monotonic() + pause_s, error.message
            log.warning("a home folder could not be removed", home=home.name, reason=error.message, next_try_s=pause_s)
            if tried.number == 1 and not isinstance(error, HomeInUseError):
                self.log_line(LogCode.HOME_NOT_REMOVED, error.message)
        else:
            self._done = dict.fromkeys([*self._done, removal_id][-MOST:])
            self._arrived = None  # the Manager waits for a report without this home, also if no report ever had it
            log.info("removed a home folder", home=home.name, removal_id=removal_id)
        with warned(log, "the home folders cannot be listed", "homes"):
            await self._read_homes()
        self.on_change()


def _report(home: HomeId, known: _Figures, problem: str) -> HomeReport:
    return HomeReport(
        user_id=home.user_id,
        image_id=home.image_id,
        size_bytes=known.size_bytes,
        measured=known.measured,
        last_used=known.last_used,
        problem=problem,
    )


def _names(reports: list[HomeReport]) -> set[tuple[str, str, str, str]]:
    return {(one.user_id, one.image_id, one.removal_id, one.problem) for one in reports}
