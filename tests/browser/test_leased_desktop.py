"""A desktop that a program has leased: a person watches it, takes over, types, and hands it back."""

from __future__ import annotations

import re
import zipfile
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Locator, expect
from tests.acceptance.instance import Instance, wait_for
from tests.browser.conftest import RESULTS
from tests.browser.console import Person, inside, use_colours, violations

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240), pytest.mark.usefixtures("clean")]

HOME = "/home/kasm-user"


class Program:
    """A program with a lease of the user's, and only the lease's token."""

    def __init__(self, instance: Instance, user: Person, **wishes: Any) -> None:
        users = instance.call("GET", "/users", params={"q": user.username})
        wish = {"workspace": "Desktop", "seconds": 600, "user_id": users[0]["user_id"], "wait_s": 60}
        self.lease = instance.call("POST", "/leases", json=wish | wishes)
        self.session_id = self.lease["session_id"]
        self._instance = instance

    def act(self, *actions: dict[str, Any]) -> httpx2.Response:
        address = f"{self._instance.url}/api/v1/leases/{self.lease['lease_id']}/actions"
        token = {"Authorization": f"Bearer {self.lease['token']}"}
        with httpx2.Client(verify=self._instance.ca(), headers=token, timeout=30, trust_env=False) as http:
            return http.post(address, json={"actions": list(actions)})

    def has(self, name: str) -> bool:
        return name in inside(self.session_id, "ls", HOME)


def typed(name: str) -> dict[str, Any]:
    return {"action": "type", "text": f"touch ~/{name}\n"}


def is_whole(bar: Locator) -> bool:
    """True if none of its words is cut off."""
    parts = "part => part.scrollWidth <= part.clientWidth && part.scrollHeight <= part.clientHeight + 1"
    return bar.evaluate(f"bar => [...bar.querySelectorAll('p, button, .mantine-Button-label')].every({parts})")


def test_a_person_watches_takes_over_types_and_hands_back(instance: Instance, user: Person):
    program = Program(instance, user, record="actions")
    page, bar = user.page, user.page.get_by_role("region", name="Control")
    page.goto(program.lease["urls"]["live"])
    user.desktop()
    expect(bar).to_contain_text("A program is using this desktop.")
    expect(bar.get_by_text("The actions of the program are recorded.")).to_be_visible()
    in_front = ("xdotool", "getactivewindow", "getwindowname")
    wait_for(lambda: "kasm-user@" in inside(program.session_id, *in_front), "a terminal in front")
    page.locator("iframe").click()
    page.keyboard.type("touch ~/too-early\n")
    assert program.act(typed("by-program")).status_code == 200
    wait_for(lambda: program.has("by-program"), "what the program typed")
    assert violations(page) == []

    size = page.viewport_size
    assert size is not None
    page.set_viewport_size({"width": 360, "height": 740})
    expect(bar.get_by_text("Recorded.", exact=True)).to_be_visible()
    assert is_whole(bar), "on a phone, too"
    page.set_viewport_size(size)
    bar.get_by_role("button", name="Take over").click()
    expect(bar).to_contain_text("You have control.")
    assert violations(page) == []
    held = program.act(typed("held"))
    assert (held.status_code, held.json()["code"]) == (409, "held")

    def types_by_ada() -> bool:
        page.keyboard.type("touch ~/by-ada\n")  # the desktop gets the focus after the answer to Take over
        page.wait_for_timeout(500)
        return program.has("by-ada")

    wait_for(types_by_ada, "what the user typed")

    bar.get_by_role("button", name="Hand back").click()
    expect(bar).to_contain_text("A program is using this desktop.")
    page.keyboard.type("touch ~/too-late\n")
    assert program.act(typed("again")).status_code == 200
    wait_for(lambda: program.has("again"), "what the program typed then")
    seen = set(inside(program.session_id, "ls", HOME).split())
    assert not seen & {"too-early", "held", "too-late"}


@pytest.fixture
def recorded(instance: Instance, user: Person) -> Program:
    """A program that has performed some actions, with pictures of them."""
    program = Program(instance, user, record="pictures")
    path = f"/leases/{program.lease['lease_id']}/recording"
    wait_for(lambda: instance.call("GET", path)["rows"] == 1, "the row of the lease, which is later than it")

    def pictured(*actions: dict[str, Any]) -> None:
        number = instance.call("GET", path)["rows"] + len(actions)
        assert program.act(*actions).status_code == 200

        def is_there() -> bool:
            rows = instance.call("GET", f"{path}/rows")
            return len(rows) == number and rows[-1]["picture"] is not None

        wait_for(is_there, "the picture after it")

    pictured({"action": "key", "text": "ctrl+alt+t"}, {"action": "wait", "duration": 1.5})
    pictured({"action": "left_click", "coordinate": [640, 400]})
    pictured({"action": "type", "text": "uptime # a secret\n"})
    number = instance.call("GET", path)["rows"] + 1
    assert program.act({"action": "left_click", "coordinate": [5000, 400]}).status_code == 422
    wait_for(lambda: instance.call("GET", path)["rows"] == number, "the row of the refusal, which is later than it")
    return program


def test_what_a_program_did_is_replayed_action_by_action(recorded: Program, user: Person):
    page = user.page
    page.set_viewport_size({"width": 1440, "height": 960})
    user.open("/")
    page.get_by_role("button", name=re.compile("^Account")).click()
    page.get_by_role("menuitem", name="Recorded actions of programs").click()
    page.get_by_role("link", name="Desktop", exact=True).click()
    expect(page.get_by_role("heading", name=f"Actions on {user.username}\u2019s Desktop")).to_be_visible()
    chosen = page.locator(".replay-action[aria-current=step]")
    expect(chosen).to_contain_text("The lease was granted")
    expect(page.get_by_text("There is no picture yet.")).to_be_visible()

    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(chosen).to_contain_text("Left click at 640, 400.")
    assert page.url.endswith("#4")
    expect(page.get_by_role("img", name=re.compile("The screen after action 4"))).to_be_visible()
    page.wait_for_function("() => document.querySelector('.replay-picture img').naturalWidth === 1280")
    assert page.locator(".replay-point").get_attribute("style") == "left: 50%; top: 50%;"
    assert violations(page) == []
    page.screenshot(path=RESULTS / "replay.png")

    page.keyboard.press("End")
    expect(chosen).to_contain_text("invalid")
    expect(page.get_by_role("status").filter(has_text="is outside the screen")).to_be_visible()
    use_colours(page, "dark")
    assert violations(page) == []
    page.screenshot(path=RESULTS / "replay-dark.png")


def test_a_link_names_an_action_and_the_recording_is_taken_away(recorded: Program, user: Person):
    page = user.page
    user.open(f"/recordings/{recorded.lease['lease_id']}#5")
    expect(page.locator(".replay-action[aria-current=step]")).to_contain_text("Types 18 characters.")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export").click()
    names = zipfile.ZipFile(download.value.path()).namelist()
    assert [name for name in names if name.startswith("pictures/")] == [f"pictures/{at:06}.png" for at in (3, 4, 5)]
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)
    page.set_viewport_size({"width": 420, "height": 900})
    assert violations(page) == []
    page.screenshot(path=RESULTS / "replay-narrow.png")
