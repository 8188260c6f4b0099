"""The Primary's conclusions about Agents, and the correction of counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.fleet.liveness import (
    AgentReport,
    AgentTransition,
    Allocation,
    EffectiveStatus,
    FleetTimings,
    Lateness,
    SessionsLost,
    checkin_timings_problem,
    corrections,
    effective_status,
    offer_change_text,
    plan,
    unattended_zone_warning,
)

TIMINGS = FleetTimings(missing_s=15, lost_s=600, dead_s=3600)
ORDER = ["running", "missing", "dead"]
CLOSED = "it closed its connection"


def agent(status: Any, silent_s: float | None, **fields: Any) -> AgentReport:
    values = {"agent_id": "a", "hostname": "host-1", "complete": True} | fields
    return AgentReport(status=status, silent_s=silent_s, **values)


@pytest.mark.parametrize(
    ("before", "to", "reason"),
    [
        (agent("pending", None), None, ""),
        (agent("pending", 1, complete=False), None, ""),
        (agent("pending", 1), "running", "its first complete check-in arrived"),
        (agent("pending", 1, enabled=False), None, ""),
        (agent("pending", 9999), None, ""),
        (agent("missing", 3, enabled=False), "running", "it checks in again"),
        (agent("running", 15), None, ""),
        (agent("running", 16), "missing", "it has not reported for 16 s"),
        (agent("running", 16, complete=False), "missing", "it has not reported for 16 s"),
        (agent("missing", 300), None, ""),
        (agent("missing", 600, has_sessions_to_mark_lost=True), None, ""),
        (agent("missing", 3), "running", "it checks in again"),
        (agent("missing", 15), "running", "it checks in again"),
        (agent("missing", 3, complete=False), None, ""),
        (agent("missing", 3600), None, ""),
        (agent("missing", 3601), "dead", "it has not reported for 1 hour"),
        (agent("dead", 9999, has_sessions_to_mark_lost=True), None, ""),
        (agent("dead", 1), "running", "it checks in again"),
        (agent("running", 1, disconnected_s=3), None, ""),
        (agent("running", 8, disconnected_s=4), "missing", f"{CLOSED} 4 s ago and has not checked in since"),
        (agent("running", 8, disconnected_s=4, lateness=Lateness(own_s=0.1)), None, ""),
        (agent("running", 8, disconnected_s=7, lateness=Lateness(own_s=0.1)), "missing", f"{CLOSED} 7 s ago and has"),
        (agent("running", 16, disconnected_s=1), "missing", "it has not reported for 16 s"),
        (agent("pending", 8, disconnected_s=4), None, ""),
        (agent("missing", 8, disconnected_s=4), None, ""),
    ],
)
def test_what_is_concluded(before: AgentReport, to: Any, reason: str):
    found = plan([before], TIMINGS, quiet=False)
    assert [(a.before, a.to) for a in found if isinstance(a, AgentTransition)] == ([(before.status, to)] if to else [])
    assert all(a.reason.startswith(reason) for a in found)


def test_a_busy_manager_waits_longer_for_an_agent_that_closed_its_connection():
    gone = agent("running", 8, disconnected_s=4)
    assert plan([gone], TIMINGS, quiet=False, lateness=Lateness(own_s=0.1)) == []
    assert plan([replace(gone, disconnected_s=7)], TIMINGS, quiet=False, lateness=Lateness(own_s=0.1))
    longest = agent("running", 15, disconnected_s=15)
    assert plan([longest], TIMINGS, quiet=False, lateness=Lateness(own_s=9)) == [], "as long as a silent one"


def test_what_is_wrong_with_an_agent_is_a_sentence():
    well = effective_status("running", "eu", silent_s=2.0, has_manager=True, runtime_error="")
    assert well == EffectiveStatus("running")
    away = effective_status("running", "eu", silent_s=2.0, has_manager=True, runtime_error="Docker does not answer.")
    assert away == EffectiveStatus("running", "It cannot start sessions: Docker does not answer.")
    assert effective_status("running", "eu", silent_s=14.0, has_manager=False, runtime_error="") == EffectiveStatus(
        "running"
    )
    silent = effective_status("running", "eu", silent_s=16.0, has_manager=False, runtime_error="")
    assert silent.status == "missing"
    assert (silent.reason or "").startswith("No Manager of zone eu runs, so this Agent cannot report")
    moved = effective_status(
        "running", "eu", silent_s=2.0, has_manager=True, runtime_error="", edge_requested="https://edge-2.example.org"
    )
    assert moved.status == "running"
    assert "is at https://edge-2.example.org now; an administrator must confirm" in (moved.reason or "")
    loop = effective_status("running", "eu", silent_s=2.0, has_manager=True, runtime_error="x", crash_loop="It loops.")
    assert loop == EffectiveStatus("running", "It loops.")
    gone = effective_status("missing", "eu", silent_s=40.2, has_manager=True, runtime_error="")
    assert gone == EffectiveStatus(
        "missing", "It has not checked in for 40 s. Check its host, its process and its network."
    )
    for_long = effective_status("missing", "eu", silent_s=2638.4, has_manager=True, runtime_error="")
    assert (for_long.reason or "").startswith("It has not checked in for 43 minutes. ")
    refused = "The message is not a CheckIn."
    for status in ("running", "missing", "dead"):
        assert effective_status(
            status, "eu", silent_s=40.2, has_manager=True, runtime_error="", check_in_refused=refused
        ) == EffectiveStatus(status, f"The Managers refuse its check-ins: {refused}")
    assert effective_status("dead", "eu", silent_s=None, has_manager=False, runtime_error="x") == EffectiveStatus(
        "dead"
    )


@pytest.mark.parametrize(("others", "running", "warns"), [(0, 0, False), (2, 1, False), (2, 0, True)])
def test_a_zone_whose_other_managers_do_not_run_is_warned_of(others: int, running: int, warns: bool):
    warning = unattended_zone_warning("eu", others, running)
    assert (warning is not None) is warns
    assert warning is None or "No other enabled Manager of zone eu is running" in warning


def test_users_sessions_are_lost_after_a_longer_silence_once():
    (action,) = plan([agent("missing", 601, has_sessions_to_mark_lost=True)], TIMINGS, quiet=False)
    assert action == SessionsLost(agent_id="a", reason="its Agent host-1 was lost: it has not reported for 10 minutes")
    assert plan([agent("missing", 601)], TIMINGS, quiet=False) == []


agents = st.builds(
    AgentReport,
    agent_id=st.uuids().map(str),
    hostname=st.just("h"),
    status=st.sampled_from(["pending", "running", "missing", "dead"]),
    complete=st.booleans(),
    silent_s=st.none() | st.floats(0, 5000),
    enabled=st.booleans(),
    has_sessions_to_mark_lost=st.booleans(),
    disconnected_s=st.none() | st.floats(0, 20),
)
cases = st.tuples(st.lists(agents, max_size=4), st.booleans())
Plan = Callable[..., list[AgentTransition | SessionsLost]]
Case = tuple[list[AgentReport], bool]


def run(subject: Plan, case: Case) -> list[AgentTransition | SessionsLost]:
    return subject(case[0], TIMINGS, quiet=case[1])


def silence_proves_nothing_while_quiet(subject: Plan, case: Case) -> None:
    if case[1]:
        assert all(isinstance(a, AgentTransition) and a.to == "running" for a in run(subject, case))


def who_reports_never_gets_worse(subject: Plan, case: Case) -> None:
    reporting = {
        a.agent_id
        for a in case[0]
        if a.silent_s is not None and a.silent_s <= TIMINGS.missing_s and a.disconnected_s is None
    }
    for action in run(subject, case):
        if action.agent_id in reporting:
            assert isinstance(action, AgentTransition)
            assert action.to == "running"


def who_is_not_enabled_stays_pending(subject: Plan, case: Case) -> None:
    waiting = {a.agent_id for a in case[0] if a.status == "pending" and not a.enabled}
    assert not [action for action in run(subject, case) if action.agent_id in waiting]


def no_agent_dies_without_having_been_missing(subject: Plan, case: Case) -> None:
    for action in run(subject, case):
        if isinstance(action, AgentTransition) and action.to != "running":
            assert ORDER.index(action.to) == ORDER.index(action.before) + 1


def planning_again_comes_to_rest(subject: Plan, case: Case) -> None:
    """At the same time an Agent takes at most two steps; then there is nothing left to conclude."""
    found, quiet = case
    for _ in range(3):
        actions = subject(found, TIMINGS, quiet=quiet)
        found = [_applied(a, [x for x in actions if x.agent_id == a.agent_id]) for a in found]
    assert subject(found, TIMINGS, quiet=quiet) == []


def _applied(before: AgentReport, actions: list[AgentTransition | SessionsLost]) -> AgentReport:
    for action in actions:
        if isinstance(action, SessionsLost):
            before = replace(before, has_sessions_to_mark_lost=False)
        else:
            before = replace(before, status=action.to)
    return before


PROPERTIES = [
    silence_proves_nothing_while_quiet,
    who_reports_never_gets_worse,
    who_is_not_enabled_stays_pending,
    no_agent_dies_without_having_been_missing,
    planning_again_comes_to_rest,
]


def ignores_quiet(found: list[AgentReport], timings: FleetTimings, *, quiet: bool) -> Any:
    del quiet
    return plan(found, timings, quiet=False)


def judges_the_incomplete(found: list[AgentReport], timings: FleetTimings, *, quiet: bool) -> Any:
    worse = [
        AgentTransition(agent_id=a.agent_id, before="running", to="missing", reason="x")
        for a in found
        if not a.complete
    ]
    return worse or plan(found, timings, quiet=quiet)


def promotes_everybody(found: list[AgentReport], timings: FleetTimings, *, quiet: bool) -> Any:
    return plan([replace(a, enabled=True) for a in found], timings, quiet=quiet)


def is_too_early(found: list[AgentReport], timings: FleetTimings, *, quiet: bool) -> Any:
    return [
        replace(a, to="dead") if isinstance(a, AgentTransition) and a.to == "missing" else a
        for a in plan(found, timings, quiet=quiet)
    ]


def revives_the_silent(found: list[AgentReport], timings: FleetTimings, *, quiet: bool) -> Any:
    return [
        replace(a, to="running") if isinstance(a, AgentTransition) and a.to == "dead" else a
        for a in plan(found, timings, quiet=quiet)
    ]


MUTANTS = [ignores_quiet, judges_the_incomplete, promotes_everybody, is_too_early, revives_the_silent]


@pytest.mark.parametrize("check", PROPERTIES)
def test_every_conclusion_keeps_the_rules(check: Callable[[Plan, Case], None]):
    holds(check, plan, cases)


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("check", "mutant"),
    list(
        zip(
            PROPERTIES,
            [ignores_quiet, judges_the_incomplete, promotes_everybody, is_too_early, revives_the_silent],
            strict=True,
        )
    ),
)
def test_each_rule_catches_its_mutant(check: Callable[[Plan, Case], None], mutant: Plan):
    catches(check, mutant, cases)


allocations = st.lists(
    st.builds(
        Allocation,
        agent_id=st.uuids().map(str),
        hostname=st.just("h"),
        cores_stored=st.floats(0, 64),
        memory_stored=st.integers(0, 1 << 40),
        cores_summed=st.floats(0, 64),
        memory_summed=st.integers(0, 1 << 40),
    ),
    max_size=3,
)


def after_correcting_nothing_is_wrong(subject: Callable[..., list[Any]], case: list[Allocation]) -> None:
    fixed = {c.agent_id: c for c in subject(case)}
    after = [
        replace(a, cores_stored=fixed[a.agent_id].cores, memory_stored=fixed[a.agent_id].memory)
        if a.agent_id in fixed
        else a
        for a in case
    ]
    for a in after:
        assert abs(a.cores_stored - a.cores_summed) <= 1e-4
        assert a.memory_stored == a.memory_summed


def test_after_correcting_nothing_is_wrong():
    holds(after_correcting_nothing_is_wrong, corrections, allocations)


@pytest.mark.mutant
def test_the_property_of_corrections_catches_its_mutant():
    def only_cores(case: list[Allocation]) -> list[Any]:
        return [c for c in corrections(case) if any(a.cores_stored != c.cores for a in case)]

    catches(after_correcting_nothing_is_wrong, only_cores, allocations)


def test_the_sentence_has_the_values_before_and_after():
    (correction,) = corrections(
        [
            Allocation(
                agent_id="a",
                hostname="h",
                cores_stored=7,
                memory_stored=0,
                cores_summed=0.5,
                memory_summed=256_000_000,
            )
        ]
    )
    assert correction.reason == ("the reserved capacity of Agent h was corrected: cores 7 → 0.5, memory 0 B → 256 MB")


def test_agents_are_not_missing_while_their_check_in_is_held():
    assert checkin_timings_problem(15, 5) is None
    assert checkin_timings_problem(11, 5) is None
    problem = checkin_timings_problem(10.9, 5)
    assert problem is not None
    assert "GREENROOM_AGENT_MISSING_S = 10.9 s" in problem
    assert "= 11 s" in problem


def test_an_offer_that_follows_names_both():
    sentence = offer_change_text("host-1", (4.0, 1_000_000_000), (3.5, 2_000_000_000))
    assert "Agent host-1" in sentence
    assert sentence.endswith("cores 4 → 3.5, memory 1 GB → 2 GB")
