"""A replaced role is ready if it works and its process keeps running."""

from __future__ import annotations

import pytest

from greenroom.core.errors import SetupError
from greenroom.upgrade.waiting import STEADY_S, SteadyProcesses, wait_until


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def test_a_part_with_a_problem_is_reported_after_the_time_limit():
    async def problem() -> str:
        return "no response"

    with pytest.raises(SetupError, match=r"The supervisor is not ready after 0 s: no response\."):
        await wait_until(problem, "The supervisor", 0)


def test_a_process_is_steady_after_the_whole_interval():
    clock = Clock()
    processes = SteadyProcesses(clock)
    assert processes.problem("api", 1) == f"its process has run for 0 of {STEADY_S:g} s"
    clock.now_s = STEADY_S - 1
    assert processes.problem("api", 1)
    clock.now_s = STEADY_S
    assert not processes.problem("api", 1)
    assert processes.problem("agent", None) == "it has no process"


@pytest.mark.parametrize("ends_after_s", [0.5, 4.0, 12.0])
def test_a_process_that_ends_again_and_again_is_given_up_at_its_second_end(ends_after_s: float):
    clock = Clock()
    processes = SteadyProcesses(clock)
    processes.problem("manager-1", 1)
    clock.now_s = ends_after_s
    assert processes.problem("manager-1", 2)
    clock.now_s = 2 * ends_after_s
    with pytest.raises(SetupError, match=r"manager-1 does not keep running: its process ended 2 times\."):
        processes.problem("manager-1", 3)


def test_the_interval_begins_again_with_another_process_and_with_a_replacement():
    clock = Clock()
    processes = SteadyProcesses(clock)
    processes.problem("api", 1)
    clock.now_s = STEADY_S
    assert processes.problem("api", 2)
    processes.forget("api")
    assert processes.problem("api", 3)
    clock.now_s = 2 * STEADY_S
    assert not processes.problem("api", 3)
