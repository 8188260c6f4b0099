"""The hosts of the conformance suite: they open runtimes of an installation, and damage sessions."""

from __future__ import annotations

import asyncio
import contextlib
import io
import subprocess
import tarfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tests.support.waiting import eventually

from greenroom.core.workspace.session_spec import Exec, SessionSpec
from greenroom.runtimes.contract import Container, ContainerEvent, FilterNetwork, HostRuntime, Runtime
from greenroom.runtimes.host_folders import HostFolders
from greenroom.runtimes.host_homes import HostHomes
from greenroom.runtimes.plugin import Context
from greenroom.runtimes.registry import open_runtime
from greenroom.runtimes.simulated import SimulatedRuntime

OPENBOX = "greenroom/desktop:openbox"


def new_id() -> str:
    return str(uuid.uuid4())


def spec(image: str = OPENBOX, **changes: Any) -> SessionSpec:
    return SessionSpec(
        **{"image": image, "image_id": new_id(), "credential": uuid.uuid4().hex, "memory_bytes": 512 << 20, **changes}
    )


def build_context(dockerfile: str) -> bytes:
    """A tar that contains only this Dockerfile."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile)
        tar.addfile(entry, io.BytesIO(dockerfile.encode()))
    return buffer.getvalue()


@dataclass
class Host:
    """A host: the `kind` of runtime, and the folder of its Agent."""

    kind: str
    folder: Path
    installation_id: str = field(default_factory=new_id)
    opened: list[HostRuntime] = field(default_factory=list)
    address: str = "127.0.0.1:"
    """The beginning of the addresses of its sessions."""

    async def open(self, installation_id: str | None = None, share: float = 1.0, connections: int = 0) -> HostRuntime:
        """Open another runtime on this host, as after a restart of the Agent."""
        opened = open_runtime(
            self.kind,
            Context(
                installation_id=installation_id or self.installation_id,
                agent_id=new_id(),
                folder=self.folder / (installation_id or self.installation_id),
                share=share,
                folders=HostFolders(allowed=[str(self.folder)], homes=HostHomes(self.folder / "homes")),
                connections_max=connections,
            ),
        )
        runtime = cast("HostRuntime", opened)
        await runtime.open()
        self.opened.append(runtime)
        return runtime

    async def started(self, runtime: Runtime, **changes: Any) -> tuple[str, SessionSpec, Container]:
        """Create and start a session."""
        session_id, wanted = new_id(), spec(**changes)
        await runtime.create(session_id, wanted)
        return session_id, wanted, await runtime.start(session_id)

    async def serve(self, runtime: HostRuntime, network: FilterNetwork) -> None:
        """Start a web filter if sessions do not start without it."""

    async def kill(self, runtime: Runtime, session_id: str) -> None:
        """Let the first process of a session end by itself, with 143."""
        if isinstance(runtime, SimulatedRuntime):
            runtime.die(session_id, 143)
        else:
            await runtime.exec(session_id, Exec(argv=("bash", "-c", "kill -TERM 1")))

    async def close(self) -> None:
        """Remove everything that was created."""
        for runtime in self.opened:
            await runtime.remove_all()
            await runtime.close()


@contextlib.asynccontextmanager
async def listening(runtime: Runtime) -> AsyncIterator[Callable[[str, str], Awaitable[ContainerEvent]]]:
    """Collect events; yields a function that waits for (session_id, kind)."""
    received: list[ContainerEvent] = []
    news = asyncio.Event()

    async def listen() -> None:
        async for event in runtime.events():
            received.append(event)
            news.set()

    async def wait_for(session_id: str, kind: str) -> ContainerEvent:
        async with asyncio.timeout(30):
            while True:
                for event in received:
                    if (event.session_id, event.kind) == (session_id, kind):
                        return event
                news.clear()
                await news.wait()

    async def has_received() -> bool:
        marker = new_id()
        await runtime.create(marker, spec())
        await runtime.remove(marker)
        await asyncio.sleep(0.1)  # its events arrive
        return bool(received)

    task = asyncio.create_task(listen())
    try:
        await eventually(has_received)  # the daemon does not report when the subscription is active
        yield wait_for
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def usable(runtime: Runtime, address: str | None, wanted: SessionSpec) -> None:
    """Wait until the page at `address` is usable."""
    assert address is not None

    async def look() -> bool:
        return (await runtime.probe(address, wanted)).usable

    await eventually(look)


async def shell(runtime: Runtime, session_id: str, script: str) -> tuple[int | None, str]:
    """Run a script in a session; returns its exit code and output."""
    result = await runtime.exec(session_id, Exec(argv=("bash", "-c", script), deadline_s=10))
    return result.exit_code, result.output.strip()


def run(*command: str) -> str:
    """Run a program on this host, which must succeed, and return its output."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
