"""The launcher's forecast for a user follows the plan of the launch itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from greenroom.core.access.group_settings import STAGED_PERMISSIONS, GroupSettings, resolve
from greenroom.core.errors import NoResources, Refused
from greenroom.core.launch.compatibility import LaunchFacts
from greenroom.core.launch.eviction import StartingSession
from greenroom.core.launch.forecast import (
    DEFAULT_HAND_OVER_S,
    DEFAULT_START_S,
    NOTHING_FITS,
    USER_REMEDIES,
    LaunchForecast,
    MeasuredStarts,
    Supply,
    first_attempt_with_session,
    forecast_checks,
    launch_forecast,
    launch_refusal,
    refusal_for_user,
    simulate_launch,
)
from greenroom.core.launch.placement import ImageReadiness, PlacementAgent
from greenroom.core.launch.plan import LaunchZone, Miss, StagedPool, plan_launch
from greenroom.core.workspace.spec_builder import ImageFacts, ZoneFacts, config_hash_of

NOW = datetime(2026, 1, 2, tzinfo=UTC)
IMAGE = ImageFacts(image_id="i", name="desktop", friendly_name="Desktop", cores=1.0, memory=100)
HERE = LaunchZone(facts=ZoneFacts(zone_id="here", zone_name="here"))
THERE = LaunchZone(facts=ZoneFacts(zone_id="there", zone_name="there"))
POOL = StagedPool(staging_config_id="c", zone_id="there", permissions=dict.fromkeys(STAGED_PERMISSIONS, True))
HASH = config_hash_of(IMAGE, THERE.facts, POOL.permissions)
ALLOWED = LaunchFacts(settings=resolve([GroupSettings("g", "All", 1, dict.fromkeys(STAGED_PERMISSIONS, True))]))
EXCLUDED = LaunchFacts(
    settings=resolve([GroupSettings("g", "All", 1, {"expose_user_environment_vars": True} | POOL.permissions)])
)


def agent(cores: float = 4.0, **fields: object) -> PlacementAgent:
    return PlacementAgent(agent_id="a", hostname="vm", cores=cores, memory=1000, **fields)  # pyright: ignore[reportArgumentType]


def found(facts: LaunchFacts = ALLOWED, **supply: object) -> LaunchForecast:
    offered = Supply(zones=(HERE, THERE), pools={"i": [POOL]}, **supply)  # pyright: ignore[reportArgumentType]
    return launch_forecast(IMAGE, plan_launch(offered.zones, "here", IMAGE, offered.pools["i"], facts), offered)


def test_a_staged_session_is_promised_only_to_those_who_would_get_it():
    supply = {"claimable": {("c", HASH): 1}, "agents": {"here": [agent()]}}
    assert found(**supply) == LaunchForecast(True, DEFAULT_HAND_OVER_S), "from the other zone"
    assert found(EXCLUDED, **supply) == LaunchForecast(False, DEFAULT_START_S)
    assert found(claimable={("c", "before a change of the workspace"): 1}, agents={"here": [agent()]}).ready is False


def test_what_was_measured_is_expected():
    measured = {"i": MeasuredStarts(start_s=7.5, hand_over_s=0.2)}
    assert found(claimable={("c", HASH): 2}, measured=measured).expected_s == 0.2
    assert found(agents={"there": [agent()]}, measured=measured).expected_s == 7.5


def test_what_cannot_be_launched_now_says_why_without_naming_machines():
    full = agent(cores_allocated=agent().cores)
    assert found(agents={"here": [full]}) == LaunchForecast(False, None, USER_REMEDIES["no_capacity"])
    assert found(agents={"here": [agent(cores=0.5)]}) == LaunchForecast(False, None, USER_REMEDIES["too_large"])
    assert found(agents={"here": [agent(cores=0.5), full]}).reason == USER_REMEDIES["no_capacity"], "waiting helps"
    away = found(agents={"here": [agent(status="missing")]})
    assert away == LaunchForecast(False, None, USER_REMEDIES["agent_missing"])
    absent = {"desktop": {"a": ImageReadiness(agent_id="a", image_state="absent")}}
    assert found(agents={"here": [agent()]}, image_states=absent).reason == USER_REMEDIES["image_unavailable"]
    assert found().reason, "no Agent at all"
    assert not any("vm" in sentence for sentence in USER_REMEDIES.values())


def test_the_checks_of_a_forecast_end_at_the_attempt_with_a_session():
    supply = Supply(zones=(HERE, THERE), pools={"i": [POOL]}, agents={"here": [agent()], "there": [agent()]})
    attempts = plan_launch(supply.zones, "here", IMAGE, supply.pools["i"], ALLOWED)
    checks = [(check.attempt.step, bool(check.misses)) for check in forecast_checks(IMAGE, attempts, supply)]
    assert checks == [("staged_here", True), ("staged_elsewhere", True), ("on_demand_here", False)]


def test_zones_that_are_not_searched_promise_nothing():
    here = LaunchZone(facts=HERE.facts, search_alternate_zones=False)
    supply = Supply(zones=(here, THERE), pools={"i": [POOL]}, agents={"there": [agent()]})
    found = launch_forecast(IMAGE, plan_launch(supply.zones, "here", IMAGE, supply.pools["i"], ALLOWED), supply)
    assert (found.ready, found.expected_s) == (False, None)


def miss(code: str, *, waiting_helps: bool = True) -> Miss:
    return Miss(code, "x", waiting_helps=waiting_helps)


@pytest.mark.parametrize(
    ("misses", "sentence"),
    [
        ([], NOTHING_FITS),
        ([miss("pool_empty")], NOTHING_FITS),
        ([miss("no_capacity", waiting_helps=False)], USER_REMEDIES["too_large"]),
        ([miss("no_capacity", waiting_helps=False), miss("no_capacity")], USER_REMEDIES["no_capacity"]),
        ([miss("agent_missing", waiting_helps=False), miss("restricted")], USER_REMEDIES["agent_missing"]),
        ([miss("restricted"), miss("no_capacity", waiting_helps=False)], USER_REMEDIES["too_large"]),
        ([miss("no_capacity"), miss("image_disabled")], USER_REMEDIES["image_disabled"]),
    ],
)
def test_of_several_obstacles_the_one_most_likely_to_pass_is_found(misses: list[Miss], sentence: str):
    assert refusal_for_user(misses) == sentence


def test_room_that_staged_sessions_would_make_counts_as_room():
    evicted = {
        "here": [StartingSession(session_id="s", staging_config_id="c", agent_id="a", cores=4, memory=1, created=NOW)]
    }
    full = agent(cores_allocated=4.0)
    assert found(agents={"here": [full]}, starting=evicted) == LaunchForecast(False, DEFAULT_START_S), (
        "a staged one yields to it"
    )
    assert found(agents={"here": [full]}, starting={"there": evicted["here"]}).expected_s is None


def test_a_plan_means_for_a_config_its_attempt_and_those_before_it():
    pools = [replace(POOL, staging_config_id=name) for name in ("a", "b")]
    pools.append(replace(POOL, staging_config_id="0", permissions=dict.fromkeys(STAGED_PERMISSIONS, False)))
    attempts = plan_launch([HERE, THERE], "there", IMAGE, pools, ALLOWED)
    launch = simulate_launch(attempts, "b", "there")
    assert (launch.attempt.pool, launch.misses) == (pools[1], ())
    assert [a.pool for a in launch.earlier] == [pools[0]]
    other = simulate_launch(attempts, "0", "there")
    assert [m.code for m in other.misses] == ["permissions"]
    assert [a.pool for a in other.earlier] == pools[:2]
    elsewhere = simulate_launch(attempts, "gone", "here")
    assert (elsewhere.attempt.pool, elsewhere.attempt.zone) == (None, HERE)


def test_a_launch_ends_at_the_first_pool_with_a_session_for_it():
    pools = [replace(POOL, staging_config_id=name) for name in ("a", "b", "c")]
    attempts = plan_launch([HERE, THERE], "there", IMAGE, pools, ALLOWED)
    first = first_attempt_with_session(attempts, lambda attempt: attempt.pool in pools[1:])
    assert first is not None
    assert first.pool == pools[1]
    assert (
        first_attempt_with_session(plan_launch([HERE, THERE], "there", IMAGE, pools, EXCLUDED), lambda _: True) is None
    )
    assert first_attempt_with_session([a for a in attempts if not a.staged], lambda _: True) is None


def test_a_launch_that_nothing_served_is_refused_with_what_stood_in_its_way():
    error = launch_refusal(IMAGE, (), [miss("no_capacity")], "launch-1")
    assert isinstance(error, NoResources)
    assert (error.without_machines().message, error.details) == (
        USER_REMEDIES["no_capacity"],
        {"launch_id": "launch-1"},
    )
    disabled = launch_refusal(replace(IMAGE, enabled=False), (), [miss("no_capacity")], "launch-1")
    assert (type(disabled), disabled.message) == (
        Refused,
        "Workspace Desktop is disabled; an administrator can enable it.",
    )
