"""Takes and keeps the leadership of the zone, and stops immediately when it is over (docs/explanation/protocols.md §1).

`LeadershipKeeper` owns the leadership connection. The rest of the Manager acts as Primary while `fence()` returns a
proof: from the first renewal after the leadership was taken (TAKE) until an error of this connection, or at the latest
until `trusted_until_s`. `LeadershipWatch` reads the leadership over another connection and ends the connection of a
holder whose leadership is over.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime
from typing import Final, Unpack

import psycopg
import structlog

from greenroom.core.errors import GreenroomError, LeaseLost
from greenroom.core.fleet import leadership as core_leadership
from greenroom.core.fleet.leadership import ActingWindow, Timings
from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogFields, LogWriter
from greenroom.db.fleet.leadership import (
    STATEMENT_TIMEOUT_S,
    Fence,
    LeadershipConnection,
    end_expired_connections,
    leadership_connection,
    read_leadership,
)
from greenroom.db.fleet.managers import ManagerRow
from greenroom.kit.clock import boottime_s
from greenroom.kit.concurrency import convert_item_error, wait_for
from greenroom.kit.config import ManagerConfig
from greenroom.kit.stops import hold_if_armed

log = structlog.get_logger(__name__)

TAKE_PAUSE_S: Final = 0.05
"""Pause after a TAKE that did not obtain the leadership."""
REOPEN_PAUSE_S: Final = 0.05
REOPEN_PAUSE_AFTER_ERROR_S: Final = 0.5
HANG_POLL_S: Final = 1.0
"""Interval at which a Manager that hung checks whether it works again."""


def timings_of(config: ManagerConfig) -> Timings:
    """Return the timings of the leadership in this process."""
    return Timings(
        ttl_s=config.lease_ttl_s,
        renew_s=config.lease_renew_s,
        margin_s=config.lease_margin_s,
        statement_timeout_s=STATEMENT_TIMEOUT_S,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loss:
    """The end of a term without a resignation, which is stored until it is logged."""

    term: int
    reason: str
    time: datetime


@dataclass(eq=False)
class LeadershipKeeper:
    """Takes, renews and resigns the leadership of one zone; one per process.

    `dsn` must be a direct address of the database. `on_taken` (after a TAKE) and `on_elected` (after the first renewal,
    from which on this Manager may act) must return immediately. `hangs` returns True if this Manager does not work
    although the database answers; the Manager then resigns.
    """

    dsn: str
    me: ManagerRow
    _: KW_ONLY
    timings: Timings
    logs: LogWriter
    on_taken: Callable[[], None]
    on_elected: Callable[[], None]
    hangs: Callable[[], bool]

    def __post_init__(self) -> None:
        self._holder = str(uuid.uuid4())
        self._window: ActingWindow | None = None
        self._loss: _Loss | None = None
        self._last_term = 0
        self._seen_term = 0
        self._enabled = False
        self._stopping = False
        self._changed = asyncio.Event()
        self._taken_at_s = boottime_s()

    @property
    def since_takeover_s(self) -> float:
        """Seconds since the last TAKE; before the first TAKE, seconds since the start."""
        return boottime_s() - self._taken_at_s

    def fence(self) -> Fence | None:
        """Return proof of leadership for the writes of one round, or None."""
        window = self._window
        if window is None or not core_leadership.may_act(window, boottime_s()):
            return None
        return Fence(self.me.zone_key, self._holder, window.term)

    def set_enabled(self, enabled: bool) -> None:
        """Enable or disable the Manager; a disabled Manager has no leadership connection."""
        if enabled != self._enabled:
            self._enabled = enabled
            self._changed.set()
        self._log_loss()

    def request_stop(self) -> None:
        """Resign immediately and permanently (SIGTERM)."""
        self._stopping = True
        self._changed.set()

    def record_seen_term(self, term: int) -> None:
        """Record a term that an Agent has seen. If it is higher than the term of this Manager, this Manager raises its
        term (EPOCH of docs/explanation/protocols.md §1)."""
        if term > self._seen_term:
            self._seen_term = term
            if self._window is not None and term > self._window.term:
                self._changed.set()

    async def run(self) -> None:
        """Hold the leadership whenever possible while this Manager is enabled; forever."""
        while True:
            while not self._may_lead():
                await self._wait_for_change(HANG_POLL_S)
            pause_s = REOPEN_PAUSE_S
            try:
                async with leadership_connection(
                    self.dsn, f"greenroom leadership {self.me.instance_id}", self.me.zone_key, self._holder
                ) as connection:
                    await self._lead(connection)
            except LeaseLost as error:
                log.info("the leadership was lost", reason=error.message)
                self._store_loss("its leadership was ended")
            except (psycopg.Error, OSError) as error:
                # Without a term, PostgreSQL is probably away, and further attempts fail, too. A Manager that had a term
                # tries again sooner, because the next attempt may succeed.
                pause_s = REOPEN_PAUSE_AFTER_ERROR_S if self._window is None else REOPEN_PAUSE_S
                reason = str(error).strip().partition("\n")[0]
                log.warning("the leadership connection failed", reason=reason, was_primary=self._window is not None)
                self._store_loss(f"its connection to the database ended: {reason}")
            finally:
                self._window = None
            await asyncio.sleep(pause_s)

    def _may_lead(self) -> bool:
        return self._enabled and not self._stopping and not self.hangs()

    async def _wait_for_change(self, timeout_s: float) -> None:
        """Wait until a request changes the state, at most this long."""
        if await wait_for(self._changed, timeout_s):
            self._changed.clear()

    async def _lead(self, connection: LeadershipConnection) -> None:
        while self._may_lead():
            term = await self._take(connection)
            if term is None:
                continue
            self._last_term = term
            self._taken_at_s = boottime_s()
            self.on_taken()
            await hold_if_armed("leadership.after_take")
            await self._renew_until_lost(connection, term)

    async def _take(self, connection: LeadershipConnection) -> int | None:
        term = await connection.take(self.me.manager_id, self._last_term, self.timings.ttl_s)
        if term is None:
            await self._wait_for_change(TAKE_PAUSE_S)
        return term or None  # 0: another Manager is alive; the caller checks whether this Manager is still enabled

    async def _renew_until_lost(self, connection: LeadershipConnection, term: int) -> None:
        """Renew until the leadership is over. The time in which this Manager may act begins with the first renewal."""
        reason: str | None = None
        while True:
            sent_at_s = boottime_s()
            await hold_if_armed("leadership.before_renew")
            if not await connection.renew(term, self.timings.ttl_s):
                raise LeaseLost(f"term {term} has ended")
            elected = self._window is None
            self._window = core_leadership.window_after_renewal(term, sent_at_s, self.timings)
            if elected:
                self.on_elected()
                reason = reason or core_leadership.election_reason(
                    await connection.complete_takeover(self.me.manager_id)
                )
                sentence = f"became Primary of zone {self.logs.zone_name} with term {term} because {reason}"
                self._write(LogCode.PRIMARY_ELECTED, sentence)
            await self._wait_for_change(core_leadership.next_renewal_in_s(sent_at_s, boottime_s(), self.timings))
            if not self._may_lead():
                await self._resign(connection, term)
            if (raised := core_leadership.raised_term(term, self._seen_term)) is not None:
                reason = f"an Agent had seen term {self._seen_term}, which is higher than its own term {term}"
                term = await self._raise_term(connection, term, raised)

    async def _resign(self, connection: LeadershipConnection, term: int) -> None:
        self._window = None
        reason = "it is being stopped" if self._stopping else "it was disabled" if not self._enabled else "it hangs"
        self._write_resigned(reason)
        await connection.resign(term)
        raise LeaseLost(f"term {term} was resigned")

    async def _raise_term(self, connection: LeadershipConnection, term: int, new_term: int) -> int:
        """Continue with a higher term than an Agent has seen (the database was restored from a backup)."""
        self._window = None
        if not await connection.raise_term(term, new_term):
            raise LeaseLost(f"term {term} has ended")
        self._last_term = new_term
        return new_term

    def _store_loss(self, failure: str) -> None:
        """Store a loss without a resignation. It is logged after the next heartbeat, which shows whether this Manager
        was disabled."""
        if self._window is not None:
            reason = core_leadership.loss_reason(self._window, boottime_s(), failure)
            self._loss = _Loss(term=self._window.term, reason=reason, time=datetime.now(UTC))

    def _log_loss(self) -> None:
        loss, self._loss = self._loss, None
        if loss is None:
            return
        if not self._enabled:  # disabling a Manager also ends its leadership connection
            self._write_resigned("it was disabled", time=loss.time)
        else:
            zone_and_term = f"zone {self.logs.zone_name} with term {loss.term}"
            sentence = f"is no longer Primary of {zone_and_term} because {loss.reason}"
            self._write(LogCode.PRIMARY_LOST, sentence, time=loss.time)

    def _write_resigned(self, reason: str, **fields: Unpack[LogFields]) -> None:
        sentence = f"is no longer Primary of zone {self.logs.zone_name} because {reason}"
        self._write(LogCode.PRIMARY_RESIGNED, sentence, **fields)

    def _write(self, code: LogCode, sentence: str, **fields: Unpack[LogFields]) -> None:
        self.logs.write(code, f"{self.me.instance_id} {sentence}", **fields)


class LeadershipWatch:
    """Reads the leadership when it expires by the database's clock, and after `wake`. Ends the connection of a holder
    whose leadership has expired. The watch does not read while heartbeats report renewals."""

    def __init__(self, db: Database, me: ManagerRow) -> None:
        self._db = db
        self._me = me
        self._enabled = False
        self._woken = asyncio.Event()
        self._due_s = 0.0

    def set_enabled(self, enabled: bool) -> None:
        """Set the flag; only an enabled Manager ends the connections of other holders."""
        self._enabled = enabled

    def wake(self) -> None:
        """Read the leadership now: it changed, or notifications may have been missed."""
        self._due_s = 0.0
        self._woken.set()

    def schedule(self, remaining_s: float) -> None:
        """Schedule the next reading for the expiry that the heartbeat has read."""
        due_s = boottime_s() + _next_read_in_s(remaining_s)
        if due_s < self._due_s:
            self._woken.set()
        self._due_s = due_s

    async def run(self) -> None:
        while True:
            self._woken.clear()
            if (left_s := self._due_s - boottime_s()) > 0:
                await wait_for(self._woken, left_s)
                continue
            try:
                with convert_item_error("leadership"):
                    pause_s = await self._check()
            except GreenroomError as error:
                log.warning("the leadership could not be read", reason=error.message)
                pause_s = core_leadership.RECHECK_S
            if not self._woken.is_set():
                self._due_s = boottime_s() + pause_s

    async def _check(self) -> float:
        if not self._enabled:
            return core_leadership.RECHECK_S
        leadership = await read_leadership(self._db, self._me.zone_key)
        if leadership.remaining_s > 0:
            return _next_read_in_s(leadership.remaining_s)
        if await end_expired_connections(self._db, self._me.zone_key):
            log.info("the connection of an expired leadership was ended")
        return core_leadership.RECHECK_S if leadership.holder is None else core_leadership.EXPIRY_JITTER_S


def _next_read_in_s(remaining_s: float) -> float:
    return core_leadership.next_read_in_s(remaining_s, random.random())  # noqa: S311 -- spreads load
