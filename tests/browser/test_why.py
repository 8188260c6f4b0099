"""The panel "Why?": for administrators with the setting that decides, and for users in plain words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect
from tests.acceptance.instance import Instance
from tests.browser.conftest import empty
from tests.browser.console import Person, use_colours, violations


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    """An instance whose sessions have no containers."""
    return simulated_instance


@pytest.fixture
def agent(instance: Instance) -> Iterator[dict[str, str]]:
    """An Agent that is disabled."""
    found = instance.call("GET", "/agents")[0]
    path = f"/agents/{found['agent_id']}"
    instance.call("PATCH", path, json={"enabled": False})
    yield found
    instance.call("PATCH", path, json={"enabled": True})


def test_the_setting_that_decides_is_saved_after_a_preview(admin: Person, instance: Instance, agent: dict[str, str]):
    page = admin.page
    admin.open(f"/admin/infrastructure/agents/{agent['agent_id']}")
    why = page.get_by_role("button", name=f"Why? Agent {agent['hostname']}")
    why.press("Enter")
    panel = page.get_by_role("dialog", name=f"Can {agent['hostname']} run a session?")
    expect(panel).to_contain_text(f"{agent['hostname']} is disabled.")
    expect(panel.get_by_role("listitem").filter(has_text="and decided")).to_have_count(1)
    expect(panel.get_by_role("group", name="Preview")).to_contain_text("A session can be placed on")
    for colours in ("light", "dark"):
        use_colours(page, colours)
        assert violations(page, practices=True) == []
    panel.get_by_role("button", name="Save Enabled: yes").click()
    expect(panel).to_contain_text("gets the next session of zone")
    assert instance.call("GET", f"/agents/{agent['agent_id']}")["enabled"]
    page.get_by_role("button", name="Undo").click()
    expect(panel).to_contain_text(f"{agent['hostname']} is disabled.")
    assert not instance.call("GET", f"/agents/{agent['agent_id']}")["enabled"]
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    expect(why).to_be_focused()


def test_the_search_explains_the_last_launch_of_exactly_this_user(admin: Person, user: Person, instance: Instance):
    page = admin.page
    other = instance.call(
        "POST", "/users", json={"username": f"m.{user.username}", "password": "correct horse battery"}
    )
    ids = {each["username"]: each["user_id"] for each in instance.call("GET", "/users")}
    image = instance.desktop()
    for name in (user.username, other["username"]):
        instance.call("POST", "/sessions", json={"image_id": image, "user_id": ids[name]})
    admin.open("/admin")
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Search").fill(f"why {user.username} cold")
    page.get_by_role("option", name=f"Why was the last launch of {user.username} cold?").click()
    expect(page.get_by_role("dialog", name=f"Why did {user.username} wait for Desktop?")).to_be_visible()
    expect(page.locator("tr[data-row]").first).to_contain_text(other["username"])
    empty(instance)
    instance.call("DELETE", f"/users/{other['user_id']}")


@pytest.mark.usefixtures("agent")
def test_a_user_reads_why_a_workspace_is_not_possible_now(user: Person):
    page = user.page
    page.set_viewport_size({"width": 360, "height": 780})
    user.open("/")
    page.get_by_role("button", name="Why?").first.click()
    panel = page.get_by_role("dialog")
    expect(panel).to_contain_text("The machines that could run it are in maintenance.")
    expect(panel.get_by_role("listitem")).to_have_count(3)
    assert violations(page, practices=True) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_why_in_a_notice_opens_the_panel_and_closes_the_notice(admin: Person):
    page = admin.page
    refusal = {"detail": "You may not change groups.", "code": "forbidden", "required": ["groups_modify"]}
    admin.open("/")
    page.route("**/api/v1/me/attributes", lambda route: route.fulfill(status=403, json=refusal))
    page.get_by_role("button", name="Favorite: Desktop").click()
    notice = page.get_by_role("alert").filter(has_text="The choice was not saved")
    expect(notice).to_contain_text("You may not change groups.")
    notice.get_by_role("button", name="Why? this refusal").click()
    expect(page.get_by_role("dialog").get_by_role("listitem").first).to_be_visible()
    expect(notice).to_have_count(0)
