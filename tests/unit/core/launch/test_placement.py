"""Placement: the candidates, their order, and the reasons against the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.launch.placement import (
    Placement,
    PlacementAgent,
    PlacementRequest,
    Strategy,
    place,
    placement_request_of,
    sessions_with_room,
)
from greenroom.core.workspace.spec_builder import ImageFacts

REQUEST = PlacementRequest(image="desktop", cores=2.0, memory=500_000_000)
QUOTA = replace(REQUEST, cpu_mode="Quotas")
AGENT = PlacementAgent(agent_id="a1", hostname="agent-1", cores=8, memory=4_000_000_000)


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"status": "missing"}, "agent_missing", "agent-1 is missing: it has not checked in for some time"),
        ({"status": "missing", "crash_loop": "It loops."}, "agent_missing", "agent-1 loops"),
        ({"status": "dead"}, "agent_missing", "agent-1 is dead: it has not checked in for a long time"),
        ({"status": "pending"}, "agent_missing", "agent-1 is waiting for its first complete check-in"),
        ({"enabled": False}, "agent_disabled", "agent-1 is disabled"),
        (
            {"status": "pending", "enabled": False},
            "agent_disabled",
            "agent-1 is new and waits for an administrator to enable it",
        ),
        ({"draining": True}, "agent_disabled", "agent-1 is draining and takes no new sessions"),
        (
            {"runtime_error": "The Docker daemon does not answer.", "cores": 0.0},
            "agent_missing",
            "agent-1 cannot start sessions: The Docker daemon does not answer",
        ),
        ({"image_state": "absent"}, "image_unavailable", "agent-1 does not have image desktop yet"),
        (
            {"image_state": "pulling", "image_progress": 7},
            "image_unavailable",
            "agent-1 is still pulling image desktop (7 %)",
        ),
        (
            {"image_state": "failed", "image_error": "no such image"},
            "image_unavailable",
            "agent-1 cannot get image desktop: no such image",
        ),
        (
            {"image_state": "failed", "image_error": "The image desktop could not be fetched: it is away."},
            "image_unavailable",
            "agent-1 cannot get image desktop: it is away",
        ),
        ({"image_state": "failed"}, "image_unavailable", "agent-1 cannot get image desktop: no reason was given"),
        ({"cores_allocated": 7.5}, "no_capacity", "agent-1 has 0.5 of 8 cores free, 2 are needed"),
        (
            {"cores_allocated": 7.5, "set_aside": 2},
            "no_capacity",
            "agent-1 has 0.5 of 8 cores free, 2 are needed (2 quarantined sessions can be deleted)",
        ),
        (
            {"memory_allocated": 3_600_000_000},
            "no_capacity",
            "agent-1 has 400 MB of 4 GB memory free, 500 MB are needed",
        ),
        (
            {"cores_allocated": 7.5, "set_aside": 1},
            "no_capacity",
            "agent-1 has 0.5 of 8 cores free, 2 are needed (1 quarantined session can be deleted)",
        ),
    ],
)
def test_a_rejected_agent_has_its_reason(changes: dict[str, object], code: str, reason: str):
    placement = place([replace(AGENT, **changes)], REQUEST, "Least Load")
    assert placement.candidates == ()
    assert [(r.code, r.reason) for r in placement.rejected] == [(code, reason)]


def test_a_workspace_goes_only_to_agents_that_offer_its_runtime():
    request = placement_request_of(
        ImageFacts(image_id="i", name="desktop", friendly_name="Desktop", run_config={"runtime": "runsc"})
    )
    able = replace(AGENT, agent_id="a2", hostname="agent-2", runtime_classes=("kata", "runsc"))
    placement = place([AGENT, able], request, "Least Load")
    assert placement.candidates == (able,)
    assert [(r.code, r.reason) for r in placement.rejected] == [
        ("restricted", "agent-1 does not offer the runtime runsc of the workspace")
    ]
    assert place([able], REQUEST, "Least Load").candidates == (able,), "one that asks for none goes there, too"


def test_a_lease_with_secrets_goes_only_to_agents_that_add_them_to_requests():
    able = replace(AGENT, agent_id="a2", hostname="agent-2", can_add_secrets=True)
    placement = place([AGENT, able], replace(REQUEST, with_secrets=True), "Least Load")
    assert placement.candidates == (able,)
    assert [(r.code, r.reason) for r in placement.rejected] == [
        ("adds_no_secrets", "agent-1 cannot add secrets to requests, and the lease has some")
    ]


def test_what_just_fits_is_placed():
    full = replace(AGENT, cores_allocated=6.0, memory_allocated=3_500_000_000)
    assert place([full], REQUEST, "Least Load").candidates == (full,)


def test_a_quota_is_refused_in_cores_of_the_host_not_of_the_offer():
    agent = replace(AGENT, cores=128, overcommit=16, cores_allocated=120)
    assert place([agent], REQUEST, "Least Load").candidates == (agent,)
    (rejected,) = place([agent], QUOTA, "Least Load").rejected
    assert (rejected.code, rejected.reason) == (
        "no_capacity",
        "agent-1 has 0.5 of 8 cores free for a quota, 2 are needed",
    )


def as_shares(agents: Sequence[PlacementAgent], request: PlacementRequest, strategy: Strategy) -> Placement:
    return place(agents, replace(request, cpu_mode="Shares"), strategy)


@for_all(
    st.integers(1, 12),
    st.sampled_from([0.5, 1.0, 1.5, 3.0, 16.0]),
    st.sampled_from([0.1, 0.25, 1.0, 2.0]),
    st.sampled_from([REQUEST, QUOTA]),
    subject=place,
    mutants=[as_shares],
)
def test_quotas_fill_the_cores_of_a_host_and_shares_its_offer(
    subject: Any, host: int, overcommit: float, cores: float, kind: PlacementRequest
):
    agent = replace(AGENT, cores=host * overcommit, overcommit=overcommit, memory=10**15)
    request = replace(kind, cores=cores)
    placed = 0
    while subject([agent], request, "Least Load").candidates:
        agent, placed = agent.with_one_more(request), placed + 1
    room = host if kind is QUOTA else host * overcommit
    assert placed == int(room / cores + 1e-6)


def test_a_workspace_restricted_to_one_agent_goes_nowhere_else():
    other = replace(AGENT, agent_id="a2", hostname="agent-2")
    placement = place([AGENT, other], replace(REQUEST, only_agent_id="a2"), "Least Load")
    assert placement.candidates == (other,)
    assert [(r.code, r.reason) for r in placement.rejected] == [
        ("restricted", "agent-1: the workspace is restricted to Agent agent-2")
    ]
    nowhere = place([AGENT], replace(REQUEST, only_agent_id="a9"), "Least Load")
    assert nowhere.rejected[0].reason == "agent-1: the workspace is restricted to an Agent that is not in this zone"


@pytest.mark.parametrize(
    ("strategy", "order"),
    [
        ("Least Load", ["idle", "packed", "busy"]),
        ("Most Load", ["busy", "packed", "idle"]),
        ("Least Kasms", ["idle", "busy", "packed"]),
        ("Most Kasms", ["packed", "busy", "idle"]),
    ],
)
def test_strategies(strategy: Strategy, order: list[str]):
    agents = [
        replace(AGENT, agent_id="busy", cores_allocated=6.0, sessions=1),
        replace(AGENT, agent_id="packed", memory_allocated=2_000_000_000, sessions=20),
        replace(AGENT, agent_id="idle"),
    ]
    assert [a.agent_id for a in place(agents, REQUEST, strategy).candidates] == order


@pytest.mark.parametrize("strategy", get_args(Strategy))
def test_a_silent_agent_is_tried_last(strategy: Strategy):
    agents = [replace(AGENT, agent_id=name, silent=silent) for name, silent in (("a", True), ("b", False), ("c", True))]
    assert [a.agent_id for a in place(agents, REQUEST, strategy).candidates] == ["b", "a", "c"]


def test_a_busy_host_is_loaded_though_little_is_reserved_on_it():
    agents = [
        replace(AGENT, agent_id="burning", cpu_used=0.95, memory_used=0.2),
        replace(AGENT, agent_id="full of memory", cpu_used=0.1, memory_used=0.8),
        replace(AGENT, agent_id="reserved", cores_allocated=4.0, cpu_used=0.05, memory_used=0.1),
        replace(AGENT, agent_id="idle", cpu_used=0.05, memory_used=0.1),
    ]
    order = [a.agent_id for a in place(agents, REQUEST, "Least Load").candidates]
    assert order == ["idle", "reserved", "full of memory", "burning"]
    assert [a.agent_id for a in place(agents, REQUEST, "Most Load").candidates] == order[::-1]


def test_a_burst_is_spread_while_the_measurements_stand_still():
    agents = {n: replace(AGENT, agent_id=n, cores=64.0, cpu_used=0.3, memory_used=0.1) for n in ("a", "b", "c")}
    for _ in range(9):
        first = place(list(agents.values()), REQUEST, "Least Load").candidates[0]
        agents[first.agent_id] = first.with_one_more(REQUEST)
    assert [agent.sessions for agent in agents.values()] == [3, 3, 3]


def test_sums_of_fractions_fill_an_agent_to_the_last():
    agent = replace(AGENT, cores=0.3, cores_allocated=0.1 + 0.1)
    assert place([agent], replace(REQUEST, cores=0.1), "Least Load").candidates == (agent,)


AGENTS = st.lists(
    st.builds(
        PlacementAgent,
        agent_id=st.sampled_from("abcdef"),
        hostname=st.just("h"),
        status=st.sampled_from(["running", "running", "running", "missing"]),
        enabled=st.sampled_from([True, True, True, False]),
        cores=st.integers(2, 6).map(float),
        overcommit=st.sampled_from([1.0, 1.5]),
        memory=st.sampled_from([1_000_000_000, 2_000_000_000]),
        cores_allocated=st.integers(0, 4).map(float),
        sessions=st.integers(0, 9),
        cpu_used=st.none() | st.floats(0, 3),
        memory_used=st.none() | st.floats(0, 1),
        image_state=st.sampled_from(["present", "present", "unknown", "pulling"]),
        silent=st.booleans(),
    ),
    min_size=2,
    unique_by=lambda a: a.agent_id,
)
STRATEGIES: list[Strategy] = ["Least Load", "Most Load", "Least Kasms", "Most Kasms"]


@for_all(
    AGENTS,
    st.sampled_from(STRATEGIES),
    st.sampled_from([REQUEST, QUOTA]),
    subject=place,
    mutants=[
        lambda agents, request, strategy: place(agents, replace(request, cores=request.cores - 1), strategy),
        as_shares,
        lambda agents, request, strategy: Placement(place(agents, request, strategy).candidates, ()),
        lambda agents, request, strategy: replace(
            place(agents, request, strategy),
            candidates=tuple(a for a in agents if a in place(agents, request, strategy).candidates),
        ),
    ],
)
def test_each_agent_is_named_once_and_candidates_have_room(
    subject: Any, agents: list[PlacementAgent], strategy: Strategy, request: PlacementRequest
):
    placement = subject(agents, request, strategy)
    named = [*placement.candidates, *(r.agent for r in placement.rejected)]
    assert sorted(a.agent_id for a in named) == sorted(a.agent_id for a in agents)
    for agent in placement.candidates:
        assert agent.status == "running"
        assert agent.enabled
        assert agent.cores_allocated + 2 * (agent.overcommit if request is QUOTA else 1) <= agent.cores
        assert 0 <= agent.load <= agent.with_one_more(request).load <= 1
    reporting, silent = ([a for a in placement.candidates if a.silent is silent] for silent in (False, True))
    assert placement.candidates == (*reporting, *silent)
    for group in (reporting, silent):
        figures = [a.load if strategy.endswith("Load") else a.sessions for a in group]
        assert figures == sorted(figures, reverse=strategy.startswith("Most"))
    assert placement == subject(list(reversed(agents)), request, strategy)


def by_cores_alone(placement: Placement, request: PlacementRequest) -> int:
    return sessions_with_room(placement, replace(request, memory=1))


def by_memory_alone(placement: Placement, request: PlacementRequest) -> int:
    return sessions_with_room(placement, replace(request, cores=0.001))


@for_all(
    AGENTS,
    st.sampled_from([REQUEST, QUOTA]),
    subject=sessions_with_room,
    mutants=[by_cores_alone, by_memory_alone, lambda placement, request: len(placement.candidates)],
)
def test_there_is_room_for_as_many_sessions_as_can_be_placed(
    subject: Any, agents: list[PlacementAgent], request: PlacementRequest
):
    expected, present = 0, list(agents)
    while candidates := place(present, request, "Least Load").candidates:
        present = [each.with_one_more(request) if each is candidates[0] else each for each in present]
        expected += 1
    assert subject(place(agents, request, "Least Load"), request) == expected


@pytest.mark.parametrize("cores", [5e-324, 1e-300])
def test_the_memory_limits_sessions_with_almost_no_cores(cores: float):
    assert sessions_with_room(Placement((AGENT,), ()), replace(REQUEST, cores=cores)) == 8
