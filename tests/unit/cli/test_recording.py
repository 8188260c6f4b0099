"""`greenroom recording`: the actions of a lease as a table, as JSON, or as a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from tests.unit.cli.conftest import Done, Pretended

Greenroom = Callable[..., Done]
PATH = "/leases/L/recording"


def row(number: int, **fields: Any) -> dict[str, Any]:
    began = {"number": number, "began": "2026-01-02T03:04:05+00:00", "duration_ms": 12.5, "said": "Left click."}
    return began | {"code": None, "error": None, "picture": None, "picture_left_out": None} | fields


def test_each_row_says_what_was_done_and_what_came_of_it(api: Pretended, greenroom: Greenroom):
    rows = [
        row(1, picture={"width": 1280, "height": 800}),
        row(2, code="held", error="Ann has control.", picture_left_out="it was large"),
        row(3, code="failed"),
    ]
    api.answers["GET", f"{PATH}/rows"] = rows
    lines = [line.rstrip() for line in greenroom("recording", "L").out.splitlines()[2:]]
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert lines[0].split()[-4:] == ["done", "1280", "x", "800"]
    assert lines[1].split()[-4:] == ["Ann", "has", "control.", "omitted"]
    assert lines[2].split()[-2:] == ["failed", "-"]
    assert greenroom("recording", "L", "--json").json == rows


def test_it_is_written_to_a_file(api: Pretended, greenroom: Greenroom, tmp_path: Path):
    api.answers["GET", f"{PATH}/export"] = httpx.Response(200, content=b"PK")
    done = greenroom("recording", "L", "--export", str(tmp_path / "a.zip"))
    assert (done.code, (tmp_path / "a.zip").read_bytes()) == (0, b"PK")
    assert "a.zip" in done.err
