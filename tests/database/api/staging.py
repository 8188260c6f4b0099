"""A zone that can stage, a workspace and an Agent, for tests of staging configs through the api."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.testing import rows

PATH = "/api/v1/staging-configs"


@dataclass(frozen=True)
class Stage:
    """See the module; `logs` is what the api writes its log with."""

    db: Database
    admin: httpx.AsyncClient
    logs: LogWriter
    zone_id: str
    image_id: str
    image_name: str
    agent_id: str

    def body(self, **changes: Any) -> dict[str, Any]:
        """Of a request for a config of two sessions."""
        return {
            "zone_id": self.zone_id,
            "image_id": self.image_id,
            "num_sessions": 2,
            "expiration": 0.5,
            **changes,
        }

    async def created(self, **changes: Any) -> dict[str, Any]:
        """A new config, as the answer has it."""
        response = await self.admin.post(PATH, json=self.body(**changes))
        assert response.status_code == 201, response.text
        return response.json()

    async def staged(self, config_id: str, number: int, agent_id: str | None = None) -> list[str]:
        """Ids of new claimable sessions of a config, on the zone's Agent unless another is named."""
        of_today = await rows.config_hash(self.db, config_id)
        return await rows.staged_sessions(self.db, config_id, agent_id or self.agent_id, number, config_hash=of_today)

    async def manager(self) -> None:
        """Let the zone have a Manager that runs."""
        await self.db.write(
            "INSERT INTO managers (instance_id, zone_id, last_round) VALUES ('m', %s, clock_timestamp())",
            (self.zone_id,),
        )
