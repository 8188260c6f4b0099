"""The weight of the console: what a browser loads until a user can launch a workspace, and what it does not load."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from tests.acceptance.instance import Instance
from tests.browser.console import LAYOUT_SHIFTS, Person, logged_in

MAX_BYTES = 200_000
MAX_PAGE_BYTES = 30_000
"""The code of one page of the administration."""
MAX_ROUNDS = 3
MAX_LAYOUT_SHIFT = 0.01
LATENCY_MS = 500

USABLE = """
new MutationObserver((_, changes) => {
  if (!document.querySelector('[data-testid^=launch-]:enabled')) return;
  window.usableAt = performance.now();
  changes.disconnect();
}).observe(document, { childList: true, subtree: true });
"""
"""Remembers when the first workspace can be launched."""

REQUESTS = """() => ['navigation', 'resource'].flatMap((kind) => performance.getEntriesByType(kind)).map(
  ({ name, startTime, responseEnd, transferSize }) => ({
    path: new URL(name).pathname, started: startTime, ended: responseEnd, bytes: transferSize,
  }))"""


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    """An instance whose sessions have no containers."""
    return simulated_instance


def rounds(requests: list[dict[str, Any]]) -> int:
    """The length of the longest chain of requests of which each started after the end of the one before."""
    depths: list[tuple[float, int]] = []
    for each in sorted(requests, key=lambda each: each["started"]):
        depth = 1 + max((depth for ended, depth in depths if ended <= each["started"]), default=0)
        depths.append((each["ended"], depth))
    return max((depth for _, depth in depths), default=0)


def loaded(page: Page) -> list[dict[str, Any]]:
    """The requests until the launcher was usable, and those of typefaces, which may follow."""
    page.wait_for_function("() => window.usableAt && document.fonts.status === 'loaded'")
    usable_at: float = page.evaluate("usableAt")
    requests: list[dict[str, Any]] = page.evaluate(REQUESTS)
    return [each for each in requests if each["started"] <= usable_at or each["path"].endswith(".woff2")]


def follow_first_load(page: Page) -> None:
    """Prepare a page for `loaded`. The network is slow, so that independent requests overlap on a busy machine too."""
    slow = {"offline": False, "latency": LATENCY_MS, "downloadThroughput": -1, "uploadThroughput": -1}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    page.add_init_script(USABLE)


def test_the_launcher_is_usable_after_few_bytes_and_few_rounds(user: Person):
    page = user.page
    follow_first_load(page)
    page.add_init_script(LAYOUT_SHIFTS)
    user.open("/")
    requests = loaded(page)
    table = json.dumps({each["path"]: each["bytes"] for each in requests}, indent=1)
    assert sum(each["bytes"] for each in requests) <= MAX_BYTES, table
    assert rounds([each for each in requests if each["path"].startswith("/api/")]) <= MAX_ROUNDS, table
    assert page.evaluate("layoutShift()") <= MAX_LAYOUT_SHIFT


def administration(page: Page) -> dict[str, int]:
    """The parts of the administration that the page has loaded, with their bytes."""
    requests: list[dict[str, Any]] = page.evaluate(REQUESTS)
    return {each["path"]: each["bytes"] for each in requests if each["path"].startswith("/assets/admin-")}


def test_a_user_loads_no_code_of_the_administration(user: Person):
    user.open("/")
    expect(user.page.get_by_test_id("launch-Desktop")).to_be_visible()
    user.follow("/account")
    expect(user.page.get_by_role("heading", level=1, name="My account")).to_be_visible()
    assert administration(user.page) == {}


def test_a_page_of_the_administration_loads_only_its_parts(
    new_context: Callable[..., BrowserContext], instance: Instance
):
    found = instance.found["admin"]
    person = logged_in(new_context(), instance.url, found["username"], found["password"])
    person.open("/admin/infrastructure/zones")
    expect(person.page.get_by_role("heading", level=1, name="Zones")).to_be_visible()
    assert 0 < sum(administration(person.page).values()) <= MAX_PAGE_BYTES, administration(person.page)
