"""What the methods of a leased desk send, and what its answers become, in both clients."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from greenroom.client import ActionFailed, AsyncDesk, AsyncGreenroom, Desk, Greenroom, Lease
from greenroom.client import hands as hands_of

LEASE = Lease(
    lease_id="L",
    session_id="S",
    image_friendly_name="Desktop",
    outcome="staged",
    status="running",
    tags=[],
    created=datetime(2026, 1, 1, tzinfo=UTC),
    expires=None,
)


class Api(httpx.MockTransport):
    """Answers that an action was done, or was not, and notes what was sent."""

    def __init__(self, **result: Any) -> None:
        super().__init__(self._answer)
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self._result = {"action": "x", "done": True} | result

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.sent.append((str(request.url), json.loads(request.content or b"{}")))
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
    assert api.sent[2][0].endswith("/api/v1/leases/L/screenshot?region=0%2C0%2C9%2C9&width=5&cursor=false")


def test_an_action_that_was_not_done_is_an_error():
    desk = desk_at(Api(done=False, error="the text has a control character."))
    with pytest.raises(ActionFailed, match="control character"):
        desk.type("\x03")
    assert desk.act({"action": "type", "text": "\x03"}).results[0].error == "the text has a control character."


@pytest.mark.parametrize(("button", "times", "x"), [("right", 2, 1), ("left", 4, 1), ("left", 1, None)])
def test_a_click_that_there_is_not_is_refused(button: hands_of.Button, times: int, x: int | None):
    with pytest.raises(ValueError, match="Clicks are"):
        hands_of.click(x, 1, button, times, None)
