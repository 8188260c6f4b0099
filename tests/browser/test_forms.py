"""Settings and forms: units, errors while typing, the bar with the changes, undo, and previews."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, use_colours, violations


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    """An instance whose sessions have no containers."""
    return simulated_instance


@pytest.fixture
def group(instance: Instance) -> Iterator[str]:
    """A group with a time limit; returns its id."""
    body = {"name": "Geography", "priority": 20, "settings": {"session_time_limit": 5400}}
    group_id: str = instance.call("POST", "/groups", json=body)["group_id"]
    yield group_id
    instance.call("DELETE", f"/groups/{group_id}")


@pytest.fixture
def image(instance: Instance) -> Iterator[str]:
    """A workspace of 2 cores; returns its id."""
    body = {"name": "example.org/maps:1", "friendly_name": "Maps", "cores": 2, "memory": 2_000_000_000}
    image_id: str = instance.call("POST", "/images", json=body)["image_id"]
    yield image_id
    instance.call("DELETE", f"/images/{image_id}")


def bar(page: Page) -> Locator:
    """The bar with the unsaved changes."""
    return page.get_by_role("region", name="Unsaved changes")


def setting(page: Page, name: str) -> Locator:
    return page.locator(f"[data-setting={name}]")


def value_of(instance: Instance, name: str) -> Any:
    """The present value of a setting of the installation."""
    return next(each["value"] for each in instance.call("GET", "/settings") if each["name"] == name)


def test_a_time_is_entered_in_hours_saved_and_undone(admin: Person, instance: Instance):
    page = admin.page
    admin.open("/admin/settings")
    lifetime = setting(page, "session_lifetime_s").get_by_role("textbox", name="Log-in lifetime")
    unit = page.get_by_label("Unit: Log-in lifetime")
    expect(lifetime).to_have_value("12")
    expect(unit).to_have_value("hours")
    lifetime.fill("1.5")
    lifetime.fill("12")
    expect(bar(page)).to_have_count(0)
    lifetime.fill("1.5")
    expect(bar(page)).to_contain_text("Log-in lifetime: Default (12 hours) → 90 minutes")
    for colours in ("light", "dark"):
        use_colours(page, colours)
        assert violations(page, practices=True) == []
    bar(page).get_by_role("button", name="Save").click()
    expect(bar(page)).to_have_count(0)
    assert value_of(instance, "session_lifetime_s") == 5400
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("The former values apply again.")).to_be_visible()
    assert value_of(instance, "session_lifetime_s") == 43_200
    expect(lifetime).to_have_value("12")


def test_a_value_that_was_changed_again_is_not_undone(admin: Person, instance: Instance):
    page = admin.page
    admin.open("/admin/settings?q=lease+duration")
    field = setting(page, "max_lease_days").get_by_role("textbox")
    field.fill("8")
    bar(page).get_by_role("button", name="Save").click()
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_visible()
    instance.call("PATCH", "/settings", json={"max_lease_days": 9})
    undo.click()
    expect(page.get_by_text("This was changed again since: Maximum lease duration.")).to_be_visible()
    assert value_of(instance, "max_lease_days") == 9
    instance.call("PATCH", "/settings", json={"max_lease_days": None})


def test_an_invalid_value_is_named_while_it_is_typed_and_not_saved(admin: Person, instance: Instance):
    page = admin.page
    admin.open("/admin/settings")
    page.get_by_label("Search settings").fill("support")
    field = admin.field("Support link")
    field.fill("javascript:alert(1)")
    expect(setting(page, "support_url")).to_contain_text("must be an address that begins with https:// or mailto:")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(bar(page).get_by_role("button", name="Save")).to_be_disabled()
    bar(page).get_by_role("button", name="Discard").click()
    expect(bar(page)).to_have_count(0)
    expect(field).to_have_value("")
    assert value_of(instance, "support_url") == ""


def test_changed_only_shows_the_settings_of_the_group(admin: Person, group: str):
    page = admin.page
    admin.open(f"/admin/groups/{group}?tab=settings")
    expect(setting(page, "watermark")).to_contain_text("Inherited: no, by default.")
    page.get_by_label("Changed only").check(force=True)
    expect(page.locator("[data-setting]")).to_have_count(1)
    limit = setting(page, "session_time_limit")
    expect(limit.get_by_role("textbox")).to_have_value("90")
    limit.get_by_role("button", name="Inherit (0 seconds): Session time limit").click()
    expect(bar(page)).to_contain_text("Session time limit: 90 minutes → Inherit (0 seconds)")
    assert violations(page, practices=True) == []


@pytest.mark.parametrize("place", ["panel", "page"])
def test_leaving_with_unsaved_changes_asks_first(admin: Person, group: str, place: str):
    page = admin.page
    admin.open("/admin/groups")
    page.get_by_role("link", name="Geography", exact=True).click()
    form = page.get_by_role("region", name="Details beside the list")
    if place == "page":
        form.get_by_role("link", name="Open the full page").click()
        expect(page.get_by_role("heading", level=1, name="Geography")).to_be_visible()
        form = page.get_by_role("main")
    description = form.get_by_role("textbox", name="Description")
    description.fill("Maps and hills")
    question = page.get_by_role("dialog", name="Leave without saving?")

    def stays() -> None:
        question.get_by_role("button", name="Cancel").click()
        expect(question).to_have_count(0)
        expect(description).to_have_value("Maps and hills")

    form.get_by_role("tab", name="Members").click()
    stays()
    if place == "panel":
        form.get_by_role("button", name="Close the panel").click()
        stays()
        page.get_by_role("link", name="All Users", exact=True).click()
        stays()
    page.go_back()
    expect(question).to_be_visible()
    assert violations(page, practices=True) == []
    stays()
    page.get_by_role("navigation").get_by_role("link", name="Infrastructure").click()
    question.get_by_role("button", name="Leave").click()
    expect(page.get_by_role("heading", level=1, name="Stage Map")).to_be_visible()


def test_a_form_lists_its_changes_and_can_be_undone(admin: Person, instance: Instance, image: str):
    page = admin.page
    admin.open(f"/admin/workspaces/{image}")
    page.get_by_role("textbox", name="Memory", exact=True).fill("4")
    page.get_by_label("Record sessions").check(force=True)
    page.get_by_label("Port Map").fill('{"audio":4901}')
    expect(bar(page)).to_contain_text("Memory: 2 GB → 4 GB")
    expect(bar(page)).to_contain_text("Record sessions: no → yes")
    bar(page).get_by_role("button", name="Save").click()
    expect(page.get_by_text("The workspace was saved")).to_be_visible()
    saved = instance.call("GET", f"/images/{image}")
    assert (saved["memory"], saved["record_sessions"]) == (4_000_000_000, True)
    description = page.get_by_role("textbox", name="Description", exact=True)
    description.fill("Of the world")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("The former values apply again.")).to_be_visible()
    expect(page.get_by_role("textbox", name="Memory", exact=True)).to_have_value("2")
    expect(description).to_have_value("Of the world")
    expect(bar(page).locator("[data-change]")).to_have_text(["Description: nothing → Of the world"])
    assert instance.call("GET", f"/images/{image}")["memory"] == 2_000_000_000


def test_a_size_shows_how_many_sessions_fit_and_groups_who_can_launch(admin: Person, image: str, group: str):
    page = admin.page
    admin.open(f"/admin/workspaces/{image}")
    preview = page.get_by_role("status", name="Preview")
    expect(preview.first).to_contain_text("more session")
    expect(preview.nth(1)).to_contain_text("can launch this workspace")
    page.get_by_label("Cores").fill("4000")
    expect(preview.first).to_contain_text("Fits: none at the moment.")
    expect(preview.first).to_contain_text("4000 are needed")
    page.get_by_label("Cores").fill("5000")
    expect(page.get_by_text("Enter at most 4,096 cores.")).to_be_visible()
    assert violations(page, practices=True) == []


def test_a_staging_config_shows_who_matches_before_it_is_saved(admin: Person, instance: Instance):
    page = admin.page
    admin.open("/admin/staging")
    page.get_by_role("button", name="Create New Config").first.click()
    form = page.get_by_role("dialog")
    form.get_by_label("Image").click()
    page.get_by_role("option", name="Desktop").click()
    preview = form.get_by_role("status", name="Preview")
    users = len(instance.call("GET", "/users"))
    expect(preview).to_contain_text(f"{users} of {users} user")
    form.get_by_label("Allow Webcam").click(force=True)
    expect(preview).to_contain_text(f"0 of {users} user")
    expect(preview).to_contain_text("left out by All Users: Webcam on")
    assert violations(page, practices=True) == []
    preview.get_by_role("button", name="Create a pool for All Users").click()
    expect(form.get_by_label("Allow Webcam")).to_be_checked()
    expect(preview).to_contain_text(f"{users} of {users} user")
    assert instance.call("GET", "/staging-configs") == []


@pytest.mark.parametrize(
    "address", ["/admin/settings", "/admin/groups/{group}?tab=settings"], ids=["installation", "group"]
)
def test_settings_fit_on_a_narrow_screen(admin: Person, group: str, address: str):
    page = admin.page
    page.set_viewport_size({"width": 360, "height": 740})
    admin.open(address.format(group=group))
    expect(page.locator("[data-setting]").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
