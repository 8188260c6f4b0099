"""Every page of the administration: it opens and displays its objects, nothing moves, the console of the browser stays
empty, and axe finds nothing, in light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.acceptance.instance import Instance, wait_for
from tests.browser.conftest import empty
from tests.browser.console import LAYOUT_SHIFTS, WITHOUT_POLLS, Person, fits_its_width, use_colours, violations

PLACES = (Path(__file__).parents[2] / "web/src/places.tsx").read_text()
MENUS = dict(re.findall(r"^  (\w+): \[(.+?)(?<!')\],$", PLACES, re.MULTILINE | re.DOTALL))
LISTED = {menu: dict(re.findall(r"path: '(.+)',\s+title: t`([^`]+)`", places)) for menu, places in MENUS.items()}
"""The pages that each menu of the console leads to, by address, with their headings."""

OTHERS = {
    "Account": {"/": "Workspaces"},
    "Sessions": {
        "/admin/sessions/{session}": "admin@greenroom.local\u2019s Desktop",
        "/admin/sessions/{session}?tab=placement": "admin@greenroom.local\u2019s Desktop",
        "/admin/sessions/{session}?tab=logs": "admin@greenroom.local\u2019s Desktop",
    },
    "Staging": {
        "/admin/staging/{config}": "Desktop in default",
        "/admin/staging/{config}?tab=trends": "Desktop in default",
        "/admin/staging/{config}?tab=history": "Desktop in default",
        "/admin/staging/{config}?tab=explain&user=admin@greenroom.local": "Desktop in default",
        "/admin/staging/{config}?tab=logs": "Desktop in default",
    },
    "Workspaces": {
        "/admin/workspaces/new": "Add Workspace",
        "/admin/workspaces/{image}": "Desktop",
        "/admin/workspaces/{image}?tab=agents": "Desktop",
    },
    "People": {
        "/admin/users/{user}": "admin@greenroom.local",
        "/admin/users/{user}?tab=preferences": "admin@greenroom.local",
        "/admin/users/{user}?tab=settings": "admin@greenroom.local",
        "/admin/users/{user}?tab=logins": "admin@greenroom.local",
        "/admin/groups/{group}": "All Users",
        "/admin/groups/{group}?tab=members": "All Users",
        "/admin/groups/{group}?tab=workspaces": "All Users",
        "/admin/groups/{group}?tab=permissions": "All Users",
        "/admin/groups/{group}?tab=settings": "All Users",
    },
    "Infrastructure": {
        "/admin/infrastructure/zones/{zone}": "default",
        "/admin/infrastructure/managers/{manager}": "manager-default-1",
        "/admin/infrastructure/managers/{manager}?tab=requests": "manager-default-1",
        "/admin/infrastructure/agents/{agent}": "{hostname}",
        "/admin/infrastructure/agents/{agent}?tab=images": "{hostname}",
        "/admin/webhooks/{webhook}": "Operations chat",
    },
}
"""Pages about a single object, with their headings, by the menu that leads to their list."""

PARTS = {menu: places | OTHERS.get(menu, {}) for menu, places in LISTED.items()}
"""All pages; those about a single object with the list that leads to them."""
assert OTHERS.keys() <= LISTED.keys()

PAGES = {address: heading for part in PARTS.values() for address, heading in part.items()}


@pytest.fixture(scope="module")
def ids(instance: Instance) -> Iterator[dict[str, str]]:
    """Ids for the addresses of `PAGES`."""
    with objects_for_pages(instance) as ids:
        yield ids


@contextmanager
def objects_for_pages(instance: Instance) -> Iterator[dict[str, str]]:
    """Ids for the addresses of `PAGES`: of the objects of the instance, a staging config with Desired 0, a running
    session of the administrator, and a webhook."""
    nouns = ("images", "users", "groups", "zones", "managers", "agents")
    found = {noun: instance.call("GET", f"/{noun}") for noun in nouns}
    user = next(each["user_id"] for each in found["users"] if each["username"] == "admin@greenroom.local")
    instance.call("PATCH", "/settings", json={"webhook_hosts": "127.0.0.1:9"})
    webhook = {"name": "Operations chat", "url": "https://127.0.0.1:9/hooks", "events": ["pool.short"]}
    session = instance.launch(user)["session_id"]
    config = instance.stage(0)
    wait_for(lambda: instance.has_status(session, "running"), "the session runs", within_s=60)
    ids = {
        "config": config,
        "session": session,
        "webhook": instance.call("POST", "/webhooks", json=webhook)["webhook_id"],
        "zone": found["zones"][0]["zone_id"],
        "manager": found["managers"][0]["manager_id"],
        "agent": found["agents"][0]["agent_id"],
        "hostname": found["agents"][0]["hostname"],
        "image": next(each["image_id"] for each in found["images"] if each["friendly_name"] == "Desktop"),
        "user": user,
        "group": next(each["group_id"] for each in found["groups"] if each["name"] == "All Users"),
    }
    yield ids
    empty(instance)
    instance.call("DELETE", f"/webhooks/{ids['webhook']}")
    instance.call("PATCH", "/settings", json={"webhook_hosts": None})


MAX_LAYOUT_SHIFT = 0.01
WIDTHS = (360, 768, 1440, 3840)
"""Widths of windows, in pixels."""

MANAGER_COLUMNS = [
    "Instance ID",
    "Enabled",
    "First Reported Time",
    "Last Reported Time",
    "Zone",
    "Status",
    "Primary Manager",
]


def test_every_page_of_the_menus_is_opened_here():
    assert sum(map(len, LISTED.values())) == PLACES.count("title: t`") > 20


@pytest.mark.parametrize("part", PARTS)
def test_every_page_opens_and_is_accessible_in_light_and_dark(admin: Person, ids: dict[str, str], part: str):
    page = admin.page
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("console", lambda said: broken.append(said.text) if said.type in ("warning", "error") else None)
    page.add_init_script(LAYOUT_SHIFTS)
    findings: dict[str, list[dict[str, Any]]] = {}
    moved: dict[str, float] = {}
    admin.open("/")
    for address, heading in PARTS[part].items():
        page.evaluate("layoutShift()")
        admin.follow(address.format(**ids))
        if tab := re.search(r"tab=(\w+)", address):
            expect(page.get_by_role("tab", selected=True).and_(page.locator(f"[id$=-tab-{tab[1]}]"))).to_be_visible()
        expect(page.get_by_role("heading", level=1, name=heading.format(**ids))).to_be_visible()
        expect(page.locator(".mantine-Skeleton-root")).to_have_count(0)
        findings[address] = violations(page, practices=True)
        if (shift := page.evaluate("layoutShift()")) > MAX_LAYOUT_SHIFT:
            moved[address] = shift
        use_colours(page, "dark")
        findings[address] += violations(page, practices=True)
        use_colours(page, "light")
    assert findings == {address: [] for address in PARTS[part]}
    assert moved == {}
    assert broken == []


def test_managers_have_their_columns_and_the_last_one_stays_enabled(admin: Person, instance: Instance):
    (manager,) = instance.found["managers"]
    admin.open("/admin/infrastructure/managers")
    row = admin.row(manager["instance_id"])
    expect(row).to_contain_text("running")
    expect(row).to_contain_text("Primary")
    assert admin.page.get_by_role("columnheader").all_inner_texts() == MANAGER_COLUMNS
    row.get_by_role("switch").focus()
    admin.page.keyboard.press("Space")
    refusal = admin.page.get_by_role("alert").filter(has_text="was not changed")
    expect(refusal).to_contain_text("last enabled Manager of zone default")
    expect(row.get_by_role("switch")).to_be_checked()
    assert violations(admin.page) == []


def test_last_reported_ticks(admin: Person, instance: Instance):
    admin.open("/admin/infrastructure/managers")
    ago = admin.row(instance.found["managers"][0]["instance_id"]).locator("time").last
    expect(ago).to_have_text(re.compile(r"^\d+s ago$"))
    first = ago.inner_text()
    expect(ago).not_to_have_text(first)


def test_filter_and_order_are_kept_in_the_address(admin: Person):
    admin.open("/admin/groups")
    admin.page.get_by_role("button", name="Name").click()
    admin.page.keyboard.press("/")
    admin.page.keyboard.type("name:admin")
    expect(admin.row("All Users")).to_have_count(0)
    expect(admin.page).to_have_url(re.compile(r"q=name%3Aadmin.*"))
    admin.page.reload()
    expect(admin.row("Administrators")).to_have_count(1)
    expect(admin.row("All Users")).to_have_count(0)
    expect(admin.page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "ascending")


def test_a_change_of_another_user_is_seen_without_reload(admin: Person, instance: Instance):
    admin.page.add_init_script(WITHOUT_POLLS)
    admin.open("/admin/infrastructure/zones")
    expect(admin.page.get_by_test_id("live")).to_have_text("Live")
    zone = instance.found["zones"][0]
    with instance.http() as http:
        for strategy, title in (("Most Kasms", "Most sessions"), ("Least Load", "Least Load")):
            changed = http.patch(f"/api/v1/zones/{zone['zone_id']}", json={"load_balancing_strategy": strategy})
            assert changed.status_code == 200, changed.text
            expect(admin.row(zone["zone_name"])).to_contain_text(title)


def test_a_zone_is_edited(admin: Person, instance: Instance):
    name = instance.found["zones"][0]["zone_name"]
    admin.open("/admin/infrastructure/zones")
    for strategy in ("Most Load", "Least Load"):
        admin.page.get_by_role("button", name=f"Edit {name}").click()
        dialogue = admin.page.get_by_role("dialog")
        expect(dialogue.get_by_label("Allow Origin Domain")).to_have_value(re.compile("127.0.0.1"))
        assert violations(admin.page) == []
        dialogue.get_by_label("Load Balance Strategy").click()
        admin.page.get_by_role("option", name=strategy).click()
        dialogue.get_by_role("button", name="Save", exact=True).click()
        expect(dialogue).to_have_count(0)
        expect(admin.row(name)).to_contain_text(strategy)


@pytest.mark.timeout(240)
def test_from_a_telephone_to_4k_no_page_is_wider_than_the_screen(admin: Person, ids: dict[str, str]):
    page = admin.page
    wide: list[tuple[str, int]] = []
    admin.open("/")
    for address, heading in PAGES.items():
        page.set_viewport_size({"width": WIDTHS[0], "height": 780})
        admin.follow(address.format(**ids))
        expect(page.get_by_role("heading", level=1, name=heading.format(**ids))).to_be_visible()
        expect(page.locator(".mantine-Skeleton-root")).to_have_count(0)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 780})
            if not fits_its_width(page):
                wide.append((address, width))
    assert wide == []


def test_on_a_telephone_the_navigation_is_folded(admin: Person):
    admin.page.set_viewport_size({"width": 390, "height": 780})
    admin.open("/admin/infrastructure/managers")
    expect(admin.page.get_by_role("heading", name="Managers")).to_be_in_viewport()
    navigation = admin.page.get_by_role("navigation", name="Administration")
    sessions = navigation.get_by_role("link", name="Sessions", exact=True)
    expect(sessions).not_to_be_in_viewport()
    admin.page.get_by_role("button", name="Menu").click()
    sessions.click()
    expect(admin.page.get_by_role("heading", name="Sessions")).to_be_in_viewport()


def test_without_the_api_the_page_keeps_what_it_showed(admin: Person, instance: Instance):
    admin.open("/admin/infrastructure/managers")
    row = admin.row(instance.found["managers"][0]["instance_id"])
    expect(row).to_be_visible()
    expect(admin.page.get_by_test_id("live")).to_have_text("Live")
    admin.page.context.set_offline(True)
    expect(admin.page.get_by_test_id("live")).to_have_text("Reconnecting")
    expect(admin.page.get_by_text("does not answer at the moment")).to_be_visible()
    expect(row).to_be_visible()
    admin.page.context.set_offline(False)
    expect(admin.page.get_by_test_id("live")).to_have_text("Live")
    expect(admin.page.get_by_text("does not answer at the moment")).to_have_count(0)


def test_a_further_address_leads_to_its_page(admin: Person):
    admin.open("/admin/launches")
    expect(admin.page).to_have_url(re.compile("/admin/diagnostics/launches$"))
    expect(admin.page.get_by_role("heading", level=1, name="Launches")).to_be_visible()
