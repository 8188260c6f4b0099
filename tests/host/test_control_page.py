"""A leased session's page on a real X server: it accepts the program's input or a person's, never both."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from tests.host.test_session_page import Desk, desk
from tests.host.test_watching_page import Viewer
from tests.support.waiting import eventually
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("openbox_image")]

__all__ = ["desk"]
PROGRAM = {"X-Greenroom-Viewer": "program", "X-Greenroom-Program": "1"}
USER = {"X-Greenroom-Viewer": "user"}


@asynccontextmanager
async def connected(desk: Desk, headers: dict[str, str]) -> AsyncIterator[Viewer]:
    """A client that uses RFB regardless of its permissions."""
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    word = base64.b64encode(f"{desk.spec.auth_user}:{desk.spec.credential}".encode()).decode()
    async with connect(
        f"wss://{desk.address}/websockify",
        ssl=trust,
        subprotocols=[Subprotocol("binary")],
        additional_headers={"Authorization": f"Basic {word}", **headers},
        max_size=None,
        proxy=None,
    ) as socket:
        viewer = Viewer(socket)
        await viewer.greet(shared=0)
        yield viewer


async def ordered(desk: Desk, term: int, viewer: str = "", *, signed_with: str = "") -> httpx2.Response:
    """Send an order like the api's when control changes."""
    content = json.dumps({"term": term, "viewer": viewer, "name": "Ada" if viewer else "", "lasts_s": 30}).encode()
    password = (signed_with or desk.spec.credential).encode()
    headers = {"X-Greenroom-Signature": hmac.digest(password, content, hashlib.sha256).hex()}
    async with desk.page() as page:
        return await page.put("desk/control", content=content, headers=headers | PROGRAM)


async def steps(desk: Desk, *actions: list[dict[str, Any]]) -> httpx2.Response:
    async with desk.page() as page:
        return await page.post("desk/steps", json={"actions": actions}, headers=PROGRAM, timeout=30)


def typing(text: str) -> list[dict[str, Any]]:
    return [{"step": "type", "text": f"touch /tmp/{text}\n"}]


async def files(desk: Desk) -> set[str]:
    return set((await desk.shell("ls /tmp")).split())


async def has(desk: Desk, name: str) -> None:
    async def there() -> bool:
        return name in await files(desk)

    await eventually(there)


async def test_the_program_acts_a_person_takes_over_and_hands_back(desk: Desk):
    click = [{"step": "pointer", "buttons": buttons, "x": 400, "y": 300} for buttons in (0, 1, 0)]
    async with connected(desk, USER) as person, connected(desk, PROGRAM) as program:
        assert (await steps(desk, click, typing("by-program-1"))).status_code == 200
        await has(desk, "by-program-1")
        await person.type("touch /tmp/by-person-1")
        assert await person.picture() > 0, "they watch, and are not disconnected for what they type"

        assert (await ordered(desk, 1, "user")).status_code == 200
        held = await steps(desk, typing("by-program-2"))
        assert (held.status_code, held.json()["error_message"][:20]) == (423, "Ada has control of t")
        await program.type("touch /tmp/by-program-3")
        await program.picture()
        await person.type("touch /tmp/by-person-2")
        await has(desk, "by-person-2")
        async with desk.page() as page:
            assert (await page.get("desk/screenshot", headers=PROGRAM)).status_code == 200, "who looks disturbs no one"
            assert (await page.get("desk/control", headers=PROGRAM)).json() == {
                "term": 1,
                "holder": "person",
                "name": "Ada",
            }

        assert (await ordered(desk, 2)).status_code == 200
        assert (await ordered(desk, 1, "user")).status_code == 423, "an order that comes late"
        await person.type("touch /tmp/by-person-3")
        assert await person.picture() > 0
        assert (await steps(desk, typing("by-program-4"))).status_code == 200
        await has(desk, "by-program-4")
    late = {"by-person-1", "by-program-2", "by-program-3", "by-person-3"}
    assert not late & await files(desk)


async def test_steps_under_way_end_with_the_take_over_and_what_was_held_is_let_go(desk: Desk):
    shift = 0xFFE1
    hold = [{"step": "key", "keysym": shift, "down": True}, {"step": "pointer", "buttons": 1, "x": 10, "y": 10}]
    under_way = asyncio.create_task(steps(desk, hold, [{"step": "wait", "seconds": 20}], typing("too-late")))

    async def held() -> bool:
        async with desk.page() as page:
            return (await page.get("desk/state", headers=PROGRAM)).json()["held"] == 1

    await eventually(held)
    assert (await ordered(desk, 1, "user")).status_code == 200
    answer = await asyncio.wait_for(under_way, 5)
    assert (answer.status_code, "Some of the actions may have been done" in answer.text) == (423, True)

    async def let_go() -> bool:
        return not await held()

    await eventually(let_go)
    assert "too-late" not in await files(desk)


async def test_a_program_takes_no_control_by_itself(desk: Desk):
    assert (await ordered(desk, 1, "user", signed_with="guessed")).status_code == 403
    async with desk.page() as page:
        by_viewer = await page.put("desk/control", content=b"{}", headers=USER)
    assert by_viewer.status_code == 403
    assert (await steps(desk, typing("still-here"))).status_code == 200


async def test_no_command_of_the_session_reads_the_memory_of_its_page(desk: Desk):
    read = "p=$(pgrep -f '^python3 .*page.py'); [ -n \"$p\" ] && for f in mem environ; do head -c1 /proc/$p/$f; done"
    said = await desk.shell(f"{read} 2>&1 | grep -c 'Permission denied'")
    assert int(said) == 2, "neither its memory nor its environment"


async def test_a_person_never_changes_the_size_that_the_program_knows(desk: Desk):
    size = struct.pack(">BxHHBx", 251, 1024, 700, 1) + struct.pack(">IHHHHI", 0, 0, 0, 1024, 700, 0)
    async with connected(desk, USER) as person:
        await ordered(desk, 1, "user")
        await person.send(struct.pack(">BxH2i", 2, 2, 0, -308), size)
        await person.picture()
        async with desk.page() as page:
            state = (await page.get("desk/state", headers=PROGRAM)).json()
            assert (await page.get("./", headers=USER)).headers["X-Greenroom-Leased"] == "1"
    assert (state["width"], state["height"]) == (1280, 800)


async def test_a_viewer_learns_at_once_who_has_control(desk: Desk):
    async with desk.page() as page, page.stream("GET", "events", headers=USER | {"X-Greenroom-View-Only": "1"}) as sent:
        lines = sent.aiter_lines()

        async def control() -> dict[str, Any]:
            async for line in lines:
                if line.startswith("data: "):
                    return json.loads(line.removeprefix("data: "))
            raise AssertionError("the events ended")

        assert await control() == {"leased": True, "term": 0, "viewer": "", "name": "", "you": "user"}
        await ordered(desk, 1, "user")
        assert await control() == {"leased": True, "term": 1, "viewer": "user", "name": "Ada"}
