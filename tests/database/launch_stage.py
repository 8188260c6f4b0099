"""A Launcher on a real database, with one zone, Agent, workspace and user."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from greenroom.api.launch.service import Launcher, LaunchRequest, LaunchResult
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.launch.ledger import launch_of_session
from greenroom.kit.secrets import Secrets
from greenroom.testing import rows

SECRETS = Secrets(b"k" * 32)


@dataclass(frozen=True)
class Stage:
    db: Database
    launcher: Launcher
    logs: LogWriter
    zone_id: str
    agent_id: str
    image_id: str
    group_id: str
    user_id: str

    def request(self, **changes: Any) -> LaunchRequest:
        made = LaunchRequest(user_id=self.user_id, image_id=self.image_id, request_host="desk.example:8443")
        return replace(made, **changes)

    async def launch(self, **changes: Any) -> LaunchResult:
        return await self.launcher.launch(self.request(**changes))

    async def setting(self, **settings: Any) -> None:
        group_id = await rows.group(self.db, name="Students", priority=5, **settings)
        await self.db.write("INSERT INTO user_groups VALUES (%s, %s)", (self.user_id, group_id))

    async def pool(self, number: int = 1, *, zone_id: str | None = None, agent_id: str | None = None) -> str:
        zone_id = zone_id or self.zone_id
        config_id = await rows.staging_config(self.db, zone_id, self.image_id)
        of_today = await rows.config_hash(self.db, config_id)
        await rows.staged_sessions(self.db, config_id, agent_id or self.agent_id, number, config_hash=of_today)
        return config_id

    async def steps(self, session_id: str) -> list[tuple[int, str, str, bool, str | None]]:
        launch = await launch_of_session(self.db, session_id)
        assert launch is not None
        return [(s.order, s.step, s.zone_name, s.used, s.code) for s in launch.steps]

    async def rows_of_log(self, code: str) -> list[dict[str, Any]]:
        await self.logs.flush()
        return await self.db.fetch("SELECT * FROM logs WHERE code = %s ORDER BY log_id", (code,))


async def stage_on(db: Database) -> Stage:
    zone_id = await rows.zone(db)
    agent_id = await rows.agent(db, zone_id, cores=10.0, hostname="agent-1")
    image_id = await rows.image(db)
    group_id = await rows.group(db, image_id)
    user_id = await rows.user(db, "ada", group_id)
    logs = LogWriter(db, "api")
    return Stage(db, Launcher(db, SECRETS, logs), logs, zone_id, agent_id, image_id, group_id, user_id)
