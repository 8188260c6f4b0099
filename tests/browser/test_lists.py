"""The lists of the console: the panel beside a list, columns, saved views, actions for several rows, exports, imports,
cards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, is_change, violations

NAMES = ("anna@example.org", "bela@example.org", "carl@example.org")


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Iterator[Instance]:
    """An instance with some users."""
    body = {"password": "correct horse battery"}
    for name in NAMES:
        simulated_instance.call("POST", "/users", json={**body, "username": name})
    yield simulated_instance
    for each in simulated_instance.call("GET", "/users"):
        if each["username"] in NAMES:
            simulated_instance.call("DELETE", f"/users/{each['user_id']}")
    simulated_instance.sql("UPDATE user_attributes SET lists = '{}', times = NULL")


def panel_of(page: Page) -> Locator:
    return page.get_by_role("region", name="Details beside the list")


def options(page: Page, *words: str) -> None:
    """Press these items of the menu of a list, and close the menu."""
    page.get_by_role("button", name="Options of the list").click()
    for word in words:
        page.get_by_role("menu").get_by_text(word, exact=True).click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).to_have_count(0)


def test_an_item_opens_beside_its_list_and_keys_change_it(admin: Person):
    page = admin.page
    admin.open("/admin/users?q=example.org&sort=username")
    panel = panel_of(page)
    admin.row(NAMES[0]).get_by_role("link", name=NAMES[0]).click()
    expect(panel.get_by_role("heading", name=NAMES[0])).to_be_visible()
    expect(page.get_by_role("heading", level=1, name="Users")).to_be_visible()
    expect(page).to_have_url(re.compile(r"q=example.org.*&panel=%2Fadmin%2Fusers%2F"))
    assert violations(page, practices=True) == []
    page.keyboard.press("j")
    expect(panel.get_by_role("heading", name=NAMES[1])).to_be_visible()
    panel.get_by_role("tab", name="Log-ins").click()
    expect(page).to_have_url(re.compile(r"p\.tab="))
    panel.get_by_role("button", name="Previous row").click()
    expect(panel.get_by_role("heading", name=NAMES[0])).to_be_visible()
    page.reload()
    expect(panel.get_by_role("heading", name=NAMES[0])).to_be_visible()
    panel.get_by_role("button", name="Close the panel").focus()
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    expect(page).not_to_have_url(re.compile("panel"))
    expect(admin.row(NAMES[0]).get_by_role("link", name=NAMES[0])).to_be_focused()
    page.keyboard.press("Enter")
    expect(panel).to_be_visible()
    page.keyboard.press("Enter")
    expect(panel).to_be_focused()
    panel.get_by_role("link", name="Open the full page").click()
    expect(page.get_by_role("heading", level=1, name=NAMES[0])).to_be_visible()
    expect(page).to_have_url(re.compile(r"/admin/users/[0-9a-f-]{36}$"))
    page.go_back()
    expect(panel.get_by_role("heading", name=NAMES[0])).to_be_visible()


def test_a_column_that_is_chosen_beside_a_panel_hides_no_other_column(admin: Person):
    page = admin.page
    admin.open("/admin/users?q=example.org")
    admin.row(NAMES[0]).get_by_role("link", name=NAMES[0]).click()
    expect(panel_of(page)).to_be_visible()
    options(page, "ID")
    expect(panel_of(page), "Escape closed the menu only").to_be_visible()
    panel_of(page).get_by_role("button", name="Close the panel").click()
    for title in ("Created", "ID"):
        expect(page.get_by_role("columnheader", name=title, exact=True)).to_be_visible()
    options(page, "Show the default columns")
    expect(page.get_by_role("columnheader", name="ID", exact=True)).to_have_count(0)


def test_a_saved_view_keeps_filter_order_and_columns(admin: Person):
    page = admin.page
    admin.open("/admin/users?q=example.org&sort=-username")
    expect(page.get_by_role("columnheader", name="Created")).to_be_visible()
    options(page, "Created", "ID")
    expect(page.get_by_role("columnheader", name="Created")).to_have_count(0)
    expect(page.get_by_role("columnheader", name="ID")).to_be_visible()
    page.get_by_role("button", name="Saved views").click()
    page.get_by_role("menuitem", name="Save this view").click()
    page.get_by_role("dialog").get_by_label("Name").fill("People of the example")
    assert violations(page, practices=True) == []
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    with page.expect_response(lambda answer: is_change(answer) and '"columns":null' in str(answer.request.post_data)):
        options(page, "Show the default columns")
    expect(page.get_by_role("columnheader", name="Created")).to_be_visible()

    admin.open("/admin/users")
    page.get_by_role("button", name="Saved views").click()
    page.get_by_role("menuitem", name="People of the example").click()
    expect(page.locator("tr[data-row]")).to_have_count(3)
    expect(page.locator("tr[data-row]").first).to_contain_text(NAMES[2])
    expect(page.get_by_label("Filter Users")).to_have_value("example.org")
    expect(page.get_by_role("columnheader", name="ID")).to_be_visible()
    page.get_by_role("button", name="Saved views").click()
    page.get_by_role("menuitem", name="Delete views").click()
    page.get_by_role("button", name="Delete People of the example").click()
    expect(page.get_by_role("dialog")).to_contain_text("There are no saved views")


def test_an_action_for_several_rows_names_effects_refusals_and_results(admin: Person, instance: Instance):
    page = admin.page
    users = {each["username"]: each["user_id"] for each in instance.call("GET", "/users")}
    instance.call("PATCH", f"/users/{users[NAMES[2]]}", json={"disabled": True})
    admin.open("/admin/users?sort=username")
    for name in (*NAMES, admin.username):
        admin.row(name).get_by_role("checkbox").check()
    page.get_by_role("button", name="Disable 2 of 4").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Disable 2 of 4 users?")
    items = dialog.get_by_role("listitem")
    expect(items.filter(has_text=NAMES[0])).to_contain_text("cannot log in any more")
    expect(items.filter(has_text=NAMES[2])).to_contain_text("disabled already")
    expect(items.filter(has_text=admin.username)).to_contain_text("your own account")
    assert violations(page, practices=True) == []
    instance.call("DELETE", f"/users/{users[NAMES[1]]}")
    dialog.get_by_role("button", name="Disable 2 users").click()
    expect(dialog.get_by_role("status")).to_have_text("1 of 2 done, 1 refused")
    expect(items.filter(has_text=NAMES[0]).get_by_role("img", name="Done")).to_be_visible()
    expect(items.filter(has_text=NAMES[1]).get_by_role("img", name="Refused")).to_be_visible()
    assert instance.call("GET", f"/users/{users[NAMES[0]]}")["disabled"]

    # An item that is not undone stays in the result, and can be undone again
    address = f"**/users/{users[NAMES[0]]}"
    page.route(address, lambda route: route.fulfill(status=409, json={"detail": "Another change is under way."}))
    dialog.get_by_role("button", name="Undo").click()
    expect(dialog.get_by_role("status")).to_have_text("0 undone, 1 not undone")
    expect(items.filter(has_text=NAMES[0])).to_contain_text("Another change is under way.")
    page.unroute(address)
    dialog.get_by_role("button", name="Undo").click()
    expect(dialog.get_by_role("status")).to_have_text("1 undone")
    expect(dialog.get_by_role("button", name="Undo")).to_have_count(0)
    dialog.get_by_role("button", name="Close").last.click()
    expect(admin.row(NAMES[0])).not_to_contain_text("disabled")
    expect(page.get_by_text("selected")).to_have_count(0)
    instance.call("POST", "/users", json={"username": NAMES[1], "password": "correct horse battery"})


def test_the_filtered_rows_are_exported(admin: Person):
    page = admin.page
    admin.open("/admin/groups?q=name:all")
    expect(page.locator("tr[data-row]")).to_have_count(1)

    def exported(form: str) -> str:
        with page.expect_download() as download:
            page.get_by_role("button", name="Options of the list").click()
            page.get_by_role("menuitem", name=f"Export as {form}").click()
        assert download.value.suggested_filename == f"groups.{form.lower()}"
        return Path(download.value.path()).read_text("utf-8-sig")

    lines = exported("CSV").splitlines()
    assert (lines[0].split(",")[0], lines[1].split(",")[0], len(lines)) == ("Name", "All Users", 2)
    assert [row["name"] for row in json.loads(exported("JSON"))] == ["All Users"]


def test_the_filter_is_completed_with_columns_and_values(admin: Person):
    page = admin.page
    admin.open("/admin/users")
    expect(admin.row(NAMES[0])).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("stat")
    expect(page.get_by_role("option", name="status: Status")).to_be_visible()
    assert violations(page, practices=True) == []
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.get_by_role("option", name=re.compile("^status:enabled|^status:active")).first.click()
    expect(page.get_by_label("Filter Users")).to_have_value(re.compile(r"^status:\w+ $"))
    expect(page.get_by_role("option")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.get_by_label("Filter Users")).to_have_value("")


def test_times_are_relative_or_absolute_as_the_user_chooses(admin: Person):
    page = admin.page
    admin.open("/admin/users")
    time = admin.row(NAMES[0]).locator("time").last
    expect(time).to_have_text(re.compile("ago$"))
    options(page, "Date and time")
    expect(time).to_have_text(re.compile(r"\d{1,2}:\d\d"))
    time.hover()
    expect(page.get_by_role("tooltip", include_hidden=True)).to_have_text(re.compile("ago$"))
    page.reload()
    expect(time).to_have_text(re.compile(r"\d{1,2}:\d\d"))
    options(page, "Time since now")
    expect(time).to_have_text(re.compile("ago$"))


def test_on_a_telephone_rows_are_cards_that_show_the_state(admin: Person, instance: Instance):
    page = admin.page
    page.set_viewport_size({"width": 390, "height": 780})
    admin.open("/admin/users")
    row = admin.row(NAMES[0])
    expect(row.get_by_role("link", name=NAMES[0])).to_be_in_viewport()
    expect(row.get_by_text("Status")).to_have_count(0)
    expect(row.locator("td[data-title=Status]")).to_be_in_viewport()
    expect(row.locator("td[data-title=Created]")).to_be_hidden()
    box = row.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 390
    assert violations(page, practices=True) == []
    row.get_by_role("link", name=NAMES[0]).click()
    expect(page.get_by_role("heading", level=1, name=NAMES[0])).to_be_visible()

    admin.open("/admin/infrastructure/managers")
    cells = page.locator("tr[data-row]").first.locator("td")
    status, switch = (cells.and_(page.locator(f"[data-title='{title}']")) for title in ("Status", "Enabled"))
    expect(status).to_be_in_viewport(ratio=1)
    lefts = [box["x"] for cell in (status, switch) if (box := cell.bounding_box())]
    assert lefts[0] < lefts[1]
    expect(cells.and_(page.locator("[data-title=Zone]"))).to_be_hidden()

    # A pool has the sentence about its state
    pool = {"zone_id": instance.found["zones"][0]["zone_id"], "image_id": instance.desktop(), "num_sessions": 1}
    config = instance.call("POST", "/staging-configs", json={**pool, "expiration": 8, "paused": True})
    admin.open("/admin/staging")
    card = page.locator(f"[data-row='{config['staging_config_id']}']")
    expect(card.get_by_test_id("shortfall")).to_be_in_viewport(ratio=1)
    expect(card.get_by_test_id("current")).to_be_in_viewport(ratio=1)
    expect(card.locator("td[data-title='Deployment Zone']")).to_be_hidden()
    instance.call("DELETE", f"/staging-configs/{config['staging_config_id']}")


def test_a_session_shows_what_it_uses(admin: Person, user: Person, instance: Instance):
    image = instance.desktop()
    found = next(each for each in instance.call("GET", "/users") if each["username"] == user.username)
    instance.call("POST", "/sessions", json={"image_id": image, "user_id": found["user_id"]})
    admin.open("/admin/sessions")
    row = admin.row(user.username)
    expect(row.locator("td[data-title=CPU]")).to_have_text(re.compile(r"^\d+ %$"), timeout=40_000)
    expect(row.locator("td[data-title=Memory]")).to_have_text(re.compile("MB$|GB$"))


def test_the_actions_of_rows_and_undo_are_never_cut(admin: Person, instance: Instance):
    (agent, *_) = instance.call("GET", "/agents")
    page = admin.page
    admin.open("/admin/infrastructure/agents")
    # A value that is too long for the table: it is wider than its page.
    page.get_by_role("cell").filter(has_text="running").first.evaluate("each => each.style.minWidth = '1400px'")
    row = page.get_by_role("row").filter(has_text=agent["hostname"])
    last = row.get_by_role("button").last
    expect(last).to_be_visible()
    box, region = last.bounding_box(), page.get_by_role("region", name="Docker Agents").bounding_box()
    assert box is not None
    assert region is not None
    assert box["x"] + box["width"] <= region["x"] + region["width"], "the actions are beside the scrolled cells"
    page.reload()
    row.get_by_role("button", name=re.compile("^Drain")).click()
    notices = page.get_by_role("alert").filter(has_text=agent["hostname"])
    expect(notices).to_contain_text("is draining")
    row.get_by_role("button", name=re.compile("^End draining")).click()
    expect(notices.filter(has_text="accepts sessions again")).to_be_visible()
    expect(notices).to_have_count(1)
    notice, undo = notices.bounding_box(), notices.get_by_role("button", name="Undo").bounding_box()
    header = page.get_by_role("banner").bounding_box()
    assert notice is not None
    assert undo is not None
    assert header is not None
    assert undo["x"] + undo["width"] <= notice["x"] + notice["width"]
    assert notice["y"] >= header["y"] + header["height"]


def test_a_file_of_users_is_checked_imported_and_its_refused_lines_are_downloaded(admin: Person, instance: Instance):
    page = admin.page
    admin.open("/admin/users")
    page.get_by_role("button", name="Import", exact=True).click()
    dialog = page.get_by_role("dialog", name="Import Users")

    def choose(*lines: str) -> None:
        content = "".join(f"{line}\r\n" for line in ("username,password,groups", *lines)).encode()
        dialog.locator("input[type=file]").set_input_files(
            {"name": "users.csv", "mimeType": "text/csv", "buffer": content}
        )

    choose("dora,correct horse battery,Choir")
    expect(dialog.get_by_role("alert")).to_contain_text("Nothing was changed")
    expect(dialog.get_by_role("listitem")).to_contain_text("Line 2: There is no group Choir")
    choose("dora,correct horse battery,", "emil,short,")
    expect(dialog.get_by_role("status")).to_contain_text("The file creates 2 users and changes 0 users.")
    dialog.get_by_role("button", name="Import 2 Users").click()
    expect(dialog.get_by_role("status")).to_have_text("1 of 2 users imported, 1 refused")
    expect(dialog.get_by_role("listitem")).to_contain_text("Line 3: ")
    assert violations(page, practices=True) == []
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Download the refused lines").click()
    header, refused = Path(download.value.path()).read_text().splitlines()
    assert header == "username,password,groups,error"
    assert refused.startswith("emil,short,,")
    dialog.get_by_role("button", name="Close").last.click()
    expect(admin.row("dora")).to_be_visible()
    found = {each["username"]: each["user_id"] for each in instance.call("GET", "/users")}
    assert "emil" not in found
    instance.call("DELETE", f"/users/{found['dora']}")
