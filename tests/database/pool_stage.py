"""A pool on a real database without its processes: the test is the Primary, and says what the Agent does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.database.primary_here import primary_of

from greenroom.db.database import Database
from greenroom.db.launch.claims import ClaimedSession, LedgerLine, claim
from greenroom.db.session.sessions import end_sessions
from greenroom.manager.tasks.context import PrimaryContext
from greenroom.manager.tasks.pools import run_pools
from greenroom.testing import rows


@dataclass(frozen=True)
class Stage:
    db: Database
    ctx: PrimaryContext
    zone_id: str
    agent_id: str
    image_id: str
    config_id: str

    async def statuses(self) -> dict[str, int]:
        found = await self.db.fetch("SELECT status, count(*) AS number FROM sessions GROUP BY status")
        return {row["status"]: row["number"] for row in found}

    async def config(self) -> dict[str, Any]:
        row = await self.db.fetch_one("SELECT * FROM staging_configs WHERE staging_config_id = %s", (self.config_id,))
        assert row is not None
        return row

    async def agent_does(self) -> None:
        """What the Agent and its Manager make of the rows: starting ones run, deleting ones are gone."""
        await self.db.write(
            "UPDATE sessions SET status = 'running', started = COALESCE(started, clock_timestamp())"
            " WHERE status IN ('requested', 'starting', 'assigning')"
        )
        gone = await self.db.fetch("SELECT session_id::text FROM sessions WHERE status = 'deleting'")
        async with self.db.transaction() as connection:
            await end_sessions(connection, [row["session_id"] for row in gone], "gone")

    async def settle(self) -> None:
        for _ in range(4):
            await run_pools(self.ctx)
            await self.agent_does()

    async def oldest_expires_in(self, seconds: float) -> str:
        """Make the oldest claimable session an hour older, and let it expire so soon; its id."""
        found = await self.db.write(
            "UPDATE sessions SET created = created - interval '1 h', started = started - interval '1 h',"
            " expires = clock_timestamp() + make_interval(secs => %s) WHERE session_id ="
            " (SELECT session_id FROM sessions WHERE claimable ORDER BY created, session_id LIMIT 1)"
            " RETURNING session_id::text",
            (seconds,),
        )
        return found[0]["session_id"]

    async def replaced(self) -> dict[str, str]:
        """Status of each replacement → the session it replaces."""
        found = await self.db.fetch("SELECT status, replaces::text FROM sessions WHERE replaces IS NOT NULL")
        return {row["status"]: row["replaces"] for row in found}

    async def hash(self) -> str:
        return await rows.config_hash(self.db, self.config_id)

    async def claim(self, user_id: str) -> bool:
        wanted = rows.claim(self.config_id, rows.session_user(user_id), config_hash=await self.hash())
        return isinstance(await claim(self.db, wanted, LedgerLine(), max_sessions=99), ClaimedSession)

    async def log_rows(self, code: str) -> list[tuple[str, str]]:
        await self.ctx.logs.flush()
        found = await self.db.fetch("SELECT level, message FROM logs WHERE code = %s ORDER BY log_id", (code,))
        return [(row["level"], row["message"]) for row in found]


async def staged(db: Database, folder: Path) -> Stage:
    """A Primary's context in a zone with one Agent and one config of 3 sessions, nothing of which exists yet."""
    zone_id = await rows.zone(db)
    agent_id = await rows.agent(db, zone_id, cores=20.0, hostname="agent-1")
    image_id = await rows.image(db)
    config_id = await rows.staging_config(db, zone_id, image_id)
    return Stage(db, await primary_of(db, zone_id, folder), zone_id, agent_id, image_id, config_id)
