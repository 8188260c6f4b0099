"""The page of SCIM clients: a client is created, gets a new token, is disabled and deleted."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest
from playwright.sync_api import BrowserContext, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, logged_in, use_colours, violations

PAGE = "/admin/provisioning"


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    """An instance whose sessions have no containers."""
    return simulated_instance


@pytest.fixture
def admin(new_context: Callable[..., BrowserContext], instance: Instance) -> Person:
    found = instance.found["admin"]
    return logged_in(new_context(), instance.url, found["username"], found["password"])


def status_with(instance: Instance, token: str) -> int:
    """The status of a SCIM request through the gateway with this token."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx2.get(f"{instance.url}/api/scim/v2/Users", headers=headers, verify=False).status_code


def accessible(admin: Person) -> None:
    """Check the page with axe, in light and dark colors."""
    assert violations(admin.page) == []
    use_colours(admin.page, "dark")
    assert violations(admin.page, "color-contrast") == []
    use_colours(admin.page, "light")


def test_an_administrator_manages_a_scim_client(admin: Person, instance: Instance):
    page, dialog = admin.page, admin.page.get_by_role("dialog")
    admin.open(PAGE)
    expect(page.get_by_text("No SCIM clients yet")).to_be_visible()
    expect(page.get_by_text(f"{instance.url}/api/scim/v2")).to_be_visible()
    page.get_by_role("button", name="Create SCIM Client").first.click()
    dialog.get_by_label("Name").fill("Okta")
    accessible(admin)
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(dialog.get_by_text("The token is shown only once")).to_be_visible()
    first = dialog.locator("pre").inner_text()
    accessible(admin)
    dialog.get_by_role("button", name="Done").click()
    assert status_with(instance, first) == 200
    expect(admin.row("Okta")).to_contain_text("created by")
    page.get_by_role("button", name="Rotate Okta").click()
    dialog.get_by_role("button", name="Rotate").click()
    expect(dialog.get_by_text("The token is shown only once")).to_be_visible()
    second = dialog.locator("pre").inner_text()
    dialog.get_by_role("button", name="Done").click()
    assert (status_with(instance, first), status_with(instance, second)) == (200, 200)
    expect(admin.row("Okta")).to_contain_text("former token valid")
    page.get_by_role("button", name="Rotate Okta").click()
    dialog.get_by_role("combobox", name="Present token").click()
    page.get_by_role("option", name="End at once").click()
    dialog.get_by_role("button", name="Rotate").click()
    third = dialog.locator("pre").inner_text()
    dialog.get_by_role("button", name="Done").click()
    assert [status_with(instance, token) for token in (first, second, third)] == [401, 401, 200]
    accessible(admin)
    page.get_by_role("button", name="Delete Okta").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No SCIM clients yet")).to_be_visible()
    assert status_with(instance, third) == 401
