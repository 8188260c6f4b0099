"""docs/explanation/data-leaving-the-session.md names settings with their defaults, and a test for each way."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from greenroom.core.access.group_settings import SETTINGS, STAGED_PERMISSIONS, value_text

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs/explanation/data-leaving-the-session.md").read_text()
ROWS: Final = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| way |")]


def test_each_way_has_a_test():
    assert [row for row in ROWS if not re.search(r"\.py::test_\w+`", row) and "| the same tests |" not in row] == []


def test_the_defaults_are_those_of_the_code():
    named = re.findall(r"`(\w+)` \(`(\w+)`", PAGE)
    assert len(named) > 10
    assert [(name, default) for name, default in named if value_text(SETTINGS[name].default) != default] == []


def test_each_permission_of_a_session_is_on_the_page():
    assert [name for name in STAGED_PERMISSIONS if f"`{name}`" not in PAGE] == []
