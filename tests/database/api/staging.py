"""A zone that can stage, a workspace and an Agent, for tests of sessions and staging configs through the api."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from tests.database.api.client import Client
from tests.support import rows

from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter

PATH = "/api/v1/staging-configs"


async def bare_session(db: Database, user_id: str | None = None, agent_id: str | None = None, cores: float = 1) -> str:
    """The row of a running session in the only zone, which reserves nothing."""
    (row,) = await db.write(
        "INSERT INTO sessions (session_id, zone_id, image_id, user_id, agent_id, status, spec, credential_encrypted,"
        " spec_hash, cores, memory) SELECT gen_random_uuid(), zone_id, image_id, %s, %s, 'running', '{}', '', '', %s,"
        " 1000 FROM zones, (SELECT image_id FROM images LIMIT 1) i RETURNING session_id::text",
        (user_id, agent_id, cores),
    )
    return row["session_id"]


@dataclass(frozen=True)
class Stage:
    db: Database
    app: FastAPI
    admin: Client
    zone_id: str
    image_id: str
    image_name: str
    agent_id: str

    @property
    def logs(self) -> LogWriter:
        """The log writer of the api."""
        return self.app.state.logs

    def body(self, **changes: Any) -> dict[str, Any]:
        """The body of a request for a config of two sessions."""
        return {"zone_id": self.zone_id, "image_id": self.image_id, "num_sessions": 2, "expiration": 0.5, **changes}

    async def created(self, **changes: Any) -> dict[str, Any]:
        """A new config, as in the answer."""
        return await self.admin.make(PATH, **self.body(**changes))

    async def config(self, **changes: Any) -> str:
        """The id of a new config."""
        return (await self.created(**changes))["staging_config_id"]

    async def staged(self, config_id: str, number: int, agent_id: str | None = None) -> list[str]:
        """Insert claimable sessions of a config, on the zone's Agent unless another is named; returns their ids."""
        of_today = await rows.config_hash(self.db, config_id)
        return await rows.staged_sessions(self.db, config_id, agent_id or self.agent_id, number, config_hash=of_today)

    async def manager(self) -> None:
        """Insert a running Manager of the zone."""
        await self.db.write(
            "INSERT INTO managers (instance_id, zone_id, last_round) VALUES ('m', %s, clock_timestamp())",
            (self.zone_id,),
        )

    async def launched(self, client: Client, **body: Any) -> str:
        """Launch a session with `client` and let it run; returns its id."""
        session_id = (await client.launch(self.image_id, **body))["session_id"]
        await self.becomes(session_id, "running")
        return session_id

    async def becomes(self, session_id: str, status: str) -> None:
        """Simulate a Manager whose Agent reports this status."""
        await self.db.write(
            "UPDATE sessions SET status = %s, started = coalesce(started, clock_timestamp()) WHERE session_id = %s",
            (status, session_id),
        )

    async def row(self, session_id: str) -> dict[str, Any]:
        (row,) = await self.db.fetch("SELECT * FROM sessions WHERE session_id = %s", (session_id,))
        return row

    async def log(self, code: str) -> list[dict[str, Any]]:
        """The rows of the log, the oldest first."""
        await self.logs.flush()
        return await self.db.fetch("SELECT * FROM logs WHERE code = %s ORDER BY log_id", (code,))

    async def everybody(self, **settings: Any) -> None:
        """Set settings of the group of all users."""
        await self.admin.change(f"/api/v1/groups/{ALL_USERS}", settings=settings)

    async def group(self, user: Client, **settings: Any) -> None:
        """Put a user into a new group that has priority over that of all users."""
        group_id = await rows.group(self.db, name="Students", priority=2, **settings)
        await self.db.write("INSERT INTO user_groups VALUES (%s, %s)", (await user.own_id(), group_id))


@dataclass(frozen=True)
class Session:
    """A running session of the user `ada`."""

    stage: Stage
    ada: Client
    ada_id: str
    session_id: str

    @property
    def path(self) -> str:
        return f"/api/v1/sessions/{self.session_id}"

    @property
    def db(self) -> Database:
        return self.stage.db

    @property
    def admin(self) -> Client:
        return self.stage.admin

    async def becomes(self, status: str) -> None:
        await self.stage.becomes(self.session_id, status)

    async def row(self) -> dict[str, Any]:
        return await self.stage.row(self.session_id)

    async def shown(self, client: Client | None = None) -> dict[str, Any]:
        return await (client or self.ada).read(self.path)

    async def published(self, name: str, **body: Any) -> dict[str, Any]:
        """The answer of a published call about the session."""
        return await self.stage.admin.published(name, kasm_id=self.session_id, user_id=self.ada_id, **body)

    async def published_refusal(self, name: str, **body: Any) -> str:
        asked = {"kasm_id": self.session_id, "user_id": self.ada_id, **body}
        return await self.stage.admin.published_refusal(name, **asked)
