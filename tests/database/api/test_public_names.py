"""The published interface: every name that clients call is answered, including those that Greenroom does not
support."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from tests.database.api.client import KEYS, SAME_ORIGIN, Client, MakeClient

from greenroom.interfaces.public.calls import PublicRoute

SESSIONS = (
    "request_kasm get_kasm_status join_kasm get_kasms destroy_kasm keepalive get_kasm_screenshot get_kasm_frame_stats"
    " get_kasm_bottleneck_stats exec_command_kasm get_rdp_client_connection_info stop_kasm pause_kasm resume_kasm"
    " get_user_kasms get_session_recordings get_sessions_recordings"
)
USERS = (
    "create_user get_user get_users update_user delete_user logout_user get_attributes update_user_attributes"
    " add_user_group remove_user_group get_login assign_user_server unassign_user_server get_groups create_group"
    " update_group delete_group get_users_group add_images_group remove_images_group get_images_group"
    " add_settings_group set_settings_group create_session_token get_session_token get_session_tokens"
    " update_session_token delete_session_token delete_session_tokens set_session_permissions get_session_permissions"
    " delete_all_session_permissions"
)
OTHERS = (
    "get_images create_image update_image delete_image get_zones get_staging_configs get_staging_config"
    " create_staging_config update_staging_config delete_staging_config get_cast_configs get_cast_config"
    " create_cast_config update_cast_config delete_cast_config get_licenses activate get_registries create_registry"
    " delete_registry"
)
EGRESS = " ".join(
    f"create_egress_{noun} update_egress_{noun} delete_egress_{noun} get_egress_{noun}s"
    for noun in ("provider", "gateway", "credential", "provider_mapping")
)
ADMIN = (
    "get_agents update_agent get_servers create_server update_server delete_server get_report get_agent_report"
    " system_info create_storage_provider register_component"
)
NAMES = [name for names in (SESSIONS, USERS, OTHERS, EGRESS, ADMIN) for name in names.split()]
EMPTY = {
    "get_servers": "servers",
    "get_server_pools": "server_pools",
    "get_autoscale_configs": "autoscale_configs",
    "get_cast_configs": "cast_configs",
    "get_licenses": "licenses",
    "get_registries": "registries",
    "get_storage_providers": "storage_providers",
    "get_egress_providers": "egress_providers",
    "get_egress_gateways": "egress_gateways",
    "get_egress_credentials": "egress_credentials",
    "get_egress_provider_mappings": "egress_provider_mappings",
}


async def test_every_published_name_is_answered_below_public_and_admin(app: FastAPI):
    patterns = [route.path_regex for route in app.routes if isinstance(route, PublicRoute)]
    paths = [f"/api/{prefix}/{name}" for name in NAMES for prefix in ("public", "admin")]
    assert [path for path in paths if not any(pattern.match(path) for pattern in patterns)] == []


async def test_administrators_names_are_the_same_calls_below_admin(anonymous: Client):
    answer = await anonymous.post("/api/admin/get_images", json=KEYS)
    assert answer.json() == await anonymous.published("get_images")
    refused = await anonymous.post("/api/admin/get_images", json={})
    assert (refused.status_code, set(refused.json())) == (401, {"error_message"})


async def test_lists_of_what_is_not_here_are_empty(anonymous: Client):
    for name, key in EMPTY.items():
        assert await anonymous.published(name) == {key: []}, name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("assign_user_server", "no servers"),
        ("create_cast_config", "no casting"),
        ("activate", "no license"),
        ("update_egress_gateway", "egress"),
        ("register_component", "join token"),
    ],
)
async def test_a_change_of_what_is_not_here_is_refused_with_words(anonymous: Client, name: str, words: str):
    assert words in await anonymous.published_refusal(name, anything=1)


async def test_agents_are_shown_and_changed(anonymous: Client, agent: str):
    (shown,) = (await anonymous.published("get_agents"))["agents"]
    assert (shown["agent_id"], shown["hostname"], shown["enabled"], shown["gpus"]) == (agent, "agent-1", True, 0)
    change = {"agent_id": agent.replace("-", ""), "enabled": False, "cores_override": 3, "auto_prune_images": "Off"}
    changed = (await anonymous.published("update_agent", target_agent=change))["agent"]
    assert (changed["enabled"], changed["cores_override"], changed["auto_prune_images"]) == (False, 3, "Off")
    assert (await anonymous.published("get_agent", target_agent={"agent_id": agent}))["agent"] == changed
    (report,) = (await anonymous.published("get_agent_report"))["agent_report"]
    assert (report["name"], report["kasms"], report["server_id"]) == ("agent-1", 0, agent)
    for field, value in (("gpus_override", 1), ("auto_prune_images", "Normal"), ("cores_override", -1)):
        target = {"agent_id": agent, field: value}
        assert field in await anonymous.published_refusal("update_agent", target_agent=target)


async def test_zones_are_made_changed_and_deleted(anonymous: Client):
    asked = {"zone_name": "eu", "load_strategy": "most_kasms", "auto_scaling_enabled": False}
    made = (await anonymous.published("create_zone", target_zone=asked))["zone"]
    assert (made["zone_name"], made["load_balancing_strategy"]) == ("eu", "Most Kasms")
    target = {"zone_id": made["zone_id"]}
    changed = await anonymous.published("update_zone", target_zone=target | {"search_alternate_zones": False})
    assert changed["zone"] == made | {"search_alternate_zones": False}
    refused = target | {"auto_scaling_enabled": True}
    assert "auto_scaling_enabled" in await anonymous.published_refusal("update_zone", target_zone=refused)
    assert await anonymous.published("delete_zone", target_zone=target) == {}


async def test_failed_log_ins_are_counted(anonymous: Client, app: FastAPI):
    assert await anonymous.published("get_report", name="failed_logins") == {"data": 0}
    refused = await anonymous.post("/api/v1/login", json={"username": "x", "password": "y"}, headers=SAME_ORIGIN)
    assert refused.status_code == 401
    await app.state.logs.flush()
    assert await anonymous.published("get_report", name="failed_logins") == {"data": 1}


async def test_figures_have_names(anonymous: Client, with_key: MakeClient, agent: str):
    assert await anonymous.published("get_report", name="current_kasms", delta=60, resolution="hour") == {"data": 0}
    assert "current_kasms" in await anonymous.published_refusal("get_report", name="weather")
    assert "delta" in await anonymous.published_refusal("get_report", name="failed_logins", delta="soon")
    info = (await anonymous.published("system_info"))["system_info"]
    assert (info["zones"], info["agents"], info["kasms"]) == (1, 1, 0)
    less = await with_key("users_view")
    assert (await less.post("/api/public/system_info")).status_code == 403
