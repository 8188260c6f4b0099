"""Why a launch had its result: the attempt that decided, the answer, and the setting that would change the result."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.core.diagnostics.test_why_agents import CAD, VM

from greenroom.core.access.group_settings import STAGED_PERMISSIONS, GroupSettings, resolve
from greenroom.core.diagnostics.sentences import Help, ObjectRef
from greenroom.core.diagnostics.why.agents import PlacementFacts
from greenroom.core.diagnostics.why.launches import LaunchNow, TracedLaunch, launch_decision, setting_for_launch
from greenroom.core.diagnostics.why.model import DecisiveSetting, Fact, sentence_of
from greenroom.core.launch.placement import PlacementAgent
from greenroom.core.launch.plan import LaunchZone, StagedPool, Step, TraceStep
from greenroom.core.launch.request import facts_of_members
from greenroom.core.workspace.spec_builder import ZoneFacts

NONE: dict[str, bool] = dict.fromkeys(STAGED_PERMISSIONS, False)


def step(
    kind: Step, order: int, reason: str, candidate: str | None = None, *, code: str | None = None, setting: str = ""
) -> TraceStep:
    zone = "eu" if kind.endswith("_here") else "us"
    used = code is None
    return TraceStep(
        order=order,
        step=kind,
        zone_name=zone,
        candidate=candidate,
        used=used,
        code=code,
        reason=reason,
        setting=setting or None,
    )


NO_POOL = step("staged_here", 1, "No staging config for CAD in zone eu.", code="pool_empty")
OTHER = step("staged_here", 1, "x: why.", "c1", code="permissions", setting="permissions")
FULL = step("on_demand_here", 2, "vm is full.", "vm", code="no_capacity")
FULL_2 = step("on_demand_here", 2, "vm2 is full.", "vm2", code="no_capacity")
ELSEWHERE = step("on_demand_elsewhere", 3, "Zone us has no Agent.", code="no_capacity")
PLACED = step("on_demand_here", 2, "A new session was placed on vm.", "vm")


def traced(outcome: str, *trace: TraceStep, waited_s: float | None = None, image_id: str | None = "i1") -> TracedLaunch:
    return TracedLaunch(
        username="ann", friendly_name="CAD", image_id=image_id, outcome=outcome, trace=trace, waited_s=waited_s
    )


def test_the_own_zone_decides_a_failed_launch():
    decision = launch_decision(traced("failed", NO_POOL, FULL, FULL_2, ELSEWHERE), None)
    assert sentence_of(decision.answer) == "ann got no session of CAD. Zone eu: vm is full; vm2 is full."
    assert [step.decides for step in decision.steps] == [False, True, False]
    assert [step.result for step in decision.steps] == ["stopped"] * 3
    assert sentence_of(decision.steps[1].reason) == "2 reasons against it."
    assert decision.steps[1].facts == (Fact("vm", "vm is full."), Fact("vm2", "vm2 is full."))
    assert decision.help == Help("Add an Agent", ObjectRef("agents"), "create")


@pytest.mark.parametrize(
    ("code", "image_id", "help_"),
    [
        ("image_disabled", "i1", Help("Enable the workspace", ObjectRef("image", "i1"), "enable")),
        ("image_disabled", None, None),
        ("zone_not_searched", "i1", None),
    ],
)
def test_the_action_after_a_failure(code: str, image_id: str | None, help_: Help | None):
    trace = step("on_demand_here", 1, "No.", code=code)
    assert launch_decision(traced("failed", trace, image_id=image_id), None).help == help_


def test_a_full_queue_decides_alone():
    decision = launch_decision(traced("failed", step("turn", 1, "200 launches wait.", code="busy")), None)
    assert [step.rule for step in decision.steps] == ["The queue of launches has room"]
    assert decision.steps[0].decides


def test_a_staged_session_was_at_once():
    decision = launch_decision(traced("staged", step("staged_here", 1, "Taken.", "c1"), waited_s=0.3), None)
    assert (sentence_of(decision.answer), decision.tone) == ("ann got a staged session of CAD after 0.3 s.", "ready")
    assert decision.steps[0].reason[-1].object == ObjectRef("staging_config", "c1")


@pytest.mark.parametrize(
    ("missed", "help_"),
    [
        (NO_POOL, Help("Stage sessions of it", ObjectRef("staging_configs"))),
        (OTHER, Help("Show the pool", ObjectRef("staging_config", "c1"))),
    ],
)
def test_the_missed_pool_decides_a_wait(missed: TraceStep, help_: Help):
    decision = launch_decision(traced("on_demand", missed, PLACED, waited_s=8.66), None)
    assert sentence_of(decision.answer) == f"ann got a new session of CAD after 8.7 s. {missed.reason}"
    assert [step.decides for step in decision.steps] == [True, False]
    assert [step.result for step in decision.steps] == ["stopped", "passed"]
    assert (decision.tone, decision.help) == ("warning", help_)


def test_a_launch_of_unknown_time_has_no_time():
    assert sentence_of(launch_decision(traced("on_demand", PLACED), None).answer) == "ann got a new session of CAD."


def test_the_facts_of_several_reasons_name_settings_and_pools():
    two = [
        step("staged_here", 1, "keys", "c1", code="inject_ssh_keys", setting="inject_ssh_keys"),
        step("staged_here", 1, "mount", "c1", code="persistent_profile", setting="persistent_profile_path"),
        step("staged_here", 1, "zone", code="pool_empty"),
    ]
    decision = launch_decision(traced("on_demand", *two, PLACED), None)
    assert [fact.name for fact in decision.steps[0].facts] == ["inject_ssh_keys", "Pool", "Zone"]


def zone(name: str, *, searches: bool = True) -> LaunchZone:
    return LaunchZone(facts=ZoneFacts(zone_id=name, zone_name=name), search_alternate_zones=searches)


def now(
    *agents: PlacementAgent,
    groups: tuple[GroupSettings, ...] = (),
    pools: tuple[StagedPool, ...] = (),
    elsewhere: tuple[PlacementAgent, ...] = (),
    searches: bool = True,
    **image: Any,
) -> LaunchNow:
    cad = replace(CAD, **image)
    return LaunchNow(
        image=cad,
        facts=facts_of_members(resolve(groups), cad),
        memberships=groups,
        all_users_id="all",
        zone=zone("eu", searches=searches),
        others=(zone("us"),),
        pools=pools,
        placements={
            name: PlacementFacts(zone_name=name, agents=found, strategy="Least Load", image=cad)
            for name, found in (("eu", agents), ("us", elsewhere))
        },
    )


def setting_now(state: LaunchNow, *, failed: bool) -> DecisiveSetting:
    setting = setting_for_launch(state, failed=failed)
    assert setting is not None
    return setting


def test_a_disabled_workspace_is_enabled():
    setting = setting_now(now(VM, enabled=False), failed=True)
    assert (setting.name, setting.suggested, setting.after) == ("enabled", True, "CAD can be launched.")


def test_a_launch_that_would_work_now_has_no_setting():
    assert setting_for_launch(now(VM), failed=True) is None
    assert setting_for_launch(now(elsewhere=(VM,)), failed=True) is None


def test_another_zone_with_room_can_be_searched():
    setting = setting_now(now(elsewhere=(VM,), searches=False), failed=True)
    assert (setting.object, setting.name) == (ObjectRef("zone", "eu"), "search_alternate_zones")
    assert setting.after == "A session can be placed in zone us."


def test_a_restricted_workspace_does_not_search():
    off = replace(VM, enabled=False)
    setting = setting_now(now(off, elsewhere=(VM,), only_zone_id="eu"), failed=True)
    assert setting.object == ObjectRef("agent", "a1")


def test_an_agent_of_the_own_zone_can_be_enabled():
    assert setting_now(now(replace(VM, enabled=False)), failed=True).name == "enabled"


def pool_of(permissions: dict[str, bool] = NONE, *, zone_id: str = "eu", paused: bool = False) -> StagedPool:
    return StagedPool(staging_config_id="c1", zone_id=zone_id, permissions=permissions, paused=paused)


@pytest.mark.parametrize("pools", [(), (pool_of(zone_id="us"),), (pool_of(),)], ids=["none", "elsewhere", "empty"])
def test_a_wait_without_a_setting(pools: tuple[StagedPool, ...]):
    assert setting_for_launch(now(VM, pools=pools), failed=False) is None


def test_a_paused_pool_assigns_again():
    setting = setting_now(now(VM, pools=(pool_of(paused=True),)), failed=False)
    assert (setting.name, setting.title, setting.value, setting.suggested) == ("paused", "Paused", True, False)


def test_one_other_permission_is_a_setting_of_the_pool():
    pool = pool_of({**NONE, "allow_kasm_audio": True})
    setting = setting_now(now(VM, pools=(pool,)), failed=False)
    assert (setting.object, setting.name) == (ObjectRef("staging_config", "c1"), "allow_kasm_audio")
    assert (setting.title, setting.value, setting.suggested) == ("", True, False)


def test_two_other_permissions_have_no_single_setting():
    pool = pool_of({**NONE, "allow_kasm_audio": True, "allow_kasm_webcam": True})
    assert setting_for_launch(now(VM, pools=(pool,)), failed=False) is None


def group(name: str = "Students", **settings: Any) -> GroupSettings:
    return GroupSettings(name.lower(), name, 5, settings)


def test_a_setting_of_a_group_excludes_the_user():
    keys = group(inject_ssh_keys=True)
    setting = setting_now(now(VM, groups=(keys,), pools=(pool_of(),)), failed=False)
    assert (setting.object, setting.name, setting.suggested) == (
        ObjectRef("group", "students"),
        "inject_ssh_keys",
        False,
    )
    assert setting.after == "The staged sessions of CAD are for this user."


def test_a_mapping_has_no_value_to_suggest():
    mounts = group(run_config={"hostname": "x"})
    assert setting_now(now(VM, groups=(mounts,), pools=(pool_of(),)), failed=False).suggested is None


def test_two_groups_with_a_mapping_have_no_single_setting():
    groups = (group(run_config={"hostname": "x"}), group("Other", run_config={"shm_size": "1g"}))
    assert setting_for_launch(now(VM, groups=groups, pools=(pool_of(),)), failed=False) is None


def test_two_excluding_settings_have_no_single_setting():
    both = group(inject_ssh_keys=True, expose_user_environment_vars=True)
    assert setting_for_launch(now(VM, groups=(both,), pools=(pool_of(),)), failed=False) is None


def test_an_excluding_field_of_the_workspace_is_not_a_group_setting():
    state = now(VM, pools=(pool_of(),), volume_mappings={"/data/{username}": {"bind": "/data", "mode": "rw"}})
    assert setting_for_launch(state, failed=False) is None
