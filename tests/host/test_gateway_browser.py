"""Programs drive Chromium through a gateway with existing clients: Playwright, Puppeteer, Selenium and others."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Error, Playwright, async_playwright
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.file_detector import LocalFileDetector
from tests.support.browsers import Browsers, two_browsers
from tests.support.played import ANN, BOB
from tests.support.waiting import eventually
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close

pytestmark = [
    pytest.mark.docker,
    pytest.mark.usefixtures("chromium_image"),
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]

FORM = "data:text/html," + quote(
    "<title>Form</title><input id=name><button onclick=\"document.title='Hello '+document.all.name.value\">Go</button>"
    "<a id=file download=note.txt href='data:text/plain,read me'>file</a>"
)
PNG = b"\x89PNG"
PUPPETEER = Path(__file__).parent / "clients/puppeteer.mjs"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browsers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browsers]:
    async with two_browsers(tmp_path_factory.mktemp("browsers")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def playwright(browsers: Browsers) -> AsyncIterator[Playwright]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("NODE_EXTRA_CA_CERTS", str(browsers.world.folder / "cert.pem"))
        async with async_playwright() as made:
            yield made


@asynccontextmanager
async def attached(playwright: Playwright, url: str, **options: Any) -> AsyncIterator[Browser]:
    browser = await playwright.chromium.connect_over_cdp(url, **options)
    try:
        yield browser
    finally:
        await browser.close()


async def test_a_fresh_lease_has_a_clean_browser_with_one_tab(browsers: Browsers, playwright: Playwright):
    for session_id in (ANN, BOB):
        async with attached(playwright, browsers.url("cdp", session_id)) as browser:
            (context,) = browser.contexts
            (page,) = context.pages
            assert page.url.startswith("chrome://new-tab-page")
            assert await context.cookies() == []
            assert await page.evaluate("navigator.webdriver") is False


async def test_playwright_types_clicks_takes_pictures_and_downloads(browsers: Browsers, playwright: Playwright):
    async with attached(playwright, browsers.url("cdp")) as browser:
        page = browser.contexts[0].pages[0]
        await page.goto(FORM)
        await page.fill("#name", "Ann")
        await page.click("button")
        assert await page.title() == "Hello Ann"
        assert (await page.screenshot()).startswith(PNG)
        devtools = await browser.new_browser_cdp_session()
        await devtools.send("Browser.setDownloadBehavior", {"behavior": "default"})
        await page.click("#file")

        async def is_there() -> bool:
            return (await browsers.shell("cat ~/Downloads/note.txt")).strip() == "read me"

        await eventually(is_there, 20)


async def test_the_program_of_the_documentation_runs_as_it_stands_there(browsers: Browsers, tmp_path: Path):
    page = (Path(__file__).parents[2] / "docs/howto/browsers-for-programs.md").read_text()
    (program,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": str(browsers.world.folder / "cert.pem")}
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, browsers.url("cdp")),
        cwd=tmp_path,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await run.communicate()
    assert (run.returncode, said.decode().strip()) == (0, "Hello")
    assert (tmp_path / "hello.png").read_bytes().startswith(PNG)


async def test_a_header_opens_it_as_well_and_so_does_the_websocket_alone(browsers: Browsers, playwright: Playwright):
    bearer = {"Authorization": f"Bearer {browsers.token(ANN)}"}
    async with attached(playwright, browsers.bare("cdp"), headers=bearer) as browser:
        assert browser.version
    async with attached(playwright, browsers.url("cdp").replace("https", "wss")) as browser:
        assert browser.version


async def test_two_leases_do_not_see_each_others_tabs(browsers: Browsers, playwright: Playwright):
    async with (
        attached(playwright, browsers.url("cdp", ANN)) as anns,
        attached(playwright, browsers.url("cdp", BOB)) as bobs,
    ):
        page = await anns.contexts[0].new_page()
        await page.goto("data:text/html,<title>Only Ann's</title>")
        tabs = [await one.title() for context in bobs.contexts for one in context.pages]
        listed = await browsers.world.client().get(f"{browsers.url('cdp', BOB)}/json/list")
        assert "Only Ann's" not in [*tabs, *(one["title"] for one in listed.json())]
        refused = await browsers.world.client().get(
            f"{browsers.bare('cdp', BOB)}/json/list", headers={"Authorization": f"Bearer {browsers.token(ANN)}"}
        )
        assert refused.status_code == 401
        await page.close()


async def test_large_messages_and_many_tabs_at_once_pass(browsers: Browsers, playwright: Playwright):
    async with attached(playwright, browsers.url("cdp")) as browser:
        pages = await asyncio.gather(*(browser.contexts[0].new_page() for _ in range(8)))
        sizes = await asyncio.gather(*(page.evaluate("'x'.repeat(4 << 20)") for page in pages))
        assert [len(text) for text in sizes] == [4 << 20] * 8
        assert len(await pages[0].evaluate("'x'.repeat(60 << 20)")) == 60 << 20
        assert await pages[0].evaluate("text => text.length", "y" * (20 << 20)) == 20 << 20
        await asyncio.gather(*(page.close() for page in pages))


async def test_no_web_page_in_the_browser_reaches_what_drives_it(browsers: Browsers, playwright: Playwright):
    port = int(await browsers.shell("cat /tmp/.greenroom/devtools"))
    answer = await browsers.world.client().get(f"{browsers.url('webdriver')}/status")
    assert answer.json()["value"]["ready"] is True
    script = "ps -eo args | grep -o 'chromedriver --port=[0-9]*' | head -1"
    driver = int((await browsers.shell(script)).strip().partition("=")[2])
    await browsers.shell("setsid python3 -m http.server 8099 --bind 127.0.0.1 -d /opt/greenroom/web >/dev/null 2>&1 &")
    await browsers.shell("until curl -so /dev/null http://127.0.0.1:8099/; do sleep 0.1; done")
    async with attached(playwright, browsers.url("cdp")) as browser:
        page = browser.contexts[0].pages[0]
        await page.goto("http://127.0.0.1:8099/novnc-license.txt")
        sent = await page.evaluate(
            """url => fetch(url, {method: 'POST', mode: 'no-cors', body: '{"capabilities": {}}'})
                .then(() => 'sent', () => 'refused')""",
            f"http://127.0.0.1:{driver}/session",
        )
        assert sent == "refused", "it would start a program of the page's choice"
        for at in (port, driver):
            for method in ("GET", "PUT", "POST"):
                for path in ("json/version", "json/new", "session", "status"):
                    read = await page.evaluate(
                        "([url, method]) => fetch(url, {method}).then(r => r.text(), () => 'refused')",
                        [f"http://127.0.0.1:{at}/{path}", method],
                    )
                    assert read == "refused", (at, path)
        opened = await page.evaluate(
            """url => new Promise(done => {
                const socket = new WebSocket(url)
                socket.onopen = () => done('open')
                socket.onerror = () => done('refused')
            })""",
            (await browsers.shell(f"curl -s http://127.0.0.1:{port}/json/version"))
            .split('"webSocketDebuggerUrl": "')[1]
            .split('"')[0],
        )
        assert opened == "refused"
        assert len(browser.contexts[0].pages) == 1


async def test_webdriver_drives_the_browser_that_runs_and_leaves_it(browsers: Browsers):
    url, client = browsers.url("webdriver"), browsers.world.client()

    async def ask(method: str, path: str, **body: Any) -> Any:
        reply = await client.request(method, f"{url}/{path}", json=body if method == "POST" else None)
        assert reply.status_code == 200, reply.text
        return reply.json()["value"]

    options = {"args": ["--headless"], "prefs": {"x": 1}}
    wish = {"browserName": "chrome", "goog:chromeOptions": options, "webSocketUrl": True}
    begun = await ask("POST", "session", capabilities={"firstMatch": [{}], "alwaysMatch": wish})
    session = f"session/{begun['sessionId']}"
    await ask("POST", f"{session}/url", url=FORM)
    (field,) = (await ask("POST", f"{session}/element", using="css selector", value="#name")).values()
    await ask("POST", f"{session}/element/{field}/value", text="Bob")
    (button,) = (await ask("POST", f"{session}/element", using="css selector", value="button")).values()
    await ask("POST", f"{session}/element/{button}/click")
    assert await ask("GET", f"{session}/title") == "Hello Bob"
    assert base64.b64decode(await ask("GET", f"{session}/screenshot")).startswith(PNG)
    bidi = begun["capabilities"]["webSocketUrl"]
    assert bidi == f"{url.replace('https', 'wss')}/{session}"
    async with connect(bidi, ssl=browsers.world.tls(), proxy=None) as websocket:
        await websocket.send(json.dumps({"id": 1, "method": "session.status", "params": {}}))
        assert json.loads(await asyncio.wait_for(websocket.recv(), 10))["type"] == "success"
    await ask("DELETE", session)
    listed = (await client.get(f"{browsers.url('cdp')}/json/list")).json()
    assert "Hello Bob" in [one["title"] for one in listed], "the browser goes on"
    again = await ask("POST", "session", capabilities={})
    for window in await ask("GET", f"session/{again['sessionId']}/window/handles"):
        await ask("POST", f"session/{again['sessionId']}/window", handle=window)
        await ask("DELETE", f"session/{again['sessionId']}/window")

    async def is_back() -> bool:
        reply = await client.get(f"{browsers.url('cdp')}/json/list")
        return reply.status_code == 200 and any(one["type"] == "page" for one in reply.json())

    await eventually(is_back, 30)


async def test_while_a_person_has_control_playwright_is_refused_and_goes_on_afterwards(
    browsers: Browsers, playwright: Playwright
):
    async with attached(playwright, browsers.url("cdp")) as browser:
        page = browser.contexts[0].pages[0]
        await page.goto(FORM)
        await browsers.give_control(1, "Ada")
        acts = (
            lambda: page.goto(FORM),
            lambda: page.fill("#name", "Eve"),
            lambda: page.click("button"),
            lambda: page.keyboard.type("Eve"),
            lambda: page.mouse.click(10, 10),
            lambda: page.evaluate("document.title = 'Eve'"),
            browser.contexts[0].new_page,
            browser.new_context,
        )
        for act in acts:
            with pytest.raises(Error, match="held: Ada has control of this desktop: wait until they hand it back"):
                await asyncio.wait_for(act(), 10)
        assert browser.is_connected()
        await browsers.give_control(2)
        assert await page.title() == "Form", "nothing was done, and nothing comes later"
        await page.fill("#name", "Ann")
        await page.click("button")
        assert await page.title() == "Hello Ann"


async def test_puppeteer_fills_in_a_form_and_is_refused_while_a_person_has_control(browsers: Browsers):
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": str(browsers.world.folder / "cert.pem")}
    pipe = asyncio.subprocess.PIPE
    program = ("node", PUPPETEER, browsers.url("cdp", BOB).replace("https", "wss"), FORM)
    run = await asyncio.create_subprocess_exec(*program, env=environment, stdin=pipe, stdout=pipe)
    assert run.stdin is not None
    assert run.stdout is not None
    try:
        assert await _line(run.stdout) == "Form"
        await browsers.give_control(1, "Ada", BOB)
        run.stdin.write(b"\n")
        assert "held: Ada has control of this desktop" in await _line(run.stdout)
        await browsers.give_control(2, session_id=BOB)
        run.stdin.write(b"\n")
        assert [await _line(run.stdout) for _ in range(2)] == ["Hello Zoe", "PNG"]
        assert "The session has no file /nowhere/report.pdf." in await _line(run.stdout)
        assert await _line(run.stdout) == "hostname"
        assert await asyncio.wait_for(run.wait(), 10) == 0
    finally:
        if run.returncode is None:
            run.kill()
            await run.wait()


async def _line(output: asyncio.StreamReader) -> str:
    return (await asyncio.wait_for(output.readline(), 20)).decode().strip()


async def test_selenium_uploads_a_file_of_the_programs_machine(browsers: Browsers, tmp_path: Path):
    (tmp_path / "note.txt").write_text("read me")
    config = ClientConfig(
        remote_server_addr=browsers.url("webdriver"), ca_certs=str(browsers.world.folder / "cert.pem")
    )

    def uploaded() -> str:
        driver = webdriver.Remote(browsers.url("webdriver"), options=webdriver.ChromeOptions(), client_config=config)
        try:
            driver.file_detector = LocalFileDetector()
            driver.get("data:text/html,<input type=file id=file>")
            driver.find_element(By.ID, "file").send_keys(str(tmp_path / "note.txt"))
            read = "document.getElementById('file').files[0].text().then(arguments[0])"
            return driver.execute_async_script(read)
        finally:
            driver.quit()

    assert await asyncio.to_thread(uploaded) == "read me"


async def test_while_a_person_has_control_selenium_is_refused_and_goes_on_afterwards(browsers: Browsers):
    authority = str(browsers.world.folder / "cert.pem")
    config = ClientConfig(remote_server_addr=browsers.url("webdriver"), ca_certs=authority)
    driver = await asyncio.to_thread(
        webdriver.Remote, browsers.url("webdriver"), options=webdriver.ChromeOptions(), client_config=config
    )
    try:
        await asyncio.to_thread(driver.get, FORM)
        field = await asyncio.to_thread(driver.find_element, By.ID, "name")
        await browsers.give_control(3, "Ada")
        for act in (
            lambda: driver.get("data:text/html,<title>Eve</title>"),
            lambda: field.send_keys("Eve"),
            lambda: driver.execute_script("document.title = 'Eve'"),
            lambda: driver.find_element(By.ID, "name"),
            lambda: driver.switch_to.new_window("tab"),
        ):
            with pytest.raises(WebDriverException, match="held: Ada has control of this desktop"):
                await asyncio.to_thread(act)
        assert await asyncio.to_thread(lambda: driver.title) == "Form", "who looks disturbs no one"
        assert (await asyncio.to_thread(driver.get_screenshot_as_png)).startswith(PNG)
        await browsers.give_control(4)
        await asyncio.to_thread(field.send_keys, "Bob")
        button = await asyncio.to_thread(driver.find_element, By.TAG_NAME, "button")
        await asyncio.to_thread(button.click)
        assert await asyncio.to_thread(lambda: driver.title) == "Hello Bob"
    finally:
        await asyncio.to_thread(driver.quit)


async def test_the_end_of_the_lease_closes_its_websockets(browsers: Browsers):
    version = (await browsers.world.client().get(f"{browsers.url('cdp')}/json/version")).json()
    async with connect(version["webSocketDebuggerUrl"], ssl=browsers.world.tls(), proxy=None) as websocket:
        await websocket.send('{"id": 1, "method": "Browser.getVersion"}')
        assert "product" in json.loads(await websocket.recv())["result"]
        browsers.release(ANN)
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(websocket.recv(), 5)
    assert closed.value.rcvd == Close(4401, "This access to the session was revoked.")
    for name in ("cdp/json/version", "webdriver/status"):
        assert (await browsers.world.client().get(browsers.url(name))).status_code == 401
