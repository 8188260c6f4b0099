"""Groups, attributes and settings in the published shape."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

Client = httpx.AsyncClient
Make = Callable[..., Awaitable[Client]]

KEYS = {"api_key": "abcdefghijkl", "api_key_secret": "the secret half"}
ALL_USERS = "68d557ac4cac42cca9f31c7c853de0f3"


async def call(client: Client, name: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(f"/api/public/{name}", json={**KEYS, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
async def ada(anonymous: Client, app: object) -> str:
    return (await call(anonymous, "create_user", target_user={"username": "ada"}))["user"]["user_id"]


@pytest.fixture
async def group(anonymous: Client, app: object) -> str:
    target = {"name": "Students", "description": "All of them", "priority": 5}
    return (await call(anonymous, "create_group", target_group=target))["group"]["group_id"]


async def test_a_group_lives(anonymous: Client, group: str):
    assert re.fullmatch("[0-9a-f]{32}", group)
    target = {"group_id": group}
    shown = (await call(anonymous, "get_group", target_group=target))["group"]
    assert (shown["name"], shown["priority"], shown["is_system"], shown["permissions"]) == ("Students", 5, False, [])
    changed = await call(anonymous, "update_group", target_group=target | {"priority": 7, "description": None})
    assert (changed["group"]["priority"], changed["group"]["description"]) == (7, "All of them")
    assert {g["name"] for g in (await call(anonymous, "get_groups"))["groups"]} == {
        "Administrators",
        "All Users",
        "Students",
    }
    assert await call(anonymous, "delete_group", target_group=target) == {}
    assert "no group" in (await call(anonymous, "get_group", target_group=target))["error_message"]


async def test_members_come_and_go(anonymous: Client, group: str, ada: str):
    both = {"target_user": {"user_id": ada.replace("-", "")}, "target_group": {"group_id": group}}
    assert await call(anonymous, "add_user_group", **both) == {}
    assert await call(anonymous, "add_user_group", **both) == {}, "repeating it is a success"
    (member,) = (await call(anonymous, "get_users_group", target_group={"group_id": group}))["users"]
    assert {"name": "Students", "group_id": group} in member["groups"]
    assert await call(anonymous, "remove_user_group", **both) == {}
    assert (await call(anonymous, "get_users_group", target_group={"group_id": group}))["users"] == []
    stays = {"target_user": {"user_id": ada}, "target_group": {"group_id": ALL_USERS}}
    assert "All Users" in (await call(anonymous, "remove_user_group", **stays))["error_message"]


async def test_workspaces_are_granted_and_taken(anonymous: Client, group: str):
    image_id = (await call(anonymous, "get_images"))["images"][0]["image_id"]
    both = {"target_image": {"image_id": image_id}, "target_group": {"group_id": group}}
    assert await call(anonymous, "add_images_group", **both) == {}
    (image,) = (await call(anonymous, "get_images_group", target_group={"group_id": group}))["images"]
    assert (image["image_id"], image["group_id"], image["friendly_name"]) == (image_id, group, "Desktop")
    assert await call(anonymous, "remove_images_group", **both) == {}
    assert (await call(anonymous, "get_images_group", target_group={"group_id": group}))["images"] == []


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("allow_kasm_audio", "True", True),
        ("allow_kasm_audio", "false", False),
        ("allow_kasm_audio", True, True),
        ("session_time_limit", "3600", 3600),
        ("idle_disconnect", "0.5", 0.5),
        ("keepalive_expiration_action", "pause", "pause"),
        ("run_config", '{"hostname": "a"}', {"hostname": "a"}),
        ("run_config", {"hostname": "a"}, {"hostname": "a"}),
    ],
)
async def test_settings_may_be_written_as_texts(
    anonymous: Client, group: str, name: str, written: object, value: object
):
    target = {"target_group": {"group_id": group}, "target_setting": {"name": name, "value": written}}
    assert (await call(anonymous, "add_settings_group", **target))["setting"]["value"] == value
    (setting,) = (await call(anonymous, "get_settings_group", target_group={"group_id": group}))["settings"]
    assert (setting["name"], setting["value"], setting["group_id"]) == (name, value, group)
    assert await call(anonymous, "remove_settings_group", **target) == {}
    assert (await call(anonymous, "get_settings_group", target_group={"group_id": group}))["settings"] == []


async def test_refusals_are_sentences(anonymous: Client, group: str, ada: str):
    target = {"group_id": group}
    for name, body, words in (
        ("create_group", {"target_group": {"name": "Students"}}, "exists already"),
        ("create_group", {"target_group": {"name": "x", "permissions": ["root"]}}, "no permission root"),
        ("delete_group", {"target_group": {"group_id": ALL_USERS}}, "cannot be deleted"),
        ("add_user_group", {"target_group": target}, "target_user is missing"),
        ("add_images_group", {"target_group": target, "target_image": {"image_id": ada}}, "no workspace"),
        ("set_settings_group", {"target_group": target, "target_setting": {"name": "zap", "value": 1}}, "no group set"),
        (
            "set_settings_group",
            {"target_group": target, "target_setting": {"name": "idle_disconnect", "value": "soon"}},
            "cannot be used",
        ),
    ):
        refused = await call(anonymous, name, **body)
        assert words in refused["error_message"], name


async def test_members_with_a_key_of_less_are_refused(with_key: Make, group: str, ada: str):
    key = await with_key("groups_view", "groups_modify")
    body = {"target_group": {"group_id": ALL_USERS}, "target_setting": {"name": "allow_kasm_audio", "value": "True"}}
    refused = await key.post("/api/public/set_settings_group", json=body)
    assert (refused.status_code, "groups_modify_system" in refused.json()["error_message"]) == (403, True)


async def test_attributes_are_read_and_changed(anonymous: Client, ada: str):
    image_id = (await call(anonymous, "get_images"))["images"][0]["image_id"]
    target = {"user_id": ada}
    begin = (await call(anonymous, "get_attributes", target_user=target))["user_attributes"]
    assert (begin["user_id"], begin["preferred_language"], begin["auto_login_kasm"]) == (ada, None, False)
    change = {
        "user_id": ada,
        "default_image": image_id,
        "preferred_language": "de_DE",
        "theme": "Dark",
        "preferred_timezone": None,
        "show_tips": False,
    }
    assert await call(anonymous, "update_user_attributes", target_user_attributes=change) == {}
    outside = {"user_id": ada, "target_user_attributes": {"preferred_timezone": "UTC"}}
    assert await call(anonymous, "update_attributes", **outside) == {}
    now = (await call(anonymous, "get_attributes", target_user=target))["user_attributes"]
    assert (now["default_image"], now["preferred_language"], now["theme"]) == (image_id, "de-DE", "dark")
    assert now["preferred_timezone"] == "UTC"
    cleared = {"user_id": ada, "default_image": ""}
    assert await call(anonymous, "update_user_attributes", target_user_attributes=cleared) == {}
    assert (await call(anonymous, "get_attributes", target_user=target))["user_attributes"]["default_image"] is None
    assert "private" not in str(now)
    wrong = {"user_id": ada, "preferred_language": "klingon"}
    refused = await call(anonymous, "update_user_attributes", target_user_attributes=wrong)
    assert "no such language" in refused["error_message"]
