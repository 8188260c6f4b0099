"""The staged sessions that are ended for a launch on demand in a full zone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.events import ChangeEvent
from greenroom.core.launch.eviction import (
    AgentWithRoom,
    StartingSession,
    agents_large_enough,
    events_of,
    placement_reason,
    room_after_eviction,
    waiting_for_room_text,
)
from greenroom.core.launch.placement import TOLERANCE, PlacementAgent, PlacementRequest, Rejection, place

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REQUEST = PlacementRequest(image="desktop", cores=2, memory=200)
AGENT = PlacementAgent(
    agent_id="a1", hostname="agent-1", cores=8, memory=1000, cores_allocated=8, memory_allocated=800, sessions=8
)


def starting(number: int, **changes: Any) -> StartingSession:
    """Number `number` of the starting staged sessions, the oldest first, of 1 core."""
    made = StartingSession(
        session_id=f"s{number}",
        staging_config_id="c",
        agent_id="a1",
        cores=1,
        memory=100,
        created=NOW + timedelta(seconds=number),
    )
    return replace(made, **changes)


def room(
    sessions: Sequence[StartingSession], *agents: PlacementAgent, request: PlacementRequest = REQUEST
) -> AgentWithRoom | None:
    return room_after_eviction(place(agents or (AGENT,), request, "Least Load").rejected, request, sessions)


def ids(found: AgentWithRoom | None) -> list[str] | None:
    return None if found is None else [session.session_id for session in found.evicted]


def test_the_newest_yield_as_many_as_are_needed():
    assert ids(room([starting(1), starting(2), starting(3)])) == ["s3", "s2"]


def test_a_replacement_goes_before_what_is_missing_from_a_pool():
    assert ids(room([starting(1, is_replacement=True), starting(2), starting(3)])) == ["s1", "s3"]


def test_no_session_yields_in_vain():
    assert ids(room([starting(1)])) is None
    assert ids(room([starting(1, cores=2), starting(2)])) == ["s1"], "s2, the newer one, would not have been enough"


def test_what_yields_is_announced_with_its_agent_and_pool():
    assert events_of([starting(1)]) == {
        ChangeEvent.session("s1"),
        ChangeEvent.agent("a1", "s1"),
        ChangeEvent.staging("c"),
    }


def test_where_the_fewest_have_to_yield():
    other = replace(AGENT, agent_id="a2", hostname="agent-2", cores_allocated=7)
    sessions = [starting(1), starting(2), starting(3, agent_id="a2"), starting(4, agent_id="a2")]
    found = room(sessions, AGENT, other)
    assert found is not None
    assert (found.agent.hostname, ids(found)) == ("agent-2", ["s4"])


@pytest.mark.parametrize("change", [{"draining": True}, {"status": "missing"}, {"image_state": "absent"}, {"cores": 1}])
def test_an_agent_that_lacks_more_than_room_is_left_alone(change: dict[str, object]):
    agent = replace(AGENT, **change)
    assert room([starting(1), starting(2)], agent) is None
    assert agents_large_enough(place((agent,), REQUEST, "Least Load").rejected, REQUEST) == ()


def test_the_sentences():
    assert placement_reason(AgentWithRoom(AGENT), "eu") == "A new session was placed on agent-1 in zone eu."
    assert placement_reason(AgentWithRoom(AGENT, (starting(1),)), "eu") == (
        "A new session was placed on agent-1 in zone eu, in place of a staged session that was not "
        "usable yet: launches of users have priority."
    )
    assert "of 2 staged sessions that were not" in placement_reason(
        AgentWithRoom(AGENT, (starting(1), starting(2))), "eu"
    )
    assert waiting_for_room_text(0, "eu") is None
    assert waiting_for_room_text(1, "eu") == "1 user waits for room in zone eu"
    assert waiting_for_room_text(2, "eu") == "2 users wait for room in zone eu"


# Properties -------------------------------------------------------------------------------------------------------

Case = tuple[list[PlacementAgent], list[StartingSession]]
Maker = Callable[[Sequence[Rejection], PlacementRequest, Sequence[StartingSession]], AgentWithRoom | None]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Full Agents, and the sessions that are starting on them."""
    agents, sessions = list[PlacementAgent](), list[StartingSession]()
    for agent_id in draw(st.sampled_from([["a1"], ["a1", "a2"]])):
        own = [
            starting(
                len(sessions) + n,
                agent_id=agent_id,
                cores=draw(st.sampled_from([0.5, 1, 2])),
                memory=draw(st.sampled_from([50, 100, 300])),
                is_replacement=draw(st.booleans()),
            )
            for n in range(draw(st.integers(0, 5)))
        ]
        sessions += own
        others = draw(st.sampled_from([0, 1, 6]))
        cores = sum(u.cores for u in own) + others + draw(st.sampled_from([0, 0.5, 1]))
        agents.append(
            replace(
                AGENT,
                agent_id=agent_id,
                hostname=agent_id,
                draining=draw(st.integers(0, 5)) == 0,
                cores=cores,
                cores_allocated=sum(u.cores for u in own) + others,
                memory=sum(u.memory for u in own) + 100,
                memory_allocated=sum(u.memory for u in own),
            )
        )
    return agents, sessions


def _fits(agent: PlacementAgent, gone: Sequence[StartingSession]) -> bool:
    return (
        agent.cores_allocated - sum(u.cores for u in gone) + REQUEST.cores <= agent.cores + TOLERANCE
        and agent.memory_allocated - sum(u.memory for u in gone) + REQUEST.memory <= agent.memory
    )


def _room_is_enough_and_none_yields_in_vain(make: Maker, case: Case) -> None:
    agents, sessions = case
    found = make(place(agents, REQUEST, "Least Load").rejected, REQUEST, sessions)
    full = [a for a in agents if not a.draining and not _fits(a, [])]
    enough = [a for a in full if _fits(a, [u for u in sessions if u.agent_id == a.agent_id])]
    assert (found is not None) == bool(enough)
    if found is not None:
        assert found.agent in enough
        assert all(u in sessions and u.agent_id == found.agent.agent_id for u in found.evicted)
        assert len(set(found.evicted)) == len(found.evicted)
        assert _fits(found.agent, found.evicted)
        for without in found.evicted:
            assert not _fits(found.agent, [u for u in found.evicted if u is not without])


def _all_of_them(
    rejected: Sequence[Rejection], request: PlacementRequest, sessions: Sequence[StartingSession]
) -> AgentWithRoom | None:
    found = room_after_eviction(rejected, request, sessions)
    return found and AgentWithRoom(found.agent, tuple(u for u in sessions if u.agent_id == found.agent.agent_id))


def _one_is_enough(
    rejected: Sequence[Rejection], request: PlacementRequest, sessions: Sequence[StartingSession]
) -> AgentWithRoom | None:
    found = room_after_eviction(rejected, request, sessions)
    return found and AgentWithRoom(found.agent, found.evicted[:1])


def _wherever(
    rejected: Sequence[Rejection], request: PlacementRequest, sessions: Sequence[StartingSession]
) -> AgentWithRoom | None:
    del request
    agents = [r.agent for r in rejected if any(u.agent_id == r.agent.agent_id for u in sessions)]
    return AgentWithRoom(agents[0], tuple(u for u in sessions if u.agent_id == agents[0].agent_id)) if agents else None


def test_room_is_enough_and_none_yields_in_vain():
    holds(_room_is_enough_and_none_yields_in_vain, room_after_eviction, cases())


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", [_all_of_them, _one_is_enough, _wherever])
def test_the_property_catches_its_mutants(mutant: Maker):
    catches(_room_is_enough_and_none_yields_in_vain, mutant, cases())
