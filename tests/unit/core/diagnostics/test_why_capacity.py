"""Why this much capacity is free: the Agents that count, and the tone of the answer."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.core.diagnostics.test_attention import AGENT

from greenroom.core.diagnostics.sentences import ObjectRef
from greenroom.core.diagnostics.why.capacity import capacity_decision
from greenroom.core.diagnostics.why.model import Fact, sentence_of
from greenroom.core.fleet.disk import FreeDisk

BIG = replace(AGENT, agent_id="a2", hostname="big", cores=16.0)


def test_the_capacity_of_the_usable_agents_is_counted_the_fullest_first():
    decision = capacity_decision([BIG, AGENT])
    assert sentence_of(decision.answer) == "20 of 24 cores and 10 GB of 16 GB memory are free on 2 Agents."
    assert [step.result for step in decision.steps] == ["passed", "passed", "passed"]
    assert (decision.tone, decision.steps[2].decides, decision.setting) == ("neutral", True, None)
    vm, big = decision.steps[2].facts
    assert vm == Fact("vm", "6 of 8 cores, 5 GB of 8 GB memory", ObjectRef("agent", "a1"))
    assert big.value == "14 of 16 cores, 5 GB of 8 GB memory"


def test_agents_that_do_not_count_are_named_with_their_state():
    agents = [
        AGENT,
        replace(AGENT, hostname="gone", stored_status="missing"),
        replace(AGENT, hostname="off", enabled=False),
        replace(AGENT, hostname="leaving", draining=True),
        replace(AGENT, hostname="full", disk=FreeDisk(free_bytes=1_000_000_000, kept_bytes=2_000_000_000)),
    ]
    decision = capacity_decision(agents)
    runs, accepts, _ = decision.steps
    assert sentence_of(decision.answer).startswith("6 of 8 cores")
    assert [(fact.name, fact.value) for fact in runs.facts] == [("gone", "missing")]
    assert [(fact.name, fact.value) for fact in accepts.facts] == [
        ("off", "disabled"),
        ("leaving", "draining"),
        ("full", "full has 1 GB of disk free; 2 GB must stay free."),
    ]
    assert (runs.result, accepts.result) == ("stopped", "stopped")
    assert sentence_of(runs.reason) == "The capacity of these Agents does not count:"


def test_without_free_capacity_the_answer_is_a_failure():
    full = capacity_decision([replace(AGENT, cores_allocated=9.0)])
    assert sentence_of(full.answer).startswith("0 of 8 cores")
    assert (full.tone, full.steps[2].result, full.steps[2].facts[0].value) == (
        "failure",
        "stopped",
        "0 of 8 cores, 5 GB of 8 GB memory",
    )
    separate = capacity_decision([replace(AGENT, cores_allocated=8.0), replace(AGENT, memory_allocated=AGENT.memory)])
    assert separate.tone == "failure", "one Agent has cores and the other has memory"
    empty = capacity_decision([])
    assert (empty.tone, sentence_of(empty.steps[2].reason)) == ("failure", "No Agent accepts new sessions.")
