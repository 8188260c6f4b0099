"""From the request that removes a user until the user's stream is closed, through gateway and api: with all roles
running, while the api is killed, and while the Primary is killed.

Each user has a session with an open stream, which sends data ten times a second. Requests arrive at a fixed rate and in
five ways in turn. After an error, a request is repeated as an identity provider would; the time begins with the first
attempt. Sessions are simulated: the pages behind the gateway are a server of the bench, one loopback address each,
because an Agent ends all connections to the page of a session. BENCH_SAMPLES sets the number of removals of each
situation.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import psycopg

from bench.api_connection import ApiConnection
from bench.instance import Instance, run_instance, wait
from bench.table import Figure, Point, percentile, spread
from greenroom.core.fleet.restarts import WINDOW_S
from greenroom.runtimes.simulated import SimulatedRuntime, SimulationSettings
from greenroom.up.layout import Layout
from greenroom.up.supervisor import State

SAMPLES: Final = int(os.environ.get("BENCH_SAMPLES", "1000"))
WAVE: Final = 100
"""The number of streams that are open at the same time at the start of a wave of removals."""
RATE: Final = 10.0
"""Removals per second."""
GOAL_MS: Final = 1000.0
SEND_S: Final = 0.1
RETRY_S: Final = 0.05
TIMEOUT_S: Final = 30.0
KILL_AFTER_S: Final = 2.0
"""The time from the first removal of a wave until the kill."""
PERCENTS: Final = (50, 75, 90, 95, 99, 100)
SITUATIONS: Final = {"all roles run": "", "the api is killed": "api", "the Primary is killed": "manager"}
"""Situation → the role that is killed."""
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FRAME: Final = b"\x82\x7e\x04\x00" + bytes(1024)
"""A websocket frame with 1 KiB of data."""


# The page and the viewer of a session ---------------------------------------------------------------------------------


async def _serve_page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept a websocket and send frames until the connection ends."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(
            line.partition(b":")[2].strip()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key:")
        )
        accepted = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n"
        )
        while not writer.is_closing():
            writer.write(_FRAME)
            await writer.drain()
            await asyncio.sleep(SEND_S)
    except (OSError, asyncio.IncompleteReadError):
        pass  # the connection was ended
    finally:
        writer.close()


@dataclass(slots=True)
class _Viewer:
    """The open stream of a user. `closed` has the time at which it was closed, by `time.perf_counter()`."""

    user_id: str
    task: asyncio.Task[float]
    began: asyncio.Event


async def _watch(instance: Instance, frame_url: str, began: asyncio.Event) -> float:
    """Open the stream like a browser, and return the time at which it was closed. Raises RuntimeError: it was not
    opened."""
    parts = urlsplit(frame_url)
    page = await asyncio.to_thread(ApiConnection, instance, parts.netloc)
    cookie = await asyncio.to_thread(page.fetch_cookie, f"{parts.path}?{parts.query}")
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=page.context)
    writer.write(
        f"GET {parts.path}websockify HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
        f"Origin: {instance.facts['url']}\r\nCookie: {cookie}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 101 " not in head.split(b"\r\n", 1)[0]:
        raise RuntimeError(f"the stream was not opened: {head.decode()}")
    await reader.readexactly(len(_FRAME))
    began.set()
    try:
        while await reader.read(1 << 16):
            pass
    except OSError:
        pass  # nginx aborted the connection
    closed = time.perf_counter()
    writer.close()
    return closed


# The users and their removal ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Stage:
    """The objects of the measurement."""

    instance: Instance
    image_id: str
    group_id: str
    scim_client_id: str
    scim_token: str
    host: SimulatedRuntime
    port: int
    waves: int = 0
    """The number of waves so far. Each has other addresses, because an Agent cuts an address again for two seconds."""
    samples_ms: list[float] = field(default_factory=list[float])

    def prepare(self, count: int) -> list[str]:
        """Create users of the group; the SCIM client may change them."""
        user_ids = self.instance.create_users(count)
        with psycopg.connect(self.instance.facts["database_url"], autocommit=True) as connection:
            connection.execute(
                "INSERT INTO user_groups (user_id, group_id) SELECT unnest(%s::uuid[]), %s", [user_ids, self.group_id]
            )
            connection.execute(
                "INSERT INTO scim_users (user_id, client_id, document) SELECT unnest(%s::uuid[]), %s, '{}'",
                [user_ids, self.scim_client_id],
            )
        return user_ids

    def launch(self, connection: ApiConnection, user_id: str, address: str) -> str:
        """Launch a session whose page has this address; returns the address of its stream."""
        self.host.configure(SimulationSettings(address=address, cores=100_000, memory_bytes=1 << 48))
        session = connection.request("POST", "/sessions", {"image_id": self.image_id, "user_id": user_id})
        found: list[str] = []

        def is_open() -> bool:
            found.append(connection.request("GET", f"/sessions/{session['session_id']}/connection")["frame_url"])
            return bool(found[-1])

        wait(is_open, TIMEOUT_S, 0.01)
        return found[-1]

    def removal(self, number: int, user_id: str) -> dict[str, Any]:
        """The request that removes a user, in one of five ways."""
        scim = {"Authorization": f"Bearer {self.scim_token}", "Content-Type": "application/scim+json"}
        inactive = {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "path": "active", "value": False}],
        }
        deactivation = {"url": f"/api/scim/v2/Users/{user_id}", "json": inactive, "headers": scim, "auth": None}
        ways: tuple[dict[str, Any], ...] = (
            {"method": "PATCH", **deactivation},
            {"method": "PATCH", "url": f"/api/v1/users/{user_id}", "json": {"disabled": True}},
            {"method": "DELETE", "url": f"/api/v1/users/{user_id}", "params": {"force": "true"}},
            {"method": "DELETE", "url": f"/api/v1/groups/{self.group_id}/users/{user_id}"},
            {"method": "DELETE", "url": f"/api/v1/users/{user_id}/logins"},
        )
        return ways[number % len(ways)]


async def _remove(http: httpx2.AsyncClient, stage: Stage, number: int, viewer: _Viewer) -> None:
    """Remove a user, and record the time until the stream is closed. Raises RuntimeError: the api refused."""
    start, request = time.perf_counter(), stage.removal(number, viewer.user_id)
    while True:
        try:
            answer = await http.request(**request)
        except httpx2.TransportError:
            await asyncio.sleep(RETRY_S)
            continue
        if answer.is_success or answer.status_code == 404:  # 404: an attempt without an answer had deleted the user
            break
        if answer.status_code < 500:
            raise RuntimeError(f"{request}: {answer.status_code} {answer.text}")
        await asyncio.sleep(RETRY_S)
    async with asyncio.timeout(TIMEOUT_S):
        closed = await viewer.task
    stage.samples_ms.append((closed - start) * 1000)


async def _run_wave(http: httpx2.AsyncClient, stage: Stage, size: int, killed: str) -> None:
    stage.waves += 1
    addresses = [f"127.1.{stage.waves}.{1 + number}" for number in range(size)]
    server = await asyncio.start_server(_serve_page, addresses, stage.port, backlog=size)
    async with server:
        user_ids = await asyncio.to_thread(stage.prepare, size)
        connection = ApiConnection(stage.instance)
        viewers = list[_Viewer]()
        for user_id, address in zip(user_ids, addresses, strict=True):
            url = await asyncio.to_thread(stage.launch, connection, user_id, f"{address}:{stage.port}")
            began = asyncio.Event()
            viewers.append(_Viewer(user_id, asyncio.create_task(_watch(stage.instance, url, began)), began))
        async with asyncio.timeout(TIMEOUT_S):
            for viewer in viewers:
                waiting = asyncio.create_task(viewer.began.wait())
                await asyncio.wait({waiting, viewer.task}, return_when=asyncio.FIRST_COMPLETED)
                if viewer.task.done():
                    raise RuntimeError(f"a stream was closed before the removal: {viewer.task}")
        begin = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            if killed:
                group.create_task(_kill_after(stage.instance, killed))
            for number, viewer in enumerate(viewers):
                await asyncio.sleep(begin + number / RATE - time.perf_counter())
                group.create_task(_remove(http, stage, number, viewer))
    await asyncio.to_thread(stage.instance.end_assigned)


async def _kill_after(instance: Instance, role: str) -> None:
    await asyncio.sleep(KILL_AFTER_S)
    os.kill(await asyncio.to_thread(_pid, instance, role), signal.SIGKILL)


def _pid(instance: Instance, role: str) -> int:
    """The process of a role; of the Managers, the Primary."""
    primary = next(manager["instance_id"] for manager in instance.get("/managers") if manager["is_primary"])
    parts = [part for part in State.read(Layout(instance.data).state).parts if part.role == role and part.pid]
    part = next(part for part in parts if role != "manager" or primary.startswith(f"{part.name}-"))
    assert part.pid is not None
    return part.pid


# The measurement ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _client(instance: Instance) -> AsyncIterator[httpx2.AsyncClient]:
    auth = (instance.facts["api_key"], instance.facts["api_key_secret"])
    async with httpx2.AsyncClient(
        base_url=instance.facts["url"], verify=instance.context(), auth=auth, timeout=TIMEOUT_S
    ) as http:
        yield http


async def _measure(stage: Stage, killed: str) -> list[float]:
    stage.samples_ms = []
    last_kill_s = float("-inf")
    async with _client(stage.instance) as http:
        for wave in range((SAMPLES + WAVE - 1) // WAVE):
            size = min(WAVE, SAMPLES - wave * WAVE)
            kills = bool(killed) and time.monotonic() - last_kill_s > WINDOW_S + 1  # otherwise it starts after a pause
            if kills:
                last_kill_s = time.monotonic() + TIMEOUT_S
            await _run_wave(http, stage, size, killed if kills else "")
            if kills:
                last_kill_s = time.monotonic()
            print(f"    {len(stage.samples_ms)}: {spread(stage.samples_ms)} ms", flush=True)
    return stage.samples_ms


def _make_stage(instance: Instance) -> Stage:
    image_id = instance.find_desktop()["image_id"]
    group_id = instance.post("/groups", {"name": "Removed users"})["group_id"]
    changed = instance.http.patch(f"/api/v1/images/{image_id}", json={"groups": [group_id], "protocol": "http"})
    changed.raise_for_status()
    scim = instance.post("/scim-clients", {"name": "bench"})
    host = SimulatedRuntime("", "", folder=Layout(instance.data).agent("agent-default"))
    host.configure(SimulationSettings(cores=100_000, memory_bytes=1 << 48))
    wait(lambda: all(each["cores"] > WAVE for each in instance.get("/agents")), 60)
    return Stage(instance, image_id, group_id, scim["client_id"], scim["token"], host, 18_999)


def _figures(situation: str, values: Sequence[float]) -> list[Figure]:
    """The 99th percentile with its goal, and the points of the picture."""
    samples = list(values)
    name = f"removal of a user until the stream is closed, {situation}"
    return [
        Figure(
            f"{name}, {'maximum' if percent == 100 else f'p{percent}'}",
            percentile(samples, percent),
            GOAL_MS,
            "ms",
            "the goal",
            len(samples),
            spread(samples) if percent == 99 else "",
            samples_of_product=samples if percent == 99 else [],
            goal=1 if percent == 99 else None,
            point=Point(situation, percent),
        )
        for percent in PERCENTS
    ]


def run() -> list[Figure]:
    """Measure the situations in turn, on an instance with two Managers."""
    figures = list[Figure]()
    with run_instance("--managers", "2", runtime="simulated") as instance:
        stage = _make_stage(instance)
        for situation, killed in SITUATIONS.items():
            print(f"  {situation}", flush=True)
            figures += _figures(situation, asyncio.run(_measure(stage, killed)))
    return figures
