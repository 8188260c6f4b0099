"""A real gateway with a real nginx as its own processes; api, Manager, Agent and container are played in the test.

The Agent's part is its real stream authoriser; it asks the played api through nginx, as in a deployment. A module's
tests share one (`shared_world`), those that break something have their own (`own_world`).
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect

from greenroom.agent.cutter import Cutter
from greenroom.agent.sessions import SessionSnapshot
from greenroom.agent.streams import StreamAuthoriser
from greenroom.agent.upstream_auth import UpstreamAuth
from greenroom.core.sessions import SessionSpec
from greenroom.core.states import ObservedState
from greenroom.gateway.processes import nginx_processes
from greenroom.wire.messages import Authorised

ROUTE = "1a2b3c4d"
ANN = "0f6e8a52-0000-4000-8000-00000000000a"
BOB = "0f6e8a52-0000-4000-8000-00000000000b"
AGENT_ID = f"{ROUTE}-0000-4000-8000-000000000000"

_RUN_AS_ACCOUNT = """
import asyncio, os, sys, greenroom.gateway.service as service, greenroom.cli.main, httpx, encodings.idna
if sys.argv[1:]:
    uid, gid = map(int, sys.argv[1:])
    os.setgroups([]); os.setgid(gid); os.setuid(uid)
greenroom.cli.main.app(["gateway"])
"""


@dataclass
class Served:
    """An ASGI application on a port of 127.0.0.1."""

    port: int
    server: uvicorn.Server
    task: asyncio.Task[None]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def stop(self) -> None:
        self.server.should_exit = self.server.force_exit = True
        await self.task


async def serve(app: ASGIApp, *, tls: Path | None = None) -> Served:
    listening = socket.create_server(("127.0.0.1", 0))
    files = {"ssl_certfile": str(tls / "cert.pem"), "ssl_keyfile": str(tls / "key.pem")} if tls else {}
    server = uvicorn.Server(
        uvicorn.Config(
            app, log_config=None, ws="websockets-sansio", lifespan="off", timeout_graceful_shutdown=1, **files
        )
    )
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:  # noqa: ASYNC110 -- uvicorn has no event for it
        await asyncio.sleep(0.005)
    return Served(listening.getsockname()[1], server, task)


def make_certificate(folder: Path) -> None:
    """cert.pem (its own authority) and key.pem for 127.0.0.1 and localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "greenroom test")])
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


# What is played ------------------------------------------------------------------------------------------


@dataclass
class Api:
    """The api: answers with what it was asked; `tokens`: (session, token) → user; `reports` of the gateway."""

    tokens: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    epoch: int = 1
    questions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    reports: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    reporter: str = ""
    more: asyncio.Event = field(default_factory=asyncio.Event)

    async def stream(self, request: Request) -> Response:
        question = await request.json()
        self.questions.append(question | {"bearer": request.headers["authorization"]})
        user = self.tokens.get((question["session_id"], question["token"]))
        if user is None:
            return JSONResponse({"allow": False, "reason": "The token does not open this session."})
        return JSONResponse({"allow": True, "user_id": user, "epoch": self.epoch, "viewer_ttl_s": 600.0})

    async def report(self, request: Request) -> Response:
        self.reporter = request.headers["authorization"]
        self.reports += (await request.json())["requests"]
        return Response(status_code=204)

    async def events(self, _request: Request) -> Response:
        async def lines() -> AsyncIterator[bytes]:
            yield b"data: first\n\n"
            await self.more.wait()
            yield b"data: second\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/api/internal/stream", self.stream, methods=["POST"]),
                Route("/api/internal/manager-requests", self.report, methods=["POST"]),
                Route("/api/v1/events", self.events),
                Route("/api/{rest:path}", echo, methods=["GET", "POST"]),
            ]
        )


async def echo(request: Request) -> Response:
    """Answer with what arrived."""
    target = request.scope["raw_path"].decode() + (f"?{request.url.query}" if request.url.query else "")
    return JSONResponse(
        {"method": request.method, "target": target, "headers": [[k, v] for k, v in request.headers.items()]},
        headers={
            "Set-Cookie": "__Host-greenroom=stolen; Path=/; Secure",
            "X-Frame-Options": "DENY",
            "Service-Worker-Allowed": "/",
            "X-Container": "yes",
        },
    )


async def redirect(_request: Request) -> Response:
    return RedirectResponse("/vnc.html?a=1")


async def echo_websocket(websocket: WebSocket) -> None:
    """A websocket that says what it was asked with, then repeats everything."""
    offered = websocket.scope["subprotocols"]
    await websocket.accept("binary" if "binary" in offered else None)
    headers = [[k.decode(), v.decode()] for k, v in websocket.scope["headers"]]
    await websocket.send_text(json.dumps({"query": websocket.url.query, "headers": headers}))
    with contextlib.suppress(Exception):
        while True:
            await websocket.send_bytes(await websocket.receive_bytes())


def container() -> Starlette:
    return Starlette(
        routes=[
            WebSocketRoute("/websockify", echo_websocket),
            Route("/redirect", redirect),
            Route("/{rest:path}", echo, methods=["GET", "POST"]),
        ]
    )


class Table:
    """The Agent's table of sessions."""

    def __init__(self) -> None:
        self.rows: dict[str, SessionSnapshot] = {}
        self.callbacks: list[Callable[[str], None]] = []

    def get(self, session_id: str) -> SessionSnapshot | None:
        return self.rows.get(session_id)

    def on_authorised_changed(self, callback: Callable[[str], None]) -> None:
        self.callbacks.append(callback)

    def put(self, session_id: str, spec: SessionSpec, address: str, user: str | None, epoch: int = 1) -> None:
        self.rows[session_id] = SessionSnapshot(
            session_id=session_id,
            spec=spec,
            address=address,
            authorised=Authorised(user_id=user, epoch=epoch) if user else None,
            state=ObservedState.RUNNING,
            handed_over=True,
        )
        for callback in self.callbacks:
            callback(session_id)

    def raise_epoch(self, session_id: str) -> None:
        row = self.rows[session_id]
        assert row.authorised is not None
        self.put(session_id, row.spec, row.address or "", row.authorised.user_id, row.authorised.epoch + 1)


class Who:
    route = ROUTE
    bearer = f"Bearer {AGENT_ID}.credential"


# The world ------------------------------------------------------------------------------------------


@dataclass
class World:
    """Everything around one gateway; `process` is its parent."""

    folder: Path
    plan: dict[str, Any]
    api: Api
    table: Table
    cutter: Cutter
    served: dict[str, Served]
    spec: SessionSpec
    agent: StreamAuthoriser
    account: tuple[int, int] | None
    process: subprocess.Popen[bytes] | None = None
    clients: list[httpx.AsyncClient] = field(default_factory=list[httpx.AsyncClient])

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
        """nginx's folder."""
        return self.folder / "gateway"

    def path(self, session_id: str = ANN) -> str:
        return f"/desktop/{ROUTE}/{session_id}/"

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.folder / "cert.pem")

    def client(self, **options: Any) -> httpx.AsyncClient:
        client = httpx.AsyncClient(verify=self.tls(), timeout=10, trust_env=False, **options)
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
        """A websocket client; `token` goes as viewer cookie."""
        cookie = {"Cookie": f"greenroom_viewer={token}"} if token else {}
        return connect(
            f"wss{base.removeprefix('https')}{self.path(session_id)}websockify{query}",
            ssl=self.tls(),
            origin=self.stream if origin == "same" else origin,
            subprotocols=["binary"],
            additional_headers={**cookie, **headers},
            proxy=None,
            open_timeout=10,
        )

    def reset(self) -> None:
        """Ann and Bob have a desktop each, nobody was let in, nothing was asked, no Manager drains."""
        self.api.tokens.clear()
        self.api.questions.clear()
        self.api.reports.clear()
        for viewer in list(self.agent._viewers._viewers.values()):
            self.agent._viewers.forget_revoked(viewer.shows, None)
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
        """Start a gateway's parent."""
        self.write_plan()
        return subprocess.Popen(
            [sys.executable, "-c", _RUN_AS_ACCOUNT, *(str(i) for i in self.account or ())],
            env={
                "PATH": os.defpath,
                "GREENROOM_GATEWAY_FILE": str(self.folder / "plan.json"),
                "GREENROOM_GATEWAY_DIR": str(self.prefix),
            },
            cwd="/",
            stderr=(self.folder / "log").open("ab"),
        )

    async def start(self) -> None:
        """Start the gateway and wait until it serves."""
        self.process = self.launch()
        await self.until(self.is_serving)

    async def is_serving(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the gateway ended: {self.log()}")
        with contextlib.suppress(httpx.HTTPError):
            async with httpx.AsyncClient(verify=self.tls(), trust_env=False) as client:
                return (await client.get(f"{self.main}/gateway_status")).status_code == 200
        return False

    async def until(self, condition: Callable[[], Any], within_s: float = 15.0) -> None:
        """Wait until `condition()` (may be a coroutine function) is true."""
        end = time.monotonic() + within_s
        while True:
            value = condition()
            if await value if asyncio.iscoroutine(value) else value:
                return
            assert time.monotonic() < end, f"not within {within_s} s; the gateway said:\n{self.log()}"
            await asyncio.sleep(0.05)

    def masters(self) -> list[int]:
        """Masters of nginx, whoever started them."""
        return [process.pid for process in nginx_processes(self.prefix) if _title(process.pid) == "master"]

    async def master(self) -> int:
        """The one master there is; a worker just forked still has its master's title for a moment."""
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
            os.kill(process.pid, signal.SIGKILL)
        await asyncio.gather(*(served.stop() for served in self.served.values()))
        shutil.rmtree(self.folder)


def _title(pid: int) -> str:
    """The second word of an nginx process's title: master, worker; empty when it ended."""
    with contextlib.suppress(FileNotFoundError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split()
        return words[1].decode() if len(words) > 1 else ""
    return ""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def account() -> tuple[int, int] | None:
    """Who the gateway runs as when the tests run as root."""
    if os.getuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("greenroom")
    except KeyError:
        entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def give(folder: Path, owner: tuple[int, int] | None) -> None:
    """Let the gateway's account have the folder."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, *(owner or (-1, -1)))


async def make_world() -> World:
    """All but the gateway itself."""
    folder = Path(tempfile.mkdtemp(prefix="gr-gw-", dir="/tmp"))
    make_certificate(folder)
    for name in ("gateway", "drain0", "drain1", "console/assets"):
        (folder / name).mkdir(parents=True)
    (folder / "console/index.html").write_text("<!doctype html><title>console</title>")
    (folder / "console/assets/main-1a2b.js").write_text("console.log(1)")
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
    cutter = Cutter()
    await cutter.probe()
    agent = StreamAuthoriser(
        table,
        Who(),
        UpstreamAuth(folder / "cert.pem"),
        cutter,
        folder,
        last_fresh=lambda: None,
        report=lambda _sentence, _session_id: None,
    )
    served["agent"] = await serve(Starlette(routes=agent.routes))
    plan = {
        "profile": "web",
        "tls_certificate": str(folder / "cert.pem"),
        "tls_key": str(folder / "key.pem"),
        "main_listen": main,
        "stream_listen": stream,
        "api": served["api"].address,
        "console_dir": str(folder / "console"),
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
    world = World(folder, plan, api, table, cutter, served, spec, agent, owner)
    world.reset()
    return world


@contextlib.asynccontextmanager
async def served_world() -> AsyncIterator[World]:
    """Everything with the gateway, for a fixture."""
    world = await make_world()
    try:
        await world.start()
        yield world
    finally:
        await world.close()


async def said(websocket: ClientConnection) -> dict[str, Any]:
    """The first message of a played container's websocket."""
    return json.loads(await websocket.recv())


async def answers(websocket: ClientConnection) -> bool:
    """Whether the websocket still carries messages both ways."""
    await websocket.send(b"ping")
    return await asyncio.wait_for(websocket.recv(), 5) == b"ping"


async def raw(address: str, head: str, *, body: bytes = b"") -> tuple[int, bytes]:
    """Send these exact request lines over TLS; status and everything that came back."""
    host, _, port = address.removeprefix("https://").rpartition(":")
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
    writer.write(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return int(answer.split(b" ", 2)[1]) if answer else 0, answer
