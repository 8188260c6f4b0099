"""Session Staging as an administrator and a user see it, live and side by side."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Locator, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, inside, log_in, violations

FILL_MS = 60_000


def current(config: Locator) -> Locator:
    """Current / Desired of a config's row."""
    return config.get_by_test_id("current")


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("clean")
def test_a_pool_from_its_config_to_a_user_and_back(
    admin: Person, user: Person, instance: Instance, new_context: Callable[..., BrowserContext]
):
    staging = admin.page
    found = instance.found["admin"]
    watcher = log_in(new_context().new_page(), instance.url, found["username"], found["password"])
    watcher.open("/admin/sessions")

    # Create New Config, with the fields of the page
    admin.open("/admin/staging")
    staging.get_by_role("button", name="Create New Config").first.click()
    form = staging.get_by_role("dialog")
    expect(form.get_by_label("Deployment Zone")).to_have_value("default")
    form.get_by_label("Image").click()
    staging.get_by_role("option", name="Desktop").click()
    form.get_by_label("Desired Sessions").fill("2")
    form.get_by_label("Expiration (Hours)").fill("4")
    expect(form.get_by_label("Allow Audio")).to_be_checked()
    assert violations(staging) == []
    form.get_by_role("button", name="Submit").click()
    expect(form).to_have_count(0)

    # Current reaches Desired before the eyes of both, without a reload
    config = admin.row("Desktop")
    expect(current(config)).to_have_text("2 / 2", timeout=FILL_MS)
    expect(config.get_by_test_id("shortfall")).to_have_count(0)
    expect(watcher.row("staged, no user yet")).to_have_count(2)
    assert violations(staging) == []

    # A user launches: the session comes from the pool, and its username appears
    user.open("/")
    tile = user.page.get_by_test_id("launch-Desktop")
    expect(tile).to_contain_text("Ready now")
    session_id = user.launch("Desktop")
    user.desktop()
    expect(watcher.row(user.username)).to_contain_text(session_id[:8])
    expect(watcher.row(user.username)).to_contain_text("staged")
    with instance.http() as http:
        placement = http.get(f"/api/v1/sessions/{session_id}/placement").json()
    assert placement["outcome"] == "staged", placement
    assert inside(session_id, "xdotool", "getdisplaygeometry").split() == ["1360", "800"]

    # The pool fills itself again
    expect(current(config)).to_have_text("2 / 2", timeout=FILL_MS)
    expect(watcher.row("staged, no user yet")).to_have_count(2)

    # Reducing Desired destroys the excess; the session in use goes on
    config.get_by_role("button", name="Edit Desktop in default").click()
    form.get_by_label("Desired Sessions").fill("1")
    form.get_by_role("button", name="Submit").click()
    expect(current(config)).to_have_text("1 / 1", timeout=FILL_MS)
    expect(watcher.row("staged, no user yet")).to_have_count(1, timeout=FILL_MS)
    expect(watcher.row(user.username)).to_contain_text("running")

    # Deleting the config destroys what nobody uses
    config.get_by_role("button", name="Delete Desktop in default").click()
    staging.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(staging.get_by_text("No staging configs yet")).to_be_visible()
    expect(watcher.row("staged, no user yet")).to_have_count(0, timeout=FILL_MS)
    expect(watcher.row(user.username)).to_contain_text("running")


@pytest.mark.usefixtures("clean")
def test_a_config_that_cannot_be_filled_says_why(admin: Person, instance: Instance):
    with instance.http() as http:
        zone = instance.found["zones"][0]["zone_id"]
        image = http.get("/api/v1/images").json()[0]["image_id"]
        body = {"zone_id": zone, "image_id": image, "num_sessions": 1, "expiration": 1}
        made = http.post("/api/v1/staging-configs", json=body)
        assert made.status_code == 201, made.text
        admin.open("/admin/staging")
        config = admin.row("Desktop")
        expect(current(config)).to_have_text("1 / 1", timeout=FILL_MS)
        try:
            http.patch(f"/api/v1/images/{image}", json={"enabled": False})
            expect(config.get_by_test_id("shortfall")).to_have_attribute("data-code", "image-disabled", timeout=FILL_MS)
            expect(config.get_by_test_id("shortfall")).to_contain_text("disabled")
            expect(current(config)).to_have_text("0 / 1", timeout=FILL_MS)
            assert violations(admin.page) == []
        finally:
            http.patch(f"/api/v1/images/{image}", json={"enabled": True})
        expect(current(config)).to_have_text("1 / 1", timeout=FILL_MS)


@pytest.mark.usefixtures("clean")
def test_pausing_and_going_on(admin: Person, instance: Instance):
    with instance.http() as http:
        zone = instance.found["zones"][0]["zone_id"]
        image = http.get("/api/v1/images").json()[0]["image_id"]
        http.post(
            "/api/v1/staging-configs", json={"zone_id": zone, "image_id": image, "num_sessions": 0, "expiration": 1}
        )
    admin.open("/admin/staging")
    config = admin.row("Desktop")
    config.get_by_role("button", name="Pause Desktop in default").click()
    expect(config).to_contain_text("paused")
    config.get_by_role("button", name="Go on with Desktop in default").click()
    expect(config).not_to_contain_text("paused")


@pytest.mark.usefixtures("clean")
def test_a_second_config_for_the_same_is_refused_in_the_form(admin: Person, instance: Instance):
    with instance.http() as http:
        zone = instance.found["zones"][0]["zone_id"]
        image = http.get("/api/v1/images").json()[0]["image_id"]
        http.post(
            "/api/v1/staging-configs", json={"zone_id": zone, "image_id": image, "num_sessions": 0, "expiration": 1}
        )
    admin.open("/admin/staging")
    admin.page.get_by_role("button", name="Create New Config").click()
    form = admin.page.get_by_role("dialog")
    form.get_by_label("Image").click()
    admin.page.get_by_role("option", name="Desktop").click()
    form.get_by_role("button", name="Submit").click()
    expect(form.get_by_role("alert")).to_contain_text("Not saved")
    assert violations(admin.page) == []
