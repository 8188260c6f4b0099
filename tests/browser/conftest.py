"""Fixtures of the browser tests: Debian's chromium, a running instance, logged-in users."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, expect, sync_playwright
from tests.acceptance.instance import Instance, add_logs, running_instance, wait_for
from tests.acceptance.reset import unchanged
from tests.browser.console import Person, logged_in
from tests.browser.own_machine import chromium_options
from tests.browser.session_desk import browser_of_desks, desk, runtime

__all__ = ["browser_of_desks", "desk", "runtime"]
RESULTS = Path(__file__).parents[2] / "test-results"
CONTEXTS = pytest.StashKey[list[BrowserContext]]()

expect.set_options(timeout=15_000)


@pytest.fixture(scope="session")
def chromium() -> Iterator[dict[str, Any]]:
    """The options with which Playwright starts chromium; see own_machine."""
    with chromium_options() as options:
        yield options


@pytest.fixture(scope="module")
def browser(chromium: dict[str, Any]) -> Iterator[Browser]:
    """A chromium for the tests of a file; its event loop prevents one of another file."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**chromium)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shared_instance(openbox_image: str) -> Iterator[Instance]:
    """A running instance whose workspace `Desktop` is the light one."""
    with running_instance(GREENROOM_DESKTOP_IMAGE=openbox_image) as instance:
        yield instance


@pytest.fixture(scope="module")
def instance(shared_instance: Instance) -> Iterator[Instance]:
    """The running instance that test files share; it is reset after each."""
    with unchanged(shared_instance):
        yield shared_instance


@pytest.fixture(scope="session")
def shared_simulated_instance() -> Iterator[Instance]:
    """A running instance whose sessions have no containers."""
    with running_instance(GREENROOM_RUNTIME="simulated") as instance:
        yield instance


@pytest.fixture(scope="module")
def simulated_instance(shared_simulated_instance: Instance) -> Iterator[Instance]:
    """The simulated instance that test files share, for files whose own `instance` it is; it is reset after each."""
    with unchanged(shared_simulated_instance):
        yield shared_simulated_instance


@pytest.fixture
def xfce(instance: Instance, desktop_image: str) -> Iterator[str]:
    """The name of a workspace with the full desktop."""
    body = {"name": desktop_image, "friendly_name": "Xfce", "cores": 1, "memory": 1_000_000_000}
    image_id = instance.call("POST", "/images", json=body)["image_id"]
    yield body["friendly_name"]
    empty(instance)
    instance.call("DELETE", f"/images/{image_id}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Print the logs of the instances of a failed test, and store a screenshot of each window in test-results/."""
    report = yield
    add_logs(report, item)
    if report.when == "call" and report.failed:
        RESULTS.mkdir(exist_ok=True)
        for number, page in enumerate(page for context in item.stash.get(CONTEXTS, []) for page in context.pages):
            try:
                page.screenshot(path=RESULTS / f"{item.name}-{number}.png")
            except Error as error:  # the browser may have crashed; an error here would end the run of all tests
                report.sections.append((f"screenshot of window {number}", f"It was not taken: {error.message}"))
    return report


@pytest.fixture
def new_context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., BrowserContext]]:
    """Create separate browser profiles, for this test only."""
    contexts = request.node.stash[CONTEXTS] = list[BrowserContext]()

    def make(**options: Any) -> BrowserContext:
        context = browser.new_context(
            ignore_https_errors=True, viewport={"width": 1360, "height": 800}, reduced_motion="reduce", **options
        )
        context.set_default_timeout(20_000)
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def admin(new_context: Callable[..., BrowserContext], instance: Instance) -> Person:
    """The administrator, logged in."""
    found = instance.found["admin"]
    return logged_in(new_context(), instance.url, found["username"], found["password"])


@pytest.fixture
def user(new_context: Callable[..., BrowserContext], instance: Instance) -> Iterator[Person]:
    """Ada, a new user who is only in All Users, logged in with a separate browser."""
    with instance.http() as http:
        body = {"username": "ada@example.org", "password": "correct horse battery"}
        made = http.post("/api/v1/users", json=body)
        assert made.status_code == 201, made.text
        yield logged_in(new_context(), instance.url, body["username"], body["password"])
        empty(instance)
        assert http.delete(f"/api/v1/users/{made.json()['user_id']}").status_code == 204


@pytest.fixture
def clean(instance: Instance) -> Iterator[None]:
    """No sessions and no staging configs, before and after."""
    empty(instance)
    yield
    empty(instance)


def empty(instance: Instance) -> None:
    """Delete all staging configs and sessions, and wait until they are gone."""
    with instance.http() as http:
        for config in http.get("/api/v1/staging-configs").raise_for_status().json():
            http.delete(f"/api/v1/staging-configs/{config['staging_config_id']}")

        def gone() -> bool:
            sessions = http.get("/api/v1/sessions").raise_for_status().json()
            for session in sessions:
                if session["status"] != "deleting":
                    http.delete(f"/api/v1/sessions/{session['session_id']}")
            return not sessions

        wait_for(gone, "all sessions are gone", within_s=60)
