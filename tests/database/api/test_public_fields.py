"""The published interface loses no accepted field: fields are stored and returned, or refused with a message."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from tests.database.api.client import KEYS, Client

from greenroom.db.database import Database

NEW: dict[str, Any] = {"name": "tool:1", "friendly_name": "Tool"}


@pytest.fixture
async def ada_id(anonymous: Client, app: FastAPI) -> str:
    return (await anonymous.published("create_user", target_user={"username": "ada"}))["user"]["user_id"]


async def test_what_only_clients_use_of_a_workspace_is_kept(anonymous: Client, app: FastAPI):
    kept = {"x_res": 1280, "y_res": "720", "uncompressed_size_mb": 900.0, "hash": "sha256:1"}
    shown = {"x_res": 1280, "y_res": 720, "uncompressed_size_mb": 900, "hash": "sha256:1"}
    made = (await anonymous.published("create_image", target_image=NEW | kept))["image"]
    assert made.items() >= shown.items()
    target = {"image_id": made["image_id"], "x_res": 800, "notes": None}
    changed = (await anonymous.published("update_image", target_image=target))["image"]
    assert changed.items() >= (shown | {"x_res": 800}).items()
    listed = (await anonymous.published("get_images"))["images"]
    assert [image["y_res"] for image in listed] == [600, 720], "800 x 600 where no client said anything"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Office, Web", ["Office", "Web"]),
        ("Office\nWeb\n", ["Office", "Web"]),
        ('["Office"]', ["Office"]),
        (["Office"], ["Office"]),
        ("", []),
    ],
)
async def test_categories_are_a_text_or_json(anonymous: Client, app: FastAPI, written: object, shown: list[str]):
    made = await anonymous.published("create_image", target_image=NEW | {"categories": written})
    assert made["image"]["categories"] == shown


async def test_the_zone_of_a_workspace_is_kept(anonymous: Client, app: FastAPI):
    (zone,) = (await anonymous.published("get_zones", brief=True))["zones"]
    asked = NEW | {"zone_id": zone["zone_id"].replace("-", ""), "restrict_to_zone": False}
    made = (await anonymous.published("create_image", target_image=asked))["image"]
    assert (made["zone_id"], made["zone_name"], made["restrict_to_zone"]) == (zone["zone_id"], "default", False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("gpu_count", 1),
        ("require_gpu", True),
        ("image_type", "Server"),
        ("server_pool_id", "x"),
        ("restrict_to_network", True),
        ("restrict_network_names", ["a"]),
        ("allow_network_selection", "True"),
        ("launch_config", '{"form": 1}'),
        ("persistent_profile_config", {"a": 1}),
        ("x_res", -1),
        ("y_res", "wide"),
    ],
)
async def test_what_a_workspace_cannot_have_is_refused(anonymous: Client, app: FastAPI, field: str, value: object):
    assert field in await anonymous.published_refusal("create_image", target_image=NEW | {field: value})


async def test_what_clients_send_of_it_by_default_is_not(anonymous: Client, app: FastAPI):
    usual = {
        "gpu_count": 0,
        "image_type": "Container",
        "server_pool_id": "",
        "restrict_to_network": False,
        "restrict_network_names": [],
        "launch_config": "{}",
        "persistent_profile_config": {},
    }
    assert (await anonymous.published("create_image", target_image=NEW | usual))["image"]["friendly_name"] == "Tool"


async def test_what_only_clients_use_of_a_user_is_kept(anonymous: Client, ada_id: str):
    change = {"user_id": ada_id, "show_tips": True, "auto_login_kasm": "True"}
    assert await anonymous.published("update_user_attributes", target_user_attributes=change) == {}
    theme = {"user_id": ada_id, "theme": "dark"}
    assert await anonymous.published("update_user_attributes", **theme) == {}, "without the wrapper"
    for name in ("get_attributes", "get_user_attributes"):
        shown = (await anonymous.published(name, target_user={"user_id": ada_id}))["user_attributes"]
        assert (shown["show_tips"], shown["auto_login_kasm"], shown["toggle_control_panel"]) == (True, True, False)
        assert shown["theme"] == "dark"


async def test_users_have_no_workspaces_of_their_own(anonymous: Client, ada_id: str):
    for empty in (None, []):
        target = {"user_id": ada_id, "authorized_images": empty}
        assert (await anonymous.published("update_user", target_user=target))["user"]["username"] == "ada"
    target = {"user_id": ada_id, "authorized_images": ["a"]}
    assert "add_images_group" in await anonymous.published_refusal("update_user", target_user=target)


async def test_a_session_that_cannot_be_as_asked_is_refused(anonymous: Client, db: Database, agent: str, ada_id: str):
    (image,) = (await anonymous.published("get_images"))["images"]
    asked = {"user_id": ada_id, "image_id": image["image_id"]}
    for field, value in (
        ("server_id", ada_id),
        ("egress_gateway_id", ada_id),
        ("rdp_client_type", "RDP_CLIENT"),
        ("persistent_profile_mode", "Enabled"),
        ("persistent_profile_mode", "Reset"),
    ):
        assert field in await anonymous.published_refusal("request_kasm", **asked, **{field: value})
    assert await db.fetch("SELECT 1 FROM sessions") == []
    usual = {"server_id": None, "connection_info": {}, "persistent_profile_mode": "Disabled"}
    assert (await anonymous.published("request_kasm", **asked, **usual))["status"] == "starting"


async def test_a_group_setting_needs_a_value(anonymous: Client, app: FastAPI):
    group = (await anonymous.published("create_group", target_group={"name": "Team"}))["group"]["group_id"]
    target = {"target_group": {"group_id": group}, "target_setting": {"name": "allow_kasm_audio"}}
    for name in ("set_settings_group", "add_settings_group"):
        assert "value" in await anonymous.published_refusal(name, **target)


async def test_workspaces_of_a_group_name_both(anonymous: Client, app: FastAPI):
    (image,) = (await anonymous.published("get_images"))["images"]
    group = next(g for g in (await anonymous.published("get_groups"))["groups"] if g["name"] == "All Users")
    target = {"target_group": {"group_id": group["group_id"]}}
    (shown,) = (await anonymous.published("get_images_group", **target))["images"]
    assert (shown["image_name"], shown["image_friendly_name"]) == (image["name"], image["friendly_name"])
    assert len(shown["group_image_id"]) == 36
    assert (await anonymous.published("get_images_group", **target))["images"] == [shown], "the id stays the same"


async def test_fields_come_with_their_wrapper_or_without(anonymous: Client, ada_id: str):
    (image,) = (await anonymous.published("get_images"))["images"]
    assert (await anonymous.published("get_image", image_id=image["image_id"]))["image"] == image
    assert (await anonymous.published("get_user", username="ada"))["user"]["user_id"] == ada_id
    made = (await anonymous.published("create_group", name="Team"))["group"]["group_id"]
    assert await anonymous.published("add_user_group", user_id=ada_id, group_id=made) == {}
    answer = await anonymous.post("/api/public/get_image", json=KEYS | {"target_image": [image["image_id"]]})
    assert "target_image" in answer.json()["error_message"]
