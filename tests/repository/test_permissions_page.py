"""docs/reference/permissions.md lists all permissions, and the settings that members cannot loosen in their groups."""

from __future__ import annotations

import re
from pathlib import Path

from greenroom.core.access.group_settings import SETTINGS
from greenroom.core.access.permissions import PERMISSIONS

PAGE = Path(__file__).parents[2] / "docs/reference/permissions.md"


def test_the_page_lists_all_permissions_with_meaning_in_order():
    listed = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert listed == list(PERMISSIONS.items())


def test_the_page_lists_all_settings_that_members_cannot_loosen():
    section = PAGE.read_text().partition("### Changing the groups of the caller")[2].partition("- ending a membership")[0]
    ordered = {name for name, setting in SETTINGS.items() if setting.looseness}
    assert ordered - set(re.findall(r"`(\w+)`", section)) == set()
