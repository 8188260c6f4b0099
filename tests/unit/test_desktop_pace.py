"""The stripes of the video picture that a viewer receives (the desktop image's video.py)."""

from __future__ import annotations

import struct
from typing import Any

import video  # type: ignore[import-not-found]  -- of the image
from hypothesis import given
from hypothesis import strategies as st

ROWS = (0, 400)


def stripe(frame: int, row: int, *, whole: bool = False) -> bytes:
    return struct.pack(">BBHHHHH", 4, 0x11 if whole else 0x10, frame, row, 1280, 400, 0)


def sent_whole(at: float = 0.0) -> Any:
    """A viewer who was sent one whole picture, number 0."""
    viewer = video.Pace()
    assert all(viewer.should_send(stripe(0, row, whole=True), at) for row in ROWS)
    return viewer


def test_a_viewer_who_comes_late_waits_for_a_whole_picture() -> None:
    viewer = video.Pace()
    assert not viewer.should_send(stripe(7, 0), 0.0)
    assert viewer.needs_key_frame
    assert viewer.should_send(stripe(8, 0, whole=True), 0.0)
    assert viewer.should_send(stripe(9, 0), 0.0)
    assert not viewer.should_send(stripe(9, 400), 0.0), "its row had no whole stripe"


def test_a_viewer_who_paints_nothing_is_sent_a_window_of_frames_and_is_then_stuck() -> None:
    viewer = sent_whole()
    assert [viewer.should_send(stripe(frame, 0), 0.0) for frame in range(1, 9)] == [True] * 5 + [False] * 3
    assert not viewer.is_ready
    assert not viewer.is_stuck(video.STUCK_S)
    assert viewer.is_stuck(video.STUCK_S + 0.1)


def test_after_a_frame_left_out_each_row_begins_with_a_whole_stripe() -> None:
    viewer = sent_whole()
    for frame in range(1, 8):
        viewer.should_send(stripe(frame, 0), 0.0)
    viewer.record_painted(5, 0.1)
    assert viewer.is_ready
    assert viewer.needs_key_frame
    assert not viewer.should_send(stripe(8, 0), 0.2)
    assert viewer.should_send(stripe(9, 0, whole=True), 0.2)
    assert not viewer.needs_key_frame
    assert viewer.should_send(stripe(10, 0), 0.2)


def test_frames_that_wait_on_their_way_are_sent_in_smaller_numbers() -> None:
    viewer = sent_whole()
    viewer.record_painted(0, 0.01)
    now = 1.0
    for frame in range(1, 20):
        assert viewer.should_send(stripe(frame, 0), now)
        viewer.record_painted(frame, now + 1.0)
        now += 1.0
    assert viewer.should_send(stripe(20, 0), now)
    assert viewer.should_send(stripe(21, 0), now)
    assert not viewer.is_ready


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(ROWS), st.booleans(), st.integers(0, 30))))
def test_no_stripe_is_sent_whose_row_has_a_gap_before_it(steps: list[tuple[int, int, bool, int]]) -> None:
    viewer = video.Pace()
    complete: dict[int, bool] = dict.fromkeys(ROWS, False)
    for number, (ahead, row, whole, painted) in enumerate(steps):
        frame = number * 31 + ahead
        if viewer.should_send(stripe(frame, row, whole=whole), float(number)):
            assert whole or complete[row]
            complete[row] = True
        else:
            complete[row] = False
        viewer.record_painted(painted * 31, float(number))
