"""The console for users whose role has a scope: each page that they can reach loads, and shows only their objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Response, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, logged_in

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    """An instance whose sessions have no containers."""
    return simulated_instance


class Site:
    """Two groups and zones, each with a user; `log_in` returns a new user with a role."""

    def __init__(self, instance: Instance, new_context: Callable[..., BrowserContext]) -> None:
        self._instance, self._new_context = instance, new_context
        self._made: list[str] = []
        self.sales, self.labs = (self.make("groups", name=name) for name in ("Sales", "Labs"))
        self.ann = self.make("users", username="ann", password=PASSWORD, groups=[self.sales])
        self.ben = self.make("users", username="ben", password=PASSWORD, groups=[self.labs])
        self.branch = self.make("zones", zone_name="branch")
        zones = instance.call("GET", "/zones")
        self.zone = next(each["zone_id"] for each in zones if each["zone_name"] == "default")
        (image,) = (each for each in instance.call("GET", "/images") if each["friendly_name"] == "Desktop")
        for zone_id in (self.zone, self.branch):
            config = {"zone_id": zone_id, "image_id": image["image_id"], "num_sessions": 0, "expiration": 24}
            self.make("staging-configs", **config)

    def make(self, noun: str, **body: Any) -> str:
        made = self._instance.call("POST", f"/{noun}", json=body)
        own_id = next(value for name, value in made.items() if name.endswith("_id") and name != "image_id")
        if noun == "staging-configs":
            own_id = made["staging_config_id"]
        self._made.append(f"/{noun}/{own_id}")
        return own_id

    def log_in(self, role: dict[str, Any]) -> Person:
        team = self.make("groups", name="Team", roles=[role])
        self.make("users", username="eve", password=PASSWORD, groups=[team])
        return logged_in(self._new_context(), self._instance.url, "eve", PASSWORD)

    def clear(self) -> None:
        for path in reversed(self._made):
            self._instance.call("DELETE", path)


@pytest.fixture
def site(instance: Instance, new_context: Callable[..., BrowserContext]) -> Iterator[Site]:
    made = Site(instance, new_context)
    yield made
    made.clear()


def refusals_of(page: Page) -> list[str]:
    """A list to which each refused request of the page is added."""
    refused: list[str] = []

    def note(response: Response) -> None:
        if response.status in (403, 404) and "/api/v1/" in response.url:
            refused.append(f"{page.url}: {response.status} {response.request.method} {response.url}")

    page.on("response", note)
    return refused


def pages_of(person: Person) -> list[str]:
    """The paths of the pages of all places of the navigation."""
    person.open("/admin")
    places = paths_in(person.page.get_by_role("navigation", name="Administration"))
    pages: list[str] = []
    for place in places:
        person.open(place)
        person.page.get_by_role("heading", level=1).wait_for()
        tabs = person.page.locator("main > nav")
        pages += paths_in(tabs) if tabs.count() else [place]
    return pages


def paths_in(navigation: Locator) -> list[str]:
    return [str(link.get_attribute("href")) for link in navigation.get_by_role("link").all()]


def walk(person: Person) -> set[str]:
    """Open each page of each place, the first object of each list, and each tab there; return their paths."""
    page = person.page
    paths = pages_of(person)
    for path in paths:
        person.open(path)
        page.wait_for_load_state("networkidle")
        details = page.locator(f"main a[href^='{path}/']")
        if path == "/admin" or not details.count():
            continue
        person.open(str(details.first.get_attribute("href")))
        for tab in page.get_by_role("tab").all():
            tab.click()
            page.wait_for_load_state("networkidle")
    return set(paths)


def test_a_help_desk_of_one_group_can_use_each_page_that_it_sees(site: Site):
    person = site.log_in({"role": "help_desk", "groups": [site.sales]})
    refused = refusals_of(person.page)
    assert walk(person) == {"/admin", "/admin/trends", "/admin/sessions", "/admin/users", "/admin/groups"}
    assert refused == []
    person.open("/admin/users")
    expect(person.row("ann")).to_be_visible()
    expect(person.row("ben")).to_have_count(0)
    person.open(f"/admin/users/{site.ann}?tab=second-factors")
    expect(person.page.get_by_text("0 recovery codes")).to_be_visible()
    person.page.get_by_role("tab", name="Preferences").click()
    person.page.get_by_role("button", name="Reset Password").click()
    dialog = person.page.get_by_role("dialog")
    person.field("New password").fill("another ordinary one")
    dialog.get_by_role("button", name="Reset password", exact=True).click()
    expect(person.page.get_by_text("The password was reset.")).to_be_visible()
    person.open(f"/admin/users/{site.ben}")
    expect(person.page.get_by_text("This item no longer exists")).to_be_visible()


def test_an_operator_of_one_zone_can_use_each_page_that_it_sees(site: Site):
    person = site.log_in({"role": "zone_operator", "zones": [site.zone]})
    page, refused = person.page, refusals_of(person.page)
    infrastructure = {
        f"/admin/infrastructure/{noun}" for noun in ("stage-map", "zones", "managers", "agents", "gateways")
    }
    assert walk(person) == {"/admin", "/admin/trends", "/admin/sessions", "/admin/staging", *infrastructure}
    person.open("/admin/infrastructure/zones")
    expect(person.row("default")).to_be_visible()
    expect(person.row("branch")).to_have_count(0)
    person.open("/admin/staging")
    expect(person.row("Desktop")).to_have_count(1)
    page.get_by_role("button", name="Create New Config").click()
    page.get_by_role("combobox", name="Image").click()
    page.get_by_role("option", name=re.compile("Desktop")).first.click()
    expect(page.get_by_text("The sessions have the permissions of group All Users.")).to_be_visible()
    assert refused == []
