"""A Manager reads the desired list of an Agent: only the changed sessions, or all (ADR 3)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
from tests.support.agents import ToldAgent, joined, session
from tests.support.managers import Fleet, manager_here
from tests.support.plans import NotingDatabase, reading

from greenroom.core.errors import Unavailable
from greenroom.core.session.observations import ObservedState
from greenroom.core.session.states import SessionStatus
from greenroom.db.database import Connection
from greenroom.db.session import observations
from greenroom.manager.checkin import readings
from greenroom.manager.checkin.readings import DesiredListCache
from greenroom.manager.status import MAX_CHANGED_SESSIONS, CheckInNotifier
from greenroom.wire.messages import digest

HOLD_S = 20.0
FEW = 30
"""The number of rows that a read for one session may read: those of the zone and the Agent included."""


@dataclass
class Looking:
    """A Manager's reads for an Agent with 300 sessions, without events since they were read."""

    lists: DesiredListCache
    notifier: CheckInNotifier
    db: NotingDatabase
    agent: ToldAgent
    session_ids: list[str]

    async def change(self, session_id: str, generation: int) -> None:
        values = (generation, session_id)
        await self.db.write("UPDATE sessions SET generation = %s WHERE session_id = %s", values)

    async def generations(self) -> dict[str, int]:
        """The generations in a read; it takes every list with its digest."""
        reading = await self.lists.read([self.agent.agent_id])
        assert reading is not None
        agent = reading.agents[self.agent.agent_id]
        assert agent.digest == digest(agent.generations)
        return dict(agent.generations)

    async def rows(self) -> int:
        """The number of rows that one read reads."""
        self.db.noted = []
        await self.generations()
        return sum(one.rows for one in await self.db.readings())


@pytest.fixture
async def looking(fleet: Fleet, dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Looking]:
    monkeypatch.setattr(readings, "WHOLE_LIST_INTERVAL_S", 3600.0)
    noting = NotingDatabase(dsn, application_name="test", max_size=1, statement_timeout_ms=60_000)
    await noting.open()
    async with manager_here(fleet) as door:
        agent = await joined(noting, door)
        (me,) = await noting.fetch("SELECT manager_id::text FROM managers")
        await noting.write("ALTER TABLE sessions ALTER COLUMN session_id SET DEFAULT gen_random_uuid()")
        first = await session(noting, agent)
        await noting.write(
            "INSERT INTO sessions (zone_id, image_id, agent_id, status, want, spec, credential_encrypted, spec_hash,"
            " cores, memory) SELECT zone_id, image_id, agent_id, status, want, spec, credential_encrypted, spec_hash,"
            " cores, memory FROM sessions, generate_series(2, 300) WHERE session_id = %s",
            (first,),
        )
        await noting.write("ANALYZE sessions")
        rows = await noting.fetch("SELECT session_id::text FROM sessions")
        notifier = CheckInNotifier()
        made = Looking(
            DesiredListCache(noting, me["manager_id"], notifier),
            notifier,
            noting,
            agent,
            [r["session_id"] for r in rows],
        )
        assert len(await made.generations()) == 300
        yield made
    await noting.close()


async def test_only_changed_sessions_of_a_long_list_are_read(looking: Looking):
    changed, ended, unnamed = looking.session_ids[:3]
    before = await looking.generations()
    for session_id in (changed, unnamed):
        await looking.change(session_id, 7)
    await looking.db.write("UPDATE sessions SET status = 'deleted' WHERE session_id = %s", (ended,))
    new = await session(looking.db, looking.agent)
    for session_id in (changed, ended, new):
        looking.notifier.wake(looking.agent.agent_id, session_id)
    assert await looking.generations() == {k: g for k, g in before.items() if k != ended} | {changed: 7, new: 1}
    looking.notifier.wake(looking.agent.agent_id, changed)
    assert await looking.rows() <= FEW


async def test_all_sessions_are_read_if_it_is_not_known_which_have_changed(
    looking: Looking, monkeypatch: pytest.MonkeyPatch
):
    agent_id, (named, changed, *_) = looking.agent.agent_id, looking.session_ids
    unnamed = iter(range(2, 100))

    async def reads_all() -> bool:
        generation = next(unnamed)
        await looking.change(changed, generation)
        looking.notifier.wake(agent_id, named)
        return (await looking.generations())[changed] == generation

    assert not await reads_all()
    looking.notifier.wake(agent_id)
    assert await reads_all()
    looking.notifier.wake_all()
    assert await reads_all()
    looking.notifier.add_changed_sessions(agent_id, *map(str, range(MAX_CHANGED_SESSIONS)))
    assert await reads_all()
    looking.notifier.add_changed_sessions(agent_id)
    assert await reads_all()
    assert not await reads_all()
    monkeypatch.setattr(readings, "WHOLE_LIST_INTERVAL_S", 0.0)
    assert await reads_all()


async def test_changed_sessions_are_read_again_after_a_failed_reading(
    looking: Looking, monkeypatch: pytest.MonkeyPatch
):
    changed, other = looking.session_ids[:2]
    await looking.change(changed, 7)
    looking.notifier.wake(looking.agent.agent_id, changed)
    with monkeypatch.context() as failing:
        failing.setattr(NotingDatabase, "fetch", _away)
        with pytest.raises(Unavailable):
            await looking.generations()
    looking.notifier.wake(looking.agent.agent_id, other)
    assert (await looking.generations())[changed] == 7


async def _away(*_: object, **__: object) -> None:
    raise Unavailable("The database cannot be reached.")


async def test_a_change_during_a_reading_is_read_by_the_next_reading(looking: Looking, monkeypatch: pytest.MonkeyPatch):
    named, changed = looking.session_ids[:2]
    looking.notifier.wake(looking.agent.agent_id, named)
    real = readings.read_states

    async def overtaken(*arguments: Any) -> Any:
        found = await real(*arguments)
        await looking.change(changed, 7)
        looking.notifier.wake(looking.agent.agent_id, changed)
        return found

    with monkeypatch.context() as reading:
        reading.setattr(readings, "read_states", overtaken)
        assert (await looking.generations())[changed] == 1
    assert (await looking.generations())[changed] == 7


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_reading_that_ends_after_a_newer_reading_is_ignored(
    looking: Looking, monkeypatch: pytest.MonkeyPatch, is_whole: bool
):
    changed = looking.session_ids[0]
    looking.notifier.wake(looking.agent.agent_id, "" if is_whole else changed)
    real, has_read, ended = readings.read_states, asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> Any:
        found = await real(*arguments)
        has_read.set()
        await ended.wait()
        return found

    with monkeypatch.context() as reading:
        reading.setattr(readings, "read_states", slow)
        earlier = asyncio.create_task(looking.generations())
        await has_read.wait()
    await looking.change(changed, 7)
    looking.notifier.wake(looking.agent.agent_id, changed)
    assert (await looking.generations())[changed] == 7
    ended.set()
    assert (await earlier)[changed] == 7
    assert (await looking.generations())[changed] == 7


async def test_changes_of_an_unknown_agent_are_not_stored(looking: Looking):
    unknown = str(uuid.uuid4())
    await looking.lists.read([unknown])
    assert not looking.notifier.knows_changed_sessions(unknown)


async def test_all_sessions_are_read_after_a_switch_to_another_database(looking: Looking):
    changed, other = looking.session_ids[:2]
    await looking.change(changed, 7)
    await looking.db.write("UPDATE installation SET db_epoch = gen_random_uuid()")
    looking.notifier.wake(looking.agent.agent_id, other)
    assert (await looking.generations())[changed] == 7


class Noting:
    """A connection that records its statements."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.noted: list[tuple[Any, Any]] = []

    async def execute(self, query: Any, params: Any) -> Any:
        self.noted.append((query, params))
        return await self._connection.execute(query, params)


async def test_what_is_said_of_one_session_reads_no_other(looking: Looking):
    session_id, agent_id, other = looking.session_ids[0], looking.agent.agent_id, str(uuid.uuid4())
    seen = observations.Observation(
        session_id=session_id, agent_id=agent_id, incarnation=1, seq=9, generation=1, state=ObservedState.RUNNING
    )
    change = observations.StatusChange(
        session_id=session_id, agent_id=agent_id, status=SessionStatus.RUNNING, sources=[SessionStatus.STARTING],
        generation=1, assignment_id=None, error=None, log_tail=None, exit_code=None, set_aside_reason=None, slow=False,
        deadline_s=None,
    )  # fmt: skip
    handover = observations.HandoverReport(
        session_id=session_id, agent_id=agent_id, assignment_id=other, state="received", deadline_s=1.0
    )
    async with looking.db.connection() as connection:
        noting = cast("Connection", made := Noting(connection))
        await observations.read_reported(noting, [seen])
        await observations.write_observations(noting, [seen])
        await observations.change_statuses(noting, [change])
        await observations.write_handovers(noting, [handover])
        await observations.write_steps(noting, [observations.StartStep(session_id=session_id, name="painted")])
    read = {query: (await reading(looking.db, query, params)).rows for query, params in made.noted}
    assert {query: rows for query, rows in read.items() if rows > FEW} == {}
    assert len(read) == 5
