"""The use of sessions that an Agent reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenroom.agent.session.readings import READ_EVERY_S, SessionReadings, use_between
from greenroom.core.errors import Unavailable
from greenroom.runtimes.contract import SessionUsage
from greenroom.runtimes.docker.usage import usage_of
from greenroom.runtimes.simulated import SimulatedRuntime
from greenroom.runtimes.simulated_host import StoredContainer, simulated_usage
from greenroom.wire.fields import MAX_METERED, SessionUse


class Meter:
    """Sessions whose usage a test sets; None = the runtime does not answer."""

    def __init__(self) -> None:
        self.usages: dict[str, SessionUsage] | None = {}
        self.calls = 0

    async def session_usage(self) -> dict[str, SessionUsage]:
        self.calls += 1
        if self.usages is None:
            raise Unavailable("Docker does not answer.")
        return self.usages


def usage(cpu_s: float, memory_bytes: int = 100) -> SessionUsage:
    return SessionUsage(cpu_s=cpu_s, memory_bytes=memory_bytes)


def test_the_use_is_the_average_between_two_readings():
    before, after = {"a": usage(10), "b": usage(5)}, {"a": usage(15, 300), "c": usage(1)}
    assert use_between(before, after, 10) == {"a": SessionUse(cpu=0.5, memory_bytes=300)}


def test_a_container_that_was_started_again_has_no_negative_use():
    assert use_between({"a": usage(10)}, {"a": usage(1)}, 10) == {"a": SessionUse(cpu=0, memory_bytes=100)}


def test_the_number_of_reported_sessions_is_limited():
    many = {str(number): usage(1) for number in range(MAX_METERED + 1)}
    assert len(use_between(many, many, 10)) == MAX_METERED


async def test_sessions_are_read_at_intervals_and_an_error_makes_them_unknown():
    meter, now = Meter(), 0.0
    readings = SessionReadings(meter, lambda: now)
    meter.usages = {"a": usage(0)}
    await readings.try_read()
    assert readings.latest == {}, "one reading is not enough"
    now, meter.usages = READ_EVERY_S, {"a": usage(5)}
    await readings.try_read()
    assert readings.latest == {"a": SessionUse(cpu=0.5, memory_bytes=100)}
    now += READ_EVERY_S / 2
    await readings.try_read()
    assert meter.calls == 2, "the next reading is not due"
    now, meter.usages = 2 * READ_EVERY_S, None
    await readings.try_read()
    assert readings.latest == {}


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ({"usage": 500, "stats": {"inactive_file": 200}}, 300),
        ({"usage": 500, "stats": {"total_inactive_file": 100}}, 400),
        ({"usage": 500}, 500),
    ],
)
def test_memory_of_a_container_is_without_cached_files(memory: dict[str, Any], expected: int):
    stats = {"memory_stats": memory, "cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}}}
    assert usage_of(stats) == SessionUsage(cpu_s=2.5, memory_bytes=expected)


def test_a_container_that_ended_has_no_usage():
    assert usage_of({"memory_stats": {}, "cpu_stats": {"cpu_usage": {"total_usage": 0}}}) is None


async def test_a_simulated_session_uses_a_constant_number_of_cores(tmp_path: Path):
    container = StoredContainer(container_id="c1", image="i", labels={}, environment={}, started=100.0)
    first, second, third = (simulated_usage(container, now) for now in (110.0, 120.0, 130.0))
    assert second.cpu_s - first.cpu_s == pytest.approx(third.cpu_s - second.cpu_s)
    assert 0.02 <= (second.cpu_s - first.cpu_s) / 10 <= 1.02
    assert await SimulatedRuntime("", "", folder=tmp_path).session_usage() == {}
