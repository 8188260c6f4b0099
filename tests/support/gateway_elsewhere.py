"""A gateway on another host than its Agent, with two processes of the Agent: one is acting, and the second is on
standby."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx2
from tests.support.gateways import World, give, make_world
from tests.support.played import ROUTE, Served, Who, serve

from greenroom.agent.app import AgentHealth, RequireSecret, gateway_app
from greenroom.agent.stream.admission import Pages, UpstreamAuth
from greenroom.agent.stream.authorizer import StreamAuthorizer
from greenroom.agent.stream.gateways import Gateways
from greenroom.agent.stream.viewers import StreamEvents
from greenroom.gateway.nginx import nginx_processes
from greenroom.kit.processes import send_signal
from greenroom.kit.tcp import StreamTerminator

SECRET = "stream-secret-of-the-tests-0123456789"


@dataclass
class Process:
    """A process of the Agent, at its stream address; all processes share the table of sessions."""

    authorizer: StreamAuthorizer
    acting: bool
    folder: Path
    served: Served | None = None

    async def serve(self) -> Served:
        routes = [*self.authorizer.routes, *self.authorizer.gateways.routes]
        self.served = await serve(RequireSecret(gateway_app(AgentHealth(), routes), SECRET))
        return self.served

    async def stop(self) -> None:
        if self.served is not None:
            await self.served.stop()
            self.served = None


@dataclass
class Elsewhere:
    world: World
    processes: list[Process] = field(default_factory=list[Process])
    gateway: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        return self.world.folder / "web"

    def process(self, *, acting: bool) -> Process:
        """Create another process of the Agent."""
        world, folder = self.world, self.world.folder / f"agent-{len(self.processes)}"
        folder.mkdir()
        made = Process(
            StreamAuthorizer(
                world.table,
                Who(),
                UpstreamAuth(world.folder / "cert.pem"),
                StreamTerminator(),
                folder,
                pages=Pages(),
                gateways=Gateways(
                    Who(),
                    world.table,
                    acting=lambda: made.acting,
                    replicas=lambda: [one.served.address for one in self.processes if one.served is not None],
                ),
                events=StreamEvents(refused=lambda *_: None, opened=lambda *_: None, closed=lambda *_: None),
                last_fresh=lambda: None,
            ),
            acting,
            folder,
        )
        world.table.authorised_changed.subscribe(
            lambda session_id: made.authorizer.authorised_changed(session_id) if made.acting else None
        )
        self.processes.append(made)
        return made

    def start_gateway(self, *seeds: str) -> None:
        world = self.world
        self.gateway = world.launch_with(
            GREENROOM_GATEWAY_DIR=self.folder,
            GREENROOM_MAIN_LISTEN=world.plan["main_listen"],
            GREENROOM_STREAM_LISTEN=world.plan["stream_listen"],
            GREENROOM_PUBLIC_URL=world.main,
            GREENROOM_TLS_CERTIFICATE=world.folder / "cert.pem",
            GREENROOM_TLS_KEY=world.folder / "key.pem",
            GREENROOM_API_UPSTREAM=world.served["api"].address,
            GREENROOM_GATEWAY_CREDENTIAL_FILE=world.folder / "credential",
            GREENROOM_CONSOLE_DIR=world.folder / "console",
            GREENROOM_STREAM_AGENTS=",".join(seeds),
            GREENROOM_STREAM_SECRET_FILE=world.folder / "stream-secret",
            GREENROOM_GATEWAY_WORKERS=1,
        )

    async def status(self) -> int:
        """The status of Ann's page; 0 while the gateway does not answer."""
        url, cookie = f"{self.world.stream}{self.world.path()}", {"Cookie": "greenroom_viewer=token-ann"}
        try:
            return (await self.world.client().get(url, headers=cookie)).status_code
        except httpx2.TransportError:
            return 0

    async def serves(self) -> bool:
        return await self.status() == 200

    def knows_all(self) -> bool:
        """True if a single nginx runs, with a configuration that contains every process of the Agent."""
        wanted = {one.served.address for one in self.processes if one.served is not None}
        text = (self.folder / "nginx.conf").read_text() if (self.folder / "nginx.conf").exists() else ""
        running = nginx_processes(self.folder)
        pids = {one.pid for one in running}
        masters = [one.pid for one in running if one.parent not in pids]
        if not all(address in text for address in wanted) or len(masters) != 1:
            return False
        lines = [json.loads(line) for line in self.world.log().splitlines() if '"nginx serves"' in line]
        started = {line["pid"]: datetime.fromisoformat(line["timestamp"]).timestamp() for line in lines}
        return started.get(masters[0], 0.0) > (self.folder / "nginx.conf").stat().st_mtime

    async def end_gateway(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.gateway is not None and self.gateway.poll() is None:
            self.gateway.send_signal(number)
            await asyncio.to_thread(self.gateway.wait, 15)

    async def close(self) -> None:
        await self.end_gateway()
        for process in nginx_processes(self.folder):
            send_signal(process.pid, signal.SIGKILL)
        for process in self.processes:
            await process.stop()
        await self.world.close()


@asynccontextmanager
async def elsewhere() -> AsyncIterator[Elsewhere]:
    """Start an acting process and a standby process; the gateway is not started."""
    made = Elsewhere(await make_world())
    made.folder.mkdir(mode=0o700)
    secret = made.world.folder / "stream-secret"
    secret.write_text(f"{SECRET}\n")
    for path in (made.folder, secret):
        give(path, made.world.account)
    try:
        for acting in (True, False):
            await made.process(acting=acting).serve()
        yield made
    finally:
        await made.close()


__all__ = ["ROUTE", "SECRET", "Elsewhere", "Process", "elsewhere"]
