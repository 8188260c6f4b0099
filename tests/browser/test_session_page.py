"""The page of a desktop session in a real browser, framed by a page of another origin, below a path prefix."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Frame, Page, async_playwright
from tests.browser.session_page import SmallGateway, small_gateway

from greenroom.core.workspace.session_spec import Exec, SessionSpec
from greenroom.runtimes.contract import Runtime
from greenroom.runtimes.docker.runtime import DockerRuntime

pytestmark = pytest.mark.docker

SESSION = "5e551071-0000-4000-8000-000000000001"
LATE = "Got data while disconnected"
"""noVNC, when the stream ends while it draws one frame and has received the next: it goes on with that one then."""

CLIPBOARD_IS = """async (wanted) => {
  while (await navigator.clipboard.readText() !== wanted) await new Promise(requestAnimationFrame);
}"""
"""Until the browser's clipboard has this text; the time limit of the test is its own."""


@dataclass
class Desk:
    """A framed session: the browser's page around it, its frame, and the runtime it runs on."""

    page: Page
    frame: Frame
    gateway: SmallGateway
    runtime: Runtime
    complaints: list[str]

    async def shell(self, script: str) -> str:
        result = await self.runtime.exec(SESSION, Exec(argv=("bash", "-c", script), deadline_s=10))
        return result.output.strip()

    async def state(self, wanted: str) -> None:
        await self.frame.wait_for_selector(f"html[data-state={wanted}]", state="attached", timeout=15_000)

    async def received(self, condition: str) -> Any:
        """The first message of the session's page to its parent for which the script `condition` over `m` holds."""
        found = await self.page.wait_for_function(f"window.received.find((m) => {condition})", timeout=15_000)
        return await found.json_value()

    async def say(self, message: dict[str, Any]) -> None:
        await self.page.evaluate("(message) => window.say(message)", message)

    async def awaited(self, script: str, wanted: str) -> str:
        """The output of `script` in the session when it is `wanted`, or else after a while.

        What it complains of before then does not count: a file that is not there yet, a clipboard that is empty.
        """
        is_wanted = f"[ \"$(exec 2>/dev/null; {script})\" = '{wanted}' ]"
        return await self.shell(f"for i in $(seq 50); do {is_wanted} && break; sleep 0.1; done; {script}")

    async def eventually(self, script: str, wanted: str) -> None:
        """Until the output of `script` in the session is `wanted`."""
        assert await self.awaited(script, wanted) == wanted

    async def terminal(self) -> None:
        """Open a terminal by its keys, which the desktop takes a moment after its first picture; the shell waits."""
        prompts_in_front = "xdotool getactivewindow getwindowname | grep -c kasm-user@"
        for _ in range(5):
            await self.page.keyboard.press("Control+Alt+t")
            if await self.awaited(prompts_in_front, "1") == "1":
                return
        raise AssertionError("no terminal came")


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    runtime = DockerRuntime("5e551071-0000-4000-8000-000000000000", "5e551071-0000-4000-8000-00000000000a")
    await runtime.open()
    yield runtime
    await runtime.remove_all()
    await runtime.close()


@pytest.fixture(params=[{}])
async def desk(
    request: pytest.FixtureRequest, chromium: dict[str, Any], runtime: Runtime, desktop_image: str
) -> AsyncIterator[Desk]:
    spec = SessionSpec(image=desktop_image, image_id="", credential="s3cret", environment=request.param)
    await runtime.create(SESSION, spec)
    address = (await runtime.start(SESSION)).address
    assert address is not None
    while not (await runtime.probe(address, spec)).usable:
        pass
    async with small_gateway(address, spec) as gateway, async_playwright() as playwright:
        browser = await playwright.chromium.launch(**chromium)
        context = await browser.new_context(
            viewport={"width": 1280, "height": 800}, permissions=["clipboard-read", "clipboard-write"]
        )
        page = await context.new_page()
        complaints: list[str] = []
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" and m.text != LATE else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(gateway.parent_url)
        frame = next(frame for frame in page.frames if frame.url == gateway.frame_url)
        desk = Desk(page, frame, gateway, runtime, complaints)
        await desk.state("connected")
        yield desk
        await browser.close()


async def test_a_person_works_in_it(desk: Desk, tmp_path: Path):
    await desk.page.mouse.click(640, 300)
    await desk.terminal()
    await desk.page.keyboard.type("echo hello > ~/hello\n", delay=10)
    await desk.eventually("cat ~/hello", "hello")
    await desk.page.screenshot(path=tmp_path / "desktop.png")
    assert await desk.frame.locator("main").get_attribute("aria-label") == "Session"
    assert desk.complaints == []


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
    assert await desk.shell("timeout 1 xclip -o -selection clipboard") == "secret"


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


async def test_a_file_dropped_on_the_screen_is_in_uploads(desk: Desk):
    assert (await desk.received("m.type === 'files'"))["uploads"] is True
    await desk.frame.evaluate("""() => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File(['dropped'], 'a note.txt'));
        document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
    }""")
    await desk.frame.get_by_text("a note.txt is in the folder Uploads.").wait_for()
    await desk.eventually("cat ~/Uploads/a\\ note.txt", "dropped")


@pytest.mark.parametrize("desk", [{"KASM_SVC_UPLOADS": "0"}], indirect=True)
async def test_the_page_of_files_has_what_is_allowed(desk: Desk, tmp_path: Path):
    await desk.shell("mkdir ~/Downloads && echo result > ~/Downloads/'ü & more.txt'")
    await desk.page.goto(f"{desk.gateway.frame_url}files.html")
    async with desk.page.expect_download() as download:
        await desk.page.get_by_role("link", name="ü & more.txt").click()
    await (await download.value).save_as(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "result\n"
    assert not await desk.page.locator("#uploads").is_visible()
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


async def test_a_cut_stream_comes_back_by_itself(desk: Desk):
    desk.gateway.status = 502
    await desk.gateway.cut()
    await desk.state("reconnecting")
    assert await desk.frame.locator("#status").inner_text() == "Connection lost. Reconnecting…"
    desk.gateway.status = None
    await desk.state("connected")
    await desk.received("m.type === 'state' && m.state === 'reconnecting'")


async def test_a_refused_stream_says_so(desk: Desk):
    desk.gateway.status = 403
    await desk.gateway.cut()
    await desk.state("refused")
    assert "not open to you" in await desk.frame.locator("#status").inner_text()
