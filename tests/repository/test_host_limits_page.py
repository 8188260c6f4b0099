"""docs/reference/host-limits.md lists the limits of a host with the figures of the code."""

from __future__ import annotations

import re
from pathlib import Path

from greenroom.core.fleet.host_limits import LIMITS

PAGE = Path(__file__).parents[2] / "docs/reference/host-limits.md"


def test_the_page_lists_every_limit_with_its_figures():
    listed = re.findall(r"^\| (.+?) \| .+? \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", PAGE.read_text(), re.MULTILINE)
    found = [(name.strip("`"), *(int(number.replace(",", "")) for number in numbers)) for name, *numbers in listed]
    assert found == [(limit.name, limit.idle_use, limit.session_use, limit.host_use) for limit in LIMITS]
