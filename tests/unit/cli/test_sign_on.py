"""The tests of sign-on providers and directories on the command line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.unit.cli.conftest import Done, Pretended

ID = "6f1c52a4-9f0e-4c53-8d0b-3a5f0c9c2b11"


@pytest.mark.parametrize("noun", ["sign-on-providers", "directories"])
@pytest.mark.parametrize("passed", [True, False])
def test_each_step_of_a_test_is_one_line(api: Pretended, greenroom: Callable[..., Done], noun: str, passed: bool):
    steps = [
        {"step": "host", "passed": True, "detail": "idp.example.org is 192.0.2.7.", "duration_ms": 1.0},
        {"step": "connection", "passed": passed, "detail": "Correct the port.", "duration_ms": 2.0},
    ]
    api.answers[("POST", f"/{noun}/{ID}/test")] = {"passed": passed, "steps": steps}
    done = greenroom(noun, "test", ID)
    result = "passed" if passed else "failed"
    assert done.out.splitlines() == [
        "host: passed. idp.example.org is 192.0.2.7.",
        f"connection: {result}. Correct the port.",
    ]
    assert (done.code, greenroom(noun, "test", ID, "--json").json["steps"]) == (int(not passed), steps)
