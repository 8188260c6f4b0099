"""The address of a stream: at the web gateway, or direct; and connect addresses, which need no log-in."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from tests.database.api.client import ADA, Client
from tests.database.api.staging import Stage

from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database

HOST = "127.0.0.1:8443"


async def zone(stage: Stage, **fields: Any) -> None:
    await stage.admin.change(f"/api/v1/zones/{stage.zone_id}", **fields)


async def launched(stage: Stage, host: str = HOST) -> dict[str, Any]:
    """A session that an administrator launched, as in the answer."""
    boss = await stage.admin.only("/api/v1/users")
    stage.admin.headers["Host"] = host
    return await stage.admin.launch(stage.image_id, user_id=boss["user_id"])


def asked(made: dict[str, Any]) -> dict[str, str]:
    """The answer of the published interface about this session."""
    return {"kasm_id": made["session_id"], "user_id": made["user_id"]}


async def urls(stage: Stage, session_id: str, host: str = HOST) -> set[str]:
    """The addresses in the session, in the list, and in the connection."""
    stage.admin.headers["Host"] = host
    await stage.becomes(session_id, "running")
    connection = await stage.admin.read(f"/api/v1/sessions/{session_id}/connection")
    frame = urlsplit(connection["frame_url"])
    assert connection["websocket_path"] == f"{frame.path}websockify"
    shown = [await stage.admin.read(f"/api/v1/sessions/{session_id}"), await stage.admin.only("/api/v1/sessions")]
    return {frame._replace(query="").geturl(), *(session["stream_url"] for session in shown)}


async def test_with_proxy_connections_streams_are_below_the_proxy_path(stage: Stage):
    await zone(stage, proxy_path="screens", proxy_hostname="elsewhere.example", proxy_port=9443)
    made = await launched(stage)
    url = f"https://127.0.0.1:8445/screens/{stage.agent_id[:8]}/{made['session_id']}/"
    assert made["stream_url"] == url
    assert await urls(stage, made["session_id"]) == {url}


async def test_without_them_streams_are_at_proxy_hostname_and_port(stage: Stage):
    await zone(stage, proxy_connections=False, proxy_hostname="agents.example", proxy_port=9443)
    made = await launched(stage)
    url = f"https://agents.example:9443/desktop/{stage.agent_id[:8]}/{made['session_id']}/"
    assert made["stream_url"] == url
    assert await urls(stage, made["session_id"]) == {url}


async def test_the_host_of_the_request_stands_in_for_itself(stage: Stage):
    await zone(stage, proxy_connections=False, proxy_port=443)
    made = await launched(stage, host="localhost:8443")
    path = f"/desktop/{stage.agent_id[:8]}/{made['session_id']}/"
    assert made["stream_url"] == f"https://localhost{path}"
    assert await urls(stage, made["session_id"], host="127.0.0.1:8443") == {f"https://127.0.0.1{path}"}


async def test_an_edge_gateway_is_used_unless_proxy_hostname_names_a_host(stage: Stage):
    await stage.db.write("UPDATE agents SET edge_url = 'https://agent-7.example:9443'")
    await zone(stage, proxy_connections=False)
    made = await launched(stage)
    path = f"/desktop/{stage.agent_id[:8]}/{made['session_id']}/"
    url = f"https://agent-7.example:9443{path}"
    assert made["stream_url"] == url
    assert await urls(stage, made["session_id"]) == {url}
    kasm = (await stage.admin.published("get_kasm_status", **asked(made)))["kasm"]
    assert (kasm["hostname"], kasm["port"]) == ("agent-7.example", 9443)

    await zone(stage, proxy_hostname="agents.example")
    assert await urls(stage, made["session_id"]) == {f"https://agents.example{path}"}
    await zone(stage, proxy_connections=True)
    assert await urls(stage, made["session_id"]) == {f"https://127.0.0.1:8445{path}"}


async def test_a_repeated_request_names_the_same_place(stage: Stage):
    await stage.db.write("UPDATE agents SET edge_url = 'https://agent-7.example:9443'")
    await zone(stage, proxy_connections=False)
    stage.admin.headers["Idempotency-Key"] = "k"
    assert (await launched(stage))["stream_url"] == (await launched(stage))["stream_url"]


async def test_published_calls_name_host_port_and_path_of_a_stream(stage: Stage):
    made = await launched(stage)

    async def place() -> tuple[str, int, str]:
        kasm = (await stage.admin.published("get_kasm_status", **asked(made)))["kasm"]
        assert kasm["port_map"]["vnc"]["port"] == kasm["port"]
        return kasm["hostname"], kasm["port"], kasm["port_map"]["vnc"]["path"]

    route = f"{stage.agent_id[:8]}/{made['session_id']}"
    assert await place() == ("127.0.0.1", 8443, f"desktop/{route}")
    await zone(stage, proxy_connections=False, proxy_hostname="agents.example", proxy_port=9443, proxy_path="s")
    assert await place() == ("agents.example", 9443, f"s/{route}")


async def test_the_start_page_of_a_workspace_is_opened_with_the_token(stage: Stage):
    start = "vnc.html?audio={allow_kasm_audio}&path={path}/websockify&p={password}"
    await stage.admin.change(f"/api/v1/images/{stage.image_id}", start_page=start)
    made = await launched(stage)
    await stage.becomes(made["session_id"], "running")
    connection = await stage.admin.read(f"/api/v1/sessions/{made['session_id']}/connection")
    path = f"desktop/{stage.agent_id[:8]}/{made['session_id']}"
    opened, _, token = connection["frame_url"].partition("&token=")
    page = f"vnc.html?audio=true&path={path}/websockify&p={{password}}"
    assert opened == f"https://127.0.0.1:8445/{path}/{page}", "the password goes to no browser"
    assert token
    assert connection["own_page"] is False, "no first frame of it was read"
    await stage.db.write("INSERT INTO session_steps (session_id, name) SELECT session_id, 'painted' FROM sessions")
    assert (await stage.admin.read(f"/api/v1/sessions/{made['session_id']}/connection"))["own_page"] is True
    assert connection["websocket_path"] == f"/{path}/websockify"


async def test_published_calls_name_the_services_that_the_session_may_use(stage: Stage):
    await stage.admin.change(f"/api/v1/images/{stage.image_id}", port_map={"audio": 4901, "webcam": 4905})
    await stage.admin.change(f"/api/v1/groups/{ALL_USERS}", settings={"allow_kasm_webcam": False})
    made = await launched(stage)
    port_map = (await stage.admin.published("get_kasm_status", **asked(made)))["kasm"]["port_map"]
    assert port_map.keys() == {"vnc", "audio"}
    assert port_map["audio"] == {"port": 8443, "path": f"{port_map['vnc']['path']}/audio"}


async def test_published_calls_say_where_our_own_desktop_has_sound_and_files(stage: Stage):
    await stage.admin.change(f"/api/v1/images/{stage.image_id}", port_map={"desk": "desk"})
    await stage.admin.change(f"/api/v1/groups/{ALL_USERS}", settings={"allow_kasm_downloads": False})
    made = await launched(stage)
    port_map = (await stage.admin.published("get_kasm_status", **asked(made)))["kasm"]["port_map"]
    folders = {name: where["path"].removeprefix(port_map["vnc"]["path"]) for name, where in port_map.items()}
    assert folders == {"vnc": "", "audio": "/sound", "audio_input": "/microphone", "uploads": "/files"}


Address = dict[str, str]


@pytest.fixture
async def address(stage: Stage, ada: Client) -> Address:
    """The connect address of a running session of an ordinary user, in its parts."""
    found = await ada.launch(stage.image_id)
    await stage.becomes(found["session_id"], "running")
    return {name: found[name] for name in ("session_id", "user_id", "session_token")}


async def test_a_connect_address_opens_the_stream_and_keeps_it_alive(anonymous: Client, address: Address, db: Database):
    answer = await anonymous.post("/api/v1/connect", json=address)
    assert answer.status_code == 200, answer.text
    assert answer.json()["frame_url"].endswith(f"/{address['session_id']}/?token={address['session_token']}")
    await db.write("UPDATE sessions SET keepalive = NULL, expires = clock_timestamp() + interval '30 s'")
    kept = await anonymous.post("/api/v1/connect/keepalives", json=address)
    assert kept.status_code == 200, kept.text
    (row,) = await db.fetch("SELECT expires > clock_timestamp() + interval '1 min' AS later FROM sessions")
    assert row["later"]


@pytest.mark.parametrize("part", ["session_id", "user_id", "session_token"])
async def test_an_address_with_a_wrong_part_opens_nothing(anonymous: Client, address: Address, part: str):
    wrong = address | {part: "00000000-0000-0000-0000-000000000000"}
    for path in ("/api/v1/connect", "/api/v1/connect/keepalives"):
        assert "This address is not valid" in await anonymous.refused(404, f"POST {path}", wrong)


async def test_guessing_does_not_fill_the_log(app: FastAPI, anonymous: Client, address: Address, db: Database):
    wrong = address | {"session_token": "guessed"}
    for _ in range(3):
        assert (await anonymous.post("/api/v1/connect", json=wrong)).status_code == 404
    for _ in range(8):
        await anonymous.post("/api/v1/login", json={"username": ADA, "password": "guessed!"})
    await app.state.logs.flush()
    written = await db.fetch("SELECT code FROM logs WHERE code IN ('stream-refused', 'login-throttled') ORDER BY code")
    assert [row["code"] for row in written] == ["login-throttled", "stream-refused"]


async def test_an_address_ends_with_the_access_of_its_user(anonymous: Client, admin: Client, address: Address):
    await admin.change(f"/api/v1/users/{address['user_id']}", disabled=True)
    assert (await anonymous.post("/api/v1/connect", json=address)).status_code == 404


async def test_zones_and_profiles_are_offered_as_the_groups_allow(user: Client, admin: Client, db: Database):
    assert await user.read("/api/v1/me/launch-options") == {
        "zones": [],
        "images_with_profile": [],
        "nearest": {"mode": "off", "nearer_by_ms": 5, "targets": []},
    }
    await db.write("UPDATE images SET persistent_profile_path = '/srv/profiles/{user_id}'")
    settings = {"allow_zone_selection": True, "allow_persistent_profile": True}
    await admin.patch(f"/api/v1/groups/{ALL_USERS}", json={"settings": settings})
    offered = await user.read("/api/v1/me/launch-options")
    assert [zone["zone_name"] for zone in offered["zones"]] == ["default"]
    assert len(offered["images_with_profile"]) == 1
