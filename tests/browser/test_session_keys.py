"""Composed characters and touch input, as a session receives them."""

from __future__ import annotations

import pytest
import pytest_asyncio
from playwright.async_api import CDPSession
from tests.browser.session_desk import Desk

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module")
async def cdp(desk: Desk) -> CDPSession:
    """The browser's DevTools session for input; touches belong to one such session."""
    return await desk.page.context.new_cdp_session(desk.page)


async def test_composed_text_and_keys_arrive_in_their_order(desk: Desk, cdp: CDPSession):
    await desk.page.mouse.click(640, 300)
    await desk.terminal()
    await desk.page.keyboard.type("echo a", delay=10)
    for text in ("n", "ni", "に"):
        begun = {"text": text, "selectionStart": len(text), "selectionEnd": len(text)}
        await cdp.send("Input.imeSetComposition", begun)
    await cdp.send("Input.insertText", {"text": "日本é"})
    await desk.page.keyboard.type("z > ~/typed\n", delay=10)
    await desk.eventually("cat ~/typed", "a日本éz")
    assert desk.complaints == []


async def test_a_dead_key_and_the_key_after_it_arrive_as_one_letter(desk: Desk, cdp: CDPSession):
    """As reported by a browser if the machine's layout has dead keys: the first begins a composition, the second
    ends it."""
    await desk.page.mouse.click(640, 300)
    await desk.terminal()
    await desk.page.keyboard.type("echo a", delay=10)
    dead = {"key": "Dead", "code": "BracketLeft", "windowsVirtualKeyCode": 229}
    await cdp.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **dead})
    await cdp.send("Input.imeSetComposition", {"text": "\u00b4", "selectionStart": 1, "selectionEnd": 1})
    await cdp.send("Input.dispatchKeyEvent", {"type": "keyUp", **dead})
    letter = {"key": "é", "code": "KeyE", "windowsVirtualKeyCode": 229}
    await cdp.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **letter})
    await cdp.send("Input.insertText", {"text": "é"})
    await cdp.send("Input.dispatchKeyEvent", {"type": "keyUp", **letter})
    await desk.page.keyboard.type("z > ~/typed\n", delay=10)
    await desk.eventually("cat ~/typed", "aéz")
    assert desk.complaints == []


async def test_only_the_keys_of_the_menu_alone_ask_for_it(desk: Desk):
    """Each key that is not meant so is one that the desktop gets."""
    await desk.received("m.type === 'menu' && m.pressed === false")
    await desk.page.mouse.click(640, 300)
    keyboard = desk.page.keyboard
    for more in ("F8", "AltGraph", None):
        for key in ("ControlLeft", "AltLeft", "ShiftRight"):
            await keyboard.down(key)
        if more is None:
            await desk.page.mouse.click(640, 300)
        else:
            await keyboard.press(more)
        for key in ("ControlLeft", "ShiftRight", "AltLeft"):
            await keyboard.up(key)
    await keyboard.press("Control+Shift+AltGraph")
    await keyboard.press("Control+Shift")
    await keyboard.press("Control+Alt+Shift")
    await desk.received("m.type === 'menu' && m.pressed")
    assert await desk.page.evaluate("window.received.filter((m) => m.pressed).length") == 1
    assert desk.complaints == []


async def touch(cdp: CDPSession, kind: str, *points: tuple[int, int]) -> None:
    fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    await cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})


async def reporter(desk: Desk) -> None:
    """A terminal in the middle of the screen that records the pointer and key input of its program: [<0; is the left
    button, [<2; the right one, [<64; and [<65; are the wheel."""
    reads = r"stty raw -echo; printf '\e[?1000h\e[?1006h'; exec cat >>/tmp/reports"
    await desk.shell(f'setsid xterm -title Reports -geometry 120x40+200+100 -e bash -c "{reads}" >/dev/null 2>&1 &')
    await desk.eventually("xdotool getactivewindow getwindowname; ls /tmp/reports", "Reports\n/tmp/reports")


async def test_a_long_press_is_a_right_click_and_keys_are_on_the_screen(desk: Desk, cdp: CDPSession):
    await cdp.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    await reporter(desk)
    await touch(cdp, "touchStart", (640, 300))
    await desk.eventually("grep -o '<[012];' /tmp/reports | sort -u", "<2;")
    await touch(cdp, "touchEnd")
    await desk.eventually("grep -o '<2;[0-9;]*m' /tmp/reports | wc -l", "1")
    await desk.shell(": > /tmp/reports")
    await desk.frame.get_by_role("button", name="Esc").click()
    await desk.eventually("od -An -c /tmp/reports | tr -d ' '", "033")


async def test_two_fingers_scroll_what_is_below_them(desk: Desk, cdp: CDPSession):
    await cdp.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    await reporter(desk)
    for way, wheel in ((-1, 65), (1, 64)):
        await touch(cdp, "touchStart", (500, 400), (600, 400))
        for step in range(1, 13):
            await touch(cdp, "touchMove", (500, 400 + way * step * 12), (600, 400 + way * step * 12))
            await desk.page.wait_for_timeout(30)
        await touch(cdp, "touchEnd")
        turned = f"[ $(grep -o '<{wheel};' /tmp/reports | wc -l) -ge 2 ] && echo turned"
        await desk.eventually(turned, "turned")
    assert await desk.shell("grep -c '<[012];' /tmp/reports") == "0", "no button was pressed"
