"""A framed session in a real browser, for tests of only the session's page."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Frame, Page, async_playwright
from playwright.async_api import TimeoutError as PlaywrightTimeoutError
from tests.browser.session_page import SmallGateway, small_gateway
from tests.support.runtime_hosts import usable

from greenroom.core.workspace.run_config import RunConfig
from greenroom.core.workspace.session_spec import Exec, SessionSpec
from greenroom.runtimes.contract import Runtime
from greenroom.runtimes.docker.runtime import DockerRuntime

SESSION = str(uuid.uuid4())
LATE = "Got data while disconnected"
"""The message of noVNC when the stream ends while it draws one frame and has received the next: it then continues
with that frame."""

AWAITED_S = 20
"""The time limit for a program in the session to start or to react, on a busy machine."""

UPLOADS = "/home/kasm-user/Uploads"
"""In addition to variables of the environment: options of a separate disk for that folder."""


@dataclass
class Desk:
    """A framed session: the browser's page around it, its frame, and the runtime it runs on."""

    page: Page
    frame: Frame
    gateway: SmallGateway
    runtime: Runtime
    complaints: list[str]

    async def shell(self, script: str, deadline_s: float = 10) -> str:
        result = await self.runtime.exec(SESSION, Exec(argv=("bash", "-c", script), deadline_s=deadline_s))
        return result.output.strip()

    async def state(self, wanted: str) -> None:
        await self.frame.wait_for_selector(f"html[data-state={wanted}]", state="attached", timeout=15_000)

    async def received(self, condition: str) -> Any:
        """The first message of the session's page to its parent for which the script `condition` over `m` holds."""
        try:
            found = await self.page.wait_for_function(f"window.received.find((m) => {condition})", timeout=15_000)
        except PlaywrightTimeoutError as error:
            last = await self.page.evaluate("window.received.slice(-20)")
            raise AssertionError(f"not received: {condition}; the last messages: {last}") from error
        return await found.json_value()

    async def say(self, message: dict[str, Any]) -> None:
        await self.page.evaluate("(message) => window.say(message)", message)

    async def awaited(self, script: str, wanted: str) -> str:
        """The output of `script` in the session once it is `wanted`, or after `AWAITED_S`. Errors before then do not
        count: a file that does not exist yet, an empty clipboard."""
        is_wanted = f"[ \"$(exec 2>/dev/null; {script})\" = '{wanted}' ]"
        waiting = f"until {is_wanted} || [ $SECONDS -ge {AWAITED_S} ]; do sleep 0.1; done"
        return await self.shell(f"{waiting}; {script}", AWAITED_S + 10)

    async def eventually(self, script: str, wanted: str) -> None:
        """Wait until the output of `script` in the session is `wanted`."""
        assert await self.awaited(script, wanted) == wanted

    async def reopen(self) -> None:
        """Load the page again, like a person who comes back."""
        await self.page.reload()
        self.frame = next(frame for frame in self.page.frames if frame.url == self.gateway.frame_url)
        await self.state("connected")
        await self.received("m.type === 'files'")

    async def terminal(self) -> None:
        """Open a terminal by its keys, which work once the first terminal of the desktop is running; the shell
        waits."""
        await self.eventually("xdotool search --onlyvisible --name kasm-user@ >/dev/null && echo there", "there")
        before = await self.shell("xdotool getactivewindow")
        await self.page.keyboard.press("Control+Alt+t")
        prompts = "xdotool getactivewindow getwindowname | grep -q kasm-user@"
        await self.eventually(f"[ $(xdotool getactivewindow) != {before} ] && {prompts} && echo yes", "yes")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser_of_desks(chromium: dict[str, Any]) -> AsyncIterator[Browser]:
    """A chromium for the tests of a file; each test has a separate profile."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(**chromium)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def runtime() -> AsyncIterator[Runtime]:
    runtime = DockerRuntime(str(uuid.uuid4()), str(uuid.uuid4()))
    await runtime.open()
    yield runtime
    await runtime.remove_all()
    await runtime.close()


@pytest_asyncio.fixture(params=[{}], loop_scope="module")
async def desk(
    request: pytest.FixtureRequest, browser_of_desks: Browser, runtime: Runtime, openbox_image: str
) -> AsyncIterator[Desk]:
    environment = dict(request.param)
    tmpfs = {UPLOADS: environment.pop(UPLOADS)} if UPLOADS in environment else {}
    spec = SessionSpec(
        image=openbox_image,
        image_id="",
        credential="s3cret",
        environment={name: text for name, text in environment.items() if name.startswith("KASM_")},
        run_config=RunConfig(
            environment={name: text for name, text in environment.items() if not name.startswith("KASM_")}, tmpfs=tmpfs
        ),
    )
    await runtime.create(SESSION, spec)
    address = (await runtime.start(SESSION)).address
    await usable(runtime, address, spec)
    assert address is not None
    async with small_gateway(address, spec) as gateway:
        context = await browser_of_desks.new_context(
            viewport={"width": 1280, "height": 800},
            permissions=["clipboard-read", "clipboard-write"],
            timezone_id="Asia/Tokyo",
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
        await context.close()
