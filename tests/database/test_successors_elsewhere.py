"""A failed session's successor follows the documented order over zones, as its launch did
(`core.launch.wanted`)."""

from __future__ import annotations

from typing import Any, LiteralString

import pytest
from tests.database.failing_launches import Failing

from greenroom.core.access.group_settings import STAGED_PERMISSIONS
from greenroom.core.errors import SessionLimit
from greenroom.db.database import Database
from greenroom.db.launch.ledger import launch_of_session
from greenroom.db.session import views
from greenroom.manager.tasks.pools import examine_pools
from greenroom.manager.tasks.replacement import run_replacements


@pytest.fixture
async def stage(db: Database) -> Failing:
    return await Failing.filled(db, "eu", "us")


async def hand_over_fails(stage: Failing, session_id: str) -> dict[str, Any]:
    """Let a hand-over fail; returns the session that its user got instead."""
    await stage.fails(session_id)
    for primary in stage.primaries.values():
        await run_replacements(primary)
    return await stage.successor_of(session_id)


async def empty(stage: Failing, zone: str) -> None:
    await stage.db.write(
        "UPDATE sessions SET status = 'deleting' WHERE user_id IS NULL AND status = 'running' AND zone_id = %s",
        (stage.primaries[zone].zone_id,),
    )


def zone_of(stage: Failing, row: dict[str, Any]) -> str:
    return next(name for name, primary in stage.primaries.items() if primary.zone_id == str(row["zone_id"]))


async def test_pools_here_precede_pools_elsewhere_and_those_new_sessions(stage: Failing):
    first = (await stage.launch()).session_id
    second = await hand_over_fails(stage, first)
    assert (zone_of(stage, second), second["status"]) == ("eu", "assigning")
    await empty(stage, "eu")
    third = await hand_over_fails(stage, str(second["session_id"]))
    assert (zone_of(stage, third), third["status"]) == ("us", "assigning")
    assert third["assignment"]["assignment_id"] == str(third["assignment_id"])
    await empty(stage, "us")
    fourth = await hand_over_fails(stage, str(third["session_id"]))
    assert (zone_of(stage, fourth), fourth["status"], fourth["staging_config_id"]) == ("eu", "requested", None)
    assert await stage.trace(fourth["session_id"]) == [
        (1, "staged_here", "eu", True, None),
        (1, "staged_here", "eu", False, "hand_over_failed"),
        (2, "staged_here", "eu", True, None),
        (2, "staged_here", "eu", False, "hand_over_failed"),
        (3, "staged_here", "eu", False, "pool_empty"),
        (4, "staged_elsewhere", "us", True, None),
        (4, "staged_elsewhere", "us", False, "hand_over_failed"),
        (5, "staged_here", "eu", False, "pool_empty"),
        (6, "staged_elsewhere", "us", False, "pool_empty"),
        (7, "on_demand_here", "eu", True, None),
    ]
    launch = await launch_of_session(stage.db, str(fourth["session_id"]))
    assert launch is not None
    assert launch.outcome == "on_demand"
    shown = await views.get_session(stage.db, first)
    assert shown.session_id == str(fourth["session_id"])
    assert fourth["idempotency_key"] == "k"


async def test_without_room_here_a_session_is_made_as_another_zone_wants_it(stage: Failing):
    first = (await stage.launch()).session_id
    await empty(stage, "eu")
    await empty(stage, "us")
    await stage.db.write("UPDATE agents SET draining = true WHERE zone_id = %s", (stage.zone_id,))
    await stage.db.write("UPDATE zones SET allow_origin_domain = '$request_host$' WHERE zone_name = 'us'")
    successor = await hand_over_fails(stage, first)
    assert (zone_of(stage, successor), successor["status"]) == ("us", "requested")
    assert (successor["allow_origin"], successor["upstream_auth"]) == ("desk.example", "us:443")
    assert successor["spec"]["allow_origin"] == ["desk.example"]
    assert (await stage.trace(successor["session_id"]))[-3:] == [
        (4, "on_demand_here", "eu", False, "agent_disabled"),
        (4, "on_demand_here", "eu", False, "agent_disabled"),
        (5, "on_demand_elsewhere", "us", True, None),
    ]


async def test_a_zone_that_does_not_search_others_gives_up_in_words(stage: Failing):
    first = (await stage.launch()).session_id
    await empty(stage, "eu")
    await stage.db.write("UPDATE agents SET draining = true WHERE zone_id = %s", (stage.zone_id,))
    await stage.db.write("UPDATE zones SET search_alternate_zones = false WHERE zone_name = 'eu'")
    await stage.fails(first)
    await run_replacements(stage.ctx)
    row = await stage.row(first)
    assert (row["superseded_by"], row["gave_up"], row["error"]) == (None, True, "assign ended with 1")
    assert ("staged_elsewhere", "us", False, "zone_not_searched") in {s[1:] for s in await stage.trace(first)}
    launch = await launch_of_session(stage.db, first)
    assert launch is not None
    assert launch.outcome == "failed"


async def test_a_failed_session_from_elsewhere_goes_on_in_its_launch_zone(stage: Failing):
    await empty(stage, "eu")
    first = (await stage.launch()).session_id
    assert zone_of(stage, await stage.row(first)) == "us"
    await examine_pools(stage.ctx)
    await stage.db.write("UPDATE sessions SET status = 'running' WHERE status = 'requested'")
    successor = await hand_over_fails(stage, first)
    assert zone_of(stage, successor) == "eu"
    assert (await stage.trace(successor["session_id"]))[-1][1:3] == ("staged_here", "eu")


async def test_a_pool_with_other_permissions_is_passed_over(stage: Failing):
    first = (await stage.launch()).session_id
    await empty(stage, "eu")
    name = STAGED_PERMISSIONS[0]
    await stage.db.write(
        f"UPDATE staging_configs SET {name} = true WHERE zone_id = %s", (stage.primaries["us"].zone_id,)
    )
    successor = await hand_over_fails(stage, first)
    assert (zone_of(stage, successor), successor["status"]) == ("eu", "requested")
    assert ("staged_elsewhere", "us", False, "permissions") in {s[1:] for s in await stage.trace(first)} | {
        s[1:] for s in await stage.trace(successor["session_id"])
    }


@pytest.mark.parametrize("change", ["paused = true", "deleted = now()"])
async def test_a_pool_that_was_paused_or_deleted_meanwhile_gives_nothing(stage: Failing, change: LiteralString):
    first = (await stage.launch()).session_id
    await stage.db.write(f"UPDATE staging_configs SET {change} WHERE zone_id = %s", (stage.zone_id,))
    successor = await hand_over_fails(stage, first)
    assert (zone_of(stage, successor), successor["status"]) == ("us", "assigning")
    aside = await stage.row(first)
    assert (aside["status"], str(aside["set_aside_for"])) == ("failed", stage.user_id)


async def test_a_workspace_that_was_disabled_meanwhile_is_started_nowhere(stage: Failing):
    first = (await stage.launch()).session_id
    await stage.db.write("UPDATE images SET enabled = false")
    await stage.fails(first)
    await run_replacements(stage.ctx)
    assert (await stage.row(first))["gave_up"]
    assert {s[4] for s in (await stage.trace(first))[2:]} == {"image_disabled"}


async def test_two_failures_in_a_zone_lead_to_another_zone_then_give_up(stage: Failing):
    first = await stage.launch_on_demand()
    before = await stage.row(first)
    await stage.start_fails(first)
    second = await stage.successor_of(first)
    assert (zone_of(stage, second), second["agent_id"] == before["agent_id"]) == ("eu", False)
    await stage.start_fails(str(second["session_id"]))
    third = await stage.successor_of(str(second["session_id"]))
    assert (zone_of(stage, third), third["upstream_auth"], third["allow_origin"]) == ("us", "us:443", "us.example")
    same = {n: v for n, v in second["spec"].items() if n not in {"environment", "allow_origin", "upstream_auth"}}
    assert {name: third["spec"][name] for name in same} == same
    await stage.db.write(
        "UPDATE sessions SET status = 'failed', error = 'No.' WHERE session_id = %s", (third["session_id"],)
    )
    await run_replacements(stage.primaries["us"])
    last = await stage.row(str(third["session_id"]))
    assert (last["gave_up"], last["error"].count("exit code 3")) == (True, 2)
    assert [s[1:] for s in await stage.trace(third["session_id"])][-5:] == [
        ("on_demand_here", "eu", True, None),
        ("on_demand_here", "eu", False, "start_failed"),
        ("on_demand_here", "eu", False, "start_failed"),
        ("on_demand_elsewhere", "us", True, None),
        ("on_demand_elsewhere", "us", False, "start_failed"),
    ]
    reserved = await stage.reserved()
    assert reserved["agent-us"][0] == 2 + 1


async def test_a_user_who_waits_for_a_session_cannot_exceed_their_limit(stage: Failing):
    first = (await stage.launch()).session_id
    await stage.db.write("INSERT INTO group_settings SELECT group_id, 'max_kasms_per_user', '1'::jsonb FROM groups")
    await stage.db.write("UPDATE sessions SET idempotency_key = NULL")
    await stage.fails(first)
    with pytest.raises(SessionLimit):
        await stage.launch()
    await run_replacements(stage.ctx)
    assert (await stage.successor_of(first))["status"] == "assigning"


async def test_a_session_on_demand_has_the_preferences_of_its_user(stage: Failing):
    await stage.db.write(
        "INSERT INTO group_settings SELECT group_id, 'staged_session_language_and_timezone_preference_override',"
        " 'true'::jsonb FROM groups"
    )
    await stage.db.write(
        "INSERT INTO user_attributes (user_id, preferred_timezone) VALUES (%s, 'Asia/Tokyo') ON CONFLICT (user_id)"
        " DO UPDATE SET preferred_timezone = 'Asia/Tokyo'",
        (stage.user_id,),
    )
    first = (await stage.launch()).session_id
    await empty(stage, "eu")
    await empty(stage, "us")
    successor = await hand_over_fails(stage, first)
    assert successor["spec"]["environment"]["TZ"] == "Asia/Tokyo"
