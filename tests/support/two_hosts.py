"""A web gateway and an edge gateway of an Agent on separate hosts; the edge is at 127.0.0.2."""

from __future__ import annotations

import asyncio
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from tests.support.gateways import World, give, make_world
from tests.support.played import AGENT_ID, ROUTE
from tests.support.processes import free_port

from greenroom.core.fleet.addresses import edge_name
from greenroom.gateway.nginx import nginx_processes
from greenroom.kit.certificates import Authority, key_to_pem, new_authority, new_key
from greenroom.kit.processes import send_signal
from greenroom.wire.fleet import EdgeGateway, Fleet

EDGE_HOST = "127.0.0.2"


@dataclass
class Hosts:
    """A web gateway and an edge gateway, with their environment."""

    world: World
    authority: Authority
    edge_port: int
    web: subprocess.Popen[bytes] | None = None
    edge: subprocess.Popen[bytes] | None = None

    @property
    def edge_url(self) -> str:
        return f"https://{EDGE_HOST}:{self.edge_port}"

    @property
    def edge_dir(self) -> Path:
        return self.world.folder / "edge-files"

    def folder(self, name: str) -> Path:
        return self.world.folder / name

    def fleet(self, **changes: Any) -> Fleet:
        edge = EdgeGateway(route=ROUTE, url=self.edge_url)
        return Fleet(**{"authority": self.authority.certificate, "edges": (edge,), **changes})

    def certify(self, name: str = edge_name(ROUTE), authority: Authority | None = None) -> None:
        """Give the edge a certificate."""
        key = new_key()
        signed = (authority or self.authority).sign(key.public_key(), [name, EDGE_HOST], 1, datetime.now(UTC))
        for file, text in (("edge.key", key_to_pem(key)), ("edge.pem", signed)):
            part = self.edge_dir / f"{file}.new"
            part.write_text(text)
            give(part, self.world.account)
            part.replace(self.edge_dir / file)

    def name_agent(self) -> None:
        file = self.edge_dir / "agent_id"
        file.write_text(f"{AGENT_ID}\n")
        give(file, self.world.account)

    def start_web(self, **settings: object) -> None:
        world = self.world
        self.web = world.launch_with(
            **{
                "GREENROOM_GATEWAY_DIR": self.folder("web"),
                "GREENROOM_MAIN_LISTEN": world.plan["main_listen"],
                "GREENROOM_STREAM_LISTEN": world.plan["stream_listen"],
                "GREENROOM_PUBLIC_URL": world.main,
                "GREENROOM_TLS_CERTIFICATE": world.folder / "cert.pem",
                "GREENROOM_TLS_KEY": world.folder / "key.pem",
                "GREENROOM_API_UPSTREAM": world.served["api"].address,
                "GREENROOM_GATEWAY_CREDENTIAL_FILE": world.folder / "credential",
                "GREENROOM_CONSOLE_DIR": world.folder / "console",
                **settings,
            }
        )

    def start_edge(self) -> None:
        self.edge = self.world.launch_with(
            GREENROOM_GATEWAY_PROFILE="edge",
            GREENROOM_GATEWAY_DIR=self.folder("edge"),
            GREENROOM_EDGE_DIR=self.edge_dir,
            GREENROOM_STREAM_LISTEN=f"{EDGE_HOST}:{self.edge_port}",
            GREENROOM_SERVED_HOSTS=f"127.0.0.1,localhost,{EDGE_HOST}",
            GREENROOM_PUBLIC_URL=self.world.main,
            GREENROOM_AGENT_UPSTREAM=self.world.served["agent"].address,
        )

    def direct_tls(self) -> ssl.SSLContext:
        """The TLS context of a browser that trusts the fleet's authority."""
        return ssl.create_default_context(cadata=self.authority.certificate)

    def direct(self) -> httpx2.AsyncClient:
        client = httpx2.AsyncClient(verify=self.direct_tls(), timeout=10, trust_env=False)
        self.world.clients.append(client)
        return client

    async def edge_answers(self) -> bool:
        assert self.edge is not None
        assert self.edge.poll() is None, self.world.log()
        try:
            return (await self.direct().get(f"{self.edge_url}/health")).status_code == 200
        except httpx2.TransportError:
            return False

    async def status(self) -> int:
        """The status of Ann's page through the web gateway; 0 while it does not answer."""
        url, cookie = f"{self.world.stream}{self.world.path()}", {"Cookie": "greenroom_viewer=token-ann"}
        try:
            return (await self.world.client().get(url, headers=cookie)).status_code
        except httpx2.TransportError:
            return 0

    async def is_passed_on(self) -> bool:
        return await self.status() == 200

    async def end(self, process: subprocess.Popen[bytes] | None) -> None:
        if process is not None and process.poll() is None:
            process.terminate()
            await asyncio.to_thread(process.wait, 15)

    async def close(self) -> None:
        await asyncio.gather(self.end(self.web), self.end(self.edge))
        for folder in ("web", "edge"):
            for process in nginx_processes(self.folder(folder)):
                send_signal(process.pid, signal.SIGKILL)
        await self.world.close()


@asynccontextmanager
async def two_hosts() -> AsyncIterator[Hosts]:
    """Create the world without the gateways; the files of the edge's Agent exist."""
    hosts = Hosts(await make_world(), new_authority("fleet", datetime.now(UTC)), free_port())
    for folder in ("web", "edge", "edge-files"):
        hosts.folder(folder).mkdir(mode=0o700)
        give(hosts.folder(folder), hosts.world.account)
    hosts.world.api.fleet = hosts.fleet()
    try:
        yield hosts
    finally:
        await hosts.close()
