"""The Agents from which an image is copied."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.catalogue.fetch_methods import MAX_SOURCES, ImageHolder, copy_sources, room_problem

HOLDERS = st.lists(
    st.builds(
        ImageHolder,
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


@for_all(
    HOLDERS,
    st.randoms(),
    subject=copy_sources,
    mutants=[
        lambda holders: copy_sources(holders[:-1]),
        lambda holders: holders[:MAX_SOURCES],
        lambda holders: copy_sources(holders)[::-1],
    ],
)
def test_sources_have_the_image_that_most_have_and_the_least_busy_come_first(
    subject: Any, holders: list[ImageHolder], shuffled: random.Random
):
    found = subject(holders)
    counted = Counter(one.digest for one in holders)
    assert bool(found) == bool(holders)
    assert len(found) <= MAX_SOURCES
    for one in found:
        assert counted[one.digest] == max(counted.values())
        assert one.digest == found[0].digest
    left = [one for one in holders if found and one.digest == found[0].digest and one not in found]
    assert [one.sessions for one in found] == sorted(one.sessions for one in found)
    assert all(found[-1].sessions <= one.sessions for one in left)
    mixed = list(holders)
    shuffled.shuffle(mixed)
    assert subject(mixed) == found, "Managers agree"


@for_all(
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    subject=room_problem,
    mutants=[
        lambda name, size, free, kept: room_problem(name, size // 2, free, kept),
        lambda name, size, free, kept: room_problem(name, size, free, 0),
    ],
)
def test_a_copy_needs_its_room_twice_and_leaves_what_is_kept(subject: Any, size: int, free: int, kept: int):
    problem = subject("desk", size, free, kept)
    assert (problem == "") == (free - 2 * size >= kept)
    assert subject("desk", size, None, kept) == "", "it is found when the disk is full"
    assert not problem or (problem.endswith(".") and "desk" in problem)
