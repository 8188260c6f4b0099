"""The inventory of the containers of this Agent. All containers are listed at the start and at intervals. After an
event, one container is inspected.

The runtime lists only containers with the labels of this installation. The table of sessions (`Sessions`) stores only
those of this Agent.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from greenroom.agent.app import AgentHealth
from greenroom.agent.session.sessions import Sessions
from greenroom.core.errors import GreenroomError
from greenroom.kit.concurrency import convert_item_error, warn_of_item_error
from greenroom.runtimes.contract import Containers

log = structlog.get_logger(__name__)

RETRY_S: Final = 1.0
INVENTORY_INTERVAL_S: Final = 30.0
"""The interval of complete inventories, which detect a change whose event was lost."""


class Inventory:
    """Updates the table of sessions from the runtime."""

    def __init__(self, runtime: Containers, sessions: Sessions, agent_id: str, health: AgentHealth) -> None:
        self._runtime = runtime
        self._sessions = sessions
        self._agent_id = agent_id
        self._health = health
        self._changed_ids: set[str] = set()
        self.out_of_memory: set[str] = set()
        """The sessions in which the kernel killed a process because the container ran out of memory."""
        self.to_inspect: asyncio.Queue[str] = asyncio.Queue()
        """The sessions with an event, which the reconciler inspects."""
        self.outdated = asyncio.Event()
        """Set after events were lost, so that a complete inventory is taken."""

    def mark_changed(self, session_id: str) -> None:
        """Record that this session has newer facts than an inventory that is being taken."""
        self._changed_ids.add(session_id)

    def forget(self, session_id: str) -> None:
        self.mark_changed(session_id)
        self.out_of_memory.discard(session_id)

    async def inspect(self, session_id: str) -> None:
        """Inspect a session's container. Raises RuntimeUnavailable: the runtime does not answer."""
        container = await self._runtime.inspect(session_id)
        self.mark_changed(session_id)
        if container is not None and container.agent_id != self._agent_id:
            container = None
        self._sessions.observed.store_container(session_id, container)

    async def try_inspect(self, session_id: str) -> None:
        """Call `inspect`. A failure is logged, and the next inventory inspects again."""
        with warn_of_item_error(log, "a container cannot be inspected", "session", session_id, session_id=session_id):
            await self.inspect(session_id)

    async def take(self, busy: frozenset[str] = frozenset()) -> None:
        """Take the whole inventory. Sessions with a worker (`busy`) and sessions that change in the meantime keep their
        state. The first inventory includes `busy` sessions, because their state is not known yet. Raises
        RuntimeUnavailable: the runtime does not answer."""
        self._changed_ids.clear()
        containers = await self._runtime.list()
        own_containers = [container for container in containers if container.agent_id == self._agent_id]
        skipped = self._changed_ids | (busy if self._sessions.observed.is_complete else frozenset[str]())
        self._sessions.observed.store_inventory(own_containers, skipped)
        self._health.runtime_error = ""

    async def watch(self) -> None:
        while True:
            try:
                with convert_item_error("events"):
                    async for event in self._runtime.events():
                        if event.kind == "oom":
                            self.out_of_memory.add(event.session_id)
                        self.to_inspect.put_nowait(event.session_id)
                log.info("the runtime's events ended; listening again", pause_s=RETRY_S)
            except GreenroomError as error:
                self._health.runtime_error = error.message
                log.warning("the runtime's events were lost", reason=error.message, pause_s=RETRY_S)
            await asyncio.sleep(RETRY_S)
            self.outdated.set()
