"""Commands and screenshots through both interfaces, with an Agent that the test simulates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from psycopg.types.json import Jsonb
from tests.database.api.client import KEYS, MakeClient
from tests.database.api.staging import Session
from tests.database.api.watched_page import BOTTLENECK, VIEWER, WatchedPage
from tests.support import rows
from tests.support.waiting import eventually

from greenroom.api.session.instructions import MAX_SIZES
from greenroom.db.access.users import ALL_USERS
from greenroom.db.session.commands import MAX_OPEN

JPEG = b"\xff\xd8\xff a picture"


@asynccontextmanager
async def agent(session: Session, **result: Any) -> AsyncIterator[list[dict[str, Any]]]:
    """Answer every order with `result`; yields the received orders."""
    orders: list[dict[str, Any]] = []

    async def answer() -> None:
        while True:
            orders.extend(
                await session.db.write(
                    "UPDATE session_commands SET state = 'done', finished = clock_timestamp(), exit_code = 0,"
                    " output = %(output)s, picture = %(picture)s WHERE state = 'requested'"
                    " RETURNING argv, run_as, env, workdir, screenshot",
                    {"picture": None, "output": None, **result},
                )
            )
            await asyncio.sleep(0.01)  # as for an Agent that gets the order again and again

    running = asyncio.create_task(answer())
    try:
        yield orders
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def asked_for_pictures(session: Session, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Has an entry for each request from now on that waits for a picture."""
    screenshots = session.stage.app.state.screenshots
    asked, take = list[int](), screenshots.take

    async def counted(*arguments: Any) -> bytes:
        asked.append(len(asked))
        return await take(*arguments)

    monkeypatch.setattr(screenshots, "take", counted)
    return asked


async def watched(session: Session) -> Any:
    """The time when another user last viewed Ada's screen: the same on both pages that display it."""
    of_session, of_connection = [
        (await session.ada.read(f"{session.path}{page}"))["last_screenshot_at"] for page in ("", "/connection")
    ]
    assert of_session == of_connection
    return of_session


async def public(session: Session, name: str, **body: Any) -> httpx2.Response:
    asked = {**KEYS, "user_id": session.ada_id, "kasm_id": session.session_id, **body}
    return await session.admin.post(f"/api/public/{name}", json=asked)


async def test_a_screenshot_is_a_jpeg_of_the_size_asked_for(session: Session):
    path = f"{session.path}/screenshot"
    async with agent(session, picture=JPEG) as orders:
        answer = await session.ada.get(path, params={"width": 640, "height": 400})
        assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/jpeg", JPEG)
        assert answer.headers["cache-control"] == "no-store"
        assert orders[0]["screenshot"] == {"width": 640, "height": 400}
    for size in ({"width": 15}, {"height": 1921}, {"width": "x"}):
        assert (await session.ada.get(path, params=size)).status_code == 422


async def test_who_asks_at_the_same_moment_shares_the_picture(session: Session, monkeypatch: pytest.MonkeyPatch):
    path = f"{session.path}/screenshot"
    asked = asked_for_pictures(session, monkeypatch)
    asking = [asyncio.create_task(client.get(path)) for client in [session.ada, session.admin] * 5]
    await eventually(lambda: len(asked) == len(asking))
    async with agent(session, picture=JPEG) as orders:
        assert {answer.status_code for answer in await asyncio.gather(*asking)} == {200}
        assert len(orders) == 1


async def test_pictures_do_not_pile_up_and_another_size_is_another_picture(session: Session):
    path = f"{session.path}/screenshot"
    async with agent(session, picture=JPEG) as orders:
        for width in (100, 200):
            assert (await session.ada.get(path, params={"width": width})).status_code == 200
        assert [order["screenshot"]["width"] for order in orders] == [100, 200]
    assert len(await session.db.fetch("SELECT 1 FROM session_commands")) == 1


async def test_waiting_for_pictures_is_bounded(session: Session, monkeypatch: pytest.MonkeyPatch):
    path = f"{session.path}/screenshot"
    asked = asked_for_pictures(session, monkeypatch)
    waiting = [asyncio.create_task(session.ada.get(path, params={"width": 100 + n // 5})) for n in range(5 * MAX_SIZES)]
    await eventually(lambda: len(asked) == len(waiting))
    answer = await session.ada.get(path, params={"width": 99})
    assert (answer.status_code, answer.json()["code"]) == (429, "too-many-requests")
    async with agent(session, picture=JPEG) as orders:
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
        assert len(orders) == MAX_SIZES
    assert session.stage.app.state.screenshots._pending == {}


async def test_whose_screen_one_may_see(session: Session, with_user: MakeClient, with_key: MakeClient):
    path = f"{session.path}/screenshot"
    bob = await with_user("bob@example.org")
    async with agent(session, picture=JPEG):
        assert (await bob.get(path)).status_code == 404
        viewer = await with_key("sessions_view", "sessions_modify")
        assert (await viewer.get(path)).status_code == 403, "to see that it is there is not to look over a shoulder"
        everything = await with_key("global_admin", read_only=True)
        assert (await everything.get(path)).status_code == 403
        assert (await (await with_key("sessions_screenshot")).get(path)).status_code == 200
        assert (await session.ada.get(path)).status_code == 200
        assert len(await session.stage.log("session-screenshot")) == 1, "not for the own one"
        await session.admin.get(path)
        await session.admin.get(path)
        assert len(await session.stage.log("session-screenshot")) == 2, "once per person"


async def test_a_group_can_forbid_others_to_look(session: Session):
    path = f"{session.path}/screenshot"
    everybody = {"settings": {"allow_kasm_screenshot": False}}
    async with agent(session, picture=JPEG):
        await session.admin.change(f"/api/v1/groups/{ALL_USERS}", **everybody)
        refused = await session.admin.get(path)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert "Only ada@example.org may take pictures" in refused.json()["detail"]
        assert "from group All Users" in refused.json()["detail"]
        assert "allow_kasm_screenshot" in await session.published_refusal("get_kasm_screenshot")
        assert await watched(session) is None
        assert len(await session.stage.log("session-screenshot")) == 0
        assert (await session.ada.get(path)).status_code == 200, "the own one is always shown"


async def test_a_user_sees_when_another_user_looked_at_their_screen(session: Session):
    path = f"{session.path}/screenshot"
    async with agent(session, picture=JPEG):
        assert (await session.ada.get(path)).status_code == 200
        assert await watched(session) is None, "not by oneself"
        assert (await session.admin.get(path)).status_code == 200
        first = await watched(session)
        assert first is not None
        assert (await session.admin.get(path)).status_code == 200
        assert await watched(session) == first, "who looks all the time does not write all the time"
        await session.db.write("UPDATE sessions SET last_screenshot_at = last_screenshot_at - interval '2 minutes'")
        earlier = await watched(session)
        assert (await public(session, "get_kasm_screenshot")).status_code == 200
        assert await watched(session) > earlier, "nor does a program look unseen"
    async with agent(session, output="The screen of this workspace's image cannot be read."):
        await session.db.write("UPDATE sessions SET last_screenshot_at = NULL")
        assert (await session.admin.get(path, params={"width": 50})).status_code == 409
        assert await watched(session) is None, "without a picture nothing was seen"


@pytest.mark.parametrize("status", ["paused", "stopped", "starting", "deleting"])
async def test_only_a_running_session_has_a_screen(session: Session, status: str):
    await session.db.write("UPDATE sessions SET status = %s", (status,))
    answer = await session.ada.get(f"{session.path}/screenshot")
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-state")
    assert status in answer.json()["detail"]
    assert (await session.ada.refused(409, f"POST {session.path}/commands", {"command": ["id"]})).startswith(
        "wrong-state: "
    )


async def test_why_there_is_no_picture_is_said(session: Session):
    async with agent(session, output="The screen of this workspace's image cannot be read."):
        refusal = await session.ada.refused(409, f"GET {session.path}/screenshot")
        assert refusal.startswith("no-screenshot: ")
        assert "cannot be read" in refusal
        assert "cannot be read" in await session.published_refusal("get_kasm_screenshot")


async def test_the_published_screenshot(session: Session):
    async with agent(session, picture=JPEG) as orders:
        answer = await public(session, "get_kasm_screenshot", width="5000")
        assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/jpeg", JPEG)
        assert orders[0]["screenshot"] == {"width": 1920, "height": 300}, "bounded, and 300 if unsaid"
    assert "width" in await session.published_refusal("get_kasm_screenshot", width="wide")
    assert "no session" in await session.published_refusal("get_kasm_screenshot", kasm_id=session.ada_id)


async def test_the_published_command_is_ordered_and_not_waited_for(session: Session):
    config = {"cmd": "bash -c 'echo \"$A\"'", "environment": {"A": 1}, "workdir": "/opt", "privileged": False}
    answer = await public(session, "exec_command_kasm", exec_config=config)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"kasm", "current_time"}
    assert answer.json()["kasm"]["kasm_id"] == session.session_id
    async with agent(session) as orders:
        await eventually(lambda: orders)
    sealed = session.stage.app.state.secrets.seal("1")
    order = {"argv": ["bash", "-c", 'echo "$A"'], "run_as": None, "env": {"A": sealed}, "workdir": "/opt"}
    assert {name: orders[0][name] for name in order} == order


@pytest.mark.parametrize(
    "body", [{"exec_config": {"cmd": "id", "privileged": True}}, {"cmd": "id", "privileged": "true"}]
)
async def test_a_privileged_command_runs_as_root_in_the_container_and_it_is_said(
    session: Session, body: dict[str, Any]
):
    answer = await session.published("exec_command_kasm", **body)
    assert "as root in the container, without the further rights" in answer["message"]
    async with agent(session) as orders:
        await eventually(lambda: orders)
    assert (orders[0]["argv"], orders[0]["run_as"]) == (["id"], "root")
    (row,) = await session.stage.log("session-command")
    assert "as root in the container, without the further rights" in row["message"]


async def test_what_a_published_command_may_not(session: Session, with_key: MakeClient):
    for config, words in (
        ({"cmd": "echo 'open"}, "cannot be split"),
        ({"cmd": ""}, "command"),
        ({"cmd": "id", "environment": {"A=B": "1"}}, "environment"),
        (None, "command"),
    ):
        assert words in await session.published_refusal("exec_command_kasm", exec_config=config)
    assert await session.db.fetch("SELECT 1 FROM session_commands") == []
    key = await with_key("users_auth_session", "user")
    asked = {"kasm_id": session.session_id, "exec_config": {"cmd": "id", "user": "root"}}
    answer = await key.post("/api/public/exec_command_kasm", json=asked)
    assert (answer.status_code, "sessions_modify" in answer.json()["error_message"]) == (403, True)


async def test_the_log_names_the_program_and_keeps_its_words_to_itself(session: Session):
    async with agent(session):
        body = {"command": ["mysql", "-psecret"], "environment": {"TOKEN": "secret"}}
        answer = await session.ada.post(f"{session.path}/commands", json=body)
        assert answer.status_code == 200, answer.text
    (row,) = await session.stage.log("session-command")
    assert "ada@example.org runs mysql" in row["message"]
    assert "secret" not in f"{row}"


async def test_commands_that_have_no_result_do_not_pile_up(session: Session):
    body = {"command": ["sleep", "60"], "deadline_s": 60}
    path = f"{session.path}/commands"
    waiting = [asyncio.create_task(session.ada.post(path, json=body)) for _ in range(MAX_OPEN)]
    all_there = "SELECT 1 FROM session_commands HAVING count(*) = %s"
    await eventually(lambda: session.db.fetch(all_there, (MAX_OPEN,)))
    answer = await session.ada.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (429, "too-many-requests")
    async with agent(session):
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}


async def test_no_command_runs_in_a_staged_session(session: Session):
    """It contains no data of anyone, not even of an administrator, when a user gets it."""
    (row,) = await session.db.fetch("SELECT zone_id, image_id, agent_id FROM sessions")
    config_id = await rows.staging_config(session.db, row["zone_id"], row["image_id"])
    (staged,) = await rows.staged_sessions(session.db, config_id, row["agent_id"], 1)
    refusal = await session.admin.refused(
        409, f"POST /api/v1/sessions/{staged}/commands", {"command": ["touch", "mine"]}
    )
    assert refusal.startswith("wrong-state: ")
    assert "staged" in refusal
    assert await session.db.fetch("SELECT 1 FROM session_commands") == []


async def test_there_is_no_rdp(session: Session):
    assert "RDP" in await session.published_refusal("get_rdp_client_connection_info")


async def test_the_stats_of_a_stream_are_what_its_page_measures(session: Session):
    session.stage.app.state.desks = page = WatchedPage()
    frame = (await public(session, "get_kasm_frame_stats", client="all")).json()
    assert (frame["frame"]["resx"], frame["frame"]["clients"], frame["clients"][0]["ping"]) == (1280, [VIEWER], 3)
    assert (await public(session, "get_kasm_bottleneck_stats")).json() == BOTTLENECK
    assert [dict(asked.url.params) for asked in page.asked] == [{"client": "all"}, {}]
    token = (await public(session, "get_kasm_status")).json()["kasm"]["token"]
    assert {asked.headers["cookie"] for asked in page.asked} == {f"session_token={token}"}


@pytest.mark.parametrize(
    ("status", "content", "words"),
    [
        (503, b"", "Error retrieving frame stats with status code (503)"),
        (200, b"<h1>A page</h1>", "does not measure"),
        (404, b"", "does not measure"),
        (200, b'{"frame": {"resx": "wide"}}', "does not measure"),
    ],
    ids=["no one watches", "an image of others", "an older image", "garbage"],
)
async def test_without_stats_it_is_said_why(session: Session, status: int, content: bytes, words: str):
    session.stage.app.state.desks = WatchedPage(status, content)
    assert words in await session.published_refusal("get_kasm_frame_stats")


@pytest.mark.parametrize("name", ["get_kasm_frame_stats", "get_kasm_bottleneck_stats"])
async def test_a_session_that_does_not_run_has_no_stats(session: Session, name: str):
    await session.db.write("UPDATE sessions SET status = 'paused'")
    assert "paused" in await session.published_refusal(name)


async def test_the_sessions_of_a_user(session: Session, with_user: MakeClient):
    found = (await public(session, "get_user_kasms")).json()
    assert [kasm["kasm_id"] for kasm in found["kasms"]] == [session.session_id]
    bob = (await (await with_user("bob@example.org")).get("/api/v1/me")).json()["user"]["user_id"]
    assert (await public(session, "get_user_kasms", user_id=bob)).json()["kasms"] == []
    assert "user_id" in await session.published_refusal("get_user_kasms", user_id="")


@pytest.mark.parametrize("allowed", [True, False])
async def test_what_go_writes_is_no_way_out_of_a_session_without_downloads(session: Session, allowed: bool):
    go = {"go": {"cmd": "open-address"}}
    await session.db.write("UPDATE images SET exec_config = %s", (Jsonb(go),))
    await session.db.write("UPDATE sessions SET permissions = %s", (Jsonb({"allow_kasm_downloads": allowed}),))
    path, body = f"{session.path}/go", {"kasm_url": "https://example.org"}
    async with agent(session, output="a file of the session") as orders:
        answers = [(await client.post(path, json=body)).json() for client in (session.ada, session.admin)]
        assert [order["argv"] for order in orders] == [["open-address"]] * 2
    assert [answer["exit_code"] for answer in answers] == [0, 0]
    assert [answer["output"] for answer in answers] == [
        "a file of the session" if allowed else "",
        "a file of the session",
    ]
