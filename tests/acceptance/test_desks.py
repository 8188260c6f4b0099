"""Programs use leased desktops: real ones, through the gateway."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from PIL import Image
from tests.acceptance.instance import Instance, wait_for
from tests.acceptance.members import member_of
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.typing import Subprotocol

from greenroom.client import AsyncGreenroom, Desk, Greenroom, Invalid, TooLarge, WrongState
from greenroom.kit.secrets import Secrets
from greenroom.up.layout import Layout

TERMINAL = (400, 300)
"""A position in the terminal of the light desktop."""
OUTSIDE = (1100, 700)
"""A position on the background of the desktop."""
BESIDE = (500, 380)
"""Another position, without the pointer."""
CHARACTERS = "Grüße, € Ελλάδα Ёжик 日本語 ✓ → 𐍈 🙂 " + "".join(map(chr, range(0x4E00, 0x4E00 + 120)))
"""More characters than a keyboard has keys."""


def client_of(instance: Instance) -> Greenroom:
    found = instance.found
    return Greenroom(found["url"], found["api_key"], found["api_key_secret"], ca_file=found["ca_file"])


def opened(picture: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(picture))
    image.load()
    return image


@pytest.fixture(scope="module")
def desk(instance: Instance) -> Iterator[Desk]:
    with (
        member_of(instance) as member,
        client_of(instance) as greenroom,
        greenroom.lease("Desktop", 600, user_id=member.user_id) as desk,
    ):
        wait_for(lambda: has_terminal(desk), "the terminal is there")
        yield desk


@pytest.fixture
def http(instance: Instance, desk: Desk) -> Iterator[httpx2.Client]:
    """A client with the lease's token, below the lease."""
    base = f"{instance.url}/api/v1/leases/{desk.lease.lease_id}/"
    bearer = {"Authorization": f"Bearer {desk.lease.token}"}
    with httpx2.Client(base_url=base, headers=bearer, verify=instance.ca(), timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def state_url(desk: Desk) -> str:
    """The address of the pointer and button state in the session's page, which only the api may read."""
    websocket = desk.urls.websocket or ""
    return f"https{websocket.removeprefix('wss').partition('/lease/')[0]}/desk/state"


@pytest.fixture
def api_bearer(instance: Instance, desk: Desk) -> dict[str, str]:
    """The api's token for the session's page."""
    (row,) = instance.sql("SELECT auth_epoch FROM sessions WHERE session_id = %s", desk.lease.session_id)
    secrets = Secrets.from_file(Layout(instance.data).key_file)
    return {"Authorization": f"Bearer {secrets.desk_token(desk.lease.lease_id, row['auth_epoch'])}"}


def has_terminal(desk: Desk) -> bool:
    picture = opened(desk.screenshot())
    return picture.getpixel(TERMINAL) == (0x0F, 0x17, 0x2A)


def shell(desk: Desk, command: str) -> None:
    desk.act({"action": "left_click", "coordinate": TERMINAL}, {"action": "type", "text": f"{command}\n"})


def said(desk: Desk, path: str) -> str:
    """The content of a file in the session; empty while there is none."""
    return desk.exec(["sh", "-c", f"cat {path} 2>/dev/null"]).stdout


def still(desk: Desk) -> bytes:
    """The pixels of the screen once they no longer change."""

    def unchanged() -> bytes | None:
        first, second = (opened(desk.screenshot(cursor=False)).tobytes() for _ in range(2))
        return first if first == second else None

    return wait_for(unchanged, "the screen is still")


def test_what_is_typed_arrives_and_is_on_the_picture(desk: Desk):
    before = desk.screenshot(cursor=False)
    acted = desk.act(
        {"action": "left_click", "coordinate": TERMINAL}, {"action": "type", "text": "printf abc"}, screenshot=True
    )
    assert [(result.action, result.done) for result in acted.results] == [("left_click", True), ("type", True)]
    assert acted.screenshot is not None
    assert opened(acted.screenshot).tobytes() != opened(before).tobytes()
    desk.type(" > ~/printed\n")
    wait_for(lambda: said(desk, "~/printed") == "abc", "the command ran")


def test_all_of_unicode_is_typed(desk: Desk):
    shell(desk, "cat > ~/characters")
    desk.type(f"{CHARACTERS}\n")
    desk.key("ctrl+d")
    wait_for(lambda: said(desk, "~/characters") == f"{CHARACTERS}\n", "all characters came")


def test_dragging_selects_and_the_clipboard_has_it(desk: Desk):
    def dragged() -> bool:
        desk.drag((64, 91), (600, 91))
        return "Selected" in desk.clipboard()

    shell(desk, "clear; echo Selected")
    wait_for(dragged, "the terminal put it on the clipboard")
    desk.copy("Grüße €")
    assert desk.clipboard() == "Grüße €"


def test_scrolling_shows_what_was_before(desk: Desk):
    shell(desk, "clear; seq 300; touch ~/counted")
    wait_for(lambda: desk.exec(["sh", "-c", "test -e ~/counted"]).exit_code == 0, "the numbers are there")
    bottom = still(desk)
    desk.scroll("up", 5, *TERMINAL)
    wait_for(lambda: still(desk) != bottom, "earlier lines are shown")
    desk.scroll("down", 20, *TERMINAL)
    wait_for(lambda: still(desk) == bottom, "the end is shown again")


def test_pictures_are_of_any_part_and_size(desk: Desk):
    desk.move(5, 5)
    screen = opened(desk.screenshot())
    zoomed = desk.act({"action": "zoom", "region": [60, 60, 260, 160]}).results[0].screenshot
    assert zoomed is not None
    assert opened(zoomed).tobytes() == screen.crop((60, 60, 260, 160)).tobytes()
    small = opened(desk.screenshot(width=640))
    assert small.size == (640, screen.height * 640 // screen.width)
    # Two quick clicks select lines of the terminal, so its color is read from the unscaled picture.
    for x, y in (TERMINAL, OUTSIDE):
        assert small.getpixel((x // 2, y // 2)) == screen.getpixel((x, y))
    assert screen.getpixel(TERMINAL) != screen.getpixel(OUTSIDE)
    without = opened(desk.screenshot(cursor=False))
    assert without.crop((0, 0, 30, 30)).tobytes() != screen.crop((0, 0, 30, 30)).tobytes()


def test_coordinates_are_those_of_the_screen_that_the_program_sees(desk: Desk):
    acted = desk.act(
        {"action": "mouse_move", "coordinate": [320, 200]}, {"action": "cursor_position"}, display=(640, 400)
    )
    assert acted.results[1].coordinate == (320, 200)
    size = opened(desk.screenshot()).size
    there = desk.act({"action": "cursor_position"}).results[0].coordinate
    assert there == (320 * size[0] // 640, 200 * size[1] // 400)


def test_a_place_outside_the_screen_is_refused_and_nothing_is_done(desk: Desk):
    desk.move(50, 60)
    with pytest.raises(Invalid, match=r"actions\[1\]\.coordinate: \[5000, 5\] is outside the screen of \d+ x \d+"):
        desk.act({"action": "mouse_move", "coordinate": [9, 9]}, {"action": "left_click", "coordinate": [5000, 5]})
    assert desk.act({"action": "cursor_position"}).results[0].coordinate == (50, 60)


def test_what_follows_an_action_that_failed_is_not_done(desk: Desk):
    move = {"action": "mouse_move", "coordinate": [1, 1]}
    acted = desk.act(move, {"action": "type", "text": "\x03"}, move, screenshot=True)
    assert [result.done for result in acted.results] == [True, False, False]
    assert acted.results[1].error == "the text has the control character U+0003, which no key can type."
    assert acted.results[2].error == "not done, because actions[1] failed."
    assert acted.screenshot


def test_ten_megabytes_of_text_are_refused(desk: Desk):
    with pytest.raises(TooLarge):
        desk.type("x" * 10_000_000)


@pytest.mark.parametrize("held", [{"action": "left_mouse_down"}, {"action": "hold_key", "text": "a", "duration": 20}])
def test_a_client_that_goes_away_holds_nothing(
    desk: Desk, http: httpx2.Client, state_url: str, api_bearer: dict[str, str], held: dict[str, Any]
):
    shell(desk, "clear; cat > ~/held")
    actions = [{"action": "mouse_move", "coordinate": [1000, 700]}, held, {"action": "wait", "duration": 20}]
    with pytest.raises(httpx2.ReadTimeout):
        http.post("actions", json={"actions": actions}, timeout=httpx2.Timeout(30, read=5.0))
    begun = time.monotonic()
    # another request of this lease waits until the abandoned one has ended
    assert desk.act({"action": "cursor_position"}).results[0].coordinate == (1000, 700)
    assert time.monotonic() - begun < 10
    assert http.get(state_url, headers=api_bearer).json()["held"] == 0
    desk.type("\n")
    desk.key("ctrl+d")
    wait_for(lambda: said(desk, "~/held").endswith("\n"), "the line is whole")


def test_a_button_stays_held_between_requests(
    desk: Desk, http: httpx2.Client, state_url: str, api_bearer: dict[str, str]
):
    desk.act({"action": "left_mouse_down", "coordinate": [1000, 700]})
    desk.move(1010, 710)
    assert http.get(state_url, headers=api_bearer).json() | {"width": 0, "height": 0} == {
        "width": 0,
        "height": 0,
        "pointer": [1010, 710],
        "held": 1,
    }
    desk.act({"action": "left_mouse_up"})
    assert http.get(state_url, headers=api_bearer).json()["held"] == 0


def test_the_folder_of_the_desk_is_for_the_api_alone(http: httpx2.Client, state_url: str):
    assert http.get(state_url).status_code == 403


def test_the_desk_is_for_its_lease_alone(instance: Instance, desk: Desk, state_url: str):
    with member_of(instance) as member, client_of(instance) as greenroom:
        other = greenroom.lease("Desktop", 600, user_id=member.user_id)
        bearer = {"Authorization": f"Bearer {other.lease.token}"}
        path = f"{instance.url}/api/v1/leases/{desk.lease.lease_id}/actions"
        with httpx2.Client(headers=bearer, verify=instance.ca(), trust_env=False) as foreign:
            assert foreign.post(path, json={"actions": []}).status_code == 401
            assert foreign.get(state_url).status_code == 401
        other.release()
        with pytest.raises(WrongState, match="The lease is over"):
            other.act({"action": "cursor_position"})


def test_the_end_of_a_lease_closes_its_stream_with_the_reason(instance: Instance):
    async def closed(desk: Desk) -> Close | None:
        address = desk.urls.websocket or ""
        async with connect(address, ssl=instance.ca(), subprotocols=[Subprotocol("binary")], proxy=None) as stream:
            assert await stream.recv() == b"RFB 003.008\n"
            await asyncio.to_thread(desk.release)
            with pytest.raises(ConnectionClosed) as error:
                await asyncio.wait_for(stream.recv(), 10)
            return error.value.rcvd

    with member_of(instance) as member, client_of(instance) as greenroom:
        close = asyncio.run(closed(greenroom.lease("Desktop", 600, user_id=member.user_id)))
    assert close == Close(4410, "The lease of this session has ended.")


def test_a_recording_has_the_actions_and_their_pictures(instance: Instance):
    with member_of(instance) as member, client_of(instance) as greenroom:
        with greenroom.lease("Desktop", 600, user_id=member.user_id, record="pictures") as desk:
            wait_for(lambda: has_terminal(desk), "the terminal is there")
            shell(desk, "echo recorded")
            wait_for(lambda: pictured(greenroom, desk, "type"), "the picture after it")
            saw = desk.screenshot()
            desk.exec(["sh", "-c", "exit 3"])
            with pytest.raises(Invalid):
                desk.click(5000, 5000)
            wait_for(lambda: refused(greenroom, desk), "it is written, which is later than its answer")
        lease_id = desk.lease.lease_id
        wait_for(lambda: greenroom.recording(lease_id).ended, "the lease is over")
        rows = greenroom.recorded_rows(lease_id)
        assert (rows[0].what, rows[-1].what) == ("granted", "ended")
        typed = next(row for row in rows if row.what == "type")
        assert (typed.said, typed.code) == ("Types 14 characters.", None)
        looked = [row.number for row in rows if row.what == "screenshot"]
        assert greenroom.recorded_picture(lease_id, looked[-1]) == saw
        last = opened(greenroom.recorded_picture(lease_id, typed.number))
        assert (last.size, last.getpixel(BESIDE)) == (opened(saw).size, (0x0F, 0x17, 0x2A))
        command, click = rows[-3:-1]
        assert (command.what, command.details["exit_code"], command.code) == ("exec", 3, "failed")
        assert (click.what, click.code) == ("click", "invalid")


def refused(greenroom: Greenroom, desk: Desk) -> bool:
    return any(row.code == "invalid" for row in greenroom.recorded_rows(desk.lease.lease_id))


def pictured(greenroom: Greenroom, desk: Desk, what: str) -> bool:
    rows = greenroom.recorded_rows(desk.lease.lease_id)
    return any(row.what == what and row.picture for row in rows)


async def test_desks_that_are_used_together_are_never_mixed_up(instance: Instance):
    found = instance.found

    async def use(greenroom: AsyncGreenroom, user_id: str, number: int) -> None:
        async with await greenroom.lease("Desktop", 600, user_id=user_id) as desk:
            for turn in range(8):
                x, y = 10 + number, 10 + turn
                acted = await desk.act(
                    {"action": "set_clipboard", "text": f"{number} {turn}"},
                    {"action": "mouse_move", "coordinate": [x, y]},
                    {"action": "cursor_position"},
                    {"action": "get_clipboard"},
                    screenshot=True,
                )
                assert acted.results[2].coordinate == (x, y)
                assert acted.results[3].text == f"{number} {turn}"

    with member_of(instance) as one, member_of(instance) as two, member_of(instance) as three:
        async with AsyncGreenroom(
            found["url"], found["api_key"], found["api_key_secret"], ca_file=found["ca_file"]
        ) as greenroom:
            members = [one, two, three]
            await asyncio.gather(*(use(greenroom, member.user_id, n) for n, member in enumerate(members)))
