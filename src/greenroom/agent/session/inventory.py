"""Which containers are there: taken whole at the start and now and then, and looked at singly when something happens.

Only containers with this installation's and this Agent's labels count (the runtime sees to the first). What is found
is adopted: it enters the table of sessions as it is.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from greenroom.agent.app import Health
from greenroom.agent.session.sessions import Sessions
from greenroom.core.session.reconcile import SeenContainer
from greenroom.runtimes.contract import Container, Containers, RuntimeUnavailable

log = structlog.get_logger(__name__)

RETRY_S: Final = 1.0
WHOLE_EVERY_S: Final = 30.0
"""Events may be lost; nothing stays unseen for longer than this."""


def seen_of(container: Container) -> SeenContainer:
    """A container as the plan sees it."""
    return SeenContainer(
        session_id=container.session_id,
        container_id=container.container_id,
        state=container.state,
        spec_hash=container.spec_hash,
        address=container.address,
        exit_code=container.exit_code,
    )


class Inventory:
    """Keeps the table of sessions true to the runtime."""

    def __init__(self, runtime: Containers, sessions: Sessions, agent_id: str, health: Health) -> None:
        self._runtime = runtime
        self._sessions = sessions
        self._agent_id = agent_id
        self._health = health
        self._touched: set[str] = set()
        self.out_of_memory: set[str] = set()
        """Sessions in which something was killed for lack of memory."""
        self.look_at: asyncio.Queue[str] = asyncio.Queue()
        """Sessions to which something happened; the reconciler has them looked at."""
        self.outdated = asyncio.Event()
        """Set when events were lost and the whole inventory has to be taken again."""

    def touch(self, session_id: str) -> None:
        """A worker learned about this session; a whole inventory that is under way may be older."""
        self._touched.add(session_id)

    def forget(self, session_id: str) -> None:
        """A worker removed this session's container."""
        self.touch(session_id)
        self.out_of_memory.discard(session_id)

    async def look(self, session_id: str) -> None:
        """See what there is of one session.

        Raises:
            RuntimeUnavailable: the runtime does not answer.
        """
        container = await self._runtime.inspect(session_id)
        self.touch(session_id)
        if container is not None and container.agent_id != self._agent_id:
            container = None
        self._sessions.observed.saw(session_id, seen_of(container) if container else None)

    async def take(self, busy: frozenset[str] = frozenset()) -> None:
        """Take the whole inventory; sessions in `busy`, or touched meanwhile, are left as they are.

        The first one leaves out only what was touched: nothing else is known of the others yet.

        Raises:
            RuntimeUnavailable: the runtime does not answer.
        """
        self._touched.clear()
        containers = await self._runtime.list()
        own = [seen_of(container) for container in containers if container.agent_id == self._agent_id]
        left_out = self._touched | (busy if self._sessions.observed.is_complete else frozenset[str]())
        self._sessions.observed.saw_all(own, left_out)
        self._health.runtime_error = ""

    async def watch(self) -> None:
        """Note to which sessions something happens, for ever."""
        while True:
            try:
                async for event in self._runtime.events():
                    if event.kind == "oom":
                        self.out_of_memory.add(event.session_id)
                    self.look_at.put_nowait(event.session_id)
                log.info("the runtime's events ended; listening again", pause_s=RETRY_S)
            except RuntimeUnavailable as error:
                self._health.runtime_error = error.message
                log.warning("the runtime's events were lost", reason=error.message, pause_s=RETRY_S)
            await asyncio.sleep(RETRY_S)
            self.outdated.set()
