"""The staged sessions of an Agent that is disabled, drained, missing or moved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.pools import BIG, CONFIG, IMAGE, session, snapshot

from greenroom.core.launch.placement import PlacementAgent
from greenroom.core.pool.model import PoolPlan, PoolSnapshot, Retire, Shortfall
from greenroom.core.pool.plan import plan

LEFT = [session(number, agent_id="a2") for number in (1, 2, 3)]
"""A full pool on the Agent that leaves."""


def other(**changes: Any) -> PlacementAgent:
    """The Agent that leaves."""
    return replace(BIG, agent_id="a2", hostname="agent-2", **changes)


def ended_session_ids(made: PoolPlan) -> list[str]:
    return sorted(action.session_id for action in made.actions if isinstance(action, Retire))


def leaving(**changes: Any) -> PoolSnapshot:
    """A full pool on an Agent that leaves, with a second Agent that has capacity."""
    return snapshot(*LEFT, agents=(BIG, other(**changes)))


@pytest.mark.parametrize("change", [{"enabled": False}, {"draining": True}, {"status": "missing"}])
def test_they_are_replaced_elsewhere_before_they_end(change: dict[str, object]):
    made = plan(leaving(**change))
    assert (len(made.creates), {create.agent_id for create in made.creates}, ended_session_ids(made)) == (3, {"a1"}, [])


@pytest.mark.parametrize("change", [{"enabled": False}, {"draining": True}])
def test_they_end_when_the_pool_is_full_without_them(change: dict[str, object]):
    full = [session(number) for number in (4, 5, 6)]
    made = plan(snapshot(*LEFT, *full, agents=(BIG, other(**change))))
    assert ended_session_ids(made) == ["s1", "s2", "s3"]
    assert made.creates == ()


def test_those_of_a_missing_agent_wait_for_it_and_then_the_excess_ends():
    full = [session(number) for number in (4, 5, 6)]
    away = [replace(one, status="unreachable", claimable=False) for one in LEFT]
    assert plan(snapshot(*away, *full, agents=(BIG, other(status="missing")))).actions == ()
    made = plan(snapshot(*LEFT, *full, agents=(BIG, other())))
    assert ended_session_ids(made) == ["s1", "s2", "s3"]


def test_without_room_elsewhere_only_a_draining_agent_becomes_empty():
    assert ended_session_ids(plan(snapshot(*LEFT, agents=(other(enabled=False),)))) == []
    made = plan(snapshot(*LEFT, agents=(other(draining=True),)))
    assert ended_session_ids(made) == ["s1", "s2", "s3"]
    assert made.actions[0].reason == "agent-2 is draining, and no other Agent has room for it."
    assert made.shortfall is not None
    assert made.shortfall.code == "no-agent"


def test_a_draining_agent_keeps_them_while_another_fetches_the_image():
    fetching = replace(BIG, image_state="pulling")
    assert ended_session_ids(plan(snapshot(*LEFT, agents=(fetching, other(draining=True))))) == []


@pytest.mark.parametrize(
    ("change", "only_agent_id"),
    [({"status": "dead"}, None), ({"enabled": False}, None), ({}, "a2")],
    ids=["dead", "disabled", "not the one the workspace is restricted to"],
)
def test_a_draining_agent_does_not_wait_for_one_without_the_image(change: dict[str, Any], only_agent_id: str | None):
    without = replace(BIG, image_state="absent", **change)
    image = replace(IMAGE, only_agent_id=only_agent_id)
    made = plan(snapshot(*LEFT, agents=(without, other(draining=True)), image=image))
    assert ended_session_ids(made) == ["s1", "s2", "s3"]
    assert made.shortfall is not None
    assert made.shortfall.code == "no-agent", "no Agent fetches anything for it"


def test_a_draining_agent_becomes_empty_also_of_a_paused_pool():
    made = plan(replace(leaving(draining=True), config=replace(CONFIG, paused=True)))
    assert ended_session_ids(made) == ["s1", "s2", "s3"]
    assert ended_session_ids(plan(replace(leaving(enabled=False), config=replace(CONFIG, paused=True)))) == []


def test_those_of_an_agent_moved_to_another_zone_are_replaced():
    made = plan(snapshot(session(1), session(2), session(3, agent_id="elsewhere"), agents=(BIG,)))
    assert made.actions[0] == Retire("s3", "Its Agent is not in zone eu any more.")
    assert len(made.creates) == 1


def test_a_start_on_a_silent_runtime_is_not_reported_as_starting():
    silent = replace(BIG, runtime_error="The Docker daemon does not answer: connection refused.")
    made = plan(snapshot(session(0), session(1, "starting"), session(2, "requested"), agents=(silent,)))
    assert made.shortfall == Shortfall(
        "no-agent",
        "2 of 3 not staged: agent-1 cannot start sessions: The Docker daemon does not answer: connection refused.",
    )


def test_a_start_on_a_crash_looping_agent_has_its_last_error():
    loops = replace(
        BIG, crash_loop="It is crash-looping: it started 3 times within 5 minutes. The last error: bad row."
    )
    made = plan(snapshot(session(0), session(1, "starting"), session(2, "requested"), agents=(loops,)))
    assert made.shortfall == Shortfall(
        "no-agent",
        "2 of 3 not staged: agent-1 is crash-looping: it started 3 times within 5 minutes. The last error: bad row.",
    )
