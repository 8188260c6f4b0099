"""Many users race for a few staged sessions through two api processes while each role is killed: exactly once, always.

Containers are simulated where the number of sessions matters, and real where their path matters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.acceptance.instance import Instance, running_instance, wait_for
from tests.acceptance.race import (
    Race,
    SecondApi,
    broken_rows,
    fullest,
    given,
    given_twice,
    kill_role,
    overfull,
    recorded,
)

from greenroom.runtimes.simulated import SimulatedRuntime, SimulationSettings, stored_containers
from greenroom.up.doctor import compare_containers
from greenroom.up.layout import Layout

USERS, STAGED = 60, 15
REAL_USERS, REAL_STAGED = 10, 3


@dataclass(frozen=True)
class Stage:
    """A full pool, and two api processes in front of it."""

    instance: Instance
    second: SecondApi
    config_id: str
    staged: tuple[str, ...]
    """The sessions in the pool before the race."""


def stage_of(instance: Instance, number: int) -> Iterator[Stage]:
    """A pool of this size, and a second api; both are removed at the end."""
    second = SecondApi(instance)
    config_id = instance.stage(number)
    try:
        wait_for(lambda: instance.staged(config_id) == number, "the pool is full")
        wait_for(second.answers, "the second api answers")
        query = "SELECT session_id::text FROM sessions WHERE staging_config_id = %s AND claimable"
        staged = tuple(row["session_id"] for row in instance.sql(query, config_id))
        with recorded(instance):
            yield Stage(instance, second, config_id, staged)
    finally:
        second.close()
        wait_for(instance.healthy, "every part works again", 60)
        instance.unstage(config_id)


def simulated_stage() -> Iterator[Stage]:
    """A separate instance whose containers exist only in files; each takes a second to be usable."""
    with running_instance(GREENROOM_RUNTIME="simulated") as instance:
        host = SimulatedRuntime("", "", folder=Layout(instance.data).agent("agent-default"))
        host.configure(SimulationSettings(create_s=0.1, start_s=0.3, paint_s=0.6))
        yield from stage_of(instance, STAGED)


@pytest.fixture(scope="module")
def simulated() -> Iterator[Stage]:
    """See `simulated_stage`."""
    yield from simulated_stage()


@pytest.fixture(scope="module")
def real(instance: Instance) -> Iterator[Stage]:
    """The instance of these tests."""
    yield from stage_of(instance, REAL_STAGED)


def sessions_of_host(instance: Instance) -> list[str]:
    """The sessions that have a container: on the simulated host, if there is one, otherwise in Docker."""
    folder = Layout(instance.data).agent("agent-default")
    return list(stored_containers(folder)) if (folder / "simulated").exists() else instance.sessions_of_containers()


def everybody_is_served_exactly_once(stage: Stage, race: Race) -> None:
    """Assert the state that must be reached after any race, with any process killed."""
    instance = stage.instance
    wait_for(instance.healthy, "every part works again", 60)
    assert set(race.answers) == set(race.users)
    for user_id in race.users:
        first = race.answers[user_id]
        wait_for(lambda first=first: instance.session(first)["status"] == "running", "each session runs", 60)
        last = instance.session(first)["session_id"]
        assert instance.launch(user_id, race.keys[user_id])["session_id"] == last, "a repeated key gives the same"
        assert instance.sessions_of_user(user_id) == [last]
    launches = instance.sql(
        "SELECT user_id::text, count(*) FROM launches WHERE outcome <> 'failed' AND user_id = ANY(%s) GROUP BY user_id",
        race.users,
    )
    assert {row["user_id"]: row["count"] for row in launches} == dict.fromkeys(race.users, 1)


def no_staged_session_is_lost_or_given_twice(stage: Stage) -> None:
    """Each session of the pool was given to one user, or still exists; and the pool was never overfull."""
    instance = stage.instance
    assert given_twice(instance) == []
    assert overfull(instance) == []
    assert fullest(instance) > 0, "the pool was looked at"
    query = "SELECT session_id::text FROM sessions WHERE session_id = ANY(%s::uuid[]) AND claimable"
    left = {row["session_id"] for row in instance.sql(query, list(stage.staged))}
    assert set(stage.staged) - given(instance) == left


def rows_and_containers_agree(stage: Stage) -> None:
    """Compare rows and containers like the doctor, for containers of any kind."""
    instance = stage.instance

    def agree() -> bool:
        rows = instance.sql("SELECT session_id::text, status FROM sessions WHERE status <> 'deleted'")
        wrong = compare_containers({row["session_id"]: row["status"] for row in rows}, sessions_of_host(instance))
        return not any(wrong.values())

    wait_for(agree, "each session has one container, and no container is without")
    wait_for(lambda: not broken_rows(instance), "no invariant is broken in the database")


@pytest.mark.timeout(300)
def test_60_users_for_15_staged_sessions_while_each_role_is_killed(simulated: Stage):
    instance = simulated.instance
    race = Race(instance, simulated.second, USERS)
    roles = ("api", "manager", "agent", "gateway", "nginx", "postgres")
    race.run([simulated.second.kill, *(kill_role(instance, role) for role in roles)])
    assert race.asked > USERS, "some clients had to ask again"
    everybody_is_served_exactly_once(simulated, race)
    wait_for(lambda: instance.staged(simulated.config_id) == STAGED, "the pool is full again", 60)
    no_staged_session_is_lost_or_given_twice(simulated)
    assert set(simulated.staged) <= given(instance), "those who were there first were all given away"
    rows_and_containers_agree(simulated)


@pytest.mark.timeout(300)
def test_users_get_desktops_exactly_once_while_roles_are_killed(real: Stage):
    instance = real.instance
    race = Race(instance, real.second, REAL_USERS)
    race.run([real.second.kill, *(kill_role(instance, role) for role in ("agent", "manager", "postgres"))])
    everybody_is_served_exactly_once(real, race)
    wait_for(lambda: instance.staged(real.config_id) == REAL_STAGED, "the pool is full again", 60)
    no_staged_session_is_lost_or_given_twice(real)
    rows_and_containers_agree(real)
    for user_id in race.users:
        for session_id in instance.sessions_of_user(user_id):
            instance.call("DELETE", f"/sessions/{session_id}")
