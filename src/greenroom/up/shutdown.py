"""The end of an instance's sessions: their rows first, then their containers and networks."""

from __future__ import annotations

from typing import Final

import structlog

from greenroom.core.errors import GreenroomError, SetupError, Unavailable
from greenroom.db.database import Database
from greenroom.db.installation import end_sessions_of
from greenroom.up.docker import remove_all, runtime_of
from greenroom.up.endpoints import Endpoints
from greenroom.up.layout import Layout

log = structlog.get_logger(__name__)

REASON: Final = "instance stopped"


async def end_sessions(db: Database, layout: Layout, here: Endpoints) -> None:
    """End every session of the instance's Agents, which have stopped, and remove what it made in Docker.

    Without its database the containers are removed all the same; the next `up` corrects the rows. An instance without
    an installation id never had an Agent, so nothing of it exists.

    Raises:
        SetupError: Docker does not answer or refuses; says what is left, and how it is removed.
    """
    if not layout.installation_id.exists():
        return
    try:
        await end_sessions_of(db, here.agent_ids, REASON)
    except Unavailable as error:
        log.warning("the sessions' rows stay as they are", reason=error.message)
    installation = layout.installation_id.read_text().strip()
    try:
        for agent in here.agents:
            await remove_all(runtime_of(layout), installation, layout.agent(agent.name))
    except GreenroomError as error:
        raise SetupError(left_behind(layout, error.message)) from error


def left_behind(layout: Layout, reason: str) -> str:
    """What an ended instance leaves if its containers could not be removed, and what to do."""
    return (
        "The instance has ended, but what it made in Docker is left: the containers of its sessions, their network and"
        f" its firewall rules. {reason} When Docker answers again, greenroom down --data {layout.data} removes them."
    )
