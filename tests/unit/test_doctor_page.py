"""The page about `greenroom doctor` lists what it checks."""

from __future__ import annotations

import re
from pathlib import Path

from greenroom.db.diagnostics.invariants import INVARIANTS
from greenroom.up.doctor import CONTAINER_INVARIANTS

PAGE = Path(__file__).parents[2] / "docs/reference/doctor.md"


def test_every_invariant_is_on_the_page_in_order():
    listed = dict(re.findall(r"^\| (I\d+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE))
    checked = {invariant.code: invariant.holds for invariant in INVARIANTS} | CONTAINER_INVARIANTS
    assert listed.items() >= checked.items()
    assert set(listed) - set(checked) == {"I18"}, "the sentinel files of the Managers"
    assert list(listed) == sorted(listed, key=lambda code: int(code[1:]))
