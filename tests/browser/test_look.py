"""The look of the console that users and administrators choose: the height of rows, and the name and the logo."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, goto, is_change, log_in, violations
from tests.database.api.test_catalogue import picture

BRANDING: Final = {
    "installation_name": "University Desktops",
    "login_notice": "For staff and students.",
    "support_url": "mailto:support@example.org",
}


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    return simulated_instance


@pytest.fixture
def branded(instance: Instance) -> Iterator[Instance]:
    """The instance with a name, a notice, a support link and a logo."""
    instance.call("PATCH", "/settings", json=BRANDING)
    instance.call("PUT", "/branding/logo", content=picture(size=(300, 100)))
    yield instance
    instance.call("PATCH", "/settings", json=dict.fromkeys(BRANDING))
    instance.call("DELETE", "/branding/logo")


def row_height(page: Page) -> float:
    box = page.get_by_role("row").filter(has_text="admin@greenroom.local").bounding_box()
    assert box is not None
    return box["height"]


def test_the_height_of_rows_is_kept_with_the_user(admin: Person, instance: Instance):
    page = admin.page
    admin.open("/admin/users")
    expect(admin.row("admin@greenroom.local")).to_be_visible()
    assert row_height(page) == 36
    for density, height in (("Comfortable", 44), ("Compact", 32)):
        page.get_by_role("button", name="Options of the list").click()
        with page.expect_response(is_change):
            page.get_by_role("menuitemradio", name=density).click()
        page.wait_for_function("height => document.querySelector('[data-row]').offsetHeight === height", arg=height)
    page.reload()
    expect(page.locator("html[data-density=compact]")).to_be_attached()
    page.get_by_role("button", name="Options of the list").click()
    with page.expect_response(is_change):
        page.get_by_role("menuitemradio", name="Standard").click()
    page.wait_for_function("() => document.querySelector('[data-row]').offsetHeight === 36")


def test_a_place_leads_to_its_pages(admin: Person):
    page = admin.page
    admin.open("/admin")
    places = page.get_by_role("navigation", name="Administration")
    expect(places.get_by_role("link")).to_have_count(7)
    places.get_by_role("link", name="People").click()
    expect(page.get_by_role("heading", level=1, name="Users")).to_be_visible()
    page.get_by_role("navigation", name="People").get_by_role("link", name="Groups").click()
    expect(page.get_by_role("heading", level=1, name="Groups")).to_be_visible()
    expect(places.get_by_role("link", name="People")).to_have_attribute("aria-current", "true")


def test_name_logo_notice_and_support_are_on_the_log_in_page(
    branded: Instance, new_context: Callable[..., BrowserContext]
):
    page = new_context().new_page()
    goto(page, branded.url)
    expect(page.get_by_role("heading", level=1, name="University Desktops")).to_be_visible()
    expect(page).to_have_title("University Desktops")
    expect(page.get_by_text("For staff and students.")).to_be_visible()
    expect(page.get_by_role("link", name="Help with the log-in")).to_have_attribute("href", BRANDING["support_url"])
    expect(page.locator("main img")).to_have_attribute("src", re.compile(r"/api/v1/branding/logo\?v=\w+"))
    assert violations(page) == []
    found = branded.found["admin"]
    log_in(page, branded.url, found["username"], found["password"])
    expect(page.get_by_role("link", name="University Desktops, workspaces")).to_be_visible()
    expect(page).to_have_title(re.compile(r"· University Desktops$"))
    page.get_by_role("button", name="Account").click()
    expect(page.get_by_role("menuitem", name="Support")).to_have_attribute("href", BRANDING["support_url"])


def test_an_administrator_uploads_and_removes_the_logo(admin: Person, instance: Instance):
    page = admin.page
    admin.open("/admin/settings")
    field = page.get_by_role("region", name="Logo")
    with page.expect_file_chooser() as chooser:
        field.get_by_role("button", name="Upload Logo").click()
    chooser.value.set_files([{"name": "logo.png", "mimeType": "image/png", "buffer": picture()}])
    expect(page.get_by_role("banner").locator("img")).to_be_visible()
    field.get_by_role("button", name="Remove Logo").click()
    expect(page.get_by_role("banner").locator("img")).to_have_count(0)
    assert instance.call("GET", "/branding")["logo_url"] is None
