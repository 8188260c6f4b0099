"""Workspaces through /api/v1: their life, what cannot be one, what makes staged sessions out of date."""

from __future__ import annotations

import uuid

import httpx

from greenroom.db.database import Database

Client = httpx.AsyncClient


ALL_USERS = "68d557ac-4cac-42cc-a9f3-1c7c853de0f3"


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
    for change, revision in (({"description": "x"}, 1), ({"cores": 1}, 1), ({"run_config": {"hostname": "a"}}, 2)):
        await admin.patch(f"/api/v1/images/{image['image_id']}", json=change)
        assert await db.fetch_one("SELECT revision FROM images") == {"revision": revision}, change


async def test_workspaces_that_cannot_be(admin: Client):
    (image,) = (await admin.get("/api/v1/images")).json()
    for change in (
        {"friendly_name": ""},
        {"cores": 0},
        {"cores": 1e9},
        {"memory": -1},
        {"memory": 2768},
        {"memory_limit": 2768},
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
    assert "1 session " in answer.json()["detail"]
