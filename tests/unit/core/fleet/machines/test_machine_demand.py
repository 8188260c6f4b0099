"""A launch that waits in several zones counts in one."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.machines import DESKTOP, agent, ago
from tests.unit.properties import for_all

from greenroom.core.fleet.machines.model import WaitingUser, reserve_room, zones_of_users
from greenroom.core.launch.placement import PlacementAgent

ZONES = ("eu", "us", "asia")


def waiting(name: str, *zones: str, since_s: float = 5.0, cores: float = 1.0) -> WaitingUser:
    request = replace(DESKTOP, cores=cores)
    return WaitingUser(user_id=name, image_id="desktop", request=request, since=ago(since_s), zone_ids=zones)


def machines(number: int) -> list[PlacementAgent]:
    """Empty machines; each has capacity for 8 sessions of a core."""
    return [agent(f"m{i}") for i in range(number)]


ADA, BEN = waiting("ada", "eu", "us", since_s=9), waiting("ben", "us", "eu", since_s=5)


@pytest.mark.parametrize(
    ("supply", "expected"),
    [
        ({"eu": machines(1), "us": machines(1)}, ["eu", "us"]),
        ({"eu": machines(1)}, ["eu", "eu"]),
        ({"eu": [], "us": machines(1)}, ["us", "us"]),
        ({"eu": [], "us": []}, ["eu", "us"]),
        ({}, ["eu", "us"]),
    ],
)
def test_they_count_where_a_machine_may_come_for_them_first(
    supply: dict[str, list[PlacementAgent]], expected: list[str]
):
    assert list(zones_of_users([BEN, ADA], supply).values()) == expected


def test_the_longest_wait_is_first_and_others_count_where_there_is_room_beside_it():
    crowd = [waiting(f"p{i}", "eu", "us", since_s=30 - i) for i in range(10)]
    found = zones_of_users(crowd, {"eu": machines(1), "us": machines(1)})
    assert [found[one] for one in crowd] == ["eu"] * 8 + ["us"] * 2


def test_who_is_too_large_for_a_zones_machines_counts_where_they_fit():
    large = waiting("ada", "eu", "us", cores=16)
    assert zones_of_users([large], {"eu": machines(3), "us": [agent("m", cores=16.0, memory=99_000_000_000)]}) == {
        large: "us"
    }


PEOPLE = st.lists(
    st.builds(
        lambda i, zones, since, cores: waiting(f"p{i}", *zones, since_s=since, cores=cores),
        st.integers(0, 10**6),
        st.permutations(ZONES).flatmap(lambda order: st.integers(1, 3).map(lambda n: order[:n])),
        st.integers(0, 60),
        st.sampled_from([1.0, 4.0, 8.0, 16.0]),
    ),
    max_size=12,
    unique_by=lambda one: one.user_id,
)
SUPPLY = st.dictionaries(st.sampled_from(ZONES), st.integers(0, 2).map(machines))


@for_all(
    PEOPLE,
    SUPPLY,
    st.randoms(),
    subject=zones_of_users,
    mutants=[
        lambda people, supply: {one: one.zone_ids[0] for one in people},
        lambda people, supply: zones_of_users(people, {zone: list(rooms)[:1] for zone, rooms in supply.items()}),
    ],
)
def test_each_counts_once_and_later_only_where_those_before_are_full(
    subject: Any, people: list[WaitingUser], supply: Mapping[str, Sequence[PlacementAgent]], chance: random.Random
):
    found = subject(people, supply)
    assert set(found) == set(people)
    mixed = chance.sample(people, len(people))
    assert subject(mixed, supply) == found, "every zone finds the same"
    left = {zone: list(rooms) for zone, rooms in supply.items()}
    for one in sorted(people, key=lambda one: (one.since, one.user_id)):
        zone = found[one]
        assert zone in one.zone_ids
        tried = [z for z in one.zone_ids if z in supply]
        if tried:
            assert zone in tried
        before = tried[: tried.index(zone)] if zone in tried else []
        has_room = zone in left and reserve_room(left[zone], one.request)
        assert not any(reserve_room(list(left[z]), one.request) for z in before)
        if not has_room:
            assert not any(reserve_room(list(left[z]), one.request) for z in tried), "somewhere a machine would do"
