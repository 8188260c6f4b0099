"""Where the stream of a session is said to be: through the web gateway, or directly at Proxy Hostname and Port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI

from greenroom.db.database import Database
from greenroom.testing import rows

Make = Callable[..., Awaitable[httpx.AsyncClient]]


class Stage:
    def __init__(self, db: Database, admin: httpx.AsyncClient, agent_id: str, user_id: str) -> None:
        self.db, self.admin, self.agent_id, self.user_id = db, admin, agent_id, user_id

    async def zone(self, **fields: Any) -> None:
        (zone,) = (await self.admin.get("/api/v1/zones")).json()
        answer = await self.admin.patch(f"/api/v1/zones/{zone['zone_id']}", json=fields)
        assert answer.status_code == 200, answer.text

    async def launched(self, host: str = "127.0.0.1:8443") -> dict[str, Any]:
        (image,) = (await self.admin.get("/api/v1/images")).json()
        body = {"image_id": image["image_id"], "user_id": self.user_id}
        answer = await self.admin.post("/api/v1/sessions", json=body, headers={"Host": host})
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def urls(self, session_id: str, host: str = "127.0.0.1:8443") -> tuple[str, str, str]:
        """As the session, its place in the list, and its connection say."""
        headers = {"Host": host}
        await self.db.write("UPDATE sessions SET status = 'running', started = clock_timestamp()")
        one = (await self.admin.get(f"/api/v1/sessions/{session_id}", headers=headers)).json()
        (listed,) = (await self.admin.get("/api/v1/sessions", headers=headers)).json()
        connection = (await self.admin.get(f"/api/v1/sessions/{session_id}/connection", headers=headers)).json()
        frame = urlsplit(connection["frame_url"])
        assert connection["websocket_path"] == f"{frame.path}websockify"
        return one["stream_url"], listed["stream_url"], frame._replace(query="").geturl()


@pytest.fixture
async def stage(app: FastAPI, db: Database, admin: httpx.AsyncClient) -> Stage:
    del app
    (zone,) = await db.fetch("SELECT zone_id::text FROM zones")
    (image,) = await db.fetch("SELECT name FROM images")
    agent_id = await rows.agent(db, zone["zone_id"], image=image["name"])
    (group,) = await db.fetch("SELECT group_id::text FROM groups WHERE name = 'All Users'")
    return Stage(db, admin, agent_id, await rows.user(db, "ada", group["group_id"]))


async def test_with_proxy_connections_streams_are_at_the_web_gateway_below_the_proxy_path(stage: Stage):
    await stage.zone(proxy_path="screens", proxy_hostname="elsewhere.example", proxy_port=9443)
    launched = await stage.launched()
    url = f"https://127.0.0.1:8445/screens/{stage.agent_id[:8]}/{launched['session_id']}/"
    assert launched["stream_url"] == url
    assert await stage.urls(launched["session_id"]) == (url, url, url)


async def test_without_them_streams_are_at_proxy_hostname_and_port(stage: Stage):
    await stage.zone(proxy_connections=False, proxy_hostname="agents.example", proxy_port=9443)
    launched = await stage.launched()
    url = f"https://agents.example:9443/desktop/{stage.agent_id[:8]}/{launched['session_id']}/"
    assert launched["stream_url"] == url
    assert await stage.urls(launched["session_id"]) == (url, url, url)


async def test_the_host_of_the_request_stands_in_for_itself(stage: Stage):
    await stage.zone(proxy_connections=False, proxy_port=443)
    launched = await stage.launched(host="localhost:8443")
    path = f"/desktop/{stage.agent_id[:8]}/{launched['session_id']}/"
    assert launched["stream_url"] == f"https://localhost{path}"
    assert (await stage.urls(launched["session_id"], host="127.0.0.1:8443"))[0] == f"https://127.0.0.1{path}"


async def test_an_edge_gateway_is_used_unless_the_proxy_hostname_names_a_host(stage: Stage):
    await stage.db.write("UPDATE agents SET edge_url = 'https://agent-7.example:9443'")
    await stage.zone(proxy_connections=False)
    launched = await stage.launched()
    path = f"/desktop/{stage.agent_id[:8]}/{launched['session_id']}/"
    url = f"https://agent-7.example:9443{path}"
    assert launched["stream_url"] == url
    assert await stage.urls(launched["session_id"]) == (url, url, url)
    body = {"kasm_id": launched["session_id"], "user_id": stage.user_id}
    kasm = (await stage.admin.post("/api/public/get_kasm_status", json=body)).json()["kasm"]
    assert (kasm["hostname"], kasm["port"]) == ("agent-7.example", 9443)

    await stage.zone(proxy_hostname="agents.example")
    assert (await stage.urls(launched["session_id"]))[0] == f"https://agents.example{path}"
    await stage.zone(proxy_connections=True)
    assert (await stage.urls(launched["session_id"]))[0] == f"https://127.0.0.1:8445{path}"


async def test_a_repeated_request_is_told_the_same_place(stage: Stage):
    await stage.db.write("UPDATE agents SET edge_url = 'https://agent-7.example:9443'")
    await stage.zone(proxy_connections=False)
    (image,) = (await stage.admin.get("/api/v1/images")).json()
    body = {"image_id": image["image_id"], "user_id": stage.user_id}
    answers = [
        await stage.admin.post("/api/v1/sessions", json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)
    ]
    assert answers[0].json()["stream_url"] == answers[1].json()["stream_url"]


async def test_programs_of_the_published_interface_are_told_host_port_and_path(stage: Stage):
    launched = await stage.launched()

    async def place() -> tuple[str, int, str]:
        body = {"kasm_id": launched["session_id"], "user_id": stage.user_id}
        kasm = (await stage.admin.post("/api/public/get_kasm_status", json=body)).json()["kasm"]
        assert kasm["port_map"]["vnc"]["port"] == kasm["port"]
        return kasm["hostname"], kasm["port"], kasm["port_map"]["vnc"]["path"]

    route = f"{stage.agent_id[:8]}/{launched['session_id']}"
    assert await place() == ("127.0.0.1", 8443, f"desktop/{route}")
    await stage.zone(proxy_connections=False, proxy_hostname="agents.example", proxy_port=9443, proxy_path="s")
    assert await place() == ("agents.example", 9443, f"s/{route}")
