"""What is written of a launch: its line in the ledger, with its session or without, within the user's limit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from greenroom.core.launch.eviction import Room
from greenroom.core.launch.plan import PoolContents, TraceStep
from greenroom.core.launch.request import Launch
from greenroom.db.database import Database
from greenroom.db.launch import claims
from greenroom.db.launch.claims import Claim, ClaimedSession, LedgerLine
from greenroom.db.launch.ledger import FAILED_LAUNCHES, FailedLaunch
from greenroom.db.launch.on_demand import insert_for_user
from greenroom.db.session.sessions import NewSession
from greenroom.kit.stops import hold, stop


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchWriter:
    """A `Writer` for one launch that began at `begin_s` (perf_counter).

    `claim` and `insert` raise SessionLimit or LeaseLimit (the user's limit is reached), RepeatedRequest (the
    idempotency key was used by another request meanwhile) and IdempotencyMismatch (it was used for a different one).
    """

    db: Database
    launch: Launch
    begin_s: float

    async def claim(self, claim: Claim, zone_id: str, steps: Sequence[TraceStep]) -> ClaimedSession | PoolContents:
        del zone_id
        claimed = await claims.claim(
            self.db,
            claim,
            self._line(steps),
            max_sessions=self.launch.max_sessions,
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
            max_sessions=self.launch.max_sessions,
            yielding=room.yielding,
        )
        if placed:
            await stop("launch.after_insert")
        return placed

    async def record_failure(self, steps: Sequence[TraceStep]) -> None:
        """Nothing could serve it."""
        failed = FailedLaunch(
            launch_id=self.launch.launch_id,
            user_id=self.launch.request.user_id,
            image_id=self.launch.image.image_id,
            steps=steps,
            duration_ms=self.duration_s() * 1000,
        )
        await self.db.write(FAILED_LAUNCHES, {"rows": Jsonb([failed])})

    def duration_s(self) -> float:
        return time.perf_counter() - self.begin_s

    def _line(self, steps: Sequence[TraceStep]) -> LedgerLine:
        return LedgerLine(
            steps=steps,
            duration_ms=self.duration_s() * 1000,
            current_zone_id=self.launch.current_zone_id,
            request_host=self.launch.request.request_host,
        )
