"""`sessions exec` and `sessions screenshot`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.cli.conftest import Done, Pretended

Run = Callable[..., Done]

ID = "00000000-0000-4000-8000-000000000001"


def result(**fields: Any) -> dict[str, Any]:
    return {"command_id": ID, "state": "done", "exit_code": 0, "output": "", **fields}


def test_a_command_is_passed_on_word_by_word_and_its_output_printed(greenroom: Run, api: Pretended):
    api.answers["POST", f"/sessions/{ID}/commands"] = result(output="one [red]\x1b[2J\ntwo\n")
    done = greenroom("sessions", "exec", ID, "--user", "root", "--deadline-s", "5", "--", "ls", "-l", "a b")
    assert (done.code, done.err) == (0, "")
    assert done.out == "one [red]\N{REPLACEMENT CHARACTER}[2J\ntwo\n", "nothing in it acts on the terminal"
    assert api.last[2] == {"command": ["ls", "-l", "a b"], "user": "root", "deadline_s": 5.0}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"exit_code": 3}, "exit code 3"),
        ({"exit_code": None}, "still running"),
        ({"state": "unknown", "exit_code": None}, "was interrupted"),
    ],
)
def test_a_command_that_did_not_end_well_is_exit_code_1(
    greenroom: Run, api: Pretended, fields: dict[str, Any], words: str
):
    api.answers["POST", f"/sessions/{ID}/commands"] = result(output="said\n", **fields)
    done = greenroom("sessions", "exec", ID, "--", "false")
    assert (done.code, done.out) == (1, "said\n")
    assert words in done.err
    assert greenroom("sessions", "exec", ID, "--json", "--", "false").json == result(output="said\n", **fields)


def test_a_screenshot_is_saved(greenroom: Run, api: Pretended, tmp_path: Path):
    api.answers["GET", f"/sessions/{ID}/screenshot"] = httpx.Response(200, content=b"\xff\xd8\xff jpeg")
    file = tmp_path / "screen.jpg"
    assert greenroom("sessions", "screenshot", ID, "-o", str(file), "--width", "64").code == 0
    assert file.read_bytes() == b"\xff\xd8\xff jpeg"
    assert dict(api.asked[-1].url.params) == {"width": "64", "height": "800"}


def test_where_there_is_no_screenshot_nothing_is_written(greenroom: Run, api: Pretended, tmp_path: Path):
    file = tmp_path / "screen.jpg"
    done = greenroom("sessions", "screenshot", ID, "-o", str(file))
    assert (done.code, file.exists()) == (1, False)
    assert "There is no such thing" in done.err


def test_a_file_that_cannot_be_written_is_named(greenroom: Run, api: Pretended, tmp_path: Path):
    api.answers["GET", f"/sessions/{ID}/screenshot"] = httpx.Response(200, content=b"\xff\xd8\xff jpeg")
    done = greenroom("sessions", "screenshot", ID, "-o", str(tmp_path / "nowhere" / "screen.jpg"))
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "screen.jpg cannot be written: No such file or directory." in done.err
