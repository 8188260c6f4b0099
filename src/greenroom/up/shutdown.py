"""The end of an instance's sessions: their rows first, then their containers and networks."""

from __future__ import annotations

from typing import Final

import structlog

from greenroom.core.errors import Unavailable
from greenroom.db.database import Database
from greenroom.db.instance import end_sessions_of
from greenroom.up.containers import remove_all, runtime_of
from greenroom.up.endpoints import Endpoints
from greenroom.up.layout import Layout

log = structlog.get_logger(__name__)

REASON: Final = "instance stopped"


async def end_sessions(db: Database, layout: Layout, here: Endpoints) -> None:
    """End every session of the instance's Agents, which do not run any more, and remove what it made in Docker.

    Without its database the containers go all the same; the next `up` finds the rows without them. An instance whose
    first start did not come to its installation id never had an Agent, so there is nothing of it.

    Raises:
        GreenroomError: Docker does not answer or refuses.
    """
    if not layout.installation_id.exists():
        return
    try:
        await end_sessions_of(db, here.agent_ids, REASON)
    except Unavailable as error:
        log.warning("the sessions' rows stay as they are", reason=error.message)
    for agent in here.agents:
        await remove_all(runtime_of(layout), layout.installation_id.read_text().strip(), layout.agent(agent.name))
