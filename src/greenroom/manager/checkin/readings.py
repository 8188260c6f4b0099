"""Reads the input of check-ins: one statement for all requests of the same moment (ADR 3), and desired lists.

A reading of a list covers only the sessions that notifications have named. It covers all sessions if a notification
named no session, if there was no notification, and every `WHOLE_LIST_INTERVAL_S`, because a notification may be lost.
After a notification, each reading covers the named session, until the list from one of these readings is stored.

Requests that arrive during a reading wait for the next reading, so that no answer is older than its request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Final

from greenroom.core.session.reconcile import updated_list
from greenroom.db.database import Database
from greenroom.db.fleet.checkin import AgentState, CheckInReading, read_states
from greenroom.kit.clock import boottime_s
from greenroom.manager.status import CheckInNotifier, Unread
from greenroom.wire.messages import digest

WHOLE_LIST_INTERVAL_S: Final = 4.0
"""The maximum time between two readings of a whole list: the shortest time for which a check-in waits for changes."""


@dataclass(frozen=True, slots=True)
class _KnownList:
    """A desired list: `generations` (session id → generation) with its digest. `number` is the number of the last
    reading; `whole_at_s` is the time at which all sessions were last read."""

    generations: Mapping[str, int]
    digest: str
    number: int
    whole_at_s: float


class DesiredListCache:
    """The desired lists of the Agents that check in to this Manager."""

    def __init__(self, db: Database, manager_id: str, notifier: CheckInNotifier) -> None:
        self._db = db
        self._manager_id = manager_id
        self._notifier = notifier
        self._lists: dict[str, _KnownList] = {}
        self._db_epoch = ""
        self._numbers = count()

    async def read(self, agent_ids: Collection[str]) -> CheckInReading | None:
        """Return the states of these Agents like `read_states`, each with its whole list and the digest; None if
        `read_states` returns None. Two calls may overlap."""
        number, now_s = next(self._numbers), boottime_s()
        unread_of = {agent_id: self._unread(agent_id, now_s) for agent_id in agent_ids}
        sessions = {agent_id: unread.session_ids for agent_id, unread in unread_of.items()}
        reading = await read_states(self._db, sessions, self._manager_id)
        if reading is None:
            return None
        if reading.zone.db_epoch != self._db_epoch:  # another database, whose lists are unknown
            self._lists, self._db_epoch = {}, reading.zone.db_epoch
            if any(sessions.values()):
                return await self.read(agent_ids)
        for agent_id in unread_of.keys() - reading.agents.keys():
            self._notifier.forget(agent_id)
        agents = [
            self._with_list(agent, unread_of[agent_id], number, now_s) for agent_id, agent in reading.agents.items()
        ]
        return CheckInReading(zone=reading.zone, agents={agent.agent_id: agent for agent in agents})

    def _unread(self, agent_id: str, now_s: float) -> Unread:
        unread, known = self._notifier.unread(agent_id), self._lists.get(agent_id)
        is_recent = known is not None and now_s - known.whole_at_s < WHOLE_LIST_INTERVAL_S
        return unread if is_recent else replace(unread, session_ids=frozenset())

    def _with_list(self, agent: AgentState, read: Unread, number: int, now_s: float) -> AgentState:
        """Return the Agent with its list. If the stored list is from a reading that began later, it is kept, because it
        includes all changes of this reading."""
        known = self._lists.get(agent.agent_id)
        if known is None or number > known.number:
            known = self._lists[agent.agent_id] = _merged(known, agent.generations, read.session_ids, number, now_s)
            self._notifier.mark_read(agent.agent_id, read)
        return replace(agent, generations=known.generations, digest=known.digest)


def _merged(
    known: _KnownList | None, generations: Mapping[str, int], read: Collection[str], number: int, now_s: float
) -> _KnownList:
    """Return the known list, updated with the generations in `generations` of the sessions in `read` (empty = all)."""
    if known is None:
        return _KnownList(generations, digest(generations), number, now_s)
    merged = updated_list(known.generations, read or (known.generations.keys() | generations.keys()), generations)
    is_same = merged is known.generations
    return _KnownList(merged, known.digest if is_same else digest(merged), number, known.whole_at_s if read else now_s)


PAUSE_S: Final = 0.005
"""Pause between two statements, so that one statement reads many Agents."""
COLLECT_S: Final = 0.1
"""The time for which requests that are not urgent are collected for one statement."""
MAX_AGENTS: Final = 500
"""The maximum number of Agents in a statement, so that it ends within its time limit on a busy machine."""
BATCH_SIZE: Final = 20
"""The number of check-ins that get a reading before other tasks of the process run, so that instructions are not
delayed."""


Read = Callable[[Collection[str]], Awaitable[CheckInReading | None]]
"""A function that reads these Agents in one statement."""


class BatchedReader:
    """Reads Agents for all check-ins of a Manager. Urgent requests never wait for other requests."""

    def __init__(self, read: Read) -> None:
        self._urgent_queue = _Queue(read, collect_s=0.0)
        self._normal_queue = _Queue(read, collect_s=COLLECT_S)

    async def read(self, agent_id: str, *, urgent: bool = True) -> CheckInReading | None:
        """Return a reading that began after this call and contains the Agent, if it exists; None if the record of the
        Manager does not exist. Raises Unavailable: the database cannot be reached."""
        return await (self._urgent_queue if urgent else self._normal_queue).read(agent_id)


class _Queue:
    """Requests to read Agents. One statement runs at a time. It begins `collect_s` after its first request, and reads
    all Agents that were requested until then."""

    def __init__(self, read: Read, *, collect_s: float) -> None:
        self._read = read
        self._collect_s = collect_s
        self._requests: list[tuple[str, asyncio.Future[CheckInReading | None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def read(self, agent_id: str) -> CheckInReading | None:
        answer: asyncio.Future[CheckInReading | None] = asyncio.get_running_loop().create_future()
        self._requests.append((agent_id, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="readings")
        return await answer

    async def _run(self) -> None:
        try:
            while self._requests:
                if len(self._requests) < MAX_AGENTS:
                    await asyncio.sleep(self._collect_s)
                requests, self._requests = self._requests[:MAX_AGENTS], self._requests[MAX_AGENTS:]
                await self._answer([agent_id for agent_id, _ in requests], [answer for _, answer in requests])
                await asyncio.sleep(PAUSE_S)
        finally:
            self._task = None

    async def _answer(self, agent_ids: Sequence[str], answers: Sequence[asyncio.Future[CheckInReading | None]]) -> None:
        try:
            reading = await self._read(set(agent_ids))
        except Exception as error:  # noqa: BLE001 -- every waiting caller gets it
            for answer in answers:
                if not answer.done():
                    answer.set_exception(error)
            return
        for i in range(0, len(answers), BATCH_SIZE):
            for answer in answers[i : i + BATCH_SIZE]:
                if not answer.done():  # else the Agent has disconnected
                    answer.set_result(reading)
            await asyncio.sleep(0)
