"""The tab Roles of a group."""

from __future__ import annotations

from playwright.sync_api import expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person


def test_an_administrator_assigns_a_role_with_a_scope(admin: Person, instance: Instance):
    sales = instance.call("POST", "/groups", json={"name": "Sales", "priority": 80})["group_id"]
    desk = instance.call("POST", "/groups", json={"name": "Help desk of Sales", "priority": 80})["group_id"]
    try:
        page = admin.page
        admin.open(f"/admin/groups/{desk}?tab=roles")
        page.get_by_role("checkbox", name="Help desk").check()
        page.get_by_role("combobox", name="Scope of Help desk").click()
        page.get_by_role("option", name="Selected groups").click()
        page.get_by_role("combobox", name="Groups").click()
        page.get_by_role("option", name="Sales", exact=True).click()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("The roles were saved.")).to_be_visible()
        (role,) = instance.call("GET", f"/groups/{desk}")["roles"]
        assert role == {"role": "help_desk", "zones": None, "groups": [sales]}
    finally:
        for group_id in (desk, sales):
            instance.call("DELETE", f"/groups/{group_id}")
