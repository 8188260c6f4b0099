"""The environment of a gateway in its tests: simulated api, Manager, container and table of the Agent's sessions."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import ipaddress
import json
import socket
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
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

from greenroom.agent.concurrency import Signal
from greenroom.agent.session.observed import SessionSnapshot
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.wire.fleet import Fleet
from greenroom.wire.messages import Authorised

ROUTE = "1a2b3c4d"
ANN = "0f6e8a52-0000-4000-8000-00000000000a"
BOB = "0f6e8a52-0000-4000-8000-00000000000b"
AGENT_ID = f"{ROUTE}-0000-4000-8000-000000000000"
PERMITTED = ["allow_kasm_uploads", "allow_kasm_downloads"]
"""The permissions of every session: programs use DevTools."""


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


class Background(uvicorn.Server):
    """A server that leaves the signals of the process to the tests."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def serve(app: ASGIApp, *, tls: Path | None = None) -> Served:
    listening = socket.create_server(("127.0.0.1", 0))
    server = Background(
        uvicorn.Config(
            app,
            log_config=None,
            ws="websockets-sansio",
            lifespan="off",
            timeout_graceful_shutdown=1,
            ssl_certfile=str(tls / "cert.pem") if tls else None,
            ssl_keyfile=str(tls / "key.pem") if tls else None,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:  # noqa: ASYNC110 -- uvicorn has no event for it
        await asyncio.sleep(0.005)
    return Served(listening.getsockname()[1], server, task)


def make_certificate(folder: Path) -> None:
    """Create cert.pem (which is also its authority) and key.pem for 127.0.0.1 and localhost."""
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


@dataclass
class Api:
    """The api, which records requests; `tokens`: (session, token) → user; `reports` are those of the gateway.

    `fleet` is sent to gateways; None stands for a 503 answer.
    """

    tokens: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    programs: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """The same for the tokens of leases."""
    desks: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """The same for the api's tokens for leases, which open `desk/`."""
    epoch: int = 1
    questions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    reports: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    reporter: str = ""
    fleet: Fleet | None = field(default_factory=Fleet)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    async def stream(self, request: Request) -> Response:
        question = await request.json()
        self.questions.append(question | {"bearer": request.headers["authorization"]})
        asked = question["session_id"], question["token"]
        for access, tokens in (("program", self.programs), ("api", self.desks)):
            if asked in tokens:
                return JSONResponse({"allow": True, "user_id": tokens[asked], "epoch": self.epoch, "access": access})
        user = self.tokens.get(asked)
        if user is None:
            return JSONResponse({"allow": False, "reason": "The token does not open this session."})
        return JSONResponse({"allow": True, "user_id": user, "epoch": self.epoch, "viewer_ttl_s": 600.0})

    async def report(self, request: Request) -> Response:
        self.reporter = request.headers["authorization"]
        self.reports += (await request.json())["requests"]
        return Response(status_code=204)

    async def gateway(self, _request: Request) -> Response:
        return Response(msgspec.json.encode(self.fleet)) if self.fleet else Response(status_code=503)

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
                Route("/api/internal/gateway", self.gateway),
                Route("/api/v1/events", self.events),
                Route("/api/{rest:path}", echo, methods=["GET", "POST"]),
            ]
        )


async def echo(request: Request) -> Response:
    """Answer with the received request."""
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


async def browser(request: Request) -> Response:
    """The browser's description of itself, with an address of the session and a foreign address."""
    here = f"wss://{request.headers['host']}{request.headers['x-forwarded-prefix']}/cdp/devtools/browser/1"
    return JSONResponse({"webSocketDebuggerUrl": here, "other": "wss://example.org/cdp/", "seen": str(request.headers)})


async def redirect(_request: Request) -> Response:
    return RedirectResponse("/vnc.html?a=1")


async def moved(request: Request) -> Response:
    return RedirectResponse(request.query_params["to"])


async def inside(request: Request) -> Response:
    """Request an internal redirect of the gateway, and send a cookie with it."""
    return Response(headers={"X-Accel-Redirect": request.query_params["to"], "Set-Cookie": "__Host-greenroom=stolen"})


async def silent(request: Request) -> Response:
    """Accept a request and send nothing while the client waits."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response()


async def taken(request: Request) -> Response:
    """Receive an upload and answer with its size."""
    return JSONResponse({"bytes": sum([len(data) async for data in request.stream()])})


async def echo_websocket(websocket: WebSocket) -> None:
    """A websocket that first sends the query and headers of its request, and then echoes every message."""
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
            WebSocketRoute("/cdp/devtools/browser/1", echo_websocket),
            Route("/cdp/json/version", browser),
            Route("/redirect", redirect),
            Route("/{folder:path}moved", moved),
            Route("/inside", inside),
            Route("/silent", silent),
            Route("/taken", taken, methods=["PUT"]),
            Route("/{rest:path}", echo, methods=["GET", "POST", "PUT", "DELETE"]),
        ]
    )


class Table:
    """The Agent's table of sessions."""

    def __init__(self) -> None:
        self.rows: dict[str, SessionSnapshot] = {}
        self.authorised_changed = Signal[str]()

    def get(self, session_id: str) -> SessionSnapshot | None:
        return self.rows.get(session_id)

    def put(self, session_id: str, spec: SessionSpec, address: str, user: str | None, epoch: int = 1) -> None:
        self.rows[session_id] = SessionSnapshot(
            session_id=session_id,
            spec=spec,
            address=address,
            authorised=Authorised(user_id=user, epoch=epoch, permitted=PERMITTED) if user else None,
            handed_over=True,
        )
        self.authorised_changed.emit(session_id)

    def limit_uploads(self, session_id: str, max_upload_mb: int) -> None:
        row = self.rows[session_id]
        assert row.authorised is not None
        limited = msgspec.structs.replace(row.authorised, max_upload_mb=max_upload_mb)
        self.rows[session_id] = dataclasses.replace(row, authorised=limited)

    def raise_epoch(self, session_id: str) -> None:
        row = self.rows[session_id]
        assert row.authorised is not None
        self.put(session_id, row.spec, row.address or "", row.authorised.user_id, row.authorised.epoch + 1)


class Who:
    agent_id = AGENT_ID
    route = ROUTE
    bearer = f"Bearer {AGENT_ID}.credential"
