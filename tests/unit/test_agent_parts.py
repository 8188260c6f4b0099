"""Small parts of the Agent: the order of Managers, identity, capacity, health, pending reports."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import stat
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.waiting import eventually

from greenroom.agent.app import MAX_ROUND_AGE_S, AgentHealth, AgentMetrics
from greenroom.agent.capacity import NO_CAPACITY, UNAVAILABLE_AFTER_S, CapacityMeter, capacity_without_reserve
from greenroom.agent.fleet import checkin
from greenroom.agent.fleet.checkin import CheckInLoop
from greenroom.agent.fleet.identity import AgentIdentity
from greenroom.agent.fleet.manager_client import (
    tls_context,
)
from greenroom.agent.session.journal import Journal
from greenroom.agent.session.outbox import MAX_LOG_LINES, Outbox
from greenroom.agent.session.sessions import Sessions
from greenroom.core.errors import SetupError
from greenroom.runtimes.contract import RuntimeUnavailable
from greenroom.runtimes.simulated import SimulatedRuntime
from greenroom.wire.messages import Answer, LogLine, Observed, Registered

# Identity ---------------------------------------------------------------------------------------------------------

AGENT_ID = "1a2b3c4d-0000-4000-8000-000000000000"


def test_the_proposed_id_is_used_and_the_registration_kept_privately(tmp_path: Path):
    (tmp_path / "agent_id").write_text(AGENT_ID + "\n")
    identity = AgentIdentity.load(tmp_path)
    assert (identity.agent_id, identity.route, identity.credential) == (AGENT_ID, "1a2b3c4d", None)
    identity.store(_registered("secret"))
    identity.store(_registered(None))
    identity.close()
    again = AgentIdentity.load(tmp_path)
    assert again.bearer == f"Bearer {AGENT_ID}.secret"
    assert again.installation_id == "i"
    assert stat.S_IMODE((tmp_path / "identity.json").stat().st_mode) == 0o600
    again.close()


def test_an_id_that_was_replaced_does_not_inherit_the_credential(tmp_path: Path):
    (tmp_path / "agent_id").write_text(AGENT_ID)
    identity = AgentIdentity.load(tmp_path)
    identity.store(_registered("secret"))
    identity.close()
    (tmp_path / "agent_id").write_text(AGENT_ID.replace("1a2b", "ffff"))
    other = AgentIdentity.load(tmp_path)
    assert other.credential is None
    other.close()


def test_a_folder_keeps_its_id_until_the_agent_is_admitted_as_another(tmp_path: Path):
    (tmp_path / "agent_id").write_text(AGENT_ID.replace("1a2b", "ffff"))
    identity = AgentIdentity.load(tmp_path)
    identity.use_id(AGENT_ID)
    assert (identity.agent_id, (tmp_path / "agent_id").read_text()[:4]) == (AGENT_ID, "ffff")
    identity.store(_registered("secret"))
    assert (tmp_path / "agent_id").read_text().strip() == AGENT_ID
    identity.close()


def test_a_folder_serves_one_agent_at_a_time(tmp_path: Path):
    identity = AgentIdentity.load(tmp_path)
    with pytest.raises(SetupError, match="Another Agent is running"):
        AgentIdentity.load(tmp_path)
    identity.close()


def test_a_copy_of_a_folder_does_not_serve_beside_its_original(tmp_path: Path):
    original = AgentIdentity.load(tmp_path / "original")
    original.use_id(AGENT_ID)
    original.store(_registered("secret"))
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    AgentIdentity.load(tmp_path / "copy", "shared by replicas").close()
    sentence = rf"id {AGENT_ID} is running with the folder {tmp_path / 'original'}; .*/copy is a copy of it"
    with pytest.raises(SetupError, match=sentence):
        AgentIdentity.load(tmp_path / "copy")
    original.close()
    (tmp_path / "copy/lock").unlink()
    AgentIdentity.load(tmp_path / "copy").close()


def test_an_agent_with_the_id_of_one_of_another_installation_starts(tmp_path: Path):
    original = AgentIdentity.load(tmp_path / "original")
    original.use_id(AGENT_ID)
    original.store(_registered("secret"))
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    (tmp_path / "copy/identity.json").unlink()  # as `greenroom restore --as-copy` does
    AgentIdentity.load(tmp_path / "copy").close()
    original.close()


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [("agent_id", "nonsense", "instead of a UUID"), ("identity.json", "{", "is damaged")],
)
def test_a_damaged_file_is_named(tmp_path: Path, file: str, text: str, sentence: str):
    (tmp_path / file).write_text(text)
    with pytest.raises(SetupError, match=sentence):
        AgentIdentity.load(tmp_path)


def _registered(credential: str | None) -> Registered:
    return Registered(
        agent_id=AGENT_ID, credential=credential, incarnation=1, installation_id="i", db_epoch="e", zone_id="z"
    )


def test_certificates_are_verified():
    context = tls_context(None)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    with pytest.raises(SetupError, match="cannot be used"):
        tls_context(Path("/does/not/exist"))


# Capacity and health ------------------------------------------------------------------------------------------------


@given(st.floats(0.1, 512), st.integers(1 << 28, 1 << 44))
def test_the_host_keeps_a_tenth_at_most_a_gigabyte(cores: float, memory_bytes: int):
    capacity = capacity_without_reserve(cores, memory_bytes)
    kept = memory_bytes - capacity.memory_bytes
    assert kept == min(memory_bytes // 10, 1 << 30) or abs(kept - memory_bytes / 10) < 2
    assert capacity.cores == pytest.approx(cores, abs=0.001)


async def test_a_host_with_a_silent_runtime_offers_nothing_until_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    runtime, now, said = SimulatedRuntime("", "", folder=tmp_path), 0.0, list[tuple[str, str]]()
    noted = list[str]()
    meter = CapacityMeter(runtime, "host-1", lambda *row: said.append(row), now=lambda: now, on_read=noted.append)
    assert meter.capacity == NO_CAPACITY

    async def look(at_s: float) -> None:
        nonlocal now
        now = at_s
        await meter.try_read()

    await look(0)
    before = meter.capacity
    assert before.cores > 0
    with monkeypatch.context() as away:
        away.setattr(SimulatedRuntime, "capacity", _silent)
        await look(100)
        await look(100 + UNAVAILABLE_AFTER_S / 2)
        assert (meter.capacity, meter.runtime_error, said) == (before, "", []), "it may be started again"
        assert noted[-1] == "Docker is away."
        await look(100 + UNAVAILABLE_AFTER_S)
        await look(100 + 2 * UNAVAILABLE_AFTER_S)
        assert (meter.capacity, meter.runtime_error) == (NO_CAPACITY, "Docker is away.")
    await look(200 + 2 * UNAVAILABLE_AFTER_S)
    assert (meter.capacity, meter.runtime_error, noted[-1]) == (before, "", "")
    assert said == [
        ("agent-offers-nothing", "host-1 offers no capacity until its runtime answers again: Docker is away."),
        ("agent-offers-again", "The runtime of host-1 answers again; the host accepts sessions."),
    ]


async def _silent(runtime: SimulatedRuntime) -> object:
    raise RuntimeUnavailable("Docker is away.")


def test_healthy_while_rounds_are_made_and_the_runtime_answers():
    health = AgentHealth(started=0.0)
    assert health.report(1.0)[0]
    assert not health.report(MAX_ROUND_AGE_S + 1)[0]
    health.last_round = 100.0
    assert health.report(101.0) == (True, {"ok": True, "last_round_s": 1.0, "last_answer_s": None})
    health.manager_error = "No Manager can be reached"
    assert health.report(101.0)[0]
    health.runtime_error = "Docker does not answer"
    assert not health.report(101.0)[0]


# Results that wait for their report -----------------------------------------------------------------------------------


def _observed(session_id: str, generation: int) -> Observed:
    return Observed(session_id=session_id, generation=generation, state="running")


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(1, 3), st.booleans()),
            st.tuples(st.sampled_from(["send", "lose", "commit"]), st.booleans()),
        )
    )
)
def test_nothing_is_lost_however_messages_fail(events: list[Any]):
    """A model Manager that commits some messages and acknowledges the last of those ends up with the newest state."""
    outbox, received, newest, seq, acked = Outbox(), dict[str, Observed](), dict[str, Observed](), 0, 0
    for number, (event, *rest) in enumerate([*events, ("commit", True)]):
        if event == "put":
            observed = _observed(f"s{rest[0]}", number)
            newest[observed.session_id] = observed
            outbox.set_observation(observed, has_user=rest[1])
            continue
        seq += 1
        message = outbox.unacknowledged(seq, with_steps=rest[0])
        if event == "commit":
            received.update({observed.session_id: observed for observed in message})
            acked = seq
        if event != "lose":
            outbox.acknowledge(acked)
    assert received == newest
    assert outbox.unacknowledged(seq + 1) == []


def test_a_report_is_repeated_only_if_changed_or_for_a_new_manager():
    outbox = Outbox()
    outbox.set_observation(_observed("s1", 1))
    assert outbox.has_unsent()
    assert not outbox.is_waiting()
    outbox.unacknowledged(1)
    assert outbox.is_waiting()
    assert not outbox.has_unsent()
    outbox.set_observation(_observed("s1", 1))
    assert not outbox.has_unsent()
    outbox.acknowledge(1)
    assert outbox.unacknowledged(2) == []
    outbox.resend_all()
    assert outbox.unacknowledged(1) == [_observed("s1", 1)]


STAGED = Observed(session_id="s", generation=1, state="creating")


@pytest.mark.parametrize(
    ("before", "now", "has_user", "presses"),
    [
        (None, STAGED, False, False),
        (STAGED, replace(STAGED, state="running"), False, False),
        (None, STAGED, True, True),
        (STAGED, replace(STAGED, state="running", usable=True), False, True),
        (replace(STAGED, state="running", usable=True), replace(STAGED, state="running"), False, True),
        (STAGED, replace(STAGED, state="running", broken=True), False, True),
        (STAGED, replace(STAGED, state="failed"), False, True),
        (STAGED, replace(STAGED, state="absent"), False, True),
    ],
)
def test_only_steps_of_a_staged_start_may_wait(before: Observed | None, now: Observed, has_user: bool, presses: bool):
    outbox = Outbox()
    if before is not None:
        outbox.set_observation(before, has_user=has_user)
        outbox.unsent.clear()
        outbox.urgent.clear()
    outbox.set_observation(now, has_user=has_user)
    assert (outbox.unsent.is_set(), outbox.urgent.is_set()) == (True, presses)


class Reporting(CheckInLoop):
    """An Agent's reporting without sending; the content of a message is in `sent`."""

    def __init__(
        self, sessions: Sessions, identity: AgentIdentity | None = None, host: RegisteringHost | None = None
    ) -> None:
        given = cast("Any", host)
        super().__init__(
            identity=cast("Any", identity), sessions=sessions, manager_client=given, host=given,
            health=cast("Any", None), metrics=AgentMetrics(), join_token_file=None,
        )  # fmt: skip
        self._registered = host is None
        self.sent = list[list[Observed]]()

    async def _poll_once(self) -> None:
        await self._check_in(hold_s=0.0)
        await asyncio.Event().wait()

    async def _check_in(self, hold_s: float) -> tuple[bool, Answer]:
        self.sent.append(self.sessions.outbox.unacknowledged(len(self.sent) + 1))
        self.sessions.outbox.acknowledge(len(self.sent))
        return False, cast("Answer", None)


async def test_the_steps_of_a_staged_start_travel_with_what_presses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sessions = Sessions(Journal(tmp_path / "journal.jsonl"))
    loop, outbox = Reporting(sessions), sessions.outbox
    task = asyncio.create_task(loop.report())
    monkeypatch.setattr(checkin, "STEP_REPORT_DELAY_S", 60.0)
    outbox.set_observation(STAGED, has_user=False)
    await asyncio.sleep(0.05)  # to see that nothing is sent
    outbox.set_observation(usable := replace(STAGED, state="running", usable=True), has_user=False)
    await eventually(lambda: loop.sent)
    assert loop.sent == [[usable]]
    monkeypatch.setattr(checkin, "STEP_REPORT_DELAY_S", 0.01)
    outbox.set_observation(later := replace(STAGED, session_id="t"), has_user=False)
    await eventually(lambda: len(loop.sent) > 1)
    assert loop.sent[1:] == [[later]]
    task.cancel()


class RegisteringHost:
    """A Manager that answers every registration, and a host that can be read from `is_read` on."""

    def __init__(self) -> None:
        self.managers = self
        self.is_registered = asyncio.Event()
        self.is_read = asyncio.Event()

    def set_listed(self, urls: object) -> None: ...

    async def ask(self, *_: object) -> Registered:
        return _registered("secret")

    def set_installation(self, installation_id: str) -> None:
        self.is_registered.set()

    async def wait_until_inspected(self) -> None:
        await self.is_read.wait()


async def test_no_observation_is_sent_before_the_host_was_read(tmp_path: Path):
    (tmp_path / "agent_id").write_text(AGENT_ID)
    sessions, host = Sessions(journal := Journal(tmp_path / "journal.jsonl")), RegisteringHost()
    journal.open()
    loop = Reporting(sessions, identity=AgentIdentity.load(tmp_path), host=host)
    tasks = [asyncio.create_task(loop.report()), asyncio.create_task(loop.poll())]
    await host.is_registered.wait()
    sessions.outbox.set_observation(usable := replace(STAGED, state="running", usable=True), has_user=False)
    await eventually(lambda: not sessions.outbox.unsent.is_set())
    assert loop.sent == []
    host.is_read.set()
    await eventually(lambda: loop.sent)
    assert loop.sent[0] == [usable]
    for task in tasks:
        task.cancel()


def test_log_rows_are_bounded_and_drops_are_counted():
    outbox = Outbox()
    for number in range(MAX_LOG_LINES + 5):
        outbox.add_log_line(LogLine(at=0.0, level="INFO", code="x", message=str(number)))
    for _ in range(3):  # messages that failed
        taken = outbox.take_log_lines()
        outbox.return_log_lines(taken)
    kept = outbox.take_log_lines()
    assert len(kept) == MAX_LOG_LINES + 1
    assert kept[-2].message == str(MAX_LOG_LINES + 4)
    assert (kept[-1].code, kept[-1].message.split()[0]) == ("log-rows-dropped", "5")
    assert outbox.log_lines_dropped == 5
    assert outbox.take_log_lines() == []
