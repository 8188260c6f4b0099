"""Every dialog that creates an item has no findings of axe, and the accessibility trees of the key pages have their
landmarks, headings and names."""

from __future__ import annotations

import re
from typing import Final

import pytest
from playwright.sync_api import expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, use_colours, violations
from tests.browser.test_pages import PLACES

DIALOGS: Final = {
    **dict(re.findall(r"path: '([^']+)',\s+title: t`[^`]+`,\s+create: t`([^`]+)`", PLACES)),
    "/admin/sign-on": "Add Provider",
    "/admin/directories": "Add Directory",
    "/admin/provisioning": "Create SCIM Client",
    "/admin/secrets": "Add Secret",
}
"""The pages with a button that opens the dialog for a new item → its text."""

TODAY: Final = """
- banner:
  - link "Greenroom, workspaces"
  - button "Search"
  - link "Launcher"
  - button /Use (dark|light) colors/
  - button /^Account/
- navigation "Administration":
  - link "Today"
  - link "Sessions"
  - link "Staging"
  - link "Workspaces"
  - link "People"
  - link "Infrastructure"
  - link "Diagnostics"
- main:
  - heading "Today" [level=1]
  - region /Needs attention/:
    - heading /Needs attention/ [level=2]
  - region "Now and in the last 24 hours":
    - heading "Now and in the last 24 hours" [level=2]
    - group "Primary Managers":
      - heading "Primary Managers" [level=3]
    - group "Free capacity":
      - heading "Free capacity" [level=3]
    - group "Next expiry":
      - heading "Next expiry" [level=3]
  - region "Stage":
    - heading "Stage" [level=2]
    - link "Show the stage map"
"""
SESSIONS: Final = """
- main:
  - heading "Sessions" [level=1]
  - radiogroup:
    - radio "All" [checked]
    - radio "Staged"
  - textbox "Filter Sessions"
  - button "Saved views"
  - button "Options of the list"
  - region "Sessions":
    - table "Sessions":
      - rowgroup:
        - row:
          - columnheader "User":
            - button "User"
          - columnheader "Status":
            - button "Status"
"""
LAUNCHER: Final = """
- banner:
  - link "Greenroom, workspaces"
  - button /^Account/
- main:
  - heading "Workspaces" [level=1]
  - textbox "Search workspaces"
  - region "Launch a workspace":
    - button /Launch Desktop/
    - 'button "Favorite: Desktop"'
"""
SESSION_BAR: Final = """
- main "Session":
  - navigation "Session tools":
    - button "Menu"
"""
SEARCH: Final = """
- dialog "Search":
  - combobox "Search"
  - listbox "Entries":
    - group "Pages":
      - option "Docker Agents Infrastructure" [selected]
    - group "Actions":
      - option "Add Agent Docker Agents"
"""


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    """An instance whose sessions have no containers."""
    return simulated_instance


def test_every_dialog_of_the_pages_is_opened_here():
    assert len(DIALOGS) >= PLACES.count("create: t`") + 4


@pytest.mark.parametrize("address", DIALOGS)
def test_a_dialog_for_a_new_item_is_accessible(admin: Person, address: str):
    page = admin.page
    admin.open(address)
    page.get_by_role("button", name=DIALOGS[address], exact=True).first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_role("dialog").locator(":focus")).to_have_count(1)
    findings = {}
    for colours in ("light", "dark"):
        use_colours(page, colours)
        findings[colours] = violations(page, practices=True)
    assert findings == {"light": [], "dark": []}


@pytest.mark.parametrize(("address", "tree"), [("/admin", TODAY), ("/admin/sessions", SESSIONS), ("/", LAUNCHER)])
def test_a_page_has_its_landmarks_headings_and_names(admin: Person, address: str, tree: str):
    admin.open(address)
    expect(admin.page.locator("body")).to_match_aria_snapshot(tree)


def test_the_search_has_its_names(admin: Person):
    admin.open("/admin")
    admin.page.get_by_role("banner").get_by_role("button", name="Search").click()
    admin.page.get_by_role("combobox", name="Search").fill("docker agents")
    expect(admin.page.locator("body")).to_match_aria_snapshot(SEARCH)
    assert violations(admin.page, practices=True) == []


@pytest.mark.usefixtures("clean")
def test_the_bar_of_a_session_has_its_names(user: Person):
    page = user.page
    user.launch("Desktop")
    expect(page.locator("body")).to_match_aria_snapshot(SESSION_BAR)
    for name in ("Share", "Leave", "Delete"):
        expect(user.tools().get_by_role("button", name=re.compile(f"^{name}"))).to_be_visible()
    for colours in ("light", "dark"):
        use_colours(page, colours)
        assert violations(page, practices=True) == []
