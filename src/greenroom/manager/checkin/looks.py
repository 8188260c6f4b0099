"""Reads what check-ins depend on: one statement for all that ask at the same moment (ADR 41).

What is asked for while a reading is under way is read with the next one, so that no answer is older than its question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from greenroom.db.database import Database
from greenroom.db.fleet.checkin import Reading, read_states
from greenroom.kit.concurrency import wait_for

PAUSE_S: Final = 0.005
"""Between two statements, so that many Agents are many in a statement, not many statements."""
GATHERED_S: Final = 0.1
"""How long what no request waits for is gathered; what is asked for in a hurry takes it along."""
MOST: Final = 500
"""Agents in a statement, which has to end within the time limit of statements on a busy machine too."""

_Asked = tuple[str, asyncio.Future[Reading | None]]


class Looks:
    """The one reader of a Manager."""

    def __init__(self, db: Database, manager_id: str) -> None:
        self._db = db
        self._manager_id = manager_id
        self._asked: list[_Asked] = []
        self._unhurried: list[_Asked] = []
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def look(self, agent_id: str, *, hurry: bool = True) -> Reading | None:
        """A reading that began after this was called and has the Agent, if it exists; None: the Manager's record is
        gone.

        Raises:
            Unavailable: the database cannot be reached.
        """
        answer: asyncio.Future[Reading | None] = asyncio.get_running_loop().create_future()
        if hurry:
            self._asked.append((agent_id, answer))
            self._hurry.set()
        else:
            self._unhurried.append((agent_id, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="looks")
        return await answer

    async def _run(self) -> None:
        try:
            while self._asked or self._unhurried:
                await self._gather()
                asked, self._asked = self._asked[:MOST], self._asked[MOST:]
                room = MOST - len(asked)
                asked += self._unhurried[:room]
                del self._unhurried[:room]
                await self._answer(asked)
                await asyncio.sleep(PAUSE_S)
        finally:
            self._task = None

    async def _gather(self) -> None:
        if not self._asked and len(self._unhurried) < MOST:
            self._hurry.clear()
            await wait_for(self._hurry, GATHERED_S)

    async def _answer(self, asked: Sequence[_Asked]) -> None:
        try:
            reading = await read_states(self._db, list({agent_id for agent_id, _ in asked}), self._manager_id)
        except Exception as error:  # noqa: BLE001 -- it is each one's that waits
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(error)
            return
        for _, answer in asked:
            if not answer.done():  # its Agent has left
                answer.set_result(reading)
