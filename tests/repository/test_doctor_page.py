"""The page about `greenroom doctor` lists what it checks and which vulnerabilities it knows."""

from __future__ import annotations

import re
from pathlib import Path

from greenroom.core.fleet.disk import KNOWN_VULNERABILITIES
from greenroom.up.doctor import CONTAINER_INVARIANTS, OTHER_INVARIANTS
from greenroom.up.invariants import INVARIANTS

PAGE = Path(__file__).parents[2] / "docs/reference/doctor.md"


def test_every_invariant_is_on_the_page_in_order():
    listed = dict(re.findall(r"^\| (I\d+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE))
    of_rows = {invariant.code: invariant.holds for invariant in INVARIANTS}
    assert listed == of_rows | CONTAINER_INVARIANTS | OTHER_INVARIANTS
    assert list(listed) == sorted(listed, key=lambda code: int(code[1:]))


def test_the_page_lists_every_known_hole():
    listed = re.findall(r"^\| (runc|Docker Engine) \| (CVE.+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert listed == [
        (hole.component, ", ".join(hole.identifiers), ", ".join(hole.fixed)) for hole in KNOWN_VULNERABILITIES
    ]
