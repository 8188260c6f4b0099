"""Races for staged sessions, one after the other, while roles are killed at random: exactly once, each time.

A run is a seed: `CHAOS_SEED=7 CHAOS_S=600 script/test chaos` repeats the choice of killed roles, for longer.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

import pytest
from tests.acceptance.instance import Instance, wait_for
from tests.acceptance.race import Race, kill_role
from tests.acceptance.test_exactly_once import (
    Stage,
    everybody_is_served_exactly_once,
    no_staged_session_is_lost_or_given_twice,
    rows_and_containers_agree,
    simulated_stage,
)

SEED = int(os.environ.get("CHAOS_SEED", str(time.time_ns() % 1_000_000)))
DURATION_S = float(os.environ.get("CHAOS_S", "45"))
ROLES = ("api", "manager", "agent", "gateway", "nginx", "postgres")
USERS, KILLS = 30, 4


@pytest.fixture
def stage() -> Iterator[Stage]:
    yield from simulated_stage()


def end_all(instance: Instance) -> None:
    """End the sessions of all users."""
    query = "SELECT session_id::text FROM sessions WHERE user_id IS NOT NULL AND status <> 'deleted'"
    for row in instance.sql(query):
        instance.call("DELETE", f"/sessions/{row['session_id']}")
    wait_for(lambda: not instance.sql(query), "the sessions are over", 60)


@pytest.mark.timeout(DURATION_S + 240)
def test_race_after_race_no_user_gets_what_another_has(stage: Stage):
    print(f"CHAOS_SEED={SEED} CHAOS_S={DURATION_S:g}")  # noqa: T201 -- shown with a failure, and by -s
    instance, chance = stage.instance, random.Random(SEED)  # noqa: S311 -- a run can be repeated
    end, races = time.monotonic() + DURATION_S, 0
    while time.monotonic() < end:
        roles = [chance.choice((*ROLES, "second api")) for _ in range(KILLS)]
        race = Race(instance, stage.second, USERS)
        race.run([stage.second.kill if role == "second api" else kill_role(instance, role) for role in roles])
        everybody_is_served_exactly_once(stage, race)
        rows_and_containers_agree(stage)
        no_staged_session_is_lost_or_given_twice(stage)
        end_all(instance)
        races += 1
        print(f"race {races}: {', '.join(roles)}; {race.asked} requests of {USERS} users")  # noqa: T201 -- for who runs it
    assert races > 0
