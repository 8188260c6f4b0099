"""Two processes of an Agent, with simulated sessions: one acts, the second takes over and repeats no action."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import msgspec
import pytest
from tests.support.processes import RoleProcess, free_port
from tests.support.real_agents import session_id, token_file
from tests.support.scripted_manager import ScriptedManager, World
from tests.support.waiting import eventually

from greenroom.core.fleet.election import ElectionRecord
from greenroom.runtimes.simulated import stored_containers


@pytest.fixture
def world() -> World:
    return World(hold_s=0.3)


class Replica(RoleProcess):
    """A process; all have the same simulated host."""

    def __init__(self, folder: Path, number: int, manager: ScriptedManager) -> None:
        own, port = folder / f"agent-{number}", free_port()
        own.mkdir()
        (folder / "host").mkdir(exist_ok=True)
        (own / "simulated").symlink_to(folder / "host")
        self.own = own
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(
            "agent",
            f"agent-{number}",
            folder,
            {
                "GREENROOM_AGENT_DIR": str(own),
                "GREENROOM_AGENT_PORT": str(port),
                "GREENROOM_AGENT_GROUP": "desks",
                "GREENROOM_MANAGER_URLS": manager.url,
                "GREENROOM_JOIN_TOKEN_FILE": str(token_file(folder)),
                "GREENROOM_RUNTIME": "simulated",
            },
        )

    async def is_standby(self) -> bool:
        try:
            async with httpx2.AsyncClient() as client:
                answer = await client.get(f"{self.url}/__healthcheck", timeout=5)
        except httpx2.TransportError:
            return False
        return answer.status_code == 200 and answer.json().get("role") == "standby"


@dataclass
class Pair:
    folder: Path
    first: Replica
    second: Replica

    @property
    def election_record(self) -> ElectionRecord:
        content = (self.folder / "shared-desks/election").read_bytes().partition(b"\n")[2]
        return msgspec.json.decode(content, type=ElectionRecord)

    def freeze_first(self) -> None:
        """Freeze the first process while it has no lock of the simulated host: the second would wait for it forever."""
        with (self.folder / "shared-desks/.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.first.freeze()

    def containers(self) -> dict[str, str]:
        return {name: one.container_id for name, one in stored_containers(self.first.own).items()}


@pytest.fixture
def pair(tmp_path: Path, manager: ScriptedManager) -> Iterator[Pair]:
    made = Pair(tmp_path, Replica(tmp_path, 1, manager), Replica(tmp_path, 2, manager))
    yield made
    for process in (made.first, made.second):
        process.thaw()
        process.close()


async def begun(world: World, pair: Pair) -> str:
    """Let the first process act and run a session, with the second on standby; returns the session's id."""
    session = session_id()
    await world.want(session)
    pair.first.start()
    await world.until(lambda: world.is_usable(session))
    pair.second.start()
    await eventually(pair.second.is_standby)
    return session


async def taken_over(world: World, session: str) -> None:
    """True if the successor has registered and reported the session."""
    await world.until(lambda: len(world.registrations) == 2)
    await world.until(lambda: world.check_ins[-1].incarnation == 2 and world.is_usable(session))


async def test_two_that_start_at_once_enrol_one_agent(world: World, pair: Pair):
    session = session_id()
    await world.want(session)
    pair.first.start()
    pair.second.start()
    await world.until(lambda: world.is_usable(session))
    await eventually(lambda: _any_standby(pair))
    assert len(world.registrations) == 1


async def _any_standby(pair: Pair) -> bool:
    return await pair.first.is_standby() or await pair.second.is_standby()


async def test_a_successor_adopts_the_sessions_of_one_that_was_killed(world: World, pair: Pair):
    session = await begun(world, pair)
    before, term = pair.containers(), pair.election_record.term
    pair.first.kill()
    await taken_over(world, session)
    one, other = world.registrations
    assert (other.agent_id, other.place, other.join_token) == (one.agent_id, one.place, None)
    assert pair.containers() == before
    assert pair.election_record.term == term + 1
    assert "did not renew it in time" in pair.second.log


async def test_an_orderly_end_is_followed_at_once(world: World, pair: Pair):
    session = await begun(world, pair)
    pair.first.kill(15)
    await taken_over(world, session)
    assert await pair.first.ended() == 0
    assert "the process before released it" in pair.second.log


async def test_a_command_that_a_killed_process_ran_is_not_run_again(world: World, pair: Pair):
    session = await begun(world, pair)
    await pair.first.stops.arm("agent.command_ran")
    command = await world.order(session, "echo", "once")
    await pair.first.stops.reached("agent.command_ran")
    pair.first.kill()
    await taken_over(world, session)

    def result() -> str:
        reports = [one for seen in world.history for one in seen.commands if one.command_id == command]
        return next((one.state for one in reversed(reports) if one.state != "started"), "")

    await world.until(result)
    assert result() == "unknown"


async def test_a_process_that_was_frozen_changes_nothing_afterwards(world: World, pair: Pair):
    session = await begun(world, pair)
    before = pair.containers()
    pair.freeze_first()
    await taken_over(world, session)
    another = session_id()
    await world.want(another)
    await world.until(lambda: world.is_usable(another))
    pair.first.thaw()
    await eventually(pair.first.is_standby)
    await eventually(lambda: "no longer acts for the Agent" in pair.first.log)
    assert pair.containers().keys() == {session, another}
    assert pair.containers()[session] == before[session]
    assert len(world.registrations) == 2
