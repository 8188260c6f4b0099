"""The verification of session videos on the command line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.unit.cli.conftest import Done, Pretended

SESSION = "6f1c52a4-9f0e-4c53-8d0b-3a5f0c9c2b11"


@pytest.mark.parametrize(
    ("problems", "ended", "text"),
    [
        ([], "2026-03-02T09:00:00Z", "Intact segments: 1."),
        ([], None, "Intact segments: 1. The video has no end yet."),
        (["Segment 1 is missing."], None, "Segment 1 is missing."),
    ],
)
def test_a_verification_fails_if_there_is_a_problem(
    api: Pretended, greenroom: Callable[..., Done], problems: list[str], ended: str | None, text: str
):
    found = {"ok": not problems, "segments": 1, "ended": ended, "problems": problems}
    api.answers[("GET", f"/session-videos/{SESSION}/verification")] = found
    done = greenroom("session-videos", "verify", SESSION)
    assert (done.code, done.out.strip()) == (int(bool(problems)), text)
