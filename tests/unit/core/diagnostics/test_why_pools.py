"""Why a pool is short: the deciding rule, the answer, and the setting that would fill it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from greenroom.core.diagnostics.sentences import Help, ObjectRef
from greenroom.core.diagnostics.why.agents import PlacementFacts
from greenroom.core.diagnostics.why.model import DecisiveSetting, Fact, sentence_of
from greenroom.core.diagnostics.why.pools import PoolFacts, pool_decision
from greenroom.core.launch.placement import PlacementAgent
from greenroom.core.pool.model import Shortfall, ShortfallCode
from greenroom.core.pool.shortfalls import POOL_RULES, PoolRule, PoolState
from greenroom.core.workspace.spec_builder import ImageFacts

GB = 1_000_000_000
IMAGE = ImageFacts(image_id="i1", name="desk", friendly_name="Desktop", cores=2, memory=GB)
VM = PlacementAgent(agent_id="a1", hostname="vm", cores=8, memory=8 * GB)
FULL = replace(VM, cores_allocated=8.0)
STATE = PoolState(stored=None, obstacle=None, is_paused=False, num_sessions=3, current=1, starting=0, has_manager=True)


def pool(state: PoolState, *agents: PlacementAgent, failures: int = 0) -> PoolFacts:
    placement = PlacementFacts(zone_name="eu", agents=agents or (VM,), strategy="Least Load", image=IMAGE)
    return PoolFacts(
        staging_config_id="c1", zone_id="z1", state=state, image=IMAGE, placement=placement, failures=failures
    )


def stored(code: ShortfallCode, reason: str = "2 of 3 not staged: why.") -> PoolState:
    return replace(STATE, stored=Shortfall(code, reason))


def setting_of(facts: PoolFacts) -> DecisiveSetting:
    setting = pool_decision(facts).setting
    assert setting is not None
    return setting


def test_a_full_pool_reaches_no_other_rule():
    decision = pool_decision(pool(replace(STATE, current=3)))
    assert sentence_of(decision.answer) == "Pool Desktop in zone eu is full."
    assert [step.result for step in decision.steps] == ["passed", *["unreached"] * 5]
    assert (decision.tone, decision.setting, decision.help) == ("ready", None, None)


def test_a_full_pool_names_the_reason_why_its_next_session_cannot_start():
    problem = Shortfall("image-unavailable", "The next session cannot start: vm cannot get image desk: not found.")
    decision = pool_decision(pool(replace(STATE, current=3, stored_refill_problem=problem), failures=2))
    assert sentence_of(decision.answer) == f"Pool Desktop in zone eu is full. {problem.reason}"
    assert [(step.rule, step.result, step.decides) for step in decision.steps] == [
        ("It has the desired number of sessions", "passed", False),
        ("Its next session can start", "stopped", True),
    ]
    assert (decision.tone, decision.help is None) == ("failure", False)
    no_room = replace(
        STATE, current=3, stored_refill_problem=Shortfall("no-capacity", "The next session cannot start.")
    )
    decision = pool_decision(pool(no_room, FULL))
    assert (decision.tone, decision.setting) == ("warning", None)


@pytest.mark.parametrize(
    ("state", "rule", "tone"),
    [
        (replace(STATE, obstacle=Shortfall("zone-request-host", "nothing.")), "obstacle", "failure"),
        (replace(STATE, is_paused=True), "pause", "warning"),
        (replace(STATE, has_manager=False), "manager", "failure"),
        (stored("no-capacity"), "plan", "failure"),
        (replace(STATE, starting=2), "start", "warning"),
    ],
)
def test_the_first_rule_that_applies_decides(state: PoolState, rule: PoolRule, tone: str):
    decision = pool_decision(pool(state))
    index = POOL_RULES.index(rule)
    assert [step.decides for step in decision.steps] == [number == index for number in range(6)]
    passed = ["passed"] * (index - 1)
    assert [step.result for step in decision.steps] == ["stopped", *passed, "stopped", *["unreached"] * (5 - index)]
    assert sentence_of(decision.steps[0].reason) == "2 of 3 sessions are missing. The next rules say why."
    assert decision.tone == tone


def test_the_answers_of_the_agents_are_inputs_of_the_plan():
    step = pool_decision(pool(stored("no-capacity"), VM, replace(FULL, agent_id="a2", hostname="old"), failures=2))
    assert step.steps[4].facts == (
        Fact("Failed starts in a row", "2"),
        Fact("vm", "has room", ObjectRef("agent", "a1")),
        Fact("old", "old has 0 of 8 cores free, 2 are needed.", ObjectRef("agent", "a2")),
    )


@pytest.mark.parametrize(
    ("starting", "after"), [(0, "2 of 3 not staged yet: they are about to start."), (1, "1 of them is starting")]
)
def test_a_paused_pool_would_start_its_sessions(starting: int, after: str):
    setting = setting_of(pool(replace(STATE, is_paused=True, starting=starting)))
    assert (setting.name, setting.value, setting.suggested) == ("paused", True, False)
    assert setting.before.startswith(f"{2 - starting} of 3 not staged: the config is paused")
    assert after in setting.after


def test_a_disabled_workspace_would_be_staged():
    barred = replace(STATE, obstacle=Shortfall("image-disabled", "Nothing is staged."))
    setting = setting_of(pool(barred))
    assert (setting.object, setting.name, setting.suggested) == (ObjectRef("image", "i1"), "enabled", True)
    assert setting.after == "2 of 3 not staged yet: they are about to start."


def test_an_agent_that_is_disabled_would_give_room():
    setting = setting_of(pool(stored("no-agent"), replace(VM, enabled=False)))
    assert (setting.object, setting.name) == (ObjectRef("agent", "a1"), "enabled")


def test_fewer_sessions_are_suggested_before_a_smaller_workspace():
    small = replace(VM, cores_allocated=7.0)
    setting = setting_of(pool(stored("no-capacity"), small))
    assert (setting.name, setting.value, setting.suggested) == ("num_sessions", 3, 1)
    assert setting.after == "The pool is full with 1 session."
    empty = setting_of(pool(replace(stored("no-capacity"), current=0), small))
    assert (empty.name, empty.suggested) == ("cores", 1.0)


def test_an_empty_pool_without_room_has_no_setting():
    decision = pool_decision(pool(replace(stored("no-capacity"), current=0), FULL))
    assert decision.setting is None


def test_one_missing_session_is_singular():
    decision = pool_decision(pool(replace(STATE, num_sessions=1, current=0, is_paused=True)))
    assert sentence_of(decision.steps[0].reason) == "1 of 1 session is missing. The next rules say why."


@pytest.mark.parametrize(
    ("code", "help_"),
    [
        ("no-capacity", Help("Add an Agent", ObjectRef("agents"), "create")),
        ("no-agent", Help("Show the Agents", ObjectRef("agents"))),
        ("image-unavailable", Help("Correct the image", ObjectRef("image", "i1"))),
        ("start-failing", Help("Show the workspace", ObjectRef("image", "i1"))),
        ("image-pulling", None),
    ],
)
def test_the_action_that_helps(code: ShortfallCode, help_: Help | None):
    assert pool_decision(pool(stored(code))).help == help_


def test_the_action_for_managers_and_zones():
    assert pool_decision(pool(replace(STATE, has_manager=False))).help == Help(
        "Show the Managers", ObjectRef("managers")
    )
    barred = replace(STATE, obstacle=Shortfall("zone-request-host", "Nothing."))
    assert pool_decision(pool(barred)).help == Help("Change the zone", ObjectRef("zone", "z1"), "edit")
