"""docs/reference/today.md lists the codes of the entries that need attention, with their permissions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from greenroom.core.access.permissions import PERMISSIONS
from greenroom.core.diagnostics.attention import SEVERITIES, AttentionCode

PAGE = Path(__file__).parents[2] / "docs/reference/today.md"
ROWS = re.findall(r"^\| `([a-z-]+)` \| .+ \| (.+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)


def test_the_page_lists_each_code_in_order():
    assert [code for code, _, _ in ROWS] == list(get_args(AttentionCode))


def test_the_page_names_severities_and_permissions_that_exist():
    assert len(ROWS) == len(get_args(AttentionCode))
    for _, severity, permissions in ROWS:
        assert any(word in severity for word in SEVERITIES)
        assert set(re.findall(r"`(\w+)`", permissions)) <= PERMISSIONS.keys()
