"""The facts about Agents that plans have without another read."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.pools import BIG, IMAGE

from greenroom.core.launch.placement import placement_request_of
from greenroom.core.pool.agenda import AGENTS_VALID_S, Agenda, AgentCache
from greenroom.core.pool.model import Create

OTHER = replace(BIG, agent_id="a2")


def test_agents_are_known_for_a_while_with_what_was_created_on_them():
    known, request = AgentCache(), placement_request_of(IMAGE)
    known.reserve(IMAGE, [Create("a1", "")])
    assert known.of("i", 5.0) is None
    known.store("i", (BIG, OTHER), 5.0)
    known.reserve(IMAGE, [Create("a1", ""), Create("a2", ""), Create("a1", "")])
    twice = BIG.with_one_more(request).with_one_more(request)
    assert known.of("i", 5.0 + AGENTS_VALID_S / 2) == (twice, OTHER.with_one_more(request))
    assert known.of("other image", 5.0) is None
    assert known.of("i", 5.0 + AGENTS_VALID_S) is None


def test_what_is_said_of_agents_is_looked_at_by_the_next_plan():
    agenda = Agenda()
    agenda.agents.store("i", (BIG,), 5.0)
    agenda.mark_changed("c")
    assert agenda.agents.of("i", 5.0) == (BIG,)
    agenda.mark_all_changed()
    assert agenda.agents.of("i", 5.0) is None
