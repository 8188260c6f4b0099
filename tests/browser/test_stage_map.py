"""The stage map: the crown that moves to the next Primary, the keyboard, and the same facts as a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect
from tests.acceptance.instance import Instance, running_instance, wait_for
from tests.browser.console import Person, logged_in, use_colours, violations

PAGE = "/admin/infrastructure/stage-map"


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    """Two Managers, a simulated Agent, a pool of two staged sessions, and a session of the administrator."""
    with running_instance("--managers", "2", GREENROOM_RUNTIME="simulated") as instance:
        user_id = next(each["user_id"] for each in instance.call("GET", "/users") if each["username"].startswith("adm"))
        session_id = instance.launch(user_id)["session_id"]
        config_id = instance.stage(2)
        wait_for(lambda: instance.staged(config_id) == 2, "the pool is full", within_s=60)
        wait_for(lambda: instance.has_status(session_id, "running"), "the session runs", within_s=60)
        yield instance


@pytest.fixture
def page(new_context: Callable[..., BrowserContext], instance: Instance) -> Page:
    """The stage map in a window of the administrator, with live changes."""
    found = instance.found["admin"]
    person: Person = logged_in(new_context(), instance.url, found["username"], found["password"])
    person.open(PAGE)
    expect(person.page.get_by_test_id("live")).to_have_text("Live")
    return person.page


def map_of(page: Page) -> Locator:
    return page.get_by_role("group", name="Stage map")


def has_crown(page: Page, manager: Locator) -> bool:
    """True if the crown of the zone lies on this Manager."""
    crown, seat = page.locator("[data-zone=default]").bounding_box(), manager.bounding_box()
    assert crown is not None
    assert seat is not None
    return seat["x"] < crown["x"] < seat["x"] + seat["width"] and seat["y"] < crown["y"] < seat["y"] + seat["height"]


def test_the_crown_moves_to_the_other_manager_when_the_primary_is_disabled(page: Page):
    managers = map_of(page).get_by_role("list", name="Managers of zone default")
    primary = managers.get_by_role("link", name=re.compile("Primary"))
    expect(primary).to_have_count(1)
    wait_for(lambda: has_crown(page, primary), "the crown lies on the Primary")
    name = primary.inner_text().removeprefix("Manager ").partition(":")[0]
    page.evaluate("window.before = 1")
    managers.get_by_role("switch", name=f"Enabled: Manager {name}").press("Space")
    page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    expect(managers.get_by_role("link", name=f"Manager {name}: unknown (disabled).")).to_be_visible()
    expect(primary).to_have_count(1)
    wait_for(lambda: has_crown(page, primary), "the crown lies on the Primary")
    expect(page.get_by_role("status").filter(has_text="is now Primary of zone default.")).to_be_attached()
    managers.get_by_role("switch", name=f"Enabled: Manager {name}").press("Space")
    expect(managers.get_by_role("link", name=f"Manager {name}: running.")).to_be_visible()
    assert page.evaluate("window.before") == 1


def test_the_keyboard_reaches_objects_and_sessions(page: Page):
    stage = map_of(page)
    manager = stage.get_by_role("link", name=re.compile("^Manager")).first
    agent = stage.get_by_role("link", name=re.compile("^Agent .+ 1 session of a user, 2 staged"))
    pool = stage.get_by_role("link", name="Pool Desktop: 2 of 2 sessions ready.")
    expect(agent).to_be_visible()
    assert stage.locator("[data-key][tabindex='0']").count() == 1
    manager.focus()
    page.keyboard.press("ArrowDown")
    expect(agent).to_be_focused()
    page.keyboard.press("End")
    expect(pool).to_be_focused()
    page.keyboard.press("Space")
    staged = stage.get_by_role("link", name=re.compile("^Staged session: Desktop, running, on"))
    expect(staged).to_be_focused()
    first = staged.get_attribute("href")
    page.keyboard.press("ArrowRight")
    expect(staged).not_to_have_attribute("href", str(first))
    expect(staged).to_be_focused()
    page.keyboard.press("Escape")
    expect(pool).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Home")
    expect(manager).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/admin/sessions/[0-9a-f-]{36}$"))


def test_a_dot_below_the_pointer_is_the_link_of_its_session(page: Page):
    stage = map_of(page)
    box = stage.get_by_role("link", name=re.compile("^Agent ")).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 17, box["y"] + box["height"] - 18)
    page.mouse.move(box["x"] + 18, box["y"] + box["height"] - 18)
    expect(page.get_by_role("tooltip", include_hidden=True)).to_contain_text(
        "Session of admin@greenroom.local: Desktop, running"
    )
    page.mouse.click(box["x"] + 18, box["y"] + box["height"] - 18)
    expect(page).to_have_url(re.compile("/admin/sessions/[0-9a-f-]{36}$"))


def test_the_table_has_the_same_facts(page: Page):
    expect(map_of(page).get_by_role("link", name=re.compile("^Pool"))).to_be_visible()
    for colours in ("light", "dark"):
        use_colours(page, colours)
        assert violations(page) == []
    page.get_by_role("button", name="Show as table").click()
    expect(page).to_have_url(re.compile(r"view=table"))
    rows = page.get_by_role("table", name="Stage Map").locator("tr[data-row]")
    expect(rows).to_have_count(2 + 1 + 1 + 1 + 2)
    expect(rows.filter(has_text="Primary")).to_have_count(1)
    expect(rows.filter(has_text="2 of 2 ready")).to_have_count(1)
    expect(rows.get_by_role("cell", name="Staged session", exact=True)).to_have_count(2)
    assert violations(page) == []
    page.get_by_role("button", name="Show as map").click()
    expect(map_of(page)).to_be_visible()


def test_today_has_a_small_map(page: Page, instance: Instance):
    page.goto(f"{instance.url}/admin")
    stage = page.get_by_role("region", name="Stage", exact=True)
    expect(stage.get_by_role("link", name=re.compile("^Agent "))).to_be_visible()
    expect(stage.get_by_role("switch")).to_have_count(0)
    stage.get_by_role("link", name="Show the stage map").click()
    expect(page).to_have_url(re.compile(f"{PAGE}$"))
