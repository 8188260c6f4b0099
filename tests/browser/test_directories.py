"""The page of LDAP directories, with a real slapd: a directory is added, tested, synchronized and deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, goto, logged_in, use_colours, violations
from tests.support.directories import BIND_DN, BIND_PASSWORD, GROUPS, PASSWORD, PEOPLE, Slapd, slapd

PAGE = "/admin/directories"
NAMES = [f"user-{number}" for number in range(7)]


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    """An instance whose sessions have no containers."""
    return simulated_instance


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    with slapd() as running:
        for name in NAMES:
            running.add_person(name)
        yield running


@pytest.fixture
def admin(new_context: Callable[..., BrowserContext], instance: Instance) -> Iterator[Person]:
    """An administrator; the directories and users of the test are deleted afterwards."""
    before = {user["user_id"] for user in instance.call("GET", "/users")}
    found = instance.found["admin"]
    yield logged_in(new_context(), instance.url, found["username"], found["password"])
    for row in instance.call("GET", "/directories"):
        instance.call("DELETE", f"/directories/{row['directory_id']}")
    for user in instance.call("GET", "/users"):
        if user["user_id"] not in before:
            instance.call("DELETE", f"/users/{user['user_id']}")


def accessible(admin: Person) -> None:
    """Check the page with axe, in light and dark colors."""
    assert violations(admin.page) == []
    use_colours(admin.page, "dark")
    assert violations(admin.page, "color-contrast") == []
    use_colours(admin.page, "light")


def test_an_administrator_adds_and_tests_a_directory(
    admin: Person, server: Slapd, instance: Instance, new_context: Callable[..., BrowserContext]
):
    page, dialog = admin.page, admin.page.get_by_role("dialog")
    admin.open(PAGE)
    expect(page.get_by_text("No directories yet")).to_be_visible()
    page.get_by_role("button", name="Add Directory").first.click()
    dialog.get_by_label("Title").fill("Example University")
    dialog.get_by_role("textbox", name="Name", exact=True).fill("campus")
    admin.field("Servers").fill(f"ldaps://127.0.0.1:{server.tls_port}")
    page.keyboard.press("Enter")
    dialog.get_by_label("Account of Greenroom").fill(BIND_DN)
    admin.field("Password of the account").fill("wrong")
    dialog.get_by_label("Trusted certificates").fill(server.ca_pem)
    dialog.get_by_label("Base of the users").fill(PEOPLE)
    dialog.get_by_label("Base of the groups").fill(GROUPS)
    dialog.get_by_label("Create unknown users").check()
    accessible(admin)
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(admin.row("Example University")).to_contain_text(str(server.tls_port))
    accessible(admin)
    page.get_by_role("button", name="Test Example University").click()
    expect(dialog.get_by_text("The step “Log in to the directory” failed.")).to_be_visible()
    accessible(admin)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Edit Example University").click()
    admin.field("Password of the account").fill(BIND_PASSWORD)
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Test Example University").click()
    expect(dialog.get_by_text("Every step passed.")).to_be_visible()
    admin.field("User").fill(NAMES[1])
    dialog.get_by_role("button", name="Test again").click()
    expect(dialog.get_by_text(f"uid={NAMES[1]},{PEOPLE} has the username")).to_be_visible()
    person = new_context().new_page()
    goto(person, instance.url)
    person.get_by_label("Username").fill(NAMES[0])
    person.get_by_label("Password", exact=True).fill(PASSWORD)
    person.get_by_role("button", name="Log in").click()
    expect(person.get_by_role("heading", name="Workspaces")).to_be_visible()


def test_an_administrator_synchronizes_a_directory(
    admin: Person, server: Slapd, instance: Instance, new_context: Callable[..., BrowserContext]
):
    fields = {"name": "campus", "title": "Example University", "create_users": True, **server.fields}
    instance.call("POST", "/directories", json=fields)
    for name in NAMES:
        logged_in(new_context(), instance.url, name, PASSWORD)
    for name in NAMES[1:]:
        server.delete(f"uid={name},{PEOPLE}")
    page, dialog = admin.page, admin.page.get_by_role("dialog")
    admin.open(PAGE)
    page.get_by_role("button", name="Synchronize Example University").click()
    expect(dialog.get_by_text("6 users will be disabled")).to_be_visible()
    expect(dialog.get_by_text(f"{NAMES[1]}: The directory no longer has the user.")).to_be_visible()
    expect(dialog.get_by_role("button", name="Synchronize", exact=True)).to_be_disabled()
    accessible(admin)
    dialog.get_by_label("Synchronize anyway").check()
    dialog.get_by_role("button", name="Synchronize", exact=True).click()
    expect(page.get_by_text("1 user updated, 6 users disabled.")).to_be_visible()
    page.get_by_role("button", name="Delete Example University").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No directories yet")).to_be_visible()
