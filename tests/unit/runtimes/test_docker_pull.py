"""Progress of a pull."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from greenroom.runtimes.docker_pull import Progress

lines = st.fixed_dictionaries(
    {"status": st.sampled_from(["Pulling fs layer", "Waiting", "Downloading", "Download complete", "Extracting"])},
    optional={
        "id": st.sampled_from(["a", "b", "c"]),
        "progressDetail": st.fixed_dictionaries({}, optional={"current": st.integers(0, 90), "total": st.just(90)}),
    },
)


@given(st.lists(lines, max_size=30))
def test_it_never_falls_and_never_claims_to_be_done(stream: list[dict[str, Any]]):
    progress = Progress()
    seen = [progress.after(line) for line in stream]
    assert seen == sorted(seen)
    assert all(0 <= percent <= 99 for percent in seen)


def test_layers_count_by_their_bytes():
    progress = Progress()
    progress.after({"id": "big", "status": "Downloading", "progressDetail": {"current": 0, "total": 900}})
    progress.after({"id": "small", "status": "Downloading", "progressDetail": {"current": 0, "total": 100}})
    assert progress.after({"id": "small", "status": "Pull complete", "progressDetail": {}}) == 10
    assert progress.after({"id": "big", "status": "Download complete"}) == 82
    assert progress.after({"id": "big", "status": "Extracting", "progressDetail": {"current": 450, "total": 900}}) == 91
