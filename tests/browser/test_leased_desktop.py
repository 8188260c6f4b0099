"""A desktop that a program has leased: a person watches it, takes over, types, and hands back."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from playwright.sync_api import expect
from tests.acceptance.instance import Instance, wait_for
from tests.browser.console import Person, inside, violations

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240), pytest.mark.usefixtures("clean")]

HOME = "/home/kasm-user"


class Program:
    """A program with a lease of the user's, and the lease's token alone."""

    def __init__(self, instance: Instance, user: Person) -> None:
        users = instance.call("GET", "/users", params={"q": user.username})
        wish = {"workspace": "Desktop", "seconds": 600, "user_id": users[0]["user_id"], "wait_s": 60}
        self.lease = instance.call("POST", "/leases", json=wish)
        self.session_id = self.lease["session_id"]
        self._instance = instance

    def act(self, *actions: dict[str, Any]) -> httpx.Response:
        address = f"{self._instance.url}/api/v1/leases/{self.lease['lease_id']}/actions"
        token = {"Authorization": f"Bearer {self.lease['token']}"}
        with httpx.Client(verify=self._instance.ca(), headers=token, timeout=30, trust_env=False) as http:
            return http.post(address, json={"actions": list(actions)})

    def has(self, name: str) -> bool:
        return name in inside(self.session_id, "ls", HOME)


def typed(name: str) -> dict[str, Any]:
    return {"action": "type", "text": f"touch ~/{name}\n"}


def test_a_person_watches_takes_over_types_and_hands_back(instance: Instance, user: Person):
    program = Program(instance, user)
    page, bar = user.page, user.page.get_by_role("region", name="Control")
    page.goto(program.lease["urls"]["live"])
    user.desktop()
    expect(bar).to_contain_text("A program is using this desktop.")

    def terminal() -> bool:
        program.act({"action": "key", "text": "ctrl+alt+t"}, {"action": "wait", "duration": 1.5})
        return "Terminal" in inside(program.session_id, "xdotool", "getactivewindow", "getwindowname")

    wait_for(terminal, "a terminal in front")
    page.locator("iframe").click()
    page.keyboard.type("touch ~/too-early\n")
    assert program.act(typed("by-program")).status_code == 200
    wait_for(lambda: program.has("by-program"), "what the program typed")
    assert violations(page) == []

    bar.get_by_role("button", name="Take over").click()
    expect(bar).to_contain_text("You have control.")
    assert violations(page) == []
    held = program.act(typed("held"))
    assert (held.status_code, held.json()["code"]) == (409, "held")
    page.keyboard.type("touch ~/by-ada\n")
    wait_for(lambda: program.has("by-ada"), "what the user typed")

    bar.get_by_role("button", name="Hand back").click()
    expect(bar).to_contain_text("A program is using this desktop.")
    page.keyboard.type("touch ~/too-late\n")
    assert program.act(typed("again")).status_code == 200
    wait_for(lambda: program.has("again"), "what the program typed then")
    seen = set(inside(program.session_id, "ls", HOME).split())
    assert not seen & {"too-early", "held", "too-late"}
