"""The order in which an Agent tries the Managers of its zone."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.agent.fleet import manager_client
from greenroom.agent.fleet.manager_client import (
    LAST_RESORT_PAUSE_S,
    MAX_PAUSE_S,
    ManagerClient,
    ManagerFailover,
    NoManager,
)
from greenroom.core.rate_limits import Backoff
from greenroom.wire.messages import Register, Registered

A, B, C = "https://a", "https://b", "https://c"
REGISTERED = Registered(agent_id="agent", incarnation=1, installation_id="i", db_epoch="e", zone_id="z")


def test_the_primary_is_first_and_configured_ones_are_the_last_resort():
    managers = ManagerFailover([A, B])
    managers.set_listed([C + "/", A])
    assert managers.urls == [C, A, B]
    managers.set_listed([])
    assert managers.urls == [C, A, B]


def test_after_a_failure_the_next_one_is_asked_at_once():
    managers = ManagerFailover([A, B])
    managers.record_failure(A, now=0.0, retry_after_s=None, spread=0.0)
    assert managers.next_manager(0.0) == B


def test_a_disabled_one_is_not_asked_before_its_retry_after():
    managers = ManagerFailover([A, B])
    managers.record_failure(A, now=0.0, retry_after_s=30.0, spread=0.5)
    assert managers.next_manager(30.0) == B
    assert managers.next_manager(30.5) == A


def test_with_all_in_back_off_each_is_tried_at_once_then_with_pauses():
    managers = ManagerFailover([A, B, C])
    for second, url in enumerate([A, B, C]):
        managers.record_failure(url, now=float(second), retry_after_s=30.0, spread=1.0)
    tried = list[str | None]()
    now = 2.5
    for _ in range(4):
        tried.append(url := managers.next_manager(now, tried=[C] if not tried else []))
        assert url is not None
        managers.record_failure(url, now=now, retry_after_s=30.0, spread=1.0)
        assert managers.next_manager(now) is None
        pause_s = managers.wait_s(now)
        assert 0 < pause_s <= LAST_RESORT_PAUSE_S
        now += pause_s
    assert tried == [A, B, C, A]


@pytest.mark.parametrize("retry_after_s", [30.0, None])
def test_requests_that_fail_together_all_go_on_where_the_others_back_off(retry_after_s: float | None):
    """As when the last of three is disabled and the others, disabled before, are back: each request must find one."""
    managers = ManagerFailover([A, B, C])
    managers.record_failure(A, now=0.0, retry_after_s=30.0, spread=0.0)
    managers.record_failure(B, now=5.0, retry_after_s=30.0, spread=0.0)
    managers.record_failure(C, now=10.0, retry_after_s=30.0, spread=0.0, asked_at=9.0)
    assert managers.next_manager(10.0, tried=[C]) == A
    managers.record_failure(C, now=10.1, retry_after_s=retry_after_s, spread=0.0, asked_at=9.5)
    assert managers.next_manager(10.1, tried=[C]) == A
    managers.record_failure(A, now=10.2, retry_after_s=30.0, spread=0.0, asked_at=10.1)
    assert managers.next_manager(10.2) is None, "that one was tried as the last resort"


def test_a_silent_manager_does_not_hide_one_that_was_enabled_again():
    managers, now = ManagerFailover([A, B]), 0.0
    managers.record_failure(A, now=now, retry_after_s=30.0, spread=0.5)
    while (url := managers.next_manager(now)) != A:
        if url is None:
            now += managers.wait_s(now)
        else:
            managers.record_failure(url, now=now, retry_after_s=None, spread=0.5)
    assert now < 10


def test_one_that_became_primary_after_a_back_off_is_asked_at_once():
    managers = ManagerFailover([A, B])
    managers.set_listed([A, B])
    managers.set_primary(A, 7)
    managers.record_failure(A, now=0.0, retry_after_s=30.0, spread=0.0)
    managers.set_primary(A, 7)
    assert managers.next_manager(1.0) == B, "an answer on its way since before it was disabled"
    managers.set_primary(B, 8)
    assert managers.next_manager(1.0) == B
    managers.set_primary(A, 9)
    assert managers.next_manager(1.0) == A


def test_during_the_firsts_back_off_no_other_holds_an_answer_longer():
    managers = ManagerFailover([A, B, C])
    assert managers.max_hold_s(A, 0.0) == float("inf")
    pause_s = managers.record_failure(A, now=0.0, retry_after_s=None, spread=0.0)
    managers.record_failure(B, now=0.0, retry_after_s=30.0, spread=0.0)
    assert managers.next_manager(0.0) == C
    assert managers.max_hold_s(C, 0.0) == pytest.approx(pause_s)


def test_a_silent_manager_is_skipped_for_a_lease_then_asked_briefly():
    managers = ManagerFailover([A, B])
    pause_s = managers.record_failure(A, now=3.0, retry_after_s=None, spread=0.0, timed_out=True)
    assert managers.next_manager(5.9) == B
    assert managers.next_manager(3.0 + pause_s) == A
    assert managers.max_hold_s(A, 3.0 + pause_s) == 0.0
    managers.record_answer(A)
    assert managers.max_hold_s(A, 3.0 + pause_s) == float("inf")


async def test_frozen_managers_do_not_keep_the_agent_from_the_next_one(monkeypatch: pytest.MonkeyPatch):
    """Even with long waits: when the second Manager times out, the first may be tried again."""
    monkeypatch.setattr(manager_client, "ANSWER_S", 0.1)
    monkeypatch.setattr(manager_client, "TIMEOUT_BACKOFF", Backoff(first_s=0.05, max_s=10.0))
    body = msgspec.json.encode(REGISTERED)
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
            answered = await link.ask("/register", Register(machine_id="m", place="p", hostname="h"), Registered)
    assert answered.agent_id == REGISTERED.agent_id
    assert left[:2] == ["silent", "silent"]  # on a busy machine the working one is late, too


@pytest.mark.parametrize("url", ["https://m 1:8443", "https://127.0.0.1:99999", "https://xn--", "m1:8443"])
async def test_an_address_that_cannot_be_used_concerns_one_manager(url: str):
    """A Manager gets its address from its administrator, and sends it to all Agents of the zone."""
    link = ManagerClient(ManagerFailover([url]), None)
    try:
        with pytest.raises(NoManager):
            await link.ask("/register", Register(machine_id="m", place="p", hostname="h"), Registered)
    finally:
        await link.close()


def test_a_manager_without_its_database_is_asked_after_the_others():
    managers = ManagerFailover([A, B])
    assert managers.record_outdated_answer(A, now=0.0, spread=0.0)
    assert managers.next_manager(0.0) == B, "which may have it"
    assert 0 < managers.max_hold_s(B, 0.0) <= MAX_PAUSE_S, "the first is tried again later"
    managers.record_answer(B)
    assert managers.next_manager(MAX_PAUSE_S) == A


def test_with_all_without_database_each_is_asked_and_holds_its_answer():
    managers = ManagerFailover([A, B])
    assert managers.record_outdated_answer(A, now=0.0, spread=0.0)
    assert managers.record_outdated_answer(B, now=1.0, spread=0.0)
    assert managers.next_manager(1.0) == A
    assert managers.max_hold_s(A, 1.0) == float("inf")
    assert not managers.record_outdated_answer(A, now=2.0, spread=0.0), "as before"
    assert managers.next_manager(2.0) == B
    assert managers.max_hold_s(B, 2.0) > 1.0


def test_the_only_manager_is_not_left_when_it_loses_the_database():
    managers = ManagerFailover([A])
    assert not managers.record_outdated_answer(A, now=0.0, spread=0.0)
    assert managers.next_manager(0.0) == A
    assert managers.max_hold_s(A, 0.0) == float("inf")


def test_one_that_lost_the_database_and_then_fails_backs_off():
    managers = ManagerFailover([A, B])
    managers.record_outdated_answer(A, now=0.0, spread=0.0)
    managers.record_failure(A, now=1.0, retry_after_s=30.0, spread=0.0)
    managers.record_outdated_answer(B, now=1.0, spread=0.0)
    assert managers.next_manager(1.0) == B, "it alone answers"


def test_other_requests_that_fail_with_it_do_not_shorten_the_pause():
    managers = ManagerFailover([A, B])
    managers.record_failure(A, now=0.0, retry_after_s=30.0, spread=0.0)
    assert managers.record_failure(A, now=0.1, retry_after_s=None, spread=0.0) == pytest.approx(29.9)
    assert managers.next_manager(29.9) == B
    assert managers.next_manager(30.0) == A


def test_an_answer_forgets_the_failures():
    managers = ManagerFailover([A])
    for second in range(0, 50, 10):
        managers.record_failure(A, now=float(second), retry_after_s=None, spread=1.0)
    managers.record_answer(A)
    assert managers.record_failure(A, now=0.0, retry_after_s=None, spread=1.0) == pytest.approx(0.25)


def test_a_name_of_another_network_is_asked_more_and_more_rarely_until_it_answers():
    managers = ManagerFailover([A])
    managers.set_listed([B, A])

    def longest_pause_s() -> float:
        return max(managers.record_failure(B, now=1000.0 * n, retry_after_s=None, spread=1.0) for n in range(14))

    assert longest_pause_s() == 300.0
    assert managers.next_manager(14_000.0 - 800.0) == A, "and the others go first meanwhile"
    managers.record_answer(B)
    assert longest_pause_s() == MAX_PAUSE_S


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), min_size=1, max_size=30))
def test_pauses_are_bounded_and_every_manager_comes_back(failures: list[tuple[float, float]]):
    managers, now = ManagerFailover([A]), 0.0
    for later_s, spread in failures:
        now += later_s
        pause_s = managers.record_failure(A, now=now, retry_after_s=None, spread=spread)
        assert 0 < pause_s <= MAX_PAUSE_S
        assert managers.next_manager(now + pause_s + 1e-6) == A
