"""Previews of forms before they are saved: values that would be refused, room for sessions, and matching users."""

from __future__ import annotations

from typing import Any

import pytest
from tests.database.api.client import Client, MakeClient
from tests.database.api.staging import Stage
from tests.support import rows

from greenroom.db.access.users import ALL_USERS

GB = 1_000_000_000


async def problems(client: Client, path: str, **values: Any) -> dict[str, str]:
    answer = await client.post(f"/api/v1/{path}/test", json={"values": values})
    assert answer.status_code == 200, answer.text
    return {each["name"]: each["problem"] for each in answer.json()}


async def test_values_of_settings_are_tested_without_saving_them(admin: Client):
    found = await problems(
        admin, "settings", max_login_attempts=0, support_url="javascript:1", audit_hold=True, session_idle_s=None
    )
    assert found.keys() == {"max_login_attempts", "support_url"}
    assert "from 1 to" in found["max_login_attempts"]
    assert "https:// or mailto:" in found["support_url"]
    settings = {each["name"]: each["value"] for each in await admin.read("/api/v1/settings")}
    assert (settings["audit_hold"], settings["max_login_attempts"]) == (False, 5)


async def test_values_of_group_settings_are_tested_as_a_group_would_refuse_them(admin: Client):
    found = await problems(admin, "group-settings", watermark="yes", run_config={"privileged": True}, idle_disconnect=5)
    assert found.keys() == {"watermark", "run_config"}
    group = await admin.make("/api/v1/groups", name="Students")
    for name, value in (("watermark", "yes"), ("run_config", {"privileged": True})):
        answer = await admin.patch(f"/api/v1/groups/{group['group_id']}", json={"settings": {name: value}})
        assert answer.json()["detail"] == found[name]


async def test_the_definition_of_a_setting_has_what_its_field_needs(admin: Client):
    settings = {each["name"]: each for each in await admin.read("/api/v1/settings")}
    lifetime = settings["session_lifetime_s"]
    assert (lifetime["title"], lifetime["section"]) == ("Log-in lifetime", "Log-in")
    assert (lifetime["minimum"], lifetime["maximum"], lifetime["unit"]) == (60, 3_153_600_000, "s")
    assert settings["login_notice"]["maximum"] is None


@pytest.mark.parametrize(
    ("path", "permission"),
    [
        ("settings/test", "settings_modify"),
        ("group-settings/test", "groups_modify"),
        ("images/preview", "images_view"),
        ("staging-configs/preview", "staging_create"),
    ],
)
async def test_a_preview_needs_the_permission_of_its_form(with_key: MakeClient, path: str, permission: str):
    refused = await (await with_key("zones_view")).post(f"/api/v1/{path}", json={})
    accepted = await (await with_key(permission)).post(f"/api/v1/{path}", json={})
    assert (refused.status_code, accepted.status_code) == (403, 422), "without fields, it is only not understood"


async def preview_of_size(stage: Stage, cores: float, memory: int = GB, **body: Any) -> dict[str, Any]:
    return (await stage.admin.post("/api/v1/images/preview", json={"cores": cores, "memory": memory, **body})).json()


async def test_a_size_has_room_for_as_many_sessions_as_the_agents_have(stage: Stage):
    await stage.db.write("UPDATE agent_capacity SET cores = 8, memory = %s, cores_allocated = 0", (8 * GB,))
    assert (await preview_of_size(stage, 2))["room"] == {"sessions": 4, "reason": ""}
    assert (await preview_of_size(stage, 2, 4 * GB))["room"]["sessions"] == 2
    too_large = (await preview_of_size(stage, 64))["room"]
    assert too_large["sessions"] == 0
    assert "of 8 cores free, 64 are needed" in too_large["reason"]


async def test_a_restricted_workspace_has_the_room_of_its_zone(stage: Stage):
    other = await rows.zone(stage.db, "other")
    room = (await preview_of_size(stage, 0.5, zone_id=other))["room"]
    assert room == {"sessions": 0, "reason": "There is no Agent"}
    assert (await preview_of_size(stage, 0.5, zone_id=stage.zone_id))["room"]["sessions"] > 0


async def test_the_groups_of_a_workspace_have_their_members(stage: Stage, with_user: MakeClient):
    group = (await stage.admin.make("/api/v1/groups", name="Students"))["group_id"]
    await with_user("ada@example.org")
    user = await stage.admin.make("/api/v1/users", username="bob@example.org", groups=[group])
    everybody = await preview_of_size(stage, 1, groups=[ALL_USERS, group])
    students = await preview_of_size(stage, 1, groups=[group])
    assert everybody["users"] == everybody["all_users"] >= 3
    assert (students["users"], students["all_users"]) == (1, everybody["all_users"])
    await stage.admin.change(f"/api/v1/users/{user['user_id']}", disabled=True)
    assert (await preview_of_size(stage, 1, groups=[group]))["users"] == 0


PREVIEW = "/api/v1/staging-configs/preview"


async def test_a_staging_config_names_the_permissions_in_which_users_differ(stage: Stage, with_user: MakeClient):
    await with_user("ada@example.org")
    same = (await stage.admin.post(PREVIEW, json=stage.body())).json()
    assert same["matching_users"] == same["users"] >= 2
    assert (same["excluded"], same["warnings"]) == ([], [])
    other = (await stage.admin.post(PREVIEW, json=stage.body(allow_kasm_webcam=False))).json()
    assert other["matching_users"] == 0
    (excluded,) = other["excluded"]
    assert (excluded["users"], excluded["groups"]) == (same["users"], ["All Users"])
    assert excluded["reasons"] == ["allow_kasm_webcam"]
    assert excluded["permissions"]["allow_kasm_webcam"] is True
    assert "has exactly these permissions" in other["warnings"][0]
    assert await stage.admin.read("/api/v1/staging-configs") == []


async def test_a_config_with_the_permissions_of_excluded_users_serves_them(stage: Stage, with_user: MakeClient):
    await with_user("ada@example.org")
    body = stage.body(allow_kasm_webcam=False)
    (excluded,) = (await stage.admin.post(PREVIEW, json=body)).json()["excluded"]
    assert excluded["is_served"] is False
    config = await stage.admin.make("/api/v1/staging-configs", **body | excluded["permissions"])
    (excluded,) = (await stage.admin.post(PREVIEW, json=body)).json()["excluded"]
    assert excluded["is_served"] is True
    changed = body | {"staging_config_id": config["staging_config_id"]}
    (excluded,) = (await stage.admin.post(PREVIEW, json=changed)).json()["excluded"]
    assert excluded["is_served"] is False, "the config will have other permissions"
    await stage.admin.change(f"/api/v1/staging-configs/{config['staging_config_id']}", paused=True)
    (excluded,) = (await stage.admin.post(PREVIEW, json=body)).json()["excluded"]
    assert excluded["is_served"] is False, "a paused config serves no user"


async def test_a_preview_has_the_names_of_groups_only_for_who_may_view_them(
    stage: Stage, with_user: MakeClient, with_key: MakeClient
):
    await with_user("ada@example.org")
    body = stage.body(allow_kasm_webcam=False)
    for permissions, groups in ((["staging_create"], []), (["staging_create", "groups_view"], ["All Users"])):
        (excluded,) = (await (await with_key(*permissions)).post(PREVIEW, json=body)).json()["excluded"]
        assert excluded["groups"] == groups


async def test_the_cost_of_a_staging_config_is_that_of_its_desired_sessions(stage: Stage):
    one = (await stage.admin.post(PREVIEW, json=stage.body(num_sessions=1))).json()
    three = (await stage.admin.post(PREVIEW, json=stage.body(num_sessions=3))).json()
    assert one["cores"] > 0
    assert one["memory"] > 0
    assert (three["cores"], three["memory"]) == (3 * one["cores"], 3 * one["memory"])


async def test_a_staging_config_of_an_unknown_workspace_is_refused(stage: Stage):
    body = stage.body(image_id="00000000-0000-0000-0000-000000000001")
    answer = await stage.admin.post("/api/v1/staging-configs/preview", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
