"""The group settings that apply to a user, and the permission to read them."""

from __future__ import annotations

from typing import Any

from tests.database.api.client import Client, MakeClient


async def _group(admin: Client, user_id: str, name: str, priority: int, settings: dict[str, Any]) -> None:
    body = {"name": name, "priority": priority, "settings": settings}
    group = await admin.make("/api/v1/groups", **body)
    assert (await admin.put(f"/api/v1/groups/{group['group_id']}/users/{user_id}")).status_code == 204


async def _member(admin: Client) -> str:
    user = await admin.make("/api/v1/users", username="ada@example.org")
    await _group(
        admin,
        user["user_id"],
        "Students",
        5,
        {"idle_disconnect": 30, "run_config": {"hostname": "a", "environment": {"TOKEN": "s3cret", "A": "1"}}},
    )
    await _group(admin, user["user_id"], "Science", 50, {"run_config": {"environment": {"A": "2", "B": "2"}}})
    return user["user_id"]


async def _settings(client: Client, user_id: str) -> dict[str, dict[str, Any]]:
    answer = await client.get(f"/api/v1/users/{user_id}/settings")
    assert answer.status_code == 200, answer.text
    return {setting["name"]: setting for setting in answer.json()}


async def test_a_setting_says_its_value_its_group_and_what_it_is(admin: Client):
    found = await _settings(admin, await _member(admin))
    idle = found["idle_disconnect"]
    assert idle["trace"] == "`idle_disconnect` = 30 from group Students, priority 5"
    assert (idle["value"], idle["default"], idle["unit"], idle["groups"]) == (30.0, 20.0, "min", ["Students"])
    assert (found["inject_ssh_keys"]["groups"], found["inject_ssh_keys"]["excludes_staging"]) == ([], True)
    listed = await admin.read("/api/v1/group-settings")
    assert list(found) == [setting["name"] for setting in listed]
    assert {"kind", "default", "unit", "description", "choices", "minimum", "excludes_staging"} <= set(listed[0])


async def test_run_configs_of_all_groups_merge_and_the_trace_has_no_value(admin: Client):
    run_config = (await _settings(admin, await _member(admin)))["run_config"]
    assert run_config["value"] == {"hostname": "a", "environment": {"TOKEN": "s3cret", "A": "1", "B": "2"}}
    assert run_config["groups"] == ["Students", "Science"]
    assert "s3cret" not in run_config["trace"]


async def test_values_of_variables_are_for_those_who_may_change_groups(admin: Client, with_key: MakeClient):
    user_id = await _member(admin)
    may_see_users = await _settings(await with_key("users_view", "groups_view"), user_id)
    assert may_see_users["run_config"]["value"]["environment"] == dict.fromkeys(("TOKEN", "A", "B"), "(secret)")
    assert may_see_users["run_config"]["value"]["hostname"] == "a"
    may_change_groups = await _settings(await with_key("users_view", "groups_view", "groups_modify"), user_id)
    assert may_change_groups["run_config"]["value"]["environment"]["TOKEN"] == "s3cret"


async def test_others_settings_need_the_permission(admin: Client, user: Client, with_key: MakeClient):
    user_id = await _member(admin)
    for client in (user, await with_key("groups_view")):
        assert (await client.get(f"/api/v1/users/{user_id}/settings")).status_code == 403


async def test_a_user_does_not_see_how_their_containers_are_made(admin: Client, user: Client):
    user_id = await user.own_id()
    await _group(admin, user_id, "Lab", 1, {"volume_mapping": {"/srv/lab": {"bind": "/lab"}}})
    me = await user.read("/api/v1/me")
    assert "idle_disconnect" in me["settings"]
    assert "/srv/lab" not in str(me)


async def test_a_group_says_what_it_inherits_and_from_which_group(admin: Client, with_key: MakeClient):
    users = next(group for group in await admin.read("/api/v1/groups") if group["name"] == "All Users")
    body = {"settings": {"allow_kasm_downloads": True}}
    await admin.change(f"/api/v1/groups/{users['group_id']}", **body)
    made = await admin.make("/api/v1/groups", name="Contractors", priority=1)
    address = f"/api/v1/groups/{made['group_id']}/inherited-settings"
    found = {setting["name"]: setting for setting in await admin.read(address)}
    assert (found["allow_kasm_downloads"]["value"], found["allow_kasm_downloads"]["group"]) == (True, "All Users")
    assert (found["idle_disconnect"]["value"], found["idle_disconnect"]["group"]) == (20.0, None)
    assert (await (await with_key("groups_view_ifmember")).get(address)).status_code == 404
