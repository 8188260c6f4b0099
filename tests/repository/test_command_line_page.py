"""docs/reference/command-line.md is what the program says of itself."""

from __future__ import annotations

import runpy
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/reference/command-line.md"
SCRIPT = PAGE.parents[2] / "script/command_line.py"


def test_the_reference_is_what_the_program_says():
    page = runpy.run_path(str(SCRIPT))["document"]()
    assert PAGE.read_text() == page, f"run: .venv/bin/python {SCRIPT} > {PAGE}"
