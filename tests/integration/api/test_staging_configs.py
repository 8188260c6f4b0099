"""/api/v1/staging-configs: create, change, recycle, delete, explain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from greenroom.core.settings import STAGED_PERMISSIONS
from greenroom.core.specs import fingerprint
from greenroom.db import facts
from greenroom.db.database import Database
from greenroom.testing import rows

Make = Callable[..., Awaitable[httpx.AsyncClient]]

PATH = "/api/v1/staging-configs"


@dataclass(frozen=True)
class Stage:
    db: Database
    admin: httpx.AsyncClient
    zone_id: str
    image_id: str
    agent_id: str

    def body(self, **changes: Any) -> dict[str, Any]:
        return {
            "zone_id": self.zone_id,
            "image_id": self.image_id,
            "num_sessions": 2,
            "expiration": 0.5,
            **changes,
        }

    async def created(self, **changes: Any) -> dict[str, Any]:
        response = await self.admin.post(PATH, json=self.body(**changes))
        assert response.status_code == 201, response.text
        return response.json()

    async def staged(self, config_id: str, number: int) -> list[str]:
        row = await self.db.fetch_one(
            "SELECT to_jsonb(i) AS image, to_jsonb(z) AS zone, to_jsonb(c) AS config FROM staging_configs c"
            " JOIN images i USING (image_id) JOIN zones z ON z.zone_id = c.zone_id WHERE c.staging_config_id = %s",
            (config_id,),
        )
        assert row is not None
        permissions, revision = facts.staged_permissions(row["config"]), row["config"]["revision"]
        config_hash = fingerprint(facts.image_facts(row["image"]), facts.zone_facts(row["zone"]), permissions, revision)
        return await rows.staged_sessions(self.db, config_id, self.agent_id, number, config_hash=config_hash)

    async def manager(self) -> None:
        await self.db.write(
            "INSERT INTO managers (instance_id, zone_id, last_round) VALUES ('m', %s, clock_timestamp())",
            (self.zone_id,),
        )


@pytest.fixture
async def stage(app: FastAPI, db: Database, admin: httpx.AsyncClient) -> Stage:
    del app
    await db.write("UPDATE zones SET allow_origin_domain = '127.0.0.1', upstream_auth_address = '127.0.0.1:8443'")
    zone_id = (await db.fetch("SELECT zone_id::text FROM zones"))[0]["zone_id"]
    image = (await db.fetch("SELECT image_id::text, name FROM images"))[0]
    agent_id = await rows.agent(db, zone_id, hostname="agent-1", image=image["name"])
    return Stage(db, admin, zone_id, image["image_id"], agent_id)


async def test_a_new_config_takes_the_permissions_of_all_users_and_counts_who_matches(stage: Stage):
    config = await stage.created()
    assert all(config[name] is True for name in STAGED_PERMISSIONS)
    assert (config["num_sessions"], config["expiration"], config["zone_name"]) == (2, 0.5, "default")
    assert (config["matching_users"], config["warning"]) == (1, None)
    other = await stage.created(allow_kasm_audio=False)
    assert other["matching_users"] == 0
    assert "No user" in other["warning"]
    assert len((await stage.admin.get(PATH)).json()) == 2


async def test_a_duplicate_is_refused(stage: Stage):
    await stage.created()
    response = await stage.admin.post(PATH, json=stage.body(num_sessions=9))
    assert (response.status_code, response.json()["code"]) == (409, "duplicate")


@pytest.mark.parametrize(
    "changes",
    [
        {"num_sessions": -1},
        {"num_sessions": 1.5},
        {"expiration": 0},
        {"expiration": "NaN"},
        {"unknown": 1},
        {"zone_id": "68d557ac-4cac-42cc-a9f3-1c7c853de0f3"},
        {"image_id": "68d557ac-4cac-42cc-a9f3-1c7c853de0f3"},
        {"allow_kasm_audio": None},
    ],
)
async def test_values_that_cannot_be_used(stage: Stage, changes: dict[str, Any]):
    assert (await stage.admin.post(PATH, json=stage.body(**changes))).status_code == 422


async def test_a_zone_with_the_request_host_is_saved_and_warned_about(stage: Stage):
    await stage.db.write("UPDATE zones SET allow_origin_domain = '$request_host$'")
    config = await stage.created()
    assert "Allow Origin Domain of zone default is $request_host$" in config["warning"]


async def test_the_shortfall_is_always_explained(stage: Stage):
    config = await stage.created()
    path = f"{PATH}/{config['staging_config_id']}"

    async def shortfall() -> dict[str, str] | None:
        return (await stage.admin.get(path)).json()["shortfall"]

    found = await shortfall()
    assert found is not None
    assert found["code"] == "no-running-manager"
    await stage.manager()
    found = await shortfall()
    assert found is not None
    assert found["code"] == "starting"
    await stage.db.write("UPDATE staging_configs SET shortfall_code = 'no-agent', shortfall_reason = 'none there'")
    assert await shortfall() == {"code": "no-agent", "reason": "none there"}
    await stage.staged(config["staging_config_id"], 2)
    assert await shortfall() is None


async def test_current_counts_claimable_sessions_on_agents_that_are_there(stage: Stage):
    config_id = (await stage.created())["staging_config_id"]
    await stage.staged(config_id, 2)
    await rows.staged_sessions(stage.db, config_id, stage.agent_id, 1, status="starting")

    async def counts() -> tuple[int, int]:
        config = (await stage.admin.get(f"{PATH}/{config_id}")).json()
        return config["num_current_sessions"], config["num_starting_sessions"]

    assert await counts() == (2, 1)
    await stage.db.write("UPDATE agents SET status = 'missing'")
    assert await counts() == (0, 1)


async def test_a_change_leaves_omitted_fields_and_names_what_cannot_change(stage: Stage):
    config = await stage.created()
    path = f"{PATH}/{config['staging_config_id']}"
    changed = (await stage.admin.patch(path, json={"num_sessions": 5, "zone_id": stage.zone_id})).json()
    assert (changed["num_sessions"], changed["expiration"], changed["allow_kasm_audio"]) == (5, 0.5, True)
    assert changed["matching_users"] == 1
    other = await rows.zone(stage.db, "other")
    assert (await stage.admin.patch(path, json={"zone_id": other})).status_code == 422
    assert (await stage.admin.patch(path, json={"num_sessions": None})).status_code == 422
    await stage.created(allow_kasm_audio=False)
    assert (await stage.admin.patch(path, json={"allow_kasm_audio": False})).json()["code"] == "duplicate"


async def test_recycling_makes_the_staged_sessions_out_of_date(stage: Stage):
    config = await stage.created()
    await stage.db.write("UPDATE staging_configs SET failures = 3, next_try = now(), last_error = 'e'")
    response = await stage.admin.post(f"{PATH}/{config['staging_config_id']}/recycle")
    assert response.status_code == 202
    row = await stage.db.fetch_one("SELECT revision, failures, next_try, last_error FROM staging_configs")
    assert row == {"revision": 2, "failures": 0, "next_try": None, "last_error": None}


async def test_deleting_ends_unassigned_sessions_and_leaves_assigned_ones(stage: Stage, with_user: Make):
    config = await stage.created()
    path = f"{PATH}/{config['staging_config_id']}"
    await stage.staged(config["staging_config_id"], 2)
    ada = await with_user("ada@example.org")
    launched = (await ada.post("/api/v1/sessions", json={"image_id": stage.image_id})).json()
    assert launched["staged"] is True
    assert (await stage.admin.delete(path)).status_code == 204
    found = await stage.db.fetch("SELECT status, session_id::text FROM sessions ORDER BY status")
    assert [row["status"] for row in found] == ["assigning", "deleting"]
    assert (await stage.admin.get(path)).status_code == 404
    assert (await stage.admin.delete(path)).status_code == 404
    session = (await stage.admin.get(f"/api/v1/sessions/{launched['session_id']}")).json()
    assert (session["staging_config_id"], session["username"]) == (config["staging_config_id"], "ada@example.org")
    assert (await stage.created())["num_sessions"] == 2


async def test_explain_answers_without_launching(stage: Stage, with_user: Make):
    config_id = (await stage.created())["staging_config_id"]
    path = f"{PATH}/{config_id}/explain"
    ada = await with_user("ada@example.org")
    me = (await ada.get("/api/v1/me")).json()["user"]["user_id"]

    async def codes(user: str = "ada@example.org") -> list[str]:
        answer = (await stage.admin.get(path, params={"user": user})).json()
        assert answer["would_get"] == (not answer["reasons"])
        return [reason["code"] for reason in answer["reasons"]]

    assert await codes() == ["pool_empty"]
    await stage.staged(config_id, 1)
    assert await codes() == []
    assert await codes(me) == []
    group_id = await rows.group(stage.db, name="Students", priority=2, inject_ssh_keys=True, allow_kasm_audio=False)
    await stage.db.write("INSERT INTO user_groups VALUES (%s, %s)", (me, group_id))
    assert await codes() == ["inject_ssh_keys", "permissions"]
    await stage.db.write("DELETE FROM group_images")
    assert (await codes())[0] == "restricted"
    assert (await stage.admin.get(path, params={"user": "nobody"})).status_code == 404
    assert await stage.db.fetch("SELECT 1 FROM sessions WHERE user_id IS NOT NULL") == []


async def test_permissions(stage: Stage, with_key: Make):
    config_id = (await stage.created())["staging_config_id"]
    viewer = await with_key("staging_view")
    assert (await viewer.get(PATH)).status_code == 200
    assert (await viewer.post(PATH, json=stage.body())).status_code == 403
    assert (await viewer.patch(f"{PATH}/{config_id}", json={})).status_code == 403
    assert (await viewer.delete(f"{PATH}/{config_id}")).status_code == 403
    nobody = await with_key("sessions_view")
    assert (await nobody.get(PATH)).status_code == 403
