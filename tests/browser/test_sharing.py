"""Sharing a session: two people in one desktop, one of them without input; links, control by name, and help."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect
from tests.acceptance.instance import Instance, wait_for
from tests.browser.console import Person, are_separate, inside, logged_in, violations

from greenroom.db.access.users import ALL_USERS

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240), pytest.mark.usefixtures("clean")]

SETTINGS = ("allow_kasm_sharing", "allow_guest_links", "allow_shared_control")
BEN, PASSWORD = "ben@example.org", "correct horse battery"
STATES = """() => {
  window.states = [];
  addEventListener('message', ({ data }) => { if (data?.type === 'state') window.states.push(data.state); });
}"""
Contexts = Callable[..., BrowserContext]


@pytest.fixture(autouse=True)
def allowed(instance: Instance) -> Iterator[None]:
    """All users may share without restrictions."""
    change(instance, **dict.fromkeys(SETTINGS, True))
    yield
    change(instance, **dict.fromkeys(SETTINGS))


@pytest.fixture
def ben(new_context: Contexts, instance: Instance) -> Iterator[Person]:
    instance.call("PATCH", "/settings", json={"share_outside_groups": True})
    made = instance.call("POST", "/users", json={"username": BEN, "password": PASSWORD})
    yield logged_in(new_context(), instance.url, BEN, PASSWORD)
    instance.call("DELETE", f"/users/{made['user_id']}")


def change(instance: Instance, **settings: Any) -> None:
    instance.call("PATCH", f"/groups/{ALL_USERS}", json={"settings": settings})


def opened(user: Person) -> str:
    """The user's desktop, with a terminal in front; returns the id of the session."""
    session_id = user.launch("Desktop")
    user.desktop()
    in_front = ("xdotool", "getactivewindow", "getwindowname")
    wait_for(lambda: "kasm-user@" in inside(session_id, *in_front), "a terminal in front")
    return session_id


def link(user: Person, instance: Instance, session_id: str, **choices: str) -> str:
    """Share in the panel; returns the link of the share."""
    user.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    user.tool("Share")
    panel = user.page.get_by_role("region", name="Share")
    for label, choice in choices.items():
        if label == "name":
            panel.get_by_label("Username").and_(panel.locator("input")).fill(choice)
            panel.get_by_role("heading", name="Share").click()  # closes the suggestions
        elif label == "may":
            panel.get_by_text(choice, exact=True).click()
        else:
            panel.get_by_label("Share with", exact=True).and_(panel.locator("input")).click()
            user.page.get_by_role("option", name=choice).click()
    panel.get_by_role("button", name=re.compile("copy the link")).click()
    expect(user.page.get_by_text("The link was copied")).to_be_visible()
    (share,) = instance.call("GET", f"/sessions/{session_id}/shares")
    return instance.url + share["connect_url"]


def join(page: Page, address: str, name: str = "") -> Person:
    page.goto(address)
    if name:
        page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Join").click()
    return Person(page, address, name)


def types(person: Person, text: str) -> None:
    person.page.mouse.click(680, 400)
    person.page.wait_for_timeout(300)
    person.page.keyboard.type(text, delay=10)
    person.page.wait_for_timeout(500)


def files(session_id: str) -> list[str]:
    return inside(session_id, "sh", "-c", "cd /home/kasm-user && ls by-* 2>/dev/null").split()


def test_a_guest_watches_cannot_type_and_is_cut_off_alone(user: Person, new_context: Contexts, instance: Instance):
    session_id = opened(user)
    address = link(user, instance, session_id, who="Guests with the link")
    assert violations(user.page) == []
    window = new_context().new_page()
    window.add_init_script("navigator.keyboard.lock = () => Promise.reject(new Error('refused'))")
    window.goto(address)
    expect(window.get_by_text("ada@example.org shares Desktop")).to_be_visible()
    assert violations(window) == []
    guest = join(window, address, "Gus")
    frame = guest.desktop()
    expect(user.page.get_by_text("Gus (guest) is watching").first).to_be_visible()
    expect(window.get_by_text("View only")).to_be_visible()
    expect(window.get_by_role("button", name="Clipboard")).to_have_count(0)
    assert violations(window) == []
    expect(frame.get_by_text("View only")).to_be_hidden()  # it would cover the taskbar of a desktop
    guest.tools()
    expect(window.get_by_text("View only")).to_be_in_viewport(ratio=1)
    guest.tool("Full screen")
    warning = window.get_by_role("alert").filter(has_text="This browser does not forward some keys")
    expect(warning).to_be_visible()
    guest.tools()
    assert are_separate(warning, window.get_by_role("region", name="Session menu"))
    guest.tool("Leave full screen")

    # Neither keys nor pointer of the guest arrive; those of the user do
    user.page.get_by_role("button", name="Close the share panel").click()
    user.page.mouse.click(300, 500)
    wait_for(lambda: "x:300 y:500" in inside(session_id, "xdotool", "getmouselocation"), "the user's pointer")
    wait_for(lambda: "kasm-user@" in inside(session_id, "xdotool", "getactivewindow", "getwindowname"), "the terminal")
    # with the state that a script of the guest's browser could change in the page
    frame.evaluate("() => { for (const one of document.querySelectorAll('canvas')) one.focus(); }")
    types(guest, "touch ~/by-guest\n")
    assert "x:300 y:500" in inside(session_id, "xdotool", "getmouselocation")
    user.page.keyboard.press("Control+u")

    def typed() -> bool:
        types(user, "touch ~/by-user\n")
        return "by-user" in files(session_id)

    wait_for(typed, "what the user typed")
    assert files(session_id) == ["by-user"]

    # Ended: the guest is cut off at once, the user's stream continues
    user.page.evaluate(STATES)
    user.tool("Share")
    user.page.get_by_role("button", name="Stop sharing with Guests with the link").click()
    expect(user.page.get_by_text("Gus left")).to_be_visible()  # first, because the notice closes by itself
    window.locator("iframe[data-state=refused]").wait_for(timeout=10_000)
    assert user.page.evaluate("window.states") == [], "the user's stream was never away"
    expect(window.get_by_text("ada@example.org has ended the sharing or the session.")).to_be_visible()
    expect(window.get_by_role("link", name="Back to the workspaces")).to_be_visible()
    expect(window.get_by_role("button", name="Try again")).to_have_count(0)
    window.reload()
    expect(window.get_by_text("This address cannot be opened")).to_be_visible()
    assert instance.sql("SELECT count(*) AS number FROM logs WHERE code = 'share-ended'")[0]["number"] >= 1


def test_control_by_name_is_taken_back(user: Person, ben: Person, instance: Instance):
    session_id = opened(user)
    address = link(user, instance, session_id, who="A user by name", name=BEN, may="Control")
    helper = join(ben.page, address)
    helper.desktop()
    expect(user.page.get_by_text(f"{BEN} can use keyboard and pointer").first).to_be_visible()

    def typed() -> bool:
        types(helper, "touch ~/by-ben\n")
        return "by-ben" in files(session_id)

    wait_for(typed, "what Ben typed")
    user.page.evaluate(STATES)
    user.page.get_by_role("button", name="Take control back").click()
    helper.desktop()
    expect(helper.page.get_by_text("View only")).to_be_visible()
    expect(user.page.get_by_text(f"{BEN} is watching").first).to_be_visible()
    types(helper, "touch ~/by-ben-again\n")
    assert files(session_id) == ["by-ben"]
    assert user.page.evaluate("window.states") == []


def test_an_administrator_helps_and_the_user_sees_it(user: Person, admin: Person, instance: Instance):
    session_id = opened(user)
    user.tool("Share")  # its list stays, notices go
    admin.open(f"/admin/sessions/{session_id}")
    admin.page.get_by_role("button", name="Assist").click()
    assert violations(admin.page) == []
    admin.page.get_by_role("dialog").get_by_role("button", name="Join").click()
    admin.desktop()
    expect(user.page.get_by_text(f"{admin.username} (administrator) is watching").first).to_be_visible()
    user.page.get_by_role("button", name=f"Remove {admin.username} from the session").click()
    admin.page.locator("iframe[data-state=refused]").wait_for(timeout=10_000)
    rows = instance.sql("SELECT message FROM logs WHERE code = 'session-assisted' AND session_id = %s", session_id)
    assert [row["message"].rpartition(", ")[2] for row in rows] == ["announced"]


def setting_of_refused_share(person: Person) -> Locator:
    """The link to the setting in the row of the menu, which shows why a new session may not be shared."""
    person.launch("Desktop")
    person.desktop()
    row = person.tools().get_by_role("button", name=re.compile("^Share: Sessions may not be shared: Sharing is off"))
    expect(row).to_be_disabled()
    return person.tools().get_by_role("link", name="Show the setting")


def test_the_menu_shows_why_a_session_may_not_be_shared(user: Person, admin: Person, instance: Instance):
    change(instance, allow_kasm_sharing=None)
    expect(setting_of_refused_share(user)).to_have_count(0)
    setting = setting_of_refused_share(admin)
    with admin.page.context.expect_page() as opening:
        setting.click()
    expect(opening.value.get_by_role("row").filter(has_text="allow_kasm_sharing")).to_contain_text("false by default")
    assert violations(admin.page) == []
