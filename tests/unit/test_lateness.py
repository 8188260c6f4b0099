"""Slow is distinguished from dead: how much longer it is worth waiting, and where the figures come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.fleet.lateness import MAX_TIMES, ON_TIME, ON_TIME_S, Lateness, allowed_s, because, times
from greenroom.kit.lateness import MEMORY_S, TICK_S, LatenessMeter

amounts = st.floats(0, 1e6)
states = st.builds(Lateness, own_s=amounts, queue=amounts, waiting=st.floats(0, 1))
pairs = st.tuples(states, states)
Factor = Callable[[Lateness], float]


def bounded_and_growing(subject: Factor, pair: tuple[Lateness, Lateness]) -> None:
    one, other = pair
    later = Lateness(
        own_s=max(one.own_s, other.own_s),
        queue=max(one.queue, other.queue),
        waiting=max(one.waiting, other.waiting),
    )
    for state in pair:
        assert 1.0 <= subject(state) <= subject(later) <= MAX_TIMES
    quiet = Lateness(own_s=min(one.own_s, ON_TIME_S), queue=min(one.queue, 1.0), waiting=one.waiting)
    assert subject(quiet) == 1.0


def unbounded(state: Lateness) -> float:
    return max(1.0, state.queue, state.own_s / ON_TIME_S)


def never_longer(_: Lateness) -> float:
    return 0.0


def longer_on_a_quiet_host(state: Lateness) -> float:
    return min(MAX_TIMES, 1.0 + state.own_s)


def test_limits_grow_with_lateness_within_bounds_not_on_a_quiet_host():
    holds(bounded_and_growing, times, pairs)


@pytest.mark.parametrize("mutant", [unbounded, never_longer, longer_on_a_quiet_host])
def test_the_property_catches_its_mutants(mutant: Factor):
    catches(bounded_and_growing, mutant, pairs)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (Lateness(own_s=0.2), 4.0),
        (Lateness(queue=6.0), 6.0),
        (Lateness(queue=6.0, waiting=0.5), 3.5),
        (Lateness(queue=60.0), MAX_TIMES),
        (Lateness(queue=60.0, waiting=0.0), 1.0),
    ],
)
def test_what_is_k_times_as_late_gets_k_times_as_long(state: Lateness, expected: float):
    assert times(state) == pytest.approx(expected)
    assert allowed_s(1.5, state) == pytest.approx(1.5 * expected)
    assert (because(state) == "") == (expected == 1.0)


def test_a_limit_never_shrinks_and_grows_only_to_what_is_the_most():
    assert allowed_s(1.5, ON_TIME) == 1.5
    assert allowed_s(120.0, Lateness(queue=60.0), most_s=600.0) == 600.0
    assert allowed_s(700.0, Lateness(queue=60.0), most_s=600.0) == 700.0


class Host:
    """A clock and the kernel's files, with a meter of two cores."""

    def __init__(self, proc: Path) -> None:
        self.now_s = 100.0
        self.stalled_us = 0
        self.proc = proc
        (proc / "pressure").mkdir()
        self.meter = LatenessMeter(lambda: self.now_s, cores=2, proc=proc)

    def runs(self, for_s: float, *, late_s: float = 0.0, tasks: int = 1, stalled: float = 0.0) -> Lateness:
        """Each tick comes so late, sees so many tasks, and of the time something waited for this share."""
        end = self.now_s + for_s
        while self.now_s < end:
            self.now_s += TICK_S + late_s
            self.stalled_us += int(1e6 * stalled * (TICK_S + late_s))
            (self.proc / "loadavg").write_text(f"0.5 0.4 0.3 {tasks}/300 4711\n")
            (self.proc / "pressure/cpu").write_text(
                f"some avg10=0.00 avg60=0.00 avg300=0.00 total={self.stalled_us}\nfull avg10=0.00\n"
            )
            self.meter.tick()
        return self.meter.now()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    found = Host(tmp_path)
    assert found.meter.now() == ON_TIME, "before it runs nothing is known"
    found.meter.begin()
    return found


def test_a_busy_host_is_seen_within_seconds_and_a_quiet_one_again(host: Host):
    assert times(host.runs(10 * MEMORY_S)) == 1.0
    busy = host.runs(5 * MEMORY_S, late_s=0.1, tasks=13, stalled=1.0)
    assert (busy.own_s, busy.queue, busy.waiting) == (pytest.approx(0.1, abs=0.02), pytest.approx(6, abs=0.5), 1.0)
    assert times(host.runs(10 * MEMORY_S)) == 1.0


def test_a_queue_in_which_nothing_waits_for_long_is_none(host: Host):
    assert times(host.runs(10.0, tasks=13, stalled=0.01)) < 1.2


def test_a_process_that_stood_still_knows_it_at_once(host: Host):
    host.runs(1.0)
    host.now_s += 3.0
    assert times(host.meter.now()) == MAX_TIMES


def test_a_kernel_without_figures_leaves_the_own_delay(tmp_path: Path):
    now_s = [0.0]
    meter = LatenessMeter(lambda: now_s[0], proc=tmp_path)
    meter.begin()
    for _ in range(100):
        now_s[0] += TICK_S + 0.5
        meter.tick()
    assert meter.now().own_s == pytest.approx(0.5, abs=0.01)
