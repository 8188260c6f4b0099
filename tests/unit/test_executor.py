"""The Agent's worker for containers, with a runtime whose log is late or whose calls never end."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.support.failing_runtimes import FailingRuntime, WrappedRuntime
from tests.support.scripted_manager import spec

from greenroom.agent.app import AgentHealth, AgentMetrics
from greenroom.agent.capacity import HostLimits
from greenroom.agent.changes import ContainerChanges
from greenroom.agent.concurrency import Workers
from greenroom.agent.images import ImageKeeper
from greenroom.agent.reconciler import CHANGE_TIMEOUT_S, Executor
from greenroom.agent.session.commands import Commands
from greenroom.agent.session.handover import Handovers
from greenroom.agent.session.inventory import Inventory
from greenroom.agent.session.journal import Journal
from greenroom.agent.session.prober import ProbeTimeLimits
from greenroom.agent.session.sessions import Sessions
from greenroom.agent.session.starts import Starts
from greenroom.agent.web_filter.filters import WebFilters
from greenroom.core.fleet.liveness import ON_TIME
from greenroom.core.session.reconcile import ContainerState, plan
from greenroom.core.session.starts import SlotCount
from greenroom.runtimes.contract import StartError
from greenroom.runtimes.simulated import SimulatedRuntime
from greenroom.wire.messages import Answer, Authorised, Desired

AGENT = "agent-1"
WITHIN_S = 10.0
"""The time limit of a test that would otherwise wait forever without the feature."""


class LateLog(WrappedRuntime):
    """A runtime whose container log is still empty when it is read for the first time."""

    async def around(self, name: str, call: Callable[[], Any]) -> Any:
        """Return an empty log the first time."""
        lines = await call()
        return "" if name == "logs" and self.calls["logs"] == 1 else lines


class HangingStart(WrappedRuntime):
    """A runtime whose first start never ends."""

    async def around(self, name: str, call: Callable[[], Any]) -> Any:
        """Wait forever, the first time."""
        if name == "start" and self.calls["start"] == 1:
            await asyncio.Event().wait()
        return await call()


@dataclass
class Host:
    """The parts of an Agent that surround its executor; `ended` has the keys of workers that ended."""

    sessions: Sessions
    inventory: Inventory
    executor: Executor
    ended: asyncio.Queue[str]

    def work(self) -> None:
        """Begin the work of the current plan."""
        self.executor.apply(plan(self.sessions.snapshot(low_cpu_sessions=self.executor.low_cpu_sessions)))

    async def until_ended(self, session_id: str) -> None:
        """Wait until the work on a session ended."""
        async with asyncio.timeout(WITHIN_S):
            while await self.ended.get() != session_id:
                pass


@asynccontextmanager
async def host(
    folder: Path,
    runtime: Any,
    wanted: list[str],
    change_timeout_s: float = CHANGE_TIMEOUT_S,
    *,
    filter_policy: str | None = None,
    has_filters: bool = True,
    user_id: str = "",
    disk_shortage: str = "",
) -> AsyncGenerator[Host]:
    """An Agent's host with one slot and one place for starts, whose list contains these sessions as running."""
    journal = Journal(folder / "journal")
    journal.open()
    sessions, ended = Sessions(journal), asyncio.Queue[str]()
    inventory = Inventory(runtime, sessions, AGENT, AgentHealth())
    starts = Starts(sessions, lambda: ON_TIME, lambda: 0.0)
    await inventory.take()
    spec_sent = asdict(spec(filter_policy=filter_policy))
    user = Authorised(user_id=user_id, epoch=1) if user_id else None
    desired = [Desired(session_id=s, generation=1, want="running", spec=spec_sent, authorised=user) for s in wanted]
    answer = Answer(db_epoch="e", zone_id="z", term=1, answered_by="m", fresh=True, acked_seq=0, desired=desired)
    assert sessions.accept(answer)
    async with asyncio.TaskGroup() as group:
        workers = Workers(group, ended.put_nowait)
        filters = WebFilters(runtime, sessions, folder / "filters") if has_filters else None
        explain_failure = HostLimits("vm", sessions.outbox.log_line, lambda: 0).explain_failure
        executor = Executor(
            changes=ContainerChanges(
                runtime,
                sessions,
                inventory,
                ImageKeeper(runtime),
                filters,
                streams_closed=lambda _: asyncio.sleep(0),
                explain_failure=explain_failure,
                disk_shortage=lambda: disk_shortage,
            ),
            sessions=sessions,
            inventory=inventory,
            commands=Commands(runtime, sessions, journal),
            handovers=Handovers(runtime, sessions, journal, ProbeTimeLimits(lambda: ON_TIME)),
            starts=starts,
            workers=workers,
            metrics=AgentMetrics(),
            slots=SlotCount(ordinary=1),
            change_timeout_s=change_timeout_s,
        )
        yield Host(sessions, inventory, executor, ended)
        for task in asyncio.all_tasks():
            if task.get_name() in wanted:
                task.cancel()
    journal.close()


async def opened(folder: Path) -> SimulatedRuntime:
    """A simulated runtime without containers."""
    runtime = SimulatedRuntime("installation", AGENT, folder=folder)
    await runtime.open()
    return runtime


def running(sessions: Sessions, session_id: str) -> bool:
    """True if the container is known to run."""
    seen = sessions.observed.container(session_id)
    return seen is not None and seen.state is ContainerState.RUNNING


def reported(sessions: Sessions) -> list[tuple[str, str]]:
    """The states and last lines in the next message."""
    return [(observed.state, observed.log_tail) for observed in sessions.outbox.unacknowledged(1)]


async def test_an_end_is_reported_with_lines_that_come_late(tmp_path: Path):
    simulated, session = await opened(tmp_path), str(uuid.uuid4())
    async with host(tmp_path, LateLog(simulated), [session]) as agent:
        agent.work()
        await agent.until_ended(session)
        simulated.die(session, 3, "cannot open display\n")
        await agent.inventory.inspect(session)
        assert "failed" not in [state for state, _ in reported(agent.sessions)]
        agent.work()
        await agent.until_ended(session)
        assert reported(agent.sessions) == [("failed", "cannot open display\n")]
        assert agent.sessions.observed.journal_record(session).exit_code == 3


async def test_no_container_is_created_on_a_disk_that_is_short(tmp_path: Path):
    simulated, session = await opened(tmp_path), str(uuid.uuid4())
    reason = "vm has 3 GB of disk free; 5 GB must stay free"
    async with host(tmp_path, simulated, [session], disk_shortage=reason) as agent:
        agent.work()
        await agent.until_ended(session)
        assert agent.sessions.observed.container(session) is None
        assert agent.sessions.observed.journal_record(session).failure == f"{reason}."


async def test_the_reason_of_a_failure_names_the_hosts_limit_that_was_met(tmp_path: Path):
    error = StartError("Docker refused: adding interface veth1 to bridge gr-1 failed: exchange full.")
    simulated, session = await opened(tmp_path), str(uuid.uuid4())
    async with host(tmp_path, FailingRuntime(simulated, "start", error), [session]) as agent:
        agent.work()
        await agent.until_ended(session)
        failure = agent.sessions.observed.journal_record(session).failure
    assert "A limit of this host was reached: ports of a bridge (" in failure


async def test_without_a_web_filter_only_sessions_that_need_none_start(tmp_path: Path):
    simulated, session = await opened(tmp_path), str(uuid.uuid4())
    async with host(tmp_path, simulated, [session], filter_policy=str(uuid.uuid4()), has_filters=False) as agent:
        agent.work()
        await agent.until_ended(session)
        failure = agent.sessions.observed.journal_record(session).failure
        assert "The session requires a web filter, but the runtime of this host has none." in failure
    async with host(tmp_path / "other", await opened(tmp_path / "other"), [session], has_filters=False) as agent:
        agent.work()
        await agent.until_ended(session)
        assert running(agent.sessions, session)


async def test_a_start_that_never_ends_gives_its_slot_to_the_others(tmp_path: Path):
    simulated, both = await opened(tmp_path), [str(uuid.uuid4()), str(uuid.uuid4())]
    async with host(tmp_path, HangingStart(simulated), both, change_timeout_s=0.1) as agent:
        agent.work()
        async with asyncio.timeout(WITHIN_S):
            while not any(running(agent.sessions, session_id) for session_id in both):
                await agent.ended.get()
                agent.work()  # on a busy machine the other start may also time out, and is retried


async def test_a_refill_gives_way_until_its_first_frame_and_what_has_a_user_never(tmp_path: Path):
    simulated, staged, mine = await opened(tmp_path), str(uuid.uuid4()), str(uuid.uuid4())
    async with host(tmp_path, simulated, [staged]) as agent:
        agent.work()
        await agent.until_ended(staged)
        assert simulated.has_low_cpu_share(staged)
        agent.work()
        assert agent.ended.empty(), "nothing is done as long as it paints"
        agent.sessions.observed.store_first_frame(staged)
        agent.work()
        await agent.until_ended(staged)
        assert not simulated.has_low_cpu_share(staged)
    (tmp_path / "other").mkdir()
    async with host(tmp_path / "other", simulated, [mine], user_id="ann") as agent:
        agent.work()
        await agent.until_ended(mine)
        assert not simulated.has_low_cpu_share(mine)


async def test_a_refill_that_an_earlier_process_left_giving_way_gives_way_no_longer(tmp_path: Path):
    simulated, staged = await opened(tmp_path), str(uuid.uuid4())
    async with host(tmp_path, simulated, [staged]) as agent:
        agent.work()
        await agent.until_ended(staged)
    async with host(tmp_path, simulated, [staged]) as successor:
        successor.work()
        await successor.until_ended(staged)
    assert not simulated.has_low_cpu_share(staged)
