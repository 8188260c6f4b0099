"""What is composed, and a finger on the screen, as a session receives them."""

from __future__ import annotations

import pytest
from playwright.async_api import CDPSession
from tests.browser.session_desk import Desk

pytestmark = pytest.mark.docker


@pytest.fixture
async def cdp(desk: Desk) -> CDPSession:
    """The browser's own way to give input; touches belong to one such session."""
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


async def touch(cdp: CDPSession, kind: str, *points: tuple[int, int]) -> None:
    fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    await cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})


async def test_a_long_press_is_a_right_click_and_keys_are_on_the_screen(desk: Desk, cdp: CDPSession):
    await cdp.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    windows = "xdotool search --onlyvisible --class xfdesktop | wc -l"
    before = int(await desk.shell(windows))
    await touch(cdp, "touchStart", (640, 300))
    await desk.page.wait_for_timeout(1200)
    await touch(cdp, "touchEnd")
    await desk.eventually(f"[ $({windows}) -gt {before} ] && echo menu", "menu")
    await desk.frame.get_by_role("button", name="Esc").click()
    await desk.eventually(windows, str(before))
