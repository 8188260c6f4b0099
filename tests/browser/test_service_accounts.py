"""The page of service accounts, and the rotation of a key of an account."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, logged_in, violations

ACCOUNTS = "/service-accounts"


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    """An instance whose sessions have no containers."""
    return simulated_instance


@pytest.fixture
def admin(new_context: Callable[..., BrowserContext], instance: Instance) -> Iterator[Person]:
    """An administrator; the accounts and keys of the test are deleted afterwards."""
    keys = {key["key_id"] for key in instance.call("GET", "/api-keys")}
    found = instance.found["admin"]
    yield logged_in(new_context(), instance.url, found["username"], found["password"])
    for account in instance.call("GET", ACCOUNTS):
        instance.call("DELETE", f"{ACCOUNTS}/{account['service_account_id']}")
    for key in instance.call("GET", "/api-keys"):
        if key["key_id"] not in keys:
            instance.call("DELETE", f"/api-keys/{key['key_id']}")


def test_an_account_is_created_changed_and_deleted(admin: Person):
    page = admin.page
    admin.open("/admin/service-accounts")
    page.get_by_role("button", name="Create Service Account").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("nightly builds")
    dialog.get_by_label("Contact").fill("ops@example.org")
    dialog.get_by_label("Networks").fill("10.1.0.0/16, 2001:db8::/32")
    dialog.get_by_role("button", name="Create", exact=True).click()
    row = page.get_by_role("row", name="nightly builds")
    expect(row).to_contain_text("10.1.0.0/16, 2001:db8::/32")
    assert violations(page) == []
    page.get_by_role("button", name="Edit nightly builds").click()
    dialog.get_by_label("Networks").fill("")
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(row).to_contain_text("all")
    page.get_by_role("button", name="Delete service account nightly builds").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No service accounts")).to_be_visible()


def test_a_key_of_an_account_gets_a_new_secret(admin: Person, instance: Instance):
    account = instance.call("POST", ACCOUNTS, json={"name": "ci"})
    instance.call("POST", "/api-keys", json={"name": "builds", "user_id": account["service_account_id"]})
    page = admin.page
    admin.open("/admin/api-keys")
    page.get_by_role("button", name="Rotate API key builds").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Rotate").click()
    expect(dialog.get_by_text("The secret is shown only once")).to_be_visible()
    dialog.get_by_role("button", name="Done").click()
    expect(page.get_by_role("row", name="builds")).to_contain_text("ci")
