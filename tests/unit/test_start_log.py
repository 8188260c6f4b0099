"""A process that starts again and again, and what it knows of that."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.fleet.restarts import CRASH_STARTS, HEALTHY_S, crash_loop
from greenroom.kit.starts import StartLog


def _start(file: Path, error: Exception | None) -> str:
    starts = StartLog(file)
    with starts.noted():
        said = starts.crash_loop
        if error is not None:
            raise error
    return said


def test_the_third_start_in_a_row_is_a_crash_loop_with_the_last_error(tmp_path: Path):
    file = tmp_path / "starts.json"
    for _ in range(CRASH_STARTS - 1):
        with pytest.raises(ValueError, match="bad row"):
            _start(file, ValueError("bad row"))
    said = _start(file, None)
    assert said == "It is crash-looping: it started 3 times within 5 minutes. The last error: ValueError: bad row."
    assert _start(file, None) == "", "it was stopped on purpose"


def test_a_file_that_cannot_be_read_counts_as_empty(tmp_path: Path):
    file = tmp_path / "starts.json"
    file.write_text("{")
    assert _start(file, None) == ""
    assert _start(tmp_path / "missing/starts.json", None) == ""


@given(st.lists(st.floats(1, 200), max_size=8))
def test_starts_before_a_healthy_minute_do_not_count(gaps_s: list[float]):
    starts_s = [sum(gaps_s[:number]) for number in range(len(gaps_s) + 1)]
    is_close = [later - earlier < HEALTHY_S for earlier, later in pairwise(starts_s)]
    assert bool(crash_loop(starts_s, "")) == (is_close[-2:] == [True, True])
