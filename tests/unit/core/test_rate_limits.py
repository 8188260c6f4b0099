"""Rate limits: a burst, then a steady rate, and a number of failures for each source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, for_all, holds

from greenroom.core.rate_limits import (
    FIRST_PAUSE_S,
    MAX_SOURCES,
    MIN_FAILURES_FOR_TURNS,
    AddressFailures,
    FailedAttempt,
    RateLimit,
    account_wait_s,
)

AT_ONCE, EVERY_S = 3, 5.0
pauses = st.lists(st.floats(min_value=0, max_value=20), max_size=60)


def allowed(subject: Any, pauses_s: list[float]) -> list[float]:
    """The times at which it was allowed, with a request after each of the pauses."""
    pace, now, times = subject(AT_ONCE, EVERY_S), 0.0, list[float]()
    for pause in pauses_s:
        now += pause
        if pace.allows(now):
            times.append(now)
    return times


def never_more_often(subject: Any, pauses_s: list[float]) -> None:
    times = allowed(subject, pauses_s)
    assert len(times) == len(pauses_s) or len(times) >= AT_ONCE, "no request is refused without reason"
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= AT_ONCE + (times[last] - times[first]) / EVERY_S + 1e-6


class Hoards(RateLimit):
    """A wrong limit: after a quiet time it allows any number at once."""

    def allows(self, now_s: float) -> bool:
        self._burst = 1000
        return super().allows(now_s)


class Stingy(RateLimit):
    """A wrong limit: one at a time, also after a quiet time."""

    def __init__(self, at_once: int, every_s: float) -> None:
        super().__init__(min(at_once, 1), every_s)


def test_it_is_never_allowed_more_often():
    holds(never_more_often, RateLimit, pauses)


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", [Hoards, Stingy])
def test_the_property_of_paces_catches_its_mutants(mutant: Any):
    catches(never_more_often, mutant, pauses)


def test_the_newest_is_allowed_in_the_end():
    assert allowed(RateLimit, [0, 0, 0, 0, 4.9, 0.2]) == [0, 0, 0, pytest.approx(5.1)]


# Wrong passwords -----------------------------------------------------------------------------------------------------

WINDOW_S = 300

LIMITS = {"max_failures": 50, "window_s": WINDOW_S}


class Forgets(AddressFailures):
    """A wrong limit: it never makes an address wait."""

    def wait_s(self, *_: Any, **__: Any) -> float:
        return 0.0


@for_all(st.lists(st.floats(0, 30), min_size=200, max_size=400), subject=AddressFailures, mutants=[Forgets])
def test_no_address_fails_more_often_than_its_window_allows(subject: Any, pauses: list[float]):
    failures, now, failed = subject(), 0.0, list[float]()
    for pause in pauses:
        now += pause
        if failures.wait_s("password", "a", now, **LIMITS) == 0:
            failures.record_failure("password", "a", now, **LIMITS)
            failed.append(now)
    assert all(later - first > 299 for first, later in zip(failed, failed[100:], strict=False))


def test_fifty_at_once_then_one_every_six_seconds_and_no_other_waits():
    failures = AddressFailures()
    for _ in range(50):
        assert failures.wait_s("password", "a", 0, **LIMITS) == 0
        failures.record_failure("password", "a", 0, **LIMITS)
    assert failures.wait_s("password", "a", 0, **LIMITS) == pytest.approx(6)
    assert failures.wait_s("password", "a", 6.1, **LIMITS) == 0
    assert failures.wait_s("password", "b", 0, **LIMITS) == failures.wait_s("key", "a", 0, **LIMITS) == 0


def test_a_withdrawn_failure_does_not_count():
    failures = AddressFailures()
    failures.withdraw_failure("password", "a", **LIMITS)
    for _ in range(50):
        failures.record_failure("password", "a", 0, **LIMITS)
    failures.withdraw_failure("password", "a", **LIMITS)
    assert failures.wait_s("password", "a", 0, **LIMITS) == 0
    failures.record_failure("password", "a", 0, **LIMITS)
    assert failures.wait_s("password", "a", 0, **LIMITS) == pytest.approx(6)


@dataclass
class Account:
    """An account under attack; attempts are counted like in `db.access.credentials`."""

    tried: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    def attempt(self, source: str, now: float, *, is_known: bool = False) -> float:
        failures = [FailedAttempt(who, now - at) for who, at in self.tried if now - at < WINDOW_S]
        wait_s = account_wait_s(failures, source, max_failures=5, window_s=WINDOW_S, is_known=is_known)
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


class Unlimited(Account):
    def attempt(self, source: str, now: float, *, is_known: bool = False) -> float:
        self.tried.append((source, now))
        return 0.0


@for_all(st.lists(st.integers(0, 100), min_size=200, max_size=300), subject=Account, mutants=[Unlimited])
def test_however_many_addresses_guess_an_account_has_few_turns(subject: Any, guessers: list[int]):
    account = subject()
    for number, guesser in enumerate(guessers):
        account.attempt(str(guesser), float(number))
    for _, begun in account.tried:
        assert (
            sum(begun <= at < begun + 60 for _, at in account.tried)
            <= MIN_FAILURES_FOR_TURNS + 60 / FIRST_PAUSE_S * 2 + 5
        )


def test_a_known_device_has_few_attempts_and_waits_for_no_other():
    account = Account([(f"guesser {number}", 0) for number in range(100)])
    assert account.attempt("a device", 1) > 0
    assert [account.attempt("a device", 1, is_known=True) for _ in range(6)] == [0] * 5 + [WINDOW_S]


def test_remembered_sources_are_bounded_and_the_latest_stay():
    failures = AddressFailures()
    for number in range(MAX_SOURCES + 1):
        failures.record_failure("password", f"source {number}", 0, max_failures=1, window_s=WINDOW_S)
    assert failures.wait_s("password", "source 0", 0, max_failures=1, window_s=WINDOW_S) == 0, "it was forgotten"
    assert failures.wait_s("password", f"source {MAX_SOURCES}", 0, max_failures=1, window_s=WINDOW_S) > 0


def test_a_source_waits_until_its_oldest_failure_leaves_the_window():
    failures = [FailedAttempt("a", age_s) for age_s in (10, 200, 30, 40, 50)] + [FailedAttempt("b", 1)]
    limits: dict[str, Any] = {"max_failures": 5, "window_s": WINDOW_S}
    assert account_wait_s(failures, "a", **limits) == 100
    assert account_wait_s([*failures, FailedAttempt("a", 60)], "a", **limits) == 240, "the fifth latest counts"
    assert account_wait_s([FailedAttempt("a", 299.5)] * 5, "a", **limits) == 1.0, "never less than a second"
    assert account_wait_s(failures, "b", **limits) == 0.0


def test_turns_are_shared_by_those_who_failed_as_often():
    limits: dict[str, Any] = {"max_failures": 50, "window_s": WINDOW_S}
    others = [FailedAttempt(f"guesser {number}", 100) for number in range(MIN_FAILURES_FOR_TURNS - 2)]
    fresh = [FailedAttempt("one", 2), FailedAttempt("two", 3)]
    assert account_wait_s([*others, *fresh], "new", **limits) == FIRST_PAUSE_S - 2
    assert account_wait_s([*others, fresh[0]], "new", **limits) == 0.0, "too few yet"
    twice = [*others, *fresh, FailedAttempt("two", 1)]
    assert account_wait_s(twice, "one", **limits) == 2 * FIRST_PAUSE_S - 1
    assert account_wait_s(twice, "two", **limits) == 0.0, "no other has failed as often"
