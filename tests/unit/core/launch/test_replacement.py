"""The replacement of a session that failed while its user waits: the order of zones, and its termination."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.access.group_settings import STAGED_PERMISSIONS
from greenroom.core.launch.placement import PlacementAgent, PlacementRequest, place
from greenroom.core.launch.plan import LaunchAttempt, LaunchZone, Miss, StagedPool, TraceStep, placement_misses
from greenroom.core.launch.wanted import (
    MAX_STAGED_TRIED,
    MAX_STARTS,
    MAX_STARTS_IN_A_ZONE,
    SLOW_BACKOFF_S,
    FailedSession,
    backoff_s,
    failure_step,
    final_error,
    mark_zones_without_host,
    plan_replacement,
    renumbered_after,
    silent_agent_reason,
    with_agent_last,
    without_agents,
)
from greenroom.core.workspace.spec_builder import ImageFacts, ZoneFacts

IMAGE = ImageFacts(image_id="i", name="desktop", friendly_name="Desktop")
OFF: dict[str, bool] = dict.fromkeys(STAGED_PERMISSIONS, False)
USED = TraceStep(order=3, step="staged_here", zone_name="eu", candidate="c-eu", used=True, code=None, reason="Taken.")


def failed(**fields: Any) -> FailedSession:
    values: dict[str, Any] = {
        "at_handover": False,
        "agent_name": "host-1",
        "cause": "Broken.",
        "sessions_tried": 1,
        "permissions": OFF,
        **fields,
    }
    return FailedSession(**values)


def zone(name: str, *, alternate: bool = True) -> LaunchZone:
    return LaunchZone(facts=ZoneFacts(zone_id=f"id-{name}", zone_name=name), search_alternate_zones=alternate)


def pool(name: str, permissions: dict[str, bool] = OFF) -> StagedPool:
    return StagedPool(staging_config_id=f"c-{name}", zone_id=f"id-{name}", permissions=permissions)


def shape(attempts: Sequence[LaunchAttempt]) -> list[tuple[int, str, str, list[str]]]:
    return [(a.order, a.step, a.zone.zone_name, [m.code for m in a.misses]) for a in attempts]


EU, US = zone("eu"), zone("us")


def test_after_a_hand_over_the_launch_begins_anew_in_its_zone():
    attempts = plan_replacement(failed(at_handover=True), [US, EU], "id-eu", IMAGE, [pool("eu"), pool("us")])
    assert shape(attempts) == [
        (1, "staged_here", "eu", []),
        (2, "staged_elsewhere", "us", []),
        (3, "on_demand_here", "eu", []),
        (4, "on_demand_elsewhere", "us", []),
    ]


def test_a_pool_serves_whose_permissions_are_those_of_the_session():
    other = pool("us", OFF | {STAGED_PERMISSIONS[0]: True})
    attempts = plan_replacement(failed(at_handover=True), [EU, US], "id-eu", IMAGE, [pool("eu"), other])
    assert shape(attempts)[1] == (2, "staged_elsewhere", "us", ["permissions"])
    reason = f"Its permissions are not those of the user's session: {STAGED_PERMISSIONS[0]}."
    assert attempts[1].misses == (Miss("permissions", reason, candidate="c-us", setting="permissions"),)


def test_a_start_goes_on_in_no_pool_and_no_zone_where_it_failed_twice():
    session = failed(starts={"id-eu": MAX_STARTS_IN_A_ZONE}, sessions_tried=2)
    attempts = plan_replacement(session, [EU, US], "id-eu", IMAGE, [pool("eu"), pool("us")])
    assert shape(attempts) == [(1, "on_demand_here", "eu", ["start_failed"]), (2, "on_demand_elsewhere", "us", [])]
    assert attempts[0].misses[0].reason == "It could not be started 2 times in zone eu."


@pytest.mark.parametrize("at_handover", [True, False])
def test_a_session_of_no_launch_gets_no_successor(at_handover: bool):
    """Its attempts are those of its launch: without a launch there would be no end."""
    assert (
        plan_replacement(failed(at_handover=at_handover, sessions_tried=0), [EU, US], "id-eu", IMAGE, [pool("eu")])
        == ()
    )


@pytest.mark.parametrize("at_handover", [True, False])
def test_other_zones_are_not_searched_where_the_current_one_does_not(at_handover: bool):
    attempts = plan_replacement(
        failed(at_handover=at_handover), [zone("eu", alternate=False), US], "id-eu", IMAGE, [pool("us")]
    )
    assert {a.zone.zone_name for a in attempts if not a.misses} == {"eu"}


def test_after_many_hand_overs_a_session_is_made_for_the_user():
    session = failed(at_handover=True, sessions_tried=MAX_STAGED_TRIED)
    attempts = plan_replacement(session, [EU, US], "id-eu", IMAGE, [pool("eu"), pool("us")])
    assert shape(attempts) == [(1, "on_demand_here", "eu", []), (2, "on_demand_elsewhere", "us", [])]


def test_what_was_tried_often_enough_is_not_tried_again():
    session = failed(starts={"id-eu": MAX_STARTS - 1, "id-us": 1}, sessions_tried=MAX_STARTS)
    assert plan_replacement(session, [EU, US], "id-eu", IMAGE, [pool("eu")]) == ()


def test_the_last_sentence_has_all_causes_and_why_no_other_agent():
    elsewhere = replace(USED, used=False, code="no_capacity", reason="Zone eu has no other Agent.")
    often = replace(USED, used=False, code="start_failed", reason="It could not be started 2 times in zone eu.")
    assert final_error(failed(), [elsewhere, elsewhere]) == (
        "Broken. It was not tried on another Agent: Zone eu has no other Agent."
    )
    assert final_error(failed(causes=("host-2: Ended.",)), [often]) == "On host-1: Broken. Before that: host-2: Ended."
    assert final_error(failed(causes=("host-2: Ended.",)), [elsewhere]) == (
        "On host-1: Broken. Before that: host-2: Ended."
        " It was not tried on yet another Agent: Zone eu has no other Agent."
    )
    assert final_error(failed(cause="still starting on host-1", causes=("host-2: Ended",)), []) == (
        "still starting on host-1. Before that: host-2: Ended."
    )
    assert final_error(failed(), []) == "Broken."
    assert (
        final_error(failed(agent_name="", causes=("a: Ended.",)), []) == "On its Agent: Broken. Before that: a: Ended."
    )


def test_only_slow_starts_back_off_and_do_not_restart_together():
    slow = failed(at_handover=False, sessions_tried=1, starts={"eu": 1}, slow=True)
    backoffs = {backoff_s(slow, f"session-{number}") for number in range(20)}
    assert len(backoffs) == 20
    assert all(0.5 * SLOW_BACKOFF_S <= backoff <= 1.5 * SLOW_BACKOFF_S for backoff in backoffs)
    assert max(backoffs) - min(backoffs) > SLOW_BACKOFF_S / 2
    again = replace(slow, sessions_tried=2, starts={"eu": 2})
    assert backoff_s(again, "session-1") == 2 * backoff_s(slow, "session-1")
    for other in (replace(slow, slow=False), replace(slow, at_handover=True), replace(slow, starts={"eu": 3})):
        assert backoff_s(other, "session-1") == 0


def test_the_trace_says_that_the_last_step_came_to_nothing_and_goes_on():
    line = failure_step(failed(at_handover=True), "s-1", USED)
    assert (line.order, line.candidate, line.used, line.code) == (3, "c-eu", False, "hand_over_failed")
    assert line.reason == "Session s-1 was quarantined: Broken."
    line = failure_step(failed(), "s-1", USED)
    assert (line.code, line.reason) == ("start_failed", "Session s-1 could not start on host-1: Broken.")
    assert "could not start on its Agent" in failure_step(failed(agent_name=""), "s-1", USED).reason
    assert [step.order for step in renumbered_after([replace(USED, order=1), replace(USED, order=2)], USED)] == [4, 5]


def test_a_zone_with_an_unknown_request_host_makes_no_successor():
    attempts = plan_replacement(failed(at_handover=True), [zone("eu"), zone("us")], "id-eu", IMAGE, [pool("us")])
    made = {a.zone.zone_name: a for a in mark_zones_without_host(attempts, "id-eu", "") if not a.staged}
    assert made["eu"].misses == ()
    reason = "Zone us uses $request_host$, and the host of the launch is unknown."
    assert made["us"].misses == (Miss("no_request_host", reason),)
    assert [a for a in attempts if a.staged] == [a for a in mark_zones_without_host(attempts, "id-eu", "") if a.staged]
    assert mark_zones_without_host(attempts, "id-eu", "desktops.example") == attempts
    facts = replace(zone("us").facts, allow_origin_domain="a.example", upstream_auth_address="a.example")
    named = plan_replacement(failed(), [zone("eu"), replace(zone("us"), facts=facts)], "id-eu", IMAGE, [])
    assert mark_zones_without_host(named, "id-eu", "") == named, "its zone says the host itself"


def test_why_no_other_agent_names_each():
    wanted = PlacementRequest(image="i", cores=1, memory=1)
    room = [PlacementAgent(agent_id=k, hostname=f"host-{k}", cores=2, memory=2) for k in "ab"]
    missing = PlacementAgent(agent_id="c", hostname="host-c", status="missing")
    zone_eu = zone("eu")
    (miss,) = placement_misses(zone_eu, place([missing], wanted, "Least Load"), "other Agent")
    assert (miss.code, miss.candidate) == ("agent_missing", "host-c")
    (miss,) = placement_misses(zone_eu, place([], wanted, "Least Load"), "other Agent")
    assert miss.reason == "Zone eu has no other Agent."
    placement = place(room, wanted, "Least Load")
    assert without_agents(placement, frozenset("ab")).candidates == ()
    assert [agent.agent_id for agent in with_agent_last(placement, "a").candidates] == ["b", "a"]


@dataclass(frozen=True)
class Luck:
    """The results of a launch in which everything fails: from a pool or not, and the attempt that gives a session
    each time."""

    from_a_pool: bool
    choices: tuple[int, ...]


Planner = Callable[[FailedSession, Sequence[LaunchZone]], tuple[LaunchAttempt, ...]]
lucks = st.builds(Luck, st.booleans(), st.lists(st.integers(0, 5), min_size=20, max_size=20).map(tuple))


def plan(session: FailedSession, zones: Sequence[LaunchZone]) -> tuple[LaunchAttempt, ...]:
    return plan_replacement(session, zones, "id-eu", IMAGE, [pool("eu"), pool("us")])


def every_launch_comes_to_an_end(subject: Planner, luck: Luck) -> None:
    starts = {"id-eu": 0, "id-us": 0}
    staged, tried, here = luck.from_a_pool, 1, "id-eu"
    for choice in luck.choices:
        starts[here] += not staged
        now = failed(at_handover=staged, sessions_tried=tried, starts={z: n for z, n in starts.items() if n})
        usable = [attempt for attempt in subject(now, [EU, US]) if not attempt.misses]
        if not usable:
            break
        attempt = usable[choice % len(usable)]
        assert staged or not attempt.staged, "who was not given a staged session gets none later"
        staged, here, tried = attempt.staged, attempt.zone.zone_id, tried + 1
    else:
        raise AssertionError("it goes on for ever")
    assert tried <= MAX_STAGED_TRIED + MAX_STARTS
    assert max(starts.values()) <= MAX_STARTS_IN_A_ZONE


def test_every_launch_comes_to_an_end():
    holds(every_launch_comes_to_an_end, plan, lucks)


def forgets_tries(session: FailedSession, zones: Sequence[LaunchZone]) -> tuple[LaunchAttempt, ...]:
    return plan(replace(session, sessions_tried=1), zones)


def forgets_starts(session: FailedSession, zones: Sequence[LaunchZone]) -> tuple[LaunchAttempt, ...]:
    return plan(replace(session, starts={}), zones)


def forgets_zones(session: FailedSession, zones: Sequence[LaunchZone]) -> tuple[LaunchAttempt, ...]:
    return plan(replace(session, starts={"id-elsewhere": sum(session.starts.values())}), zones)


def looks_into_pools(session: FailedSession, zones: Sequence[LaunchZone]) -> tuple[LaunchAttempt, ...]:
    return plan(replace(session, at_handover=session.at_handover or session.sessions_tried < MAX_STAGED_TRIED), zones)


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", [forgets_tries, forgets_starts, forgets_zones, looks_into_pools])
def test_the_property_catches_its_mutants(mutant: Planner):
    catches(every_launch_comes_to_an_end, mutant, lucks)


def test_a_silent_agent_is_the_cause():
    assert silent_agent_reason(16.4) == "its Agent has not reported for 16 s"
