"""What is written with the session of a launch: its line in the ledger, within the user's limit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from greenroom.core.launch.eviction import Room
from greenroom.core.launch.plan import PoolContents, TraceStep
from greenroom.db.database import Database
from greenroom.db.launch import claims
from greenroom.db.launch.claims import Claim, ClaimedSession, LedgerLine
from greenroom.db.launch.on_demand import insert_for_user
from greenroom.db.session.sessions import NewSession
from greenroom.kit.stops import hold, stop


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchWriter:
    """A `Writer` for one launch that began at `begin_s` (perf_counter).

    Its methods raise SessionLimit (`max_sessions` is reached), RepeatedRequest (the idempotency key was used by another
    request meanwhile) and IdempotencyMismatch (it was used for a different one).
    """

    db: Database
    max_sessions: int
    current_zone_id: str
    request_host: str
    begin_s: float

    async def claim(self, claim: Claim, zone_id: str, steps: Sequence[TraceStep]) -> ClaimedSession | PoolContents:
        del zone_id
        claimed = await claims.claim(
            self.db,
            claim,
            self._line(steps),
            max_sessions=self.max_sessions,
            after_user_lock=hold("claim.after_user_lock"),
        )
        if isinstance(claimed, ClaimedSession):
            await stop("claim.after_commit")
        return claimed

    async def insert(self, new: NewSession, room: Room, steps: Sequence[TraceStep]) -> bool:
        """Raises ProfileInUse, too: another session has the user's profile of this workspace as its home."""
        await stop("launch.before_insert")
        placed = await insert_for_user(
            self.db,
            new,
            self._line(steps),
            max_sessions=self.max_sessions,
            yielding=[session.session_id for session in room.yielding],
        )
        if placed:
            await stop("launch.after_insert")
        return placed

    def _line(self, steps: Sequence[TraceStep]) -> LedgerLine:
        return LedgerLine(
            steps=steps,
            duration_ms=(time.perf_counter() - self.begin_s) * 1000,
            current_zone_id=self.current_zone_id,
            request_host=self.request_host,
        )
