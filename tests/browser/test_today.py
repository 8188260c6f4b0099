"""Today, the search palette, and the keys of lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, logged_in, use_colours, violations


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    """An instance whose sessions have no containers."""
    return simulated_instance


@pytest.fixture
def admin(new_context: Callable[..., BrowserContext], instance: Instance) -> Person:
    """The administrator, in a window of 1440 by 900."""
    found = instance.found["admin"]
    person = logged_in(new_context(), instance.url, found["username"], found["password"])
    person.page.set_viewport_size({"width": 1440, "height": 900})
    return person


@pytest.fixture
def group(instance: Instance) -> Iterator[str]:
    """A group; returns its id."""
    group_id: str = instance.call("POST", "/groups", json={"name": "Geography"})["group_id"]
    yield group_id
    instance.call("DELETE", f"/groups/{group_id}")


def test_today_names_a_disabled_agent_and_enables_it(admin: Person, instance: Instance):
    (agent, *_) = instance.call("GET", "/agents")
    instance.call("PATCH", f"/agents/{agent['agent_id']}", json={"enabled": False})
    admin.open("/admin")
    entry = admin.page.locator("li[data-code=agent-disabled]")
    expect(entry).to_contain_text(f"Agent {agent['hostname']} is disabled and gets no new sessions.")
    for colours in ("light", "dark"):
        use_colours(admin.page, colours)
        assert violations(admin.page) == []
    entry.get_by_role("button", name="Enable").click()
    expect(entry).to_have_count(0)
    assert instance.call("GET", f"/agents/{agent['agent_id']}")["enabled"]


def test_the_facts_of_today_are_visible_without_scrolling(admin: Person, group: str):
    admin.open("/admin")
    facts = admin.page.get_by_role("region", name="Now and in the last 24 hours")
    for title in ("Primary Managers", "Free capacity", "Slowest launch", "Refused users", "Next expiry"):
        expect(facts.get_by_role("group", name=title)).to_be_in_viewport(ratio=1)
    changes = facts.get_by_role("group", name="Changes of the last hour")
    expect(changes).to_contain_text("Geography")
    expect(changes).to_be_in_viewport(ratio=1)


def test_a_first_step_stays_dismissed(admin: Person):
    admin.open("/admin")
    step = admin.page.locator("li[data-step=backup]")
    expect(step.get_by_role("link", name="Show How")).to_have_attribute("href", "/help/docs/howto/back-up.html")
    with admin.page.expect_response(lambda answer: answer.url.endswith("/me/attributes") and answer.ok):
        step.get_by_role("button", name="Dismiss").click()
    expect(step).to_have_count(0)
    admin.open("/admin")
    expect(admin.page.get_by_role("region", name="Now and in the last 24 hours")).to_be_visible()
    expect(step).to_have_count(0)


def test_a_zone_of_today_leads_to_its_page(admin: Person):
    admin.open("/admin")
    admin.page.get_by_role("group", name="Primary Managers").get_by_role("link", name="default", exact=True).click()
    expect(admin.page.get_by_role("heading", name="default", level=1)).to_be_visible()
    expect(admin.page.get_by_role("rowheader", name="Docker Agents")).to_be_visible()
    assert violations(admin.page) == []


def test_the_search_finds_an_object_by_keyboard_only(admin: Person, group: str):
    page = admin.page
    admin.open("/admin/users")
    page.keyboard.press("Control+k")
    field = page.get_by_role("combobox", name="Search")
    expect(field).to_be_focused()
    page.keyboard.type("geogr")
    option = page.get_by_role("option", name="Geography")
    expect(option).to_have_attribute("aria-selected", "true")
    assert field.get_attribute("aria-activedescendant") == option.get_attribute("id")
    assert violations(page) == []
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Geography")).to_be_visible()
    assert page.url.endswith(f"/admin/groups/{group}")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_role("option").first).to_contain_text("Geography")
    page.keyboard.press("Escape")
    expect(field).to_have_count(0)
    expect(page.get_by_role("button", name="Search", exact=True)).to_be_focused()


def test_an_action_of_the_search_opens_its_dialog(admin: Person, instance: Instance):
    page = admin.page
    admin.open("/admin")
    for text, title in (("create user", "Create User"), ("disable manager", "Disable Manager")):
        page.keyboard.press("Control+k")
        expect(page.get_by_role("combobox", name="Search")).to_be_focused()
        page.keyboard.type(text)
        page.get_by_role("option", name=title).first.click()
        expect(page.get_by_role("dialog")).to_contain_text(title)
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)

    # The question stays the same when the Agent is disabled meanwhile
    (agent, *_) = instance.call("GET", "/agents")
    address = f"/agents/{agent['agent_id']}"
    admin.open(f"/admin/infrastructure{address}?do=disable")
    question = page.get_by_role("dialog").get_by_role("heading", name=f"Disable Agent {agent['hostname']}?")
    expect(question).to_be_visible()
    instance.call("PATCH", address, json={"enabled": False})
    switch = page.get_by_role("switch", name=f"Enabled: Agent {agent['hostname']}", include_hidden=True)
    expect(switch).not_to_be_checked()
    expect(question).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Disable", exact=True).click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert not instance.call("GET", address)["enabled"]
    instance.call("PATCH", address, json={"enabled": True})


def test_keys_walk_through_the_rows_of_a_list(admin: Person, group: str):
    page = admin.page
    admin.open("/admin/groups?sort=name")
    rows = page.locator("tr[data-row]")
    expect(rows.filter(has_text="Geography")).to_be_visible()
    names = rows.locator("a[href^='/admin/groups/']:not([href*='?'])")
    page.keyboard.press("j")
    expect(names.nth(0)).to_be_focused()
    page.keyboard.press("j")
    expect(names.nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(names.nth(0)).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("To the next row")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("jk")
    expect(page.get_by_role("textbox", name="Filter Groups")).to_have_value("jk")
    page.get_by_role("textbox", name="Filter Groups").fill("")
    names.nth(0).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Details")).to_be_visible()
