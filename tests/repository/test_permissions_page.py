"""docs/reference/permissions.md lists what there is."""

from __future__ import annotations

import re
from pathlib import Path

from greenroom.core.access.permissions import PERMISSIONS

PAGE = Path(__file__).parents[2] / "docs/reference/permissions.md"


def test_the_page_lists_all_permissions_with_meaning_in_order():
    listed = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert listed == list(PERMISSIONS.items())
