"""Log-in and log-out: the form, the wrong password, the end."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, goto, log_in, violations
from tests.support.processes import frozen


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    """An instance whose sessions have no containers."""
    return simulated_instance


def test_a_wrong_password_is_refused_with_a_reason(instance: Instance, new_context: Callable[..., BrowserContext]):
    page = new_context().new_page()
    goto(page, instance.url)
    page.get_by_label("Username").fill("admin@greenroom.local")
    page.get_by_label("Password", exact=True).fill("not the password")
    place = page.get_by_label("Username").bounding_box()
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("wrong")
    expect(page.get_by_label("Password", exact=True)).to_have_value("")
    assert page.get_by_label("Username").bounding_box() == place, "the error does not move the form"
    assert violations(page) == []


def test_the_page_that_was_asked_for_is_shown_after_the_log_in(
    instance: Instance, new_context: Callable[..., BrowserContext]
):
    page = new_context().new_page()
    admin = instance.found["admin"]
    goto(page, f"{instance.url}/admin/infrastructure/managers")
    page.get_by_label("Username").fill(admin["username"])
    page.get_by_label("Password", exact=True).fill(admin["password"])
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Managers")).to_be_visible()


def test_logging_out_asks_for_the_password_again(admin: Person):
    admin.open("/")
    admin.page.get_by_role("button", name=re.compile("Account")).click()
    with admin.page.expect_navigation():
        admin.page.get_by_role("menuitem", name="Log out").click()
    expect(admin.page.get_by_label("Username")).to_be_visible()
    admin.open("/admin")
    expect(admin.page.get_by_label("Username")).to_be_visible()


def test_a_user_sees_own_workspaces_and_no_administration(user: Person):
    user.open("/")
    expect(user.page.get_by_test_id("launch-Desktop")).to_be_visible()
    expect(user.page.get_by_role("link", name="Administration")).to_have_count(0)
    user.open("/admin/users")
    expect(user.page.get_by_text("permission users_view")).to_be_visible()


def test_a_changed_password_is_the_one_to_log_in_with(
    user: Person, instance: Instance, new_context: Callable[..., BrowserContext]
):
    user.open("/")
    user.page.get_by_role("button", name=re.compile("Account")).click()
    user.page.get_by_role("menuitem", name="Change password").click()
    user.page.get_by_label("Current password").fill("correct horse battery")
    user.page.get_by_label("New password").fill("another long password")
    user.page.get_by_role("button", name="Change password", exact=True).click()
    expect(user.page.get_by_text("The password was changed")).to_be_visible()
    log_in(new_context().new_page(), instance.url, user.username, "another long password")


def test_a_console_whose_files_do_not_load_says_so(new_context: Callable[..., BrowserContext], instance: Instance):
    page = new_context().new_page()
    page.route("**/assets/*.js", lambda route: route.abort())
    page.goto(instance.url)
    expect(page.get_by_text("Greenroom did not load")).to_be_visible()


def test_a_link_asks_before_it_replaces_a_log_in(user: Person, instance: Instance):
    user.open("/")
    with instance.http() as program:
        target = {"target_user": {"username": instance.found["admin"]["username"]}}
        url: str = program.post("/api/public/get_login", json=target).json()["url"]
    goto(user.page, url)
    expect(user.page.get_by_role("heading", name="Replace your log-in?")).to_be_visible()
    assert violations(user.page) == []
    user.page.get_by_role("link", name="Stay logged in").click()
    expect(user.page.get_by_role("heading", name="Workspaces")).to_be_visible()
    expect(user.page.get_by_role("link", name="Administration")).to_have_count(0)
    goto(user.page, url)
    user.page.get_by_role("button", name="Log in with the link").click()
    expect(user.page.get_by_role("link", name="Administration")).to_be_visible()


def test_a_link_logs_in_a_browser_without_a_log_in(instance: Instance, new_context: Callable[..., BrowserContext]):
    page = new_context().new_page()
    with instance.http() as program:
        target = {"target_user": {"username": instance.found["admin"]["username"]}}
        goto(page, program.post("/api/public/get_login", json=target).json()["url"])
    expect(page.get_by_role("link", name="Administration")).to_be_visible()


def test_a_server_that_stands_still_is_shown_as_silent(instance: Instance, admin: Person):
    admin.open("/admin/users")
    page = admin.page
    live = page.get_by_test_id("live")
    expect(live).to_have_text("Live")
    other = page.context.new_page()
    # The supervisor would restart a frozen api.
    with frozen(*instance.pids("up"), *instance.pids("api")):
        expect(live).to_contain_text(re.compile(r"No answer for [5-9] s"))
        expect(live).to_have_attribute("data-tone", "warning")
        expect(live).to_contain_text(re.compile(r"No answer for 1\d s"))
        other.goto(instance.url)
        expect(other.get_by_text(re.compile(r"This takes longer than usual: no answer for \d+ s"))).to_be_visible()
    expect(live).to_have_text("Live")
    expect(other.get_by_role("heading", name="Workspaces")).to_be_visible()


def test_a_simulated_session_shows_its_picture_in_place_of_a_desktop(user: Person):
    user.launch("Desktop")
    page = user.page
    expect(page.get_by_role("heading", name="This desktop is simulated")).to_be_visible()
    expect(page.get_by_role("img", name="The simulated desktop")).to_be_visible()
    page.get_by_role("link", name="To the workspaces").click()
    expect(page.get_by_role("heading", name="Workspaces")).to_be_visible()
