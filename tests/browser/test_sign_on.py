"""Sign-on at the console: the buttons of the log-in page, a log-in through a provider, and the page of providers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, goto, logged_in, use_colours, violations
from tests.support.oidc import SECRET, Provider, client_of, oidc_provider
from tests.support.saml import ENTITY_ID, IdentityProvider, saml_identity_provider

PAGE = "/admin/sign-on"


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    """An instance whose sessions have no containers."""
    return simulated_instance


@pytest.fixture(scope="module")
def provider(instance: Instance) -> Iterator[Provider]:
    """A provider on this host at which the instance is registered."""
    client = client_of(
        "campus",
        redirect_uris=[f"{instance.url}/api/v1/sign-on/campus/callback"],
        post_logout_redirect_uris=[f"{instance.url}/"],
    )
    with oidc_provider(client) as running:
        running.control(accounts={"ada": {"preferred_username": "ada@uni.example", "given_name": "Ada"}})
        yield running


@pytest.fixture
def offer(instance: Instance, provider: Provider) -> Iterator[Callable[..., None]]:
    """Add the provider to the instance, for this test only."""

    def add(**fields: Any) -> None:
        values = {"name": "campus", "title": "Example University", "client_id": "greenroom", "client_secret": SECRET}
        instance.call("POST", "/sign-on-providers", json=values | {"issuer": provider.issuer} | fields)

    before = {user["user_id"] for user in instance.call("GET", "/users")}
    yield add
    for row in instance.call("GET", "/sign-on-providers"):
        instance.call("DELETE", f"/sign-on-providers/{row['provider_id']}")
    for user in instance.call("GET", "/users"):
        if user["user_id"] not in before:
            instance.call("DELETE", f"/users/{user['user_id']}")


@pytest.fixture
def admin(new_context: Callable[..., BrowserContext], instance: Instance) -> Person:
    found = instance.found["admin"]
    return logged_in(new_context(), instance.url, found["username"], found["password"])


def log_in_at_provider(page: Page, name: str) -> None:
    page.get_by_role("button", name="Log in with Example University").click()
    page.get_by_label("User name").fill(name)
    page.get_by_role("button", name="Continue").click()


def accessible(page: Page) -> None:
    """Check the page with axe, in light and dark colors."""
    assert violations(page) == []
    use_colours(page, "dark")
    assert violations(page, "color-contrast") == []
    use_colours(page, "light")


def test_a_user_logs_in_and_out_through_a_provider(
    new_context: Callable[..., BrowserContext], instance: Instance, offer: Callable[..., None]
):
    offer(create_users=True)
    page = new_context().new_page()
    goto(page, f"{instance.url}/account")
    expect(page.get_by_role("button", name="Log in with Example University")).to_be_visible()
    accessible(page)
    log_in_at_provider(page, "ada")
    page.wait_for_url(f"{instance.url}/account")
    expect(page.get_by_role("button", name="Link Example University")).to_be_visible()
    expect(page.get_by_role("button", name="Unlink ada")).to_be_visible()
    accessible(page)
    page.get_by_role("button", name="Account").click()
    page.get_by_role("menuitem", name="Log out").click()
    page.get_by_role("button", name="Yes, sign me out").click()
    expect(page.get_by_label("Username")).to_be_visible()
    goto(page, f"{instance.url}/account")
    expect(page.get_by_label("Username")).to_be_visible()


def test_a_refused_log_in_shows_its_reason(
    new_context: Callable[..., BrowserContext], instance: Instance, offer: Callable[..., None]
):
    offer()
    page = new_context().new_page()
    goto(page, instance.url)
    log_in_at_provider(page, "ada")
    expect(page.get_by_role("alert")).to_contain_text("No account is linked to your identity at this provider.")
    expect(page.get_by_label("Username")).to_be_visible()
    accessible(page)


@pytest.mark.usefixtures("offer")
def test_an_administrator_adds_tests_and_deletes_a_provider(admin: Person, instance: Instance, provider: Provider):
    page = admin.page
    admin.open(PAGE)
    expect(page.get_by_text("No providers yet")).to_be_visible()
    page.get_by_role("button", name="Add Provider").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Title").fill("Example University")
    dialog.get_by_role("textbox", name="Name", exact=True).fill("campus")
    dialog.get_by_label("Issuer").fill("http://login.example.org")
    dialog.get_by_label("Client ID").fill("greenroom")
    dialog.get_by_label("Client secret").fill(SECRET)
    expect(dialog.get_by_text(f"{instance.url}/api/v1/sign-on/campus/callback")).to_be_visible()
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("must begin with https://")
    accessible(page)
    dialog.get_by_label("Issuer").fill(provider.issuer)
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(admin.row("Example University")).to_contain_text(provider.issuer)
    accessible(page)
    page.get_by_role("button", name="Test Example University").click()
    expect(dialog.get_by_text("Every step passed.")).to_be_visible()
    expect(dialog.get_by_text("The provider accepts the client ID and the client secret.")).to_be_visible()
    accessible(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Delete Example University").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No providers yet")).to_be_visible()
    assert instance.call("GET", "/sign-on-providers") == []


@pytest.fixture(scope="module")
def idp() -> Iterator[IdentityProvider]:
    """A SAML identity provider. It has no TLS, so for the browser it is another site than the console."""
    with saml_identity_provider(accounts={"ada": {"attributes": {"uid": "ada@uni.example"}}}) as running:
        yield running


@pytest.mark.usefixtures("offer")
def test_a_saml_provider_is_added_and_a_user_logs_in_and_out(
    admin: Person, new_context: Callable[..., BrowserContext], instance: Instance, idp: IdentityProvider
):
    admin.open(PAGE)
    admin.page.get_by_role("button", name="Add Provider").first.click()
    dialog = admin.page.get_by_role("dialog")
    dialog.get_by_label("Title").fill("Example University")
    dialog.get_by_role("textbox", name="Name", exact=True).fill("campus")
    dialog.get_by_role("combobox", name="Protocol").click()
    admin.page.get_by_role("option", name="SAML 2.0").click()
    dialog.get_by_label("Entity ID of the identity provider").fill(idp.entity_id)
    dialog.get_by_label("Entity ID of Greenroom").fill(ENTITY_ID)
    dialog.get_by_label("Address of the metadata").fill(idp.metadata_url)
    dialog.get_by_role("textbox", name="Username").fill("uid")
    dialog.get_by_label("Create unknown users").check()
    accessible(admin.page)
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(admin.row("Example University")).to_contain_text("SAML")
    idp.register(admin.page.request.get(f"{instance.url}/api/v1/sign-on/campus/metadata").text())
    admin.page.get_by_role("button", name="Test Example University").click()
    expect(dialog.get_by_text("Every step passed.")).to_be_visible()
    page = new_context().new_page()
    goto(page, f"{instance.url}/account")
    log_in_at_provider(page, "ada")
    page.wait_for_url(f"{instance.url}/account")
    expect(page.get_by_role("button", name="Unlink ada")).to_be_visible()
    page.get_by_role("button", name="Account").click()
    page.get_by_role("menuitem", name="Log out").click()
    expect(page.get_by_label("Username")).to_be_visible()
    page.wait_for_url(f"{instance.url}/")
