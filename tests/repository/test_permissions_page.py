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
    _, _, after = PAGE.read_text().partition("### Changing the groups of the caller")
    section, _, _ = after.partition("- ending a membership")
    ordered = {name for name, setting in SETTINGS.items() if setting.looseness}
    assert ordered - set(re.findall(r"`(\w+)`", section)) == set()
