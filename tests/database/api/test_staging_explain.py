"""`explain`: the outcome of a launch, for any user, without launching."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, LiteralString

import pytest
from tests.database.api.client import Client, MakeClient
from tests.database.api.staging import PATH, Stage
from tests.support import rows

from greenroom.core.launch.compatibility import ALL_AT_CREATION

ADA = "ada@example.org"


async def explained(stage: Stage, config_id: str, user: str = ADA, **query: str) -> dict[str, Any]:
    return await stage.admin.read(f"{PATH}/{config_id}/explain", user=user, **query)


async def codes(stage: Stage, config_id: str, user: str = ADA, **query: str) -> list[str]:
    found = await explained(stage, config_id, user, **query)
    assert found["would_get"] == (not found["reasons"])
    return [reason["code"] for reason in found["reasons"]]


@dataclass(frozen=True)
class Situation:
    """The conditions of a launch: settings of the user's group, columns of rows, and True if a session is staged."""

    codes: list[str]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    change: LiteralString | None = None
    staged: bool = True


SITUATIONS = {
    "nothing in the way": Situation([]),
    "an empty pool": Situation(["pool_empty"], staged=False),
    "a setting": Situation(["expose_user_environment_vars"], {"expose_user_environment_vars": True}),
    "settings and permissions": Situation(
        ["expose_user_environment_vars", "run_config", "permissions"],
        {"expose_user_environment_vars": True, "run_config": {"hostname": "desk"}, "allow_kasm_webcam": False},
    ),
    "a profile": Situation(
        ["persistent_profile"],
        {"allow_persistent_profile": True},
        "UPDATE images SET persistent_profile_path = '/profiles/{username}'",
    ),
    "a volume of the user": Situation(
        ["image_volume_mapping"],
        change="""UPDATE images SET volume_mappings = '{"/own/{user_id}": {"bind": "/own"}}'""",
    ),
    "a time zone": Situation(
        ["language_or_timezone"],
        change="INSERT INTO user_attributes (user_id, preferred_timezone)"
        " SELECT user_id, 'Asia/Tokyo' FROM users WHERE username = 'ada@example.org'",
    ),
    "a paused config": Situation(["pool_empty"], change="UPDATE staging_configs SET paused = true"),
    "a disabled workspace": Situation(["image_disabled"], change="UPDATE images SET enabled = false"),
    "a missing Agent": Situation(["agent_missing"], change="UPDATE agents SET status = 'missing'"),
    "a draining Agent": Situation(["agent_disabled"], change="UPDATE agents SET draining = true"),
    "an old session": Situation(["pool_empty"], change="UPDATE sessions SET expires = now() WHERE user_id IS NULL"),
    "sessions of before a change": Situation(["pool_empty"], change="UPDATE sessions SET config_hash = 'before'"),
    "a workspace the user may not use": Situation(["restricted"], change="DELETE FROM group_images"),
    "the user's limit": Situation(["restricted"], {"max_kasms_per_user": 0}),
    "a locked user": Situation(
        ["restricted"], change="UPDATE users SET locked = true WHERE username = 'ada@example.org'"
    ),
    "another zone alone": Situation(
        ["restricted"],
        change="UPDATE images SET restrict_to_zone = true,"
        " zone_id = (SELECT zone_id FROM zones WHERE zone_name <> 'default')",
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=list(SITUATIONS))
async def test_it_says_what_a_launch_then_does(stage: Stage, ada: Client, situation: Situation):
    config_id = await stage.config()
    user_id = await ada.own_id()
    await rows.zone(stage.db, "elsewhere")
    group_id = await rows.group(stage.db, name="Students", priority=2, **situation.settings)
    await stage.db.write("INSERT INTO user_groups VALUES (%s, %s)", (user_id, group_id))
    if situation.change is not None and "UPDATE images" in situation.change:
        await stage.db.write(situation.change)
        await stage.staged(config_id, 1)
    else:
        await stage.staged(config_id, int(situation.staged))
        if situation.change is not None:
            await stage.db.write(situation.change)
    assert await codes(stage, config_id) == situation.codes
    assert await codes(stage, config_id, user_id) == situation.codes
    assert await stage.db.fetch("SELECT 1 FROM sessions WHERE user_id IS NOT NULL") == [], "nothing was launched"
    body = {"image_id": stage.image_id, "user_id": user_id}
    answer = await stage.admin.post("/api/v1/sessions", json=body)
    if answer.status_code == 202:
        session_id = answer.json()["session_id"]
        steps = (await stage.admin.read(f"/api/v1/sessions/{session_id}/placement"))["steps"]
        of_config = [s for s in steps if s["step"] == "staged_here"]
        assert answer.json()["staged"] is (situation.codes == [])
        assert [s["code"] for s in of_config if s["code"]] == situation.codes
    else:
        assert situation.codes in (["restricted"], ["image_disabled"], ["agent_missing"], ["agent_disabled"])


async def test_all_reasons_are_given_those_of_the_user_first(stage: Stage, with_user: MakeClient):
    config_id = await stage.config()
    user_id = (await (await with_user(ADA)).get("/api/v1/me")).json()["user"]["user_id"]
    group_id = await rows.group(
        stage.db, name="Students", priority=2, expose_user_environment_vars=True, max_kasms_per_user=0
    )
    await stage.db.write("INSERT INTO user_groups VALUES (%s, %s)", (user_id, group_id))
    await stage.db.write("UPDATE users SET disabled = true WHERE user_id = %s", (user_id,))
    await stage.db.write("DELETE FROM group_images")
    found = (await explained(stage, config_id))["reasons"]
    assert [reason["reason"] for reason in found] == [
        f"{ADA} is disabled or locked.",
        f"{ADA} may not use workspace Desktop.",
        f"{ADA} has 0 of 0 allowed sessions.",
        f"expose_user_environment_vars (group Students): the user's variables are set {ALL_AT_CREATION}.",
        "No staged session of Desktop in zone default is free.",
    ]
    assert (found[3]["setting"], found[3]["group"]) == ("expose_user_environment_vars", "Students")


async def test_where_the_launch_begins_counts(stage: Stage, with_user: MakeClient):
    await with_user(ADA)
    other_id = await rows.zone(stage.db, "other")
    here = await stage.config()
    there = await stage.config(zone_id=other_id)
    await stage.staged(there, 1, await rows.agent(stage.db, other_id, hostname="agent-2", image=stage.image_name))
    from_here = await explained(stage, there, zone="default")
    assert (from_here["zone_name"], from_here["step"], from_here["would_get"]) == ("default", "staged_elsewhere", True)
    await stage.staged(here, 1)
    assert await codes(stage, there, zone="default") == ["served_elsewhere"]
    assert await codes(stage, there, zone=other_id) == []
    plain = await explained(stage, there)
    assert (plain["zone_name"], plain["step"], plain["would_get"]) == ("other", "staged_here", True)
    await stage.db.write("UPDATE zones SET search_alternate_zones = false WHERE zone_name = 'default'")
    assert await codes(stage, there, zone="default") == ["zone_not_searched", "served_elsewhere"]
    assert (await stage.admin.get(f"{PATH}/{there}/explain", params={"user": ADA, "zone": "none"})).status_code == 404


async def test_who_is_not_there(stage: Stage):
    config_id = await stage.config()
    path = f"{PATH}/{config_id}/explain"
    assert "There is no user unknown" in await stage.admin.refused(404, f"GET {path}", user="unknown")
    assert (await stage.admin.get(path)).status_code == 422
    for name in ("user", "zone"):
        assert f"{name}: a NUL character" in await stage.admin.refused(422, f"GET {path}", **{"user": ADA, name: "a\0"})
    assert (await stage.admin.get(path.replace(config_id, stage.zone_id), params={"user": ADA})).status_code == 404
