"""Zones, Managers, Agents, workspaces, diagnostics and settings through /api/v1."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable

import httpx
from fastapi import FastAPI

from greenroom.core.installation import INSTALLATION_SETTINGS
from greenroom.db.database import Database
from greenroom.db.logs import LogWriter

Client = httpx.AsyncClient
Make = Callable[..., Awaitable[Client]]

ALL_USERS = "68d557ac-4cac-42cc-a9f3-1c7c853de0f3"


async def new_user(admin: Client, username: str, **fields: object) -> dict:
    answer = await admin.post("/api/v1/users", json={"username": username, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


# Zones ------------------------------------------------------------------------------------------------------------


async def test_a_zone_lives(admin: Client):
    made = (await admin.post("/api/v1/zones", json={"zone_name": "eu"})).json()
    assert made["allow_origin_domain"] == made["upstream_auth_address"] == "$request_host$"
    assert (made["load_balancing_strategy"], made["search_alternate_zones"]) == ("Least Load", True)
    address = f"/api/v1/zones/{made['zone_id']}"
    change = {"allow_origin_domain": "a.example, b.example:8443", "upstream_auth_address": "127.0.0.1:8443"}
    changed = (await admin.patch(address, json=change)).json()
    assert changed["allow_origin_domain"] == "a.example,b.example:8443"
    assert changed["search_alternate_zones"] is True
    assert [zone["zone_name"] for zone in (await admin.get("/api/v1/zones")).json()] == ["default", "eu"]
    assert (await admin.delete(address)).status_code == 204
    assert (await admin.delete(address)).status_code == 404


async def test_zones_that_cannot_be(admin: Client):
    (zone,) = (await admin.get("/api/v1/zones")).json()
    for change in (
        {"zone_name": "a b"},
        {"zone_name": None},
        {"allow_origin_domain": "https://a.example"},
        {"allow_origin_domain": ""},
        {"allow_origin_domain": "a;b"},
        {"upstream_auth_address": "a.example,b.example"},
        {"upstream_auth_address": "a.example:99999"},
        {"load_balancing_strategy": "Random"},
        {"proxy_path": "../x"},
        {"proxy_port": 0},
    ):
        assert (await admin.patch(f"/api/v1/zones/{zone['zone_id']}", json=change)).status_code == 422, change
    assert (await admin.get("/api/v1/zones")).json() == [zone]


async def test_a_zone_in_use_stays(admin: Client, db: Database):
    (zone,) = (await admin.get("/api/v1/zones")).json()
    await db.write("INSERT INTO managers (instance_id, zone_id) VALUES ('m1', %s)", (zone["zone_id"],))
    answer = await admin.delete(f"/api/v1/zones/{zone['zone_id']}")
    assert answer.status_code == 409
    assert "1 managers" in answer.json()["detail"]


# Managers and Agents ------------------------------------------------------------------------------------------------


async def test_the_last_enabled_manager_stays(admin: Client, db: Database):
    (zone,) = (await admin.get("/api/v1/zones")).json()
    for name in ("m1", "m2"):
        await db.write(
            "INSERT INTO managers (instance_id, zone_id, last_round) VALUES (%s, %s, now())", (name, zone["zone_id"])
        )
    managers = (await admin.get("/api/v1/managers")).json()
    assert [(m["instance_id"], m["status"], m["is_primary"]) for m in managers] == [
        ("m1", "running", False),
        ("m2", "running", False),
    ]
    first = f"/api/v1/managers/{managers[0]['manager_id']}"
    disabled = await admin.patch(first, json={"enabled": False})
    assert (disabled.json()["enabled"], disabled.json()["status"]) == (False, "unknown")
    for refused in (
        await admin.patch("/api/v1/managers/m2", json={"enabled": False}),
        await admin.delete("/api/v1/managers/m2"),
    ):
        assert refused.status_code == 409
        assert refused.json()["code"] == "last-enabled-manager"
    assert (await admin.delete(first)).status_code == 204
    assert (await admin.patch("/api/v1/managers/m2", json={})).status_code == 422


async def new_agent(db: Database, **fields: object) -> str:
    rows = await db.write(
        "INSERT INTO agents (zone_id, hostname, credential_hash, status) SELECT zone_id, 'host-1', '', %s FROM zones"
        " RETURNING agent_id",
        (fields.get("status", "running"),),
    )
    agent_id = str(rows[0]["agent_id"])
    await db.write("INSERT INTO agent_capacity (agent_id, cores, memory) VALUES (%s, 8, 8000000000)", (agent_id,))
    return agent_id


async def test_an_agent_is_changed_drained_and_deleted(admin: Client, db: Database):
    agent_id = await new_agent(db)
    address = f"/api/v1/agents/{agent_id}"
    assert [agent["cores"] for agent in (await admin.get("/api/v1/agents")).json()] == [8]
    changed = (await admin.patch(address, json={"cores_override": 4, "draining": True})).json()
    assert (changed["cores"], changed["cores_override"], changed["draining"], changed["enabled"]) == (4, 4, True, True)
    assert (await admin.patch(address, json={"cores_override": None})).json()["cores_override"] is None
    assert (await admin.delete(address)).status_code == 204
    assert (await admin.get("/api/v1/agents")).json() == []


async def test_an_agent_with_sessions_is_deleted_only_when_it_is_gone(admin: Client, db: Database):
    agent_id = await new_agent(db)
    await db.write(
        "INSERT INTO sessions (session_id, zone_id, image_id, agent_id, status, spec, credential_encrypted, spec_hash,"
        " cores, memory) SELECT gen_random_uuid(), z.zone_id, i.image_id, %s, 'running', '{}', '', '', 1, 1"
        " FROM zones z, images i",
        (agent_id,),
    )
    address = f"/api/v1/agents/{agent_id}"
    assert (await admin.delete(address)).status_code == 409
    assert (await admin.delete(f"{address}?force=true")).status_code == 409, "it is alive"
    await db.write("UPDATE agents SET status = 'dead'")
    assert (await admin.delete(f"{address}?force=true")).status_code == 204
    assert await db.fetch_one("SELECT status, agent_id FROM sessions") == {"status": "deleted", "agent_id": None}


async def test_a_join_token_is_shown_once(admin: Client, db: Database):
    (zone,) = (await admin.get("/api/v1/zones")).json()
    made = (await admin.post("/api/v1/join-tokens", json={"zone_id": zone["zone_id"], "uses": 2})).json()
    row = await db.fetch_one("SELECT uses_left, token_hash FROM join_tokens")
    assert row is not None
    assert row["uses_left"] == 2
    assert made["token"] not in str(row)


# Workspaces -------------------------------------------------------------------------------------------------------


async def test_a_workspace_lives(admin: Client, user: Client):
    body = {"name": "kasmweb/chrome:1.18", "friendly_name": "Chrome", "docker_token": "hub-token"}
    made = (await admin.post("/api/v1/images", json=body)).json()
    assert (made["cores"], made["memory"], made["enabled"], made["available"]) == (2, 2768000000, True, False)
    assert made["groups"] == [ALL_USERS]
    assert "hub-token" not in str(made)
    address = f"/api/v1/images/{made['image_id']}"
    mine = (await user.get("/api/v1/me/images")).json()
    assert [(image["friendly_name"], image["ready"]) for image in mine] == [("Chrome", False), ("Desktop", False)]
    assert (await admin.patch(address, json={"hidden": True})).json()["hidden"] is True
    assert [image["friendly_name"] for image in (await user.get("/api/v1/me/images")).json()] == ["Desktop"]
    assert (await admin.delete(address)).status_code == 204
    assert (await admin.get(address)).status_code == 404


async def test_a_change_inside_the_container_makes_staged_sessions_out_of_date(admin: Client, db: Database):
    (image,) = (await admin.get("/api/v1/images")).json()
    for change, revision in (({"description": "x"}, 1), ({"cores": 0.1}, 1), ({"cores": 1}, 2)):
        await admin.patch(f"/api/v1/images/{image['image_id']}", json=change)
        assert await db.fetch_one("SELECT revision FROM images") == {"revision": revision}, change


async def test_workspaces_that_cannot_be(admin: Client):
    (image,) = (await admin.get("/api/v1/images")).json()
    for change in (
        {"friendly_name": ""},
        {"cores": 0},
        {"cores": 1e9},
        {"memory": -1},
        {"cpu_allocation_method": "Guess"},
        {"exec_config": {"assign": {"cmd": "echo 'unclosed"}}},
        {"exec_config": {"assign": {"cmd": ""}}},
        {"exec_config": {"assign": "echo"}},
        {"exec_config": {"other": {"cmd": "echo"}}},
        {"volume_mappings": {"/srv": "x"}},
        {"volume_mappings": {"/srv": {"bind": "/x", "mode": "777"}}},
        {"run_config": {"x": "a\0"}},
        {"zone_id": str(uuid.uuid4())},
    ):
        assert (await admin.patch(f"/api/v1/images/{image['image_id']}", json=change)).status_code == 422, change
    assert (await admin.get("/api/v1/images")).json() == [image]


async def test_a_workspace_in_use_stays(admin: Client, db: Database):
    (image,) = (await admin.get("/api/v1/images")).json()
    await db.write(
        "INSERT INTO sessions (session_id, zone_id, image_id, status, spec, credential_encrypted, spec_hash, cores,"
        " memory) SELECT gen_random_uuid(), z.zone_id, %s, 'running', '{}', '', '', 1, 1 FROM zones z",
        (image["image_id"],),
    )
    answer = await admin.delete(f"/api/v1/images/{image['image_id']}")
    assert answer.status_code == 409
    assert "1 sessions" in answer.json()["detail"]


# Diagnostics and settings --------------------------------------------------------------------------------------------


async def test_a_change_by_an_administrator_is_a_log_row(admin: Client, app: FastAPI):
    (zone,) = (await admin.get("/api/v1/zones")).json()
    await admin.patch(f"/api/v1/zones/{zone['zone_id']}", json={"proxy_port": 8443})
    await app.state.logs.flush()
    (row,) = (await admin.get("/api/v1/logs?code=zone-changed")).json()
    assert row["message"] == "API key abcdefghijkl changed zone default: proxy_port 443 → 8443"
    assert row["details"] == {
        "who": "API key abcdefghijkl",
        "before": {"proxy_port": 443},
        "after": {"proxy_port": 8443},
    }


async def test_secrets_stay_out_of_the_log(admin: Client, app: FastAPI, db: Database):
    made = await new_user(admin, "x", password="very secret thing")
    await admin.patch(f"/api/v1/users/{made['user_id']}", json={"password": "another secret thing"})
    await admin.post("/api/v1/images", json={"name": "a", "friendly_name": "b", "docker_token": "token thing"})
    await app.state.logs.flush()
    rows = str(await db.fetch("SELECT * FROM logs"))
    assert "password" in rows
    assert "thing" not in rows


async def test_logs_are_filtered_and_paged(admin: Client, app: FastAPI):
    logs: LogWriter = app.state.logs
    for number in range(5):
        logs.write("WARNING" if number % 2 else "INFO", "test", f"Number {number}", zone_name="default")
    await logs.flush()
    address = "/api/v1/logs?code=test"
    assert [r["message"] for r in (await admin.get(f"{address}&level=WARNING")).json()] == ["Number 3", "Number 1"]
    assert [r["message"] for r in (await admin.get(f"{address}&q=number 4")).json()] == ["Number 4"]
    first = await admin.get(f"{address}&limit=3")
    second = await admin.get(first.links["next"]["url"])
    messages = [row["message"] for row in first.json() + second.json()]
    assert messages == [f"Number {number}" for number in (4, 3, 2, 1, 0)]
    assert (await admin.get(f"{address}&since=2999-01-01T00:00:00Z")).json() == []
    assert (await admin.get("/api/v1/logs?level=LOUD")).status_code == 422


async def test_manager_requests_are_filtered(admin: Client, db: Database):
    for status in (200, 503):
        await db.write(
            "INSERT INTO manager_requests (manager_instance_id, method, path, status, duration_ms)"
            " VALUES ('m1', 'POST', '/v1/check-in', %s, 1.5)",
            (status,),
        )
    (row,) = (await admin.get("/api/v1/diagnostics/manager-requests?status=503")).json()
    assert (row["status"], row["manager_instance_id"]) == (503, "m1")


async def test_settings_of_the_installation(admin: Client):
    listed = {row["name"]: row for row in (await admin.get("/api/v1/settings")).json()}
    assert set(listed) == set(INSTALLATION_SETTINGS)
    assert listed["session_lifetime_s"]["value"] == 288000
    changed = await admin.patch("/api/v1/settings", json={"max_login_attempts": 3})
    assert {row["name"]: row["value"] for row in changed.json()}["max_login_attempts"] == 3
    back = await admin.patch("/api/v1/settings", json={"max_login_attempts": None})
    assert {row["name"]: row["value"] for row in back.json()}["max_login_attempts"] == 5
    for wrong in ({"nonsense": 1}, {"max_login_attempts": 0}, {"max_login_attempts": "3"}):
        assert (await admin.patch("/api/v1/settings", json=wrong)).status_code == 422
