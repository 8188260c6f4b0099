"""A populated system: zones with Agents and Primaries, a workspace, its users, pools, and an api's launcher.

Nothing runs by itself: a test calls the rounds of the Primaries and simulates the effects of the Agents on the rows.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, LiteralString, Self

from tests.support import rows
from tests.support.managers import SECRETS

from greenroom.api.launch.service import Launcher, LaunchRequest, LaunchResult
from greenroom.core.launch.plan import TraceStep
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.fleet.leadership import Fence
from greenroom.db.launch.claims import ClaimedSession, LedgerLine, claim
from greenroom.db.launch.ledger import launch_of_session
from greenroom.db.session.sessions import end_sessions, request_delete
from greenroom.kit.config import ManagerConfig
from greenroom.manager.tasks.context import PrimaryContext, RoundEvents, TaskFailures, Tasks
from greenroom.manager.tasks.pools import examine_pools
from greenroom.up.invariants import INVARIANTS, find_violations

WITHOUT_MANAGERS = ("I2", "I10")
"""The invariants of leases, which require Managers."""


async def primary_of(db: Database, zone_id: str) -> PrimaryContext:
    """Take leadership of the zone for the duration of the test, in term 7."""
    holder = str(uuid.uuid4())
    (zone,) = await db.write(
        "UPDATE zone_leases l SET holder = %s, term = 7, expires_at = 'infinity' FROM zones z"
        " WHERE z.zone_key = l.zone_key AND z.zone_id = %s RETURNING l.zone_key, z.zone_name",
        (holder, zone_id),
    )
    logs, nowhere = LogWriter(db, "manager", zone["zone_name"]), Path("nothing-is-written-here")
    return PrimaryContext(
        db=db,
        fence=Fence(zone["zone_key"], holder, 7),
        zone_id=zone_id,
        config=ManagerConfig(database_url=db.dsn, secret_key_file=nowhere, manager_dir=nowhere),
        secrets=SECRETS,
        logs=logs,
        events=RoundEvents(db, logs),
        quiet=False,
        tasks=Tasks(TaskFailures(), logs),
    )


@dataclass(frozen=True)
class System:
    db: Database
    primaries: dict[str, PrimaryContext]
    """By name of the zone; launches begin in the first."""
    agents: dict[str, str]
    """Hostname → id."""
    image_id: str
    group_id: str
    user_id: str
    config_ids: dict[str, str]
    """The staging configs of the workspace, by name of the zone."""

    @classmethod
    async def populate(
        cls,
        db: Database,
        *zones: str,
        agents: Sequence[str] = ("agent-1",),
        cores: float = 20.0,
        desired: int | None = None,
        **group_settings: Any,
    ) -> Self:
        """Populate the database. `agents` are those of the first zone; each other zone, such as `us`, has agent-us.

        Args:
            db: has no rows.
            zones: their names; by default `eu`. Each has separate addresses.
            agents: their hostnames.
            cores: the cores of each Agent.
            desired: the desired number of sessions of the pool in each zone, none of which exists yet; None: no pools.
            group_settings: the settings of the group of the user ada.
        """
        image_id = await rows.image(db)
        group_id = await rows.group(db, image_id, **group_settings)
        user_id = await rows.user(db, "ada", group_id)
        primaries, made, config_ids = dict[str, PrimaryContext](), dict[str, str](), dict[str, str]()
        for name in zones or ("eu",):
            own = {"allow_origin_domain": f"{name}.example", "upstream_auth_address": f"{name}:443"}
            zone_id = await rows.zone(db, name, **own if primaries else {})
            for hostname in [f"agent-{name}"] if primaries else agents:
                made[hostname] = await rows.agent(db, zone_id, cores=cores, hostname=hostname)
            if desired is not None:
                config_ids[name] = await rows.staging_config(db, zone_id, image_id, num_sessions=desired)
            primaries[name] = await primary_of(db, zone_id)
        return cls(db, primaries, made, image_id, group_id, user_id, config_ids)

    @property
    def ctx(self) -> PrimaryContext:
        return next(iter(self.primaries.values()))

    @property
    def zone_id(self) -> str:
        return self.ctx.zone_id

    @property
    def agent_id(self) -> str:
        return next(iter(self.agents.values()))

    @property
    def config_id(self) -> str:
        return next(iter(self.config_ids.values()))

    @cached_property
    def logs(self) -> LogWriter:
        """The log writer of the api."""
        return LogWriter(self.db, "api")

    @cached_property
    def launcher(self) -> Launcher:
        return Launcher(self.db, SECRETS, self.logs)

    async def user(self, name: str) -> str:
        """The user of this name in the group; created if there is none."""
        found = await self.db.fetch_one("SELECT user_id::text FROM users WHERE username = %s", (name,))
        return found["user_id"] if found else await rows.user(self.db, name, self.group_id)

    def request(self, **changes: Any) -> LaunchRequest:
        made = LaunchRequest(user_id=self.user_id, image_id=self.image_id, request_host="desk.example:8443")
        return replace(made, **changes)

    async def launch(self, **changes: Any) -> LaunchResult:
        return await self.launcher.launch(self.request(**changes))

    async def claim(self, user_id: str, *, max_sessions: int = 99) -> ClaimedSession | None:
        """Claim a session of the first pool with its current configuration."""
        config_hash = await rows.config_hash(self.db, self.config_id)
        wanted = rows.claim(self.config_id, rows.session_user(user_id), config_hash=config_hash)
        claimed = await claim(self.db, wanted, LedgerLine(), max_sessions=max_sessions)
        return claimed if isinstance(claimed, ClaimedSession) else None

    async def staged(self, number: int = 1, *, agent: str | None = None, **fields: Any) -> list[str]:
        """Insert claimable sessions of the first pool; on the first Agent unless another is named."""
        agent_id = self.agents[agent] if agent else self.agent_id
        return await rows.staged_sessions(self.db, self.config_id, agent_id, number, **fields)

    # Actions of Primaries and Agents ------------------------------------------------------------------------------

    async def plan(self) -> None:
        """Run a round of each Primary over its pools."""
        for primary in self.primaries.values():
            await examine_pools(primary)

    async def become_usable(self) -> None:
        """Let the Agents start new sessions."""
        await self.db.write(
            "UPDATE sessions SET status = 'running', started = COALESCE(started, clock_timestamp())"
            " WHERE status IN ('requested', 'starting')"
        )

    async def agents_do(self) -> None:
        """Apply the effects of the Agents and their Managers: starting sessions run, deleting ones are deleted."""
        await self.become_usable()
        await self.db.write("UPDATE sessions SET status = 'running' WHERE status = 'assigning'")
        gone = await self.db.fetch("SELECT session_id::text FROM sessions WHERE status = 'deleting'")
        async with self.db.transaction() as connection:
            await end_sessions(connection, [row["session_id"] for row in gone], "gone")

    async def settle(self) -> Self:
        for _ in range(4):
            await self.plan()
            await self.agents_do()
        return self

    async def end(self, *session_ids: str) -> None:
        """End these sessions and release their reservations."""
        async with self.db.transaction() as connection:
            for session_id in session_ids:
                await request_delete(connection, session_id, "over")
        async with self.db.transaction() as connection:
            assert len(await end_sessions(connection, session_ids, "over")) == len(session_ids)

    # Present objects ----------------------------------------------------------------------------------------------

    async def row(self, session_id: str) -> dict[str, Any]:
        """The row of a session."""
        return await self.one("SELECT * FROM sessions WHERE session_id = %s", session_id)

    async def one(self, query: LiteralString, *parameters: object) -> dict[str, Any]:
        """The only row of a query."""
        (row,) = await self.db.fetch(query, parameters)
        return row

    async def sessions(self) -> dict[str, dict[str, Any]]:
        """All session rows, by id."""
        return {str(row["session_id"]): row for row in await self.db.fetch("SELECT * FROM sessions")}

    async def statuses(self, *, pooled: bool = False) -> dict[str, int]:
        """The number of sessions of each status; `pooled`: only of those without a user."""
        found = await self.db.fetch(
            "SELECT status, count(*) AS number FROM sessions WHERE user_id IS NULL OR NOT %s GROUP BY status", (pooled,)
        )
        return {row["status"]: row["number"] for row in found}

    async def config(self) -> dict[str, Any]:
        return await self.one("SELECT * FROM staging_configs WHERE staging_config_id = %s", self.config_id)

    async def reserved(self) -> dict[str, tuple[float, int]]:
        """The reserved cores and memory of each Agent, by hostname."""
        found = await self.db.fetch(
            "SELECT hostname, cores_allocated, memory_allocated FROM agent_capacity JOIN agents USING (agent_id)"
        )
        return {row["hostname"]: (row["cores_allocated"], row["memory_allocated"]) for row in found}

    async def steps(self, session_id: str) -> list[TraceStep]:
        """The trace of the launch that led to a session."""
        launch = await launch_of_session(self.db, session_id)
        assert launch is not None
        return list(launch.steps)

    async def trace(self, session_id: object) -> list[tuple[int, str, str, bool, str | None]]:
        """(order, step, zone, used, code) of each step of the trace."""
        return [(s.order, s.step, s.zone_name, s.used, s.code) for s in await self.steps(str(session_id))]

    async def log(self, code: str) -> list[dict[str, Any]]:
        await self.logs.flush()
        await self.ctx.logs.flush()
        return await self.db.fetch("SELECT * FROM logs WHERE code = %s ORDER BY log_id", (code,))

    async def broken(self) -> dict[str, list[str]]:
        """The findings of the doctor: invariant → sentences."""
        asked = [invariant for invariant in INVARIANTS if invariant.code not in WITHOUT_MANAGERS]
        return {invariant.code: what for invariant in asked if (what := await find_violations(self.db, invariant))}
