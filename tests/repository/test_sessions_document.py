"""docs/explanation/sessions.md shows the tables of the code: its diagram and its deadlines."""

from __future__ import annotations

from pathlib import Path

from greenroom.core.session.deadlines import ACTS, DEADLINE_S
from greenroom.core.session.states import diagram

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "sessions.md"


def test_the_diagram_is_the_table_of_allowed_edges():
    block = PAGE.read_text().split("```mermaid\n")[1].split("\n```")[0]
    assert block == diagram()


def test_every_deadline_stands_in_the_table():
    lines = {line for line in PAGE.read_text().splitlines() if line.startswith("| `")}
    assert lines == {f"| `{status}` | {seconds:g} s | {ACTS[status]} |" for status, seconds in DEADLINE_S.items()}
