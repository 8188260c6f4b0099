"""The process with the further hosts of the demo: `python -m greenroom.demo.hosts DATA`.

An instance has one Agent for each zone. This process runs the Agents of all other hosts, each with its own folder and
its own simulated runtime. `DATA/demo/hosts.json` lists them; a change of the file starts or ends an Agent. The process
ends when the instance ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import msgspec
import structlog
from msgspec.structs import replace

from greenroom.agent.main import Agent
from greenroom.core.errors import GreenroomError
from greenroom.kit.concurrency import keep_running
from greenroom.kit.config import AgentConfig
from greenroom.kit.log import configure
from greenroom.runtimes.simulated_host import SimulationSettings
from greenroom.up.instance_folders import INSTANCE_VARIABLE
from greenroom.up.layout import Layout, running_pid

log = structlog.get_logger(__name__)

POLL_S: Final = 1.0
"""The interval at which the file with the hosts and the state of the instance are read."""


def demo_folder(layout: Layout) -> Path:
    """Return the folder of the demo in DATA."""
    return layout.data / "demo"


class DemoHost(msgspec.Struct, frozen=True, kw_only=True):
    """A host: its Agent runs if `runs`. `manager_urls` are the addresses of the Managers of its zone."""

    name: str
    zone: str
    manager_urls: str
    runs: bool = True


class Hosts(msgspec.Struct, frozen=True, kw_only=True):
    """All hosts of the process."""

    hosts: tuple[DemoHost, ...]

    @classmethod
    def read(cls, layout: Layout) -> Self:
        return msgspec.json.decode((demo_folder(layout) / "hosts.json").read_bytes(), type=cls)

    def at(self, urls: Mapping[str, str]) -> Self:
        """Return the hosts with the addresses `urls` of the Managers of each zone."""
        return replace(self, hosts=tuple(replace(host, manager_urls=urls[host.zone]) for host in self.hosts))

    def write(self, layout: Layout) -> None:
        demo_folder(layout).mkdir(exist_ok=True, mode=0o700)
        part = demo_folder(layout) / "hosts.json.part"
        part.write_bytes(msgspec.json.encode(self))
        part.replace(demo_folder(layout) / "hosts.json")


def folder_of(layout: Layout, name: str) -> Path:
    """Return the folder of the Agent of a host."""
    return demo_folder(layout) / "hosts" / name


def simulate(folder: Path, settings: SimulationSettings) -> None:
    """Set the behavior of the simulated host of the Agent in a folder, from now on."""
    target = folder / "simulated"
    target.mkdir(parents=True, exist_ok=True)
    part = target / "settings.json.part"
    part.write_bytes(msgspec.json.encode(settings))
    part.replace(target / "settings.json")


def start(layout: Layout) -> None:
    """Start the process in the background."""
    with (layout.logs / "demo-hosts.log").open("ab") as output:
        subprocess.Popen(
            [sys.executable, "-m", "greenroom.demo.hosts", str(layout.data)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=layout.data,
            env={**os.environ, INSTANCE_VARIABLE: str(layout.data)},
            start_new_session=True,
        )


class HostRunner:
    """Runs the Agents of the hosts whose `runs` is true."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._running: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Run until the instance has ended."""
        try:
            while running_pid(self._layout) is not None:
                await self._apply(Hosts.read(self._layout))
                await asyncio.sleep(POLL_S)
        finally:
            await self._end(list(self._running))

    async def _apply(self, hosts: Hosts) -> None:
        wanted = {host.name: host for host in hosts.hosts if host.runs}
        await self._end([name for name in self._running if name not in wanted])
        for name, host in wanted.items():
            task = self._running.get(name)
            if task is None:
                self._running[name] = asyncio.create_task(self._run_agent(host), name=name)
            elif task.done():
                task.result()

    async def _end(self, names: list[str]) -> None:
        tasks = [self._running.pop(name) for name in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run_agent(self, host: DemoHost) -> None:
        folder = folder_of(self._layout, host.name)
        agent = Agent(
            AgentConfig(
                agent_dir=folder,
                manager_urls=host.manager_urls,
                ca_file=self._layout.ca_file,
                join_token_file=folder / "join_token",
                runtime="simulated",
                share=1.0,
                instance_data=self._layout.data,
            )
        )
        agent.identity.hostname = host.name
        agent.identity.machine_id = hashlib.sha256(host.name.encode()).hexdigest()[:32]
        try:
            await agent.prepare()
            async with asyncio.TaskGroup() as group:
                for name, loop in agent.loops:
                    group.create_task(keep_running(name, loop, agent.log_loop_failure), name=f"{host.name} {name}")
        finally:
            await agent.close()


def main() -> None:
    """Run the hosts of the instance in DATA until it ends."""
    configure("WARNING", "demo-hosts")
    layout = Layout(Path(sys.argv[1]))

    async def run() -> None:
        task = asyncio.create_task(HostRunner(layout).run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        with suppress(asyncio.CancelledError):
            await task

    try:
        asyncio.run(run())
    except GreenroomError as error:
        log.error("the hosts of the demo have ended", reason=error.message)
        sys.exit(1)


if __name__ == "__main__":
    main()
