"""The catalogue in the console: browsed, added, followed until the image is available, updated; pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from io import BytesIO

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, expect
from tests.acceptance.instance import Instance
from tests.browser.conftest import RESULTS
from tests.browser.console import Person, logged_in, violations

from greenroom.recipes import shelf
from greenroom.runtimes.simulated import SimulatedRuntime, SimulationSettings
from greenroom.up.layout import Layout

NUMBER = len(shelf.all_recipes())
BUILD_S = 12.0


def image_of(name: str) -> str:
    return shelf.reference(shelf.find(name))


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance, openbox_image: str) -> Iterator[Instance]:
    """An instance whose Agent builds every image in some seconds, without a container. The session's page, which is
    part of each image, was built with that of the desktop."""
    del openbox_image
    shelf.forget()
    missing = frozenset(map(shelf.reference, shelf.all_recipes()))
    host(simulated_instance).configure(SimulationSettings(missing_images=missing, pull_s=BUILD_S))
    yield simulated_instance
    host(simulated_instance).configure(SimulationSettings())


def host(instance: Instance) -> SimulatedRuntime:
    return SimulatedRuntime("", "", folder=Layout(instance.data).agent("agent-default"))


def card(admin: Person, name: str) -> Locator:
    return admin.page.get_by_test_id(f"entry-{name}")


def test_an_entry_is_found_added_for_a_group_and_followed_until_its_image_is_there(admin: Person, instance: Instance):
    with instance.http() as http:
        assert http.post("/api/v1/groups", json={"name": "Students"}).status_code == 201
    admin.open("/admin/workspaces")
    admin.page.get_by_role("link", name="Add from Catalogue").click()
    expect(admin.page.get_by_role("heading", name="Catalogue")).to_be_visible()
    expect(admin.page.get_by_role("listitem")).to_have_count(NUMBER)
    admin.page.get_by_label("Search the catalogue").fill("firefox")
    expect(admin.page.get_by_role("listitem")).to_have_count(1)
    admin.page.get_by_role("button", name="Add Firefox").click()
    dialog = admin.page.get_by_role("dialog")
    dialog.get_by_role("combobox", name="Groups").click()
    admin.page.get_by_role("option", name="Students").click()
    admin.page.keyboard.press("Escape")
    assert violations(admin.page) == []
    dialog.get_by_role("button", name="Add", exact=True).click()
    added = card(admin, "firefox")
    expect(added.get_by_text("building")).to_be_visible(timeout=30_000)
    expect(added.get_by_role("progressbar")).to_be_visible()
    assert violations(admin.page) == []
    expect(added.get_by_text("on 1 Agent")).to_be_visible(timeout=60_000)
    added.get_by_role("link", name="Firefox").click()
    expect(admin.page.get_by_role("heading", name="Firefox")).to_be_visible()
    expect(admin.page.get_by_text("Students").first).to_be_visible()


def test_a_build_that_fails_says_why_on_its_card(admin: Person, instance: Instance):
    broken = image_of("terminal")
    host(instance).configure(SimulationSettings(missing_images=frozenset({broken}), broken_images=frozenset({broken})))
    admin.open("/admin/catalogue")
    admin.page.get_by_role("button", name="Add Terminal").click()
    admin.page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()
    expect(card(admin, "terminal").get_by_text("could not be built")).to_be_visible(timeout=30_000)
    assert violations(admin.page) == []
    host(instance).configure(SimulationSettings())


def test_an_update_is_offered_and_done_with_one_click(admin: Person, instance: Instance):
    with instance.http() as http:
        if not any(each["name"] == "firefox" and each["installed"] for each in http.get("/api/v1/catalogue").json()):
            http.post("/api/v1/catalogue/firefox", json={}).raise_for_status()
    old = "greenroom/firefox:old"
    instance.sql(
        "UPDATE images SET name = %s, catalogue_image = %s WHERE catalogue_name = 'firefox' RETURNING 1", old, old
    )
    admin.open("/admin/catalogue?q=firefox")
    admin.page.get_by_role("button", name="Update Firefox").click()
    expect(admin.page.get_by_role("button", name="Update Firefox")).to_have_count(0)
    with instance.http() as http:
        images = {each["friendly_name"]: each["name"] for each in http.get("/api/v1/images").json()}
    assert images["Firefox"] == image_of("firefox")


def test_a_picture_is_uploaded_on_the_workspaces_page_and_what_is_none_is_refused(admin: Person, instance: Instance):
    with instance.http() as http:
        (image,) = [each for each in http.get("/api/v1/images").json() if each["friendly_name"] == "Desktop"]
    made = BytesIO()
    Image.new("RGB", (300, 300), "rebeccapurple").save(made, "PNG")
    admin.open(f"/admin/workspaces/{image['image_id']}")
    chosen = admin.page.locator("input[type=file]")
    chosen.set_input_files({"name": "notes.png", "mimeType": "image/png", "buffer": b"no picture at all"})
    expect(admin.page.get_by_text("The file is not a picture.")).to_be_visible()
    chosen.set_input_files({"name": "desk.png", "mimeType": "image/png", "buffer": made.getvalue()})
    expect(admin.page.get_by_label("Thumbnail URL")).to_have_value(re.compile(r"/api/v1/images/.+/picture\?v=\w+"))
    admin.page.get_by_role("button", name="Remove Thumbnail").click()
    expect(admin.page.get_by_label("Thumbnail URL")).to_have_value("")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_gallery_has_no_serious_barrier(
    new_context: Callable[..., BrowserContext], instance: Instance, scheme: str
):
    found = instance.found["admin"]
    person = logged_in(new_context(color_scheme=scheme), instance.url, found["username"], found["password"])
    page = person.page
    person.open("/admin/catalogue")
    expect(page.get_by_role("listitem")).to_have_count(NUMBER)
    drawn = "() => [...document.querySelectorAll('[role=listitem] img')].every(one => one.naturalWidth > 0)"
    page.wait_for_function(drawn)
    assert violations(page) == []
    page.screenshot(path=RESULTS / f"catalogue-{scheme}.png")
