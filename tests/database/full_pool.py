"""A full pool on two Agents without its processes: claims and plans are made by the test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from psycopg.rows import DictRow
from tests.database.primary_here import primary_of

from greenroom.core.launch.plan import TraceStep
from greenroom.db.database import Database
from greenroom.db.diagnostics.invariants import INVARIANTS, broken
from greenroom.db.launch.claims import ClaimedSession, LedgerLine, claim
from greenroom.manager.tasks.context import PrimaryContext
from greenroom.manager.tasks.pools import run_pools
from greenroom.testing import rows

DESIRED = 4
STEP = TraceStep(
    order=1, step="staged_here", zone_name="eu", candidate="pool", used=True, code=None, reason="It was assigned."
)


@dataclass(frozen=True)
class Stage:
    """A full pool on two Agents."""

    db: Database
    ctx: PrimaryContext
    agents: tuple[str, str]
    image_id: str
    group_id: str
    config_id: str

    async def user(self, name: str) -> str:
        return await rows.user(self.db, name, self.group_id)

    async def become_usable(self) -> None:
        """What the Agents make of new rows."""
        await self.db.write(
            "UPDATE sessions SET status = 'running', started = clock_timestamp()"
            " WHERE status IN ('requested', 'starting')"
        )

    async def claim(self, user_id: str, *, max_sessions: int = 5) -> ClaimedSession | None:
        hashes = await self.db.fetch("SELECT config_hash FROM sessions WHERE claimable ORDER BY created DESC LIMIT 1")
        config_hash = hashes[0]["config_hash"] if hashes else ""
        wanted = rows.claim(self.config_id, rows.session_user(user_id), config_hash=config_hash)
        claimed = await claim(self.db, wanted, LedgerLine(steps=[STEP]), max_sessions=max_sessions)
        return claimed if isinstance(claimed, ClaimedSession) else None

    async def rows(self) -> dict[str, DictRow]:
        found = await self.db.fetch("SELECT * FROM sessions")
        return {str(row["session_id"]): row for row in found}

    async def nothing_is_broken(self) -> None:
        """What the doctor asks the database; leases need Managers, which are not here."""
        asked = [i for i in INVARIANTS if i.code not in ("I2", "I10")]
        assert {i.code: what for i in asked if (what := await broken(self.db, i))} == {}


async def filled(db: Database, folder: Path) -> Stage:
    """Its sessions can be claimed."""
    zone_id = await rows.zone(db)
    first, second = [await rows.agent(db, zone_id, cores=20.0, hostname=name) for name in ("agent-1", "agent-2")]
    image_id = await rows.image(db)
    group_id = await rows.group(db, image_id)
    config_id = await rows.staging_config(db, zone_id, image_id, num_sessions=DESIRED)
    stage = Stage(db, await primary_of(db, zone_id, folder), (first, second), image_id, group_id, config_id)
    await run_pools(stage.ctx)
    await stage.become_usable()
    return stage
