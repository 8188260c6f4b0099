"""A viewer who gives no input is disconnected, the session counts as unused, and the viewer can come back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Request, Route, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, violations

IDLE_S = 6
"""Long enough for a desktop to be visible before it is idle, on a busy machine."""
QUIET_MS = 7000
"""Longer than the interval of the signs of life, which is 5 s here."""

OUT_OF_SIGHT = """() => {
  Object.defineProperty(document, 'hidden', { value: true, configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
}"""


@pytest.fixture
def limited(user: Person, instance: Instance) -> Iterator[Person]:
    """Ada, whose group disconnects idle viewers after `IDLE_S`."""
    user_id = instance.sql("SELECT user_id FROM users WHERE username = %s", user.username)[0]["user_id"]
    settings = {"idle_disconnect": IDLE_S / 60, "keepalive_interval": 5}
    group = instance.call("POST", "/groups", json={"name": "Limited", "priority": 1, "settings": settings})
    instance.call("PUT", f"/groups/{group['group_id']}/users/{user_id}")
    yield user
    instance.call("DELETE", f"/groups/{group['group_id']}")


def as_page_of_others(page: Page) -> None:
    """Make the desktops of this window pages of foreign images: they send nothing, and the api reports that."""

    def connection(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "own_page": False})

    page.context.route("**/api/v1/sessions/*/connection", connection)
    page.context.route("**/desktop/**/session.js", lambda route: route.fulfill(content_type="text/javascript", body=""))


def signs_of_life(page: Page) -> list[Request]:
    """The signs of life that are sent from now on."""
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if "keepalive" in request.url else None)
    return sent


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("clean")
def test_a_session_counts_as_unused_until_there_is_input(limited: Person):
    page = limited.page
    page.clock.install()
    limited.launch("Desktop")
    frame = limited.desktop()
    with page.expect_request(lambda request: "keepalive" in request.url):
        page.clock.fast_forward(QUIET_MS)
    frame.wait_for_selector("html[data-state=idle]", state="attached")
    page.locator("iframe[data-state=idle]").wait_for()
    sent = signs_of_life(page)
    page.clock.fast_forward(QUIET_MS)
    with page.expect_request(lambda request: "keepalive" in request.url):
        page.mouse.click(640, 400)
    assert len(sent) == 1, "none before the click"
    limited.desktop()


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("clean")
def test_a_page_without_input_counts_is_left_when_its_window_is_hidden(limited: Person):
    page = limited.page
    page.clock.install()
    as_page_of_others(page)
    limited.launch("Desktop")
    page.locator("iframe[data-state=silent]").wait_for(timeout=60_000)
    page.evaluate(OUT_OF_SIGHT)
    expect(page.get_by_text("hidden for some time")).to_be_visible(timeout=60_000)
    expect(page.locator("iframe")).to_have_count(0)
    assert violations(page) == []
    sent = signs_of_life(page)
    page.clock.fast_forward(QUIET_MS)
    with page.expect_request(lambda request: "keepalive" in request.url):
        page.get_by_role("button", name="Continue").click()
    assert len(sent) == 1, "none before the click"
    page.locator("iframe").wait_for()
    page.context.unroute_all(behavior="wait")  # the page reads the connection until it is closed
