"""A pool whose sessions do not start on one Agent: the others are tried first."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.pools import BIG, CONFIG, NOW, session, snapshot

from greenroom.core.pool.model import Create
from greenroom.core.pool.plan import plan

OTHER = replace(BIG, agent_id="a2", hostname="agent-2", cores_allocated=50)
SMALL = replace(BIG, agent_id="a2", hostname="agent-2", cores=2)
FAILED_ON_1 = frozenset({"a1"})


def places(creates: tuple[Create, ...]) -> list[str]:
    return [create.agent_id for create in creates]


def test_an_agent_with_a_recent_failure_is_tried_last_with_the_reason():
    made = plan(snapshot(agents=(BIG, OTHER), failed_agent_ids=FAILED_ON_1))
    assert places(made.creates) == ["a2", "a2", "a2"]
    assert made.creates[0].reason == (
        "0 of 3 staged; placed on agent-2 and not on agent-1, where a start failed lately."
    )
    assert places(plan(snapshot(agents=(BIG, OTHER))).creates)[0] == "a1", "it has the least load"


def test_it_is_used_when_the_others_are_full():
    made = plan(snapshot(agents=(BIG, SMALL), failed_agent_ids=FAILED_ON_1))
    assert places(made.creates) == ["a2", "a2", "a1"]


def test_it_is_used_when_it_is_the_only_one():
    made = plan(snapshot(failed_agent_ids=FAILED_ON_1))
    assert places(made.creates) == ["a1", "a1", "a1"]
    assert "not on" not in made.creates[0].reason


def test_the_single_attempt_after_a_failure_uses_another_agent():
    config = replace(CONFIG, failures=1, last_error="e", next_try=NOW)
    assert places(plan(snapshot(config=config, agents=(BIG, OTHER), failed_agent_ids=FAILED_ON_1)).creates) == ["a2"]


def test_the_replacement_of_a_session_uses_another_agent():
    old = [session(n, created=NOW, expires=NOW) for n in range(3)]
    config = replace(CONFIG, recycled=NOW.replace(year=2030))
    sessions = [replace(s, expires=NOW.replace(year=2031)) for s in old]
    made = plan(snapshot(*sessions, config=config, agents=(BIG, OTHER), failed_agent_ids=FAILED_ON_1))
    assert places(made.creates) == ["a2"]
