"""A process that restarts repeatedly, and its record of that."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.fleet.restarts import CRASH_STARTS, HEALTHY_S, crash_loop
from greenroom.kit.starts import StartLog


def _start(folder: Path, error: Exception | None) -> str:
    starts = StartLog(folder)
    with starts.record_start():
        said = starts.crash_loop
        if error is not None:
            raise error
    return said


CRASH_LOOP = "It is crash-looping: it started 3 times within 5 minutes. The last error: ValueError: bad row."


def _end_with_errors(folder: Path, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ValueError, match="bad row"):
            _start(folder, ValueError("bad row"))


def test_the_third_start_in_a_row_is_a_crash_loop_with_the_last_error(tmp_path: Path):
    _end_with_errors(tmp_path, CRASH_STARTS - 1)
    assert _start(tmp_path, None) == CRASH_LOOP
    assert _start(tmp_path, None) == "", "it was stopped on purpose"


def test_another_process_reads_the_crash_loop_between_two_starts_and_after_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    starts = StartLog(tmp_path)
    assert starts.read_crash_loop() == ""
    _end_with_errors(tmp_path, CRASH_STARTS)
    assert starts.read_crash_loop() == CRASH_LOOP
    with StartLog(tmp_path).record_start():
        assert starts.read_crash_loop() == CRASH_LOOP.replace("3", "4")
        late_s = time.time() + HEALTHY_S
        monkeypatch.setattr(time, "time", lambda: late_s)
        assert starts.read_crash_loop() == "", "it has run long enough"


def test_a_process_that_was_killed_is_not_blamed_for_an_earlier_error(tmp_path: Path):
    _end_with_errors(tmp_path, 1)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), StartLog(tmp_path).record_start():
            raise KeyboardInterrupt
    assert "It was killed, or ended without an error." in StartLog(tmp_path).read_crash_loop()


def test_starts_before_a_restart_of_the_machine_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _end_with_errors(tmp_path, CRASH_STARTS)
    monkeypatch.setattr(time, "clock_gettime", lambda _: 0.0)  # seconds since the boot
    assert _start(tmp_path, None) == ""


def test_a_file_that_cannot_be_read_counts_as_empty(tmp_path: Path):
    (tmp_path / "starts.json").write_text("{")
    assert _start(tmp_path, None) == ""
    assert _start(tmp_path / "missing", None) == ""


@given(st.lists(st.floats(1, 200), max_size=8))
def test_starts_before_a_healthy_minute_do_not_count(gaps_s: list[float]):
    starts_s = [sum(gaps_s[:number]) for number in range(len(gaps_s) + 1)]
    is_close = [later - earlier < HEALTHY_S for earlier, later in pairwise(starts_s)]
    assert bool(crash_loop(starts_s, "")) == (is_close[-2:] == [True, True])
