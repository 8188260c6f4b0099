"""/api/v1/staging-configs: create, change, recycle, delete, explain."""

from __future__ import annotations

from typing import Any

import pytest
from tests.database.api.client import Client, MakeClient
from tests.database.api.staging import PATH, Stage
from tests.support import rows

from greenroom.core.access.group_settings import STAGED_PERMISSIONS
from greenroom.core.launch.forecast import USER_REMEDIES
from greenroom.db.access.users import ALL_USERS


async def test_a_new_config_takes_default_permissions_and_counts_matches(stage: Stage):
    config = await stage.created()
    assert all(config[name] is True for name in STAGED_PERMISSIONS)
    assert (config["num_sessions"], config["expiration"], config["zone_name"]) == (2, 0.5, "default")
    assert (config["matching_users"], config["warning"]) == (1, None)
    other = await stage.created(allow_kasm_audio=False)
    assert other["matching_users"] == 0
    assert "No user" in other["warning"]
    assert len(await stage.admin.read(PATH)) == 2


async def test_a_duplicate_is_refused(stage: Stage):
    await stage.created()
    response = await stage.admin.post(PATH, json=stage.body(num_sessions=9))
    assert (response.status_code, response.json()["code"]) == (409, "duplicate")
    assert "zone, image and set of permissions already exists" in response.json()["detail"]
    assert len(await stage.admin.read(PATH)) == 1


async def test_values_that_cannot_be_used_are_named(stage: Stage):
    unknown_id = "68d557ac-4cac-42cc-a9f3-1c7c853de0f3"
    refused: list[tuple[dict[str, Any], str]] = [
        ({"num_sessions": -1}, "num_sessions"),
        ({"num_sessions": 1.5}, "num_sessions"),
        ({"num_sessions": 10_001}, "num_sessions"),
        ({"num_sessions": True}, "num_sessions"),
        ({"expiration": 0}, "expiration"),
        ({"expiration": -1}, "expiration"),
        ({"expiration": "NaN"}, "expiration"),
        ({"unknown": 1}, "unknown"),
        ({"zone_id": "eu"}, "zone_id"),
        ({"zone_id": unknown_id}, "zone"),
        ({"image_id": unknown_id}, "workspace"),
        ({"allow_kasm_audio": None}, "allow_kasm_audio"),
        ({"paused": "maybe"}, "paused"),
    ]
    for changes, named in refused:
        answer = await stage.admin.post(PATH, json=stage.body(**changes))
        assert (answer.status_code, answer.json()["status"]) == (422, 422), changes
        assert named in answer.text, changes
    for needed in ("zone_id", "image_id", "num_sessions", "expiration"):
        answer = await stage.admin.post(PATH, json={k: v for k, v in stage.body().items() if k != needed})
        assert (answer.status_code, needed in answer.text) == (422, True), needed
    assert await stage.admin.read(PATH) == []


async def test_users_match_by_the_precedence_of_their_groups(stage: Stage):
    """The lower priority number wins, in any order of ids; only users who may launch the workspace count."""
    path = f"{PATH}/{await stage.config()}"
    allowing = await rows.group(stage.db, name="Allowing", priority=5, allow_kasm_audio=True)
    refusing = await rows.group(stage.db, name="Refusing", priority=6, allow_kasm_audio=False)
    for number, groups in enumerate(
        [(ALL_USERS, allowing, refusing), (ALL_USERS, refusing), (ALL_USERS,), (refusing,)]
    ):
        await rows.user(stage.db, f"user-{number}", *groups)

    async def matching() -> int:
        answer = await stage.admin.patch(path, json={})
        assert answer.status_code == 200, answer.text
        return answer.json()["matching_users"]

    begin = 1  # the administrator
    assert await matching() == begin + 2
    await stage.db.write("UPDATE groups SET priority = 7 WHERE name = 'Allowing'")
    assert await matching() == begin + 1
    await stage.db.write("UPDATE users SET disabled = true WHERE username = 'user-2'")
    assert await matching() == begin
    await stage.db.write("UPDATE users SET disabled = false, locked = true WHERE username = 'user-2'")
    assert await matching() == begin
    assert (await stage.created(allow_kasm_audio=False))["matching_users"] == 2


async def test_settings_that_keep_all_matching_users_away_are_warned_about(stage: Stage):
    path = f"{PATH}/{await stage.config()}"
    await stage.everybody(inject_ssh_keys=True)
    saved = await stage.admin.change(path)
    assert saved["matching_users"] == 1
    assert "No user would get these sessions" in saved["warning"]
    assert "inject_ssh_keys (group All Users)" in saved["warning"]
    without = await rows.group(stage.db, name="Without", priority=1, inject_ssh_keys=False)
    await rows.user(stage.db, "bob", ALL_USERS, without)
    assert (await stage.admin.change(path))["warning"] is None, "one of them gets them"


async def test_pausing_and_resuming(stage: Stage, ada: Client):
    config_id = await stage.config()
    path = f"{PATH}/{config_id}"
    await stage.staged(config_id, 1)
    assert (await stage.admin.change(path, paused=True))["paused"] is True
    assert (await ada.post("/api/v1/sessions", json={"image_id": stage.image_id})).json()["staged"] is False
    assert (await stage.admin.change(path, paused=False))["num_current_sessions"] == 1
    assert (await ada.post("/api/v1/sessions", json={"image_id": stage.image_id})).json()["staged"] is True


async def test_a_config_created_paused_says_so_before_the_first_round(stage: Stage):
    assert (await stage.created(paused=True))["shortfall"]["code"] == "paused"


async def test_a_workspace_is_ready_for_those_who_would_get_a_staged_session(
    stage: Stage, ada: Client, with_user: MakeClient
):
    without = await rows.group(stage.db, name="Exposed", priority=1, expose_user_environment_vars=True)
    bob = await with_user("bob@example.org")
    await stage.db.write(
        "INSERT INTO user_groups SELECT user_id, %s FROM users WHERE username = 'bob@example.org'", (without,)
    )

    async def image_for(user: Client) -> dict[str, Any]:
        (image,) = await user.read("/api/v1/me/images")
        return image

    config_id = await stage.config()
    await stage.staged(config_id, 1)
    assert (await image_for(ada))["ready"]
    assert not (await image_for(bob))["ready"], "a launch of theirs starts on demand"
    assert (await image_for(bob))["expected_s"] is not None
    path = f"{PATH}/{config_id}/explain"
    for client in (ada, bob):
        user_id = await client.own_id()
        explained = await stage.admin.read(path, user=user_id)
        assert explained["would_get"] is (await image_for(client))["ready"]
    await stage.db.write("UPDATE agents SET draining = true")
    image = await image_for(ada)
    assert not image["ready"], "a claim takes nothing from an Agent that is to become empty"
    assert (image["expected_s"], image["reason"]) == (None, USER_REMEDIES["agent_disabled"])


async def test_a_zone_with_the_request_host_is_saved_and_warned_about(stage: Stage):
    await stage.db.write("UPDATE zones SET allow_origin_domain = '$request_host$'")
    config = await stage.created()
    assert "Allow Origin Domain of zone default contains $request_host$" in config["warning"]
    assert config["shortfall"]["code"] == "zone-request-host", "no Primary has looked yet"
    await stage.db.write(
        "UPDATE zones SET allow_origin_domain = '127.0.0.1', upstream_auth_address = '$request_host$:8443'"
    )
    path = f"{PATH}/{config['staging_config_id']}"
    saved = await stage.admin.change(path, num_sessions=3)
    assert "Upstream Auth Address of zone default contains $request_host$," in saved["warning"]
    await stage.db.write("UPDATE zones SET upstream_auth_address = '127.0.0.1:8443'")
    assert (await stage.admin.change(path, num_sessions=3))["warning"] is None


async def test_the_shortfall_is_always_explained(stage: Stage):
    config_id = await stage.config()
    path = f"{PATH}/{config_id}"

    async def shortfall() -> Any:
        return (await stage.admin.read(path))["shortfall"]

    assert (await shortfall())["code"] == "no-running-manager"
    await stage.manager()
    assert (await shortfall())["code"] == "starting"
    await stage.db.write("UPDATE staging_configs SET shortfall_code = 'no-agent', shortfall_reason = 'none there'")
    assert await shortfall() == {"code": "no-agent", "reason": "none there", "needs_action": True}
    await stage.staged(config_id, 2)
    assert await shortfall() is None


async def test_a_full_pool_that_cannot_be_refilled_warns_everywhere(stage: Stage):
    config_id = await stage.config()
    await stage.staged(config_id, 2)
    reason = "The next session cannot start: no Manager of the zone is running."
    config = await stage.admin.read(f"{PATH}/{config_id}")
    assert (config["shortfall"], config["warning"]) == (None, reason)
    assert config["refill_problem"] == {"code": "no-running-manager", "reason": reason, "needs_action": True}
    await stage.manager()
    config = await stage.admin.read(f"{PATH}/{config_id}")
    assert (config["refill_problem"], config["warning"]) == (None, None)
    await stage.db.write("UPDATE staging_configs SET refill_code = 'image-unavailable', refill_reason = 'No image.'")
    config = await stage.admin.read(f"{PATH}/{config_id}")
    assert (config["refill_problem"]["code"], config["warning"]) == ("image-unavailable", "No image.")


async def test_current_counts_claimable_sessions_on_agents_that_are_there(stage: Stage):
    config_id = await stage.config()
    await stage.staged(config_id, 2)
    await rows.staged_sessions(stage.db, config_id, stage.agent_id, 1, status="starting")

    async def counts() -> tuple[int, int]:
        config = await stage.admin.read(f"{PATH}/{config_id}")
        return config["num_current_sessions"], config["num_starting_sessions"]

    assert await counts() == (2, 1)
    await stage.db.write("UPDATE agents SET status = 'missing'")
    assert await counts() == (0, 1)


async def test_a_change_leaves_omitted_fields_and_names_what_cannot_change(stage: Stage):
    path = f"{PATH}/{await stage.config()}"
    changed = await stage.admin.change(path, num_sessions=5, zone_id=stage.zone_id)
    assert (changed["num_sessions"], changed["expiration"], changed["allow_kasm_audio"]) == (5, 0.5, True)
    assert changed["matching_users"] == 1
    other = await rows.zone(stage.db, "other")
    assert (await stage.admin.patch(path, json={"zone_id": other})).status_code == 422
    assert (await stage.admin.patch(path, json={"num_sessions": None})).status_code == 422
    await stage.created(allow_kasm_audio=False)
    assert (await stage.admin.refused(409, f"PATCH {path}", {"allow_kasm_audio": False})).startswith("duplicate: ")


async def test_recycling_marks_the_staged_sessions_as_to_be_replaced(stage: Stage):
    config = await stage.created()
    await stage.db.write("UPDATE staging_configs SET failures = 3, next_try = now(), last_error = 'e'")
    response = await stage.admin.post(f"{PATH}/{config['staging_config_id']}/recycle")
    assert response.status_code == 202
    row = await stage.db.fetch_one(
        "SELECT recycled > created AS recycled, failures, next_try, last_error FROM staging_configs"
    )
    assert row == {"recycled": True, "failures": 0, "next_try": None, "last_error": None}


async def test_another_expiration_holds_for_what_is_staged_already(stage: Stage):
    config = await stage.created(expiration=10)
    young, old = await stage.staged(config["staging_config_id"], 2)
    await stage.db.write("UPDATE sessions SET created = now() - interval '5 h' WHERE session_id = %s", (old,))
    path = f"{PATH}/{config['staging_config_id']}"
    await stage.admin.change(path, expiration=2)
    hours = {
        row["session_id"]: round(row["left"].total_seconds() / 3600, 1)
        for row in await stage.db.fetch("SELECT session_id::text, expires - clock_timestamp() AS left FROM sessions")
    }
    assert hours == {young: 2.0, old: 1.0}, "those that are too old have time to be replaced one by one"


async def test_deleting_ends_unassigned_sessions_and_leaves_assigned_ones(stage: Stage, ada: Client):
    config_id = await stage.config()
    path = f"{PATH}/{config_id}"
    await stage.staged(config_id, 2)
    launched = (await ada.post("/api/v1/sessions", json={"image_id": stage.image_id})).json()
    assert launched["staged"] is True
    assert (await stage.admin.delete(path)).status_code == 204
    found = await stage.db.fetch("SELECT status, session_id::text FROM sessions ORDER BY status")
    assert [row["status"] for row in found] == ["assigning", "deleting"]
    assert (await stage.admin.get(path)).status_code == 404
    assert (await stage.admin.delete(path)).status_code == 404
    session = await stage.admin.read(f"/api/v1/sessions/{launched['session_id']}")
    assert (session["staging_config_id"], session["username"]) == (config_id, "ada@example.org")
    assert (await stage.created())["num_sessions"] == 2


async def test_too_short_an_expiration_is_warned_about_everywhere(stage: Stage):
    await stage.manager()
    config = await stage.created(expiration=0.001)
    path = f"{PATH}/{config['staging_config_id']}"
    assert "Set Expiration (Hours) to 0.08 or more" in config["warning"], "how long its starts take is not known yet"
    await stage.staged(config["staging_config_id"], 2)
    await stage.db.write("UPDATE sessions SET started = created + interval '2 s'")
    for shown in (await stage.admin.read(path), *await stage.admin.read(PATH)):
        assert "(2 desired, a start takes 2 s)" in shown["warning"]
    explained = await stage.admin.read(f"{path}/explain", user="admin@greenroom.local")
    assert any("Staged sessions expire after 3.6 s" in note for note in explained["notes"])
    assert (await stage.admin.change(path, expiration=1))["warning"] is None


async def test_returning_to_the_request_host_warns_about_the_zones_pools(stage: Stage):
    path = f"/api/v1/zones/{stage.zone_id}"
    back = {"allow_origin_domain": "$request_host$"}
    assert (await stage.admin.change(path, **back))["warning"] is None, "nothing is staged there"
    await stage.created()
    said = (await stage.admin.change(path, **back))["warning"]
    assert said.startswith(
        "Allow Origin Domain of zone default contains $request_host$, which staged sessions cannot use"
    )
    assert "end their sessions and stay empty (Desktop)" in said
    assert (await stage.admin.change(path, allow_origin_domain="127.0.0.1"))["warning"] is None


async def test_a_profile_no_group_allows_is_reported_wherever_it_is_missed(stage: Stage, ada: Client):
    image = f"/api/v1/images/{stage.image_id}"
    profile = {"persistent_profile_path": "/srv/profiles/{user_id}"}
    (said,) = (await stage.admin.change(image, **profile))["warnings"]
    assert said.startswith("No user gets the persistent profile of")
    config = await stage.created()
    await stage.staged(config["staging_config_id"], 1)
    path = f"{PATH}/{config['staging_config_id']}/explain"
    explained = await stage.admin.read(path, user="ada@example.org")
    assert explained["would_get"]
    assert "The workspace's persistent profile is not used" in explained["notes"][0]
    session = (await ada.post("/api/v1/sessions", json={"image_id": stage.image_id})).json()["session_id"]
    (step,) = (await ada.read(f"/api/v1/sessions/{session}/placement"))["steps"]
    assert "The workspace's persistent profile is not used: allow_persistent_profile is off" in step["reason"]
    await stage.everybody(allow_persistent_profile=True)
    assert (await stage.admin.read(image))["warnings"] == []


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"name": "greenroom/desktop:newer"}, 2),
        ({"cores": 1.5, "volume_mappings": {"/srv/all": {"bind": "/srv/all"}}}, 2),
        ({"run_config": {"hostname": "desk"}}, 0),
        ({"enabled": False}, 2),
    ],
)
async def test_a_changed_workspace_keeps_staged_sessions_that_still_fit(
    stage: Stage, change: dict[str, Any], left: int
):
    config = await stage.created()
    staged = await stage.staged(config["staging_config_id"], 2)
    await stage.admin.change(f"/api/v1/images/{stage.image_id}", **change)
    of_today = await rows.config_hash(stage.db, config["staging_config_id"])
    kept = await stage.db.fetch("SELECT session_id::text, created FROM sessions WHERE config_hash = %s", (of_today,))
    assert {row["session_id"] for row in kept} == (set(staged) if left else set())
    (row,) = await stage.db.fetch("SELECT recycled FROM staging_configs")
    replaces = "name" in change or "cores" in change
    assert (row["recycled"] is not None and all(one["created"] < row["recycled"] for one in kept)) == replaces


@pytest.mark.parametrize("change", [{"cores": 1.5}, {"run_config": {"hostname": "desk"}}])
async def test_the_pools_of_a_changed_workspace_try_again_at_once(stage: Stage, change: dict[str, Any]):
    await stage.created()
    await stage.db.write("UPDATE staging_configs SET failures = 3, next_try = now(), last_error = 'e'")
    await stage.admin.change(f"/api/v1/images/{stage.image_id}", **change)
    row = await stage.db.fetch_one("SELECT failures, next_try, last_error FROM staging_configs")
    assert row == {"failures": 0, "next_try": None, "last_error": None}
