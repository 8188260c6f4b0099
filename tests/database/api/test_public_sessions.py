"""Sessions through the published interface."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from greenroom.db.database import Database
from greenroom.kit.secrets import Secrets

Client = httpx.AsyncClient

KEYS = {"api_key": "abcdefghijkl", "api_key_secret": "the secret half"}
DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")


async def call(client: Client, name: str, **body: Any) -> dict:
    answer = await client.post(f"/api/public/{name}", json={**KEYS, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
async def agent(db: Database, app: object) -> str:
    """A running Agent with room and the image."""
    (row,) = await db.write(
        "INSERT INTO agents (zone_id, hostname, credential_hash, status, complete, last_reported)"
        " SELECT zone_id, 'host-1', '', 'running', true, now() FROM zones RETURNING agent_id::text"
    )
    await db.write(
        "INSERT INTO agent_capacity (agent_id, cores, memory) VALUES (%s, 8, 8000000000)", (row["agent_id"],)
    )
    await db.write(
        "INSERT INTO agent_images (agent_id, name, state) VALUES (%s, 'greenroom/desktop:xfce', 'present')",
        (row["agent_id"],),
    )
    return row["agent_id"]


@pytest.fixture
async def ada(anonymous: Client, app: object) -> str:
    return (await call(anonymous, "create_user", target_user={"username": "ada"}))["user"]["user_id"]


@pytest.fixture
async def image_id(anonymous: Client, app: object) -> str:
    return (await call(anonymous, "get_images"))["images"][0]["image_id"]


async def test_a_session_from_request_to_end(anonymous: Client, db: Database, agent: str, ada: str, image_id: str):
    made = await call(anonymous, "request_kasm", user_id=ada.replace("-", ""), image_id=image_id, zone_id="")
    assert set(made) == {"kasm_id", "username", "status", "share_id", "user_id", "session_token", "kasm_url"}
    assert (made["status"], made["username"], made["share_id"], made["user_id"]) == ("starting", "ada", None, ada)
    assert made["kasm_url"] == f"/#/connect/kasm/{made['kasm_id']}/{ada}/{made['session_token']}"
    asked = {"user_id": ada, "kasm_id": made["kasm_id"].replace("-", "")}

    starting = await call(anonymous, "get_kasm_status", **asked)
    assert "error_message" not in starting
    assert starting["operational_status"] == starting["kasm"]["operational_status"] == "starting"
    assert isinstance(starting["operational_progress"], int)
    assert starting["operational_message"]
    assert DATE.fullmatch(starting["current_time"])

    await db.write("UPDATE sessions SET status = 'running', started = now()")
    running = await call(anonymous, "get_kasm_status", **asked)
    kasm = running["kasm"]
    assert set(running) == {"current_time", "kasm_url", "kasm"}
    assert running["kasm_url"] == made["kasm_url"], "a token stays the same until it is revoked"
    assert kasm["operational_status"] == "running"
    assert kasm["image"]["name"] == "greenroom/desktop:xfce"
    assert kasm["image_id"] == kasm["image"]["image_id"] == image_id
    assert kasm["port_map"]["vnc"] == {"port": 8443, "path": f"desktop/{agent[:8]}/{made['kasm_id']}"}
    assert kasm["port"] == 8443
    assert (kasm["memory"], kasm["cores"]) == (256000000, 0.1)
    assert kasm["is_persistent_profile"] is False
    assert kasm["client_settings"]["allow_kasm_audio"] is True
    assert DATE.fullmatch(kasm["created_date"])

    assert await call(anonymous, "keepalive", kasm_id=made["kasm_id"]) == {"usage_reached": False}
    (listed,) = (await call(anonymous, "get_kasms"))["kasms"]
    assert (listed["user"]["username"], listed["user_id"], listed["server"]["zone_name"]) == ("ada", ada, "default")
    assert listed["token"] is None, "seeing a session does not open it"

    assert await call(anonymous, "destroy_kasm", **asked) == {}
    assert await db.fetch_one("SELECT status, want FROM sessions") == {"status": "deleting", "want": "absent"}
    assert await call(anonymous, "destroy_kasm", **asked) == {}, "repeating it is a success"
    await db.write("UPDATE sessions SET status = 'deleted'")
    assert set(await call(anonymous, "get_kasm_status", **asked)) == {"error_message"}


async def test_a_failed_start_is_said(anonymous: Client, db: Database, agent: str, ada: str, image_id: str):
    made = await call(anonymous, "request_kasm", user_id=ada, image_id=image_id)
    await db.write("UPDATE sessions SET status = 'failed', gave_up = true, error = 'The image has no shell.'")
    status = await call(anonymous, "get_kasm_status", user_id=ada, kasm_id=made["kasm_id"])
    assert "The image has no shell." in status["error_message"]
    assert status["operational_status"] == "failed"


async def test_without_a_user_the_session_is_an_anonymous_one(anonymous: Client, agent: str, image_id: str):
    made = await call(anonymous, "request_kasm", image_id=image_id)
    assert made["username"].startswith("anonymous-")
    status = await call(anonymous, "get_kasm_status", user_id=made["user_id"], kasm_id=made["kasm_id"])
    assert "error_message" not in status


@pytest.mark.parametrize("mode", ["disabled", "None"])
async def test_a_profile_mode_that_does_not_exist_mounts_no_profile(
    anonymous: Client, agent: str, ada: str, image_id: str, mode: str
):
    refused = await call(
        anonymous, "request_kasm", user_id=ada, image_id=image_id, persistent_profile_mode=mode, environment={}
    )
    assert "persistent_profile_mode" in refused["error_message"]
    assert (await call(anonymous, "get_kasms"))["kasms"] == []


async def test_a_launch_that_fails_leaves_no_anonymous_user(anonymous: Client, db: Database, image_id: str):
    refused = await call(anonymous, "request_kasm", image_id=image_id)
    assert "No resources" in refused["error_message"]
    assert await db.fetch("SELECT 1 FROM users WHERE username LIKE 'anonymous%%'", {}) == []


async def test_refusals(anonymous: Client, db: Database, agent: str, ada: str, image_id: str):
    made = await call(anonymous, "request_kasm", user_id=ada, image_id=image_id)
    for name, body, words in (
        ("request_kasm", {"user_id": ada}, "image_id is missing"),
        ("request_kasm", {"user_id": ada, "image_id": "x"}, "image_id is not an id"),
        ("request_kasm", {"user_id": image_id, "image_id": image_id}, "no user"),
        ("request_kasm", {"user_id": ada, "image_id": ada}, "no workspace"),
        ("request_kasm", {"user_id": ada, "image_id": image_id, "environment": "x"}, "environment"),
        ("request_kasm", {"user_id": ada, "image_id": image_id, "kasm_url": f"https://{'a' * 200_000}"}, "kasm_url"),
        ("request_kasm", {"user_id": ada, "image_id": image_id, "kasm_url": "--profile=x"}, "kasm_url"),
        ("request_kasm", {"user_id": ada, "image_id": image_id, "network_id": "x" * 5000}, "network_id"),
        ("get_kasm_status", {"user_id": image_id, "kasm_id": made["kasm_id"]}, "no session"),
        ("get_kasm_status", {"kasm_id": ada}, "no session"),
        ("get_kasm_status", {"user_id": ada}, "kasm_id is missing"),
        ("destroy_kasm", {"user_id": image_id, "kasm_id": made["kasm_id"]}, "no session"),
    ):
        refused = await call(anonymous, name, **body)
        assert set(refused) == {"error_message"}
        assert words in refused["error_message"]
    await db.write("DELETE FROM group_images")
    refused = await call(anonymous, "request_kasm", user_id=ada, image_id=image_id)
    assert "may not use workspace Desktop" in refused["error_message"]


async def test_a_staged_session_is_nobodys(anonymous: Client, db: Database, agent: str):
    (row,) = await db.write(
        "INSERT INTO sessions (session_id, zone_id, image_id, status, spec, credential_encrypted, spec_hash, cores,"
        " memory) SELECT gen_random_uuid(), z.zone_id, i.image_id, 'running', '{}', '', '', 1, 1 FROM zones z, images i"
        " RETURNING session_id::text"
    )
    (listed,) = (await call(anonymous, "get_kasms"))["kasms"]
    assert (listed["user_id"], listed["user"]["username"]) == (None, None)
    assert "error_message" in await call(anonymous, "get_kasm_status", kasm_id=row["session_id"])


async def test_a_variable_cannot_hide_in_the_name_of_another(
    anonymous: Client, db: Database, agent: str, ada: str, image_id: str
):
    asked = {"user_id": ada, "image_id": image_id}
    refused = await call(anonymous, "request_kasm", **asked, environment={"KASM_SVC_UPLOADS=1;": ""})
    assert "environment" in refused["error_message"]
    made = await call(anonymous, "request_kasm", **asked, environment={"A": 1}, network_id="host")
    row = await db.fetch_one("SELECT spec FROM sessions WHERE session_id = %s", (made["kasm_id"],))
    assert row is not None
    given = Secrets(bytes(32)).opened(row["spec"]["environment"]["A"])
    assert (given, row["spec"]["network"]) == ("1", None)


async def test_a_key_of_any_length_is_answered(anonymous: Client, agent: str, ada: str, image_id: str):
    body = {**KEYS, "user_id": ada, "image_id": image_id}
    for key, refused in (("k" * 256, True), ("k" * 255, False), ("", False)):
        answer = await anonymous.post("/api/public/request_kasm", json=body, headers={"Idempotency-Key": key})
        assert (answer.status_code, "error_message" in answer.json()) == (200, refused), len(key)
