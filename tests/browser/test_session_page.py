"""The page of a desktop session in a real browser, framed by a page of another origin, below a path prefix."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.browser.console import AXE
from tests.browser.session_desk import LATE, Desk

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

CLIPBOARD_IS = """async (wanted) => {
  while (await navigator.clipboard.readText() !== wanted) await new Promise(requestAnimationFrame);
}"""
"""Wait until the browser's clipboard has this text, within the time limit of the test."""

AXE_FINDINGS = """async () => {
  const { violations } = await axe.run(document, { preload: false, resultTypes: ['violations'] });
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200))}`);
}"""

MOVED = """() => new Promise((resolve) => {
  new PerformanceObserver((list) => resolve(list.getEntries().reduce((sum, { value }) => sum + value, 0)))
    .observe({ type: 'layout-shift', buffered: true });
  setTimeout(() => resolve(0), 500);
})"""
"""The sum of all movements of the page since it was loaded; there is no event without any."""


async def test_a_person_works_in_it(desk: Desk, tmp_path: Path):
    await desk.page.mouse.click(640, 300)
    await desk.terminal()
    await desk.page.keyboard.type("echo hello > ~/hello\n", delay=10)
    await desk.eventually("cat ~/hello", "hello")
    await desk.page.screenshot(path=tmp_path / "desktop.png")
    assert await desk.frame.locator("main").get_attribute("aria-label") == "Session"
    assert desk.complaints == []


async def test_the_session_has_the_time_zone_of_the_browser(desk: Desk):
    await desk.eventually("date +%Z", "JST")


async def test_the_screen_takes_the_size_of_the_frame(desk: Desk):
    await desk.page.set_viewport_size({"width": 1500, "height": 900})
    await desk.eventually("xdotool getdisplaygeometry", "1500 900")


async def test_clipboard_from_the_session_reaches_parent_and_browser(desk: Desk):
    await desk.page.mouse.click(640, 300)
    await desk.shell("printf 'grün → ✓' | xclip -selection clipboard >/dev/null 2>&1")
    assert (await desk.received("m.type === 'clipboard'"))["text"] == "grün → ✓"
    await desk.frame.evaluate(CLIPBOARD_IS, "grün → ✓")


async def test_clipboard_of_parent_and_browser_reaches_the_session(desk: Desk):
    await desk.say({"type": "clipboard", "text": "from the parent ✓"})
    await desk.eventually("timeout 1 xclip -o -selection clipboard", "from the parent ✓")
    await desk.frame.evaluate("navigator.clipboard.writeText('from the browser')")
    await desk.page.evaluate("document.body.tabIndex = 0; document.body.focus()")
    await desk.page.mouse.click(640, 300)
    await desk.eventually("timeout 1 xclip -o -selection clipboard", "from the browser")


@pytest.mark.parametrize("desk", [{"KASM_SVC_SEND_CUT_TEXT": "0", "KASM_SVC_ACCEPT_CUT_TEXT": "0"}], indirect=True)
async def test_a_closed_clipboard_stays_closed(desk: Desk):
    await desk.shell("printf secret | xclip -selection clipboard >/dev/null 2>&1")
    await desk.say({"type": "clipboard", "text": "from the parent"})
    await desk.received("m.type === 'latency'")
    assert await desk.page.evaluate("window.received.filter((m) => m.type === 'clipboard').length") == 0
    await desk.eventually("timeout 1 xclip -o -selection clipboard", "secret")


async def test_a_viewer_without_input_is_disconnected_and_returns_by_a_click(desk: Desk):
    desk.gateway.idle_disconnect_s = 1.5
    await desk.gateway.cut()
    await desk.state("idle")
    assert "no input" in await desk.frame.inner_text("#status")
    await desk.received("m.type === 'state' && m.state === 'idle'")
    desk.gateway.idle_disconnect_s = 0
    await desk.page.mouse.click(640, 300)
    await desk.state("connected")
    assert desk.complaints == []


async def test_the_parent_receives_state_quality_and_latency(desk: Desk):
    said = await desk.received("m.type === 'state' && m.state === 'connected'")
    assert said["greenroom"] == 1
    assert desk.gateway.frame_url.startswith(said["origin"] + "/")
    await desk.say({"type": "quality", "level": 3})
    await desk.received("m.type === 'quality' && m.level === 3")
    assert 0 < (await desk.received("m.type === 'latency'"))["ms"] < 5000


async def test_only_the_parent_is_listened_to(desk: Desk):
    await desk.frame.evaluate("postMessage({greenroom: 1, type: 'quality', level: 1}, '*')")
    await desk.say({"type": "quality", "level": 99})
    await desk.say({"type": "constructor"})
    await desk.say({"type": "quality", "level": 2})
    await desk.received("m.type === 'quality' && m.level === 2")
    levels = await desk.page.evaluate("window.received.filter((m) => m.type === 'quality').map((m) => m.level)")
    assert levels == [6, 2]


async def test_a_reconnect_takes_the_focus_from_no_field_of_the_embedding_page(desk: Desk):
    await desk.page.evaluate("document.body.appendChild(document.createElement('input')).focus()")
    await desk.gateway.cut()
    await desk.received("m.type === 'state' && m.state === 'reconnecting'")
    await desk.state("connected")
    await desk.page.keyboard.type("abc")
    assert await desk.page.evaluate("document.activeElement.value") == "abc"


async def test_a_cut_stream_comes_back_by_itself(desk: Desk):
    desk.gateway.status = 502
    await desk.gateway.cut()
    await desk.state("reconnecting")
    assert await desk.frame.locator("#status").inner_text() == "Connection lost. Reconnecting…"
    desk.gateway.status = None
    await desk.state("connected")
    await desk.received("m.type === 'state' && m.state === 'reconnecting'")


async def test_a_stream_without_an_answer_is_reported_within_3_s(desk: Desk):
    desk.gateway.flows.clear()
    silence = await desk.received("m.type === 'silence' && m.silent_s > 0")
    assert silence["silent_s"] <= 3
    desk.gateway.flows.set()
    await desk.received("m.type === 'silence' && m.silent_s === 0")


async def test_a_refused_stream_says_so(desk: Desk):
    desk.gateway.status = 403
    await desk.gateway.cut()
    await desk.state("refused")
    assert "no longer have access" in await desk.frame.locator("#status").inner_text()


async def test_the_page_is_accessible_and_still_without_warnings(desk: Desk):
    said: list[str] = []
    desk.page.on(
        "console", lambda m: said.append(m.text) if m.type in ("error", "warning") and m.text != LATE else None
    )
    await desk.reopen()
    await desk.frame.evaluate(AXE.read_text())
    assert await desk.frame.evaluate(AXE_FINDINGS) == []
    await desk.say({"type": "panel", "name": "files", "open": True})
    await desk.frame.get_by_role("heading", name="Files").wait_for()
    for theme in ("light", "dark"):
        await desk.say({"type": "hello", "theme": theme})
        await desk.frame.wait_for_selector(f"html[data-theme={theme}]", state="attached")
        assert await desk.frame.evaluate(AXE_FINDINGS) == [], theme
    assert await desk.frame.evaluate(MOVED) <= 0.01
    assert said == []


async def test_the_page_uses_the_language_of_its_parent(desk: Desk):
    await desk.say({"type": "hello", "language": "de"})
    await desk.say({"type": "panel", "name": "files", "open": True})
    await desk.frame.get_by_role("heading", name="Dateien").wait_for()
    await desk.frame.get_by_text("Der Ordner Downloads ist leer.").wait_for()
    assert await desk.frame.get_attribute("html", "lang") == "de"
    await desk.say({"type": "hello", "language": "en"})
    await desk.frame.get_by_role("heading", name="Files").wait_for()
