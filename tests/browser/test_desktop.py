"""A desktop on demand: from the tile to a painted screen, used by keyboard, clipboard and window, left and deleted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import BrowserContext, Route, expect
from tests.acceptance.instance import Instance, wait_for
from tests.browser.conftest import empty
from tests.browser.console import Person, fills, goto, inside, logged_in, violations

from greenroom.db.access.users import ALL_USERS

STEPS = ["Requested", "Machine chosen", "Accepted by the machine", "Container created", "Container started"]

SESSION_MENU = """
- region "Session menu":
  - heading "Desktop" [level=2]
  - button "Close the menu"
  - list "Tools":
    - listitem:
      - button "Files"
    - listitem:
      - button "Clipboard"
  - list "Screen":
    - listitem:
      - button "Full screen"
  - list "Session":
    - listitem:
      - button "Share"
    - listitem:
      - button "Leave"
"""

SETTLED_AFTER_MS = 2000
"""The time after which the first picture of a desktop is shown, even if it does not fit (images/page/settle.js)."""

OPENING = """
window.bare = [];  // the states in which the frame was not covered, before its first picture
const began = performance.now();
new MutationObserver(() => {
  const root = document.documentElement;
  if (root.dataset.state === 'connected' && !window.first) {
    const canvas = document.querySelector('#screen canvas');
    const { width, height } = document.querySelector('#screen').getBoundingClientRect();
    const fits = canvas.width === Math.floor(width) && canvas.height === Math.floor(height);
    window.first = { fits, waited_ms: performance.now() - began };
  }
  const state = document.querySelector('iframe[data-state]')?.dataset.state;
  const isShown = document.querySelector('[data-testid=veil]:not([data-leaving])') === null;
  if (isShown && ['silent', 'connecting'].includes(state)) window.bare.push(state);
}).observe(document, { subtree: true, childList: true, attributes: true });
"""
"""A script for the console and for the page of the session: how the session opens."""


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("clean")
def test_a_desktop_on_demand(user: Person, instance: Instance, xfce: str):
    page = user.page

    # The connecting screen names the steps, and each that is marked as done was recorded by the server
    with no_container_yet(instance):
        session_id = user.launch(xfce)
        steps = page.get_by_role("list", name="Steps")
        for title in STEPS:
            expect(steps.get_by_text(title, exact=True)).to_be_visible()
        done = steps.locator("[data-done=true]")
        expect(done).not_to_have_count(0)
        shown = done.evaluate_all("all => all.map(each => each.dataset.step)")
        assert violations(page) == []
    recorded = {row["name"] for row in instance.sql("SELECT name FROM session_steps WHERE session_id = %s", session_id)}
    assert set(shown) <= recorded

    # The desktop fills the page and is painted
    user.desktop()
    wait_for(lambda: fills(session_id, 1360, 800), "the desktop has the size of the page")
    assert violations(page) == []

    # Keyboard: a terminal, and a command in it. The window manager accepts the keys a moment after the first picture
    def opened() -> bool:
        page.keyboard.press("Control+Alt+t")
        page.wait_for_timeout(2000)
        return "Terminal" in inside(session_id, "xdotool", "getactivewindow", "getwindowname")

    wait_for(opened, "a terminal in front")

    def typed() -> bool:
        page.keyboard.type("echo hello > ~/hello\n", delay=8)
        page.wait_for_timeout(500)
        return inside(session_id, "cat", "/home/kasm-user/hello") == "hello\n"

    wait_for(typed, "the file that was typed", within_s=20)

    # Mouse: the pointer is at the clicked position
    page.mouse.click(900, 600)
    wait_for(lambda: "x:900 y:600" in inside(session_id, "xdotool", "getmouselocation"), "the pointer has moved")

    # Clipboard, both ways
    user.tool("Clipboard")
    page.get_by_label("To the session").fill("grüße ✓ from the browser")
    page.get_by_role("button", name="Send", exact=True).click()
    copied = ("xclip", "-out", "-selection", "clipboard")
    wait_for(lambda: inside(session_id, *copied) == "grüße ✓ from the browser", "the text is in the session")
    inside(session_id, "sh", "-c", "printf 'desktop → ✓' | timeout 20 xclip -in -selection clipboard >/dev/null 2>&1 &")
    expect(page.get_by_label("From the session")).to_have_value("desktop → ✓")
    assert violations(page) == []
    page.get_by_role("button", name="Close the clipboard").click()

    a_file_goes_in(user, session_id)

    # The window changes the X screen
    page.set_viewport_size({"width": 1500, "height": 900})
    wait_for(lambda: fills(session_id, 1500, 900), "the screen has grown")

    # Leave: the session continues. Come back: the same desktop. Delete: it is gone
    user.tool("Leave")
    card = page.locator(f"[data-session='{session_id}']")
    expect(card).to_contain_text("running")
    card.get_by_role("link", name=f"Open {xfce}").click()
    user.desktop()
    assert inside(session_id, "cat", "/home/kasm-user/hello") == "hello\n"
    user.tool("Delete")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Workspaces")).to_be_visible()
    expect(card).to_have_count(0, timeout=30_000)
    wait_for(lambda: not instance.containers(), "its container is gone")


@contextmanager
def no_container_yet(instance: Instance) -> Iterator[None]:
    """The Agent creates no container during the block, so that the earlier states can be inspected without haste."""
    agent, stop = "agent-default", "agent.before_create"
    instance.arm(agent, stop)
    try:
        yield
    finally:
        instance.release(agent, stop)


@pytest.mark.parametrize("lost", ["**/?token=*", "**/session.js"])
@pytest.mark.usefixtures("clean")
def test_a_frame_that_could_not_be_loaded_is_loaded_again(user: Person, lost: str):
    """On one machine a new container changes the network, and the browser drops its loading requests."""
    lose = iter(range(1))
    user.page.route(lost, lambda route: route.abort() if next(lose, None) is not None else route.continue_())
    user.launch("Desktop")
    user.desktop()
    assert next(lose, None) is None


@pytest.mark.usefixtures("clean")
def test_the_menu_of_a_session_stays_open_while_the_frame_is_loaded_again(user: Person):
    user.page.route("**/session.js", lambda route: route.abort())
    user.launch("Desktop")
    with user.page.expect_request("**/session.js", timeout=60_000):
        pass
    user.tools()
    with user.page.expect_request("**/session.js"):
        expect(user.page.get_by_role("region", name="Session menu")).to_be_visible()
    user.page.wait_for_timeout(200)  # to see that nothing happens
    expect(user.page.get_by_role("region", name="Session menu")).to_be_visible()


@pytest.fixture
def sharing(instance: Instance) -> Iterator[None]:
    """All users may share their sessions."""
    group = f"/groups/{ALL_USERS}"
    instance.call("PATCH", group, json={"settings": {"allow_kasm_sharing": True}})
    yield
    instance.call("PATCH", group, json={"settings": {"allow_kasm_sharing": None}})


@pytest.mark.usefixtures("clean", "sharing")
def test_one_panel_of_the_session_is_open_at_a_time_and_escape_closes_it(user: Person):
    page = user.page
    page.add_init_script(OPENING)
    user.launch("Desktop")
    frame = user.desktop()

    # The picture that was pressed covers the frame until its first picture fits
    assert page.evaluate("bare") == []
    first = frame.evaluate("first")
    assert first["fits"] or first["waited_ms"] >= SETTLED_AFTER_MS
    expect(page.get_by_test_id("veil")).to_have_count(0)

    files = frame.get_by_role("heading", name="Files")
    user.tool("Files")
    expect(files).to_be_visible()
    user.tool("Clipboard")
    expect(page.get_by_role("region", name="Clipboard")).to_be_visible()
    expect(files).to_have_count(0)
    expect(page.locator("iframe")).not_to_be_focused()
    user.tool("Share")
    expect(page.get_by_role("region", name="Share")).to_be_visible()
    expect(page.get_by_role("region", name="Clipboard")).to_have_count(0)
    menu = page.get_by_role("button", name="Menu", exact=True)
    menu.focus()
    page.keyboard.press("Escape")
    expect(page.get_by_role("region", name="Share")).to_have_count(0)
    user.tools()
    expect(page.get_by_role("region", name="Session menu")).to_match_aria_snapshot(SESSION_MENU)
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(page.get_by_role("region", name="Session menu")).to_have_count(0)
    expect(menu).to_be_focused()
    user.tool("Files")
    expect(files).to_be_visible()
    page.keyboard.press("Escape")
    expect(files).to_have_count(0)


@pytest.mark.usefixtures("clean")
def test_a_desktop_opens_at_an_ipv6_address(
    user: Person, instance: Instance, new_context: Callable[..., BrowserContext]
):
    """The policies of the console and of the frame permit it, and the stream accepts its origin."""
    url = instance.url.replace("127.0.0.1", "[::1]")
    person = logged_in(new_context(), url, user.username, "correct horse battery")
    person.launch("Desktop")
    frame = person.desktop()
    assert frame.url.startswith("https://[::1]:")
    assert violations(person.page) == []


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("clean")
def test_the_first_picture_of_a_staged_desktop_has_the_region_of_the_browser(
    user: Person, instance: Instance, xfce: str, new_context: Callable[..., BrowserContext]
):
    (image,) = (each for each in instance.call("GET", "/images") if each["friendly_name"] == xfce)
    zone_id = instance.found["zones"][0]["zone_id"]
    pool = {"zone_id": zone_id, "image_id": image["image_id"], "num_sessions": 1, "expiration": 8}
    config_id = instance.call("POST", "/staging-configs", json=pool)["staging_config_id"]
    wait_for(lambda: instance.staged(config_id) == 1, "a desktop is staged", within_s=60)
    context = new_context(locale="de-DE", timezone_id="Asia/Tokyo")
    person = logged_in(context, instance.url, user.username, "correct horse battery")
    session_id = person.launch(xfce)
    person.page.locator("iframe[data-state=connected]").wait_for(timeout=60_000)
    panel = inside(session_id, "sh", "-c", "tr '\\0' '\\n' </proc/$(pgrep -x xfce4-panel)/environ; date +%Z")
    assert "LC_ALL=de_DE.UTF-8" in panel.splitlines()
    assert panel.splitlines()[-1] == "JST"
    assert instance.call("GET", f"/sessions/{session_id}/placement")["outcome"] == "staged"


@pytest.mark.usefixtures("clean")
def test_the_stream_of_another_user_is_not_opened(user: Person, admin: Person):
    session_id = user.launch("Desktop")
    user.desktop()
    address = user.page.locator("iframe").get_attribute("src") or ""
    admin.open(f"/session/{session_id}")
    admin.page.wait_for_timeout(2000)
    expect(admin.page.locator("iframe")).to_have_count(0)
    answer = admin.page.request.get(re.sub(r"\?token=.*", "", address))
    assert answer.status in (401, 403)


def a_file_goes_in(user: Person, session_id: str) -> None:
    """Through the panel of files, which is part of the session's page."""
    frame = user.desktop()
    user.tool("Files")
    frame.locator("#chooser").set_input_files([{"name": "notes.txt", "mimeType": "text/plain", "buffer": b"mine"}])
    expect(frame.get_by_text("notes.txt is in Uploads.")).to_be_visible()
    assert inside(session_id, "cat", "/home/kasm-user/Uploads/notes.txt") == "mine"
    frame.get_by_role("button", name="Close the files").click()
    expect(frame.get_by_role("heading", name="Files")).to_have_count(0)


def test_a_session_that_does_not_exist_says_so(user: Person):
    user.open("/session/00000000-0000-4000-8000-000000000000")
    expect(user.page.get_by_role("heading", name="There is no such session")).to_be_visible()
    user.page.get_by_role("link", name="Back to the workspaces").click()
    expect(user.page.get_by_test_id("launch-Desktop")).to_be_visible()


@pytest.mark.usefixtures("clean")
def test_a_failed_start_shows_its_cause_to_administrators_only(user: Person, admin: Person, instance: Instance):
    with instance.http() as http:
        image = {"name": "greenroom/desktop:nowhere", "friendly_name": "Nowhere", "cores": 0.1, "memory": 256_000_000}
        made = http.post("/api/v1/images", json=image)
        assert made.status_code == 201, made.text
        try:
            user.open("/")
            tile = user.page.get_by_test_id("launch-Nowhere")
            expect(tile).to_contain_text("Not now")
            tile.click()
            refused = user.page.get_by_role("alert")
            expect(refused).to_contain_text("Its image is not on any machine yet", timeout=60_000)
            expect(refused).not_to_contain_text("greenroom/desktop:nowhere")
            admin.open("/admin/diagnostics/launches?outcome=failed")
            row = admin.row("Nowhere")
            expect(row).to_contain_text("image greenroom/desktop:nowhere")
            row.get_by_role("button", name="Steps of this launch").click()
            expect(admin.page.get_by_role("dialog")).to_contain_text("greenroom/desktop:nowhere")
            steps = admin.page.get_by_role("region", name="Placement")
            assert steps.evaluate("region => region.scrollWidth <= region.clientWidth"), "all columns can be seen"
            assert violations(admin.page) == []
        finally:
            empty(instance)
            assert http.delete(f"/api/v1/images/{made.json()['image_id']}").status_code == 204


@pytest.mark.usefixtures("clean")
def test_logging_out_elsewhere_closes_the_open_desktop(user: Person, instance: Instance):
    user.launch("Desktop")
    user.desktop()
    other = user.page.context.new_page()
    goto(other, instance.url)
    other.get_by_role("button", name=re.compile("Account")).click()
    other.get_by_role("menuitem", name="Log out").click()
    expect(other.get_by_label("Username")).to_be_visible()
    asked_again = user.page.get_by_label("Username")
    expect(asked_again.or_(user.page.get_by_text("You no longer have access to this session"))).to_be_visible(
        timeout=20_000
    )
    expect(user.page.locator("iframe[data-state=connected]")).to_have_count(0)


@pytest.mark.usefixtures("clean")
def test_a_desktop_that_is_refused_says_why_at_once_and_stays_so(user: Person):
    page = user.page
    loads: list[str] = []

    def without_token(route: Route) -> None:
        answer = route.fetch()
        connection = answer.json()
        if connection["frame_url"]:
            connection["frame_url"] = connection["frame_url"].split("?")[0]
        route.fulfill(response=answer, json=connection)

    def framed(session_id: str) -> list[str]:
        return [url for url in loads if session_id in url and "/session/" not in url]

    page.clock.install()
    page.route("**/connection", without_token)
    page.on("request", lambda request: loads.append(request.url) if request.is_navigation_request() else None)
    session_id = user.launch("Desktop")
    reason = page.get_by_role("status").filter(has_text="The request has no token")
    expect(reason).to_be_visible(timeout=30_000)
    assert violations(page) == []
    before = len(framed(session_id))  # it may have been loaded again while a container started (its network)
    page.clock.fast_forward(20_000)  # longer than the time after which a silent frame is reloaded
    expect(reason).to_be_visible()
    assert len(framed(session_id)) == before
    with page.expect_event("framenavigated"):
        page.get_by_role("button", name="Try again").click()
    expect(reason).to_be_visible()
    assert len(framed(session_id)) == before + 1

    page.route("**/connection", lambda route: route.continue_())  # goes before the other, which may be at work still
    user.desktop()
