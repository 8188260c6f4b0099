"""The end of an instance's sessions: their rows first, then their containers and networks."""

from __future__ import annotations

from typing import Final

from greenroom.db.database import Database
from greenroom.db.instance import end_sessions_of, installation_id
from greenroom.up.containers import remove_all
from greenroom.up.endpoints import Endpoints
from greenroom.up.layout import Layout

REASON: Final = "instance stopped"


async def end_sessions(db: Database, layout: Layout, here: Endpoints) -> None:
    """End every session of the instance's Agents, which do not run any more, and remove what it made in Docker.

    Raises:
        GreenroomError: the database or Docker does not answer or refuses.
    """
    installation = await installation_id(db)
    await end_sessions_of(db, here.agent_ids, REASON)
    for agent in here.agents:
        await remove_all(installation, layout.agent(agent.name))
