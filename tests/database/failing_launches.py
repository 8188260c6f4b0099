"""Launches that fail after they were answered: filled pools, a user who launches, and the reports of their Agents."""

from __future__ import annotations

from typing import Any, Self

from tests.support.system import System

from greenroom.api.launch.service import LaunchResult
from greenroom.db.database import Database
from greenroom.manager.tasks.replacement import run_replacements


class Failing(System):
    """A pool of two in each zone; the first zone has two Agents."""

    @classmethod
    async def filled(cls, db: Database, *zones: str) -> Self:
        made = await cls.populate(db, *zones, agents=("agent-1", "agent-2"), desired=2)
        await made.fill()
        return made

    async def fill(self) -> None:
        await self.plan()
        await self.become_usable()

    async def launch(self, **changes: Any) -> LaunchResult:
        """Launch a session; repeated calls return the same one."""
        return await super().launch(idempotency_key="k", **changes)

    async def launch_on_demand(self) -> str:
        """Launch a starting session on demand for the user; returns its id."""
        await self.db.write("UPDATE staging_configs SET deleted = clock_timestamp()")
        result = await self.launch()
        assert not result.staged
        await self.db.write("UPDATE sessions SET status = 'starting' WHERE session_id = %s", (result.session_id,))
        return result.session_id

    async def start_fails(
        self, session_id: str, cause: str = "The container ended by itself with exit code 3."
    ) -> None:
        """Simulate a Manager whose Agent reports a failed start."""
        await self.db.write(
            "UPDATE sessions SET status = 'failed', error = %s, log_tail = 'last words' WHERE session_id = %s",
            (cause, session_id),
        )
        await run_replacements(self.ctx)

    async def fails(self, session_id: str) -> None:
        """Let the hand-over fail; no Primary has looked for another session yet."""
        await self.db.write(
            "UPDATE sessions SET status = 'failed', error = 'assign ended with 1', set_aside_reason = 'assign ended"
            " with 1' WHERE session_id = %s",
            (session_id,),
        )

    async def successor_of(self, session_id: str) -> dict[str, Any]:
        """The row of the successor."""
        return await self.row(str((await self.row(session_id))["superseded_by"]))

    async def hostname_of(self, session_id: str) -> str:
        agent_id = str((await self.row(session_id))["agent_id"])
        return next(hostname for hostname, its_id in self.agents.items() if its_id == agent_id)
