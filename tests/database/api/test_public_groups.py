"""Groups, attributes, settings and staging configs in the published format."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi import FastAPI
from tests.database.api.client import Client, MakeClient

ALL_USERS = "68d557ac4cac42cca9f31c7c853de0f3"


@pytest.fixture
async def ada_id(anonymous: Client, app: object) -> str:
    return (await anonymous.published("create_user", target_user={"username": "ada"}))["user"]["user_id"]


@pytest.fixture
async def group(anonymous: Client, app: object) -> str:
    target = {"name": "Students", "description": "All of them", "priority": 5}
    return (await anonymous.published("create_group", target_group=target))["group"]["group_id"]


async def test_a_group_lives(anonymous: Client, group: str):
    assert re.fullmatch("[0-9a-f]{32}", group)
    target = {"group_id": group}
    shown = (await anonymous.published("get_group", target_group=target))["group"]
    assert (shown["name"], shown["priority"], shown["is_system"], shown["permissions"]) == ("Students", 5, False, [])
    changed = await anonymous.published("update_group", target_group=target | {"priority": 7, "description": None})
    assert (changed["group"]["priority"], changed["group"]["description"]) == (7, "All of them")
    assert {g["name"] for g in (await anonymous.published("get_groups"))["groups"]} == {
        "Administrators",
        "All Users",
        "Students",
    }
    assert await anonymous.published("delete_group", target_group=target) == {}
    assert "no group" in await anonymous.published_refusal("get_group", target_group=target)


async def test_members_come_and_go(anonymous: Client, group: str, ada_id: str):
    both = {"target_user": {"user_id": ada_id.replace("-", "")}, "target_group": {"group_id": group}}
    assert await anonymous.published("add_user_group", **both) == {}
    assert await anonymous.published("add_user_group", **both) == {}, "repeating it is a success"
    (member,) = (await anonymous.published("get_users_group", target_group={"group_id": group}))["users"]
    assert {"name": "Students", "group_id": group} in member["groups"]
    assert await anonymous.published("remove_user_group", **both) == {}
    assert (await anonymous.published("get_users_group", target_group={"group_id": group}))["users"] == []
    stays = {"target_user": {"user_id": ada_id}, "target_group": {"group_id": ALL_USERS}}
    assert "All Users" in await anonymous.published_refusal("remove_user_group", **stays)


async def test_workspaces_are_granted_and_taken(anonymous: Client, group: str):
    image_id = (await anonymous.published("get_images"))["images"][0]["image_id"]
    both = {"target_image": {"image_id": image_id}, "target_group": {"group_id": group}}
    assert await anonymous.published("add_images_group", **both) == {}
    (image,) = (await anonymous.published("get_images_group", target_group={"group_id": group}))["images"]
    assert (image["image_id"], image["group_id"], image["friendly_name"]) == (image_id, group, "Desktop")
    assert await anonymous.published("remove_images_group", **both) == {}
    assert (await anonymous.published("get_images_group", target_group={"group_id": group}))["images"] == []


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
    assert (await anonymous.published("add_settings_group", **target))["setting"]["value"] == value
    (setting,) = (await anonymous.published("get_settings_group", target_group={"group_id": group}))["settings"]
    assert (setting["name"], setting["value"], setting["group_id"]) == (name, value, group)
    assert await anonymous.published("remove_settings_group", **target) == {}
    assert (await anonymous.published("get_settings_group", target_group={"group_id": group}))["settings"] == []


async def test_refusals_are_sentences(anonymous: Client, group: str, ada_id: str):
    target = {"group_id": group}
    for name, body, words in (
        ("create_group", {"target_group": {"name": "Students"}}, "already exists"),
        ("create_group", {"target_group": {"name": "x", "permissions": ["root"]}}, "no permission root"),
        ("delete_group", {"target_group": {"group_id": ALL_USERS}}, "cannot be deleted"),
        ("add_user_group", {"target_group": target}, "user_id is missing"),
        ("add_images_group", {"target_group": target, "target_image": {"image_id": ada_id}}, "no workspace"),
        ("set_settings_group", {"target_group": target, "target_setting": {"name": "zap", "value": 1}}, "no group set"),
        (
            "set_settings_group",
            {"target_group": target, "target_setting": {"name": "idle_disconnect", "value": "soon"}},
            "cannot be used",
        ),
    ):
        assert words in await anonymous.published_refusal(name, **body), name


async def test_members_with_a_key_of_less_are_refused(with_key: MakeClient, group: str, ada_id: str):
    key = await with_key("groups_view", "groups_modify")
    body = {"target_group": {"group_id": ALL_USERS}, "target_setting": {"name": "allow_kasm_audio", "value": "True"}}
    refused = await key.post("/api/public/set_settings_group", json=body)
    assert (refused.status_code, "groups_modify_system" in refused.json()["error_message"]) == (403, True)


async def test_attributes_are_read_and_changed(anonymous: Client, ada_id: str):
    image_id = (await anonymous.published("get_images"))["images"][0]["image_id"]
    target = {"user_id": ada_id}
    begin = (await anonymous.published("get_attributes", target_user=target))["user_attributes"]
    assert (begin["user_id"], begin["preferred_language"], begin["auto_login_kasm"]) == (ada_id, None, False)
    change = {
        "user_id": ada_id,
        "default_image": image_id,
        "preferred_language": "de_DE",
        "theme": "Dark",
        "preferred_timezone": None,
    }
    assert await anonymous.published("update_user_attributes", target_user_attributes=change) == {}
    outside = {"user_id": ada_id, "target_user_attributes": {"preferred_timezone": "UTC"}}
    assert await anonymous.published("update_attributes", **outside) == {}
    now = (await anonymous.published("get_attributes", target_user=target))["user_attributes"]
    assert (now["default_image"], now["preferred_language"], now["theme"]) == (image_id, "de-DE", "dark")
    assert now["preferred_timezone"] == "UTC"
    cleared = {"user_id": ada_id, "default_image": ""}
    assert await anonymous.published("update_user_attributes", target_user_attributes=cleared) == {}
    assert (await anonymous.published("get_attributes", target_user=target))["user_attributes"]["default_image"] is None
    assert "private" not in str(now)
    wrong = {"user_id": ada_id, "preferred_language": "klingon"}
    assert "no such language" in await anonymous.published_refusal(
        "update_user_attributes", target_user_attributes=wrong
    )


@pytest.fixture
async def wanted(app: FastAPI, anonymous: Client) -> dict[str, Any]:
    """The fields of a new config, with ids from this interface."""
    (image,) = (await anonymous.published("get_images"))["images"]
    (zone,) = (await anonymous.published("get_zones"))["zones"]
    return {"zone_id": zone["zone_id"], "image_id": image["image_id"], "num_sessions": 2, "expiration": 4.5}


async def test_a_staging_config_lives(anonymous: Client, wanted: dict[str, Any]):
    made = (
        await anonymous.published(
            "create_staging_config", target_staging_config=wanted | {"allow_kasm_audio": False, "other": 1}
        )
    )["staging_config"]
    assert re.fullmatch("[0-9a-f]{32}", made["image_id"])
    assert (made["zone_name"], made["image_friendly_name"]) == ("default", "Desktop")
    assert (made["num_sessions"], made["num_current_sessions"], made["expiration"]) == (2, 0, 4.5)
    assert (made["allow_kasm_audio"], made["allow_kasm_uploads"]) == (False, True), "the others as in All Users"
    target = {"staging_config_id": made["staging_config_id"].replace("-", "")}
    assert "permissions must match" in made["warning"], "who would get a session is said where it was saved"
    listed = made | {"warning": None}
    assert (await anonymous.published("get_staging_configs"))["staging_configs"] == [listed]
    changed = (
        await anonymous.published(
            "update_staging_config", target_staging_config=target | {"num_sessions": "0", "expiration": None}
        )
    )["staging_config"]
    assert (changed["num_sessions"], changed["expiration"]) == (0, 4.5)
    assert (await anonymous.published("get_staging_config", target_staging_config=target))["staging_config"][
        "num_sessions"
    ] == 0
    assert await anonymous.published("delete_staging_config", target_staging_config=target) == {}
    assert (await anonymous.published("get_staging_configs")) == {"staging_configs": []}
    assert set(await anonymous.published("get_staging_config", target_staging_config=target)) == {"error_message"}


async def test_configs_that_cannot_be(anonymous: Client, wanted: dict[str, Any]):
    for change, words in (
        ({"num_sessions": -1}, "num_sessions"),
        ({"num_sessions": 1.5}, "num_sessions"),
        ({"expiration": 0}, "expiration"),
        ({"image_id": "00000000000000000000000000000001"}, "no workspace"),
        ({"zone_id": "x"}, "zone_id"),
        ({"zone_id": None}, "zone_id"),
    ):
        assert words in await anonymous.published_refusal(
            "create_staging_config", target_staging_config=wanted | change
        ), change


async def test_the_same_pool_twice_is_refused(anonymous: Client, wanted: dict[str, Any]):
    await anonymous.published("create_staging_config", target_staging_config=wanted)
    assert "already exists" in await anonymous.published_refusal("create_staging_config", target_staging_config=wanted)
