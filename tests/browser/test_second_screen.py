"""A second window with another part of the desktop, opened from the console's bar."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.acceptance.instance import wait_for
from tests.browser.console import PAINTED, Person, inside, second_of, violations

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240), pytest.mark.usefixtures("clean")]

SHOWS = """async ([x, wanted]) => {
  for (let is = ''; is !== wanted; await new Promise(requestAnimationFrame)) {
    const canvas = document.querySelector('canvas');
    const [red, green] = canvas.getContext('2d').getImageData(x, 300, 1, 1).data;
    is = red > 150 && green < 100 ? 'red' : green > 100 && red < 100 ? 'green' : '';
  }
}"""
"""Wait until this position of the canvas has the color. It is bounded by the time limit of the test."""


MONITORS = """
from ctypes import CDLL, POINTER, Structure, byref, c_int, c_ulong, c_void_p
class Monitor(Structure):
    _fields_ = [("name", c_ulong), *((each, c_int) for each in ("primary", "automatic", "outputs")),
                *((each, c_int) for each in ("x", "y", "width", "height", "wide_mm", "high_mm")), ("ids", c_void_p)]
x, randr, number = CDLL("libX11.so.6"), CDLL("libXrandr.so.2"), c_int()
x.XOpenDisplay.restype = c_void_p
randr.XRRGetMonitors.restype = POINTER(Monitor)
display = c_void_p(x.XOpenDisplay(None))
found = randr.XRRGetMonitors(display, c_ulong(x.XDefaultRootWindow(display)), 1, byref(number))
for each in found[: number.value]:
    print(f"{each.width}x{each.height}+{each.x}+{each.y}")
"""


def monitors(session_id: str) -> list[str]:
    """The size and position of each monitor according to programs in the session."""
    return inside(session_id, "python3", "-c", MONITORS).split()


def fills(session_id: str, x: int, colour: str) -> None:
    """A window of this color whose left edge is at `x`."""
    look = f"-title {colour} -bg {colour} -fa 'DejaVu Sans Mono' -fs 10 -geometry 60x30+{x}+100"
    inside(session_id, "bash", "-c", f"setsid xterm {look} -e sleep 1000 >/dev/null 2>&1 & sleep 0.2")


def test_a_second_window_is_a_second_monitor_of_the_session(user: Person, xfce: str):
    session_id = user.launch(xfce)
    first = user.desktop()
    width, height = 1360, 800
    wait_for(lambda: monitors(session_id) == [f"{width}x{height}+0+0"], "the screen has the size of the window")
    window, frame = second_of(user)
    assert violations(window) == []
    size = frame.evaluate("[innerWidth, innerHeight]")
    both = [f"{width}x{height}+0+0", f"{size[0]}x{size[1]}+{width}+0"]
    wait_for(lambda: monitors(session_id) == both, f"two monitors, {both}")
    frame.wait_for_function(PAINTED, timeout=30_000)

    assert inside(session_id, "xdotool", "search", "--onlyvisible", "--name", "Displays") == "", (
        "no dialogue asks about it"
    )

    # Each window displays its part, in either picture
    fills(session_id, 200, "red")
    fills(session_id, width + 100, "green")
    first.evaluate(SHOWS, [300, "red"])
    frame.evaluate(SHOWS, [200, "green"])
    user.tool("Picture: sharp")
    first.wait_for_selector("html[data-picture=video]", state="attached")
    fills(session_id, width + 50, "red")
    frame.evaluate(SHOWS, [200, "red"])
    first.evaluate(SHOWS, [300, "red"])
    user.tool("Picture: smooth")

    # Pointer and keys of the second window arrive in its part
    window.mouse.click(150, 600)
    at = f"x:{width + 150} y:600"
    wait_for(lambda: at in inside(session_id, "xdotool", "getmouselocation"), f"the pointer at {at}")
    window.keyboard.press("Control+Alt+t")
    wait_for(
        lambda: "kasm-user@" in inside(session_id, "xdotool", "getactivewindow", "getwindowname"), "a terminal in front"
    )
    window.keyboard.type("echo here > ~/typed\n", delay=10)
    wait_for(lambda: "here" in inside(session_id, "sh", "-c", "cat ~/typed 2>/dev/null"), "what was typed there")

    # The keys that lead out of it lead to the menu in the first window
    window.keyboard.press("Control+Alt+Shift")
    menu = user.page.get_by_role("button", name="Menu", exact=True)
    expect(menu).to_have_attribute("aria-expanded", "true")
    expect(menu).to_be_focused()
    user.page.keyboard.press("Escape")

    # Another size, and the end: the first has the whole desktop again
    window.set_viewport_size({"width": 900, "height": 700})
    wait_for(lambda: monitors(session_id) == [both[0], f"900x700+{width}+0"], "its new size")
    window.close()
    wait_for(lambda: monitors(session_id) == both[:1], "one monitor")
    expect(user.tools().get_by_role("button", name="Second screen", exact=True)).to_have_count(1)
    assert user.desktop() is not None


def test_the_second_window_goes_with_the_first(user: Person):
    user.launch("Desktop")
    user.desktop()
    window, _ = second_of(user)
    with window.expect_event("close"):
        user.tool("Close the second screen")
    window, _ = second_of(user)
    with window.expect_event("close"):
        user.page.reload()
    user.open("/second-screen")
    expect(user.page.get_by_text("Open a second screen from the menu of a session")).to_be_visible()
