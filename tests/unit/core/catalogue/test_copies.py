"""Which Agents an image is copied from."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.catalogue.copies import MOST_SOURCES, Holder, room_problem, sources

HOLDERS = st.lists(
    st.builds(
        Holder,
        agent_id=st.text("abcdef0123456789", min_size=4, max_size=8),
        hostname=st.just("h"),
        edge_url=st.just("https://h"),
        digest=st.sampled_from(["sha256:a", "sha256:b", "sha256:c"]),
        size_bytes=st.just(1),
        sessions=st.integers(0, 3),
    ),
    max_size=8,
    unique_by=lambda one: one.agent_id,
)


@given(HOLDERS, st.randoms())
def test_sources_have_the_image_that_most_have_and_the_least_busy_come_first(
    holders: list[Holder], shuffled: random.Random
):
    found = sources(holders)
    counted = Counter(one.digest for one in holders)
    assert bool(found) == bool(holders)
    assert len(found) <= MOST_SOURCES
    for one in found:
        assert counted[one.digest] == max(counted.values())
        assert one.digest == found[0].digest
    left = [one for one in holders if found and one.digest == found[0].digest and one not in found]
    assert [one.sessions for one in found] == sorted(one.sessions for one in found)
    assert all(found[-1].sessions <= one.sessions for one in left)
    mixed = list(holders)
    shuffled.shuffle(mixed)
    assert sources(mixed) == found, "Managers agree"


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_copy_needs_its_room_twice_and_leaves_what_is_kept(size: int, free: int, kept: int):
    problem = room_problem("desk", size, free, kept)
    assert (problem == "") == (free - 2 * size >= kept)
    assert room_problem("desk", size, None, kept) == "", "it is found when the disk is full"
    assert not problem or (problem.endswith(".") and "desk" in problem)
