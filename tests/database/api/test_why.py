"""GET /api/v1/why/…: the decisions in the database, who sees which part of them, and previews that come true."""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

import pytest
from tests.database.api.client import ADMIN, Client, MakeClient
from tests.database.api.staging import Session, Stage
from tests.support import rows

from greenroom.core.log_codes import LogCode
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database

WHY: Final = "/api/v1/why"


def decisive(decision: dict[str, Any]) -> dict[str, Any]:
    """The step that decided."""
    (step,) = [step for step in decision["steps"] if step["decides"]]
    return step


async def failed_launch(stage: Stage, client: Client) -> str:
    """Launch the workspace without success; returns the id of the launch."""
    answer = await client.post("/api/v1/sessions", json={"image_id": stage.image_id})
    assert answer.status_code == 409, answer.text
    return answer.json()["launch_id"]


async def test_a_refused_launch_and_the_agent_that_would_serve_it(stage: Stage, ada: Client):
    await stage.db.write("UPDATE agents SET enabled = false")
    path = f"{WHY}/launches/{await failed_launch(stage, ada)}"
    decision = await stage.admin.read(path)
    assert decision["sentence"] == "ada@example.org got no session of Desktop. Zone default: agent-1 is disabled."
    assert (decisive(decision)["rule"], decision["tone"]) == ("A new session fits in zone default", "failure")
    setting = decision["setting"]
    assert (setting["object"], setting["name"]) == ({"kind": "agent", "id": stage.agent_id}, "enabled")
    assert (setting["before"], setting["after"]) == (decision["sentence"], "A session can be placed on agent-1.")
    assert setting["affected"] == {"users": 0, "pools": 0, "workspaces": 0}
    await stage.admin.change(f"/api/v1/agents/{stage.agent_id}", enabled=setting["suggested"])
    assert (await ada.launch(stage.image_id))["session_id"], "the preview came true"
    assert (await stage.admin.read(path))["setting"] is None, "a launch now needs no change"


async def test_a_user_reads_an_own_refusal_without_names_of_machines(stage: Stage, ada: Client, user: Client):
    await stage.db.write("UPDATE agents SET enabled = false")
    launch_id = await failed_launch(stage, ada)
    answer = await ada.get(f"{WHY}/launches/{launch_id}")
    assert answer.json()["sentence"] == "The machines that could run it are in maintenance. Try again later."
    for name in ("agent-1", "default", stage.agent_id):
        assert name not in answer.text
    assert await user.refused(404, f"GET {WHY}/launches/{launch_id}") == (
        f"not-found: There is no launch {launch_id}; it may have been deleted after launch_retention_days."
    )
    assert (await user.get(f"{WHY}/launches/{uuid.uuid4()}")).status_code == 404


async def test_a_slow_launch_and_the_permission_of_the_pool(stage: Stage, ada: Client):
    config_id = await stage.config(allow_kasm_webcam=False)
    await stage.staged(config_id, 1)
    session_id = await stage.launched(ada)
    decision = await stage.admin.read(f"{WHY}/sessions/{session_id}")
    assert decision["tone"] == "warning"
    assert decisive(decision)["rule"] == "A staged session of zone default fits"
    setting = decision["setting"]
    assert (setting["object"]["kind"], setting["name"], setting["suggested"]) == (
        "staging_config",
        "allow_kasm_webcam",
        True,
    )
    assert setting["affected"]["users"] >= 1, "ada has the permissions after the change"
    own = await ada.read(f"{WHY}/sessions/{session_id}")
    assert own["sentence"].startswith("The ready sessions have other permissions than you. A new session starts")
    assert own["setting"] is None


async def test_a_slow_launch_and_the_setting_of_a_group(stage: Stage, ada: Client):
    await stage.config()
    await stage.group(ada, expose_user_environment_vars=True)
    session_id = await stage.launched(ada)
    setting = (await stage.admin.read(f"{WHY}/sessions/{session_id}"))["setting"]
    assert (setting["name"], setting["owner"], setting["source"]) == (
        "expose_user_environment_vars",
        "group Students",
        "group",
    )
    assert setting["affected"] == {"users": 1, "pools": 1, "workspaces": 1}


async def test_a_deleted_user_has_no_setting(session: Session):
    launch = await session.admin.only("/api/v1/launches")
    await session.db.write("UPDATE launches SET user_id = NULL")
    decision = await session.admin.read(f"{WHY}/launches/{launch['launch_id']}")
    assert decision["setting"] is None
    assert decision["sentence"].startswith("A deleted user got a new session of Desktop")


async def test_a_session_without_a_launch(stage: Stage):
    (staged,) = await stage.staged(await stage.config(), 1)
    assert "no launch yet" in await stage.admin.refused(404, f"GET {WHY}/sessions/{staged}")


async def test_the_forecast_of_an_own_launch(stage: Stage, ada: Client):
    path = f"{WHY}/images/{stage.image_id}"
    assert (await ada.read(path))["tone"] == "warning"
    await stage.staged(await stage.config(), 1)
    assert (await ada.read(path))["sentence"] == "A session is ready for you."
    await stage.group(ada, max_kasms_per_user=0)
    decision = await ada.read(path)
    assert decision["sentence"] == "You have reached your maximum number of sessions. End one first."
    setting = decision["setting"]
    assert (setting["owner"], setting["object"], setting["value"]) == ("one of your groups", None, 0)
    assert (await ada.get(f"{WHY}/images/{uuid.uuid4()}")).status_code == 404
    await stage.db.write("DELETE FROM group_images")
    assert (await ada.get(path)).status_code == 404


async def test_an_own_permission(ada: Client, admin: Client, logged_in: MakeClient, with_key: MakeClient):
    decision = await ada.read(f"{WHY}/permissions/agents_view")
    assert decisive(decision)["facts"][0]["value"] == "Installation administrator, Auditor, Zone operator"
    assert "All Users" not in str(decision), "the user may not see groups"
    assert (await (await logged_in(ADMIN)).read(f"{WHY}/permissions/agents_view"))["tone"] == "ready"
    assert (await admin.read(f"{WHY}/permissions/agents_view"))["tone"] == "ready", "a key without an owner"
    key = await with_key("users_view")
    assert (await key.read(f"{WHY}/permissions/users_view"))["tone"] == "ready"
    assert "no permission nothing" in await ada.refused(404, f"GET {WHY}/permissions/nothing")


async def test_a_short_pool_and_its_switch(stage: Stage):
    config_id = await stage.config(paused=True)
    path = f"{WHY}/staging-configs/{config_id}"
    decision = await stage.admin.read(path)
    assert decisive(decision)["rule"] == "It is not paused"
    setting = decision["setting"]
    assert (setting["name"], setting["suggested"]) == ("paused", False)
    assert setting["affected"]["pools"] == 1
    await stage.admin.change(f"/api/v1/staging-configs/{config_id}", paused=setting["suggested"])
    after = await stage.admin.read(path)
    assert decisive(after)["rule"] == "A Manager of the zone runs"
    assert after["sentence"].endswith(setting["after"]), "the preview came true"


async def test_a_pool_without_room_names_its_agents(stage: Stage):
    config_id = await stage.config()
    await stage.manager()
    await stage.db.write("UPDATE agent_capacity SET cores_allocated = cores")
    await stage.db.write("UPDATE staging_configs SET shortfall_code = 'no-capacity', shortfall_reason = 'No room.'")
    decision = await stage.admin.read(f"{WHY}/staging-configs/{config_id}")
    (fact,) = decisive(decision)["facts"]
    assert (fact["name"], fact["object"]["id"]) == ("agent-1", stage.agent_id)
    assert "cores free" in fact["value"]
    assert decision["help"]["title"] == "Add an Agent"


async def test_an_agent_alone_and_for_a_workspace(stage: Stage):
    path = f"{WHY}/agents/{stage.agent_id}"
    assert (await stage.admin.read(path))["tone"] == "ready"
    await stage.db.write("UPDATE agent_images SET state = 'failed', error = 'not found'")
    assert (await stage.admin.read(path))["tone"] == "ready", "no workspace was asked for"
    decision = await stage.admin.read(path, image_id=stage.image_id)
    assert decisive(decision)["rule"] == "It has the image"
    assert (await stage.admin.get(path, params={"image_id": str(uuid.uuid4())})).status_code == 404
    assert (await stage.admin.read(f"{WHY}/agents/agent-1"))["question"] == "Can agent-1 run a session?"


async def test_the_primary_is_the_one_that_the_database_elects(stage: Stage, db: Database):
    ids = dict[str, str]()
    for name, enabled in (("one", True), ("two", True), ("off", False)):
        (row,) = await db.write(
            "INSERT INTO managers (instance_id, zone_id, enabled, last_round)"
            " VALUES (%s, %s, %s, clock_timestamp()) RETURNING manager_id::text",
            (name, stage.zone_id, enabled),
        )
        ids[name] = row["manager_id"]

    async def take(name: str) -> int | None:
        (row,) = await db.write(
            "SELECT lease_take(zone_key, %s, %s, 0, interval '1 hour') AS term, pg_advisory_unlock_all()"
            " FROM zones WHERE zone_id = %s",
            (str(uuid.uuid4()), ids[name], stage.zone_id),
        )
        return row["term"]

    async def answer(name: str) -> tuple[str, str]:
        decision = await stage.admin.read(f"{WHY}/managers/{ids[name]}")
        return decisive(decision)["rule"], decision["tone"]

    assert await answer("off") == ("It is enabled", "neutral")
    assert await take("off") is None
    assert await answer("one") == ("It holds the leadership of the zone", "warning")
    assert await take("one") == 1
    assert await answer("one") == ("It holds the leadership of the zone", "ready")
    assert await answer("two") == ("It holds the leadership of the zone", "neutral")
    stage.logs.write(LogCode.PRIMARY_ELECTED, "one became Primary of zone default", zone_name="default")
    await stage.logs.flush()
    decision = await stage.admin.read(f"{WHY}/managers/one")
    assert decision["sentence"] == "one is the Primary of zone default. one became Primary of zone default."
    assert decision["setting"]["after"] == "two becomes Primary."
    assert decision["setting"]["affected"] == {"users": 0, "pools": 0, "workspaces": 0}


async def test_the_setting_of_a_user_and_a_preview(stage: Stage, ada: Client):
    await stage.config()
    await stage.group(ada, allow_kasm_downloads=True)
    path = f"{WHY}/users/{await ada.own_id()}/settings/allow_kasm_downloads"
    decision = await stage.admin.read(path)
    assert decisive(decision)["rule"] == "Group Students, priority 2"
    setting = decision["setting"]
    assert (setting["value"], setting["suggested"], setting["affected"]["users"]) == (True, False, 1)
    assert setting["after"] == "`allow_kasm_downloads` = false from group Students, priority 2."
    await stage.admin.change(f"/api/v1/groups/{setting['object']['id']}", settings={setting["name"]: False})
    assert (await stage.admin.read(path))["sentence"] == setting["after"], "the preview came true"


async def test_a_value_is_tried_for_all_users(stage: Stage, ada: Client):
    path = f"{WHY}/users/{await ada.own_id()}/settings/idle_disconnect"
    untouched = (await stage.admin.read(path))["setting"]
    assert (untouched["source"], untouched["suggested"], untouched["object"]["id"]) == ("default", None, ALL_USERS)
    tried = (await stage.admin.read(path, value="5"))["setting"]
    assert (tried["suggested"], untouched["after"]) == (5, "")
    assert tried["after"].startswith("`idle_disconnect` = 5 from group All Users, priority ")
    assert tried["affected"]["users"] == untouched["affected"]["users"] > 0
    assert (await stage.admin.read(path))["setting"] == untouched, "nothing was changed"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("idle_disconnect", value) for value in ("", "yes", "-1", '"a"', "[" * 4000, "1e999", "null", "9" * 4000)),
        ("default_image", '"\\ud800"'),
        ("default_image", "1"),
        ("run_config", "{}"),
        ("allow_kasm_audio", "x" * 5000),
    ],
)
async def test_an_odd_value_is_refused(stage: Stage, ada: Client, name: str, value: str):
    path = f"{WHY}/users/{await ada.own_id()}/settings/{name}"
    answer = await stage.admin.get(path, params={"value": value})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize("name", ["unknown", "a\0b", "run_config\0"])
async def test_an_unknown_setting_or_user(stage: Stage, ada: Client, name: str):
    answer = await stage.admin.get(f"{WHY}/users/{await ada.own_id()}/settings/{name.replace(chr(0), '%00')}")
    assert answer.status_code == 404
    assert (await stage.admin.get(f"{WHY}/users/{uuid.uuid4()}/settings/run_config")).status_code == 404


async def test_the_values_of_a_mapping_are_not_shown(stage: Stage, ada: Client):
    await stage.group(ada, run_config={"environment": {"TOKEN": "secret-value"}})
    answer = await stage.admin.get(f"{WHY}/users/{await ada.own_id()}/settings/run_config")
    assert answer.json()["setting"]["value"] == "environment"
    assert "secret-value" not in answer.text


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("staging-configs/{config}", "staging_view"),
        ("agents/{agent}", "agents_view"),
        ("managers/m", "managers_view"),
        ("users/{user}/settings/run_config", "users_view"),
        ("images/{image}", "user"),
    ],
)
async def test_each_decision_needs_the_permission_for_its_object(
    stage: Stage, ada: Client, with_key: MakeClient, path: str, code: str
):
    await stage.manager()
    ids = {"config": await stage.config(), "agent": stage.agent_id, "user": await ada.own_id(), "image": stage.image_id}
    address = f"{WHY}/{path.format(**ids)}"
    assert (await (await with_key("webhooks_view")).get(address)).status_code == 403
    expected = 403 if code == "user" else 200  # a key has no launcher
    assert (await (await with_key(code)).get(address)).status_code == expected


async def test_a_setting_of_an_invisible_object_is_left_out(stage: Stage, ada: Client, with_key: MakeClient):
    await stage.group(ada, allow_kasm_downloads=True)
    path = f"{WHY}/users/{await ada.own_id()}/settings/allow_kasm_downloads"
    assert (await (await with_key("users_view")).read(path))["setting"] is None
    assert (await (await with_key("users_view", "groups_view")).read(path))["setting"] is not None


async def operator(stage: Stage, user: Client, name: str, *zone_ids: str) -> None:
    """Make the user an operator of these zones, by a new group."""
    roles = [{"role": "zone_operator", "zones": list(zone_ids)}]
    group_id = (await stage.admin.make("/api/v1/groups", name=name, roles=roles))["group_id"]
    await stage.admin.put(f"/api/v1/groups/{group_id}/users/{await user.own_id()}")


async def test_a_role_explains_only_objects_in_its_scope(stage: Stage, ada: Client, db: Database):
    await stage.db.write("UPDATE agents SET enabled = false")
    other_zone = await rows.zone(db, "us")
    other_agent = await rows.agent(db, other_zone, hostname="far")
    await operator(stage, ada, "Operators", stage.zone_id)
    decision = await ada.read(f"{WHY}/agents/{stage.agent_id}")
    assert decision["setting"]["object"]["id"] == stage.agent_id
    assert (await ada.get(f"{WHY}/agents/{other_agent}")).status_code == 404
    assert json.dumps(decision).count("far") == 0
    capacity = await ada.read(f"{WHY}/capacity")
    assert [fact["name"] for step in capacity["steps"] for fact in step["facts"]] == ["agent-1"]


async def test_a_role_sees_no_setting_of_an_object_in_another_zone(
    stage: Stage, ada: Client, user: Client, db: Database
):
    await stage.config(paused=True)
    session_id = await stage.launched(ada)
    other_zone = await rows.zone(db, "us")
    await db.write("UPDATE sessions SET zone_id = %s WHERE session_id = %s", (other_zone, session_id))
    path = f"{WHY}/sessions/{session_id}"
    await operator(stage, user, "Operators", other_zone)
    assert (await user.read(path))["setting"] is None
    await operator(stage, user, "More operators", stage.zone_id)
    assert (await user.read(path))["setting"]["name"] == "paused"


async def test_the_help_desk_of_a_group_sees_settings_of_this_group_only(stage: Stage, ada: Client, user: Client):
    await stage.group(ada, allow_kasm_downloads=True)
    (row,) = await stage.db.fetch("SELECT group_id::text FROM groups WHERE name = 'Students'")
    roles = [{"role": "help_desk", "groups": [row["group_id"]]}]
    group_id = (await stage.admin.make("/api/v1/groups", name="Help desk", roles=roles))["group_id"]
    await stage.admin.put(f"/api/v1/groups/{group_id}/users/{await user.own_id()}")
    path = f"{WHY}/users/{await ada.own_id()}/settings"
    assert (await user.read(f"{path}/allow_kasm_downloads"))["setting"]["object"]["id"] == row["group_id"]
    assert (await user.read(f"{path}/idle_disconnect"))["setting"] is None, "the group All Users is not in the scope"
