"""Changes by an administrator at the console, except staging: users, groups, keys, settings, sessions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from playwright.sync_api import BrowserContext, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, is_change, logged_in, violations


def test_a_user_is_created_disabled_and_deleted(
    admin: Person, instance: Instance, new_context: Callable[..., BrowserContext]
):
    page = admin.page
    admin.open("/admin/users")
    page.get_by_role("button", name="Create User").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Username").fill("grace@example.org")
    form.get_by_role("textbox", name="Password").fill("short")
    form.get_by_role("button", name="Create", exact=True).click()
    expect(form.get_by_role("alert")).to_contain_text("Not saved")
    form.get_by_role("textbox", name="Password").fill("correct horse battery")
    assert violations(page) == []
    form.get_by_role("button", name="Create", exact=True).click()
    row = admin.row("grace@example.org")
    expect(row).to_contain_text("enabled")

    grace = logged_in(new_context(), instance.url, "grace@example.org", "correct horse battery")
    grace.open("/")
    expect(grace.page.get_by_role("heading", name="Workspaces")).to_be_visible()
    row.get_by_role("button", name="Disable").click()
    expect(row).to_contain_text("disabled")
    grace.open("/")
    expect(grace.page.get_by_label("Username")).to_be_visible()

    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)


def test_inherited_and_denied_settings_look_different(admin: Person, instance: Instance):
    page = admin.page
    group = f"/groups/{instance.call('POST', '/groups', json={'name': 'Contractors', 'priority': 7})['group_id']}"
    changes = page.get_by_role("region", name="Unsaved changes")

    def set_here() -> Any:
        return instance.call("GET", group)["settings"].get("allow_kasm_downloads")

    def press(key: str, then: str) -> None:
        page.keyboard.press(key)
        expect(downloads.get_by_role("radio", name=then)).to_be_checked()

    try:
        admin.open("/admin/groups")
        page.get_by_role("link", name="Settings of Contractors").click()
        downloads = page.locator("[data-setting=allow_kasm_downloads]")
        expect(downloads).to_contain_text("Inherited: yes, from group All Users.")
        expect(page.locator("[data-setting=inject_ssh_keys]")).to_contain_text("Inherited: no, by default.")
        expect(page.locator("[data-setting=inject_ssh_keys]")).to_contain_text("no staged sessions if set")
        assert violations(page) == []

        downloads.get_by_role("radio", name="Inherit (yes)").focus()
        press("ArrowLeft", then="Deny")
        press("ArrowLeft", then="Deny")  # one too many: it remains denied
        expect(changes).to_contain_text("Downloads: Inherit (yes) → Deny")
        press("ArrowRight", then="Inherit (yes)")
        expect(changes).to_have_count(0)

        downloads.get_by_text("Allow", exact=True).click()
        assert violations(page) == []
        assert set_here() is None
        with page.expect_response(is_change):
            changes.get_by_role("button", name="Save").click()
        expect(downloads.get_by_role("radio", name="Allow")).to_be_checked()
        assert set_here() is True
    finally:
        instance.call("DELETE", group)


def test_an_administrator_creates_an_api_key_for_another_user(admin: Person, user: Person, instance: Instance):
    page = admin.page
    admin.open("/admin/api-keys")
    page.get_by_role("button", name="Create API Key").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name").fill("for another user")
    form.get_by_role("combobox", name="Owner").click()
    page.get_by_role("option", name=user.username).click()
    assert violations(page) == []
    form.get_by_role("button", name="Create", exact=True).click()
    form.get_by_role("button", name="Done").click()
    expect(admin.row("for another user")).to_contain_text(user.username)
    with instance.http() as http:
        (key,) = [one for one in http.get("/api/v1/api-keys").json() if one["name"] == "for another user"]
        http.delete(f"/api/v1/api-keys/{key['key_id']}").raise_for_status()


def test_an_api_key_works_with_the_secret_that_is_shown_once(admin: Person, instance: Instance):
    page = admin.page
    admin.open("/admin/api-keys")
    page.get_by_role("button", name="Create API Key").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name").fill("backup")
    form.get_by_role("combobox", name="Permissions").click()
    page.get_by_role("option", name="zones_view").click()
    form.get_by_label("Name").click()
    form.get_by_role("button", name="Create", exact=True).click()
    expect(form.locator("code")).to_have_count(2)
    key, secret = form.locator("code").all_inner_texts()
    assert violations(page) == []
    form.get_by_role("button", name="Done").click()

    def status(path: str) -> int:
        return httpx2.get(
            f"{instance.url}{path}", auth=(key, secret), verify=instance.ca(), trust_env=False
        ).status_code

    assert status("/api/v1/zones") == 200
    assert status("/api/v1/users") == 403
    row = admin.row("backup")
    row.get_by_role("switch").focus()
    with page.expect_response(is_change):
        page.keyboard.press("Space")
    expect(row.get_by_role("switch")).not_to_be_checked()
    assert status("/api/v1/zones") == 401
    row.get_by_role("button", name="Delete API key backup").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)


def test_a_setting_of_the_installation_is_changed_and_set_back(admin: Person):
    admin.open("/admin/settings")
    setting = admin.page.locator("[data-setting=max_login_attempts]")
    field = setting.get_by_label("Maximum log-in attempts", exact=True)
    save = admin.page.get_by_role("button", name="Save", exact=True)
    expect(field).to_have_value("5 attempts")
    field.fill("0")
    expect(setting).to_contain_text("Enter at least 1 attempt.")
    expect(save).to_be_disabled()
    field.fill("1")
    expect(field).to_have_value("1 attempt")
    save.click()
    expect(save).to_have_count(0)
    setting.get_by_role("button", name="Reset to default").click()
    save.click()
    expect(save).to_have_count(0)
    expect(field).to_have_value("5 attempts")


@pytest.mark.usefixtures("clean")
def test_the_administrator_deletes_the_session_of_a_user(admin: Person, user: Person):
    session_id = user.launch("Desktop")
    user.desktop()
    admin.open("/admin/sessions")
    row = admin.row(user.username)
    expect(row).to_contain_text("running")
    row.get_by_role("button", name=f"Delete {session_id}").click()
    dialogue = admin.page.get_by_role("dialog")
    expect(dialogue).to_contain_text(user.username)
    assert violations(admin.page) == []
    dialogue.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0, timeout=30_000)
    expect(user.page.get_by_role("heading", name=re.compile("has ended|being deleted"))).to_be_visible()


@pytest.mark.parametrize(
    ("address", "opens"), [("/admin/groups", "Create Group"), ("/admin/infrastructure/agents", "Add Agent")]
)
def test_a_dialog_takes_the_focus_to_its_first_field_and_gives_it_back(admin: Person, address: str, opens: str):
    page = admin.page
    admin.open(address)
    opener = page.get_by_role("button", name=opens)
    opener.click()
    expect(page.get_by_role("dialog").locator("input:visible").first).to_be_focused()
    expect(page.locator("header")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()
