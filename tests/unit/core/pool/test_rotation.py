"""Rotation of a pool: the start of the next replacement, and the state of a pool over time."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.pool_simulation import Simulation
from tests.unit.pools import BIG, CONFIG, IMAGE, NOW, session, snapshot
from tests.unit.properties import for_all

from greenroom.core.pool import rotation
from greenroom.core.pool.model import (
    IMAGE_CHANGED,
    RECYCLED,
    Create,
    Destroy,
    PooledSession,
    PoolPlan,
    PoolSnapshot,
    Retire,
)
from greenroom.core.pool.plan import plan
from greenroom.core.pool.rotation import expiration_problem


def born_together(number: int, *, start_s: float = 2.0, expires_in_s: float = 3600.0) -> list[PooledSession]:
    """Claimable sessions that took `start_s` to start an hour before they expire."""
    created = NOW + timedelta(seconds=expires_in_s) - timedelta(hours=1)
    return [
        session(
            n,
            created=created,
            started=created + timedelta(seconds=start_s),
            expires=NOW + timedelta(seconds=expires_in_s),
        )
        for n in range(number)
    ]


@pytest.mark.parametrize(("number", "lead_s"), [(1, 16.0), (3, 28.0), (12, 82.0)])
def test_the_more_expire_together_the_earlier_the_first_is_replaced(number: int, lead_s: float):
    pool = born_together(number)
    assert rotation.due_at(pool, 2.0) == pool[0].expires - timedelta(seconds=lead_s)


def test_those_that_expire_in_turn_are_replaced_one_start_before():
    pool = [replace(s, expires=s.expires + timedelta(seconds=7 * n)) for n, s in enumerate(born_together(3))]
    assert rotation.due_at(pool, 2.0) == pool[0].expires - timedelta(seconds=16)


def test_no_session_is_replaced_in_the_first_half_of_its_life():
    brief = [replace(s, created=NOW, expires=NOW + timedelta(seconds=7.2)) for s in born_together(5)]
    assert rotation.due_at(brief, 30.0) == NOW + timedelta(seconds=3.6)


def test_the_start_time_is_that_of_the_slowest_but_a_few():
    pool = [s for n in range(20) for s in born_together(1, start_s=1.0 + n)]
    assert rotation.start_time_s(pool) == 19.0
    assert rotation.start_time_s([]) == rotation.ASSUMED_START_S


def test_a_session_that_will_expire_gets_a_replacement_beside_it():
    made = plan(snapshot(*born_together(3, expires_in_s=8)))
    assert made.actions == (
        Create("a1", "it replaces s0, because it expires at 03:04:13 UTC; placed on agent-1.", replaces="s0"),
    )
    assert made.shortfall is None


def test_one_session_at_a_time_is_in_rotation():
    pool = born_together(3, expires_in_s=8)
    coming = session(7, "starting", created=NOW, expires=NOW + timedelta(hours=1), replaces="s0")
    assert plan(snapshot(*pool, coming)).actions == ()


def test_the_old_one_goes_when_its_replacement_is_there():
    pool = born_together(3, expires_in_s=8)
    new = session(7, created=NOW, started=NOW, expires=NOW + timedelta(hours=1), replaces="s0")
    made = plan(snapshot(*pool, new))
    assert made.actions[0] == Retire("s0", "Its replacement is ready.")
    assert len(made.actions) == 1, "the next one begins when this is done"


def test_a_replaced_session_that_is_not_usable_ends_once():
    replaced = session(0, "starting", created=NOW, expires=NOW + timedelta(hours=1))
    new = session(7, created=NOW, expires=NOW + timedelta(hours=1), replaces="s0")
    others = [replace(each, session_id=f"o{number}") for number, each in enumerate(born_together(3))]
    actions = plan(snapshot(replaced, new, *others)).actions
    ended = {action.session_id for action in actions if not isinstance(action, Create)}
    assert len(ended) == 5 - snapshot().config.num_sessions


def test_the_old_one_stays_while_the_pool_is_not_full_without_it():
    expires = NOW + timedelta(hours=1)
    old, new = born_together(1, expires_in_s=3600)[0], session(7, created=NOW, expires=expires, replaces="s0")
    starts = [session(number, "starting", created=NOW, expires=expires) for number in (8, 9)]
    assert [type(action) for action in plan(snapshot(old, new, *starts)).actions] == [Destroy]


def test_when_the_old_one_was_claimed_its_replacement_is_the_refill():
    pool = born_together(3, expires_in_s=3600)[1:]
    new = session(7, "starting", created=NOW, expires=NOW + timedelta(hours=1), replaces="s0")
    assert plan(snapshot(*pool, new)).actions == ()


def test_a_claimed_one_is_replaced_beside_the_rotation():
    pool = born_together(3, expires_in_s=8)[:2]
    new = session(7, "starting", created=NOW, expires=NOW + timedelta(hours=1), replaces="s0")
    (create,) = plan(snapshot(*pool, new)).actions
    assert isinstance(create, Create)
    assert create.replaces is None


def test_at_expiry_the_old_one_goes_and_the_one_coming_is_its_refill():
    pool = [replace(born_together(1)[0], expires=NOW), *born_together(3)[1:]]
    new = session(7, "starting", created=NOW, expires=NOW + timedelta(hours=1), replaces="s0")
    made = plan(snapshot(*pool, new))
    assert made.actions == (Retire("s0", "Its expiration of 1 h has passed."),)
    assert made.shortfall is not None
    assert made.shortfall.code == "starting"


def test_without_room_an_expiring_session_stays_until_its_expiry():
    full = replace(BIG, cores=3, cores_allocated=3)
    assert plan(snapshot(*born_together(3, expires_in_s=1), agents=(full,))).actions == ()
    made = plan(snapshot(*born_together(3, expires_in_s=0), agents=(full,)))
    assert [type(action) for action in made.actions] == [Retire] * 3
    assert made.shortfall is not None
    assert (made.shortfall.code, made.shortfall.reason) == (
        "starting",
        "3 of 3 not staged yet: 3 earlier sessions are ending to make room.",
    )
    gone = plan(snapshot(agents=(full,))).shortfall
    assert gone is not None
    assert gone.reason.startswith("3 of 3 not staged: no Agent in zone eu has 1 cores and 1 MB free")


def test_fewer_desired_end_what_is_in_rotation_first():
    new = session(7, "starting", created=NOW, expires=NOW + timedelta(hours=1), replaces="s0")
    made = plan(snapshot(*born_together(3, expires_in_s=8), new, config=replace(CONFIG, num_sessions=2)))
    assert [type(action) for action in made.actions] == [Destroy, Retire]


@pytest.mark.parametrize("changes", [{"paused": True}, {"failures": 1, "next_try": NOW + timedelta(seconds=2)}])
def test_nothing_is_replaced_early_while_nothing_is_to_be_created(changes: dict[str, object]):
    config = replace(CONFIG, **changes)
    assert plan(snapshot(*born_together(3, expires_in_s=8), config=config)).creates == ()


def test_a_recycled_pool_is_replaced_one_by_one():
    config = replace(CONFIG, recycled=NOW)
    (create,) = plan(snapshot(*born_together(3, expires_in_s=900), config=config)).actions
    assert create == Create(
        "a1",
        f"it replaces s0, because {RECYCLED}; placed on agent-1.",
        replaces="s0",
    )


def test_a_recycled_pool_replaces_what_is_not_claimable_yet_at_once():
    config = replace(CONFIG, recycled=NOW)
    made = plan(snapshot(*(session(n, "starting") for n in range(3)), config=config))
    assert [type(action) for action in made.actions] == [Destroy] * 3 + [Create] * 3


def test_of_a_recycled_pool_without_room_for_one_more_one_goes_first():
    full = replace(BIG, cores=3, cores_allocated=3)
    made = plan(snapshot(*born_together(3, expires_in_s=900), config=replace(CONFIG, recycled=NOW), agents=(full,)))
    assert made.actions == (
        Retire("s0", f"It ends because {RECYCLED}, and there is no room for its replacement at the same time."),
    )
    assert made.shortfall is not None
    assert made.shortfall.reason == "1 of 3 not staged yet: 1 earlier session is ending to make room."


@pytest.mark.parametrize("room", [3, 4])
def test_nothing_is_given_up_for_a_larger_workspace_that_does_not_fit(room: int):
    """All cores that the Agent will ever have free are not enough for it, or two sessions would have to end for one."""
    full = replace(BIG, cores=room, cores_allocated=3)
    shot = snapshot(*born_together(3, expires_in_s=900), config=replace(CONFIG, recycled=NOW), agents=(full,))
    for cores in (room - 0.5, room + 1):
        made = plan(replace(shot, image=replace(IMAGE, cores=cores)))
        assert (made.actions, made.shortfall) == ((), None), "users go on getting what is staged"


def test_without_room_the_session_that_leaves_enough_room_goes():
    """On the second Agent another session has left a core free; `s0` would be next by its expiry."""
    agents = (replace(BIG, cores=1, cores_allocated=1), replace(BIG, agent_id="a2", cores=2, cores_allocated=1))
    pool = [session(0), session(1, agent_id="a2")]
    config = replace(CONFIG, num_sessions=2, recycled=NOW)
    made = plan(snapshot(*pool, config=config, agents=agents, image=replace(IMAGE, cores=2)))
    assert [(type(action), action.session_id) for action in made.actions if not isinstance(action, Create)] == [
        (Retire, "s1")
    ]


def test_a_recycled_pool_with_room_for_a_part_is_new_all_the_same():
    simulation = Simulation(5, 10_000.0, 3, lambda: 2.0)
    simulation.run(10)
    old, simulation.recycled = set(simulation.sessions), simulation.now
    seen: list[int] = []
    simulation.watch = lambda current, _: seen.append(current)
    before = len(simulation.plans)
    simulation.run(20)
    assert len(simulation.sessions) == 3
    assert not old & set(simulation.sessions)
    assert min(seen) == 2, "one at a time"
    codes = {made.shortfall.code for made in simulation.plans[before:] if made.shortfall}
    assert codes == {"no-capacity"}, "what leaves makes room for one, and two are missing all the time"


pools = st.tuples(st.integers(1, 8), st.floats(0.2, 4.0), st.integers(0, 2**32))


def replaces_none(shot: PoolSnapshot) -> PoolPlan:
    made = plan(shot)
    kept = [action for action in made.actions if not (isinstance(action, Create) and action.replaces)]
    return replace(made, actions=tuple(kept))


def recycles_none(shot: PoolSnapshot) -> PoolPlan:
    return plan(replace(shot, config=replace(shot.config, recycled=None)))


@for_all(pools, st.floats(1.0, 3.0), subject=plan, mutants=[replaces_none])
def test_a_pool_never_dips_while_there_is_room_for_one_more(subject: Any, pool: tuple[int, float, int], ease: float):
    """Created together, expired together, for several lifetimes; with any start times up to the longest."""
    number, longest_s, seed = pool
    pick = random.Random(seed)  # noqa: S311 -- times of a simulation
    simulation = Simulation(
        number,
        lifetime_s=ease
        * 2
        * (rotation.MARGIN_S + number * (rotation.START_SLACK * longest_s + rotation.START_OVERHEAD_S)),
        room=number + 1,
        start_s=lambda: longest_s if pick.random() < 0.5 else pick.uniform(longest_s / 2, longest_s),
        planner=subject,
    )
    simulation.run(longest_s + 1)
    assert simulation.current == number
    seen: list[tuple[int, int]] = []
    simulation.watch = lambda current, total: seen.append((current, total))
    simulation.run(3 * simulation.lifetime_s)
    assert min(current for current, _ in seen) == number
    assert max(total for _, total in seen) == number + 1


def test_a_start_that_suddenly_takes_long_is_no_dip():
    """Starts of 1.5 s, then one of 14 s: a host may suddenly be busy."""
    times = iter([1.5, 1.5, 1.5, 14.0])
    simulation = Simulation(3, 7200.0, 4, lambda: next(times, 1.5))
    simulation.run(3)
    seen: list[int] = []
    simulation.watch = lambda current, _: seen.append(current)
    simulation.run(7300)
    assert min(seen) == 3
    assert next(times, None) is None


@for_all(pools, subject=plan, mutants=[replaces_none, recycles_none])
def test_a_recycled_pool_is_new_without_a_dip(subject: Any, pool: tuple[int, float, int]):
    number, longest_s, seed = pool
    pick = random.Random(seed)  # noqa: S311 -- times of a simulation
    simulation = Simulation(number, 7200.0, number + 1, lambda: pick.uniform(longest_s / 2, longest_s), planner=subject)
    simulation.run(longest_s + 1)
    old, simulation.recycled = set(simulation.sessions), simulation.now
    seen: list[tuple[int, int]] = []
    simulation.watch = lambda current, total: seen.append((current, total))
    simulation.run((number + 1) * (longest_s + 1))
    assert not old & set(simulation.sessions)
    assert min(current for current, _ in seen) == number
    assert max(total for _, total in seen) <= number + 1


@for_all(st.integers(1, 6), st.floats(0.2, 3.0), subject=plan, mutants=[recycles_none])
def test_without_room_a_recycled_pool_is_new_all_the_same(subject: Any, number: int, start_s: float):
    simulation = Simulation(number, 7200.0, number, lambda: start_s, planner=subject)
    simulation.run(start_s + 1)
    old, simulation.recycled = set(simulation.sessions), simulation.now
    seen: list[int] = []
    simulation.watch = lambda current, _: seen.append(current)
    simulation.run((number + 1) * (start_s + 2))
    assert not old & set(simulation.sessions)
    assert min(seen) == number - 1, "one at a time"


def test_failed_replacements_leave_the_pool_and_are_tried_more_rarely():
    starts: list[float | None] = [1.0, 1.0, 1.0]
    simulation = Simulation(3, 300.0, 10, lambda: starts.pop() if starts else None)
    simulation.run(5)
    seen: list[int] = []
    simulation.watch = lambda current, _: seen.append(current)
    before = len(simulation.plans)
    simulation.run(290)
    assert min(seen) == 3, "the old ones serve until their expiry"
    tried = sum(len(made.creates) for made in simulation.plans[before:])
    assert 1 <= tried <= 4
    simulation.run(60)
    assert simulation.current == 0
    shortfall = simulation.plans[-1].shortfall
    assert shortfall is not None
    assert shortfall.code == "start-failing"


@pytest.mark.parametrize(
    ("hours", "number", "start_s", "is_enough"),
    [
        (0.001, 1, 2.0, False),
        (0.01, 1, 2.0, True),
        (0.01, 2, 2.0, False),
        (0.01, 1, None, False),
        (0.04, 1, None, True),
        (0.001, 0, 2.0, True),
        (8.0, 100, 20.0, True),
    ],
)
def test_an_expiration_too_short_for_its_pool_is_named(
    hours: float, number: int, start_s: float | None, is_enough: bool
):
    assert (expiration_problem(hours, number, start_s) is None) == is_enough


def test_the_expiration_that_is_asked_for_is_enough():
    said = expiration_problem(0.001, 3, 12.0)
    assert said == (
        "Staged sessions expire after 3.6 s and are replaced one after the other. This time is too short to replace "
        "all of them (3 desired, a start takes 12 s), so Current Sessions falls below Desired repeatedly, and "
        "containers start constantly. Set Expiration (Hours) to 0.05 or more."
    )
    assert expiration_problem(0.05, 3, 12.0) is None


def test_a_session_of_the_moment_of_the_recycling_is_new():
    recycled = snapshot(config=replace(CONFIG, recycled=NOW))
    assert recycled.outdated(session(1, created=NOW - timedelta(microseconds=1))) == RECYCLED
    assert recycled.outdated(session(1, created=NOW)) is None
    assert snapshot().outdated(session(1)) is None


def test_a_session_is_outdated_when_its_host_got_another_image_after_its_creation():
    changed = replace(BIG, image_changed=NOW)
    other = replace(BIG, agent_id="a2", image_changed=NOW + timedelta(hours=1))
    seen = snapshot(agents=(changed, other))
    assert seen.outdated(session(1, agent_id=BIG.agent_id, created=NOW - timedelta(microseconds=1))) == IMAGE_CHANGED
    assert seen.outdated(session(1, agent_id=BIG.agent_id, created=NOW)) is None
