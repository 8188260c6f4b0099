"""Progress of a pull."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.runtimes.docker.events import PullProgress, with_registry


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("desk:1", "docker.io/desk:1"),
        ("team/desk:1", "docker.io/team/desk:1"),
        ("docker.io/team/desk", "docker.io/team/desk"),
        ("r.example:5000/desk:1", "r.example:5000/desk:1"),
        ("localhost/desk", "localhost/desk"),
    ],
)
def test_an_account_is_given_for_a_registry_that_is_named(name: str, whole: str):
    assert with_registry(name) == whole


lines = st.fixed_dictionaries(
    {"status": st.sampled_from(["Pulling fs layer", "Waiting", "Downloading", "Download complete", "Extracting"])},
    optional={
        "id": st.sampled_from(["a", "b", "c"]),
        "progressDetail": st.fixed_dictionaries({}, optional={"current": st.integers(0, 90), "total": st.just(90)}),
    },
)


@given(st.lists(lines, max_size=30))
def test_it_never_falls_and_never_claims_to_be_done(stream: list[dict[str, Any]]):
    progress = PullProgress()
    seen = [progress.update(line) for line in stream]
    assert seen == sorted(seen)
    assert all(0 <= percent <= 99 for percent in seen)


def test_layers_count_by_their_bytes():
    progress = PullProgress()
    progress.update({"id": "big", "status": "Downloading", "progressDetail": {"current": 0, "total": 900}})
    progress.update({"id": "small", "status": "Downloading", "progressDetail": {"current": 0, "total": 100}})
    assert progress.update({"id": "small", "status": "Pull complete", "progressDetail": {}}) == 10
    assert progress.update({"id": "big", "status": "Download complete"}) == 82
    assert (
        progress.update({"id": "big", "status": "Extracting", "progressDetail": {"current": 450, "total": 900}}) == 91
    )


def test_layers_that_are_here_already_do_not_count():
    progress = PullProgress()
    assert progress.update({"id": "base", "status": "Already exists"}) == 0
    progress.update({"id": "new", "status": "Pulling fs layer"})
    assert (
        progress.update({"id": "new", "status": "Downloading", "progressDetail": {"current": 25, "total": 100}}) == 20
    )


def test_a_layer_that_waits_counts_like_the_others():
    progress = PullProgress()
    for layer in ("first", "second", "third", "fourth"):
        progress.update({"id": layer, "status": "Pulling fs layer"})
    progress.update({"id": "first", "status": "Downloading", "progressDetail": {"current": 1, "total": 500}})
    assert progress.update({"id": "first", "status": "Pull complete", "progressDetail": {}}) == 25
