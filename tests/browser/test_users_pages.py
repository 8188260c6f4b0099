"""The pages of users: what screen readers find on them, in both themes and all widths."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Route, expect
from tests.acceptance.instance import Instance, wait_for
from tests.browser.console import LAYOUT_SHIFTS, Person, fits_its_width, goto, use_colours, violations

PAGES = {"/": "Workspaces", "/account": "My account", "/recordings": "Recordings", "/secrets": "Secrets"}
WIDTHS = (360, 1440, 3840)
"""Widths of windows, in pixels."""
MAX_LAYOUT_SHIFT = 0.01

WAITS = """
{
  const seen = new Map();
  window.waits = [];
  const look = (now) => {
    for (const each of document.querySelectorAll('.mantine-Skeleton-root, .mantine-Loader-root')) {
      if (!seen.has(each)) seen.set(each, now);
      if (getComputedStyle(each).visibility === 'hidden' || seen.get(each) === null) continue;
      window.waits.push(now - seen.get(each));
      seen.set(each, null);
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
"""
"""A script for each page: `waits` are the times in milliseconds after which signs of waiting became visible."""

LAUNCHER = """
- link "To the content"
- banner:
  - link "Greenroom, workspaces"
  - status: Live
  - button "Use dark colors"
  - button "Account ada@example.org"
- main:
  - heading "Workspaces" [level=1]
  - textbox "Search workspaces"
  - region "Launch a workspace":
    - button /Launch Desktop/
    - 'button "Favorite: Desktop"'
"""

SESSIONS = """
- banner:
  - link "Greenroom, workspaces"
  - button "Search"
  - link "Launcher"
- navigation "Administration":
  - link "Today"
  - link "Sessions"
- main:
  - navigation "Sessions":
    - link "Sessions"
  - heading "Sessions" [level=1]
  - region "Sessions":
    - table "Sessions":
      - rowgroup:
        - row /User Workspace/:
          - columnheader "User"
          - columnheader "Workspace"
"""


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    """An instance whose sessions have no containers."""
    return simulated_instance


def test_the_launcher_has_landmarks_headings_and_named_controls(user: Person):
    user.open("/")
    expect(user.page.get_by_test_id("live")).to_have_text("Live")
    expect(user.page.locator("body")).to_match_aria_snapshot(LAUNCHER)


def test_enter_starts_the_first_hit_and_the_latest_session_is_wide(user: Person, instance: Instance):
    page = user.page
    ids = [launched(user) for _ in range(3)]
    wait_for(lambda: all(instance.has_status(each, "running") for each in ids), "the sessions run")
    page.add_init_script(LAYOUT_SHIFTS)
    user.open("/")
    cards = page.get_by_role("region", name="Your sessions").get_by_role("article")
    expect(cards).to_have_count(3)
    expect(cards.first).to_have_attribute("data-session", ids[-1])
    widths = [box["width"] for each in cards.all() if (box := each.bounding_box())]
    assert widths[0] > 2 * max(widths[1:])
    assert violations(page, practices=True) == []
    assert page.evaluate("layoutShift()") <= MAX_LAYOUT_SHIFT
    page.set_viewport_size({"width": 390, "height": 780})
    expect(cards).to_have_count(2)
    page.get_by_role("button", name="Show 1 more").click()
    expect(cards).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_resume_opens_the_session_even_if_its_card_changes_before_the_answer(user: Person, instance: Instance):
    page = user.page
    session_id = launched(user)
    wait_for(lambda: instance.has_status(session_id, "running"), "the session runs")
    command = f"/sessions/{session_id}/lifecycle-commands"
    instance.call("POST", command, json={"command": "stop"})
    wait_for(lambda: instance.has_status(session_id, "stopped"), "the session is stopped")
    user.open("/")

    def answer_late(route: Route) -> None:
        answer = route.fetch()
        expect(page.get_by_role("link", name="Open Desktop")).to_be_visible()
        route.fulfill(response=answer)

    page.route(f"**{command}", answer_late)
    page.get_by_role("button", name="Resume Desktop").click()
    page.wait_for_url(f"**/session/{session_id}")


def launched(user: Person) -> str:
    """Launch the first hit of a search with Enter; returns the id of its session."""
    user.open("/")
    search = user.page.get_by_role("textbox", name="Search workspaces")
    search.fill("deskt")
    expect(user.page.get_by_test_id("launch-Desktop")).to_be_visible()
    search.press("Enter")
    user.page.wait_for_url(re.compile(r"/session/[0-9a-f-]{36}"))
    return user.page.url.rsplit("/", 1)[1]


def test_the_list_of_sessions_has_landmarks_headings_and_a_table(admin: Person):
    admin.open("/admin/sessions")
    expect(admin.page.locator("body")).to_match_aria_snapshot(SESSIONS)


def test_pages_of_users_are_accessible_fit_every_width_and_do_not_move(user: Person):
    page = user.page
    page.add_init_script(LAYOUT_SHIFTS)
    unclean: list[str] = []
    page.on("console", lambda said: unclean.append(said.text) if said.type in ("warning", "error") else None)
    user.open("/")
    for address, heading in PAGES.items():
        user.follow(address)
        expect(page.get_by_role("heading", level=1, name=heading)).to_be_visible()
        expect(page.locator(".mantine-Skeleton-root")).to_have_count(0)
        assert page.evaluate("layoutShift()") <= MAX_LAYOUT_SHIFT, address
        for colours in ("dark", "light"):
            use_colours(page, colours)
            assert violations(page, practices=True) == [], (address, colours)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 780})
            assert fits_its_width(page), (address, width)
        page.set_viewport_size({"width": 1360, "height": 800})
        page.evaluate("layoutShift()")
    assert unclean == []


def test_nothing_shows_that_it_waits_before_300_ms(user: Person):
    def answer_late(route: Route) -> None:
        time.sleep(0.8)
        route.continue_()

    user.page.add_init_script(WAITS)
    user.open("/")
    user.page.route("**/api/v1/secrets*", answer_late)
    user.follow("/secrets")
    expect(user.page.get_by_role("heading", level=1, name="Secrets")).to_be_visible()
    expect(user.page.locator(".mantine-Skeleton-root")).to_have_count(0)
    waits = user.page.evaluate("waits")
    assert waits
    assert min(waits) > 250, "a frame before 300 ms"


def test_the_launcher_with_a_running_session_does_not_move(user: Person, instance: Instance):
    page = user.page
    page.add_init_script(LAYOUT_SHIFTS)
    page.request.post(
        f"{instance.url}/api/v1/sessions", data={"image_id": instance.desktop()}, headers={"Origin": instance.url}
    )
    wait_for(lambda: instance.sql("SELECT 1 FROM sessions WHERE status = 'running'"), "the session runs")
    user.open("/")
    expect(page.get_by_role("region", name="Your sessions").get_by_role("link", name="Open Desktop")).to_be_visible()
    expect(page.locator(".mantine-Skeleton-root")).to_have_count(0)
    for colours in ("dark", "light"):
        use_colours(page, colours)
        assert violations(page, practices=True) == [], colours
    assert page.evaluate("layoutShift()") <= MAX_LAYOUT_SHIFT


def test_the_log_in_page_is_accessible_in_both_themes(instance: Instance, new_context: Callable[..., BrowserContext]):
    page = new_context().new_page()
    page.add_init_script(LAYOUT_SHIFTS)
    goto(page, instance.url)
    expect(page.get_by_label("Username")).to_be_focused()
    assert page.evaluate("layoutShift()") <= MAX_LAYOUT_SHIFT
    for colours in ("light", "dark"):
        use_colours(page, colours)
        assert violations(page, practices=True) == []
