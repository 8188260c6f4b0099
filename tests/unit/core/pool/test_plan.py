"""The plan of a pool: examples by sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.pools import BIG, CONFIG, IMAGE, NOW, ZONE, session, snapshot

from greenroom.core.access.group_settings import STAGED_PERMISSIONS
from greenroom.core.fleet.disk import FreeDisk
from greenroom.core.launch.placement import PlacementAgent
from greenroom.core.pool.model import RECYCLED, Create, Destroy, PoolConfig, PoolPlan, Retire, Shortfall, config_title
from greenroom.core.pool.plan import plan


def test_an_empty_pool_is_filled_and_says_that_it_is_starting():
    made = plan(snapshot())
    assert [type(a) for a in made.actions] == [Create, Create, Create]
    assert made.shortfall is not None
    assert (made.shortfall.code, made.shortfall.reason) == ("starting", "3 of 3 not staged yet: they are starting.")


@pytest.mark.parametrize("name", STAGED_PERMISSIONS)
def test_the_permissions_of_a_config_are_its_switches(name: str):
    config = replace(CONFIG, **{name: True})
    assert config.permissions == dict.fromkeys(STAGED_PERMISSIONS, False) | {name: True}


def test_a_full_pool_has_nothing_to_do_and_nothing_to_say():
    assert plan(snapshot(session(1), session(2), session(3))) == PoolPlan(
        actions=(), shortfall=None, failures=0, last_error=None, next_try=None
    )


NO_DISK = replace(BIG, disk=FreeDisk(free_bytes=10**9, kept_bytes=2 * 10**9))
NO_IMAGE = replace(BIG, image_state="failed", image_error="not found.")


@pytest.mark.parametrize(
    ("agents", "code", "reason"),
    [
        (
            (replace(BIG, runtime_error="Docker does not answer."),),
            "no-agent",
            "agent-1 cannot start sessions: Docker does not answer",
        ),
        ((replace(BIG, agent_id="a2", draining=True), BIG), None, ""),
        ((NO_DISK,), "no-capacity", "agent-1 has 1 GB of disk free; 2 GB must stay free"),
        ((NO_IMAGE,), "image-unavailable", "agent-1 cannot get image desktop: not found"),
        ((replace(BIG, image_state="pulling"),), None, ""),
        (
            (replace(BIG, cores=3, cores_allocated=3.0),),
            "no-capacity",
            "no Agent in zone eu has 1 cores and 1 MB free (agent-1 has 0 of 3 cores free, 1 are needed)",
        ),
    ],
)
def test_a_full_pool_says_why_its_next_session_cannot_start(
    agents: tuple[PlacementAgent, ...], code: str | None, reason: str
):
    made = plan(snapshot(*map(session, (1, 2, 3)), agents=agents))
    assert (made.actions, made.shortfall) == ((), None)
    problem = made.refill_problem
    assert (problem and problem.code, problem and problem.reason) == (
        code,
        f"The next session cannot start: {reason}." if code else None,
    )


def test_a_full_pool_of_an_earlier_image_says_that_replacements_cannot_start():
    config = replace(CONFIG, num_sessions=2, recycled=NOW)
    made = plan(snapshot(session(1), session(2), config=config, agents=(NO_IMAGE,)))
    assert (made.actions, made.shortfall) == ((), None)
    assert made.refill_problem == Shortfall(
        "image-unavailable",
        "2 sessions of the former workspace; their replacements cannot start: agent-1 cannot get image desktop:"
        " not found.",
    )
    failing = replace(config, failures=2, last_error="exit code 4.", next_try=NOW + timedelta(minutes=1))
    made = plan(snapshot(session(1), session(2), config=failing))
    assert made.refill_problem == Shortfall(
        "start-failing",
        "2 sessions of the former workspace; their replacements cannot start: 2 starts in a row failed, the last"
        " with: exit code 4; next try at 03:05:05 UTC.",
    )
    one = plan(snapshot(session(1), config=replace(config, num_sessions=1), agents=(NO_IMAGE,))).refill_problem
    assert one is not None
    assert one.reason.startswith("1 session of the former workspace; its replacement cannot start: ")


def test_a_refill_has_no_problem_while_sessions_end_or_the_pool_is_paused_or_short():
    full = replace(BIG, cores=3, cores_allocated=3.0)
    assert plan(snapshot(*map(session, (1, 2, 3)), agents=(full,), ending=1)).refill_problem is None
    paused = replace(CONFIG, paused=True)
    assert plan(snapshot(*map(session, (1, 2, 3)), agents=(full,), config=paused)).refill_problem is None
    short = plan(snapshot(*map(session, (1, 2)), agents=(full,)))
    assert (short.shortfall is None, short.refill_problem) == (False, None)


def test_a_pool_that_shrinks_has_no_refill_problem_while_its_sessions_end():
    full, one = replace(BIG, cores=3, cores_allocated=3.0), replace(CONFIG, num_sessions=1)
    shrinking = plan(snapshot(*map(session, (1, 2, 3)), agents=(full,), config=one))
    assert [type(action) for action in shrinking.actions] == [Retire, Retire]
    assert (shrinking.shortfall, shrinking.refill_problem) == (None, None)
    still_full = plan(snapshot(session(1), agents=(full,), config=one)).refill_problem
    assert still_full is not None, "other sessions use the Agent"
    assert still_full.code == "no-capacity"


def test_one_session_missing_is_created_on_the_least_loaded_agent():
    busy = replace(BIG, agent_id="a0", hostname="agent-0", cores_allocated=50.0)
    made = plan(snapshot(session(1, agent_id="a0"), session(2), agents=(busy, BIG)))
    assert made.actions == (Create("a1", "2 of 3 staged; placed on agent-1."),)


def test_a_pool_is_spread_over_hosts_of_different_sizes():
    new = replace(BIG, agent_id="a2", hostname="agent-2", cores=400)
    numbers = [create.agent_id for create in plan(snapshot(agents=(BIG, new))).creates]
    assert sorted(numbers) in (["a1", "a1", "a2"], ["a1", "a2", "a2"])
    recycled = replace(CONFIG, num_sessions=2, recycled=NOW)
    sessions = session(1, agent_id="a1"), session(2, agent_id="a2")
    (created,) = plan(snapshot(*sessions, config=recycled, agents=(BIG, new))).creates
    assert (created.replaces, created.agent_id) == ("s1", "a1"), "the replaced session does not count"
    packed = snapshot(session(1), session(2), agents=(BIG, new), strategy="Most Load")
    assert plan(packed).creates[0].agent_id == "a1"
    loaded = replace(new, cores_allocated=390.0)
    assert plan(snapshot(session(1), session(2), agents=(BIG, loaded))).creates[0].agent_id == "a1"


def test_shrink_takes_those_not_yet_usable_first_and_then_the_oldest():
    config = replace(CONFIG, num_sessions=1)
    made = plan(snapshot(session(1), session(2), session(3, "starting"), config=config))
    assert made.actions == (
        Destroy("s3", "3 are staged, and 1 are needed."),
        Retire("s1", "3 are staged, and 1 are needed."),
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
    assert made.actions == (
        Retire("s1", "The workspace, the staging config or the zone was changed after it was created."),
        Create("a1", "2 of 3 staged; placed on agent-1."),
    )


def test_what_is_still_starting_when_its_pool_is_recycled_ends_at_once():
    config = replace(CONFIG, recycled=NOW)
    made = plan(snapshot(session(1, "starting"), session(2), session(3), config=config))
    assert made.actions[0] == Destroy("s1", f"It is not usable yet, and {RECYCLED}.")
    assert not [action for action in made.actions if isinstance(action, Retire)]


@pytest.mark.parametrize("config", [replace(CONFIG, deleted=True), replace(CONFIG, num_sessions=0)])
def test_where_no_session_is_wanted_none_stays_and_none_is_missed(config: PoolConfig):
    made = plan(snapshot(session(1), session(2, "starting"), config=config))
    reason = "The staging config is deleted, or its number of sessions is 0."
    assert made.actions == (Retire("s1", reason), Destroy("s2", reason))
    assert made.shortfall is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"image": replace(IMAGE, enabled=False)}, "image-disabled"),
        ({"zone": replace(ZONE, upstream_auth_address="$request_host$")}, "zone-request-host"),
        ({"image": replace(IMAGE, only_zone_id="other")}, "image-unavailable"),
    ],
)
def test_a_pool_that_may_stage_nothing_goes_to_zero_and_says_why(changes: dict[str, object], code: str):
    made = plan(snapshot(session(1), session(2, "requested"), **changes))
    assert made.shortfall is not None
    assert made.shortfall.code == code
    assert made.actions == (Retire("s1", made.shortfall.reason), Destroy("s2", made.shortfall.reason))


def test_the_zone_setting_is_named_in_the_reason():
    zone = replace(ZONE, allow_origin_domain="$request_host$", upstream_auth_address="$request_host$")
    shortfall = plan(snapshot(zone=zone)).shortfall
    assert shortfall is not None
    assert shortfall.reason.startswith(
        "Nothing is staged: Allow Origin Domain and Upstream Auth Address of zone eu contain $request_host$,"
    )


def test_a_full_paused_pool_has_no_shortfall():
    made = plan(snapshot(session(1), session(2), session(3), config=replace(CONFIG, paused=True)))
    assert (made.actions, made.shortfall) == ((), None)


def test_a_paused_pool_keeps_what_it_has_and_creates_nothing():
    made = plan(snapshot(session(1), config=replace(CONFIG, paused=True)))
    assert made.actions == ()
    assert made.shortfall is not None
    assert made.shortfall.code == "paused"
    assert made.shortfall.reason == (
        "2 of 3 not staged: the config is paused, so it assigns no session and creates none."
    )


def test_missing_capacity_is_given_in_numbers():
    small = replace(BIG, cores=2.5, cores_allocated=2.0)
    shortfall = plan(snapshot(session(1), session(2), agents=(small,))).shortfall
    assert shortfall is not None
    assert shortfall.code == "no-capacity"
    assert shortfall.reason == (
        "1 of 3 not staged: no Agent in zone eu has 1 cores and 1 MB free"
        " (agent-1 has 0.5 of 2.5 cores free, 1 are needed)."
    )


def test_a_pool_of_quotas_is_as_full_as_the_cores_of_the_host_allow():
    host = replace(BIG, cores=2.5 * 16, overcommit=16)
    made = plan(snapshot(image=replace(IMAGE, cpu_mode="Quotas"), agents=(host,)))
    assert len(made.creates) == 2
    assert made.shortfall is not None
    assert made.shortfall.reason == (
        "1 of 3 not staged: no Agent in zone eu has a quota of 1 cores and 1 MB free"
        " (agent-1 has 0.5 of 2.5 cores free for a quota, 1 are needed)."
    )


@pytest.mark.parametrize(
    ("agents", "code"),
    [
        ((), "no-agent"),
        ((replace(BIG, status="missing"),), "no-agent"),
        ((replace(BIG, enabled=False),), "no-agent"),
        ((replace(BIG, image_state="pulling", image_progress=40),), "image-pulling"),
        ((replace(BIG, image_state="absent"),), "image-pulling"),
        ((replace(BIG, image_state="failed", image_error="no such image"),), "image-unavailable"),
        ((replace(BIG, disk=FreeDisk(free_bytes=0, kept_bytes=1)),), "no-capacity"),
    ],
)
def test_other_reasons_for_a_shortfall(agents: tuple[PlacementAgent, ...], code: str):
    shortfall = plan(snapshot(agents=agents)).shortfall
    assert shortfall is not None
    assert shortfall.code == code


@pytest.mark.parametrize(
    ("number", "same"),
    [
        (1, ""),
        (2, " (the same applies to agent-1)"),
        (6, " (the same applies to agent-1, agent-2, agent-3 and 2 other Agents)"),
    ],
)
def test_agents_with_the_same_reason_share_one_sentence(number: int, same: str):
    agents = [replace(BIG, agent_id=f"a{i}", hostname=f"agent-{i}", image_state="absent") for i in range(number)]
    shortfall = plan(snapshot(agents=(*agents, replace(BIG, agent_id="b", hostname="b", enabled=False)))).shortfall
    assert shortfall is not None
    assert shortfall.reason == f"3 of 3 not staged: agent-0 does not have image {IMAGE.name} yet{same}; b is disabled."


def test_sessions_of_a_missing_agent_do_not_count_and_are_replaced():
    gone = replace(BIG, agent_id="a0", hostname="agent-0", status="missing")
    unreachable = session(1, "unreachable", agent_id="a0")
    made = plan(snapshot(unreachable, session(2), session(3), agents=(gone, BIG)))
    assert made.actions == (Create("a1", "2 of 3 staged; placed on agent-1."),)


def test_sessions_of_a_disabled_agent_end_once_the_pool_is_full():
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
        "1 of 3 not staged: 1 start failed, the last with: X did not start; next try at 03:04:07 UTC."
    )


def test_a_session_that_failed_for_no_known_reason_says_that():
    made = plan(snapshot(session(1, "failed"), session(2), session(3)))
    assert made.actions == (Destroy("s1", "The start failed: no reason was given."),)
    assert made.last_error == "no reason was given"


def test_of_sessions_that_failed_together_the_newest_gives_the_reason():
    made = plan(snapshot(session(1, "failed", error="old"), session(2, "failed", error="new"), session(3)))
    assert made.last_error == "new"


def test_an_attempt_that_is_due_says_that_it_is_made_now():
    config = replace(CONFIG, failures=2, last_error="X did not start.", next_try=NOW)
    shortfall = plan(snapshot(session(1), session(2), config=config)).shortfall
    assert shortfall is not None
    assert shortfall.reason == (
        "1 of 3 not staged: 2 starts in a row failed, the last with: X did not start; trying again now."
    )


def test_failures_together_are_one_and_a_failed_retry_is_another():
    config = replace(CONFIG, failures=1, last_error="e", next_try=NOW + timedelta(seconds=1))
    together = plan(snapshot(session(1, "failed", error="e"), config=config))
    assert together.failures == 1
    later = replace(config, next_try=NOW - timedelta(seconds=1))
    retry = plan(snapshot(session(1, "failed", error="e", created=NOW), config=later))
    assert (retry.failures, retry.next_try) == (2, NOW + timedelta(seconds=4))


def test_after_failures_starts_are_tried_one_by_one_until_success():
    config = replace(CONFIG, failures=3, last_error="e", next_try=NOW - timedelta(seconds=1))
    assert len(plan(snapshot(config=config)).creates) == 1
    assert plan(snapshot(session(1, "starting"), config=config)).creates == ()
    healed = replace(config, last_success=NOW)
    made = plan(snapshot(session(1), config=healed))
    assert (made.failures, made.last_error, made.next_try, len(made.creates)) == (0, None, None, 2)


@pytest.mark.parametrize(("cores", "code"), [(100, "starting"), (0, "no-capacity")])
def test_while_people_wait_nothing_is_created_and_the_config_says_so(cores: float, code: str):
    made = plan(
        snapshot(
            session(1), agents=(replace(BIG, cores=cores),), waiting_users_text="2 launches of people wait in zone eu"
        )
    )
    assert made.actions == ()
    assert made.shortfall is not None
    assert (made.shortfall.code, made.shortfall.reason) == (
        code,
        "2 of 3 not staged: 2 launches of people wait in zone eu; launches of users have priority.",
    )


def test_a_config_is_named_by_workspace_zone_and_short_id():
    assert config_title("Desktop", "eu", "12345678-9abc") == "Desktop in zone eu (config 12345678)"
