"""docs/reference/permissions.md lists all permissions, and the settings that members cannot loosen in their groups."""

from __future__ import annotations

import re
from pathlib import Path

from greenroom.core.access.group_settings import SETTINGS
from greenroom.core.access.permissions import PERMISSIONS
from greenroom.core.access.roles import ROLES

PAGE = Path(__file__).parents[2] / "docs/reference/permissions.md"


def test_the_page_lists_all_permissions_with_meaning_in_order():
    before, _, _ = PAGE.read_text().partition("## Roles")
    listed = re.findall(r"^\| `(\w+)` \| (.+) \|$", before, re.MULTILINE)
    assert listed == list(PERMISSIONS.items())


def test_the_page_lists_all_roles_with_their_codes_and_scopes():
    _, _, after = PAGE.read_text().partition("## Roles")
    section, _, _ = after.partition("## Scopes")
    rows = re.findall(r"^\| `(\w+)` \| ([^:|]+): (.+) \| (.+) \| (\w+) \|$", section, re.MULTILINE)
    view = "all codes that end in `_view`"
    assert rows == [
        (
            role.name,
            role.title,
            role.description[0].lower() + role.description[1:].rstrip("."),
            view if role.name == "auditor" else ", ".join(f"`{code}`" for code in role.codes),
            f"{role.scope}s" if role.scope else "none",
        )
        for role in ROLES.values()
    ]


def test_the_page_lists_all_settings_that_members_cannot_loosen():
    _, _, after = PAGE.read_text().partition("### Changing the groups of the caller")
    section, _, _ = after.partition("- ending a membership")
    ordered = {name for name, setting in SETTINGS.items() if setting.looseness}
    assert ordered - set(re.findall(r"`(\w+)`", section)) == set()
