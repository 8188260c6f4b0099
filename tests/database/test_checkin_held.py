"""Check-ins that a Manager holds until it has news for the Agent (docs/explanation/protocols.md §2)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, LiteralString

import httpx2
import pytest
from tests.support.agents import HttpDoor, ToldAgent, joined, row, seen, session, term_above
from tests.support.managers import Fleet, manager_here
from tests.support.waiting import eventually

from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.fleet.liveness import AgentReport
from greenroom.db.database import Database
from greenroom.db.fleet.liveness import mark_missing, read_agents, record_disconnection
from greenroom.db.fleet.reports import write_progress
from greenroom.manager.checkin import polling, readings
from greenroom.manager.checkin.commit import progress
from greenroom.manager.main import AGENTS_CONNECTIONS

HOLD_S = 20.0
END_OF_HOLD_S = 8.0
"""A check-in held for `HOLD_S` that was answered before this time was answered because of news."""


@pytest.fixture
async def long_holding(fleet: Fleet) -> AsyncIterator[httpx2.ASGITransport]:
    """The transport for Agents to a Manager that holds check-ins for long, so that no stall resembles the end of a
    hold."""
    async with manager_here(fleet, checkin_hold_s=HOLD_S, agent_missing_s=60) as transport:
        yield transport


async def _held(db: Database, agent: ToldAgent, hold_s: float = HOLD_S) -> asyncio.Task[float]:
    """Hold a poll; its result is the duration."""
    await eventually(lambda: term_above(db, 0))
    await agent.check_in()  # news of the election would end a hold as well

    async def poll() -> float:
        begun = time.monotonic()
        await agent.check_in(hold_s=hold_s)
        return time.monotonic() - begun

    task = asyncio.create_task(poll())
    await asyncio.sleep(0.4)  # to see that nothing happens
    assert not task.done()
    return task


async def test_a_held_poll_is_answered_at_once_when_a_session_is_added(
    long_holding: httpx2.ASGITransport, db: Database, fleet: Fleet
):
    agent = await joined(db, long_holding)
    first = await session(db, agent)  # with its image, which would be news of its own
    task = await _held(db, agent)
    second = await session(db, agent)
    await db.notify(ChangeEvent.agent(agent.agent_id))
    assert await task < END_OF_HOLD_S
    assert set(agent.desired) == {first, second}


async def test_without_a_notification_news_come_at_the_end_of_the_hold(
    long_holding: httpx2.ASGITransport, db: Database, fleet: Fleet
):
    agent = await joined(db, long_holding)
    first = await session(db, agent)  # with its image, which would be news of its own
    task = await _held(db, agent, hold_s=4.0)  # longer than the insertion below
    second = await session(db, agent)
    await task
    assert set(agent.desired) == {first, second}


async def test_a_closed_connection_is_noticed_until_the_agent_returns(db: Database, fleet: Fleet):
    await fleet.start("one", agent_missing_s="60", checkin_hold_s="20")
    agent = await joined(db, HttpDoor(fleet.urls["one"]))
    staged = await session(db, agent, status="running")

    async def disconnected() -> list[AgentReport]:
        (zone,) = await db.fetch("SELECT zone_id::text FROM zones")
        return [each for each in await read_agents(db, zone["zone_id"], 60) if each.disconnected_s is not None]

    await eventually(lambda: db.fetch_one("SELECT 1 FROM agents WHERE status = 'running'"))
    (await _held(db, agent)).cancel()
    (found,) = await eventually(disconnected)
    assert found.status == "running"
    async with db.transaction() as connection:
        assert await mark_missing(connection, agent.agent_id, 60)
    assert (await row(db, staged))["status"] == "unreachable"
    await agent.check_in()

    async def returned() -> bool:
        return not await disconnected()

    await eventually(returned)
    (await _held(db, agent)).cancel()
    await eventually(disconnected)
    await agent.register()
    assert await disconnected() == [], "its process has started again"


async def test_a_message_that_still_waits_does_not_hide_a_closed_connection(
    long_holding: httpx2.ASGITransport, db: Database, fleet: Fleet
):
    agent = await joined(db, long_holding)
    assert agent.registered
    incarnation = agent.registered.incarnation
    assert await record_disconnection(db, agent.agent_id, incarnation, agent.seq + 1)
    (manager,) = await db.fetch("SELECT manager_id::text FROM managers")
    async with db.transaction() as connection:
        late = progress(agent.message())
        assert await write_progress(connection, manager["manager_id"], [late]) == frozenset()
    assert not await record_disconnection(db, agent.agent_id, incarnation, agent.seq - 1), "it has checked in since"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The Agents of each statement on the Manager's connections for Agents; empty if the statement does not read
    them."""
    real, statements = Database.fetch, list[list[str]]()

    async def fetch(self: Database, query: LiteralString, params: Any = None, **options: Any) -> list[Any]:
        if self.application_name == "greenroom check-ins one":
            statements.append(sorted(params.get("agent_ids", ())) if isinstance(params, dict) else [])
        return await real(self, query, params, **options)

    monkeypatch.setattr(Database, "fetch", fetch)
    return statements


async def _at_rest(db: Database, *agents: ToldAgent) -> None:
    """Wait until these Agents have received all news."""

    async def all_run() -> bool:
        return not await db.fetch("SELECT 1 FROM agents WHERE status <> 'running'")

    await eventually(lambda: term_above(db, 0))
    await asyncio.gather(*(agent.check_in() for agent in agents))
    await eventually(all_run)
    await asyncio.gather(*(agent.check_in() for agent in agents))


async def test_a_held_check_in_looks_when_it_ends_and_the_next_one_begins_with_that(
    long_holding: httpx2.ASGITransport, db: Database, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(polling, "RECENT_S", HOLD_S)  # it arrives at once, even if the machine is busy
    agent = await joined(db, long_holding)
    await _at_rest(db, agent)
    await agent.check_in(hold_s=2.0)
    asked.clear()
    begun = time.monotonic()
    await agent.check_in(hold_s=2.0)
    assert time.monotonic() - begun > 1.5
    assert asked == [[agent.agent_id]]


async def test_a_report_is_taken_with_the_last_read_and_answered_with_one_after_commit(
    long_holding: httpx2.ASGITransport, db: Database, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(polling, "RECENT_S", HOLD_S)
    agent = await joined(db, long_holding)
    await _at_rest(db, agent)
    reported = seen(await session(db, agent), "running", usable=True)
    await agent.check_in()
    asked.clear()
    answer = await agent.check_in(reported)
    assert [agents for agents in asked if agents] == [[agent.agent_id]]
    assert answer.acked_seq == agent.seq


async def test_an_agent_that_registered_since_its_last_check_in_is_known(
    long_holding: httpx2.ASGITransport, db: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(polling, "RECENT_S", HOLD_S)
    agent = await joined(db, long_holding)
    await _at_rest(db, agent)
    await agent.check_in(hold_s=1.0)
    assert (await agent.register()).status_code == 200
    assert (await agent.check_in(hold_s=1.0)).fresh


async def test_a_list_that_did_not_change_is_digested_no_more(
    long_holding: httpx2.ASGITransport, db: Database, monkeypatch: pytest.MonkeyPatch
):
    agent = await joined(db, long_holding)
    await session(db, agent)
    await _at_rest(db, agent)
    digested = list[Any]()
    monkeypatch.setattr(readings, "digest", digested.append)
    await agent.check_in(hold_s=1.0)
    assert digested == []


async def test_what_is_said_between_two_check_ins_is_looked_at_when_the_next_one_comes(
    long_holding: httpx2.ASGITransport, db: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(polling, "RECENT_S", HOLD_S)
    agent, other = [await joined(db, long_holding, machine_id=f"machine-{n}") for n in range(2)]
    await _at_rest(db, agent, other)
    await agent.check_in(hold_s=1.0)
    others = asyncio.create_task(other.check_in(hold_s=HOLD_S))
    ids = [await session(db, each) for each in (agent, other)]
    await db.notify(*(ChangeEvent.agent(each.agent_id) for each in (agent, other)))
    await others  # the Manager has received both
    begun = time.monotonic()
    await agent.check_in(hold_s=HOLD_S)
    assert time.monotonic() - begun < END_OF_HOLD_S
    assert set(agent.desired) == {ids[0]}


async def test_all_that_look_at_the_same_moment_do_so_in_one_statement(
    long_holding: httpx2.ASGITransport, db: Database, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(polling, "RECENT_S", 0.0)  # each looks when it begins
    agents = [await joined(db, long_holding, machine_id=f"machine-{n}") for n in range(5)]
    await _at_rest(db, *agents)
    asked.clear()
    held = [asyncio.create_task(agent.check_in(hold_s=HOLD_S)) for agent in agents]
    await eventually(lambda: {agent_id for ids in asked for agent_id in ids} == {a.agent_id for a in agents})
    await asyncio.sleep(0.4)  # to see that nothing happens
    asked.clear()
    await db.write("INSERT INTO filter_policies (name, default_action) VALUES ('none', 'deny')")
    await eventually(lambda: asked)
    assert asked == [sorted(agent.agent_id for agent in agents)]
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)


async def test_what_many_get_alike_is_read_once(
    long_holding: httpx2.ASGITransport, db: Database, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(polling, "RECENT_S", 0.0)  # each looks when it begins
    agents = [await joined(db, long_holding, machine_id=f"machine-{n}") for n in range(5)]
    await _at_rest(db, *agents)
    asked.clear()
    held = [asyncio.create_task(agent.check_in(hold_s=HOLD_S)) for agent in agents]
    await eventually(lambda: {agent_id for ids in asked for agent_id in ids} == {a.agent_id for a in agents})
    await asyncio.sleep(0.4)  # to see that nothing happens
    asked.clear()
    await db.write("INSERT INTO images (name, friendly_name) VALUES ('a:1', 'A')")
    await db.notify(ChangeEvent(Topic.IMAGES))
    answers = await asyncio.gather(*held)
    assert {image.name for answer in answers for image in answer.images or ()} == {"a:1"}
    assert asked == [sorted(agent.agent_id for agent in agents), []]


async def test_while_a_poll_is_held_the_agent_can_report(agent: ToldAgent, db: Database):
    session_id = await session(db, agent)
    task = await _held(db, agent, hold_s=5)
    answer = await agent.check_in(seen(session_id, "running", usable=True))
    assert not task.done()
    assert answer.acked_seq == agent.seq
    assert (await row(db, session_id))["status"] == "running"
    assert await task > 1.5


async def test_a_new_primary_is_announced_at_once_and_recorded(
    fleet: Fleet, db: Database, long_holding: httpx2.ASGITransport
):
    agent = await joined(db, long_holding)
    task = await _held(db, agent)
    await db.write("UPDATE zone_leases SET term = term + 1, expires_at = '-infinity'")
    await db.notify(ChangeEvent.primary(1))
    assert await task < END_OF_HOLD_S
    assert agent.term_seen >= 2

    async def is_recorded() -> bool:
        said = agent.term_seen
        await agent.check_in()
        return await db.fetch_one("SELECT manager_term FROM agents") == {"manager_term": said}

    await eventually(is_recorded)


@dataclass(frozen=True)
class Crowded:
    door: httpx2.ASGITransport
    agents_db: Database
    own_db: Database

    @asynccontextmanager
    async def taken(self) -> AsyncGenerator[None]:
        """All connections for Agents are in use."""
        async with AsyncExitStack() as stack:
            for _ in range(AGENTS_CONNECTIONS):
                await stack.enter_async_context(self.agents_db.connection())
            yield


@pytest.fixture
async def crowded(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Crowded]:
    """A Manager whose connections for Agents can all be taken."""
    opened, real = list[Database](), Database.open

    async def opens(self: Database) -> None:
        opened.append(self)
        await real(self)

    monkeypatch.setattr(Database, "open", opens)
    async with manager_here(fleet) as door:
        named = {db.application_name: db for db in reversed(opened)}
        yield Crowded(door, named["greenroom check-ins one"], named["greenroom manager one"])


async def _has_planned_once(pool: Database) -> bool:
    """Return True if the next connection of `pool` has executed prepared statements. None may have a custom plan."""
    rows = await pool.fetch(
        "SELECT statement, custom_plans, generic_plans FROM pg_prepared_statements "
        "WHERE statement NOT LIKE '%pg_prepared_statements%'"
    )
    assert [row["statement"] for row in rows if row["custom_plans"]] == []
    return any(row["generic_plans"] for row in rows)


async def test_no_statement_of_a_manager_is_planned_anew(db: Database, crowded: Crowded):
    agent = await joined(db, crowded.door)
    session_id = await session(db, agent)
    for n in range(12):
        await agent.check_in(seen(session_id, "running", probe_error=str(n)), full=True)
    for pool in (crowded.agents_db, crowded.own_db):
        await eventually(partial(_has_planned_once, pool))  # a connection of the pool may be new


async def test_an_answer_that_is_not_fresh_is_held_and_spreads_the_next(db: Database, crowded: Crowded):
    agent = await joined(db, crowded.door)
    await _at_rest(db, agent)
    async with crowded.taken():
        begun = time.monotonic()
        answer = await agent.check_in(hold_s=4.0, once=True)
    assert (answer.fresh, answer.jitter_s) == (False, 1.0)
    assert time.monotonic() - begun > 3.0
    assert (await agent.check_in()).jitter_s == 0.0


async def test_while_agents_have_all_their_connections_the_manager_has_its_own(db: Database, crowded: Crowded):
    agent = await joined(db, crowded.door)
    await _at_rest(db, agent)
    async with crowded.taken():
        task = asyncio.create_task(agent.check_in(hold_s=HOLD_S, once=True))
        (before,) = await db.fetch("SELECT last_reported, last_round FROM managers")

        async def goes_on() -> bool:
            (now,) = await db.fetch("SELECT last_reported, last_round FROM managers")
            return now["last_reported"] > before["last_reported"] and now["last_round"] > before["last_round"]

        await eventually(goes_on)
        assert not task.done()
        async with httpx2.AsyncClient(transport=crowded.door, base_url="http://manager") as client:
            assert (await client.get("/health")).status_code == 200
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
