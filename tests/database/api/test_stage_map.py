"""GET /api/v1/stage-map: the rows of each part, and the parts that a caller may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from tests.database.api.client import Client, MakeClient
from tests.database.api.staging import Stage, bare_session
from tests.support import rows

from greenroom.db.database import Database

PATH = "/api/v1/stage-map"
GROUPS = "/api/v1/groups"


@dataclass(frozen=True)
class Play:
    """A zone with a Manager, an Agent, a pool of two with one ready session, and a session of `ann`; and an empty zone
    with an Agent."""

    zones: list[str]
    staged: str
    session: str
    group: str


@pytest.fixture
async def play(stage: Stage, db: Database) -> Play:
    await stage.manager()
    (staged,) = await stage.staged(await stage.config(), 1)
    group_id = await rows.group(db, name="Sales", priority=3)
    session_id = await bare_session(db, await rows.user(db, "ann@example.org", group_id), stage.agent_id)
    other = await rows.zone(db, "eu")
    await rows.agent(db, other, hostname="agent-2")
    return Play([stage.zone_id, other], staged, session_id, group_id)


async def operator(user: Client, admin: Client, **role: Any) -> None:
    """Give the user a role with a scope."""
    group_id = (await admin.make(GROUPS, name="Staff", roles=[role]))["group_id"]
    await admin.put(f"{GROUPS}/{group_id}/users/{await user.own_id()}")


async def test_the_map_has_a_row_for_each_object(stage: Stage, play: Play, admin: Client, db: Database):
    await db.write("UPDATE agents SET draining = true WHERE hostname = 'agent-2'")
    seen = await admin.read(PATH)
    assert [zone["zone_name"] for zone in seen["zones"]] == ["default", "eu"]
    (manager,) = seen["managers"]
    assert (manager["instance_id"], manager["enabled"], manager["running"]) == ("m", True, True)
    assert not manager["is_primary"], "no Manager has the leadership"
    first, second = seen["agents"]
    assert (first["zone_id"], first["status"], first["cores"]) == (play.zones[0], "running", 100.0)
    assert (first["closed"], second["closed"]["code"]) == (None, "draining")
    assert (second["zone_id"], second["draining"], second["cores_allocated"]) == (play.zones[1], True, 0.0)
    (pool,) = seen["pools"]
    assert (pool["friendly_name"], pool["current"], pool["desired"], pool["paused"]) == ("Desktop", 1, 2, False)
    by_id = {session["session_id"]: session for session in seen["sessions"]}
    assert by_id.keys() == {play.staged, play.session}
    assert by_id[play.session] == {
        "session_id": play.session,
        "zone_id": play.zones[0],
        "agent_id": stage.agent_id,
        "image_id": by_id[play.session]["image_id"],
        "image_friendly_name": "Desktop",
        "staging_config_id": None,
        "username": "ann@example.org",
        "status": "running",
    }
    assert (by_id[play.staged]["username"], by_id[play.staged]["staging_config_id"]) == (
        None,
        pool["staging_config_id"],
    )


async def test_a_paused_pool_is_no_short_pool(stage: Stage, play: Play, admin: Client):
    config_id = (await admin.read(PATH))["pools"][0]["staging_config_id"]
    await stage.admin.change(f"/api/v1/staging-configs/{config_id}", paused=True)
    (pool,) = (await admin.read(PATH))["pools"]
    assert (pool["paused"], pool["desired"], pool["shortfall"]) == (True, 0, None)


async def test_sessions_that_ended_are_not_on_the_map(play: Play, admin: Client, db: Database):
    await db.write("UPDATE sessions SET status = 'deleted' WHERE session_id = %s", (play.session,))
    assert [session["session_id"] for session in (await admin.read(PATH))["sessions"]] == [play.staged]


async def test_of_too_many_sessions_the_newest_are_on_the_map(
    play: Play, admin: Client, db: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("greenroom.db.session.views.MAX_STAGE_SESSIONS", 1)
    monkeypatch.setattr("greenroom.api.diagnostics.stage_map_routes.MAX_STAGE_SESSIONS", 1)
    await db.write("UPDATE sessions SET created = now() + interval '1 s' WHERE session_id = %s", (play.session,))
    seen = await admin.read(PATH)
    assert [session["session_id"] for session in seen["sessions"]] == [play.session]
    assert seen["has_more_sessions"]


@pytest.mark.parametrize(
    ("code", "part"),
    [
        ("managers_view", "managers"),
        ("agents_view", "agents"),
        ("staging_view", "pools"),
        ("sessions_view", "sessions"),
    ],
)
async def test_a_caller_sees_the_parts_of_its_permissions(play: Play, with_key: MakeClient, code: str, part: str):
    seen = await (await with_key(code)).read(PATH)
    assert not seen.pop("has_more_sessions")
    assert [name for name, rows_of_part in seen.items() if rows_of_part is not None] == ["zones", part]
    assert play.zones[0] in [zone["zone_id"] for zone in seen["zones"]]


async def test_the_permission_for_zones_shows_zones_only(play: Play, with_key: MakeClient):
    seen = await (await with_key("zones_view")).read(PATH)
    assert [zone["zone_id"] for zone in seen.pop("zones")] == play.zones
    assert set(seen.values()) == {None, False}
    assert (await (await with_key("user")).get(PATH)).status_code == 403


async def test_an_operator_of_a_zone_sees_the_map_of_this_zone(play: Play, admin: Client, user: Client):
    await operator(user, admin, role="zone_operator", zones=play.zones[1:])
    seen = await user.read(PATH)
    assert [zone["zone_name"] for zone in seen["zones"]] == ["eu"]
    assert [agent["hostname"] for agent in seen["agents"]] == ["agent-2"]
    assert (seen["managers"], seen["pools"], seen["sessions"]) == ([], [], [])


async def test_the_help_desk_of_a_group_sees_the_sessions_of_its_members(play: Play, admin: Client, user: Client):
    await operator(user, admin, role="help_desk", groups=[play.group])
    seen = await user.read(PATH)
    assert [session["session_id"] for session in seen["sessions"]] == [play.session]
    assert [zone["zone_name"] for zone in seen["zones"]] == ["default"]
    assert (seen["managers"], seen["agents"], seen["pools"]) == (None, None, None)
