"""Small parts of the Agent: the order of Managers, identity, capacity, health, what waits to be told."""

from __future__ import annotations

import asyncio
import socket
import ssl
import stat
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.agent.app import ROUND_MISSED_S, Health
from greenroom.agent.capacity import NOTHING, SILENT_AFTER_S, CapacityMeter, offered
from greenroom.agent.fleet import manager_client
from greenroom.agent.fleet.identity import Identity
from greenroom.agent.fleet.manager_client import (
    LAST_RESORT_S,
    MAX_PAUSE_S,
    ManagerClient,
    ManagerFailover,
    NoManager,
    tls_context,
)
from greenroom.agent.session.outbox import MAX_LOG_LINES, Outbox
from greenroom.core.backoff import Backoff
from greenroom.core.errors import SetupError
from greenroom.runtimes.contract import RuntimeUnavailable
from greenroom.runtimes.simulated import SimulatedRuntime
from greenroom.wire.messages import LogLine, Observed, Register, Registered

A, B, C = "https://a", "https://b", "https://c"


# Managers ---------------------------------------------------------------------------------------------------------


def test_the_primary_is_first_and_configured_ones_stay_as_the_last_resort():
    managers = ManagerFailover([A, B])
    managers.learn([C + "/", A])
    assert managers.urls == [C, A, B]
    managers.learn([])
    assert managers.urls == [C, A, B]


def test_after_a_failure_the_next_one_is_asked_at_once():
    managers = ManagerFailover([A, B])
    managers.failed(A, now=0.0, retry_after_s=None, spread=0.0)
    assert managers.best(0.0) == B


def test_a_disabled_one_is_not_asked_before_its_retry_after():
    managers = ManagerFailover([A, B])
    managers.failed(A, now=0.0, retry_after_s=30.0, spread=0.5)
    assert managers.best(30.0) == B
    assert managers.best(30.5) == A


def test_while_all_are_left_aside_each_is_tried_in_turn_at_once_and_then_with_pauses():
    managers = ManagerFailover([A, B, C])
    for second, url in enumerate([A, B, C]):
        managers.failed(url, now=float(second), retry_after_s=30.0, spread=1.0)
    tried = list[str | None]()
    now = 2.5
    for _ in range(4):
        tried.append(url := managers.best(now, asked=[C] if not tried else []))
        assert url is not None
        managers.failed(url, now=now, retry_after_s=30.0, spread=1.0)
        assert managers.best(now) is None
        pause_s = managers.wait_s(now)
        assert 0 < pause_s <= LAST_RESORT_S
        now += pause_s
    assert tried == [A, B, C, A]


def test_a_silent_manager_does_not_hide_one_that_was_enabled_again():
    managers, now = ManagerFailover([A, B]), 0.0
    managers.failed(A, now=now, retry_after_s=30.0, spread=0.5)
    while (url := managers.best(now)) != A:
        if url is None:
            now += managers.wait_s(now)
        else:
            managers.failed(url, now=now, retry_after_s=None, spread=0.5)
    assert now < 10


def test_one_that_became_primary_after_it_was_left_aside_is_asked_at_once():
    managers = ManagerFailover([A, B])
    managers.learn([A, B])
    managers.is_primary(A, 7)
    managers.failed(A, now=0.0, retry_after_s=30.0, spread=0.0)
    managers.is_primary(A, 7)
    assert managers.best(1.0) == B, "an answer on its way since before it was disabled"
    managers.is_primary(B, 8)
    assert managers.best(1.0) == B
    managers.is_primary(A, 9)
    assert managers.best(1.0) == A


def test_while_the_first_is_left_aside_for_a_moment_no_other_holds_an_answer_longer():
    managers = ManagerFailover([A, B, C])
    assert managers.may_hold_s(A, 0.0) == float("inf")
    pause_s = managers.failed(A, now=0.0, retry_after_s=None, spread=0.0)
    managers.failed(B, now=0.0, retry_after_s=30.0, spread=0.0)
    assert managers.best(0.0) == C
    assert managers.may_hold_s(C, 0.0) == pytest.approx(pause_s)


def test_a_silent_manager_is_skipped_for_a_lease_then_asked_briefly():
    managers = ManagerFailover([A, B])
    pause_s = managers.failed(A, now=3.0, retry_after_s=None, spread=0.0, silent=True)
    assert managers.best(5.9) == B
    assert managers.best(3.0 + pause_s) == A
    assert managers.may_hold_s(A, 3.0 + pause_s) == 0.0
    managers.answered(A)
    assert managers.may_hold_s(A, 3.0 + pause_s) == float("inf")


async def test_managers_that_are_frozen_do_not_keep_the_agent_from_the_next_one(monkeypatch: pytest.MonkeyPatch):
    """However long they are waited for: when the second is given up, the first may be tried again."""
    monkeypatch.setattr(manager_client, "ANSWER_S", 0.1)
    monkeypatch.setattr(manager_client, "SILENT_BACKOFF", Backoff(first_s=0.05, max_s=10.0))
    body = msgspec.json.encode(_registered(None))
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async def works(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with AsyncExitStack() as stack:
        frozen = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        working = await stack.enter_async_context(await asyncio.start_server(works, "127.0.0.1", 0))
        urls = [f"http://127.0.0.1:{each.getsockname()[1]}" for each in (*frozen, working.sockets[0])]
        left: list[str] = []
        link = ManagerClient(ManagerFailover(urls), None, left.append)
        stack.push_async_callback(link.close)
        for each in frozen:
            stack.callback(each.close)
        async with asyncio.timeout(30):
            answered = await link.ask("/register", Register(machine_id="m", hostname="h"), Registered)
    assert answered.agent_id == AGENT_ID
    assert left[:2] == ["silent", "silent"]  # on a busy machine the one that works is late, too


@pytest.mark.parametrize("url", ["https://m 1:8443", "https://127.0.0.1:99999", "https://xn--", "m1:8443"])
async def test_an_address_that_cannot_be_used_is_one_managers_trouble(url: str):
    """A Manager is told its address by its administrator, and tells it to all Agents of the zone."""
    link = ManagerClient(ManagerFailover([url]), None)
    try:
        with pytest.raises(NoManager):
            await link.ask("/register", Register(machine_id="m", hostname="h"), Registered)
    finally:
        await link.close()


def test_the_other_questions_that_fail_with_it_do_not_shorten_the_pause():
    managers = ManagerFailover([A, B])
    managers.failed(A, now=0.0, retry_after_s=30.0, spread=0.0)
    assert managers.failed(A, now=0.1, retry_after_s=None, spread=0.0) == pytest.approx(29.9)
    assert managers.best(29.9) == B
    assert managers.best(30.0) == A


def test_an_answer_forgets_the_failures():
    managers = ManagerFailover([A])
    for second in range(0, 50, 10):
        managers.failed(A, now=float(second), retry_after_s=None, spread=1.0)
    managers.answered(A)
    assert managers.failed(A, now=0.0, retry_after_s=None, spread=1.0) == pytest.approx(0.25)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), min_size=1, max_size=30))
def test_pauses_are_bounded_and_every_manager_comes_back(failures: list[tuple[float, float]]):
    managers, now = ManagerFailover([A]), 0.0
    for later_s, spread in failures:
        now += later_s
        pause_s = managers.failed(A, now=now, retry_after_s=None, spread=spread)
        assert 0 < pause_s <= MAX_PAUSE_S
        assert managers.best(now + pause_s + 1e-6) == A


# Identity ---------------------------------------------------------------------------------------------------------

AGENT_ID = "1a2b3c4d-0000-4000-8000-000000000000"


def test_the_proposed_id_is_used_and_what_was_registered_is_kept_privately(tmp_path: Path):
    (tmp_path / "agent_id").write_text(AGENT_ID + "\n")
    identity = Identity.load(tmp_path)
    assert (identity.agent_id, identity.route, identity.credential) == (AGENT_ID, "1a2b3c4d", None)
    identity.take(_registered("secret"))
    identity.take(_registered(None))
    identity.close()
    again = Identity.load(tmp_path)
    assert again.bearer == f"Bearer {AGENT_ID}.secret"
    assert again.installation_id == "i"
    assert stat.S_IMODE((tmp_path / "identity.json").stat().st_mode) == 0o600
    again.close()


def test_an_id_that_was_replaced_does_not_inherit_the_credential(tmp_path: Path):
    (tmp_path / "agent_id").write_text(AGENT_ID)
    identity = Identity.load(tmp_path)
    identity.take(_registered("secret"))
    identity.close()
    (tmp_path / "agent_id").write_text(AGENT_ID.replace("1a2b", "ffff"))
    other = Identity.load(tmp_path)
    assert other.credential is None
    other.close()


def test_a_folder_keeps_its_id_until_the_agent_is_admitted_as_another(tmp_path: Path):
    (tmp_path / "agent_id").write_text(AGENT_ID.replace("1a2b", "ffff"))
    identity = Identity.load(tmp_path)
    identity.propose(AGENT_ID)
    assert (identity.agent_id, (tmp_path / "agent_id").read_text()[:4]) == (AGENT_ID, "ffff")
    identity.take(_registered("secret"))
    assert (tmp_path / "agent_id").read_text().strip() == AGENT_ID
    identity.close()


def test_a_folder_serves_one_agent_at_a_time(tmp_path: Path):
    identity = Identity.load(tmp_path)
    with pytest.raises(SetupError, match="Another Agent is running"):
        Identity.load(tmp_path)
    identity.close()


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [("agent_id", "nonsense", "does not hold a uuid"), ("identity.json", "{", "is damaged")],
)
def test_a_damaged_file_is_named(tmp_path: Path, file: str, text: str, sentence: str):
    (tmp_path / file).write_text(text)
    with pytest.raises(SetupError, match=sentence):
        Identity.load(tmp_path)


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
    capacity = offered(cores, memory_bytes)
    kept = memory_bytes - capacity.memory_bytes
    assert kept == min(memory_bytes // 10, 1 << 30) or abs(kept - memory_bytes / 10) < 2
    assert capacity.cores == pytest.approx(cores, abs=0.001)


async def test_a_host_whose_runtime_is_silent_offers_nothing_until_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    runtime, now, said = SimulatedRuntime("", "", folder=tmp_path), 0.0, list[tuple[str, str]]()
    noted = list[str]()
    meter = CapacityMeter(runtime, "host-1", lambda *row: said.append(row), now=lambda: now, note=noted.append)
    assert meter.capacity == NOTHING

    async def look(at_s: float) -> None:
        nonlocal now
        now = at_s
        await meter.look()

    await look(0)
    before = meter.capacity
    assert before.cores > 0
    with monkeypatch.context() as away:
        away.setattr(SimulatedRuntime, "capacity", _silent)
        await look(100)
        await look(100 + SILENT_AFTER_S / 2)
        assert (meter.capacity, meter.runtime_error, said) == (before, "", []), "it may be started again"
        assert noted[-1] == "Docker is away."
        await look(100 + SILENT_AFTER_S)
        await look(100 + 2 * SILENT_AFTER_S)
        assert (meter.capacity, meter.runtime_error) == (NOTHING, "Docker is away.")
    await look(200 + 2 * SILENT_AFTER_S)
    assert (meter.capacity, meter.runtime_error, noted[-1]) == (before, "", "")
    assert said == [
        ("agent-offers-nothing", "host-1 offers nothing until its runtime answers again: Docker is away."),
        ("agent-offers-again", "The runtime of host-1 answers; it takes sessions."),
    ]


async def _silent(runtime: SimulatedRuntime) -> object:
    raise RuntimeUnavailable("Docker is away.")


def test_healthy_while_rounds_are_made_and_the_runtime_answers():
    health = Health(started=0.0)
    assert health.report(1.0)[0]
    assert not health.report(ROUND_MISSED_S + 1)[0]
    health.last_round = 100.0
    assert health.report(101.0) == (True, {"ok": True, "last_round_s": 1.0, "last_answer_s": None})
    health.manager_error = "No Manager can be reached"
    assert health.report(101.0)[0]
    health.runtime_error = "Docker does not answer"
    assert not health.report(101.0)[0]


# What waits to be told ----------------------------------------------------------------------------------------------


def _observed(session_id: str, generation: int) -> Observed:
    return Observed(session_id=session_id, generation=generation, state="running")


@given(st.lists(st.one_of(st.tuples(st.just("put"), st.integers(1, 3)), st.sampled_from(["send", "lose", "commit"]))))
def test_nothing_is_lost_however_messages_fail(events: list[object]):
    """A model Manager that commits some messages and acknowledges the last of those ends up with the newest state."""
    outbox, heard, newest, seq, acked = Outbox(), dict[str, Observed](), dict[str, Observed](), 0, 0
    for number, event in enumerate([*events, "commit"]):
        if isinstance(event, tuple):
            observed = _observed(f"s{event[1]}", number)
            newest[observed.session_id] = observed
            outbox.put(observed)
            continue
        seq += 1
        message = outbox.unacknowledged(seq)
        if event == "commit":
            heard.update({observed.session_id: observed for observed in message})
            acked = seq
        if event != "lose":
            outbox.acknowledge(acked)
    assert heard == newest
    assert outbox.unacknowledged(seq + 1) == []


def test_what_was_said_is_not_said_again_unless_it_changed_or_the_manager_is_new():
    outbox = Outbox()
    outbox.put(_observed("s1", 1))
    assert outbox.has_unsent()
    assert not outbox.is_waiting()
    outbox.unacknowledged(1)
    assert outbox.is_waiting()
    assert not outbox.has_unsent()
    outbox.put(_observed("s1", 1))
    assert not outbox.has_unsent()
    outbox.acknowledge(1)
    assert outbox.unacknowledged(2) == []
    outbox.start_again()
    assert outbox.unacknowledged(1) == [_observed("s1", 1)]


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
