"""How often a user may be wrong, whose turn it is, and which rows are evidence."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.errors import TooManyRequests
from greenroom.core.rate_limits import FIRST_PAUSE_S, MAX_SOURCES, TURNS_FROM, Failure, Failures, account_wait_s
from greenroom.core.security_events import (
    MAX_NAMES,
    MAX_REMEMBERED,
    Repeats,
    source_of,
)
from greenroom.core.wording import one_line
from greenroom.kit.concurrency import Turns

WINDOW_S = 300
LIMITS = {"most": 50, "window_s": WINDOW_S}


@given(st.lists(st.floats(0, 30), min_size=200, max_size=400))
def test_no_address_fails_more_often_than_its_window_allows(pauses: list[float]):
    failures, now, failed = Failures(), 0.0, list[float]()
    for pause in pauses:
        now += pause
        if failures.wait_s("password", "a", now, **LIMITS) == 0:
            failures.failed("password", "a", now, **LIMITS)
            failed.append(now)
    assert all(later - first > 299 for first, later in zip(failed, failed[100:], strict=False))


def test_fifty_at_once_then_one_every_six_seconds_and_no_other_waits():
    failures = Failures()
    for _ in range(50):
        assert failures.wait_s("password", "a", 0, **LIMITS) == 0
        failures.failed("password", "a", 0, **LIMITS)
    assert failures.wait_s("password", "a", 0, **LIMITS) == pytest.approx(6)
    assert failures.wait_s("password", "a", 6.1, **LIMITS) == 0
    assert failures.wait_s("password", "b", 0, **LIMITS) == failures.wait_s("key", "a", 0, **LIMITS) == 0


@dataclass
class Account:
    """An account that is being guessed at; attempts are counted as `db.access.credentials` does."""

    tried: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    def attempt(self, source: str, now: float, *, is_known: bool = False) -> float:
        failures = [Failure(who, now - at) for who, at in self.tried if now - at < WINDOW_S]
        wait_s = account_wait_s(failures, source, most=5, window_s=WINDOW_S, is_known=is_known)
        if wait_s == 0:
            self.tried.append((source, now))
        return wait_s


def test_twelve_addresses_that_go_on_guessing_keep_no_other_waiting():
    account = Account()
    for now in range(0, 1200, 3):
        for guesser in range(12):
            account.attempt(f"guesser {guesser}", now)
        if now > WINDOW_S:
            assert account.attempt(f"new at {now}", now) <= FIRST_PAUSE_S
            account.tried = [(who, at) for who, at in account.tried if not who.startswith("new")]  # it was right
    assert account.attempt("new", 1200) == 0, "and at once, where no other new one was just now"
    assert account.attempt("another new", 1200.5) == pytest.approx(4.5)
    assert account.attempt("new", 1210) == 0, "nor does a typing error hand the account to them"


@given(st.lists(st.integers(0, 100), min_size=200, max_size=300))
def test_however_many_addresses_guess_an_account_has_few_turns(guessers: list[int]):
    account = Account()
    for number, guesser in enumerate(guessers):
        account.attempt(str(guesser), float(number))
    for _, begun in account.tried:
        assert sum(begun <= at < begun + 60 for _, at in account.tried) <= TURNS_FROM + 60 / FIRST_PAUSE_S * 2 + 5


def test_a_known_device_has_few_attempts_and_waits_for_no_other():
    account = Account([(f"guesser {number}", 0) for number in range(100)])
    assert account.attempt("a device", 1) > 0
    assert [account.attempt("a device", 1, is_known=True) for _ in range(6)] == [0] * 5 + [WINDOW_S]


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


async def test_leaving_the_queue_costs_no_turn_and_the_queue_is_bounded():
    turns = Turns(1, most_waiting=3, most_of_one=2)
    async with turns.turn("a"):
        waiting = [asyncio.create_task(turns.turn(source).__aenter__()) for source in ("b", "b", "c")]
        await asyncio.sleep(0)
        for source in ("b", "d"):
            with pytest.raises(TooManyRequests) as refused:
                await turns.turn(source).__aenter__()
            retry_after_s = refused.value.details["retry_after_s"]
            assert isinstance(retry_after_s, int)
            assert retry_after_s > 0
        waiting[0].cancel()
        await asyncio.sleep(0)
    await waiting[2]


async def test_a_turn_that_came_to_a_request_that_left_goes_on():
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


def test_a_name_breaks_and_turns_no_line():
    assert one_line("Zoë\u202egpj.exe\n\x1b[2J\u2028") == "Zoë\\u202egpj.exe\\u000a\\u001b[2J\\u2028"
    assert one_line("plain — with “quotes” 東京") == "plain — with “quotes” 東京"


@given(st.text())
def test_one_line_is_one_line(text: str):
    assert len(one_line(text).splitlines()) <= 1


def test_remembered_sources_are_bounded_and_the_latest_stay():
    failures = Failures()
    for number in range(MAX_SOURCES + 1):
        failures.failed("password", f"source {number}", 0, most=1, window_s=WINDOW_S)
    assert failures.wait_s("password", "source 0", 0, most=1, window_s=WINDOW_S) == 0, "it was forgotten"
    assert failures.wait_s("password", f"source {MAX_SOURCES}", 0, most=1, window_s=WINDOW_S) > 0


def test_a_row_about_many_names_some_of_them_each_once():
    repeats = Repeats[str](60)
    assert repeats.is_first("a", 0, "it", "ann")
    for number in (1, 1, *range(2, MAX_NAMES + 5)):
        assert not repeats.is_first("a", 1, "it", f"name {number}")
    ((_, seen),) = repeats.due(60)
    assert (seen.count, seen.names) == (MAX_NAMES + 5, [f"name {number}" for number in range(1, MAX_NAMES + 1)])
