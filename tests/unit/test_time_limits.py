"""The time for which an Agent waits for a page: as long as its host currently needs, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.failing_runtimes import WrappedRuntime
from tests.support.scripted_manager import spec

from greenroom.agent.session.prober import MAX_PROBE_S, ProbeTimeLimits
from greenroom.core.fleet.liveness import ON_TIME, Lateness
from greenroom.runtimes.contract import PROBE_TIMEOUT_S
from greenroom.runtimes.simulated import SimulatedRuntime

LATE = Lateness(own_s=0.3, queue=50.0)


class Held(WrappedRuntime):
    """A runtime whose pages answer once they are released."""

    def __init__(self, folder: Path) -> None:
        super().__init__(SimulatedRuntime("installation", "agent-1", folder=folder))
        self.release = asyncio.Event()
        self.ended = 0

    async def around(self, name: str, call: Callable[[], Any]) -> Any:
        """Wait for the release."""
        try:
            await self.release.wait()
            return await call()
        finally:
            self.ended += 1


async def test_a_page_that_hangs_is_given_up_within_the_time_of_a_quiet_host(tmp_path: Path):
    runtime: Any = Held(tmp_path)
    seen = await ProbeTimeLimits(lambda: ON_TIME).probe(runtime, "h:1", spec(), 0.05)
    assert (seen.usable, seen.timed_out, runtime.ended) == (False, True, 1)
    assert "quiet host" not in seen.error


async def test_a_host_that_becomes_late_during_a_look_gets_more_time(tmp_path: Path):
    runtime: Any = Held(tmp_path)
    asked: list[Lateness] = []

    def lateness() -> Lateness:
        """On time when the probe begins; when its time limit seems to be over the page answers at last."""
        asked.append(LATE if asked else ON_TIME)
        if len(asked) > 1:
            runtime.release.set()
        return asked[-1]

    seen = await ProbeTimeLimits(lateness).probe(runtime, "h:1", spec(), 0.5)
    assert not seen.timed_out
    assert seen.error == "The session's page does not answer.", "it has no container"


async def test_work_that_fails_and_work_that_is_given_up_are_distinguished():
    async def fails() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError):
        await ProbeTimeLimits(lambda: ON_TIME).wait_for(fails(), 5.0)
    with pytest.raises(TimeoutError):
        await ProbeTimeLimits(lambda: ON_TIME).wait_for(asyncio.Event().wait(), 0.01)


def test_no_look_takes_longer_than_the_most():
    time_limits = ProbeTimeLimits(lambda: LATE)
    assert time_limits.extended_limit_s(PROBE_TIMEOUT_S) == MAX_PROBE_S
    assert time_limits.extended_limit_s(1.5) == 15.0
    assert ProbeTimeLimits(lambda: ON_TIME).extended_limit_s(PROBE_TIMEOUT_S) == PROBE_TIMEOUT_S
