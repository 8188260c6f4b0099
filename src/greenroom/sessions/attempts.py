"""Try the attempts of a plan (`core.launch.plan`) one after the other, until one gives the user a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from greenroom.core.errors import GreenroomError
from greenroom.core.launch.plan import Attempt, Miss, TraceStep, missed_steps
from greenroom.db.database import Database
from greenroom.kit.secrets import Secrets
from greenroom.sessions.claim import claim_staged
from greenroom.sessions.place import place_session
from greenroom.sessions.wanted import Misses, PlacedSession, WantedSession, Writer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PassedOver:
    """An attempt that gave nothing, and why."""

    attempt: Attempt
    misses: Misses


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search for a user's session; its results so far remain after an error."""

    db: Database
    secrets: Secrets
    wanted: WantedSession
    writer: Writer
    survives: tuple[type[GreenroomError], ...] = ()
    """Errors of an attempt after which the next one is tried."""
    passed: list[PassedOver] = field(default_factory=list[PassedOver])

    @property
    def trace(self) -> list[TraceStep]:
        return [step for one in self.passed for step in missed_steps(one.attempt, one.misses)]

    async def run(self, attempts: Sequence[Attempt]) -> PlacedSession | None:
        for attempt in attempts:
            found = attempt.misses or await self._try(attempt)
            if isinstance(found, PlacedSession):
                return found
            self.passed.append(PassedOver(attempt, found))
        return None

    async def _try(self, attempt: Attempt) -> PlacedSession | Misses:
        try:
            if attempt.staged:
                return await claim_staged(self.wanted, self.writer, attempt, trace=self.trace)
            return await place_session(self.db, self.secrets, self.wanted, self.writer, attempt, trace=self.trace)
        except self.survives as error:
            log.error("an attempt failed", user_id=self.wanted.user.user_id, reason=error.message)
            return (Miss(error.code, error.message),)
