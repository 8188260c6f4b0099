"""docs/explanation/sessions.md shows the tables of the code: its diagram and its deadlines."""

from __future__ import annotations

from pathlib import Path

from greenroom.core.session.deadlines import DEADLINE_S
from greenroom.core.session.states import ALLOWED, SessionStatus

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "sessions.md"
ACTS = {
    SessionStatus.REQUESTED: "`failed`; the session starts on another Agent",
    SessionStatus.STARTING: "`failed`; a session that was never usable starts on another Agent",
    SessionStatus.ASSIGNING: "quarantine; the user gets another session",
    SessionStatus.STOPPING: "the stop is reverted: the Agent must run the session",
    SessionStatus.PAUSING: "the pause is reverted: the Agent must run the session",
    SessionStatus.DELETING: "the Agent gets the instruction again",
}


def test_the_diagram_is_the_table_of_allowed_edges():
    block = PAGE.read_text().split("```mermaid\n")[1].split("\n```")[0]
    edges = [f"    {one} --> {other}" for one in SessionStatus for other in SessionStatus if other in ALLOWED[one]]
    assert block.splitlines() == ["stateDiagram-v2", "    [*] --> requested", *edges, "    deleted --> [*]"]


def test_the_table_contains_every_deadline():
    lines = {line for line in PAGE.read_text().splitlines() if line.startswith("| `")}
    assert lines == {f"| `{status}` | {seconds:g} s | {ACTS[status]} |" for status, seconds in DEADLINE_S.items()}
