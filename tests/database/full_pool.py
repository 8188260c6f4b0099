"""A full pool on two Agents without its processes: the test makes claims and plans."""

from __future__ import annotations

from typing import Self

from tests.support import rows
from tests.support.system import System

from greenroom.core.launch.plan import TraceStep
from greenroom.db.database import Database
from greenroom.db.launch.claims import ClaimedSession, LedgerLine, claim

DESIRED = 4
STEP = TraceStep(
    order=1, step="staged_here", zone_name="eu", candidate="pool", used=True, code=None, reason="It was assigned."
)


class FullPool(System):
    """A pool whose sessions remain claimable even if the configuration changes."""

    @classmethod
    async def filled(cls, db: Database) -> Self:
        made = await cls.populate(db, agents=("agent-1", "agent-2"), desired=DESIRED)
        await made.plan()
        await made.become_usable()
        return made

    async def claim(self, user_id: str, *, max_sessions: int = 5) -> ClaimedSession | None:
        """Claim a session like the newest."""
        hashes = await self.db.fetch("SELECT config_hash FROM sessions WHERE claimable ORDER BY created DESC LIMIT 1")
        config_hash = hashes[0]["config_hash"] if hashes else ""
        wanted = rows.claim(self.config_id, rows.session_user(user_id), config_hash=config_hash)
        claimed = await claim(self.db, wanted, LedgerLine(steps=[STEP]), max_sessions=max_sessions)
        return claimed if isinstance(claimed, ClaimedSession) else None
