"""The console for a user with few permissions, and the target of a damaged link."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, goto


@pytest.fixture
def desk(user: Person, instance: Instance) -> Iterator[str]:
    """A group that may see sessions and groups, with the user in it; returns its id."""
    (ada,) = (each for each in instance.call("GET", "/users") if each["username"] == user.username)
    body = {"name": "Desk", "priority": 70, "permissions": ["sessions_view", "groups_view"]}
    group_id: str = instance.call("POST", "/groups", json=body)["group_id"]
    instance.call("PUT", f"/groups/{group_id}/users/{ada['user_id']}")
    yield group_id
    instance.call("DELETE", f"/groups/{group_id}")


def test_today_has_what_the_user_may_see_and_nothing_else(user: Person, desk: str):
    user.open("/admin")
    expect(user.page.get_by_role("group", name="Sessions of users")).to_contain_text("no user has a session")
    for other in ("Staged sessions ready", "Primary Managers", "Free capacity", "Changes of the last hour"):
        expect(user.page.get_by_role("group", name=other)).to_have_count(0)


def test_the_page_of_a_group_has_no_tabs_that_the_user_may_not_see(user: Person, desk: str):
    user.open(f"/admin/groups/{desk}?tab=members")
    expect(user.page.get_by_role("tab", name="Details")).to_have_attribute("aria-selected", "true")
    for hidden in ("Members", "Workspaces"):
        expect(user.page.get_by_role("tab", name=hidden)).to_have_count(0)


def test_who_may_not_change_a_group_can_search_its_permissions(user: Person, desk: str):
    user.open(f"/admin/groups/{desk}?tab=permissions")
    boxes = user.page.get_by_role("checkbox")
    user.page.get_by_role("textbox", name="Search permissions").fill("groups_view")
    expect(boxes).to_have_count(1)
    expect(boxes).to_be_disabled()


def test_a_page_of_another_user_says_that_it_may_not_be_seen(user: Person, desk: str):
    user.open("/admin/users/00000000-0000-0000-0000-000000000001")
    expect(user.page.get_by_text("You are not allowed to view this page")).to_be_visible()


def test_a_damaged_connect_address_says_so(instance: Instance, new_context: Callable[..., BrowserContext]):
    page = new_context().new_page()
    goto(page, f"{instance.url}/#/connect/kasm/%E0%A4/x/y")
    expect(page.get_by_text("This address is incomplete")).to_be_visible()
