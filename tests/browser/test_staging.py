"""Session Staging from the view of administrators and of a user, live in parallel: the list and the form."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Locator, expect
from tests.acceptance.instance import Instance, wait_for
from tests.browser.console import Person, fills, logged_in, violations

FILL_MS = 60_000

PERMISSIONS = (
    "Audio",
    "Clipboard Down",
    "Clipboard Up",
    "Downloads",
    "Uploads",
    "Microphone",
    "Gamepad",
    "Webcam",
)


def current(config: Locator) -> Locator:
    """Current / Desired of a config's row."""
    return config.get_by_test_id("current")


def of_new_config(person: Person) -> Locator:
    """The form of Create New Config, with the workspace Desktop chosen."""
    person.open("/admin/staging")
    person.page.get_by_role("button", name="Create New Config").first.click()
    form = person.page.get_by_role("dialog")
    form.get_by_label("Image").click()
    person.page.get_by_role("option", name="Desktop").click()
    return form


def fill_in(form: Locator) -> None:
    """Fill in two sessions for four hours; the permissions are those of group All Users."""
    expect(form.get_by_label("Deployment Zone")).to_have_value("default")
    form.get_by_label("Desired Sessions").fill("2")
    form.get_by_label("Expiration (Hours)").fill("4")
    for permission in PERMISSIONS:
        expect(form.get_by_label(f"Allow {permission}")).to_be_checked()


def is_full(window: Person) -> None:
    """The pool of two has two, as number and as bar, and there is no shortfall."""
    config = window.row("Desktop")
    expect(current(config)).to_have_text("2 / 2", timeout=FILL_MS)
    expect(config.get_by_role("progressbar", name="2 of 2 ready")).to_be_visible()
    expect(config.get_by_test_id("shortfall")).to_have_count(0)


@pytest.fixture
def zone_without_domain(instance: Instance) -> Iterator[None]:
    """The first zone has `$request_host$` as Allow Origin Domain while the test runs."""
    zone = f"/zones/{instance.found['zones'][0]['zone_id']}"
    before = instance.call("GET", zone)["allow_origin_domain"]
    instance.call("PATCH", zone, json={"allow_origin_domain": "$request_host$"})
    yield
    instance.call("PATCH", zone, json={"allow_origin_domain": before})


FIRST_PICTURE = """
new MutationObserver(() => {
  const canvas = document.querySelector('#screen canvas');
  if (document.documentElement.dataset.state === 'connected' && canvas && !window.firstPicture)
    window.firstPicture = [canvas.width, canvas.height];
}).observe(document, { attributes: true, subtree: true, attributeFilter: ['data-state'] });
"""
"""Stores the size of the picture with which a desktop is displayed, in its frame."""


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("clean")
def test_a_pool_from_its_config_to_a_user_and_back(
    admin: Person, user: Person, instance: Instance, new_context: Callable[..., BrowserContext]
):
    staging = admin.page
    found = instance.found["admin"]
    watcher = logged_in(new_context(), instance.url, found["username"], found["password"])
    watcher.open("/admin/sessions")
    other = Person(watcher.page.context.new_page(), instance.url, watcher.username)
    other.open("/admin/staging")

    # Create New Config, with the fields of the page
    form = of_new_config(admin)
    fill_in(form)
    assert violations(staging) == []
    form.get_by_role("button", name="Submit").click()
    expect(staging.get_by_text(re.compile(r"it serves \d+ users?\."))).to_be_visible()

    # Current reaches Desired live for both, without a reload
    config = admin.row("Desktop")
    for window in (admin, other):
        is_full(window)
    expect(watcher.row("staged, no user yet")).to_have_count(2)
    expect(watcher.row("staged, no user yet").first).to_contain_text("in 3h")
    staged = ids_of(watcher.row("staged, no user yet"))
    assert violations(staging) == []

    # A user launches: the session comes from the pool, and its username appears
    user.page.add_init_script(FIRST_PICTURE)
    user.open("/")
    tile = user.page.get_by_test_id("launch-Desktop")
    expect(tile).to_contain_text("Now")
    session_id = user.launch("Desktop")
    user.desktop()
    assert session_id in staged
    frame = next(frame for frame in user.page.frames if "/desktop/" in frame.url)
    assert frame.evaluate("window.firstPicture") == frame.evaluate("[innerWidth, innerHeight]"), "made for this window"
    assigned = watcher.row(session_id[:8])
    expect(assigned).to_contain_text(user.username)
    expect(assigned).to_contain_text("staged")
    expect(assigned).not_to_contain_text("in 3h")
    with instance.http() as http:
        placement = http.get(f"/api/v1/sessions/{session_id}/placement").json()
    assert placement["outcome"] == "staged", placement
    wait_for(lambda: fills(session_id, 1360, 800), "the desktop has the size of the page")

    # The pool refills itself, live for both
    for window in (admin, other):
        is_full(window)
    watcher.page.get_by_text("Staged", exact=True).click()
    expect(watcher.row("staged, no user yet")).to_have_count(2)
    expect(watcher.row(user.username)).to_have_count(0)
    watcher.page.get_by_text("All", exact=True).click()

    # Reducing Desired deletes the excess; the session in use continues
    config.get_by_role("button", name="Edit Desktop in default").click()
    form.get_by_label("Desired Sessions").fill("1")
    form.get_by_role("button", name="Save", exact=True).click()
    expect(current(config)).to_have_text("1 / 1", timeout=FILL_MS)
    expect(watcher.row("staged, no user yet")).to_have_count(1, timeout=FILL_MS)
    expect(watcher.row(user.username)).to_contain_text("running")

    # Deleting the config destroys unused sessions
    config.get_by_role("button", name="Delete Desktop in default").click()
    staging.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(staging.get_by_text("No staging configs yet")).to_be_visible()
    expect(watcher.row("staged, no user yet")).to_have_count(0, timeout=FILL_MS)
    expect(watcher.row(user.username)).to_contain_text("running")


@pytest.mark.usefixtures("clean")
def test_a_config_that_cannot_be_filled_says_why(admin: Person, instance: Instance):
    image = f"/images/{instance.desktop()}"
    instance.stage(1)
    admin.open("/admin/staging")
    config = admin.row("Desktop")
    expect(current(config)).to_have_text("1 / 1", timeout=FILL_MS)
    try:
        instance.call("PATCH", image, json={"enabled": False})
        expect(config.get_by_test_id("shortfall")).to_have_attribute("data-code", "image-disabled", timeout=FILL_MS)
        expect(config.get_by_test_id("shortfall")).to_contain_text("disabled")
        expect(current(config)).to_have_text("0 / 1", timeout=FILL_MS)
        assert violations(admin.page) == []
    finally:
        instance.call("PATCH", image, json={"enabled": True})
    expect(current(config)).to_have_text("1 / 1", timeout=FILL_MS)


@pytest.mark.usefixtures("clean")
def test_pausing_and_resuming(admin: Person, instance: Instance):
    instance.stage(0)
    admin.open("/admin/staging")
    config = admin.row("Desktop")
    config.get_by_role("button", name="Pause Desktop in default").click()
    expect(config).to_contain_text("paused")
    config.get_by_role("button", name="Resume Desktop in default").click()
    expect(config).not_to_contain_text("paused")


@pytest.mark.usefixtures("clean")
def test_unedited_fields_keep_the_values_of_another_administrator(admin: Person, instance: Instance):
    path = f"/staging-configs/{instance.stage(0)}"
    admin.open("/admin/staging")
    admin.row("Desktop").get_by_role("button", name="Edit Desktop in default").click()
    instance.call("PATCH", path, json={"expiration": 7})
    form = admin.page.get_by_role("dialog")
    form.get_by_label("Allow Webcam").click(force=True)
    form.get_by_role("button", name="Save", exact=True).click()
    expect(form).to_have_count(0)
    saved = instance.call("GET", path)
    assert (saved["expiration"], saved["allow_kasm_webcam"]) == (7, False)


@pytest.mark.usefixtures("clean")
def test_an_invalid_number_is_reported_at_its_field_and_not_saved(admin: Person, instance: Instance):
    form = of_new_config(admin)
    numbers = {label: form.get_by_label(label) for label in ("Desired Sessions", "Expiration (Hours)")}
    for label, typed in (
        ("Desired Sessions", "-1"),
        ("Desired Sessions", "1.5"),
        ("Desired Sessions", ""),
        ("Expiration (Hours)", "0"),
        ("Expiration (Hours)", ""),
    ):
        for field in numbers.values():
            field.fill("1")
        numbers[label].fill(typed)
        form.get_by_role("button", name="Submit").click()
        expect(numbers[label]).to_have_attribute("aria-invalid", "true")
        expect(numbers[label]).to_have_value(typed)
        assert violations(admin.page) == []
    assert instance.call("GET", "/staging-configs") == []


@pytest.mark.usefixtures("clean")
def test_a_second_config_for_the_same_zone_and_workspace_is_refused(admin: Person, instance: Instance):
    instance.stage(0)
    form = of_new_config(admin)
    form.get_by_role("button", name="Submit").click()
    expect(form.get_by_role("alert")).to_contain_text("Not saved")
    assert violations(admin.page) == []


@pytest.mark.usefixtures("clean", "zone_without_domain")
def test_a_config_in_a_request_host_zone_is_saved_with_a_warning(admin: Person):
    form = of_new_config(admin)
    form.get_by_role("button", name="Submit").click()
    expect(form).to_have_count(0)
    expect(admin.page.get_by_role("alert").filter(has_text="Saved with warnings")).to_contain_text("$request_host$")
    shortfall = admin.row("Desktop").get_by_test_id("shortfall")
    expect(shortfall).to_have_attribute("data-code", "zone-request-host", timeout=FILL_MS)
    assert violations(admin.page) == []


def ids_of(rows: Locator) -> set[str]:
    """The sessions of these rows."""
    return {row.get_attribute("data-row") or "" for row in rows.all()}
