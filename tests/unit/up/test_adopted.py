"""A supervisor that uses the children which its process already has, because it replaced another `up`."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from greenroom.kit.processes import is_running
from greenroom.up.supervisor import PartState, State, Supervisor


def test_the_end_includes_adopted_processes_of_parts_that_were_not_run(tmp_path: Path):
    async def adopt_and_stop(pid: int) -> None:
        supervisor = Supervisor(tmp_path / "state.json")
        supervisor.adopt(State(parts=(PartState(name="agent-a", role="agent", pid=pid),)))
        async with asyncio.timeout(20):
            await supervisor.stop()

    with subprocess.Popen(["sleep", "60"]) as agent:
        try:
            asyncio.run(adopt_and_stop(agent.pid))
            assert not is_running(agent.pid)
        finally:
            agent.kill()
