"""The actions of a person at the console, and the checks of the tests there."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import BrowserContext, Frame, Locator, Page, Response, expect

AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"

PAINTED = """() => {
  const canvas = document.querySelector('canvas');
  if (!canvas || !canvas.width) return false;
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const seen = new Set();
  for (let i = 0; i < data.length; i += 4 * 401) seen.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
  return seen.size > 20;
}"""
"""A function: true if a sample of the desktop's pixels has more than 20 distinct colors. The policy of the page forbids
that a string is evaluated each time."""


AT_REST = """async () => {
  const isMoving = each => each.playState === 'running' && each.effect.getTiming().iterations !== Infinity;
  const moves = () => document.getAnimations().some(isMoving);
  do {
    for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
  } while (moves());
}"""
"""Wait until nothing fades or moves any more (except permanent animations): changing colors have different
contrasts. A recent change begins within two frames."""


FITS = """() => new Promise((resolve) => {
  const begin = performance.now();
  const look = () => {
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth <= clientWidth || performance.now() - begin > 2000) resolve(scrollWidth <= clientWidth);
    else requestAnimationFrame(look);
  };
  look();
})"""
"""Whether the page becomes no wider than its window, within 2 seconds."""


LAYOUT_SHIFTS = """
{
  let sum = 0;
  const add = (entries) => entries.forEach((each) => { if (!each.hadRecentInput) sum += each.value; });
  const seen = new PerformanceObserver((list) => add(list.getEntries()));
  seen.observe({ type: 'layout-shift', buffered: true });
  window.layoutShift = () => {
    add(seen.takeRecords());
    const before = sum;
    sum = 0;
    return before;
  };
}
"""
"""A script for each page: `layoutShift()` returns how much parts of the page moved since its last call (the Cumulative
Layout Shift)."""


WITHOUT_POLLS = "window.setInterval = () => 0;"
"""A script for each page: it reads nothing again by itself, so that it displays a change only because of its event."""


@dataclass(frozen=True)
class Person:
    """A logged-in user; `page` is the user's window."""

    page: Page
    url: str
    username: str

    def open(self, address: str) -> None:
        """Open an address of the console."""
        goto(self.page, f"{self.url}{address}")

    def follow(self, address: str) -> None:
        """Open an address of the console like its links, without reloading it; the content follows."""
        go = "to => { history.pushState(null, '', to); dispatchEvent(new PopStateEvent('popstate')); }"
        self.page.evaluate(go, address)

    def open_page(self, link: Locator) -> None:
        """Open the page of an item of a list, which the link of its row shows beside the list."""
        self.open(link.get_attribute("href") or "")

    def launch(self, workspace: str) -> str:
        """Press a workspace's tile; returns the id of the session, while its connecting screen is visible."""
        self.open("/")
        self.page.get_by_test_id(f"launch-{workspace}").click()
        self.page.wait_for_url(re.compile(r"/session/[0-9a-f-]{36}"))
        return self.page.url.rsplit("/", 1)[1]

    def desktop(self) -> Frame:
        """The frame of the desktop, connected and painted."""
        self.page.locator("iframe[data-state=connected]").wait_for(timeout=60_000)
        handle = self.page.locator("iframe").element_handle()
        frame = handle.content_frame() if handle else None
        assert frame is not None
        frame.wait_for_function(PAINTED, timeout=30_000)
        return frame

    def tool(self, name: str) -> None:
        """Press a row in the menu of the session, which a pill at the upper edge opens."""
        self.tools().get_by_role("button", name=name, exact=True).click()

    def tools(self) -> Locator:
        """The tools of the session, with the menu open."""
        tools = self.page.get_by_role("navigation", name="Session tools")
        menu = tools.get_by_role("button", name="Menu", exact=True)
        if menu.get_attribute("aria-expanded") == "false":
            menu.click()
        return tools

    def field(self, label: str) -> Locator:
        """The field with this label, not the list that opens below it."""
        return self.page.get_by_label(label).and_(self.page.locator("input"))

    def row(self, text: str) -> Locator:
        """The row of a table that contains this text."""
        return self.page.get_by_role("row").filter(has_text=text)


def goto(page: Page, address: str) -> None:
    """Open an address and wait until its page is there."""
    page.goto(address)
    page.get_by_role("main").wait_for()


def logged_in(context: BrowserContext, url: str, username: str, password: str) -> Person:
    """Log in without the form, which takes a quarter of the time; the window is still empty."""
    answer = context.request.post(f"{url}/api/v1/login", data={"username": username, "password": password})
    expect(answer).to_be_ok()
    return Person(context.new_page(), url, username)


def log_in(page: Page, url: str, username: str, password: str) -> Person:
    """Log in with the form."""
    goto(page, url)
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Workspaces")).to_be_visible()
    return Person(page, url, username)


def fits_its_width(page: Page) -> bool:
    """True if the page is no wider than its window. The stage map and charts follow the window a frame later."""
    return page.evaluate(FITS)


def inside(session_id: str, *command: str) -> str:
    """The output of a command in the session's container, on its display."""
    run = ["docker", "exec", "--env", "DISPLAY=:1", f"gr-{session_id}", *command]
    return subprocess.run(run, capture_output=True, text=True, check=False).stdout


def second_of(user: Person) -> tuple[Page, Frame]:
    """The second window once it displays its part."""
    with user.page.context.expect_page() as opening:
        user.tool("Second screen")
    window = opening.value
    window.wait_for_selector("iframe")
    handle = window.locator("iframe").element_handle()
    frame = handle.content_frame() if handle else None
    assert frame is not None
    frame.wait_for_selector("html[data-painted]", state="attached", timeout=30_000)
    return window, frame


def fills(session_id: str, width: int, height: int) -> bool:
    """True if the session's screen has this size; it is resized to the window a moment after its first picture."""
    return inside(session_id, "xdotool", "getdisplaygeometry").split() == [str(width), str(height)]


def are_separate(one: Locator, other: Locator) -> bool:
    """True if neither covers a part of the other."""
    one.page.evaluate(AT_REST)
    first, second = one.bounding_box(), other.bounding_box()
    assert first is not None
    assert second is not None
    beside = first["x"] + first["width"] <= second["x"] or second["x"] + second["width"] <= first["x"]
    return beside or first["y"] + first["height"] <= second["y"] or second["y"] + second["height"] <= first["y"]


def is_change(response: Response) -> bool:
    """True if this is the server's answer to a change; the page may display a change earlier."""
    return response.request.method == "PATCH"


def use_colours(page: Page, scheme: Literal["light", "dark"]) -> None:
    """Let the browser prefer these colors, and wait until the console uses them."""
    page.emulate_media(color_scheme=scheme)
    page.locator(f"html[data-mantine-color-scheme={scheme}]").wait_for(state="attached")


def violations(page: Page | Frame, *rules: str, practices: bool = False) -> list[dict[str, Any]]:
    """The serious or critical findings of axe on the page (by these rules only), and with `practices` all others, such
    as best practices. The session's page, a frame, must be checked separately."""
    if page.evaluate("typeof axe === 'undefined'"):
        page.evaluate(AXE.read_text())  # not as a script of the page: its Content-Security-Policy rightly refuses that
    page.evaluate(AT_REST)
    options = {"iframes": False, "preload": False, "resultTypes": ["violations"]}
    options |= {"runOnly": list(rules)} if rules else {}
    found = page.evaluate("options => axe.run(document, options)", options)
    return [
        {"rule": each["id"], "impact": each["impact"], "where": [node["html"][:200] for node in each["nodes"]]}
        for each in found["violations"]
        if practices or each["impact"] in ("serious", "critical")
    ]
