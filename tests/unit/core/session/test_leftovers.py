"""The leftovers of an installation: examples, and properties that each catch a mutant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.session.leftovers import GRACE_S, KnownRows, Leftover, RuntimeObject, plan
from greenroom.core.session.observations import verdicts
from greenroom.core.workspace.homes import HomeId

Plan = Callable[[Sequence[RuntimeObject], KnownRows], list[Leftover]]

HOME = HomeId("user", "image")
CONTAINER = RuntimeObject(kind="container", name="gr-s", ref="1", age_s=3600.0, agent_id="a", session_id="s")
NETWORK = RuntimeObject(kind="network", name="web", ref="2", age_s=3600.0, agent_id="a")
CLAIM = RuntimeObject(kind="claim", name="home", ref="3", age_s=3600.0, home=HOME)
UNLABELLED = RuntimeObject(kind="container", name="odd", ref="4", age_s=3600.0, session_id="s")
AGENTS = frozenset({"a"})


@pytest.mark.parametrize(
    ("thing", "known"),
    [
        (CONTAINER, KnownRows(sessions={"s": "a"})),
        (CONTAINER, KnownRows(sessions={"s": "a"}, agents=AGENTS)),
        (NETWORK, KnownRows(agents=AGENTS)),
        (CLAIM, KnownRows(users=frozenset({"user"}))),
        (CLAIM, KnownRows(homes=frozenset({HOME}))),
    ],
)
def test_what_has_an_owner_is_not_listed(thing: RuntimeObject, known: KnownRows):
    assert plan([thing], known) == []


@pytest.mark.parametrize(
    ("thing", "known", "reason"),
    [
        (CONTAINER, KnownRows(agents=AGENTS), "session s has ended or never existed"),
        (CONTAINER, KnownRows(sessions={"s": "b"}, agents=AGENTS), "session s is on another Agent, b"),
        (NETWORK, KnownRows(agents=frozenset({"b"})), "its Agent a was deleted"),
        (CLAIM, KnownRows(users=frozenset({"other"})), "its user user was deleted, and no Agent keeps it"),
        (CLAIM, KnownRows(homes=frozenset({HomeId("user", "x")})), "its user user was deleted, and no Agent keeps it"),
    ],
)
def test_what_has_none_can_be_removed_and_says_why(thing: RuntimeObject, known: KnownRows, reason: str):
    assert plan([thing], known) == [Leftover(item=thing, removed=True, reason=reason)]
    young = replace(thing, age_s=GRACE_S - 1)
    assert plan([young], known) == [
        Leftover(item=young, removed=False, reason=f"{reason}; it is younger than {GRACE_S:g} s")
    ]


def test_what_cannot_be_decided_stays():
    (stays,) = plan([UNLABELLED], KnownRows(sessions={}, agents=AGENTS))
    assert (stays.removed, stays.reason) == (False, "its label with the id of an Agent is missing")


def test_sessions_go_before_the_networks_they_are_on_and_what_stays_comes_last():
    assert [one.item for one in plan([UNLABELLED, CLAIM, NETWORK, CONTAINER], KnownRows())] == [
        CONTAINER,
        CLAIM,
        NETWORK,
        UNLABELLED,
    ]
    assert NETWORK.title == "network web"


SHORT = st.sampled_from(["", "a", "b"])
THINGS = st.lists(
    st.builds(
        RuntimeObject,
        kind=st.just("thing"),
        name=st.text(max_size=2),
        ref=st.text(max_size=2),
        age_s=st.sampled_from([-5.0, 0.0, GRACE_S - 1, GRACE_S, 1e9]),
        agent_id=SHORT,
        session_id=SHORT,
        home=st.none() | st.builds(HomeId, SHORT, SHORT),
    ),
    max_size=6,
)
KNOWN = st.builds(
    KnownRows,
    sessions=st.dictionaries(SHORT, SHORT),
    agents=st.frozensets(SHORT),
    homes=st.frozensets(st.builds(HomeId, SHORT, SHORT)),
    users=st.frozensets(SHORT),
)
CASES = st.tuples(THINGS, KNOWN)


def _nothing_with_an_owner_is_removed(decide: Plan, case: tuple[list[RuntimeObject], KnownRows]) -> None:
    things, known = case
    for one in decide(things, known):
        thing = one.item
        assert thing in things
        assert one.reason
        if not one.removed:
            continue
        assert thing.age_s >= GRACE_S
        assert thing.agent_id or thing.home
        if thing.home is not None:
            assert thing.home.user_id not in known.users
            assert thing.home not in known.homes
        elif thing.session_id:
            assert known.sessions.get(thing.session_id) != thing.agent_id
        else:
            assert thing.agent_id not in known.agents


def _a_manager_would_say_the_same(decide: Plan, case: tuple[list[RuntimeObject], KnownRows]) -> None:
    """A Manager decides the same about objects of a session, of any kind."""
    things, known = case
    for thing in things:
        if thing.home is not None or not thing.session_id or not thing.agent_id:
            continue
        living = frozenset(session for session, agent in known.sessions.items() if agent == thing.agent_id)
        asked = {thing.session_id: thing.age_s}
        said = verdicts((thing.session_id,), living, asked, GRACE_S).get(thing.session_id)
        (removed,) = [one.removed for one in decide([thing], known)] or [False]
        assert removed is (said == "destroy")


PROPERTIES = [_nothing_with_an_owner_is_removed, _a_manager_would_say_the_same]


@pytest.mark.parametrize("check", PROPERTIES)
def test_for_all_things_and_rows(check: Callable[[Plan, tuple[list[RuntimeObject], KnownRows]], None]):
    holds(check, plan, CASES)


def _without_age(things: Sequence[RuntimeObject], known: KnownRows) -> list[Leftover]:
    return plan([replace(thing, age_s=1e9) for thing in things], known)


def _sessions_of_any_agent(things: Sequence[RuntimeObject], known: KnownRows) -> list[Leftover]:
    return [one for one in plan(things, known) if one.item.session_id not in known.sessions]


def _everything(things: Sequence[RuntimeObject], known: KnownRows) -> list[Leftover]:
    del known
    return [Leftover(item=thing, removed=True, reason="it is there") for thing in things]


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("check", "mutant"),
    [
        (_nothing_with_an_owner_is_removed, _everything),
        (_a_manager_would_say_the_same, _without_age),
        (_a_manager_would_say_the_same, _sessions_of_any_agent),
    ],
)
def test_that_these_properties_catch_mutants(
    check: Callable[[Plan, tuple[list[RuntimeObject], KnownRows]], None], mutant: Plan
):
    catches(check, mutant, CASES)
