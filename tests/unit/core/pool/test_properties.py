"""The plan of a pool: its properties, each of which catches a mutant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import strategies as st
from tests.unit.pools import CONFIG, IMAGE, NOW, session, snapshot
from tests.unit.properties import Property, catches, holds

from greenroom.core.fleet.liveness import AgentStatus
from greenroom.core.launch.placement import PlacementAgent, place, placement_request_of
from greenroom.core.pool.model import Action, Create, Destroy, PoolPlan, PoolSnapshot, Retire
from greenroom.core.pool.plan import MAX_SPREAD_LOAD, plan
from greenroom.core.session.states import SessionStatus

AGENT_IDS = ("a1", "a2", "a3")
STATUSES: tuple[AgentStatus, ...] = (
    "running", "running", "running", "running", "running", "running", "missing", "pending"
)  # fmt: skip


@st.composite
def agents(draw: st.DrawFn) -> tuple[PlacementAgent, ...]:
    ids = draw(st.lists(st.sampled_from(AGENT_IDS), unique=True, min_size=1))
    return tuple(
        PlacementAgent(
            agent_id=i,
            hostname=f"host-{i}",
            status=draw(st.sampled_from(STATUSES)),
            enabled=draw(st.sampled_from([True] * 6 + [False])),
            draining=draw(st.sampled_from([False] * 6 + [True])),
            cores=draw(st.integers(0, 6)),
            memory=10**9,
            image_state=draw(st.sampled_from(["present", "present", "pulling", "failed"])),
        )
        for i in ids
    )


@st.composite
def snapshots(draw: st.DrawFn) -> PoolSnapshot:
    minutes = st.integers(-1, 60).map(lambda m: timedelta(minutes=m))
    nearly = st.sampled_from([timedelta(seconds=5), timedelta(hours=1)])
    number_of = draw(st.integers(0, 6))
    sessions = [
        session(
            number,
            draw(st.sampled_from(["requested", "starting", "running", "running", "running", "failed", "unreachable"])),
            agent_id=draw(st.sampled_from(AGENT_IDS)),
            created=NOW - draw(minutes),
            expires=NOW + draw(st.one_of(minutes, nearly)),
            config_hash=draw(st.sampled_from(["h"] * 6 + ["old"])),
        )
        for number in range(number_of)
    ]
    if number_of > 1 and draw(st.booleans()):  # the newest was created to replace another one
        replaced = draw(st.sampled_from([*range(number_of - 1), number_of]))  # the last one no longer exists
        sessions[-1] = replace(sessions[-1], replaces=f"s{replaced}")
    failures = draw(st.sampled_from([0, 0, 1, 5]))
    config = replace(
        CONFIG,
        num_sessions=draw(st.integers(0, 5)),
        paused=draw(st.sampled_from([False, False, True])),
        deleted=draw(st.sampled_from([False, False, False, True])),
        failures=failures,
        last_error="e" if failures else None,
        next_try=NOW - draw(minutes) if failures else None,
        last_success=draw(st.sampled_from([None, NOW])),
        recycled=draw(st.sampled_from([None, None, NOW])),
    )
    image = replace(IMAGE, enabled=draw(st.sampled_from([True, True, True, False])))
    return snapshot(
        *sessions,
        config=config,
        image=image,
        agents=draw(agents()),
        ending=draw(st.sampled_from([0, 0, 1])),
        waiting_users_text=draw(st.sampled_from([None, None, None, "1 launch waits"])),
    )


Planner = Callable[[PoolSnapshot], PoolPlan]


def ended_session_ids(made: PoolPlan) -> set[str]:
    return {a.session_id for a in made.actions if not isinstance(a, Create)}


def after(shot: PoolSnapshot, made: PoolPlan, number: int = 0) -> PoolSnapshot:
    """The next round: created sessions run, ended ones are deleted, an hour's back-off has passed."""
    new = [
        session(
            1000 + 100 * number + i,
            agent_id=c.agent_id,
            created=shot.now,
            expires=shot.now + timedelta(days=9),
            replaces=c.replaces,
        )
        for i, c in enumerate(made.creates)
    ]
    kept = [
        replace(s, status=SessionStatus.RUNNING, claimable=True)
        if s.status in (SessionStatus.REQUESTED, SessionStatus.STARTING)
        else s
        for s in shot.sessions
        if s.session_id not in ended_session_ids(made)
    ]
    # Sessions of the first snapshot are not in the Agents' sums, those created by plans are.
    reserved = {i: sum(s.agent_id == i and len(s.session_id) > 3 for s in (*kept, *new)) for i in AGENT_IDS}
    config = replace(
        shot.config,
        failures=made.failures,
        last_error=made.last_error,
        next_try=made.next_try,
        last_success=shot.now if new else shot.config.last_success,
    )
    return replace(
        shot,
        now=shot.now + timedelta(hours=1),
        config=config,
        sessions=tuple(replace(s, expires=shot.now + timedelta(days=9)) for s in (*kept, *new)),
        agents=tuple(replace(a, cores_allocated=reserved[a.agent_id]) for a in shot.agents),
        ending=0,
    )


def never_above_desired_and_one_in_rotation(planner: Planner, shot: PoolSnapshot) -> None:
    made = planner(shot)
    there = {a.agent_id for a in shot.agents if a.status == "running" and a.enabled and not a.draining}
    coming = (SessionStatus.REQUESTED, SessionStatus.STARTING)
    good = {
        s.session_id: s
        for s in shot.sessions
        if s.agent_id in there and (s.claimable or s.status in coming) and s.session_id not in ended_session_ids(made)
    }
    rotating = [s for s in good.values() if s.status in coming and s.replaces in good]
    rotating += [c for c in made.creates if c.replaces in good]
    assert len(rotating) <= 1
    assert len(good) + len(made.creates) <= shot.config.num_sessions + len(rotating)
    assert all(c.replaces in {None, *good} for c in made.creates)


def nothing_is_created_while_people_wait(planner: Planner, shot: PoolSnapshot) -> None:
    assert not (shot.waiting_users_text and planner(shot).creates)


def no_session_twice_and_only_known_ones(planner: Planner, shot: PoolSnapshot) -> None:
    named = [a.session_id for a in planner(shot).actions if not isinstance(a, Create)]
    assert len(named) == len(set(named))
    assert set(named) <= {s.session_id for s in shot.sessions}


def claimable_ones_are_only_retired(planner: Planner, shot: PoolSnapshot) -> None:
    claimable = {s.session_id for s in shot.sessions if s.claimable}
    for action in planner(shot).actions:
        if not isinstance(action, Create):
            assert isinstance(action, Retire) == (action.session_id in claimable)


def never_beyond_an_agents_room(planner: Planner, shot: PoolSnapshot) -> None:
    made = planner(shot)
    for agent in shot.agents:
        number = sum(c.agent_id == agent.agent_id for c in made.creates)
        assert number <= agent.free_cores
        assert number == 0 or (agent.status == "running" and agent.enabled and not agent.draining)


def new_sessions_are_spread_over_hosts(planner: Planner, shot: PoolSnapshot) -> None:
    made, request = planner(replace(shot, sessions=())), placement_request_of(shot.image)
    numbers = Counter(create.agent_id for create in made.creates)
    filled = [replace(a, cores_allocated=a.cores_allocated + numbers[a.agent_id]) for a in shot.agents]
    with_room = [a for a in place(filled, request, "Least Load").candidates if a.load <= MAX_SPREAD_LOAD]
    for agent in with_room:
        assert max(numbers.values(), default=0) <= numbers[agent.agent_id] + 1


def a_short_pool_says_why(planner: Planner, shot: PoolSnapshot) -> None:
    made = planner(shot)
    there = {a.agent_id for a in shot.agents if a.status == "running" and a.enabled and not a.draining}
    usable = sum(
        s.claimable and s.agent_id in there and s.session_id not in ended_session_ids(made) for s in shot.sessions
    )
    short = usable < shot.config.num_sessions and not shot.config.deleted
    assert (made.shortfall is not None) == short


def comes_to_rest(planner: Planner, shot: PoolSnapshot) -> None:
    shot = replace(shot, waiting_users_text=None, ending=0)
    for number in range(30):
        made = planner(shot)
        if number > 0 and not made.actions:  # sessions of the first snapshot may be starting
            break
        shot = after(shot, made, number)
    made = planner(shot)
    assert made.actions == ()
    assert made.shortfall is None or made.shortfall.code not in ("starting", "start-failing")


def nothing_good_ends_without_need(planner: Planner, shot: PoolSnapshot) -> None:
    """A pool at or below Desired keeps every session that counts."""
    made = planner(shot)
    good = {
        s.session_id
        for s in shot.sessions
        if s.claimable
        and s.config_hash == "h"
        and s.expires > shot.now
        and any(
            a.agent_id == s.agent_id and a.status == "running" and a.enabled and not a.draining for a in shot.agents
        )
    }
    allowed = 0 if shot.config.deleted or not shot.image.enabled else shot.config.num_sessions
    assert len(good - ended_session_ids(made)) >= min(len(good), allowed)


def _mutant(made: PoolPlan, *more: Action) -> PoolPlan:
    return replace(made, actions=(*made.actions, *more))


MUTANTS: list[tuple[Property, Planner]] = [
    (
        never_above_desired_and_one_in_rotation,
        lambda s: _mutant(plan(s), *[Create(a.agent_id, "") for a in s.agents]),
    ),
    (nothing_is_created_while_people_wait, lambda s: plan(replace(s, waiting_users_text=None))),
    (no_session_twice_and_only_known_ones, lambda s: _mutant(plan(s), *plan(s).actions)),
    (
        claimable_ones_are_only_retired,
        lambda s: replace(
            plan(s), actions=tuple(Destroy(a.session_id, "") if isinstance(a, Retire) else a for a in plan(s).actions)
        ),
    ),
    (
        never_beyond_an_agents_room,
        lambda s: plan(replace(s, agents=tuple(replace(a, cores=a.cores + 1) for a in s.agents))),
    ),
    (new_sessions_are_spread_over_hosts, lambda s: plan(replace(s, strategy="Most Load"))),
    (a_short_pool_says_why, lambda s: replace(plan(s), shortfall=None)),
    (comes_to_rest, lambda s: plan(replace(s, config=replace(s.config, config_hash="never")))),
    (
        nothing_good_ends_without_need,
        lambda s: replace(plan(s), actions=tuple(Retire(x.session_id, "") for x in s.sessions)),
    ),
]


@pytest.mark.parametrize("check", [check for check, _ in MUTANTS], ids=lambda c: c.__name__)
def test_property(check: Property):
    holds(check, plan, snapshots())


@pytest.mark.mutant
@pytest.mark.parametrize(("check", "mutant"), MUTANTS, ids=lambda c: getattr(c, "__name__", ""))
def test_property_catches_its_mutant(check: Property, mutant: Planner):
    catches(check, mutant, snapshots())
