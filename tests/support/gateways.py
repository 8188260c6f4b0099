"""A real gateway with a real nginx as separate processes; api, Manager and container are simulated in the test.

The Agent's part is its real stream authorizer; it calls the simulated api through nginx, as in a deployment. The tests
of a module share one world (`shared_world`); tests that break something have a separate one (`own_world`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from tests.support.played import ANN, BOB, ROUTE, Api, Served, Table, Who, container, echo, make_certificate, serve
from tests.support.processes import free_port, locale_variables
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from greenroom.agent.stream.admission import Pages, UpstreamAuth
from greenroom.agent.stream.authorizer import StreamAuthorizer
from greenroom.agent.stream.gateways import Gateways
from greenroom.agent.stream.viewers import StreamEvents
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.gateway.nginx import nginx_processes
from greenroom.kit.processes import send_signal
from greenroom.kit.tcp import StreamTerminator

RUN_AS_ACCOUNT = """
import asyncio, os, sys, greenroom.gateway.main, greenroom.kit.program, httpx2, encodings.idna
import concurrent.futures.thread
if sys.argv[1:]:
    uid, gid = map(int, sys.argv[1:])
    os.setgroups([]); os.setgid(gid); os.setuid(uid)
greenroom.kit.program.run_role("gateway")
"""
STARTED_S = 60.0
"""The time within which a process starts on a busy machine."""


@dataclass
class World:
    """A gateway with its environment; `process` is its parent."""

    folder: Path
    plan: dict[str, Any]
    api: Api
    table: Table
    cutter: StreamTerminator
    served: dict[str, Served]
    spec: SessionSpec
    agent: StreamAuthorizer
    openings: list[str]
    closings: list[str]
    account: tuple[int, int] | None
    process: subprocess.Popen[bytes] | None = None
    clients: list[httpx2.AsyncClient] = field(default_factory=list[httpx2.AsyncClient])

    @property
    def main(self) -> str:
        return f"https://{self.plan['main_listen']}"

    @property
    def stream(self) -> str:
        return f"https://{self.plan['stream_listen']}"

    def manager(self, number: int = 0) -> str:
        return f"https://{self.plan['managers'][number]['listen']}"

    def sentinel(self, number: int = 0) -> Path:
        return Path(self.plan["managers"][number]["sentinel_file"])

    @property
    def prefix(self) -> Path:
        """The folder of nginx."""
        return self.folder / "gateway"

    def path(self, session_id: str = ANN) -> str:
        return f"/desktop/{ROUTE}/{session_id}/"

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.folder / "cert.pem")

    def client(self, **options: Any) -> httpx2.AsyncClient:
        client = httpx2.AsyncClient(**{"verify": self.tls(), "timeout": 10, "trust_env": False, **options})
        self.clients.append(client)
        return client

    def websocket(
        self,
        base: str,
        session_id: str = ANN,
        *,
        token: str = "",
        origin: str | None = "same",
        query: str = "",
        **headers: str,
    ) -> connect:
        """Open a websocket; `token` is sent as viewer cookie."""
        cookie = {"Cookie": f"greenroom_viewer={token}"} if token else {}
        return connect(
            f"wss{base.removeprefix('https')}{self.path(session_id)}websockify{query}",
            ssl=self.tls(),
            origin=None if origin is None else Origin(self.stream if origin == "same" else origin),
            subprotocols=[Subprotocol("binary")],
            additional_headers={**cookie, **headers},
            proxy=None,
            open_timeout=10,
        )

    async def cuts_are_over(self) -> None:
        """Wait until no stream is being cut: a cut is repeated, and would end the streams of the next test."""
        for session_id in (ANN, BOB):
            await self.agent.closed(session_id)
        await self.cutter.wait()

    def reset(self) -> None:
        """Reset the state: Ann and Bob have a desktop each, no viewer is admitted, no request is recorded, no
        Manager drains."""
        self.api.tokens.clear()
        self.api.programs.clear()
        self.api.desks.clear()
        self.api.questions.clear()
        self.api.reports.clear()
        for viewer in list(self.agent._viewers._viewers.values()):
            self.agent._viewers.forget_revoked(viewer.shown_session_id, None)
        for session_id, name in ((ANN, "ann"), (BOB, "bob")):
            self.table.put(session_id, self.spec, self.served[name].address, f"user-{name}")
            self.api.tokens[session_id, f"token-{name}"] = f"user-{name}"
        for number in range(2):
            self.sentinel(number).unlink(missing_ok=True)

    def write_plan(self) -> None:
        new = self.folder / "plan.new"
        new.write_text(json.dumps(self.plan))
        new.chmod(0o644)
        new.replace(self.folder / "plan.json")

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the parent of a gateway with the plan."""
        self.write_plan()
        return self.launch_with(GREENROOM_GATEWAY_FILE=self.folder / "plan.json", GREENROOM_GATEWAY_DIR=self.prefix)

    def launch_with(self, **environment: object) -> subprocess.Popen[bytes]:
        """Start the parent of a gateway with these settings."""
        return subprocess.Popen(
            [sys.executable, "-c", RUN_AS_ACCOUNT, *(str(i) for i in self.account or ())],
            env={"PATH": os.defpath} | locale_variables() | {name: str(value) for name, value in environment.items()},
            cwd="/",
            stderr=(self.folder / "log").open("ab"),
        )

    async def loaded_api(self, program: str) -> asyncio.subprocess.Process:
        """Start a program that takes the place of the simulated api. Its argument is the port; it writes a line when it
        has loaded its modules, and listens when it reads one."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, str(self.served["api"].port)),
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        await asyncio.wait_for(process.stdout.readline(), STARTED_S)
        return process

    async def start(self) -> None:
        """Start the gateway and wait until it serves."""
        self.process = self.launch()
        await self.until(self.is_serving, STARTED_S)

    async def is_serving(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the gateway ended: {self.log()}")
        with contextlib.suppress(httpx2.HTTPError):
            async with httpx2.AsyncClient(verify=self.tls(), trust_env=False) as client:
                return (await client.get(f"{self.main}/gateway_status")).status_code == 200
        return False

    async def until(self, condition: Callable[[], Any], within_s: float = 30.0) -> None:
        """Wait until `condition()` (may be a coroutine function) is true."""
        end = time.monotonic() + within_s
        while True:
            value = condition()
            if await value if asyncio.iscoroutine(value) else value:
                return
            assert time.monotonic() < end, f"not within {within_s} s; the gateway said:\n{self.log()}"
            await asyncio.sleep(0.05)  # nginx sends no notification

    def masters(self) -> list[int]:
        """The master processes of nginx, with any parent; a worker that was just forked still has its master's title
        for a moment."""
        titled = {one.pid: one.parent for one in nginx_processes(self.prefix) if _title(one.pid) == "master"}
        return [pid for pid, parent in titled.items() if parent not in titled]

    async def master(self) -> int:
        """Wait until there is exactly one master, and return it."""
        await self.until(lambda: len(self.masters()) == 1)
        return self.masters()[0]

    def workers(self) -> list[int]:
        return [process.pid for process in nginx_processes(self.prefix) if _title(process.pid) == "worker"]

    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def close(self) -> None:
        for client in self.clients:
            await client.aclose()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            await asyncio.to_thread(self.process.wait, 15)
        for process in nginx_processes(self.prefix):
            send_signal(process.pid, signal.SIGKILL)
        await asyncio.gather(*(served.stop() for served in self.served.values()))
        shutil.rmtree(self.folder)


def _title(pid: int) -> str:
    """The second word of an nginx process's title: master, worker; empty if the process has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split()
        return words[1].decode() if len(words) > 1 else ""
    return ""


def account() -> tuple[int, int] | None:
    """The account of the gateway if the tests run as root."""
    if os.getuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("greenroom")
    except KeyError:
        entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def give(folder: Path, owner: tuple[int, int] | None) -> None:
    """Change the owner of the folder and its content to the gateway's account."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, *(owner or (-1, -1)))


async def make_world() -> World:
    """Create the world without starting the gateway."""
    folder = Path(tempfile.mkdtemp(prefix="gr-gw Räume (1), 部屋-", dir="/tmp"))
    make_certificate(folder)
    for name in ("gateway", "drain0", "drain1", "console/assets"):
        (folder / name).mkdir(parents=True)
    (folder / "console/index.html").write_text(
        '<!doctype html><meta property="csp-nonce" nonce="GREENROOM_NONCE"><title>console</title>'
    )
    for ending in ("", ".br", ".gz"):
        (folder / f"console/assets/main-1a2b.js{ending}").write_text(f"console.log(1){ending}")
    (folder / "credential").write_text("gateway-credential\n")
    (folder / "log").touch()
    owner = account()
    give(folder, owner)
    api, table = Api(), Table()
    served = {
        "api": await serve(api.app()),
        "manager0": await serve(Starlette(routes=[Route("/{rest:path}", echo, methods=["GET", "POST"])])),
        "manager1": await serve(Starlette(routes=[Route("/{rest:path}", echo, methods=["GET", "POST"])])),
        "ann": await serve(container(), tls=folder),
        "bob": await serve(container(), tls=folder),
    }
    main, stream, *managers = (f"127.0.0.1:{free_port()}" for _ in range(4))
    spec = SessionSpec(
        image="i", image_id="i", credential="s3cret", allow_origin=("127.0.0.1", "localhost"), upstream_auth=main
    )
    cutter = StreamTerminator()
    await cutter.probe()
    openings, closings = list[str](), list[str]()
    agent = StreamAuthorizer(
        table,
        Who(),
        UpstreamAuth(folder / "cert.pem"),
        cutter,
        folder,
        pages=Pages(),
        gateways=Gateways(Who(), table, acting=lambda: True),
        events=StreamEvents(
            refused=lambda *_: None,
            opened=lambda sentence, *_: openings.append(sentence),
            closed=lambda sentence, *_: closings.append(sentence),
        ),
        last_fresh=lambda: None,
    )
    table.authorised_changed.subscribe(agent.authorised_changed)
    served["agent"] = await serve(Starlette(routes=agent.routes))
    plan = {
        "profile": "web",
        "tls_certificate": str(folder / "cert.pem"),
        "tls_key": str(folder / "key.pem"),
        "main_listen": main,
        "stream_listen": stream,
        "api": served["api"].address,
        "console_dir": str(folder / "console"),
        "help_dir": str(folder / "help"),
        "managers": [
            {
                "name": f"manager-{n}",
                "zone": f"zone-{n}",
                "listen": managers[n],
                "upstream": served[f"manager{n}"].address,
                "sentinel_file": str(folder / f"drain{n}/kasm_manager_draining"),
            }
            for n in range(2)
        ],
        "agents": [{"route": ROUTE, "upstream": served["agent"].address}],
        "served_hosts": ["127.0.0.1", "localhost"],
        "credential_file": str(folder / "credential"),
    }
    world = World(folder, plan, api, table, cutter, served, spec, agent, openings, closings, owner)
    world.reset()
    return world


@contextlib.asynccontextmanager
async def served_world() -> AsyncIterator[World]:
    """Create the world and start the gateway, for a fixture."""
    world = await make_world()
    try:
        await world.start()
        yield world
    finally:
        await world.close()


async def said(websocket: ClientConnection) -> dict[str, Any]:
    """The first message of a simulated container's websocket."""
    return json.loads(await websocket.recv())


async def answers(websocket: ClientConnection) -> bool:
    """True if the websocket still carries messages both ways."""
    await websocket.send(b"ping")
    return await asyncio.wait_for(websocket.recv(), 30) == b"ping"


async def raw(address: str, head: str, *, body: bytes = b"") -> tuple[int, bytes]:
    """Send these exact request lines over TLS; returns the status and the whole answer."""
    host, _, port = address.removeprefix("https://").rpartition(":")
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
    writer.write(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return int(answer.split(b" ", 2)[1]) if answer else 0, answer


@contextlib.contextmanager
def the_way_to_cut(world: World, kernel_can: bool) -> Iterator[None]:
    """Cut connections as on a machine on which `ss -K` works, or does not work."""
    if kernel_can and not world.cutter.ss_works:
        pytest.skip("this machine cannot abort connections: no ss, no CAP_NET_ADMIN or no INET_DIAG_DESTROY")
    before, world.cutter.ss_works = world.cutter.ss_works, kernel_can
    try:
        yield
    finally:
        world.cutter.ss_works = before
