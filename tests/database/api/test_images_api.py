"""Workspaces over both interfaces: what can be stored, what is refused and why, what uses one."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from tests.database.api.conftest import KEY, Client

from greenroom.db.database import Database
from greenroom.db.launch.ledger import read_launch
from greenroom.db.workspace import images

WHOLE: dict[str, Any] = {
    "name": "r.example:5000/team/desk:1",
    "friendly_name": "Desk",
    "description": "for everybody",
    "notes": "asked for by Ada",
    "docker_registry": "https://r.example:5000",
    "docker_user": "puller",
    "docker_token": "very secret",
    "cores": 1.5,
    "memory": 2_000_000_000,
    "cpu_allocation_method": "Quotas",
    "run_config": {"hostname": "desk", "shm_size": "64m"},
    "exec_config": {"go": {"cmd": 'open "$KASM_URL"'}},
    "volume_mappings": {"/srv/{username}": {"bind": "/mnt/x", "required": True, "uid": 5}},
    "persistent_profile_path": "/srv/profiles/{user_id}",
    "categories": ["Office"],
    "hidden": True,
    "enabled": False,
    "session_time_limit": 600,
    "filter_policy_force_disabled": True,
}


async def test_a_workspace_is_stored_as_it_was_given_and_its_token_never_shown(admin: Client, db: Database):
    made = (await admin.post("/api/v1/images", json=WHOLE)).json()
    shown = (await admin.get(f"/api/v1/images/{made['image_id']}")).json()
    assert {name: shown[name] for name in WHOLE if name != "docker_token"} == {
        name: value for name, value in WHOLE.items() if name != "docker_token"
    }
    assert (shown["available"], shown["agents"]) == (False, [])
    assert "very secret" not in (await admin.get("/api/v1/images")).text
    rows = await db.fetch("SELECT docker_token_encrypted FROM images WHERE friendly_name = 'Desk'")
    assert b"very secret" not in bytes(rows[0]["docker_token_encrypted"])


async def test_a_stored_token_is_not_sent_to_a_registry_that_somebody_else_names(admin: Client, db: Database):
    async def tokens() -> list[bytes | None]:
        rows = await db.fetch("SELECT docker_token_encrypted FROM images WHERE friendly_name = 'Desk'")
        return [row["docker_token_encrypted"] for row in rows]

    image_id = (await admin.post("/api/v1/images", json=WHOLE)).json()["image_id"]
    address, stored = f"/api/v1/images/{image_id}", await tokens()
    elsewhere = {"name": "evil.example/team/desk:1", "docker_registry": ""}
    for change in (elsewhere, elsewhere | {"docker_registry": "evil.example"}):
        refused = await admin.patch(address, json=change)
        assert (refused.status_code, "give docker_token for evil.example" in refused.json()["detail"]) == (422, True)
    assert await tokens() == stored
    assert (await admin.patch(address, json={"name": "r.example:5000/team/desk:2"})).status_code == 200
    assert await tokens() == stored
    assert (await admin.patch(address, json=elsewhere | {"docker_token": None})).status_code == 200
    assert await tokens() == [None]
    rows = (await admin.get("/api/v1/logs", params={"code": "workspace-changed"})).json()
    assert "docker_token (secret) → (none)" in rows[0]["message"], rows[0]["message"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gpu_count": 1}, "gpu_count: is not known here"),
        ({"name": "No Image"}, "an image is written like"),
        ({"run_config": {"privileged": True}}, "weakens the isolation of sessions"),
        ({"run_config": {"user": "root"}}, "does not run as root"),
        ({"exec_config": {"go": {"cmd": "x", "privileged": True}}}, "no command has more rights"),
        ({"volume_mappings": {"/var/run/docker.sock": {"bind": "/x"}}}, "belongs to the host itself"),
        ({"volume_mappings": {"/{username}": {"bind": "/x"}}}, "must begin with a fixed folder"),
        ({"persistent_profile_path": "s3://bucket/{username}"}, "not a folder of the host"),
        ({"persistent_profile_path": "/etc/{username}"}, "belongs to the host itself"),
        ({"restrict_to_zone": True}, "needs zone_id"),
        ({"restrict_to_server": True, "server_id": str(uuid.uuid4())}, "There is no Agent"),
        ({"docker_registry": "r.example:5000"}, "write the image as r.example:5000/greenroom/desktop:xfce"),
    ],
)
async def test_what_cannot_be_is_refused_with_the_reason_and_nothing_is_changed(
    admin: Client, change: dict[str, Any], words: str
):
    (image,) = (await admin.get("/api/v1/images")).json()
    answer = await admin.patch(f"/api/v1/images/{image['image_id']}", json=change)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert (await admin.get("/api/v1/images")).json() == [image]


async def test_changes_of_one_workspace_at_the_same_time_are_all_kept(admin: Client):
    address = f"/api/v1/images/{(await admin.post('/api/v1/images', json=WHOLE)).json()['image_id']}"
    changes: dict[str, Any] = {"enabled": True, "description": "new", "notes": "new", "cores": 2.5, "hidden": False}
    answers = await asyncio.gather(*(admin.patch(address, json={name: value}) for name, value in changes.items()))
    assert {answer.status_code for answer in answers} == {200}
    shown = (await admin.get(address)).json()
    assert {name: shown[name] for name in changes} == changes


async def test_deleting_names_what_is_in_the_way(admin: Client, db: Database):
    (image,) = (await admin.get("/api/v1/images")).json()
    (zone,) = (await admin.get("/api/v1/zones")).json()
    config = {"zone_id": zone["zone_id"], "image_id": image["image_id"], "num_sessions": 1, "expiration": 1}
    assert (await admin.post("/api/v1/staging-configs", json=config)).status_code == 201
    await db.write(
        "INSERT INTO sessions (session_id, zone_id, image_id, user_id, status, spec, credential_encrypted, spec_hash,"
        " cores, memory) SELECT gen_random_uuid(), %s, %s, user_id, 'running', '{}', '', '', 1, 1 FROM users",
        (zone["zone_id"], image["image_id"]),
    )
    answer = await admin.delete(f"/api/v1/images/{image['image_id']}")
    assert answer.status_code == 409
    assert "1 session (admin@greenroom.local), 1 staging config (zone default)" in answer.json()["detail"]


async def test_it_is_said_how_far_each_agent_is(admin: Client, db: Database):
    (image,) = (await admin.get("/api/v1/images")).json()
    rows = await db.write(
        "INSERT INTO agents (zone_id, hostname, credential_hash) SELECT zone_id, 'host-1', '' FROM zones"
        " RETURNING agent_id::text"
    )
    agent_id = rows[0]["agent_id"]
    for name, state, progress, error in (
        (image["name"], "failed", 0, "The image could not be fetched: unauthorized."),
        ("somebody/elses:1", "present", 0, ""),
    ):
        await db.write(
            "INSERT INTO agent_images (agent_id, name, state, progress, error) VALUES (%s, %s, %s, %s, %s)",
            (agent_id, name, state, progress, error),
        )
    told = {"state": "failed", "progress": 0, "error": "The image could not be fetched: unauthorized."}
    (shown,) = (await admin.get("/api/v1/images")).json()
    assert shown["agents"] == [{"agent_id": agent_id, "hostname": "host-1", **told}]
    agent = (await admin.get(f"/api/v1/agents/{agent_id}")).json()
    assert [{k: v for k, v in entry.items() if k != "updated"} for entry in agent["images"]] == [
        {"name": image["name"], **told}
    ]


async def test_inherit_is_what_the_installation_says(admin: Client, db: Database):
    (image,) = (await admin.get("/api/v1/images")).json()
    (user,) = await db.fetch("SELECT user_id::text FROM users")

    async def mode() -> str:
        snapshot = await read_launch(db, user["user_id"], image["image_id"], None)
        assert snapshot.image is not None
        return snapshot.image.cpu_mode

    assert await mode() == "Shares"
    answer = await admin.patch("/api/v1/settings", json={"default_cpu_allocation_method": "Quotas"})
    assert answer.status_code == 200
    assert await mode() == "Quotas"
    await admin.patch(f"/api/v1/images/{image['image_id']}", json={"cpu_allocation_method": "Shares"})
    assert await mode() == "Shares"
    refused = await admin.patch("/api/v1/settings", json={"default_cpu_allocation_method": "Inherit"})
    assert refused.status_code == 422


async def call(client: Client, name: str, **body: Any) -> dict[str, Any]:
    """A call of the published interface with the first key."""
    keys = {"api_key": KEY[0], "api_key_secret": KEY[1]}
    answer = await client.post(f"/api/public/{name}", json={**keys, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_published_calls_make_change_and_delete_a_workspace(anonymous: Client, db: Database):
    target = {
        "name": "kasmweb/chrome:1.16.0",
        "friendly_name": "Chrome",
        "cores": 2,
        "memory": 2_768_000_000,
        "run_config": '{"hostname": "kasm"}',
        "exec_config": '{"go": {"cmd": "go"}}',
        "volume_mappings": "",
        "zone_id": "",
        "persistent_profile_path": "",
        "gpu_count": 0,
        "image_type": "Container",
    }
    made = (await call(anonymous, "create_image", target_image=target))["image"]
    assert (made["run_config"], made["exec_config"], made["volume_mappings"]) == (
        {"hostname": "kasm"},
        {"go": {"cmd": "go"}},
        {},
    )
    assert len(made["image_id"]) == 32
    change = {"image_id": made["image_id"], "enabled": False, "volume_mappings": '{"/srv": {"bind": "/x"}}'}
    changed = (await call(anonymous, "update_image", target_image=change))["image"]
    assert (changed["enabled"], changed["volume_mappings"], changed["name"]) == (
        False,
        {"/srv": {"bind": "/x"}},
        "kasmweb/chrome:1.16.0",
    )
    for wrong, words in (
        ({"run_config": "{"}, "run_config must be JSON"),
        ({"run_config": '{"privileged": true}'}, "weakens"),
        ({"zone_id": "x"}, "zone_id is not an id"),
    ):
        refused = await call(anonymous, "update_image", target_image={"image_id": made["image_id"], **wrong})
        assert words in refused["error_message"]
    assert (await call(anonymous, "get_image", target_image={"image_id": made["image_id"]}))["image"] == changed
    assert changed in (await call(anonymous, "get_images"))["images"]
    assert await call(anonymous, "delete_image", target_image={"image_id": made["image_id"]}) == {}
    assert [image.friendly_name for image in await images.list_images(db)] == ["Desktop"]
