"""Secrets at the console: stored without ever being displayed, with the leases that use them, and deleted."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, use_colours, violations


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    """An instance whose sessions have no containers."""
    return simulated_instance


def test_a_user_keeps_a_secret_sees_who_uses_it_and_deletes_it(user: Person, instance: Instance):
    page = user.page
    user.open("/")
    page.get_by_role("button", name="Account").click()
    page.get_by_role("menuitem", name="Secrets for programs").click()
    page.get_by_role("button", name="Add Secret").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("github")
    dialog.get_by_role("textbox", name="Value").fill("ghp_s3cret")
    dialog.get_by_label("Hosts").fill("10.0.0.1")
    dialog.get_by_label("Hosts").press("Enter")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_text("is an IP address; a secret goes only to hosts with names.")).to_be_visible()
    dialog.get_by_label("Hosts").press("Backspace")
    dialog.get_by_label("Hosts").fill("api.example.com")
    dialog.get_by_label("Hosts").press("Enter")
    assert violations(page) == []
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(user.row("github")).to_contain_text("Authorization: Bearer •••")
    expect(page.get_by_text("ghp_s3cret")).to_have_count(0)

    (secret,) = instance.call("GET", "/secrets")
    instance.call("PATCH", f"/secrets/{secret['secret_id']}", json={"keys": [instance.found["api_key"]]})
    options = {"egress": {"allow": ["example.com"]}, "secrets": ["github"]}
    wish = {"workspace": "Desktop", "seconds": 600, "user_id": secret["owner_id"], "options": options}
    lease = instance.call("POST", "/leases", json=wish)
    user.open("/secrets")
    page.get_by_role("button", name="1 lease with github").click()
    expect(dialog.get_by_role("link", name="Desktop")).to_have_attribute("href", f"/watch/{lease['lease_id']}")
    assert violations(page) == []
    page.get_by_role("button", name="Close").click()

    page.get_by_role("button", name="Edit github").click()
    expect(dialog.get_by_role("textbox", name="Value")).to_have_value("")
    dialog.get_by_role("textbox", name="Value").fill("ghp_0ther")
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    (changed,) = instance.call("GET", "/secrets")
    assert changed["value_changed"] > secret["value_changed"]
    assert changed["hosts"] == ["api.example.com"]
    use_colours(page, "dark")
    assert violations(page) == []

    page.get_by_role("button", name="Delete github").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No secrets yet")).to_be_visible()
    assert instance.call("GET", "/secrets") == []
