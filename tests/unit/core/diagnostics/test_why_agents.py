"""Why an Agent is or is not used: the deciding rule, the rules around it, and the setting that would change it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from greenroom.core.diagnostics.sentences import ObjectRef
from greenroom.core.diagnostics.why.agents import PlacementFacts, agent_decision, setting_for_room
from greenroom.core.diagnostics.why.model import MAX_FACTS, Fact, first_facts, sentence_of, text_of
from greenroom.core.fleet.disk import FreeDisk
from greenroom.core.launch.placement import RULES, PlacementAgent
from greenroom.core.workspace.spec_builder import ImageFacts

GB = 1_000_000_000
CAD = ImageFacts(image_id="i1", name="cad:1", friendly_name="CAD", cores=2, memory=GB)
VM = PlacementAgent(agent_id="a1", hostname="vm", cores=8, memory=8 * GB)
TITLES = [
    "The workspace may run on it",
    "It checks in",
    "It accepts new sessions",
    "Its disk has room",
    "It has the image",
    "It has free cores and memory",
]


def facts(*agents: PlacementAgent, image: ImageFacts | None = CAD) -> PlacementFacts:
    return PlacementFacts(zone_name="eu", agents=agents, strategy="Least Kasms", image=image)


@pytest.mark.parametrize(
    ("changes", "image", "rule", "answer"),
    [
        ({}, {"only_agent_id": "gone"}, 0, "vm: the workspace is restricted to an Agent that is not in this zone."),
        ({"status": "missing"}, {}, 1, "vm is missing: it has not checked in for some time."),
        ({"enabled": False}, {}, 2, "vm is disabled."),
        ({"draining": True}, {}, 2, "vm is draining and takes no new sessions."),
        (
            {"image_state": "failed", "image_error": "no such image."},
            {},
            4,
            "vm cannot get image cad:1: no such image.",
        ),
        ({"disk": FreeDisk(free_bytes=1, kept_bytes=GB)}, {}, 3, "free"),
        ({}, {"cores": 64}, 5, "vm has 8 of 8 cores free, 64 are needed."),
    ],
)
def test_the_first_rule_that_stops_decides(changes: dict[str, Any], image: dict[str, Any], rule: int, answer: str):
    agent = replace(VM, **changes)
    decision = agent_decision(agent, facts(agent, image=replace(CAD, **image)))
    assert [step.rule for step in decision.steps] == [*TITLES, "It comes first by Least Kasms"]
    assert [step.decides for step in decision.steps].index(True) == rule
    assert sum(step.decides for step in decision.steps) == 1
    results = [step.result for step in decision.steps]
    assert results == ["passed"] * rule + ["stopped"] + ["unreached"] * (6 - rule)
    assert answer in sentence_of(decision.answer)
    assert decision.tone == "failure"


def test_the_rules_are_those_of_the_placement():
    assert len(RULES) == len(TITLES)


def test_the_agent_that_comes_first_gets_the_session():
    decision = agent_decision(VM, facts(VM, replace(VM, agent_id="a2", hostname="vm2", sessions=3)))
    assert sentence_of(decision.answer) == "vm gets the next session of zone eu."
    assert decision.steps[-1].result == "passed"
    assert [fact.name for fact in decision.steps[-1].facts] == ["Load of vm"]


def test_an_agent_behind_another_names_the_other():
    busy = replace(VM, sessions=3)
    decision = agent_decision(busy, facts(busy, replace(VM, agent_id="a2", hostname="vm2", sessions=1)))
    assert sentence_of(decision.answer) == "vm can run it, but vm2 comes first by Least Kasms."
    assert (decision.tone, decision.steps[-1].decides) == ("neutral", True)
    assert [fact.value for fact in decision.steps[-1].facts] == ["0% load, 1 session", "0% load, 3 sessions"]


def test_without_a_workspace_the_rules_about_it_are_left_out():
    decision = agent_decision(replace(VM, enabled=False), facts(replace(VM, enabled=False), image=None))
    assert [step.rule for step in decision.steps][:2] == [TITLES[1], TITLES[2]]
    assert decision.question == "Can vm run a session?"
    assert decision.setting is not None
    assert decision.setting.name == "enabled"


def test_a_full_agent_cannot_run_a_session_of_any_workspace():
    full = replace(VM, cores_allocated=8.0)
    decision = agent_decision(full, facts(full, image=None))
    assert sentence_of(decision.answer) == "vm has 0 of 8 cores free, 0.1 are needed."
    assert decision.setting is None


@pytest.mark.parametrize(
    ("image", "value"), [({}, "none"), ({"only_agent_id": "a1"}, "vm"), ({"only_agent_id": "x"}, "elsewhere")]
)
def test_the_input_of_the_restriction(image: dict[str, Any], value: str):
    # A step after the deciding one has no inputs, so the Agent must be the last that passes or stops here.
    decision = agent_decision(VM, facts(VM, image=replace(CAD, **image)))
    assert decision.steps[0].facts == (Fact("Restriction", value),)


def test_the_free_disk_is_an_input():
    agent = replace(VM, disk=FreeDisk(free_bytes=5 * GB, kept_bytes=GB))
    assert agent_decision(agent, facts(agent)).steps[3].facts == (Fact("Free", "5 GB"), Fact("Kept free", "1 GB"))
    unknown = replace(VM, disk=FreeDisk(free_bytes=None, kept_bytes=GB))
    shown = agent_decision(unknown, facts(unknown)).steps[3].facts
    assert shown == (Fact("Free", "not reported"), Fact("Kept free", "1 GB"))


@pytest.mark.parametrize(
    ("changes", "name", "suggested"), [({"enabled": False}, "enabled", True), ({"draining": True}, "draining", False)]
)
def test_a_switched_agent_has_room(changes: dict[str, Any], name: str, suggested: bool):
    setting = setting_for_room(facts(replace(VM, **changes)))
    assert setting is not None
    assert (setting.object, setting.name, setting.suggested) == (ObjectRef("agent", "a1"), name, suggested)
    assert setting.after == "A session can be placed on vm."


def test_two_obstacles_have_no_single_setting():
    assert setting_for_room(facts(replace(VM, enabled=False, draining=True))) is None


def test_a_switch_of_another_agent_does_not_explain_this_one():
    off = replace(VM, agent_id="a2", hostname="other", enabled=False)
    missing = replace(VM, status="missing")
    assert setting_for_room(facts(missing, off), only=missing) is None
    found = setting_for_room(facts(missing, off))
    assert found is not None
    assert found.owner == "Agent other"


@pytest.mark.parametrize(
    ("image", "agent", "name", "suggested"),
    [
        ({"cores": 64}, {"cores_allocated": 0.45}, "cores", 7.5),
        ({"cores": 64, "cpu_mode": "Quotas"}, {"overcommit": 4.0}, "cores", 2.0),
        ({"memory": 99 * GB}, {}, "memory", 8 * GB),
        ({"memory": 99 * GB}, {"cores_allocated": 6.0}, "memory", 8 * GB),
    ],
)
def test_a_smaller_workspace_has_room(image: dict[str, Any], agent: dict[str, Any], name: str, suggested: float):
    setting = setting_for_room(facts(replace(VM, **agent), image=replace(CAD, **image)))
    assert setting is not None
    assert (setting.name, setting.suggested, setting.owner) == (name, suggested, "workspace CAD")


@pytest.mark.parametrize("full", [{"cores_allocated": 8.0}, {"cores_allocated": 8.0, "memory_allocated": 8 * GB}])
def test_a_full_agent_has_no_setting(full: dict[str, Any]):
    assert setting_for_room(facts(replace(VM, **full))) is None


def test_many_facts_are_counted():
    some = [Fact(str(number), "x") for number in range(MAX_FACTS + 3)]
    assert first_facts(some[:MAX_FACTS], "Agents") == tuple(some[:MAX_FACTS])
    assert first_facts(some, "Agents")[-1] == Fact("More", "4 more Agents")


@pytest.mark.parametrize(("reason", "sentence"), [("vm is full. ", "vm is full."), (" ", ""), ("", "")])
def test_a_reason_has_one_full_stop(reason: str, sentence: str):
    assert text_of(reason) == sentence
