"""The languages of the console: German, the pseudo-locale with accents, and the one from right to left."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from playwright.sync_api import BrowserContext, Locator, expect
from tests.acceptance.instance import Instance
from tests.browser.conftest import empty
from tests.browser.console import Person, fits_its_width, goto, logged_in, violations

from greenroom.db.access.users import ALL_USERS

PAGES: Final = (
    "/",
    "/account",
    "/admin",
    "/admin/sessions",
    "/admin/users",
    "/admin/groups",
    "/admin/workspaces",
    "/admin/staging",
    "/admin/infrastructure/agents",
    "/admin/infrastructure/managers",
    "/admin/settings",
    "/admin/diagnostics/audit",
    "/admin/trends",
)
"""Pages of each kind: launcher, form, list, charts."""
WIDTHS: Final = (360, 1440)
ACCENTED: Final = "en-XA"
"""The pseudo-locale whose texts have accents."""

PLAIN_TEXTS: Final = """() => [...document.querySelectorAll('h1, h2, th, label, button, nav a, [role=tab]')]
  .filter((each) => each.checkVisibility() && !each.closest('[lang=en], td'))
  .map((each) => each.innerText.trim())
  .filter((text) => /[a-z]{3}/.test(text) && !/[áéíóúÁÉÍÓÚ~]/.test(text))"""
"""Texts of headings, fields, buttons and links that the pseudo-locale did not change."""

NAMES: Final = ("Greenroom", "Geographic Information System", "Session Staging", "admin@greenroom.local")
ENGLISH: Final = re.compile(r"\b(?:the|is|are|not|of|which|must|and)\b")
"""Words that English sentences have and German ones do not."""
OF_THE_API: Final = {"/admin/settings"}
"""Pages with titles of the api. A pseudo-locale does not have them."""


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Iterator[Instance]:
    """An instance with a workspace that has a long name."""
    call = simulated_instance.call
    present = call("GET", f"/images/{simulated_instance.desktop()}")["name"]
    body = {"name": present, "friendly_name": "Geographic Information System", "cores": 1, "memory": 1_000_000_000}
    image_id = call("POST", "/images", json=body)["image_id"]
    call("PUT", f"/groups/{ALL_USERS}/images/{image_id}")
    yield simulated_instance
    call("DELETE", f"/images/{image_id}")


@pytest.fixture
def speaker(new_context: Callable[..., BrowserContext], instance: Instance) -> Callable[..., Person]:
    """Return an administrator whose browser has this language, or who chose this one."""

    def of(choice: str = "", **options: Any) -> Person:
        found = instance.found["admin"]
        context = new_context(**options)
        if choice:
            context.add_init_script(f"localStorage.setItem('greenroom.language', {choice!r})")
        return logged_in(context, instance.url, found["username"], found["password"])

    return of


def test_a_german_browser_has_a_german_launcher(speaker: Callable[..., Person]):
    person = speaker(locale="de-DE")
    page = person.page
    person.open("/")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.get_by_placeholder("Workspaces suchen").or_(page.get_by_label("Workspaces suchen"))).to_be_visible()
    expect(page.get_by_text("Wählen Sie einen Workspace.")).to_be_visible()
    assert violations(page, practices=True) == []


HOSTILE: Final = "<b>bold</b> & <0>null</0> {name} \\x41"
"""A name with what could be elements, places and escapes of a message."""


@pytest.fixture
def hostile(instance: Instance) -> Iterator[str]:
    """A hostile name, which a workspace and a group have; returns the address of the workspace."""
    call = instance.call
    present = call("GET", f"/images/{instance.desktop()}")["name"]
    body = {"name": present, "friendly_name": HOSTILE, "cores": 1, "memory": 1_000_000_000}
    image_id = call("POST", "/images", json=body)["image_id"]
    call("PUT", f"/groups/{ALL_USERS}/images/{image_id}")
    group_id = call("POST", "/groups", json={"name": HOSTILE})["group_id"]
    yield f"/admin/workspaces/{image_id}"
    call("DELETE", f"/groups/{group_id}")
    call("DELETE", f"/images/{image_id}")


@pytest.mark.parametrize("language", ["en", "de"])
def test_names_are_never_markup(speaker: Callable[..., Person], hostile: str, language: str):
    person = speaker(language)
    page = person.page
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    for address in (*PAGES, hostile):
        person.open(address)
    person.open("/")
    tile = page.get_by_test_id(f"launch-{HOSTILE}")
    expect(tile).to_contain_text(f"{HOSTILE} starten" if language == "de" else f"Launch {HOSTILE}")
    person.open("/admin/groups")
    expect(page.get_by_role("link", name=HOSTILE, exact=True)).to_be_visible()
    assert errors == []


def test_a_german_browser_has_a_german_log_in_page(new_context: Callable[..., BrowserContext], instance: Instance):
    page = new_context(locale="de-AT").new_page()
    goto(page, instance.url)
    expect(page.get_by_label("Passwort", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Anmelden")).to_be_visible()


def test_a_user_chooses_the_language_in_the_menu_of_the_account(speaker: Callable[..., Person]):
    person = speaker(locale="en-US")
    page = person.page
    person.open("/")
    page.get_by_role("button", name="Account").click()
    page.get_by_role("menuitem", name="Deutsch").click()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    page.get_by_role("button", name="Konto").click()
    page.get_by_role("menuitem", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")


@pytest.mark.parametrize("language", [ACCENTED, "ar-XB", "de"])
def test_pages_fit_their_width_and_their_texts_are_in_the_catalog(speaker: Callable[..., Person], language: str):
    person = speaker(language)
    page = person.page
    heading, before = page.get_by_role("heading", level=1), ""
    wide: list[tuple[str, int]] = []
    plain: dict[str, list[str]] = {}
    person.open("/")
    for address in PAGES:
        person.follow(address)
        expect(heading).not_to_have_text(before)
        expect(page.locator(".mantine-Skeleton-root")).to_have_count(0)
        before = heading.inner_text()
        if language == ACCENTED and address not in OF_THE_API:
            texts: list[str] = page.evaluate(PLAIN_TEXTS)
            plain[address] = [text for text in texts if not any(name in text for name in NAMES)]
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 780})
            if not fits_its_width(page):
                wide.append((address, width))
        page.set_viewport_size({"width": 1360, "height": 800})
    assert wide == []
    assert {address: texts for address, texts in plain.items() if texts} == {}


def test_the_logo_is_below_the_heading_of_its_settings_in_german(speaker: Callable[..., Person]):
    person = speaker("de")
    person.open("/admin/settings")
    appearance = person.page.get_by_role("region", name="Erscheinungsbild")
    expect(appearance.get_by_role("region", name="Logo")).to_be_visible()


def test_refusals_and_reasons_are_german(speaker: Callable[..., Person], instance: Instance):
    person = speaker("de")
    page = person.page
    (manager,), (agent, *_) = instance.call("GET", "/managers"), instance.call("GET", "/agents")
    person.open("/admin/infrastructure/managers")
    page.get_by_role("switch").first.press("Space")
    refusal = page.get_by_role("alert").filter(has_text=manager["instance_id"])
    expect(refusal).to_contain_text("ist der letzte aktivierte Manager der Zone")
    texts = [refusal.inner_text()]
    person.open("/admin/users")
    page.get_by_role("button", name="Benutzer erstellen").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Benutzername").fill(person.username)
    for password in ("kurz", "correct horse battery"):
        form.get_by_role("textbox", name="Passwort").fill(password)
        form.get_by_role("button", name="Erstellen").click()
        expect(form.get_by_role("alert")).to_contain_text("Nicht gespeichert")
        texts.append(form.get_by_role("alert").inner_text())
    for subject in (f"/admin/infrastructure/agents/{agent['agent_id']}", "/admin/infrastructure/managers"):
        person.open(subject)
        page.get_by_role("button", name="Warum?").first.click()
        panel = page.get_by_role("dialog")
        expect(panel.get_by_role("listitem").first).to_be_visible()
        texts.append(panel.inner_text())
    assert [text for text in texts if ENGLISH.search(text)] == []
    for events in ("/admin/diagnostics/audit", "/admin/diagnostics/logs"):
        person.open(events)
        expect(page.get_by_role("row").filter(has_text="hat sich von").first).to_be_visible()


def test_a_language_from_right_to_left_has_its_navigation_on_the_right(speaker: Callable[..., Person]):
    person = speaker("ar-XB")
    person.open("/admin/sessions")
    expect(person.page.locator("html")).to_have_attribute("dir", "rtl")
    box = person.page.get_by_role("navigation", name="Administration").bounding_box()
    size = person.page.viewport_size
    assert box is not None
    assert size is not None
    assert box["x"] > size["width"] / 2


def test_panels_of_a_language_from_right_to_left_come_from_the_left(speaker: Callable[..., Person], instance: Instance):
    person = speaker("ar-XB")
    page = person.page
    person.open("/admin/users")
    page.locator("tr[data-row] a.row-link").first.click()
    panel = page.locator("[data-side-panel]")
    expect(panel.get_by_role("heading").first).to_be_visible()
    assert_at_left(panel)
    person.launch("Desktop")
    page.get_by_role("navigation").locator("button[aria-controls]").click()
    sheet = page.get_by_role("navigation").get_by_role("region")
    assert_at_left(sheet)
    page.set_viewport_size({"width": 360, "height": 780})
    assert_at_left(sheet)
    empty(instance)


def assert_at_left(part: Locator) -> None:
    """The part begins at the left edge of the window, ends inside it, and has nothing beside its own content."""
    box = part.bounding_box()
    size = part.page.viewport_size
    assert box is not None
    assert size is not None
    assert (box["x"], box["x"] + box["width"] <= size["width"]) == (0, True)
    assert part.evaluate("each => each.scrollWidth - each.clientWidth") == 0
    assert fits_its_width(part.page)
