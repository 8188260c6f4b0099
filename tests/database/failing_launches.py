"""Launches that fail after they were answered: zones with Primaries, filled pools and a user who launches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.database.primary_here import SECRETS, primary_of

from greenroom.api.launch.service import Launcher, LaunchRequest, LaunchResult
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.launch.ledger import launch_of_session
from greenroom.manager.tasks.context import PrimaryContext
from greenroom.manager.tasks.pools import run_pools
from greenroom.manager.tasks.replacement import run_successors
from greenroom.testing import rows


@dataclass(frozen=True)
class Stage:
    db: Database
    primaries: dict[str, PrimaryContext]
    launcher: Launcher
    image_id: str
    user_id: str

    @property
    def ctx(self) -> PrimaryContext:
        """That of the first zone, where launches begin."""
        return next(iter(self.primaries.values()))

    async def fill(self) -> None:
        for primary in self.primaries.values():
            await run_pools(primary)
        await self.db.write(
            "UPDATE sessions SET status = 'running', started = clock_timestamp() WHERE status = 'requested'"
        )

    async def launch(self) -> LaunchResult:
        """A staged session for the user."""
        result = await self.launcher.launch(
            LaunchRequest(user_id=self.user_id, image_id=self.image_id, request_host="x", idempotency_key="k")
        )
        assert result.staged
        return result

    async def launch_on_demand(self) -> str:
        """A session made for the user, whose start is under way; its id."""
        await self.db.write("UPDATE staging_configs SET deleted = clock_timestamp()")
        request = LaunchRequest(user_id=self.user_id, image_id=self.image_id, request_host="x", idempotency_key="k")
        result = await self.launcher.launch(request)
        assert not result.staged
        await self.db.write("UPDATE sessions SET status = 'starting' WHERE session_id = %s", (result.session_id,))
        return result.session_id

    async def start_fails(
        self, session_id: str, cause: str = "The container ended by itself with exit code 3."
    ) -> None:
        """What a Manager does when the Agent reports it."""
        await self.db.write(
            "UPDATE sessions SET status = 'failed', error = %s, log_tail = 'last words' WHERE session_id = %s",
            (cause, session_id),
        )
        await run_successors(self.ctx)

    async def hostname_of(self, session_id: str) -> str:
        query = "SELECT a.hostname FROM sessions JOIN agents a USING (agent_id) WHERE session_id = %s"
        found = await self.db.fetch_one(query, (session_id,))
        assert found is not None
        return found["hostname"]

    async def steps(self, session_id: str) -> list[tuple[int, str | None, bool, str | None]]:
        launch = await launch_of_session(self.db, session_id)
        assert launch is not None
        return [(step.order, step.candidate, step.used, step.code) for step in launch.steps]

    async def reserved(self) -> dict[str, float]:
        rows_ = await self.db.fetch("SELECT hostname, cores_allocated FROM agent_capacity JOIN agents USING (agent_id)")
        return {row["hostname"]: row["cores_allocated"] for row in rows_}

    async def successor_of(self, session_id: str) -> dict[str, Any]:
        """The row that took its place."""
        return await self.row(str((await self.row(session_id))["superseded_by"]))

    async def fails(self, session_id: str) -> None:
        """Its hand-over; nobody has looked for another one yet."""
        await self.db.write(
            "UPDATE sessions SET status = 'failed', error = 'assign ended with 1', set_aside_reason = 'assign ended"
            " with 1' WHERE session_id = %s",
            (session_id,),
        )

    async def row(self, session_id: str) -> dict[str, Any]:
        found = await self.db.fetch_one("SELECT * FROM sessions WHERE session_id = %s", (session_id,))
        assert found is not None
        return found


async def staged_in(db: Database, tmp_path: Path, *zone_names: str) -> Stage:
    """Zones in which a Primary has filled a pool of two; the first has two Agents, each other one.

    They are called agent-1 and agent-2 in the first zone, agent-us in zone us.
    """
    image_id = await rows.image(db)
    user_id = await rows.user(db, "ada", await rows.group(db, image_id))
    primaries: dict[str, PrimaryContext] = {}
    for name in zone_names:
        zone_id = await rows.zone(db, name, allow_origin_domain=f"{name}.example", upstream_auth_address=f"{name}:443")
        for agent in [f"agent-{name}"] if primaries else ["agent-1", "agent-2"]:
            await rows.agent(db, zone_id, cores=20.0, hostname=agent)
        await rows.staging_config(db, zone_id, image_id, num_sessions=2)
        primaries[name] = await primary_of(db, zone_id, tmp_path)
    stage = Stage(db, primaries, Launcher(db, SECRETS, LogWriter(db, "api")), image_id, user_id)
    await stage.fill()
    return stage
