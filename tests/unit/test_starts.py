"""The places of an Agent's starts: their holders, the end of their use, and the next in line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.support.scripted_manager import spec

from greenroom.agent.session import starts as agent_starts
from greenroom.agent.session.journal import Journal
from greenroom.agent.session.sessions import Sessions
from greenroom.agent.session.starts import Starts
from greenroom.core.fleet.liveness import ON_TIME, Lateness
from greenroom.core.session.reconcile import ContainerState, ObservedContainer
from greenroom.core.session.starts import AFTER_HANDOVER_S
from greenroom.wire.messages import Answer, Assignment, Authorised, Desired


def container(session_id: str, state: ContainerState = ContainerState.RUNNING) -> ObservedContainer:
    return ObservedContainer(session_id=session_id, container_id="c", state=state, address="127.0.0.1:9")


async def others_go_on() -> None:
    """Give every runnable task one turn of the loop."""
    await asyncio.sleep(0)


class Host:
    """A host of one core with two places for starts; `begun` are the tasks that had their turn, in order."""

    def __init__(self, journal: Journal) -> None:
        self.lateness, self.on_other_machines = ON_TIME, False
        self.sessions = Sessions(journal)
        self.starts = Starts(
            self.sessions, lambda: self.lateness, lambda: 1.0, on_other_machines=lambda: self.on_other_machines
        )
        self.begun: list[str] = []
        self.given_up: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._list: dict[str, Desired] = {}

    async def want(self, session_id: str, *, user: str = "", workspace: str = "desktop", assignment: str = "") -> None:
        before = self._list.get(session_id)
        self._list[session_id] = Desired(
            session_id=session_id,
            generation=before.generation + 1 if before else 1,
            want="running",
            spec=asdict(spec(image_id=workspace)),
            authorised=Authorised(user_id=user, epoch=1) if user else None,
            assignment=Assignment(assignment_id=assignment) if assignment else None,
        )
        await self._accept()

    async def drop(self, session_id: str) -> None:
        del self._list[session_id]
        await self._accept()

    async def _accept(self) -> None:
        news = list(self._list.values())
        answer = Answer(db_epoch="e", zone_id="z", term=1, answered_by="m", fresh=True, acked_seq=0, desired=news)
        assert self.sessions.accept(answer)
        await others_go_on()

    async def start(self, *session_ids: str, **wanted: str) -> None:
        """Tasks arrive, and wait or begin."""
        for session_id in session_ids:
            await self.want(session_id, **wanted)
            self.tasks[session_id] = asyncio.create_task(self._start(session_id))
            await others_go_on()

    async def _start(self, session_id: str) -> None:
        async with self.starts.slot(session_id) as is_wanted:
            if is_wanted:
                self.begun.append(session_id)
                self.sessions.observed.store_container(session_id, container(session_id))
            else:
                self.given_up.append(session_id)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    journal = Journal(tmp_path / "journal")
    journal.open()
    host = Host(journal)
    yield host
    for task in host.tasks.values():
        task.cancel()
    await asyncio.gather(*host.tasks.values(), return_exceptions=True)
    journal.close()


ENDS: dict[str, Callable[[Host], None]] = {
    "it painted": lambda host: host.sessions.observed.store_first_frame("a"),
    "its container ended": lambda host: host.sessions.observed.store_container(
        "a", container("a", ContainerState.EXITED)
    ),
    "its container is gone": lambda host: host.sessions.observed.store_container("a", None),
    "it failed": lambda host: host.sessions.observed.update_record("a", failure="no page"),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
async def test_a_place_is_held_until_the_first_frame_or_the_end(host: Host, end: Callable[[Host], None]):
    await host.start("a", "b", "c")
    assert host.begun == ["a", "b"], "both run, and paint"
    host.sessions.due.take()
    end(host)
    await others_go_on()
    assert host.begun == ["a", "b", "c"]
    assert "a" in (host.sessions.due.take() or ()), "its share of the CPU may have to change"


async def test_a_container_that_starts_again_paints_again(host: Host):
    await host.start("a")
    host.sessions.observed.store_first_frame("a")
    host.sessions.observed.store_container("a", container("a", ContainerState.EXITED))
    await host.start("a")
    assert host.starts.low_cpu_sessions == {"a"}


async def test_what_never_paints_gives_its_place_away_with_a_reason(host: Host, monkeypatch: pytest.MonkeyPatch):
    await host.start("a", "b", "c")
    host.starts.adjust_slots()
    assert host.begun == ["a", "b"]
    monkeypatch.setattr(agent_starts, "SLOT_LIMIT_S", 0.0)
    with capture_logs() as logs:
        host.starts.adjust_slots()
    await others_go_on()
    assert host.begun == ["a", "b", "c"]
    assert logs[0]["reason"] == "its first frame is missing 0 s after its container was started"


async def test_a_crowd_on_the_agents_host_holds_nothing_back_that_starts_elsewhere(
    host: Host, monkeypatch: pytest.MonkeyPatch
):
    host.lateness, host.on_other_machines = Lateness(queue=20.0), True
    await host.start("a", "b", "c", "d")
    host.starts.adjust_slots()
    await others_go_on()
    assert host.begun == ["a", "b", "c"], "one more place"
    monkeypatch.setattr(agent_starts, "SLOT_LIMIT_S", 0.0)
    monkeypatch.setattr(agent_starts, "MAX_SLOT_LIMIT_S", 0.0)
    host.starts.adjust_slots()
    assert host.starts.slot_count == 2, "the machines there did not keep up"


async def test_a_user_overtakes_the_refills_of_which_one_goes_on_beside(host: Host):
    await host.start("r1", "r2", "r3")
    await host.start("ann", "bob", "cy", user="u")
    assert host.begun == ["r1", "r2", "ann", "bob"]
    host.sessions.observed.store_first_frame("r1")
    host.sessions.observed.store_first_frame("ann")
    await others_go_on()
    assert host.begun[4:] == ["cy"], "one refill paints beside them already"
    host.sessions.observed.store_first_frame("r2")
    await others_go_on()
    assert host.begun[5:] == ["r3"]


async def test_refills_wait_a_moment_after_a_hand_over_and_users_do_not(host: Host, monkeypatch: pytest.MonkeyPatch):
    now_s = 100.0
    monkeypatch.setattr(agent_starts.time, "monotonic", lambda: now_s)
    await host.want("staged")
    await host.want("staged", user="ann", assignment="x")
    await host.start("r1")
    await host.start("bob", user="u")
    assert host.begun == ["bob"]
    now_s += AFTER_HANDOVER_S
    host.sessions.handed_over.emit("staged")
    host.starts.adjust_slots()
    await others_go_on()
    assert host.begun == ["bob"], "the hand-over is over only now"
    now_s += AFTER_HANDOVER_S
    host.starts.adjust_slots()
    await others_go_on()
    assert host.begun == ["bob", "r1"]


async def test_refills_begin_by_themselves_when_the_moment_is_over(host: Host):
    host.sessions.handed_over.emit("staged")
    await host.start("r1")
    assert host.begun == []
    await asyncio.wait_for(host.tasks["r1"], 60)
    assert host.begun == ["r1"]


async def test_hand_overs_hold_nothing_back_that_starts_elsewhere(host: Host):
    host.on_other_machines = True
    host.sessions.handed_over.emit("staged")
    await host.start("r1")
    assert host.begun == ["r1"]


async def test_a_workspace_that_does_not_start_lets_the_others_go_first(host: Host):
    await host.start("a", "b", "c", "d")
    await host.start("other", workspace="another")
    host.sessions.observed.update_record("a", failure="no page")
    await others_go_on()
    assert host.begun == ["a", "b", "other"]


async def test_a_refill_that_gets_a_user_starts_as_theirs_at_once(host: Host):
    await host.start("r1", "r2", "r3", "r4")
    await host.want("r4", user="ann")
    assert host.begun == ["r1", "r2", "r4"]
    await host.want("r1", user="bob")
    assert host.starts.low_cpu_sessions == {"r2"}


async def test_who_has_to_wait_says_so_and_when_it_is_over(host: Host):
    def steps(session_id: str) -> list[str]:
        return [step.name for step in host.sessions.observed.steps(session_id)]

    await host.start("a", "b", "c")
    assert (steps("b"), steps("c")) == (["received"], ["received", "queued"])
    host.sessions.observed.store_first_frame("a")
    await others_go_on()
    assert steps("c") == ["received", "queued", "admitted"]


async def test_what_is_not_wanted_any_more_leaves_the_queue_and_its_place(host: Host):
    await host.start("a", "b", "c", "d")
    await host.drop("c")
    assert host.given_up == ["c"]
    await host.drop("a")
    assert host.begun == ["a", "b", "d"]


async def test_one_that_is_cancelled_takes_no_place_along(host: Host):
    await host.start("a", "b", "c", "d")
    host.tasks["c"].cancel()
    host.sessions.observed.store_first_frame("a")
    await host.drop("c")
    await asyncio.wait([host.tasks["c"]])
    await others_go_on()
    assert host.begun == ["a", "b", "d"]


async def test_a_start_that_fails_holds_no_place(host: Host):
    async def fail() -> None:
        async with host.starts.slot("a"):
            raise RuntimeError

    await host.start("b")
    await host.want("a")
    with pytest.raises(RuntimeError):
        await fail()
    await host.start("c")
    assert host.begun == ["b", "c"]
