"""Reads what check-ins depend on: one statement for all that ask at the same moment (ADR 3).

What is asked for while a reading is under way is read with the next one, so that no answer is older than its question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from greenroom.db.fleet.checkin import Reading

PAUSE_S: Final = 0.005
"""Between two statements, so that many Agents are many in a statement, not many statements."""
GATHERED_S: Final = 0.1
"""How long what no request waits for is gathered."""
MOST: Final = 500
"""Agents in a statement, which has to end within the time limit of statements on a busy machine too."""
AT_ONCE: Final = 20
"""Agents that go on in the same moment: each takes a fraction of a millisecond, and an instruction waits meanwhile."""


Read = Callable[[Collection[str]], Awaitable[Reading | None]]
"""Reads these Agents in one statement (`manager.checkin.lists`)."""


class Looks:
    """The one reader of a Manager. What is asked for in a hurry never waits for what is not."""

    def __init__(self, read: Read) -> None:
        self._hurried = _Queue(read, gathered_s=0.0)
        self._unhurried = _Queue(read, gathered_s=GATHERED_S)

    async def look(self, agent_id: str, *, hurry: bool = True) -> Reading | None:
        """A reading that began after this was called and has the Agent, if it exists; None: the Manager's record is
        gone.

        Raises:
            Unavailable: the database cannot be reached.
        """
        return await (self._hurried if hurry else self._unhurried).look(agent_id)


class _Queue:
    """Agents to be read one statement after the other, with what was asked for within `gathered_s` before it."""

    def __init__(self, read: Read, *, gathered_s: float) -> None:
        self._read = read
        self._gathered_s = gathered_s
        self._asked: list[tuple[str, asyncio.Future[Reading | None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def look(self, agent_id: str) -> Reading | None:
        answer: asyncio.Future[Reading | None] = asyncio.get_running_loop().create_future()
        self._asked.append((agent_id, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="looks")
        return await answer

    async def _run(self) -> None:
        try:
            while self._asked:
                if len(self._asked) < MOST:
                    await asyncio.sleep(self._gathered_s)
                asked, self._asked = self._asked[:MOST], self._asked[MOST:]
                await self._answer([agent_id for agent_id, _ in asked], [answer for _, answer in asked])
                await asyncio.sleep(PAUSE_S)
        finally:
            self._task = None

    async def _answer(self, agent_ids: Sequence[str], answers: Sequence[asyncio.Future[Reading | None]]) -> None:
        try:
            reading = await self._read(set(agent_ids))
        except Exception as error:  # noqa: BLE001 -- it is each one's that waits
            for answer in answers:
                if not answer.done():
                    answer.set_exception(error)
            return
        for i in range(0, len(answers), AT_ONCE):
            for answer in answers[i : i + AT_ONCE]:
                if not answer.done():  # its Agent has left
                    answer.set_result(reading)
            await asyncio.sleep(0)
