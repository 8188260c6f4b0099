"""The rows of a recording, from requests and their results."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.recording.rows import (
    ActionOutcome,
    Picture,
    RecordedRequest,
    RecordingRow,
    changes_screen,
    picture_of,
    row_of_command,
    row_of_elements,
    row_of_file,
    row_of_missing_rows,
    row_of_screenshot,
    rows_of_actions,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASKED = RecordedRequest(began=NOW, duration_ms=30)
SCREEN = (1280, 800)
CLICK = {"action": "left_click", "coordinate": [640, 400]}
PICTURE = Picture(width=2, height=1, data=b"png")


def test_each_action_has_a_row_with_its_place_and_its_time():
    outcomes = [ActionOutcome(done=True, ms=4), ActionOutcome(done=True, ms=6, picture=PICTURE)]
    first, second = rows_of_actions(ASKED, [CLICK, {"action": "screenshot"}], outcomes, SCREEN)
    assert (first.what, first.said, first.duration_ms) == ("click", "Left click at 640, 400.", 4)
    assert first.details == {"at": [640, 400], "screen": [1280, 800]}
    assert (second.began, second.picture, second.code) == (NOW + timedelta(milliseconds=4), PICTURE, None)
    (alone,) = rows_of_actions(ASKED, [CLICK], [ActionOutcome(done=True)], None)
    assert (alone.duration_ms, alone.details) == (30, {})


@pytest.mark.parametrize(("ms", "kept_ms"), [(1e300, 30), (-1e300, 0)])
def test_no_action_takes_longer_than_its_request_even_if_the_session_says_so(ms: float, kept_ms: float):
    first, second = rows_of_actions(ASKED, [CLICK, CLICK], [ActionOutcome(done=True, ms=ms)] * 2, SCREEN)
    assert (first.duration_ms, second.began - NOW) == (kept_ms, timedelta(milliseconds=kept_ms))


def test_after_a_failure_nothing_was_begun():
    outcomes = [ActionOutcome(done=False, error="no 'x' here."), ActionOutcome(done=False, error="not done")]
    (row,) = rows_of_actions(ASKED, [CLICK, CLICK], outcomes, SCREEN)
    assert (row.code, row.error) == ("not-done", "no • here.")
    (row,) = rows_of_actions(ASKED, [CLICK], [ActionOutcome(done=False)], SCREEN)
    assert row.error == "It failed."


def test_an_action_at_an_element_is_read_without_its_place():
    (row,) = rows_of_actions(ASKED, [{"action": "left_click", "ref": "1.2-3"}], [ActionOutcome(done=True)], SCREEN)
    assert row.what == "click"


@pytest.mark.parametrize(
    ("items", "what", "said"),
    [
        ([CLICK], "click", "Left click at 640, 400."),
        ([CLICK, CLICK], "actions", "2 actions."),
        ([{"action": "leap"}], "unknown", "The action is not valid."),
        ([], "actions", "0 actions."),
    ],
)
def test_a_refusal_is_one_row(items: list[dict[str, Any]], what: str, said: str):
    refused = RecordedRequest(began=NOW, duration_ms=1, code="held", error="Ann has control.")
    (row,) = rows_of_actions(refused, items, [], SCREEN)
    assert (row.what, row.said, row.code, row.error) == (what, said, "held", "Ann has control.")


def test_what_may_have_changed_the_screen():
    assert changes_screen([{"action": "screenshot"}, CLICK])
    assert not changes_screen([{"action": "screenshot"}, {"action": "get_clipboard"}])
    assert not changes_screen([{"action": "leap"}])


def test_a_command_is_known_by_its_program():
    row = row_of_command(ASKED, ["curl", "-u", "me:pw"], ["TOKEN"], 0)
    assert (row.what, row.said, row.code) == ("exec", "Runs curl with 2 arguments.", None)
    assert row.details == {"program": "curl", "arguments": 2, "exit_code": 0, "variables": ["TOKEN"]}
    failed = row_of_command(ASKED, ["ls", "x"], [], 2)
    assert (failed.said, failed.code) == ("Runs ls with 1 argument, which ends with exit code 2.", "failed")
    kept = row_of_command(RecordedRequest(began=NOW, duration_ms=1, keep_text=True), ["ls", "a b"], [], None)
    assert (kept.said, kept.details["command"]) == ("Runs ls 'a b'.", "ls 'a b'")


def test_files_screens_and_elements():
    assert row_of_file(ASKED, "write", "a.txt").said == "Writes a.txt."
    assert row_of_file(ASKED, "read", "").said == "Reads the home folder."
    assert row_of_screenshot(ASKED, None).picture is None
    assert row_of_screenshot(ASKED, PICTURE).picture is PICTURE
    assert row_of_elements(ASKED).what == "elements"
    assert row_of_missing_rows(NOW, 1, "more came").said == "One action is missing: more came."
    assert row_of_missing_rows(NOW, 3, "more came").said == "3 actions are missing: more came."


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height)


def test_a_picture_is_a_png_with_a_size():
    made = picture_of(png(1280, 800))
    assert made is not None
    assert (made.width, made.height) == SCREEN
    assert [picture_of(data) for data in (b"", b"GIF89a", png(0, 5), png(5, 70_000), png(1, 1)[:20])] == [None] * 5


OUTCOMES = st.lists(
    st.builds(ActionOutcome, done=st.booleans(), ms=st.none() | st.floats(0, 100)), min_size=1, max_size=6
)


def follows_time(subject: Callable[..., list[RecordingRow]], outcomes: list[ActionOutcome]) -> None:
    """The rows are those up to the first failure, in order, and none begins before the previous one has ended."""
    rows = subject(ASKED, [CLICK] * len(outcomes), outcomes, SCREEN)
    begun = next((index + 1 for index, one in enumerate(outcomes) if not one.done), len(outcomes))
    assert len(rows) == begun
    assert all(row.code is None for row in rows[:-1])
    ends = [row.began + timedelta(milliseconds=row.duration_ms) for row in rows]
    assert all(ends[index] <= rows[index + 1].began for index in range(len(rows) - 1))


def test_rows_follow_each_other():
    holds(follows_time, rows_of_actions, OUTCOMES)
    catches(follows_time, lambda *given: list(reversed(rows_of_actions(*given))), OUTCOMES)
