"""Why a Manager is or is not Primary, and what a switch would do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from greenroom.core.diagnostics.sentences import ObjectRef
from greenroom.core.diagnostics.why.managers import LeadershipFacts, manager_decision
from greenroom.core.diagnostics.why.model import sentence_of

ONE = LeadershipFacts(
    manager_id="m1",
    instance_id="one",
    zone_name="eu",
    enabled=True,
    running=True,
    is_primary=True,
    term=7,
    elected="one became Primary of zone eu with term 7 because the zone had no Primary before",
)
TWO = replace(ONE, manager_id="m2", instance_id="two", is_primary=False)


def test_the_primary_holds_the_leadership():
    decision = manager_decision(ONE, [TWO])
    assert sentence_of(decision.answer) == (
        "one is the Primary of zone eu."
        " one became Primary of zone eu with term 7 because the zone had no Primary before."
    )
    assert [step.result for step in decision.steps] == ["passed"] * 3
    assert decision.steps[2].decides
    assert [fact.value for fact in decision.steps[2].facts][:2] == ["one", "7"]


@pytest.mark.parametrize(
    ("others", "after"),
    [
        ([TWO], "two becomes Primary."),
        ([TWO, replace(TWO, instance_id="three")], "One of two, three becomes Primary."),
        ([replace(TWO, running=False)], "No Manager runs that could become Primary."),
        ([replace(TWO, enabled=False)], "It is refused: a zone needs one enabled Manager."),
    ],
)
def test_the_preview_of_disabling_the_primary(others: list[LeadershipFacts], after: str):
    setting = manager_decision(ONE, others).setting
    assert setting is not None
    assert (setting.object, setting.suggested, setting.before) == (
        ObjectRef("manager", "m1"),
        False,
        "one is the Primary.",
    )
    assert setting.after == after


def test_the_only_manager_has_no_setting():
    assert manager_decision(replace(ONE, elected=""), []).setting is None


@pytest.mark.parametrize(
    ("others", "after"), [([ONE], "It waits for the leadership."), ([], "It becomes Primary if it runs.")]
)
def test_a_disabled_manager_is_never_primary(others: list[LeadershipFacts], after: str):
    decision = manager_decision(replace(TWO, enabled=False), others)
    assert [step.decides for step in decision.steps] == [True, False, False]
    assert decision.setting is not None
    assert (decision.setting.suggested, decision.setting.after) == (True, after)
    assert decision.setting.before == "two is disabled."


def test_a_silent_manager_is_not_primary():
    decision = manager_decision(replace(TWO, running=False), [ONE])
    assert [step.decides for step in decision.steps] == [False, True, False]
    assert decision.tone == "failure"


def test_a_free_leadership_is_taken_soon():
    decision = manager_decision(TWO, [replace(ONE, is_primary=False)])
    assert sentence_of(decision.answer) == "Zone eu has no Primary now. two can take the leadership."
    assert decision.steps[2].facts[0].value == "none"


def test_another_manager_holds_the_leadership():
    decision = manager_decision(TWO, [ONE])
    assert sentence_of(decision.answer) == "one is the Primary of zone eu. two waits."
    assert decision.setting is not None
    assert (decision.setting.object, decision.setting.after) == (ObjectRef("manager", "m1"), "two becomes Primary.")
