"""The pages with which an administrator configures sessions: workspaces, groups, users, web filters, Agents, logs."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from playwright.sync_api import BrowserContext, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, is_change, logged_in, violations


def test_a_workspace_is_made_edited_deleted_and_names_the_wrong_field(admin: Person):
    page = admin.page
    admin.open("/admin/workspaces")
    page.get_by_role("link", name="Add Workspace").click()
    page.get_by_label("Friendly Name").fill("Painting")
    page.get_by_label("Docker Image").fill("example.org/painting:1")
    run_config = page.get_by_label("Docker Run Config Override")
    run_config.fill('{"privileged": tr')
    expect(page.get_by_text("This is not JSON")).to_be_visible()
    run_config.fill('{"privileged": true}')
    expect(page.get_by_text("This is not JSON")).to_have_count(0)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="Not saved")).to_be_visible()
    expect(page.get_by_text("may not set `privileged`")).to_be_visible()
    assert violations(page) == []

    run_config.fill('{"hostname": "easel"}')
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", level=1, name="Painting")).to_be_visible()
    page.get_by_label("Cores").fill("0.5")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("The workspace was saved")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Cores")).to_have_value("0.5 cores")
    expect(page.get_by_label("Docker Run Config Override")).to_have_value(re.compile("easel"))

    page.get_by_role("button", name="Delete Workspace").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", level=1, name="Workspaces")).to_be_visible()
    expect(admin.row("Painting")).to_have_count(0)


def test_what_is_not_changed_is_not_sent(admin: Person, instance: Instance):
    """Two administrators edit different fields of one workspace: neither undoes what the other did."""
    page = admin.page
    with instance.http() as http:
        image = next(each for each in http.get("/api/v1/images").json() if each["friendly_name"] == "Desktop")
        address = f"/api/v1/images/{image['image_id']}"
        admin.open(f"/admin/workspaces/{image['image_id']}")
        page.get_by_label("Notes").fill("for everybody")
        assert http.patch(address, json={"description": "Changed meanwhile"}).status_code == 200
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("The workspace was saved")).to_be_visible()
        saved = http.get(address).json()
        assert (saved["notes"], saved["description"]) == ("for everybody", "Changed meanwhile")
        http.patch(address, json={"notes": image["notes"], "description": image["description"]})


def test_a_group_gets_members_workspaces_permissions_and_settings(admin: Person, user: Person):
    page = admin.page
    admin.open("/admin/groups")
    page.get_by_role("button", name="Create Group").click()
    form = page.get_by_role("dialog")
    form.get_by_role("textbox", name="Name", exact=True).fill("Students")
    form.get_by_label("Priority").fill("5")
    form.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", level=1, name="Students")).to_be_visible()

    for tab, noun, name in (("Members", "user", user.username), ("Workspaces", "workspace", "Desktop")):
        page.get_by_role("tab", name=tab).click()
        page.get_by_role("combobox", name=f"Add a {noun}").click()
        page.get_by_role("option", name=name).click()
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_role("row").filter(has_text=name)).to_be_visible()
    page.get_by_role("alert").filter(has_text="Desktop was added.").get_by_role("button", name="Undo").click()
    expect(page.get_by_role("row").filter(has_text="Desktop")).to_have_count(0)
    assert violations(page) == []
    page.get_by_role("tab", name="Permissions").click()
    page.get_by_role("textbox", name="Search permissions").fill("zones")
    page.get_by_role("checkbox", name="zones_view").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("The permissions were saved")).to_be_visible()

    page.get_by_role("tab", name="Settings").click()
    page.get_by_role("combobox", name="Show the effective settings of a user").click()
    page.get_by_role("option", name=user.username).click()
    setting = page.locator("[data-setting=idle_disconnect]")
    expect(setting.get_by_role("note")).to_contain_text("by default")
    setting.get_by_label("Idle disconnect", exact=True).fill("7")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(setting.get_by_role("note")).to_contain_text("7 from group Students, priority 5")
    assert violations(page) == []

    page.get_by_role("button", name="Delete Group").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", level=1, name="Groups")).to_be_visible()
    expect(admin.row("Students")).to_have_count(0)


def test_an_administrator_sees_the_preferences_and_keys_of_a_user(admin: Person, user: Person):
    page = user.page
    user.open("/account?do=password")
    expect(page.get_by_role("dialog", name="Change password")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("/account$"))
    user.field("Language").fill("de-DE")
    page.get_by_role("option", name="German (Germany), de-DE").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("New sessions use these values")).to_be_visible()
    page.get_by_role("button", name="Generate a pair").click()
    page.get_by_role("dialog").get_by_role("button", name="Generate").click()
    expect(page.get_by_text("ssh-ed25519")).to_be_visible()
    page.get_by_role("button", name="Enter keys").click()
    private = page.get_by_label("Private key")
    private.fill("no key")
    page.get_by_role("button", name="Save keys").click()
    expect(page.get_by_role("alert").filter(has_text="Not saved")).to_be_visible()
    own = Ed25519PrivateKey.generate()
    private.fill(own.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode())
    page.get_by_role("button", name="Save keys").click()
    expect(page.get_by_text("The keys were saved")).to_be_visible()
    expect(private).to_have_count(0)
    expect(
        page.get_by_text(own.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode())
    ).to_be_visible()
    assert violations(page) == []

    admin.open("/admin/users")
    admin.open_page(admin.page.get_by_role("link", name=user.username))
    admin.page.get_by_role("tab", name="Preferences").click()
    expect(admin.field("Language")).to_have_value("German (Germany), de-DE")
    expect(admin.page.get_by_text("ssh-ed25519")).to_be_visible()
    admin.page.get_by_role("tab", name="Log-ins").click()
    admin.page.get_by_role("button", name="Log out everywhere").click()
    admin.page.get_by_role("dialog").get_by_role("button", name="Log out").click()
    expect(admin.page.get_by_text("Not logged in anywhere")).to_be_visible()
    user.open("/")
    expect(page.get_by_label("Username")).to_be_visible()


def test_a_web_filter_policy_is_made_tried_and_deleted(admin: Person):
    page = admin.page
    admin.open("/admin/web-filter")
    page.get_by_role("button", name="Create Policy").first.click()
    form = page.get_by_role("dialog")
    form.get_by_role("textbox", name="Name", exact=True).fill("Lessons")
    form.get_by_label("Allowed domains").fill("python.org\nnot a domain!")
    form.get_by_role("button", name="Create", exact=True).click()
    expect(form.get_by_role("alert")).to_contain_text("Not saved")
    form.get_by_label("Allowed domains").fill("python.org\nwikipedia.org")
    assert violations(page) == []
    form.get_by_role("button", name="Create", exact=True).click()
    expect(form).to_have_count(0)
    row = admin.row("Lessons")
    expect(row).to_contain_text("python.org, wikipedia.org")
    row.get_by_role("button", name="Test Lessons").click()
    for host, verdict in (("docs.python.org", "is open"), ("example.org", "is blocked")):
        page.get_by_label("Site").fill(host)
        page.get_by_role("button", name="Check the site").click()
        expect(page.get_by_text(f"{host} {verdict}")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    row.get_by_role("button", name="Delete Lessons").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)


def test_an_agent_is_drained_and_offers_what_is_set(admin: Person, instance: Instance):
    page = admin.page
    admin.open("/admin/infrastructure/agents")
    agent = instance.found["agents"][0]["agent_id"]
    row = page.locator(f"[data-row='{agent}']")
    row.get_by_role("button", name=re.compile("^Drain")).click()
    expect(row).to_contain_text("draining")
    row.get_by_role("button", name=re.compile("^End draining")).click()
    expect(row).not_to_contain_text("draining")
    for cores, shown in (("3", "of 3"), ("", None)):
        row.get_by_role("button", name=re.compile("^Edit")).click()
        form = page.get_by_role("dialog")
        form.get_by_label("Cores Override").fill(cores)
        form.get_by_role("button", name="Save", exact=True).click()
        expect(form).to_have_count(0)
        if shown:
            expect(row).to_contain_text(shown)
    with instance.http() as http:
        assert not http.get(f"/api/v1/agents/{agent}").json()["cores_override"]
    assert violations(page) == []


def test_log_rows_are_found_by_address_and_show_before_and_after(admin: Person, instance: Instance):
    zone = instance.found["zones"][0]
    with instance.http() as http:
        for searched in (False, True):
            http.patch(f"/api/v1/zones/{zone['zone_id']}", json={"search_alternate_zones": searched})
    page = admin.page
    admin.open("/admin/diagnostics/logs")
    search = page.get_by_role("textbox", name="Search the log")
    search.fill("no such message")
    search.press("Enter")
    expect(page).to_have_url(re.compile("text=no"))
    search.press("Escape")
    expect(page).not_to_have_url(re.compile("text="))
    search.fill("code:zone-changed")
    expect(page.get_by_role("option", name="zone-changed")).to_be_visible()
    search.press("Enter")
    expect(page).to_have_url(re.compile("code=zone-changed"))
    page.reload()
    expect(page.get_by_role("button", name="Remove Code zone-changed")).to_be_visible()
    rows = page.get_by_role("row").filter(has_text="zone-changed")
    expect(rows.first).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="manager")).to_have_count(0)
    rows.first.get_by_role("button", name="Details").click()
    changes = page.get_by_role("dialog").get_by_role("row").filter(has_text="search_alternate_zones")
    expect(changes).to_contain_text(re.compile("false.*true", re.IGNORECASE))
    assert violations(page) == []


def test_the_code_of_a_row_leads_to_all_of_its_kind(admin: Person, user: Person):
    page = admin.page
    admin.open("/admin/diagnostics/logs")
    row = admin.row("user-created").filter(has_text=user.username).first
    row.get_by_role("button", name="Details").click()
    page.get_by_role("dialog").get_by_role("link", name="user-created").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Remove Code user-created").click()
    expect(page).not_to_have_url(re.compile("code="))
    expect(admin.row("login").first).to_be_visible()


@pytest.mark.usefixtures("clean")
def test_a_page_that_is_not_there_any_more_says_so(admin: Person):
    admin.open("/admin/users/00000000-0000-0000-0000-000000000001")
    expect(admin.page.get_by_text("This item no longer exists")).to_be_visible()


def test_the_page_of_a_deleted_thing_says_so_and_shows_nothing_of_it(admin: Person, instance: Instance):
    body = {"username": "leaving@example.org", "password": "correct horse battery"}
    address = f"/users/{instance.call('POST', '/users', json=body)['user_id']}"
    admin.open(f"/admin{address}")
    expect(admin.page.get_by_role("heading", level=1, name="leaving@example.org")).to_be_visible()
    instance.call("DELETE", address)
    expect(admin.page.get_by_text("This item no longer exists")).to_be_visible()
    expect(admin.page.get_by_text("leaving@example.org")).to_have_count(0)


def test_the_choice_of_colors_follows_a_person_to_another_browser(
    user: Person, instance: Instance, new_context: Callable[..., BrowserContext]
):
    user.open("/")
    with user.page.expect_response(is_change):
        user.page.get_by_role("button", name="Use dark colors").click()
    other = logged_in(new_context(), instance.url, user.username, "correct horse battery")
    other.open("/")
    expect(other.page.get_by_role("button", name="Use light colors")).to_be_visible()
