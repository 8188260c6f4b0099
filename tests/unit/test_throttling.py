"""How often somebody may be wrong, whose turn it is, and which rows are evidence."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.errors import TooManyRequests
from greenroom.core.security_events import MAX_REMEMBERED, SECURITY_CODES, Repeats, is_security_event, source_of
from greenroom.core.texts import one_line
from greenroom.core.throttling import MAX_PAUSE_S, Failures, pause_s
from greenroom.kit.turns import Turns

LIMITS = {"most": 50, "window_s": 300}


@given(st.lists(st.floats(0, 30), min_size=200, max_size=400))
def test_no_address_fails_more_often_than_its_window_allows(pauses: list[float]):
    failures, now, failed = Failures(), 0.0, list[float]()
    for pause in pauses:
        now += pause
        if failures.wait_s("password", "a", now, **LIMITS) == 0:
            failures.failed("password", "a", now, **LIMITS)
            failed.append(now)
    assert all(later - first > 299 for first, later in zip(failed, failed[100:], strict=False))


def test_fifty_at_once_then_one_every_six_seconds_and_nobody_else_waits():
    failures = Failures()
    for _ in range(50):
        assert failures.wait_s("password", "a", 0, **LIMITS) == 0
        failures.failed("password", "a", 0, **LIMITS)
    assert failures.wait_s("password", "a", 0, **LIMITS) == pytest.approx(6)
    assert failures.wait_s("password", "a", 6.1, **LIMITS) == 0
    assert failures.wait_s("password", "b", 0, **LIMITS) == failures.wait_s("key", "a", 0, **LIMITS) == 0


@given(st.integers(0, 10**6))
def test_the_pause_of_an_account_grows_and_is_no_lock(failures: int):
    assert 0 <= pause_s(failures) <= pause_s(failures + 1) <= MAX_PAUSE_S
    assert (pause_s(failures) == 0) == (failures < 20)


async def test_turns_go_round_by_source():
    turns, served = Turns(1, most_waiting=100, most_of_one=50), list[str]()

    async def one(source: str) -> None:
        async with turns.turn(source):
            served.append(source)
            await asyncio.sleep(0)

    flood = [asyncio.create_task(one("flood")) for _ in range(30)]
    await asyncio.sleep(0)
    await asyncio.gather(*flood, one("person"), one("another"))
    assert max(served.index("person"), served.index("another")) <= 5
    assert len(served) == 32


async def test_who_leaves_the_queue_loses_nobody_a_turn_and_the_queue_is_bounded():
    turns = Turns(1, most_waiting=3, most_of_one=2)
    async with turns.turn("a"):
        waiting = [asyncio.create_task(turns.turn(source).__aenter__()) for source in ("b", "b", "c")]
        await asyncio.sleep(0)
        for source in ("b", "d"):
            with pytest.raises(TooManyRequests) as refused:
                await turns.turn(source).__aenter__()
            assert refused.value.details["retry_after_s"] > 0
        waiting[0].cancel()
        await asyncio.sleep(0)
    await waiting[2]


async def test_a_turn_that_came_to_somebody_who_left_goes_on():
    turns = Turns(1, most_waiting=3, most_of_one=2)
    async with turns.turn("a"):
        left = asyncio.create_task(turns.turn("b").__aenter__())
        await asyncio.sleep(0)
    left.cancel()
    await asyncio.wait([left])
    async with asyncio.timeout(10), turns.turn("c"):
        pass


def test_of_too_many_kinds_there_is_one_number():
    repeats = Repeats[int](60)
    assert sum(repeats.is_first(kind, 0, "it") for kind in range(3 * MAX_REMEMBERED)) == MAX_REMEMBERED
    ((kind, others),) = repeats.due(60)
    assert (kind, others.count) == (None, 2 * MAX_REMEMBERED)


def test_what_goes_on_is_a_row_a_minute_and_what_ended_is_forgotten():
    repeats = Repeats[str](60)
    assert repeats.is_first("a", 0, "it")
    for now in range(1, 50):
        assert not repeats.is_first("a", now, "it")
    assert repeats.due(59) == []
    assert [(kind, seen.count) for kind, seen in repeats.due(60)] == [("a", 49)]
    assert not repeats.is_first("a", 61, "it")
    assert [seen.count for _, seen in repeats.due(120)] == [1]
    assert repeats.due(180) == []
    assert repeats.is_first("a", 181, "it")


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("an unknown address", "an unknown address"),
    ],
)
def test_a_source_is_a_customer(address: str, source: str):
    assert source_of(address) == source


def test_evidence_is_what_the_table_says_and_changes_that_the_api_wrote():
    assert all(is_security_event("agent", code, {}) for code in SECURITY_CODES)
    assert is_security_event("api", "zone-changed", {"who": "eve"})
    assert not is_security_event("agent", "zone-changed", {"who": "eve"})
    assert not is_security_event("api", "staging-miss", {})


def test_a_name_breaks_and_turns_no_line():
    assert one_line("Zoë\u202egpj.exe\n\x1b[2J\u2028") == "Zoë\\u202egpj.exe\\u000a\\u001b[2J\\u2028"
    assert one_line("plain — with “quotes” 東京") == "plain — with “quotes” 東京"


@given(st.text())
def test_one_line_is_one_line(text: str):
    assert len(one_line(text).splitlines()) <= 1
