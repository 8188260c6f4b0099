"""The plan of a pool: examples by sentence, and its invariants as properties that each catch a mutant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.core import pool
from greenroom.core.placement import AgentView
from greenroom.core.pool import Create, Destroy, PoolConfig, PooledSession, PoolPlan, PoolSnapshot, Retire, plan
from greenroom.core.specs import ImageFacts, ZoneFacts
from greenroom.core.states import SessionStatus

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CONFIG = PoolConfig(staging_config_id="c", num_sessions=3, expiration_h=1, config_hash="h")
IMAGE = ImageFacts(image_id="i", name="desktop", friendly_name="Desktop", cores=1.0, memory=1_000_000)
ZONE = ZoneFacts(zone_id="z", zone_name="eu", allow_origin_domain="a.example", upstream_auth_address="a.example")
BIG = AgentView(agent_id="a1", hostname="agent-1", cores=100, memory=10**9)


def session(number: int, status: str = "running", **changes: object) -> PooledSession:
    made = PooledSession(
        session_id=f"s{number}",
        agent_id="a1",
        status=SessionStatus(status),
        claimable=status == "running",
        created=NOW - timedelta(minutes=30 - number),
        expires=NOW + timedelta(minutes=30 + number),
        config_hash="h",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def snapshot(*sessions: PooledSession, **changes: object) -> PoolSnapshot:
    made = PoolSnapshot(
        now=NOW, config=CONFIG, image=IMAGE, zone=ZONE, strategy="Least Load", sessions=sessions, agents=(BIG,)
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_an_empty_pool_is_filled_and_says_that_it_is_starting():
    made = plan(snapshot())
    assert [type(a) for a in made.actions] == [Create, Create, Create]
    assert made.shortfall is not None
    assert (made.shortfall.code, made.shortfall.reason) == ("starting", "3 of 3 not staged yet: they are starting.")


def test_a_full_pool_has_nothing_to_do_and_nothing_to_say():
    assert plan(snapshot(session(1), session(2), session(3))) == PoolPlan(
        actions=(), shortfall=None, failures=0, last_error=None, next_try=None
    )


def test_one_session_missing_is_created_on_the_least_loaded_agent():
    busy = replace(BIG, agent_id="a0", hostname="agent-0", cores_allocated=50.0)
    made = plan(snapshot(session(1), session(2), agents=(busy, BIG)))
    assert made.actions == (Create("a1", "2 of 3 staged; placed on agent-1."),)


def test_shrink_takes_those_not_yet_usable_first_and_then_the_oldest():
    config = replace(CONFIG, num_sessions=1)
    made = plan(snapshot(session(1), session(2), session(3, "starting"), config=config))
    assert made.actions == (
        Destroy("s3", "3 are staged and 1 are wanted."),
        Retire("s1", "3 are staged and 1 are wanted."),
    )


def test_an_expired_session_is_replaced():
    old = session(1, expires=NOW)
    made = plan(snapshot(old, session(2), session(3)))
    assert made.actions == (
        Retire("s1", "Its expiration of 1 h has passed."),
        Create("a1", "2 of 3 staged; placed on agent-1."),
    )


def test_sessions_from_before_a_change_are_rolled_over():
    made = plan(snapshot(session(1, config_hash="old"), session(2), session(3)))
    assert [type(a) for a in made.actions] == [Retire, Create]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"image": replace(IMAGE, enabled=False)}, "image-disabled"),
        ({"zone": replace(ZONE, upstream_auth_address="$request_host$")}, "zone-request-host"),
        ({"image": replace(IMAGE, only_zone_id="other")}, "image-unavailable"),
    ],
)
def test_where_nothing_may_be_staged_the_pool_goes_to_zero_and_says_why(changes: dict[str, object], code: str):
    made = plan(snapshot(session(1), session(2, "requested"), **changes))
    assert {type(a) for a in made.actions} == {Retire, Destroy}
    assert made.shortfall is not None
    assert made.shortfall.code == code


def test_the_zone_setting_is_named_in_the_reason():
    zone = replace(ZONE, allow_origin_domain="$request_host$", upstream_auth_address="$request_host$")
    shortfall = plan(snapshot(zone=zone)).shortfall
    assert shortfall is not None
    assert shortfall.reason.startswith(
        "Nothing is staged: Allow Origin Domain and Upstream Auth Address of zone eu are $request_host$,"
    )


def test_a_paused_pool_keeps_what_it_has_and_creates_nothing():
    made = plan(snapshot(session(1), config=replace(CONFIG, paused=True)))
    assert made.actions == ()
    assert made.shortfall is not None
    assert made.shortfall.code == "paused"
    assert made.shortfall.reason.startswith("2 of 3 not staged")


def test_missing_capacity_is_given_in_numbers():
    small = replace(BIG, cores=2.5, cores_allocated=2.0)
    shortfall = plan(snapshot(session(1), session(2), agents=(small,))).shortfall
    assert shortfall is not None
    assert shortfall.code == "no-capacity"
    assert shortfall.reason == (
        "1 of 3 not staged: no Agent in zone eu has 1 cores and 1 MB free"
        " (agent-1 has 0.5 of 2.5 cores free, 1 are needed)."
    )


@pytest.mark.parametrize(
    ("agents", "code"),
    [
        ((), "no-agent"),
        ((replace(BIG, status="missing"),), "no-agent"),
        ((replace(BIG, enabled=False),), "no-agent"),
        ((replace(BIG, image_state="pulling", image_progress=40),), "image-pulling"),
        ((replace(BIG, image_state="failed", image_error="no such image"),), "image-unavailable"),
    ],
)
def test_other_reasons_for_a_shortfall(agents: tuple[AgentView, ...], code: str):
    shortfall = plan(snapshot(agents=agents)).shortfall
    assert shortfall is not None
    assert shortfall.code == code


def test_sessions_of_a_missing_agent_do_not_count_and_are_replaced():
    gone = replace(BIG, agent_id="a0", hostname="agent-0", status="missing")
    stranded = session(1, "unreachable", agent_id="a0")
    made = plan(snapshot(stranded, session(2), session(3), agents=(gone, BIG)))
    assert made.actions == (Create("a1", "2 of 3 staged; placed on agent-1."),)


def test_sessions_of_a_disabled_agent_go_once_the_pool_is_full_without_them():
    disabled = replace(BIG, agent_id="a0", hostname="agent-0", enabled=False)
    left = session(4, agent_id="a0")
    assert not [a for a in plan(snapshot(left, session(1), agents=(disabled, BIG))).actions if isinstance(a, Retire)]
    full = plan(snapshot(left, session(1), session(2), session(3), agents=(disabled, BIG)))
    assert full.actions == (Retire("s4", "agent-0 takes no new sessions, and the pool is full without it."),)


def test_a_failed_start_backs_off_and_says_when_it_tries_again():
    made = plan(snapshot(session(1, "failed", error="X did not start"), session(2), session(3)))
    assert made.actions == (Destroy("s1", "The start failed: X did not start."),)
    assert (made.failures, made.last_error, made.next_try) == (1, "X did not start", NOW + timedelta(seconds=2))
    assert made.shortfall is not None
    assert made.shortfall.reason == (
        "1 of 3 not staged: 1 start in a row failed, the last with: X did not start; next try at 03:04:07 UTC."
    )


def test_sessions_that_fail_together_are_one_failure_and_a_failed_retry_is_another():
    config = replace(CONFIG, failures=1, last_error="e", next_try=NOW + timedelta(seconds=1))
    together = plan(snapshot(session(1, "failed", error="e"), config=config))
    assert together.failures == 1
    later = replace(config, next_try=NOW - timedelta(seconds=1))
    retry = plan(snapshot(session(1, "failed", error="e", created=NOW), config=later))
    assert (retry.failures, retry.next_try) == (2, NOW + timedelta(seconds=4))


def test_after_failures_one_start_is_tried_at_a_time_until_one_succeeds():
    config = replace(CONFIG, failures=3, last_error="e", next_try=NOW - timedelta(seconds=1))
    assert len(plan(snapshot(config=config)).creates) == 1
    assert plan(snapshot(session(1, "starting"), config=config)).creates == ()
    healed = replace(config, last_success=NOW)
    made = plan(snapshot(session(1), config=healed))
    assert (made.failures, made.last_error, made.next_try, len(made.creates)) == (0, None, None, 2)


def test_the_pause_grows_to_its_ceiling():
    assert [pool.backoff_s(n) for n in (1, 2, 3, 9, 1000)] == [2, 4, 8, 300, 300]


# Properties ----------------------------------------------------------------------------------------------------------

AGENT_IDS = ("a1", "a2", "a3")


@st.composite
def agents(draw: st.DrawFn) -> tuple[AgentView, ...]:
    ids = draw(st.lists(st.sampled_from(AGENT_IDS), unique=True, min_size=1))
    return tuple(
        AgentView(
            agent_id=i,
            hostname=f"host-{i}",
            status=draw(st.sampled_from(["running"] * 6 + ["missing", "pending"])),
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
    sessions = [
        session(
            number,
            draw(st.sampled_from(["requested", "starting", "running", "running", "running", "failed", "unreachable"])),
            agent_id=draw(st.sampled_from(AGENT_IDS)),
            created=NOW - draw(minutes),
            expires=NOW + draw(minutes),
            config_hash=draw(st.sampled_from(["h"] * 6 + ["old"])),
        )
        for number in range(draw(st.integers(0, 6)))
    ]
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
    )
    image = replace(IMAGE, enabled=draw(st.sampled_from([True, True, True, False])))
    return snapshot(*sessions, config=config, image=image, agents=draw(agents()))


Planner = Callable[[PoolSnapshot], PoolPlan]


def holds(check: Callable[[PoolSnapshot, Planner], None], planner: Planner) -> None:
    @settings(max_examples=150, deadline=None, derandomize=True, database=None, report_multiple_bugs=False)
    @given(snapshots())
    def run(given_snapshot: PoolSnapshot) -> None:
        check(given_snapshot, planner)

    run()


def ended(made: PoolPlan) -> set[str]:
    return {a.session_id for a in made.actions if not isinstance(a, Create)}


def usable_or_coming(shot: PoolSnapshot) -> int:
    there = {a.agent_id for a in shot.agents if a.status == "running" and a.enabled and not a.draining}
    good = (SessionStatus.RUNNING, SessionStatus.REQUESTED, SessionStatus.STARTING)
    return sum(s.status in good and s.agent_id in there for s in shot.sessions)


def after(shot: PoolSnapshot, made: PoolPlan, number: int = 0) -> PoolSnapshot:
    """The next round: what was created runs, what was ended is gone, an hour's back-off has passed."""
    new = [
        session(1000 + 100 * number + i, agent_id=c.agent_id, created=shot.now, expires=shot.now + timedelta(days=9))
        for i, c in enumerate(made.creates)
    ]
    kept = [
        replace(s, status=SessionStatus.RUNNING, claimable=True)
        if s.status in (SessionStatus.REQUESTED, SessionStatus.STARTING)
        else s
        for s in shot.sessions
        if s.session_id not in ended(made)
    ]
    # Sessions of the first snapshot are outside the agents' sums, those made by plans are inside.
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
    )


def never_above_desired(shot: PoolSnapshot, planner: Planner) -> None:
    made = planner(shot)
    assert usable_or_coming(after(shot, made)) <= shot.config.num_sessions
    assert len(made.creates) <= max(0, shot.config.num_sessions)


def no_session_twice_and_only_known_ones(shot: PoolSnapshot, planner: Planner) -> None:
    named = [a.session_id for a in planner(shot).actions if not isinstance(a, Create)]
    assert len(named) == len(set(named))
    assert set(named) <= {s.session_id for s in shot.sessions}


def claimable_ones_are_only_retired(shot: PoolSnapshot, planner: Planner) -> None:
    claimable = {s.session_id for s in shot.sessions if s.claimable}
    for action in planner(shot).actions:
        if not isinstance(action, Create):
            assert isinstance(action, Retire) == (action.session_id in claimable)


def never_beyond_an_agents_room(shot: PoolSnapshot, planner: Planner) -> None:
    made = planner(shot)
    for agent in shot.agents:
        number = sum(c.agent_id == agent.agent_id for c in made.creates)
        assert number <= agent.free_cores
        assert number == 0 or (agent.status == "running" and agent.enabled and not agent.draining)


def a_short_pool_says_why(shot: PoolSnapshot, planner: Planner) -> None:
    made = planner(shot)
    there = {a.agent_id for a in shot.agents if a.status == "running" and a.enabled and not a.draining}
    usable = sum(s.claimable and s.agent_id in there and s.session_id not in ended(made) for s in shot.sessions)
    short = usable < shot.config.num_sessions and not shot.config.deleted
    assert (made.shortfall is not None) == short


def comes_to_rest(shot: PoolSnapshot, planner: Planner) -> None:
    for number in range(8):
        made = planner(shot)
        if not made.actions:
            break
        shot = after(shot, made, number)
    made = planner(shot)
    assert made.actions == ()
    assert made.shortfall is None or made.shortfall.code not in ("starting", "start-failing")


def nothing_good_ends_without_need(shot: PoolSnapshot, planner: Planner) -> None:
    """A pool at or below Desired keeps every session that counts."""
    made = planner(shot)
    good = {
        s.session_id
        for s in shot.sessions
        if s.claimable
        and s.config_hash == "h"
        and s.expires is not None
        and s.expires > shot.now
        and any(
            a.agent_id == s.agent_id and a.status == "running" and a.enabled and not a.draining for a in shot.agents
        )
    }
    allowed = 0 if shot.config.deleted or not shot.image.enabled else shot.config.num_sessions
    assert len(good - ended(made)) >= min(len(good), allowed)


def _mutant(made: PoolPlan, *more: pool.Action) -> PoolPlan:
    return replace(made, actions=(*made.actions, *more))


MUTANTS: list[tuple[Callable[[PoolSnapshot, Planner], None], Planner]] = [
    (never_above_desired, lambda s: _mutant(plan(s), *[Create(a.agent_id, "") for a in s.agents])),
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
    (a_short_pool_says_why, lambda s: replace(plan(s), shortfall=None)),
    (comes_to_rest, lambda s: plan(replace(s, config=replace(s.config, config_hash="never")))),
    (
        nothing_good_ends_without_need,
        lambda s: replace(plan(s), actions=tuple(Retire(x.session_id, "") for x in s.sessions)),
    ),
]


@pytest.mark.parametrize("check", [check for check, _ in MUTANTS], ids=lambda c: c.__name__)
def test_property(check: Callable[[PoolSnapshot, Planner], None]):
    holds(check, plan)


@pytest.mark.parametrize(("check", "mutant"), MUTANTS, ids=lambda c: getattr(c, "__name__", ""))
def test_property_catches_its_mutant(check: Callable[[PoolSnapshot, Planner], None], mutant: Planner):
    with pytest.raises(AssertionError):
        holds(check, mutant)
