"""The requests of the methods of a leased desk, and the decoding of their answers, in both clients."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest
from packages.client.tests.leases import LEASE

from greenroom.client import (
    ActionFailed,
    AsyncDesk,
    AsyncGreenroom,
    Desk,
    Element,
    Greenroom,
    NotFound,
    desk as desk_of,
)


class Api(httpx.MockTransport):
    """Answers that an action was done, or was not, and records the requests."""

    def __init__(self, **result: Any) -> None:
        super().__init__(self._answer)
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.tree: list[dict[str, Any]] = []
        self._result = {"action": "x", "done": True} | result

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.sent.append((str(request.url), json.loads(request.content or b"{}")))
        if request.url.path.endswith("/tree"):
            return httpx.Response(200, json={"elements": self.tree, "left_out": 0})
        if request.method == "GET":
            return httpx.Response(200, content=b"PNG")
        picture = base64.b64encode(b"PNG").decode()
        return httpx.Response(200, json={"results": [self._result], "screenshot": picture})


def desk_at(api: Api) -> Desk:
    return Desk(Greenroom("https://greenroom.example", "k", "s", transport=api), LEASE)


def test_each_method_is_an_action():
    api = Api()
    desk = desk_at(api)
    desk.click(1, 2)
    desk.click(button="right", keys="ctrl")
    desk.click(1, 2, times=2)
    desk.move(3, 4)
    desk.drag((1, 2), (3, 4))
    desk.scroll("up", 5, 6, 7)
    desk.type("Grüße")
    desk.key("ctrl+s")
    desk.key("shift", seconds=1.5)
    desk.open("https://example.org/")
    desk.copy("a")
    assert [body["actions"][0] for _, body in api.sent] == [
        {"action": "left_click", "coordinate": [1, 2]},
        {"action": "right_click", "text": "ctrl"},
        {"action": "double_click", "coordinate": [1, 2]},
        {"action": "mouse_move", "coordinate": [3, 4]},
        {"action": "left_click_drag", "start_coordinate": [1, 2], "coordinate": [3, 4]},
        {"action": "scroll", "scroll_direction": "up", "scroll_amount": 5, "coordinate": [6, 7]},
        {"action": "type", "text": "Grüße"},
        {"action": "key", "text": "ctrl+s"},
        {"action": "hold_key", "text": "shift", "duration": 1.5},
        {"action": "open_address", "url": "https://example.org/"},
        {"action": "set_clipboard", "text": "a"},
    ]


TREE = [
    {"ref": "1.5-root", "role": "application", "name": "mousepad", "children": [
        {"ref": "1.5-7", "role": "menu", "name": "File", "states": ["enabled"], "place": [1, 2, 30, 4]},
        {"ref": "1.5-8", "role": "menu", "name": "Edit"},
    ]},
]  # fmt: skip


async def test_elements_are_found_and_acted_at_in_both_clients():
    api, other = Api(), Api()
    api.tree = other.tree = TREE
    desk = desk_at(api)
    there = AsyncDesk(AsyncGreenroom("https://greenroom.example", "k", "s", transport=other), LEASE)
    menu = desk.find("menu", "Edit")
    assert menu == await there.find("menu", "Edit") == Element(ref="1.5-8", role="menu", name="Edit")
    assert [one.name for one in desk.find_all("menu")] == ["File", "Edit"]
    assert [one.place for one in await there.find_all(name="File", below="1.5-root")] == [(1, 2, 30, 4)]
    assert other.sent[-1][0].endswith("/tree?ref=1.5-root")
    with pytest.raises(NotFound, match="No menu named Help is on the screen"):
        desk.find("menu", "Help")
    api.sent.clear()
    other.sent.clear()
    desk.click(ref=menu.ref)
    await there.click(ref=menu.ref)
    desk.move(ref="1")
    await there.move(ref="1")
    desk.scroll("down", ref="1")
    await there.scroll("down", ref="1")
    desk.type("a", ref="1")
    await there.type("a", ref="1")
    desk.focus("1")
    await there.focus("1")
    assert api.sent == other.sent
    assert [body["actions"][0] for _, body in api.sent] == [
        {"action": "left_click", "ref": "1.5-8"},
        {"action": "mouse_move", "ref": "1"},
        {"action": "scroll", "scroll_direction": "down", "scroll_amount": 3, "ref": "1"},
        {"action": "type", "text": "a", "ref": "1"},
        {"action": "focus", "ref": "1"},
    ]


async def test_both_clients_send_the_same():
    api, other = Api(text="copied"), Api(text="copied")
    desk = desk_at(api)
    there = AsyncDesk(AsyncGreenroom("https://greenroom.example", "k", "s", transport=other), LEASE)
    assert desk.clipboard() == await there.clipboard() == "copied"
    action = {"action": "screenshot"}
    assert desk.act(action, screenshot=True, display=(640, 400)).screenshot == b"PNG"
    assert (await there.act(action, screenshot=True, display=(640, 400))).screenshot == b"PNG"
    assert desk.screenshot((0, 0, 9, 9), width=5, cursor=False) == b"PNG"
    assert await there.screenshot((0, 0, 9, 9), width=5, cursor=False) == b"PNG"
    assert api.sent == other.sent
    assert api.sent[1][1]["display"] == {"width": 640, "height": 400}
    assert api.sent[2][0].endswith("/api/v1/leases/l/screenshot?region=0%2C0%2C9%2C9&width=5&cursor=false")


def test_an_action_that_was_not_done_is_an_error():
    desk = desk_at(Api(done=False, error="the text has a control character."))
    with pytest.raises(ActionFailed, match="control character"):
        desk.type("\x03")
    assert desk.act({"action": "type", "text": "\x03"}).results[0].error == "the text has a control character."


@pytest.mark.parametrize(("button", "times", "x"), [("right", 2, 1), ("left", 4, 1), ("left", 1, None)])
def test_a_click_that_there_is_not_is_refused(button: desk_of.Button, times: int, x: int | None):
    with pytest.raises(ValueError, match=r"Each button can|at x and y"):
        desk_of.click_action(desk_of.action_place(x, 1, None), button, times, None)


def test_an_action_is_at_a_place_or_at_an_element():
    with pytest.raises(ValueError, match="at x and y, or at the ref of an element"):
        desk_of.action_place(1, 2, "1.5-8")
