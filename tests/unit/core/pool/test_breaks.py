"""Staged sessions that stop working: replaced at once, and with growing pauses if that happens repeatedly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from tests.unit.pools import CONFIG, NOW, session, snapshot
from tests.unit.properties import for_all

from greenroom.core.pool.model import BrokenSession, Destroy, PooledSession
from greenroom.core.pool.plan import plan
from greenroom.core.pool.shortfalls import (
    BACKOFF,
    BREAK_FORGOTTEN_S,
    PoolFailures,
    failures_after_breaks,
    longer_backoff,
)


def broken(created_s: float, broke_s: float) -> BrokenSession:
    """Seconds before now."""
    return BrokenSession(
        created=NOW - timedelta(seconds=created_s), broke=NOW - timedelta(seconds=broke_s), error="No answer."
    )


def failed(number: int) -> PooledSession:
    return session(number, "failed", was_usable=True, error="it stopped working: No answer.")


def test_the_first_broken_one_is_replaced_at_once_and_no_failed_start():
    config = replace(CONFIG, broken=(broken(600, 0),))
    made = plan(snapshot(session(1), session(2), failed(3), config=config))
    assert made.actions[0] == Destroy("s3", "It left the pool: it stopped working: No answer.")
    assert (len(made.creates), made.failures, made.next_try) == (1, 0, None)
    assert made.shortfall is not None
    assert made.shortfall.code == "starting"


def test_what_was_made_before_the_first_break_is_replaced_at_once_too():
    config = replace(CONFIG, broken=(broken(600, 40), broken(600, 20), broken(500, 0)))
    assert len(plan(snapshot(config=config)).creates) == 3


def test_a_pool_whose_replacements_break_pauses_and_tries_single_ones():
    config = replace(CONFIG, broken=(broken(600, 60), broken(59, 30), broken(28, 1)))
    made = plan(snapshot(config=config))
    assert made.creates == ()
    assert made.shortfall is not None
    assert made.shortfall.code == "start-failing"
    assert made.shortfall.reason == (
        "3 of 3 not staged: 3 sessions in a row failed, the last with: No answer; next try at 03:04:08 UTC."
    )
    later = snapshot(config=config, now=NOW + timedelta(seconds=4))
    assert len(plan(later).creates) == 1
    assert plan(replace(later, sessions=(session(1, "starting"),))).creates == ()


def test_breaks_are_forgotten_after_a_quiet_time():
    config = replace(CONFIG, broken=(broken(700, BREAK_FORGOTTEN_S + 1), broken(650, BREAK_FORGOTTEN_S)))
    made = plan(snapshot(config=config))
    assert len(made.creates) == 3


def test_the_longer_pause_counts():
    starts = PoolFailures(2, "no image", NOW)
    breaks = PoolFailures(3, "no answer", NOW + timedelta(seconds=1), breaks=True)
    none = PoolFailures(0, None, None, breaks=True)
    assert longer_backoff(starts, breaks) == longer_backoff(breaks, starts) == breaks
    assert longer_backoff(starts, none) == starts
    assert longer_backoff(replace(starts, next_try=None), breaks) == breaks, "it may be tried at once"
    assert longer_backoff(PoolFailures(0, None, None), breaks) == breaks


def a_day_longer(history: Sequence[BrokenSession], now: datetime) -> PoolFailures:
    found = failures_after_breaks(history, now)
    return replace(found, next_try=found.next_try and found.next_try + timedelta(days=1))


@for_all(
    st.lists(st.tuples(st.floats(0, 2000), st.floats(0, 2000)).map(lambda ages: broken(max(ages), min(ages)))),
    subject=failures_after_breaks,
    mutants=[a_day_longer, lambda history, now: PoolFailures(len(history), None, None)],
)
def test_pauses_are_bounded_and_no_longer_than_the_memory(subject: Any, history: list[BrokenSession]):
    found = subject(history, NOW)
    assert found.number <= len(history)
    assert found.number != 1
    if found.next_try is not None:
        last = max(session.broke for session in history)
        assert found.next_try <= last + timedelta(seconds=BACKOFF.max_s)
    assert BACKOFF.max_s < BREAK_FORGOTTEN_S


@for_all(
    st.integers(1, 8),
    st.floats(1, 60),
    subject=failures_after_breaks,
    mutants=[lambda history, now: failures_after_breaks(history[-2:], now)],
)
def test_sessions_that_break_soon_pause_their_pool_longer_each_time(subject: Any, times: int, lives_s: float):
    """Simulate a pool of one whose sessions all break: each is created when the pause after the previous one is
    over."""
    history, pauses, now = list[BrokenSession](), list[float](), NOW
    for _ in range(times):
        broke = now + timedelta(seconds=lives_s)
        history.append(BrokenSession(created=now, broke=broke, error="No answer."))
        found = subject(history, broke)
        now = max(broke, found.next_try or broke)
        pauses.append((now - broke).total_seconds())
    assert pauses == [0.0, *(2.0 * 2**n for n in range(times - 1))][:times]
