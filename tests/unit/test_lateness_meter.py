"""The lateness of this host, from the clock of a process and the kernel's figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenroom.core.fleet.liveness import MAX_LATENESS_FACTOR, ON_TIME, Lateness, lateness_factor
from greenroom.kit.clock import DECAY_S, TICK_S, LatenessMeter


class Host:
    """A clock and the kernel's files, with a meter of two cores."""

    def __init__(self, proc: Path) -> None:
        self.now_s = 100.0
        self.stalled_us = 0
        self.proc = proc
        (proc / "pressure").mkdir()
        self.meter = LatenessMeter(lambda: self.now_s, cores=2, proc=proc)

    def runs(self, for_s: float, *, late_s: float = 0.0, tasks: int = 1, stalled: float = 0.0) -> Lateness:
        """Each tick is this late and sees this number of tasks; tasks waited for this share of the time."""
        end = self.now_s + for_s
        while self.now_s < end:
            self.now_s += TICK_S + late_s
            self.stalled_us += int(1e6 * stalled * (TICK_S + late_s))
            (self.proc / "loadavg").write_text(f"0.5 0.4 0.3 {tasks}/300 4711\n")
            (self.proc / "pressure/cpu").write_text(
                f"some avg10=0.00 avg60=0.00 avg300=0.00 total={self.stalled_us}\nfull avg10=0.00\n"
            )
            self.meter.tick()
        return self.meter.current()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    found = Host(tmp_path)
    assert found.meter.current() == ON_TIME, "before it runs nothing is known"
    found.meter.begin()
    return found


def test_a_busy_host_is_seen_within_seconds_and_a_quiet_one_again(host: Host):
    assert lateness_factor(host.runs(10 * DECAY_S)) == 1.0
    busy = host.runs(5 * DECAY_S, late_s=0.1, tasks=13, stalled=1.0)
    assert (busy.own_s, busy.queue, busy.waiting) == (pytest.approx(0.1, abs=0.02), pytest.approx(6, abs=0.5), 1.0)
    assert lateness_factor(host.runs(10 * DECAY_S)) == 1.0


def test_a_queue_in_which_nothing_waits_for_long_is_none(host: Host):
    assert lateness_factor(host.runs(10.0, tasks=13, stalled=0.01)) < 1.2


def test_a_process_that_stood_still_knows_it_at_once(host: Host):
    host.runs(1.0)
    host.now_s += 3.0
    assert lateness_factor(host.meter.current()) == MAX_LATENESS_FACTOR


def test_a_kernel_without_figures_leaves_the_own_delay(tmp_path: Path):
    now_s = [0.0]
    meter = LatenessMeter(lambda: now_s[0], proc=tmp_path)
    meter.begin()
    for _ in range(100):
        now_s[0] += TICK_S + 0.5
        meter.tick()
    assert meter.current().own_s == pytest.approx(0.5, abs=0.01)
