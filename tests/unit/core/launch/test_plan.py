"""The order of a launch over zones and its trace (docs/explanation/a-launch.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.access.group_settings import STAGED_PERMISSIONS, GroupSettings, resolve
from greenroom.core.launch.compatibility import LaunchFacts
from greenroom.core.launch.placement import PlacementAgent, PlacementRequest, place
from greenroom.core.launch.plan import (
    LaunchAttempt,
    LaunchZone,
    Miss,
    PoolContents,
    StagedPool,
    TraceStep,
    concurrency_miss,
    missed_steps,
    no_resources_reason,
    outcome_reason,
    own_zone_codes,
    own_zone_reason,
    placement_misses,
    plan_launch,
    pool_miss,
    success_step,
)
from greenroom.core.workspace.spec_builder import ImageFacts, ZoneFacts, config_hash_of

IMAGE = ImageFacts(image_id="i", name="desktop", friendly_name="Desktop")
OFF: dict[str, bool] = dict.fromkeys(STAGED_PERMISSIONS, False)


def zone(name: str, *, alternate: bool = True) -> LaunchZone:
    return LaunchZone(facts=ZoneFacts(zone_id=f"id-{name}", zone_name=name), search_alternate_zones=alternate)


def pool(name: str, number: int = 1, *, permissions: dict[str, bool] = OFF) -> StagedPool:
    return StagedPool(staging_config_id=f"c-{name}-{number}", zone_id=f"id-{name}", permissions=permissions)


def shape(attempts: Sequence[LaunchAttempt]) -> list[tuple[int, str, str, list[str]]]:
    return [(a.order, a.step, a.zone.zone_name, [m.code for m in a.misses]) for a in attempts]


def test_room_that_was_taken_meanwhile_names_its_agents():
    assert concurrency_miss(["a", "b"]).reason == "Other launches took the room on a, b at the same time."


def test_an_attempt_names_the_sessions_that_it_may_claim():
    staged, on_demand = plan_launch([zone("eu")], "id-eu", IMAGE, [pool("eu")], LaunchFacts())
    assert (staged.config_hash, on_demand.config_hash) == (config_hash_of(IMAGE, zone("eu").facts, OFF), "")


def test_a_workspace_without_a_valid_specification_has_no_staged_session():
    image = replace(IMAGE, volume_mappings={"/srv": {"mode": "ro"}})
    staged, on_demand = plan_launch([zone("eu")], "id-eu", image, [pool("eu")], LaunchFacts())
    assert ([miss.code for miss in staged.misses], on_demand.misses) == (["invalid"], ())


def test_staged_in_all_zones_comes_before_on_demand_in_any():
    zones = [zone("us"), zone("eu"), zone("asia")]
    attempts = plan_launch(zones, "id-eu", IMAGE, [pool("eu"), pool("us")], LaunchFacts())
    assert shape(attempts) == [
        (1, "staged_here", "eu", []),
        (2, "staged_elsewhere", "asia", ["pool_empty"]),
        (3, "staged_elsewhere", "us", []),
        (4, "on_demand_here", "eu", []),
        (5, "on_demand_elsewhere", "asia", []),
        (6, "on_demand_elsewhere", "us", []),
    ]


def test_without_search_alternate_zones_the_others_are_not_searched():
    attempts = plan_launch([zone("eu", alternate=False), zone("us")], "id-eu", IMAGE, [pool("us")], LaunchFacts())
    assert shape(attempts) == [
        (1, "staged_here", "eu", ["pool_empty"]),
        (2, "staged_elsewhere", "us", ["zone_not_searched"]),
        (3, "on_demand_here", "eu", []),
        (4, "on_demand_elsewhere", "us", ["zone_not_searched"]),
    ]
    assert attempts[0].misses == (Miss("pool_empty", "No staging config for Desktop in zone eu."),)
    assert attempts[3].misses == (Miss("zone_not_searched", "Search Alternate Zones is off in zone eu."),)


def test_only_the_current_zones_own_switch_counts():
    attempts = plan_launch([zone("eu"), zone("us", alternate=False)], "id-eu", IMAGE, [pool("us")], LaunchFacts())
    assert all(not a.misses for a in attempts if a.zone.zone_name == "us")


def test_a_zone_barred_by_the_workspace_is_passed_over():
    image = replace(IMAGE, only_zone_id="id-us")
    attempts = plan_launch([zone("eu"), zone("us")], "id-eu", image, [pool("eu"), pool("us")], LaunchFacts())
    assert shape(attempts) == [
        (1, "staged_here", "eu", ["restricted"]),
        (2, "staged_elsewhere", "us", []),
        (3, "on_demand_here", "eu", ["restricted"]),
        (4, "on_demand_elsewhere", "us", []),
    ]


def test_every_violation_is_a_line_with_the_same_order():
    group = GroupSettings("g", "Students", 5, {"inject_ssh_keys": True, "allow_kasm_audio": True})
    attempts = plan_launch([zone("eu")], "id-eu", IMAGE, [pool("eu")], LaunchFacts(settings=resolve([group])))
    lines = missed_steps(attempts[0], attempts[0].misses)
    assert [(line.order, line.code, line.setting, line.candidate) for line in lines] == [
        (1, "inject_ssh_keys", "inject_ssh_keys", "c-eu-1"),
        (1, "permissions", "permissions", "c-eu-1"),
    ]
    assert [(miss.group, miss.waiting_helps) for miss in attempts[0].misses] == [("Students", True)] * 2
    assert lines[0].reason.endswith("when a container is created, so a staged session cannot have them.")


def test_of_several_configs_of_a_zone_the_matching_one_is_tried_first():
    audio = pool("eu", 1, permissions={**OFF, "allow_kasm_audio": True})
    attempts = plan_launch([zone("eu")], "id-eu", IMAGE, [audio, pool("eu", 2)], LaunchFacts())
    assert [a.pool.staging_config_id for a in attempts if a.pool] == ["c-eu-2", "c-eu-1"]


def test_a_disabled_workspace_is_launched_nowhere():
    attempts = plan_launch([zone("eu")], "id-eu", replace(IMAGE, enabled=False), [pool("eu")], LaunchFacts())
    disabled = Miss("image_disabled", "Workspace Desktop is disabled.")
    assert [a.misses for a in attempts] == [(disabled,), (disabled,)]


@pytest.mark.parametrize(
    ("contents", "code", "reason"),
    [
        (PoolContents(), "pool_empty", "No staged session of Desktop in zone eu is free."),
        (
            PoolContents(starting=2, expired=1),
            "pool_empty",
            "No staged session of Desktop in zone eu is free (2 starting, 1 expired).",
        ),
        (PoolContents(outdated=4), "pool_empty", "No staged session of Desktop in zone eu is free (4 out of date)."),
        (
            PoolContents(claimable=1),
            "pool_empty",
            "1 staged session of Desktop in zone eu was being claimed by other launches at the same time.",
        ),
        (
            PoolContents(on_missing_agents=3),
            "agent_missing",
            "3 staged sessions of Desktop in zone eu are on Agents that are missing.",
        ),
        (
            PoolContents(on_disabled_agents=1),
            "agent_disabled",
            "1 staged session of Desktop in zone eu is on an Agent that is disabled or draining.",
        ),
        (
            PoolContents(claimable=2, on_missing_agents=1),
            "pool_empty",
            "2 staged sessions of Desktop in zone eu were being claimed by other launches at the same time.",
        ),
        (
            PoolContents(deleted=True),
            "pool_empty",
            "The staging config of Desktop in zone eu is deleted.",
        ),
        (PoolContents(paused=True), "pool_empty", "The staging config of Desktop in zone eu is paused."),
        (PoolContents(image_enabled=False), "image_disabled", "Workspace Desktop is disabled."),
    ],
)
def test_a_claim_that_found_nothing_says_why(contents: PoolContents, code: str, reason: str):
    miss = pool_miss(contents, IMAGE, zone("eu"))
    assert (miss.code, miss.reason) == (code, reason)


def test_no_resources_says_what_an_administrator_needs():
    request = PlacementRequest(image="desktop", cores=2, memory=1)
    agent = PlacementAgent(agent_id="a", hostname="agent-7", cores=1, memory=10)
    eu, us = zone("eu"), zone("us")
    attempts = plan_launch([eu, us], "id-eu", IMAGE, [], LaunchFacts())
    trace = [line for a in attempts[:2] for line in missed_steps(a, a.misses)]
    for attempt, agents in zip(attempts[2:], ([agent], []), strict=True):
        misses = placement_misses(attempt.zone, place(agents, request, "Least Load"))
        trace += missed_steps(attempt, misses)
    assert no_resources_reason(trace) == (
        "No resources are available to create the requested session. Zone eu: agent-7 has 1 of 1 cores free, 2 are"
        " needed. Zone us has no Agent. End sessions, add an Agent, or raise Cores Override or Memory"
        " Override of an Agent."
    )
    assert outcome_reason(trace) == "Zone eu: agent-7 has 1 of 1 cores free, 2 are needed. Zone us has no Agent."
    assert own_zone_reason(trace) == "Zone eu: agent-7 has 1 of 1 cores free, 2 are needed."
    assert own_zone_codes(trace) == {"no_capacity"}


def test_the_reason_of_an_outcome_is_that_of_its_success_or_of_the_last_failure():
    (attempt, *_) = plan_launch([zone("eu")], "id-eu", IMAGE, [pool("eu")], LaunchFacts())
    failed = missed_steps(attempt, [Miss("hand_over_failed", "It failed.")])
    assert outcome_reason([*failed, success_step(attempt, "c-eu-1", "It was assigned.")]) == "It was assigned."
    assert (outcome_reason(failed), outcome_reason([])) == ("It failed.", "")
    assert (own_zone_reason(failed), own_zone_codes(failed)) == ("It failed.", {"hand_over_failed"})
    assert (own_zone_reason([]), own_zone_codes([])) == ("", {""})


def test_a_daemons_message_is_given_once_with_advice_that_helps():
    words = "The image desktop could not be fetched: no such host."
    agents = [
        PlacementAgent(agent_id=n, hostname=n, cores=8, image_state="failed", image_error=words) for n in ("a", "b")
    ]
    request = PlacementRequest(image="desktop", cores=2, memory=1)
    trace: list[TraceStep] = []
    attempts = plan_launch([zone("eu"), zone("us")], "id-eu", IMAGE, [], LaunchFacts())
    for attempt, offered in zip(attempts[2:], (agents, []), strict=True):
        misses = placement_misses(attempt.zone, place(offered, request, "Least Load"))
        trace += missed_steps(attempt, misses)
    assert no_resources_reason(trace) == (
        "No resources are available to create the requested session. Zone eu: a cannot get image "
        "desktop: no such host; b cannot get image desktop for the same reason. Zone us has no Agent. "
        "Check the name of the image, its registry and the credentials in the workspace."
    )


def test_of_many_agents_the_first_are_named_and_each_advice_given_once():
    agents = [PlacementAgent(agent_id=f"{n}", hostname=f"agent-{n}", status="missing", cores=8) for n in range(7)]
    agents.append(PlacementAgent(agent_id="x", hostname="agent-10", enabled=False, cores=8))
    attempt = plan_launch([zone("eu")], "id-eu", IMAGE, [], LaunchFacts())[-1]
    placement = place(agents, PlacementRequest(image="desktop", cores=2, memory=1), "Least Load")
    text = no_resources_reason(missed_steps(attempt, placement_misses(zone("eu"), placement)))
    assert text.endswith(
        "and 3 more Agents cannot run it. Check that the Agents run, and that they reach a Manager of "
        "their zone and Docker or Kubernetes. Enable an Agent or end its draining."
    )
    assert len(placement.rejected) == 8


def test_a_restriction_names_the_zone():
    image = replace(IMAGE, only_zone_id="id-us")
    (miss,) = plan_launch([zone("eu"), zone("us")], "id-eu", image, [], LaunchFacts())[0].misses
    assert (miss.code, miss.reason) == ("restricted", "Workspace Desktop is restricted to zone us.")
    (miss,) = plan_launch([zone("eu")], "id-eu", replace(image, only_zone_id="gone"), [], LaunchFacts())[0].misses
    assert miss.reason == "Workspace Desktop is restricted to a zone that does not exist."


def test_a_paused_pool_is_passed_over_and_says_so():
    paused = replace(pool("eu"), paused=True)
    first, second, *_ = plan_launch([zone("eu")], "id-eu", IMAGE, [paused, pool("eu", 2)], LaunchFacts())
    assert (first.pool, first.misses) == (pool("eu", 2), ())
    assert second.misses == (Miss("pool_empty", "The staging config is paused.", candidate="c-eu-1"),)


def test_a_trace_ends_with_what_the_user_got():
    (attempt, *_) = plan_launch([zone("eu")], "id-eu", IMAGE, [pool("eu")], LaunchFacts())
    assert success_step(attempt, "c-eu-1", "It was claimed.") == TraceStep(
        order=1, step="staged_here", zone_name="eu", candidate="c-eu-1", used=True, code=None, reason="It was claimed."
    )
    assert missed_steps(attempt, [Miss("permissions", "They differ.", setting="allow_kasm_audio")]) == [
        TraceStep(
            order=1,
            step="staged_here",
            zone_name="eu",
            candidate="c-eu-1",
            used=False,
            code="permissions",
            reason="They differ.",
            setting="allow_kasm_audio",
        )
    ]


NAMES = ["a", "b", "c", "d"]


@for_all(
    names=st.permutations(NAMES),
    here=st.sampled_from(NAMES),
    pools=st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 3)), unique=True),
    alternate=st.booleans(),
    only=st.sampled_from([None, *NAMES]),
    subject=plan_launch,
    mutants=[
        lambda zones, here, image, pools, facts: plan_launch(
            zones, here, replace(image, only_zone_id=None), pools, facts
        ),
        lambda zones, here, image, pools, facts: tuple(reversed(plan_launch(zones, here, image, pools, facts))),
        lambda zones, here, image, pools, facts: plan_launch(zones, here, image, pools[:1], facts),
        lambda zones, here, image, pools, facts: plan_launch(
            [replace(z, search_alternate_zones=True) for z in zones], here, image, pools, facts
        ),
    ],
)
def test_every_zone_is_considered_in_the_documented_order(
    *, subject: Any, names: list[str], here: str, pools: list[tuple[str, int]], alternate: bool, only: str | None
):
    zones = [zone(name, alternate=alternate) for name in names]
    image = replace(IMAGE, only_zone_id=f"id-{only}" if only else None)
    attempts = subject(zones, f"id-{here}", image, [pool(n, i) for n, i in pools], LaunchFacts())
    steps = ["staged_here", "staged_elsewhere", "on_demand_here", "on_demand_elsewhere"]
    keys = [(steps.index(a.step), a.zone.zone_name) for a in attempts]
    assert keys == sorted(keys)
    assert [a.order for a in attempts] == list(range(1, len(attempts) + 1))
    assert {(a.zone.zone_name, a.staged) for a in attempts} == {(n, s) for n in NAMES for s in (True, False)}
    tried = [a for a in attempts if not a.misses]
    assert all(a.zone.zone_name == here or alternate for a in tried)
    assert all(only is None or a.zone.zone_name == only for a in tried)
    assert {a.pool.staging_config_id for a in tried if a.pool} == {
        f"c-{n}-{i}" for n, i in pools if (n == here or alternate) and only in (None, n)
    }


@pytest.mark.parametrize(
    ("contents", "serves"),
    [
        (PoolContents(claimable=1), True),
        (PoolContents(claimable=0), False),
        (PoolContents(claimable=1, image_enabled=False), False),
        (PoolContents(claimable=1, paused=True), False),
        (PoolContents(claimable=1, deleted=True), False),
    ],
)
def test_a_pool_serves_that_has_a_session_and_is_not_out_of_use(contents: PoolContents, serves: bool):
    assert contents.serves is serves
