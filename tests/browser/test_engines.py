"""The main jobs of a desktop in three browser engines: Chromium, Firefox and WebKitGTK."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from tests.acceptance.instance import Instance, wait_for
from tests.browser.conftest import empty
from tests.browser.console import PAINTED, inside
from tests.browser.engines import ENGINES, Engine
from tests.support.sound import tone

from greenroom.db.access.users import ALL_USERS

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore:setting remote_server_addr:DeprecationWarning"),  # Selenium's, of its own code
]

PERSON = {"username": "eve@example.org", "password": "correct horse battery"}
MOUSE = r"\e[?1000h\e[?1006h"
PAD = f"stty raw -echo; printf '{MOUSE}'; exec cat >>/tmp/pad"
SIZE = "xclip -o -selection clipboard -t image/png | head -c 24 | tail -c 8 | od -An -tu1"
READS = f"stty raw -echo; while read -rN1 key; do {SIZE} >>/tmp/pad; done"
"""A program that writes the size of the picture on the clipboard at each key."""
COLOR = """() => {
  const { canvas } = document.querySelector('canvas').getContext('2d');
  return [...canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data].slice(0, 3);
}"""
"""The color in the middle of the screen."""
TOUCHING_TIMES = """
const found = [];
let row = [];
const draw = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
  if (this.textAlign === 'center') {
    if (x <= row.at(-1)?.x) row = []; // drawn again
    row.push({ text, x, half: this.measureText(text).width / 2 });
  }
  draw.call(this, text, x, y);
};
const box = document.querySelector('.uplot').parentElement;
for (let width = 300; width < 1200; width += 30) {
  row = [];
  box.style.width = `${width}px`;
  while (row.length === 0) await new Promise(requestAnimationFrame);
  const touches = ({ x, half }, index) => index > 0 && x - half < row[index - 1].x + row[index - 1].half + 8;
  if (row.some(touches)) found.push([width, ...row.map(({ text }) => text)]);
}
CanvasRenderingContext2D.prototype.fillText = draw;
return found;
"""
"""The widths of the chart at which times below it touch each other, with the times."""
PASTES = r"#override Ctrl <Key>v: insert-selection(CLIPBOARD)\n Shift <Key>Insert: insert-selection(CLIPBOARD)"
"""The keys that paste in a program, which xterm leaves to the shell."""


@dataclass
class Desk:
    """The desktop of a person, in the window of an engine."""

    engine: Engine
    instance: Instance
    session_id: str

    def shell(self, script: str) -> str:
        return inside(self.session_id, "bash", "-c", script)

    def eventually(self, script: str, wanted: str) -> None:
        """Wait until the output of `script` in the session is `wanted`."""
        found = ""

        def same() -> bool:
            nonlocal found
            found = self.shell(script)
            return found == wanted

        try:
            wait_for(same, script, within_s=20)
        except AssertionError as error:
            raise AssertionError(f"{script} is {found[:400]!r}, not {wanted[:400]!r}") from error

    def pad(self, look: str = "-fullscreen") -> None:
        """A terminal with the focus, over the whole screen, which writes keys and clicks into /tmp/pad."""
        self.shell("pkill xterm; rm -f /tmp/pad; printf '%s' before | xclip -selection clipboard >/dev/null 2>&1")
        look += f" -title Pad -xrm {shlex.quote('*VT100.translations: ' + PASTES)}"
        self.shell(f"setsid xterm {look} -e bash -c {shlex.quote(PAD)} >/dev/null 2>&1 &")
        self.eventually("xdotool getactivewindow getwindowname; ls /tmp/pad", "Pad\n/tmp/pad\n")
        self.engine.run(
            "window.copied ??= addEventListener('message', ({data}) => { if (data.text) window.copied = data.text; });"
        )
        self.click()

    def click(self) -> None:
        """Give the desktop the focus, and forget what the terminal wrote."""
        self.shell(": >/tmp/pad")
        self.engine.pointer((600, 400))
        self.eventually("grep -o '<0;[0-9;]*m' /tmp/pad | wc -l", "1\n")
        self.shell(": >/tmp/pad")

    def copy(self, text: str) -> None:
        """Copy a text in the session, and wait until the page knows it."""
        self.shell(f"printf %s {shlex.quote(text)} | xclip -selection clipboard >/dev/null 2>&1")
        self.engine.until("window.copied === args[0]", text)


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with ENGINES[request.param](tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture(scope="module")
def desk(engine: Engine, instance: Instance, desktop_image: str) -> Iterator[Desk]:
    """A person has logged in with the form and launched a desktop."""
    image = {"name": desktop_image, "friendly_name": "Xfce", "cores": 1, "memory": 1_000_000_000}
    image_id = instance.call("POST", "/images", json=image)["image_id"]
    user_id = instance.call("POST", "/users", json=PERSON)["user_id"]
    engine.open(instance.url)
    for name, text in (("username", PERSON["username"]), ("current-password", PERSON["password"])):
        engine.until("document.querySelector(args[0])", f"input[autocomplete={name}]")
        engine.driver.find_element(By.CSS_SELECTOR, f"input[autocomplete={name}]").send_keys(text)
    engine.press(Keys.ENTER)
    engine.until("document.querySelector('[data-testid=launch-Xfce]')")
    engine.driver.find_element(By.CSS_SELECTOR, "[data-testid=launch-Xfce]").click()
    engine.until("document.querySelector('iframe[data-state=connected]')", within_s=60)
    with engine.frame():
        engine.until(f"({PAINTED})()")
    yield Desk(engine, instance, engine.run("return location.pathname.split('/').at(-1)"))
    empty(instance)
    instance.call("DELETE", f"/users/{user_id}")
    instance.call("DELETE", f"/images/{image_id}")


def test_text_and_keys_arrive_as_they_were_typed(desk: Desk):
    desk.pad()
    desk.engine.type("a \"b' #$&~ÄöüßÉ€é@ñ日本")
    desk.engine.press(Keys.CONTROL, "d")
    desk.engine.press(Keys.ESCAPE)
    desk.eventually("cat /tmp/pad", "a \"b' #$&~ÄöüßÉ€é@ñ日本\x04\x1b")


def test_keys_lead_out_of_the_desktop_and_back(desk: Desk):
    desk.pad()
    desk.engine.press(Keys.CONTROL, Keys.ALT, Keys.SHIFT)
    menu = "document.activeElement.textContent === 'Menu' && document.activeElement.ariaExpanded === 'true'"
    desk.engine.until(menu)
    desk.engine.press(Keys.TAB)
    desk.engine.until("document.activeElement.closest('section')?.ariaLabel === 'Session menu'")
    desk.engine.press(Keys.ESCAPE)
    desk.engine.until("document.activeElement.tagName === 'IFRAME'")
    desk.engine.type("a")
    desk.eventually("cat /tmp/pad", "a")


def test_the_mouse_clicks_drags_and_scrolls(desk: Desk):
    desk.pad()
    desk.engine.pointer((300, 200), (500, 300), (700, 500))
    desk.eventually("grep -o '<0;[0-9;]*[Mm]' /tmp/pad | cut -d';' -f2 | sort -u | wc -l", "2\n")
    for down, report in ((240, "<65;"), (-240, "<64;")):
        desk.engine.wheel(600, 400, down)
        desk.eventually(f"grep -q '{report}' /tmp/pad && echo turned", "turned\n")
    if desk.engine.name != "WebKitGTK":  # its driver releases the left button in place of the right one
        desk.engine.pointer((600, 400), button=2)
        desk.eventually("grep -o '<2;[0-9;]*[Mm]' /tmp/pad | wc -l", "2\n")


def test_files_are_uploaded_and_downloaded(desk: Desk, tmp_path: Path):
    file = tmp_path / "up file ä.txt"
    file.write_text("of this computer")
    desk.shell("mkdir -p ~/Downloads; printf 'of the session' > ~/Downloads/'down ß.txt'")
    desk.engine.tool("Files")
    with desk.engine.frame():
        desk.engine.find("//input[@id='chooser']").send_keys(str(file))
        desk.eventually("cat ~/Uploads/'up file ä.txt'", "of this computer")
        address = desk.engine.find("//ul[@id='list']//a[contains(., 'down ß.txt')]").get_attribute("href")
        assert desk.engine.run("return (await fetch(args[0])).text()", address) == "of the session"
        desk.engine.find("//button[@id='files-close']").click()


def test_the_video_picture_has_the_colors_of_the_screen(desk: Desk):
    desk.engine.tool("Picture: sharp")
    with desk.engine.frame():
        desk.engine.until("document.documentElement.dataset.picture === 'video'")
        for color, index in (("red", 0), ("blue", 2)):
            desk.shell(f"setsid xterm -fullscreen -bg {color} -e sleep 1000 >/dev/null 2>&1 &")
            desk.engine.until(f"(({COLOR})()).every((part, index) => (index === {index}) === (part > 128))")
    desk.engine.tool("Picture: smooth")
    with desk.engine.frame():
        desk.engine.until("document.documentElement.dataset.picture === 'light'")


def test_the_sound_of_the_session_is_played(desk: Desk):
    desk.engine.run("addEventListener('message', ({data}) => { if (data.audio > 0.1) window.loud = true; });")
    desk.engine.tool("Sound")
    desk.shell(f"({tone(1000, 60)}) >/dev/null 2>&1 &")
    desk.engine.until("window.loud")
    desk.shell("pkill pacat")
    desk.engine.tool("Sound")


def test_the_desktop_reconnects_after_a_crash_of_the_gateway(desk: Desk):
    desk.pad()
    remember = (
        "addEventListener('message', ({data}) => { if (data.type === 'state') window.states.push(data.state); });"
    )
    desk.engine.run(f"window.states = []; {remember}")
    for pid in desk.instance.pids("nginx"):
        os.kill(pid, signal.SIGKILL)
    desk.engine.until("window.states.includes('reconnecting') && window.states.at(-1) === 'connected'")
    desk.engine.copy("again")
    desk.click()
    desk.engine.press(Keys.CONTROL, "v")
    desk.eventually("cat /tmp/pad", "again")


def test_the_keys_for_paste_use_the_clipboard_of_this_computer(desk: Desk):
    """Without a permission to read the clipboard. WebKitGTK pastes nothing at Shift+Insert, in other pages either."""
    desk.pad()
    pasting = [(Keys.CONTROL, "v"), (Keys.CONTROL, Keys.SHIFT, "v"), (Keys.SHIFT, Keys.INSERT)]
    for keys in pasting[: 2 if desk.engine.name == "WebKitGTK" else 3]:
        text = f"of this computer äß日 {len(keys)} {keys[0] == Keys.CONTROL}"
        desk.engine.copy(text)
        desk.click()
        desk.engine.press(*keys)
        desk.eventually("cat /tmp/pad", text)
        desk.engine.type("x")
        desk.eventually("cat /tmp/pad", text + "x")


def test_a_long_text_is_pasted_whole(desk: Desk):
    desk.pad()
    text = "".join(f"{number:06} äß日\n" for number in range(20_000))
    desk.engine.copy(text)
    desk.click()
    desk.engine.press(Keys.CONTROL, "v")
    digest = hashlib.sha256(text.encode()).hexdigest()
    desk.eventually("xclip -o -selection clipboard | sha256sum", f"{digest}  -\n")
    desk.eventually("tr '\\r' '\\n' </tmp/pad | sha256sum", f"{digest}  -\n")


def test_a_picture_is_pasted(desk: Desk):
    if desk.engine.name == "WebKitGTK":
        pytest.skip("WebKitGTK gives pictures that are pasted to no page")
    desk.pad()
    desk.engine.copy_picture(300, 200)
    desk.click()
    look = "-fullscreen -title Reads"
    desk.shell(f"setsid xterm {look} -e bash -c {shlex.quote(READS)} >/dev/null 2>&1 &")
    desk.eventually("xdotool getactivewindow getwindowname", "Reads\n")
    desk.engine.press(Keys.CONTROL, "v")
    desk.eventually("cat /tmp/pad", "   0   0   1  44   0   0   0 200\n")


def test_a_text_that_the_panel_sent_is_pasted(desk: Desk):
    desk.pad()
    desk.engine.copy("older, of this computer")
    desk.engine.tool("Clipboard")
    desk.engine.find("//textarea[not(@readonly)]").send_keys("of the panel")
    desk.engine.find("//button[.='Send']").click()
    desk.click()
    desk.engine.press(Keys.CONTROL, "v")
    desk.eventually("cat /tmp/pad", "of the panel")


def test_a_second_screen_has_pointer_keys_and_clipboard(desk: Desk):
    before = desk.engine.run("return innerWidth")
    with desk.engine.window(lambda: desk.engine.tool("Second screen")):
        with desk.engine.frame():
            desk.engine.until("document.documentElement.dataset.painted")
        desk.pad(look=f"-geometry 130x50+{before + 20}+20")
        desk.engine.copy("on the second screen")
        desk.click()
        desk.engine.press(Keys.CONTROL, "v")
        desk.eventually("cat /tmp/pad", "on the second screen")
        desk.engine.type("é!")
        desk.eventually("cat /tmp/pad", "on the second screené!")
    desk.eventually("xdotool getdisplaygeometry | cut -d' ' -f1", f"{before}\n")


def test_text_copied_in_the_session_is_pasted_there(desk: Desk):
    desk.pad()
    desk.engine.copy("older, of this computer")
    desk.click()
    desk.copy("newer, of the session")
    desk.engine.press(Keys.CONTROL, "v")
    desk.eventually("cat /tmp/pad", "newer, of the session")


def test_text_copied_in_the_session_reaches_this_computer(desk: Desk):
    """At once, or at the next input if the browser wants one."""
    desk.pad()
    for text in ("of the session äß日", "and once more"):
        desk.copy(text)
        desk.engine.press(Keys.SHIFT)
        with desk.engine.frame():
            desk.engine.until("document.getElementById('message').hidden")
        assert desk.engine.pasted() == text
        desk.click()


def test_a_button_copies_what_the_browser_refused(desk: Desk):
    desk.pad()
    with desk.engine.frame():
        desk.engine.run("navigator.clipboard.writeText = () => Promise.reject(new Error('refused'))")
    desk.copy("refused")
    with desk.engine.frame():
        desk.engine.until("!document.getElementById('message').hidden")
        desk.engine.run("delete navigator.clipboard.writeText")
        desk.engine.find("//*[@id='message']/button[.='Copy']").click()
        desk.engine.until("document.getElementById('message').hidden")
    assert desk.engine.pasted() == "refused"


@pytest.fixture
def guests(instance: Instance) -> Iterator[None]:
    """All users may share with guests."""
    settings = ("allow_kasm_sharing", "allow_guest_links")
    instance.call("PATCH", f"/groups/{ALL_USERS}", json={"settings": dict.fromkeys(settings, True)})
    yield
    instance.call("PATCH", f"/groups/{ALL_USERS}", json={"settings": dict.fromkeys(settings)})


@pytest.mark.usefixtures("guests")
def test_a_guest_opens_a_link_and_is_seen(desk: Desk):
    engine, instance = desk.engine, desk.instance
    desk.shell("pkill xterm")
    share = (
        "const body = JSON.stringify({access: 'view', guest: true}), headers = {'Content-Type': 'application/json'};"
    )
    share += "const shared = await fetch(args[0], { method: 'POST', headers, body });"
    share += "return new URL((await shared.json()).connect_url, location.href).href;"
    link = engine.run(share, f"/api/v1/sessions/{desk.session_id}/shares")

    engine.driver.delete_all_cookies()
    engine.open(link)
    engine.find("//input[@autocomplete='name']").send_keys("Gus")
    engine.find("//button[.='Join']").click()
    engine.until("document.querySelector('iframe[data-state=connected]')", within_s=60)
    with engine.frame():
        engine.until(f"({PAINTED})()")
    engine.find("//nav//*[.='View only']")

    def seen() -> bool:
        viewers = instance.call("GET", f"/sessions/{desk.session_id}/viewers")
        return [viewer["announcement"] for viewer in viewers] == ["Gus (guest) is watching"]

    wait_for(seen, "the guest among the viewers")


def test_charts_are_drawn_on_today_trends_and_logs(desk: Desk):
    """WebKitGTK reports the language "C" here, as on a Linux without a locale."""
    desk.engine.driver.delete_all_cookies()
    desk.engine.open(desk.instance.url)
    admin = {name: desk.instance.found["admin"][name] for name in ("username", "password")}
    log_in = "const body = JSON.stringify(args[0]), headers = {'Content-Type': 'application/json'};"
    log_in += "return (await fetch('/api/v1/login', { method: 'POST', headers, body })).ok;"
    assert desk.engine.run(log_in, admin)
    for place in ("", "/trends", "/diagnostics/logs"):
        desk.engine.open(f"{desk.instance.url}/admin{place}")
        desk.engine.until("document.querySelector('.uplot canvas')", within_s=75)  # the first minute is recorded
    assert desk.engine.run(TOUCHING_TIMES) == []
