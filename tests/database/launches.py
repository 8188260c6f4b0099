"""Launches with staged sessions that the test inserts."""

from __future__ import annotations

from typing import Any

from tests.support import rows
from tests.support.system import System


class Launches(System):
    async def setting(self, **settings: Any) -> None:
        """Set a setting in a group of the user that has priority over the others."""
        group_id = await rows.group(self.db, name="Students", priority=5, **settings)
        await self.db.write("INSERT INTO user_groups VALUES (%s, %s)", (self.user_id, group_id))

    async def pool(self, number: int = 1, *, zone_id: str | None = None, agent_id: str | None = None) -> str:
        """Insert a staging config with this number of claimable sessions; returns its id."""
        config_id = await rows.staging_config(self.db, zone_id or self.zone_id, self.image_id)
        of_today = await rows.config_hash(self.db, config_id)
        await rows.staged_sessions(self.db, config_id, agent_id or self.agent_id, number, config_hash=of_today)
        return config_id
