"""Bodies that cannot be used: every role refuses them, counts them, and keeps nothing of them in memory."""

from __future__ import annotations

import gc
import mmap
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp
from tests.database.api.client import KEY, Client, MakeClient
from tests.database.api.provisioning import SCIM, provisioner

from greenroom.agent.app import AgentHealth, gateway_app
from greenroom.agent.stream.gateways import Gateways
from greenroom.core.text import MAX_JSON_LEVELS
from greenroom.interfaces.sdk import browserbase, kernel, steel
from greenroom.kit.serving import GC_THRESHOLDS
from greenroom.manager.app import ManagerProcess
from greenroom.manager.app import create_app as manager_app
from greenroom.wire.viewers import CHECK_PATH, LISTEN_PATH

SIZE_BYTES = 150_000
MAX_GROWTH_BYTES = 48 << 20
"""The bodies of one test have more than 200 MB."""
JSON, FORM, MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
FILLER = "k" * SIZE_BYTES
MANY = SIZE_BYTES // 12
KINDS: dict[str, tuple[str, bytes]] = {
    "lists": (JSON, b"[" * SIZE_BYTES),
    "objects": (JSON, b'{"a":' * (SIZE_BYTES // 5)),
    "closed": (JSON, b"[" * (SIZE_BYTES // 2) + b"]" * (SIZE_BYTES // 2)),
    "below a field": (JSON, b'{"username": ' + b"[" * 900 + b"]" * 900 + b"}"),
    "UTF-16": (JSON, ('{"username": ' + "[" * (SIZE_BYTES // 2)).encode("utf-16")),
    "digits": (JSON, b'{"username": ' + b"9" * SIZE_BYTES + b"}"),
    "number": (JSON, b'{"username": 1e99999}'),
    "name": (JSON, f'{{"{FILLER}": 1}}'.encode()),
    "value": (JSON, f'{{"username": ["{FILLER}"]}}'.encode()),
    "fields": (JSON, ("{" + ",".join(f'"{number:07}":1' for number in range(MANY)) + "}").encode()),
    "entries": (JSON, b'{"username": [' + b"1," * (SIZE_BYTES // 2) + b"1]}"),
    "open text": (JSON, f'{{"username": "{FILLER}'.encode()),
    "surrogate": (JSON, b'{"username": "\\ud800", "password": 5}'),
    "bytes": (JSON, b"\xff" * SIZE_BYTES),
    "form": (FORM, "&".join(f"{number:07}=1" for number in range(MANY)).encode()),
    "parts": (MULTIPART, b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * (SIZE_BYTES // 60)),
}
API_PATHS = (
    "/api/v1/login",
    "/api/v1/users",
    "/api/public/get_users",
    f"{SCIM}/Users",
    f"{SCIM}/Groups",
    "/mcp",
    "/adapters/kernel/browsers",
    "/adapters/steel/v1/sessions",
    "/adapters/browserbase/v1/sessions",
    "/api/internal/stream/authorise",
)


@pytest.fixture
def uncollected() -> Iterator[None]:
    """The garbage collector does not run. In a role, it runs after so many objects that thousands of bodies could wait
    for it."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.disable()
    yield
    gc.set_threshold(*thresholds)
    gc.enable()


def memory_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


async def sends_hostile_bodies(
    client: httpx2.AsyncClient, paths: Sequence[str], repetitions: int = 8, headers: Mapping[str, str] | None = None
) -> int:
    """Send all kinds of bodies to the paths. No answer is an error of the server, and the memory of the process does
    not grow. Returns the number of bodies."""
    sent, at_start_bytes = 0, 0
    for repetition in range(repetitions):
        for name, (content_type, body) in KINDS.items():
            for path in paths:
                answer = await client.post(
                    path, content=body, headers={"Content-Type": content_type} | dict(headers or {})
                )
                assert answer.status_code < 500, (name, path, answer.status_code, answer.text)
                sent += 1
            growth_bytes = memory_bytes() - at_start_bytes
            assert repetition == 0 or growth_bytes < MAX_GROWTH_BYTES, (name, sent, growth_bytes)
        if repetition == 0:
            at_start_bytes = memory_bytes()
    return sent


@pytest.mark.usefixtures("uncollected")
@pytest.mark.timeout(600)
async def test_the_api_keeps_nothing_of_hostile_bodies(app: FastAPI, admin: Client, connect: MakeClient):
    for adapter in (kernel, steel, browserbase):
        app.include_router(adapter.router)
    scim = await provisioner(admin, connect)
    anonymous = await connect(address="192.0.2.9")
    assert await sends_hostile_bodies(anonymous, API_PATHS, 13) > 2000
    key = ":".join(KEY)
    sdk = {"Authorization": f"Bearer {key}", "steel-api-key": key, "x-bb-api-key": key}
    with_key = await connect(address="192.0.2.10")
    assert await sends_hostile_bodies(with_key, API_PATHS[6:9], headers=sdk)
    assert await sends_hostile_bodies(await connect(KEY, address="192.0.2.11"), API_PATHS[1:3])
    assert await sends_hostile_bodies(anonymous, API_PATHS[3:5], headers={"Authorization": f"Bearer {scim.token}"})
    gc.set_threshold(*GC_THRESHOLDS)  # the library of MCP makes cycles
    gc.enable()
    assert await sends_hostile_bodies(await connect(KEY, address="192.0.2.12"), ["/mcp"])


def manager_process() -> ManagerProcess:
    """A registered Manager without a database: no hostile body reaches its services."""
    metrics = SimpleNamespace(
        requests=SimpleNamespace(labels=lambda *_: SimpleNamespace(inc=lambda: None)),
        request_seconds=SimpleNamespace(labels=lambda *_: SimpleNamespace(observe=lambda _: None)),
    )
    services = SimpleNamespace(requests=SimpleNamespace(add=lambda *_: None))
    status = SimpleNamespace(serves_agents=True)
    return cast("Any", SimpleNamespace(metrics=metrics, agent_services=services, status=lambda: status))


def agent_app() -> ASGIApp:
    """The application of an Agent without sessions, for gateways."""
    gateways = Gateways(cast("Any", SimpleNamespace(agent_id="a")), cast("Any", {}), lambda: True)
    return gateway_app(AgentHealth(), gateways.routes)


ROLES: dict[str, tuple[ASGIApp, list[str]]] = {
    "manager": (
        manager_app(manager_process()),
        ["/v1/register", "/v1/check-in", "/v1/edge-certificate", "/v1/image-sources", "/v1/image-ticket"],
    ),
    "agent": (agent_app(), [LISTEN_PATH, CHECK_PATH]),
}


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("role", ROLES)
async def test_managers_and_agents_keep_nothing_of_hostile_bodies(role: str):
    app, paths = ROLES[role]
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://role") as client:
        assert await sends_hostile_bodies(client, paths, 2000 // len(KINDS) // len(paths) + 1) > 2000
        answer = await client.post(paths[0], content=b"[" * (MAX_JSON_LEVELS + 1))
        assert answer.status_code == 422
        assert "64 levels" in answer.text


@pytest.mark.parametrize("path", API_PATHS[:5])
async def test_a_body_with_too_many_levels_says_how_many_are_permitted(
    admin: Client, connect: MakeClient, anonymous: Client, path: str
):
    scim = await provisioner(admin, connect)
    headers = {"Content-Type": JSON, "Authorization": f"Bearer {scim.token}"} if path.startswith(SCIM) else {}
    body = b'{"username": ' + b"[" * MAX_JSON_LEVELS + b"]" * MAX_JSON_LEVELS + b"}"
    for chunked in (False, True):
        content: Any = body if not chunked else chunks(body)
        answer = await anonymous.post(path, content=content, headers={"Content-Type": JSON} | headers)
        assert "at most 64 levels" in answer.text, answer.text
        assert answer.status_code == (200 if "public" in path else 400 if path.startswith(SCIM) else 422)


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    for position in range(0, len(body), 20):
        yield body[position : position + 20]


async def test_an_address_with_many_malformed_bodies_waits(admin: Client, connect: MakeClient, app: FastAPI):
    await admin.change("/api/v1/settings", max_login_attempts_per_address=1)
    client = await connect(address="192.0.2.20")
    for content, path in [(b"[" * 100, "/api/v1/login"), (b"{", "/api/public/get_users"), (b"{}", "/api/v1/login")] * 3:
        assert (await client.post(path, content=content, headers={"Content-Type": JSON})).status_code in (200, 422)
    assert (await client.post("/api/v1/login", content=b"{", headers={"Content-Type": JSON})).status_code == 422
    for content, path in [(b"[" * 100, "/api/v1/login"), (b"{", "/api/public/get_users"), (b"{}", "/api/v1/login")]:
        answer = await client.post(path, content=content, headers={"Content-Type": JSON})
        assert answer.status_code == 429, answer.text
        assert int(answer.headers["retry-after"]) > 0
    wrong = {"username": "x", "password": "x"}
    assert (await client.post("/api/v1/login", json=wrong)).status_code == 401, "usable bodies are served"
    elsewhere = await connect(address="192.0.2.21")
    assert (await elsewhere.post("/api/v1/login", content=b"{", headers={"Content-Type": JSON})).status_code == 422
