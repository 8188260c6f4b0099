"""Three browser engines behind Selenium: Debian's Chromium, Firefox ESR, and the MiniBrowser of WebKitGTK.

Debian packages no geckodriver, so Firefox is controlled by its own protocol, Marionette, whose commands and answers are
those of WebDriver.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.command import Command
from selenium.webdriver.remote.file_detector import UselessFileDetector
from selenium.webdriver.remote.remote_connection import RemoteConnection
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.webkitgtk.options import Options as WebKitGTKOptions
from tests.acceptance.instance import wait_for
from tests.browser.own_machine import chromium_options

WIDTH, HEIGHT = 1280, 800
FIREFOX: Final = "/usr/bin/firefox-esr"
MINI_BROWSER: Final = "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser"
SCRIPT_S = 30
"""The time limit of a script, and of the answer of a driver."""

COPIES_PICTURE: Final = """
const button = document.body.appendChild(document.createElement('button'));
button.style = 'position: fixed; top: 0; left: 0; z-index: 9999; width: 50px; height: 50px';
button.onclick = async () => {
  const canvas = Object.assign(document.createElement('canvas'), { width: arguments[0], height: arguments[1] });
  canvas.getContext('2d').fillRect(0, 0, 9, 9);
  const image = new Promise((done) => canvas.toBlob(done, 'image/png'));
  await navigator.clipboard.write([new ClipboardItem({ 'image/png': image })]);
  button.textContent = 'ok';
};
return button;
"""
FIELD: Final = """
const field = document.body.appendChild(document.createElement('textarea'));
field.style = 'position: fixed; top: 0; z-index: 9999';
field.value = arguments[0];
field.focus();
return field;
"""

PREFERENCES = {
    "browser.aboutwelcome.enabled": False,
    "browser.download.folderList": 2,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "marionette.port": 0,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.notify.changed": False,
    "ui.prefersReducedMotion": 1,
}


class Engine:
    """A browser with one window, in whose page and frames a person types, clicks and looks."""

    def __init__(self, name: str, driver: WebDriver) -> None:
        self.name = name
        self.driver = driver
        self.version: str = driver.capabilities["browserVersion"]
        driver.set_script_timeout(SCRIPT_S)
        driver.set_window_size(WIDTH, HEIGHT)

    def open(self, url: str) -> None:
        self.driver.get(url)

    def run(self, script: str, *arguments: Any) -> Any:
        """The result of the body of an async function in the current page or frame."""
        answer = self._answer(script, *arguments)
        assert answer is not None, f"the document was replaced during {script}"
        return answer[0]

    def _answer(self, script: str, *arguments: Any) -> tuple[Any] | None:
        """The result of a script, or None if another document replaced its own: then Firefox answers null."""
        answer = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            f"(async (...args) => {{ {script} }})(...[...arguments].slice(0, -1))"
            ".then((value) => done(['value', value ?? null]), (error) => done(['error', String(error)]));",
            *arguments,
        )
        if answer is None:
            return None
        outcome, value = answer
        assert outcome == "value", f"{value} in {script}"
        return (value,)

    def until(self, condition: str, *arguments: Any, within_s: float = SCRIPT_S) -> Any:
        """The first true value of a JavaScript expression over `args` in the current page or frame."""

        def value() -> Any:
            answer = self._answer(f"return {condition};", *arguments)
            return answer and answer[0]

        return wait_for(value, condition, within_s)

    def find(self, path: str) -> WebElement:
        """The element at an XPath, once it is there."""
        return wait_for(lambda: next(iter(self.driver.find_elements(By.XPATH, path)), None), path)

    def tool(self, name: str) -> None:
        """Press a row in the menu of the session."""
        menu = self.find("//button[@aria-label='Menu' or .='Menu']")
        if menu.get_attribute("aria-expanded") == "false":
            menu.click()
        self.find_still(f"//nav//button[.='{name}' or @aria-label='{name}']").click()

    def find_still(self, path: str) -> WebElement:
        """The element at an XPath, once it does not move. A click on a moving element misses it on a busy host."""
        place: dict[str, int] | None = None

        def stands_still() -> WebElement | None:
            nonlocal place
            element = self.find(path)
            before, place = place, element.rect
            return element if place == before else None

        return wait_for(stands_still, f"{path} stands still")

    @contextmanager
    def frame(self) -> Iterator[None]:
        """The frame of the page, for scripts and fields; points of the pointer count from its corner there."""
        self.driver.switch_to.frame(self.find("//iframe"))
        try:
            yield
        finally:
            self.driver.switch_to.default_content()

    @contextmanager
    def window(self, opens: Callable[[], None]) -> Iterator[None]:
        """The window that `opens` opens, which is closed after the block."""
        first = self.driver.current_window_handle
        opens()
        handles = wait_for(lambda: {*self.driver.window_handles} - {first}, "another window")
        self.driver.switch_to.window(handles.pop())
        try:
            yield
        finally:
            self.driver.close()
            self.driver.switch_to.window(first)

    def press(self, *keys: str) -> None:
        """Hold all keys but the last, press it, and release all."""
        chain = ActionChains(self.driver, duration=20)
        for key in keys[:-1]:
            chain.key_down(key)
        chain.key_down(keys[-1]).key_up(keys[-1])
        for key in reversed(keys[:-1]):
            chain.key_up(key)
        chain.perform()

    def type(self, text: str) -> None:
        ActionChains(self.driver, duration=10).send_keys(text).perform()

    def pointer(self, *path: tuple[int, int], button: int = 0) -> None:
        """Click at a point, or drag along a path of points; `button` as MouseEvent counts."""
        actions = ActionBuilder(self.driver, duration=50)
        pointer = actions.pointer_action
        pointer.move_to_location(*path[0])
        pointer.pointer_down(button)
        for point in path[1:]:
            pointer.move_to_location(*point)
        pointer.pointer_up(button)
        actions.perform()

    def wheel(self, x: int, y: int, down: int) -> None:
        actions = ActionBuilder(self.driver)
        actions.wheel_action.scroll(x=x, y=y, delta_y=down)
        actions.perform()

    def copy(self, text: str) -> None:
        """Copy a text on this computer, as a person does outside of the frame."""
        with self._field(text):
            self.press(Keys.CONTROL, "a")
            self.press(Keys.CONTROL, "c")

    def copy_picture(self, width: int, height: int) -> None:
        """Copy a picture of this size on this computer, by a button of the page."""
        button = self.driver.execute_script(COPIES_PICTURE, width, height)
        self.pointer((25, 25))
        self.until("args[0].textContent === 'ok'", button)
        self.run("args[0].remove()", button)

    def pasted(self) -> str:
        """The text on this computer's clipboard, as a person pastes it outside of the frame."""
        with self._field("") as field:
            self.press(Keys.CONTROL, "v")
            return self.run("return args[0].value", field)

    @contextmanager
    def _field(self, text: str) -> Iterator[WebElement]:
        """A field in the page during the block, with the focus."""
        field = self.driver.execute_script(FIELD, text)
        try:
            yield field
        finally:
            self.run("args[0].remove()", field)

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        self.driver.save_screenshot(str(path))


class Marionette(RemoteConnection):
    """A connection to a Firefox, in place of one to a driver."""

    NAMES: Final = {
        Command.W3C_EXECUTE_SCRIPT: "ExecuteScript",
        Command.W3C_EXECUTE_SCRIPT_ASYNC: "ExecuteAsyncScript",
        Command.GET: "Navigate",
        Command.W3C_ACTIONS: "PerformActions",
        Command.GET_ELEMENT_ATTRIBUTE: "GetElementAttribute",
        Command.CLICK_ELEMENT: "ElementClick",
        Command.SEND_KEYS_TO_ELEMENT: "ElementSendKeys",
        Command.SCREENSHOT: "TakeScreenshot",
        Command.W3C_GET_CURRENT_WINDOW_HANDLE: "GetWindowHandle",
        Command.W3C_GET_WINDOW_HANDLES: "GetWindowHandles",
        Command.CLOSE: "CloseWindow",
        Command.QUIT: "DeleteSession",
    }
    """Commands whose names differ."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SCRIPT_S + 10)
        self._stream = self._socket.makefile("rb")
        self._number = 0
        self._answer()

    def _answer(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            byte = self._stream.read(1)
            assert byte, "Firefox ended"
            length += byte
        return json.loads(self._stream.read(int(length[:-1])))

    def execute(self, command: str, params: dict[str, Any]) -> dict[str, Any]:
        """Send a command as WebDriver defines it, and return its answer as a driver does."""
        if command == Command.NEW_SESSION:
            params = params["capabilities"]["alwaysMatch"]
        elif command == Command.SWITCH_TO_FRAME and isinstance(params["id"], dict):
            params = {"element": next(iter(params["id"].values()))}
        elif command == Command.SCREENSHOT:
            params = {"full": False}
        params = {name: value for name, value in params.items() if name != "sessionId"}
        self._number += 1
        name = f"WebDriver:{self.NAMES.get(command, command[0].upper() + command[1:])}"
        message = json.dumps([0, self._number, name, params]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, number, error, result = self._answer()
        assert number == self._number
        if error is not None:
            return {"status": 500, "value": json.dumps({"value": error})}
        return {"value": result["value"] if isinstance(result, dict) and set(result) == {"value"} else result}

    def close(self) -> None:
        self._socket.close()


@contextmanager
def process(argv: list[str], log: Path, environment: dict[str, str], pass_fds: Sequence[int] = ()) -> Iterator[None]:
    """Run a program until the end of the block."""
    with log.open("ab") as output:
        running = subprocess.Popen(
            argv,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=pass_fds,
        )
    try:
        yield
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


@contextmanager
def chromium(folder: Path) -> Iterator[Engine]:
    with chromium_options() as found:
        options = webdriver.ChromeOptions()
        options.binary_location = found["executable_path"]
        for argument in (*found["args"], "--headless=new", "--remote-debugging-pipe"):
            options.add_argument(argument)
        options.accept_insecure_certs = True
        service = webdriver.ChromeService("/usr/bin/chromedriver")
        driver = webdriver.Chrome(options, service)
        try:
            yield Engine("Chromium", driver)
        finally:
            driver.quit()


@contextmanager
def display(folder: Path) -> Iterator[dict[str, str]]:
    """The variables of an X display with a window manager, and of a sound card: a browser without them has no clipboard
    for pictures and plays no sound."""
    log = folder / "display.log"
    reader, writer = os.pipe()
    argv = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"]
    with process(argv, log, {}, pass_fds=[writer]):
        os.close(writer)
        with os.fdopen(reader) as found:
            environment = {"DISPLAY": f":{int(found.readline())}", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
        environment["PULSE_SERVER"] = f"unix:{folder}/sound"
        sound = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--load=module-null-sink"]
        sound += [f"--load=module-native-protocol-unix socket={folder}/sound auth-anonymous=1"]
        with process(["openbox"], log, environment), process(sound, log, {"HOME": str(folder)}):
            yield environment


@contextmanager
def firefox(folder: Path) -> Iterator[Engine]:
    profile = folder / "profile"
    profile.mkdir()
    preferences = {**PREFERENCES, "browser.download.dir": str(folder)}
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items())
    (profile / "user.js").write_text("\n".join(lines))
    argv = [FIREFOX, "--marionette", "--no-remote", "--profile", str(profile)]
    with display(folder) as shown, process(argv, folder / "firefox.log", shown):
        port = profile / "MarionetteActivePort"
        wait_for(lambda: port.exists() and port.read_text(), "Firefox listens")
        options = webdriver.FirefoxOptions()
        options.accept_insecure_certs = True
        connection = Marionette(int(port.read_text()))
        try:
            yield Engine("Firefox", WebDriver(connection, options=options, file_detector=UselessFileDetector()))
        finally:
            connection.close()


@contextmanager
def webkit(folder: Path) -> Iterator[Engine]:
    with display(folder) as shown:
        options = WebKitGTKOptions()
        options.binary_location = MINI_BROWSER
        options.add_argument("--automation")
        options.set_capability("acceptInsecureCerts", True)
        service = webdriver.WebKitGTKService("/usr/bin/WebKitWebDriver", env={**os.environ, **shown})
        driver = webdriver.WebKitGTK(options=options, service=service)
        try:
            yield Engine("WebKitGTK", driver)
        finally:
            driver.quit()


ENGINES: Final[dict[str, Callable[[Path], AbstractContextManager[Engine]]]] = {
    "chromium": chromium,
    "firefox": firefox,
    "webkit": webkit,
}
