"""Workspaces over both interfaces: the accepted and refused values with reasons, and the users of a workspace."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.database.api.client import Client
from tests.database.api.staging import Stage, bare_session

from greenroom.db.database import Database
from greenroom.db.fleet.checkin import read_images
from greenroom.db.launch.ledger import read_launch_snapshot
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
    "page_path": "/{path}/",
    "start_page": "lab?theme=dark",
    "ready_path": "api/status",
    "port_map": {"audio": 4901},
    "run_config": {"hostname": "desk", "shm_size": "64m"},
    "exec_config": {"go": {"cmd": 'open "$KASM_URL"'}},
    "volume_mappings": {"/srv/{username}": {"bind": "/mnt/x", "required": True, "uid": 5}},
    "persistent_profile_path": "/srv/profiles/{user_id}",
    "categories": ["Office"],
    "hidden": True,
    "enabled": False,
    "session_time_limit": 600,
    "filter_policy_force_disabled": True,
    "allow_launch_variables": False,
}


async def test_a_workspace_is_stored_as_given_and_its_token_never_shown(admin: Client, db: Database):
    made = await admin.make("/api/v1/images", **WHOLE)
    shown = await admin.read(f"/api/v1/images/{made['image_id']}")
    assert {name: shown[name] for name in WHOLE if name != "docker_token"} == {
        name: value for name, value in WHOLE.items() if name != "docker_token"
    }
    assert (shown["available"], shown["agents"]) == (False, [])
    assert "very secret" not in (await admin.get("/api/v1/images")).text
    rows = await db.fetch("SELECT docker_token_encrypted FROM images WHERE friendly_name = 'Desk'")
    assert b"very secret" not in bytes(rows[0]["docker_token_encrypted"])


async def test_a_new_workspace_of_a_known_maker_has_what_its_images_need(admin: Client):
    made = await admin.make(
        "/api/v1/images",
        name="lscr.io/linuxserver/webtop:1",
        friendly_name="Webtop",
        run_config={"environment": {"TITLE": "Mine"}},
    )
    assert (made["port"], made["protocol"], made["auth_user"], made["page_path"]) == (3000, "http", "abc", "/{path}/")
    variables = made["run_config"]["environment"]
    assert (variables["TITLE"], variables["SUBFOLDER"], variables["PASSWORD"]) == ("Mine", "/{path}/", "{password}")
    address = f"/api/v1/images/{made['image_id']}"
    changed = await admin.change(address, name="kasmweb/chrome:1", port=8443)
    assert (changed["port"], changed["protocol"]) == (8443, "http"), "later nothing is set that was not given"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("page_path", "vnc", "page_path must be /, a folder with a slash at both ends like /vnc/"),
        ("start_page", "https://evil.example/", "start_page must be an address below page_path"),
        ("ready_path", "/health", "ready_path must be an address below page_path"),
        ("port_map", {"printer": 1}, "A port map has no service printer"),
        ("port_map", {"audio": 6901}, "Port 6901 is the port of the page"),
    ],
)
async def test_what_a_page_of_others_cannot_have_is_named(admin: Client, field: str, value: Any, words: str):
    body = {"name": "a", "friendly_name": "A", field: value}
    assert words in await admin.refused(422, "POST /api/v1/images", body)


async def test_a_stored_token_is_not_sent_to_a_registry_named_later(admin: Client, db: Database):
    async def tokens() -> list[bytes | None]:
        rows = await db.fetch("SELECT docker_token_encrypted FROM images WHERE friendly_name = 'Desk'")
        return [row["docker_token_encrypted"] for row in rows]

    image_id = (await admin.make("/api/v1/images", **WHOLE))["image_id"]
    address, stored = f"/api/v1/images/{image_id}", await tokens()
    elsewhere = {"name": "evil.example/team/desk:1", "docker_registry": ""}
    for change in (elsewhere, elsewhere | {"docker_registry": "evil.example"}):
        assert "Set docker_token for evil.example" in await admin.refused(422, f"PATCH {address}", change)
    assert await tokens() == stored
    await admin.change(address, name="r.example:5000/team/desk:2")
    assert await tokens() == stored
    assert (await admin.patch(address, json=elsewhere | {"docker_token": None})).status_code == 200
    assert await tokens() == [None]
    rows = await admin.read("/api/v1/logs", code="workspace-changed")
    assert "docker_token (secret) → (none)" in rows[0]["message"], rows[0]["message"]


async def test_a_refresh_asks_for_images_that_can_change(stage: Stage):
    address = f"/api/v1/images/{stage.image_id}"
    assert (await stage.admin.post(f"{address}/refresh")).status_code == 202
    (image,) = await read_images(stage.db, stage.agent_id)
    assert image.refresh > 0
    done = "UPDATE agent_images SET refreshed = (SELECT max(refresh_requested) FROM images)"
    await stage.db.write(done)
    (image,) = await read_images(stage.db, stage.agent_id)
    assert image.refresh == 0, "the Agent has carried it out"
    await stage.admin.change(address, name="a/b@sha256:" + "0" * 64)
    assert "specified by its digest" in await stage.admin.refused(409, f"POST {address}/refresh")
    await stage.admin.change(address, enabled=False)
    assert "is disabled" in await stage.admin.refused(409, f"POST {address}/refresh")


async def test_of_workspaces_with_one_image_the_policy_that_asks_most_often_counts(stage: Stage):
    image = await stage.admin.read(f"/api/v1/images/{stage.image_id}")
    for policy in ("daily", "always"):
        await stage.admin.make("/api/v1/images", name=image["name"], friendly_name=policy, pull_policy=policy)
    assert [image.pull_policy for image in await read_images(stage.db, stage.agent_id)] == ["always"]


async def test_a_hidden_workspace_is_not_offered(admin: Client, user: Client):
    made = await admin.make("/api/v1/images", name="kasmweb/chrome:1.18", friendly_name="Chrome")
    mine = await user.read("/api/v1/me/images")
    assert [(image["friendly_name"], image["ready"]) for image in mine] == [("Chrome", False), ("Desktop", False)]
    await admin.change(f"/api/v1/images/{made['image_id']}", hidden=True)
    assert [image["friendly_name"] for image in await user.read("/api/v1/me/images")] == ["Desktop"]


async def test_a_change_inside_the_container_outdates_staged_sessions(admin: Client, db: Database):
    image = await admin.only("/api/v1/images")
    for change, revision in (({"description": "x"}, 1), ({"cores": 1}, 1), ({"run_config": {"hostname": "a"}}, 2)):
        await admin.change(f"/api/v1/images/{image['image_id']}", **change)
        assert await db.fetch_one("SELECT revision FROM images") == {"revision": revision}, change


async def test_changes_of_one_workspace_at_the_same_time_are_all_kept(admin: Client):
    address = f"/api/v1/images/{(await admin.post('/api/v1/images', json=WHOLE)).json()['image_id']}"
    changes: dict[str, Any] = {"enabled": True, "description": "new", "notes": "new", "cores": 2.5, "hidden": False}
    answers = await asyncio.gather(*(admin.patch(address, json={name: value}) for name, value in changes.items()))
    assert {answer.status_code for answer in answers} == {200}
    shown = await admin.read(address)
    assert {name: shown[name] for name in changes} == changes


async def test_deleting_names_what_is_in_the_way(stage: Stage):
    delete = f"DELETE /api/v1/images/{stage.image_id}"
    await bare_session(stage.db)
    assert "1 session " in await stage.admin.refused(409, delete)
    await stage.db.write("DELETE FROM sessions")
    await stage.created()
    boss = await stage.admin.only("/api/v1/users")
    await bare_session(stage.db, boss["user_id"])
    in_the_way = "1 session (admin@greenroom.local), 1 staging config (zone default)"
    assert in_the_way in await stage.admin.refused(409, delete)


async def test_each_agent_says_how_far_it_is(stage: Stage):
    state = {"state": "failed", "progress": 0, "error": "The image could not be fetched: unauthorized."}
    await stage.db.write("UPDATE agent_images SET state = %(state)s, progress = %(progress)s, error = %(error)s", state)
    another = "INSERT INTO agent_images (agent_id, name, state) VALUES (%s, 'another:1', 'present')"
    await stage.db.write(another, (stage.agent_id,))
    state |= {"how": "", "reason": "", "size_bytes": 0}
    image = await stage.admin.only("/api/v1/images")
    place = {"agent_id": stage.agent_id, "hostname": "agent-1", "zone_name": "default", "digest": ""}
    assert image["agents"] == [{**place, **state}]
    agent = await stage.admin.read(f"/api/v1/agents/{stage.agent_id}")
    assert [{k: v for k, v in entry.items() if k != "updated"} for entry in agent["images"]] == [
        {"name": image["name"], **state}
    ]


async def test_inherit_is_what_the_installation_says(admin: Client, db: Database):
    (image,) = await admin.read("/api/v1/images")
    (user,) = await db.fetch("SELECT user_id::text FROM users")

    async def mode() -> str:
        snapshot = await read_launch_snapshot(db, user["user_id"], image["image_id"], None)
        assert snapshot.image is not None
        return snapshot.image.cpu_mode

    assert await mode() == "Shares"
    await admin.change("/api/v1/settings", default_cpu_allocation_method="Quotas")
    assert await mode() == "Quotas"
    await admin.patch(f"/api/v1/images/{image['image_id']}", json={"cpu_allocation_method": "Shares"})
    assert await mode() == "Shares"
    await admin.refused(422, "PATCH /api/v1/settings", {"default_cpu_allocation_method": "Inherit"})


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
    made = (await anonymous.published("create_image", target_image=target))["image"]
    parsed = {"run_config": {"hostname": "kasm"}, "exec_config": {"go": {"cmd": "go"}}, "volume_mappings": {}}
    assert {name: made[name] for name in parsed} == parsed
    assert len(made["image_id"]) == 32
    change = {"image_id": made["image_id"], "enabled": False, "volume_mappings": '{"/srv": {"bind": "/x"}}'}
    changed = (await anonymous.published("update_image", target_image=change))["image"]
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
        assert words in await anonymous.published_refusal(
            "update_image", target_image={"image_id": made["image_id"], **wrong}
        )
    assert (await anonymous.published("get_image", target_image={"image_id": made["image_id"]}))["image"] == changed
    assert changed in (await anonymous.published("get_images"))["images"]
    assert await anonymous.published("delete_image", target_image={"image_id": made["image_id"]}) == {}
    assert [each.friendly_name for each in (await images.list_images(db)).rows] == ["Desktop"]


async def test_a_user_who_cannot_write_the_home_folder_is_a_warning(stage: Stage):
    made = await stage.admin.make(
        "/api/v1/images",
        name="a/b:1",
        friendly_name="Other user",
        cores=0.1,
        memory=512_000_000,
        persistent_profile_path="/srv/profiles",
        run_config={"user": "1001"},
    )
    assert made["warnings"][-1].startswith("Sessions cannot write their home folder")


async def test_a_workspace_that_no_agent_can_hold_is_saved_with_a_warning(stage: Stage):
    await stage.db.write(
        "INSERT INTO agent_images (agent_id, name, state) SELECT agent_id, 'a/b:1', 'present' FROM agents"
    )
    fits = await stage.admin.make("/api/v1/images", name="a/b:1", friendly_name="Small", cores=0.1, memory=512_000_000)
    assert fits["warnings"] == []
    large = await stage.admin.make("/api/v1/images", name="a/b:1", friendly_name="Large", cores=1000, memory=10**15)
    (warning,) = large["warnings"]
    assert warning.startswith("No Agent can hold a session of this workspace: it needs 1000 cores and 1000000.0 GB")


async def test_folders_that_no_agent_may_mount_are_saved_with_a_warning(stage: Stage):
    path = f"/api/v1/images/{stage.image_id}"
    mapping = {"/srv/shared/{user_id}": {"bind": "/shared"}}
    unknown = await stage.admin.change(path, volume_mappings=mapping)
    assert not [warning for warning in unknown["warnings"] if "mount" in warning], "the Agent has reported no folders"
    await stage.db.write('UPDATE agents SET usage = \'{"mount_folders": ["/var/lib/greenroom/volumes"]}\'')
    refused = "No Agent may mount {}, so sessions with it cannot start: the hosts allow only folders below /var/lib/"
    assert [
        w for w in (await stage.admin.read(path))["warnings"] if w.startswith(refused.format("/srv/shared/{user_id}"))
    ]
    await stage.admin.change(path, volume_mappings={}, persistent_profile_path="/home/x/{username}")
    assert [w for w in (await stage.admin.read(path))["warnings"] if w.startswith(refused.format("/home/x/{username}"))]
    await stage.db.write('UPDATE agents SET usage = \'{"mount_folders": ["/home/x"]}\'')
    assert not [w for w in (await stage.admin.read(path))["warnings"] if "mount" in w]
    await stage.db.write(
        "WITH a AS (INSERT INTO agents (zone_id, hostname, credential_hash, status, usage) SELECT zone_id, 'agent-2',"
        " '', 'running', '{\"mount_folders\": [\"/volumes\"]}' FROM agents LIMIT 1 RETURNING agent_id) INSERT INTO"
        " agent_capacity (agent_id, cores_reported, memory_reported, cores, memory) SELECT agent_id, 8, 8e9, 8, 8e9"
        " FROM a"
    )
    (warning,) = [w for w in (await stage.admin.change(path, memory=512_000_000))["warnings"] if "mount" in w]
    assert warning.startswith(
        "Sessions with the folder /home/x/{username} cannot start on agent-2, which may not mount it"
    )


async def test_folders_of_a_group_that_no_agent_may_mount_are_saved_with_a_warning(stage: Stage):
    mapping = {"volume_mapping": {"/srv/shared/{user_id}": {"bind": "/shared"}}}
    group = await stage.admin.make("/api/v1/groups", name="Students", priority=50, settings=mapping)
    assert group["warnings"] == [], "the Agent has reported no folders"
    path = f"/api/v1/groups/{group['group_id']}"
    await stage.db.write('UPDATE agents SET usage = \'{"mount_folders": ["/volumes"]}\'')
    (warning,) = (await stage.admin.change(path, description="a class"))["warnings"]
    assert warning.startswith("No Agent may mount /srv/shared/{user_id}, so sessions with it cannot start: ")
    await stage.db.write('UPDATE agents SET usage = \'{"mount_folders": ["/volumes", "/srv"]}\'')
    assert (await stage.admin.change(path, description="another class"))["warnings"] == []


async def test_an_image_that_no_agent_has_is_saved_with_a_warning(stage: Stage):
    made = await stage.admin.make("/api/v1/images", name="a/b:1", friendly_name="Small", cores=0.1, memory=512_000_000)
    path = f"/api/v1/images/{made['image_id']}"
    state = "INSERT INTO agent_images (agent_id, name, state, error) SELECT agent_id, %s, %s, %s FROM agents"
    await stage.db.write(state, ("a/b:1", "present", ""))
    assert (await stage.admin.read(path))["warnings"] == []
    changed = await stage.admin.change(path, name="a/nothere:1")
    assert changed["warnings"] == [
        "No Agent has the image a/nothere:1 yet. Sessions can start after an Agent has pulled it."
    ]
    await stage.db.write(state, ("a/nothere:1", "failed", "The image does not exist."))
    assert (await stage.admin.change(path, cores=0.2))["warnings"] == [
        "No Agent has the image a/nothere:1. agent-1 cannot get it: The image does not exist."
    ]
    assert (await stage.admin.change(path, enabled=False))["warnings"] == []
