"""Home folders in the console: the choice in a workspace's form, the list with size and last use, the deletion."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.acceptance.instance import Instance, wait_for
from tests.browser.conftest import RESULTS
from tests.browser.console import Person, use_colours, violations


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    """An instance whose sessions have no containers, but homes."""
    return simulated_instance


@pytest.mark.timeout(300)  # the size is measured within a minute, reported within 30 s, and may take 120 s
def test_homes_are_one_choice_and_the_list_shows_and_deletes_them(admin: Person, instance: Instance):
    (image,) = [one for one in instance.call("GET", "/images") if one["friendly_name"] == "Desktop"]
    admin.open(f"/admin/workspaces/{image['image_id']}")
    choice = admin.page.get_by_role("combobox", name="Home folders")
    expect(choice).to_have_value("Start empty each time")
    expect(admin.page.get_by_text("The end of a session deletes all its files")).to_be_visible()
    choice.click()
    admin.page.get_by_role("option", name="In a specified folder of the hosts").click()
    expect(admin.field("Persistent Profile Path")).to_be_visible()
    choice.click()
    admin.page.get_by_role("option", name="Kept for each user").click()
    expect(admin.field("Persistent Profile Path")).to_have_count(0)
    expect(admin.page.get_by_text("The end of a session deletes the files outside it")).to_be_visible()
    assert violations(admin.page) == []
    admin.page.screenshot(path=RESULTS / "homes-form.png")
    admin.page.get_by_role("button", name="Save", exact=True).click()
    expect(admin.page.get_by_text("The workspace was saved")).to_be_visible()
    assert instance.call("GET", f"/images/{image['image_id']}")["persistent_profile_path"] == "{homes}"

    user = instance.new_user()
    body = {"image_id": image["image_id"], "user_id": user}
    session_id = instance.call("POST", "/sessions", json=body)["session_id"]
    admin.open("/admin/homes")
    expect(admin.row("in use")).to_be_visible()
    instance.call("DELETE", f"/sessions/{session_id}")
    wait_for(lambda: not instance.call("GET", "/sessions"), "the session is gone")
    wait_for(lambda: instance.call("GET", "/homes")[0]["size_bytes"] is not None, "the home is measured", 120)
    admin.open("/admin/homes")
    expect(admin.row("kept")).to_be_visible()
    assert violations(admin.page) == []
    admin.page.screenshot(path=RESULTS / "homes.png")
    use_colours(admin.page, "dark")
    admin.page.screenshot(path=RESULTS / "homes-dark.png")
    assert violations(admin.page) == []
    admin.page.get_by_role("button", name="Delete the home folder").click()
    dialog = admin.page.get_by_role("dialog")
    expect(dialog).to_contain_text("are deleted permanently")
    dialog.get_by_role("button", name="Delete all files").click()
    expect(admin.page.get_by_text("No home folder is kept")).to_be_visible(timeout=60_000)
    assert instance.call("GET", "/homes") == []
    without = {"persistent_profile_path": image["persistent_profile_path"]}
    instance.call("PATCH", f"/images/{image['image_id']}", json=without)
