"""The waits of a hand-over: `assign` waits for the disk, nothing else waits."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.failing_runtimes import WrappedRuntime
from tests.support.scripted_manager import spec

from greenroom.agent.session import handover
from greenroom.agent.session.handover import Handovers
from greenroom.agent.session.journal import AnyRecord, HandoverRecord, Journal, replay
from greenroom.agent.session.prober import ProbeTimeLimits
from greenroom.agent.session.sessions import Sessions
from greenroom.core.fleet.liveness import ON_TIME, Lateness
from greenroom.runtimes.contract import ProbeResult
from greenroom.runtimes.simulated import SimulatedRuntime
from greenroom.wire.messages import Answer, Assignment, Desired

SESSION, AGENT, SPEC = str(uuid.uuid4()), "agent-1", spec()


class Disk(Journal):
    """A journal that records the hand-overs that waited until they were on the disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.waited_for: list[str] = []

    async def append_durably(self, record: AnyRecord) -> None:
        """Append it."""
        await super().append_durably(record)
        if isinstance(record, HandoverRecord):
            self.waited_for.append(record.state)


class Noting(WrappedRuntime):
    """A runtime that records the content of the disk when `assign` runs, and probes of pages that hang, at first or
    forever, or refuse, or while the Agent stalls once."""

    disk: Disk
    before_assign: tuple[str, ...] = ()
    hangs = False
    answers_after_s = 0.0
    refuses = False
    stands_still_s = 0.0
    attempts = 0

    async def around(self, name: str, call: Callable[[], Any]) -> Any:
        """Append it."""
        if name == "probe":
            await self._look()
            if self.refuses:
                return ProbeResult(usable=False, error="The session's page does not answer: connection refused.")
        if name == "exec":
            self.before_assign = tuple(self.disk.waited_for)
        return await call()

    async def _look(self) -> None:
        self.attempts += 1
        still_s, self.stands_still_s = self.stands_still_s, 0.0
        time.sleep(still_s)  # noqa: ASYNC251 -- so that the whole process stands still
        if self.hangs or still_s:
            await asyncio.Event().wait()
        await asyncio.sleep(self.answers_after_s)


@dataclass
class Host:
    """A running session that must be handed over."""

    disk: Disk
    runtime: Any
    sessions: Sessions
    handovers: Handovers


@asynccontextmanager
async def host(folder: Path, argv: list[str], lateness: Lateness = ON_TIME) -> AsyncGenerator[Host]:
    """See `Host`; `argv` is the image's `assign`, `lateness` that of the Agent and its host."""
    simulated = SimulatedRuntime("installation", AGENT, folder=folder)
    await simulated.open()
    disk = Disk(folder / "journal")
    runtime: Any = Noting(simulated)
    runtime.disk = disk
    disk.open()
    sessions = Sessions(disk)
    await simulated.create(SESSION, SPEC)
    sessions.observed.store_inventory([await simulated.start(SESSION)])
    assignment = Assignment(assignment_id=str(uuid.uuid4()), argv=argv)
    desired = Desired(session_id=SESSION, generation=2, want="running", spec=asdict(SPEC), assignment=assignment)
    answer = Answer(db_epoch="e", zone_id="z", term=1, answered_by="m", fresh=True, acked_seq=0, desired=[desired])
    assert sessions.accept(answer)
    handovers = Handovers(runtime, sessions, disk, ProbeTimeLimits(lambda: lateness))
    sessions.acknowledged.subscribe(handovers.acknowledged)
    yield Host(disk, runtime, sessions, handovers)
    disk.close()


async def test_a_hand_over_without_assign_needs_no_disk_nor_the_agent_later(tmp_path: Path):
    async with host(tmp_path, []) as agent:
        await agent.handovers.run(SESSION)
        (reported,) = agent.sessions.outbox.unacknowledged(1)
        assert reported.assignment is not None
        assert (reported.assignment.state, agent.disk.waited_for) == ("assigned", [])
        memory, _ = replay((tmp_path / "journal").read_bytes())
        assert [record.state for record in memory.handovers.values()] == ["assigned"]


async def test_what_is_about_to_be_handed_over_is_reported_with_how_that_goes(tmp_path: Path):
    async with host(tmp_path, []) as agent:
        assert agent.sessions.outbox.unacknowledged(1) == [], "a report would be under way when the user waits for one"
        await agent.handovers.run(SESSION)
        (reported,) = agent.sessions.outbox.unacknowledged(2)
        assert reported.generation == 2


async def test_what_cannot_be_handed_over_is_reported_at_once(tmp_path: Path):
    async with host(tmp_path, []) as agent:
        agent.sessions.observed.update_record(SESSION, failure="It ran out of memory.")
        (reported,) = agent.sessions.outbox.unacknowledged(1)
        assert (reported.state, reported.assignment) == ("failed", None)


async def test_that_assign_begins_is_on_the_disk_before_it_runs(tmp_path: Path):
    async with host(tmp_path, ["true"]) as agent:
        outbox = agent.sessions.outbox
        outbox.unsent.clear()
        running = asyncio.create_task(agent.handovers.run(SESSION))
        await outbox.unsent.wait()
        assert [reported.assignment.state for reported in outbox.unacknowledged(1) if reported.assignment] == [
            "received"
        ]
        agent.sessions.acknowledge(1)
        await running
        assert agent.runtime.before_assign == ("started",)
        (record,) = agent.disk.state.handovers.values()
        assert record.state == "assigned"


async def test_a_look_during_which_the_agent_stood_still_quarantines_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(handover, "PROBE_LIMIT_S", 0.05)
    async with host(tmp_path, []) as agent:
        agent.runtime.stands_still_s = 0.1
        await agent.handovers.run(SESSION)
        (record,) = agent.disk.state.handovers.values()
        assert record.state == "assigned"


async def test_a_page_that_never_answers_gets_two_attempts_and_no_hand_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(handover, "PROBE_LIMIT_S", 0.05)
    monkeypatch.setattr(handover, "MIN_ATTEMPT_LIMIT_S", 0.02)
    async with host(tmp_path, []) as agent:
        agent.runtime.hangs = True
        await agent.handovers.run(SESSION)
        (record,) = agent.disk.state.handovers.values()
        assert (record.state, record.slow, agent.runtime.attempts) == ("failed", True, 2)
        assert re.search(r"last probe: its page did not answer for \d\.\d s, in 2 probes\.$", record.error)


LATE = Lateness(own_s=0.5, queue=30.0)


async def test_a_page_that_is_slow_on_a_late_host_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, seconds in (("PROBE_LIMIT_S", 1.0), ("MAX_ATTEMPT_LIMIT_S", 0.5), ("MIN_ATTEMPT_LIMIT_S", 0.1)):
        monkeypatch.setattr(handover, name, seconds)
    for lateness, state in ((ON_TIME, "failed"), (LATE, "assigned")):
        folder = tmp_path / state
        folder.mkdir()
        async with host(folder, [], lateness) as agent:
            agent.runtime.answers_after_s = 1.5  # three times as long as a probe on a quiet host
            await agent.handovers.run(SESSION)
            (record,) = agent.disk.state.handovers.values()
            assert record.state == state, record.error


async def test_a_silent_page_on_a_late_host_is_given_up_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(handover, "PROBE_LIMIT_S", 0.05)
    monkeypatch.setattr(handover, "MIN_ATTEMPT_LIMIT_S", 0.02)
    async with host(tmp_path, [], LATE) as agent:
        agent.runtime.hangs = True
        await agent.handovers.run(SESSION)
        (record,) = agent.disk.state.handovers.values()
        assert (record.state, record.slow) == ("failed", True)
        assert (
            ", 10.0 times as long as on a quiet host (its Agent ran 0.50 s late, 30 tasks waited for each core)"
            in record.error
        )


async def test_a_port_that_refuses_gets_no_more_time_on_a_late_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(handover, "PROBE_LIMIT_S", 0.0)
    async with host(tmp_path, [], LATE) as agent:
        agent.runtime.refuses = True
        await agent.handovers.run(SESSION)
        (record,) = agent.disk.state.handovers.values()
        assert (record.state, record.slow, agent.runtime.attempts) == ("failed", False, 2)
        assert "connection refused (2 probes in" in record.error


async def test_a_session_that_had_a_user_before_the_database_was_restored_is_refused(tmp_path: Path):
    async with host(tmp_path, []) as agent:
        earlier = HandoverRecord(assignment_id=str(uuid.uuid4()), session_id=SESSION, state="assigned")
        agent.disk.append(earlier)
        await agent.handovers.run(SESSION)
        *_, record = agent.disk.state.handovers.values()
        assert (record.state, record.error) == ("failed", handover.HAD_USER)
