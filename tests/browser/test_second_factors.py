"""Second factors at the console: enrollment, the second step of a log-in, and the reset by an administrator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from tests.acceptance.instance import Instance, run
from tests.browser.console import goto, logged_in, use_colours, violations
from tests.database.api.factors import code_of

NAME, PASSWORD = "ada@example.org", "correct horse battery"


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    """An instance whose sessions have no containers."""
    return simulated_instance


@pytest.fixture
def by_name(instance: Instance) -> str:
    """The address of the console with a host name, as passkeys need it."""
    return instance.url.replace("127.0.0.1", "localhost")


@pytest.fixture
def ada(instance: Instance) -> Iterator[str]:
    """The id of a user who is not logged in."""
    user_id = instance.call("POST", "/users", json={"username": NAME, "password": PASSWORD})["user_id"]
    yield user_id
    instance.call("DELETE", f"/users/{user_id}")


def begin(page: Page, url: str) -> None:
    """Enter name and password."""
    goto(page, url)
    page.get_by_label("Username").fill(NAME)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def accessible(page: Page) -> None:
    """Check the page with axe, in light and dark colors."""
    assert violations(page) == []
    use_colours(page, "dark")
    assert violations(page, "color-contrast") == []
    use_colours(page, "light")


@contextmanager
def security_key(page: Page) -> Iterator[None]:
    """A virtual authenticator of chromium, which verifies its user."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable", {"enableUI": False})
    options: dict[str, Any] = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    yield
    session.detach()


@pytest.mark.usefixtures("ada")
def test_a_user_enrolls_an_app_and_logs_in_with_its_code(
    new_context: Callable[..., BrowserContext], instance: Instance
):
    person = logged_in(new_context(), instance.url, NAME, PASSWORD)
    page = person.page
    person.open("/account")
    section = page.get_by_role("region", name="Second factors")
    section.get_by_role("button", name="Add authenticator app").click()
    dialog = page.get_by_role("dialog", name="Add authenticator app")
    expect(dialog.get_by_role("img", name="QR code of the key")).to_be_visible()
    key = dialog.get_by_label("Key", exact=True).inner_text().strip()
    accessible(page)
    dialog.get_by_role("textbox", name="Code", exact=True).fill(code_of(key))
    dialog.get_by_role("button", name="Add", exact=True).click()
    codes = page.get_by_role("dialog", name="Recovery codes")
    expect(codes.get_by_role("listitem")).to_have_count(10)
    recovery_code = codes.get_by_role("listitem").first.inner_text()
    accessible(page)
    codes.get_by_role("button", name="I have stored them").click()
    expect(section.get_by_text("You have 10 recovery codes.")).to_be_visible()
    accessible(page)
    fresh = new_context().new_page()
    begin(fresh, instance.url)
    field = fresh.get_by_label("Code of your authenticator app")
    accessible(fresh)
    field.fill("000000")
    fresh.get_by_role("button", name="Log in").click()
    expect(fresh.get_by_role("alert")).to_contain_text("wrong or was used before")
    field.fill(code_of(key, 1))
    fresh.get_by_role("button", name="Log in").click()
    expect(fresh.get_by_role("heading", name="Workspaces")).to_be_visible()
    other = new_context().new_page()
    begin(other, instance.url)
    other.get_by_role("button", name="Use a recovery code").click()
    other.get_by_label("Recovery code").fill(recovery_code)
    other.get_by_role("button", name="Log in").click()
    expect(other.get_by_role("heading", name="Workspaces")).to_be_visible()


@pytest.mark.usefixtures("ada")
def test_a_user_enrolls_a_passkey_and_logs_in_with_it(new_context: Callable[..., BrowserContext], by_name: str):
    person = logged_in(new_context(), by_name, NAME, PASSWORD)
    page = person.page
    with security_key(page):
        person.open("/account")
        section = page.get_by_role("region", name="Second factors")
        section.get_by_role("button", name="Add passkey").click()
        page.get_by_role("textbox", name="Name", exact=True).fill("Blue key")
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="I have stored them").click()
        expect(section.get_by_role("row")).to_contain_text(["Blue key"])
        page.get_by_role("button", name="Account").click()
        with page.expect_navigation():
            page.get_by_role("menuitem", name="Log out").click()
        begin(page, by_name)
        page.get_by_role("button", name="Use a passkey").click()
        expect(page.get_by_role("heading", name="Workspaces")).to_be_visible()


def test_a_group_can_require_the_enrollment(new_context: Callable[..., BrowserContext], instance: Instance, ada: str):
    group = instance.call("POST", "/groups", json={"name": "Careful", "settings": {"require_second_factor": True}})
    instance.call("PUT", f"/groups/{group['group_id']}/users/{ada}")
    page = new_context().new_page()
    begin(page, instance.url)
    expect(page.get_by_role("heading", name="Add a second factor")).to_be_visible()
    accessible(page)
    page.get_by_role("button", name="Add authenticator app").click()
    key = page.get_by_label("Key", exact=True).inner_text().strip()
    page.get_by_role("textbox", name="Code", exact=True).fill(code_of(key))
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("button", name="I have stored them").click()
    expect(page.get_by_role("heading", name="Workspaces")).to_be_visible()
    instance.call("DELETE", f"/groups/{group['group_id']}")


def test_an_administrator_resets_factors_and_marks_the_account(
    new_context: Callable[..., BrowserContext], instance: Instance, ada: str
):
    member = logged_in(new_context(), instance.url, NAME, PASSWORD)
    found = instance.found["admin"]
    admin = logged_in(new_context(), instance.url, found["username"], found["password"])
    member.open("/account")
    member.page.get_by_role("button", name="Add authenticator app").click()
    key = member.page.get_by_label("Key", exact=True).inner_text().strip()
    member.page.get_by_role("textbox", name="Code", exact=True).fill(code_of(key))
    member.page.get_by_role("button", name="Add", exact=True).click()
    expect(member.page.get_by_role("dialog", name="Recovery codes")).to_be_visible()
    admin.open(f"/admin/users/{ada}?tab=second-factors")
    expect(admin.page.get_by_text("Authenticator app", exact=True)).to_be_visible()
    accessible(admin.page)
    admin.page.get_by_role("button", name="Reset second factors").click()
    admin.page.get_by_role("button", name="Reset", exact=True).click()
    expect(admin.page.get_by_text("None.")).to_be_visible()
    admin.page.get_by_role("tab", name="Details").click()
    admin.page.get_by_label("Break-glass account").check()
    admin.page.get_by_role("button", name="Save", exact=True).click()
    expect(admin.page.get_by_text("break-glass", exact=True)).to_be_visible()
    accessible(admin.page)
    done = run("users", "break-glass", NAME, "--off", "--data", str(instance.data))
    assert done.stdout == f"{NAME} is no longer a break-glass account.\n", done.stderr
