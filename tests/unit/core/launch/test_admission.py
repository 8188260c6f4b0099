"""The number of launches that may wait, and the refusal of others."""

from __future__ import annotations

import pytest

from greenroom.core.errors import Busy
from greenroom.core.launch.forecast import (
    ALWAYS_ADMITTED,
    MAX_LAUNCHES_AT_ONCE,
    MAX_WAIT_S,
    LaunchPace,
    queue_full_step,
)


def pace(each_s: float) -> LaunchPace:
    """The pace after many launches with this duration."""
    made = LaunchPace()
    for _ in range(500):
        made.record(each_s)
    return made


@pytest.mark.parametrize("each_s", [0.2, 0.4])
def test_as_many_wait_as_are_served_in_time(each_s: float):
    slow, most = pace(each_s), round(MAX_WAIT_S * MAX_LAUNCHES_AT_ONCE / each_s)
    slow.admit(most - 1)
    with pytest.raises(Busy) as refused:
        slow.admit(most)
    assert refused.value.details == {
        "position": most + 1,
        "expected_s": pytest.approx(MAX_WAIT_S + each_s / MAX_LAUNCHES_AT_ONCE, abs=0.06),
        "retry_after_s": MAX_WAIT_S + 1,
    }
    assert refused.value.message == (
        f"{most} launches wait in the queue, which takes about 11 s; this launch was not started. Try again in 11 s."
    )
    step = queue_full_step(refused.value)
    assert (step.step, step.used, step.code, step.reason) == ("turn", False, "busy", refused.value.message)


def test_a_few_may_wait_however_slow_the_last_ones_were():
    pace(60).admit(ALWAYS_ADMITTED - 1)
    with pytest.raises(Busy):
        pace(60).admit(ALWAYS_ADMITTED)


def test_the_pace_follows_the_latest_launches():
    found = pace(10)
    for _ in range(200):
        found.record(0.01)
    assert found.wait_s(MAX_LAUNCHES_AT_ONCE - 1) == pytest.approx(0.01, rel=0.1)
