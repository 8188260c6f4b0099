"""The end of an instance's sessions: their rows first, then their containers and networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from greenroom.core.errors import Unavailable
from greenroom.db.database import Database
from greenroom.db.instance import end_sessions_of, installation_id
from greenroom.up.containers import docker, remove_all

log = structlog.get_logger(__name__)

REASON: Final = "instance stopped"


async def end_sessions(db: Database, agent_ids: Sequence[str]) -> int:
    """End every session of these Agents, which do not run any more; returns how many containers were removed.

    Raises:
        SetupError: Docker does not answer or refuses.
    """
    try:
        installation = await installation_id(db)
        await end_sessions_of(db, agent_ids, REASON)
    except Unavailable as error:
        log.warning("sessions could not be ended in the database", reason=error.message)
        raise
    async with docker() as client:
        return await remove_all(client, installation)
