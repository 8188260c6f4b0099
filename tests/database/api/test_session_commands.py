"""Commands and screenshots through both interfaces, with an Agent that is played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from psycopg.types.json import Jsonb

from greenroom.api.session.commands import MAX_SIZES
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.db.session.commands import MAX_OPEN
from greenroom.testing import rows

Client = httpx.AsyncClient
Make = Callable[..., Awaitable[Client]]

KEYS = {"api_key": "abcdefghijkl", "api_key_secret": "the secret half"}
JPEG = b"\xff\xd8\xff a picture"


@dataclass(frozen=True)
class Stage:
    db: Database
    app: FastAPI
    admin: Client
    anonymous: Client
    ada: Client
    ada_id: str
    session_id: str

    async def public(self, name: str, **body: Any) -> httpx.Response:
        asked = {**KEYS, "user_id": self.ada_id, "kasm_id": self.session_id, **body}
        return await self.anonymous.post(f"/api/public/{name}", json=asked)

    async def refused(self, name: str, **body: Any) -> str:
        answer = await self.public(name, **body)
        assert (answer.status_code, set(answer.json())) == (200, {"error_message"}), answer.text
        return answer.json()["error_message"]

    def asked_for_pictures(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Has an entry for each request from now on that waits for a picture."""
        screenshots = self.app.state.screenshots
        asked, take = list[int](), screenshots.take

        async def counted(*arguments: Any) -> bytes:
            asked.append(len(asked))
            return await take(*arguments)

        monkeypatch.setattr(screenshots, "take", counted)
        return asked

    async def logged(self) -> list[dict[str, Any]]:
        await self.app.state.logs.flush()
        return await self.db.fetch("SELECT code, message, details FROM logs WHERE code LIKE 'session-%%'", {})

    async def watched(self) -> Any:
        """When Ada was notified that somebody looked at the screen, on both pages that show it."""
        session, connection = [
            (await self.ada.get(f"/api/v1/sessions/{self.session_id}{page}")).json()["last_screenshot_at"]
            for page in ("", "/connection")
        ]
        assert session == connection
        return session

    @asynccontextmanager
    async def agent(self, **result: Any) -> AsyncIterator[list[dict[str, Any]]]:
        """Answers every order with `result`; gives the orders it saw."""
        orders: list[dict[str, Any]] = []
        running = asyncio.create_task(self._answer(orders, {"picture": None, "output": None, **result}))
        try:
            yield orders
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _answer(self, orders: list[dict[str, Any]], result: dict[str, Any]) -> None:
        while True:
            orders += await self.db.write(
                "UPDATE session_commands SET state = 'done', finished = clock_timestamp(), exit_code = 0,"
                " output = %(output)s, picture = %(picture)s WHERE state = 'requested'"
                " RETURNING argv, run_as, env, workdir, screenshot",
                result,
            )
            await asyncio.sleep(0.01)


@pytest.fixture
async def stage(app: FastAPI, db: Database, admin: Client, anonymous: Client, with_user: Make) -> Stage:
    ada = await with_user("ada@example.org")
    me = (await ada.get("/api/v1/me")).json()["user"]
    zone = (await db.fetch("SELECT zone_id::text FROM zones"))[0]["zone_id"]
    image = (await db.fetch("SELECT image_id::text, name FROM images"))[0]
    await rows.agent(db, zone, image=image["name"])
    session_id = (await ada.post("/api/v1/sessions", json={"image_id": image["image_id"]})).json()["session_id"]
    await db.write("UPDATE sessions SET status = 'running', started = clock_timestamp()")
    return Stage(db, app, admin, anonymous, ada, me["user_id"], session_id)


async def test_a_screenshot_is_a_jpeg_of_the_size_asked_for(stage: Stage):
    path = f"/api/v1/sessions/{stage.session_id}/screenshot"
    async with stage.agent(picture=JPEG) as orders:
        answer = await stage.ada.get(path, params={"width": 640, "height": 400})
        assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/jpeg", JPEG)
        assert answer.headers["cache-control"] == "no-store"
        assert orders[0]["screenshot"] == {"width": 640, "height": 400}
    for size in ({"width": 15}, {"height": 1921}, {"width": "x"}):
        assert (await stage.ada.get(path, params=size)).status_code == 422


async def test_who_asks_at_the_same_moment_shares_the_picture(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    path = f"/api/v1/sessions/{stage.session_id}/screenshot"
    asked = stage.asked_for_pictures(monkeypatch)
    asking = [asyncio.create_task(client.get(path)) for client in [stage.ada, stage.admin] * 5]
    while len(asked) < len(asking):  # noqa: ASYNC110 -- told by nobody
        await asyncio.sleep(0.01)
    async with stage.agent(picture=JPEG) as orders:
        assert {answer.status_code for answer in await asyncio.gather(*asking)} == {200}
        assert len(orders) == 1


async def test_pictures_do_not_pile_up_and_another_size_is_another_picture(stage: Stage):
    path = f"/api/v1/sessions/{stage.session_id}/screenshot"
    async with stage.agent(picture=JPEG) as orders:
        for width in (100, 200):
            assert (await stage.ada.get(path, params={"width": width})).status_code == 200
        assert [order["screenshot"]["width"] for order in orders] == [100, 200]
    assert len(await stage.db.fetch("SELECT 1 FROM session_commands")) == 1


async def test_waiting_for_pictures_is_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    path = f"/api/v1/sessions/{stage.session_id}/screenshot"
    asked = stage.asked_for_pictures(monkeypatch)
    waiting = [asyncio.create_task(stage.ada.get(path, params={"width": 100 + n // 5})) for n in range(5 * MAX_SIZES)]
    while len(asked) < len(waiting):  # noqa: ASYNC110 -- told by nobody
        await asyncio.sleep(0.01)
    answer = await stage.ada.get(path, params={"width": 99})
    assert (answer.status_code, answer.json()["code"]) == (429, "too-many-requests")
    async with stage.agent(picture=JPEG) as orders:
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
        assert len(orders) == MAX_SIZES
    assert stage.app.state.screenshots._waits == {}


async def test_whose_screen_one_may_see(stage: Stage, with_user: Make, with_key: Make):
    path = f"/api/v1/sessions/{stage.session_id}/screenshot"
    bob = await with_user("bob@example.org")
    async with stage.agent(picture=JPEG):
        assert (await bob.get(path)).status_code == 404
        viewer = await with_key("sessions_view", "sessions_modify")
        assert (await viewer.get(path)).status_code == 403, "to see that it is there is not to look over a shoulder"
        everything = await with_key("global_admin", read_only=True)
        assert (await everything.get(path)).status_code == 403
        assert (await (await with_key("sessions_screenshot")).get(path)).status_code == 200
        assert (await stage.ada.get(path)).status_code == 200
        assert [row["code"] for row in await stage.logged()].count("session-screenshot") == 1, "not for the own one"
        await stage.admin.get(path)
        await stage.admin.get(path)
        assert [row["code"] for row in await stage.logged()].count("session-screenshot") == 2, "once per person"


async def test_a_group_can_forbid_others_to_look(stage: Stage):
    path = f"/api/v1/sessions/{stage.session_id}/screenshot"
    everybody = {"settings": {"allow_kasm_screenshot": False}}
    async with stage.agent(picture=JPEG):
        assert (await stage.admin.patch(f"/api/v1/groups/{ALL_USERS}", json=everybody)).status_code == 200
        refused = await stage.admin.get(path)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert "Only ada@example.org may take pictures" in refused.json()["detail"]
        assert "from group All Users" in refused.json()["detail"]
        assert "allow_kasm_screenshot" in await stage.refused("get_kasm_screenshot")
        assert await stage.watched() is None
        assert [row["code"] for row in await stage.logged()].count("session-screenshot") == 0
        assert (await stage.ada.get(path)).status_code == 200, "the own one is always shown"


async def test_who_is_looked_at_is_told(stage: Stage):
    path = f"/api/v1/sessions/{stage.session_id}/screenshot"
    async with stage.agent(picture=JPEG):
        assert (await stage.ada.get(path)).status_code == 200
        assert await stage.watched() is None, "not by oneself"
        assert (await stage.admin.get(path)).status_code == 200
        first = await stage.watched()
        assert first is not None
        assert (await stage.admin.get(path)).status_code == 200
        assert await stage.watched() == first, "who looks all the time does not write all the time"
        await stage.db.write("UPDATE sessions SET last_screenshot_at = last_screenshot_at - interval '2 minutes'")
        earlier = await stage.watched()
        assert (await stage.public("get_kasm_screenshot")).status_code == 200
        assert await stage.watched() > earlier, "nor does a program look unseen"
    async with stage.agent(output="The screen of this workspace's image cannot be read."):
        await stage.db.write("UPDATE sessions SET last_screenshot_at = NULL")
        assert (await stage.admin.get(path, params={"width": 50})).status_code == 409
        assert await stage.watched() is None, "without a picture nothing was seen"


@pytest.mark.parametrize("status", ["paused", "stopped", "starting", "deleting"])
async def test_only_a_running_session_has_a_screen(stage: Stage, status: str):
    await stage.db.write("UPDATE sessions SET status = %s", (status,))
    answer = await stage.ada.get(f"/api/v1/sessions/{stage.session_id}/screenshot")
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-state")
    assert status in answer.json()["detail"]
    command = await stage.ada.post(f"/api/v1/sessions/{stage.session_id}/commands", json={"command": ["id"]})
    assert (command.status_code, command.json()["code"]) == (409, "wrong-state")


async def test_why_there_is_no_picture_is_said(stage: Stage):
    async with stage.agent(output="The screen of this workspace's image cannot be read."):
        answer = await stage.ada.get(f"/api/v1/sessions/{stage.session_id}/screenshot")
        assert (answer.status_code, answer.json()["code"]) == (409, "no-screenshot")
        assert "cannot be read" in answer.json()["detail"]
        assert "cannot be read" in await stage.refused("get_kasm_screenshot")


async def test_the_published_screenshot(stage: Stage):
    async with stage.agent(picture=JPEG) as orders:
        answer = await stage.public("get_kasm_screenshot", width="5000")
        assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/jpeg", JPEG)
        assert orders[0]["screenshot"] == {"width": 1920, "height": 300}, "bounded, and 300 if unsaid"
    assert "width" in await stage.refused("get_kasm_screenshot", width="wide")
    assert "no session" in await stage.refused("get_kasm_screenshot", kasm_id=stage.ada_id)


async def test_the_published_command_is_ordered_and_not_waited_for(stage: Stage):
    config = {"cmd": "bash -c 'echo \"$A\"'", "environment": {"A": 1}, "workdir": "/opt", "privileged": False}
    answer = await stage.public("exec_command_kasm", exec_config=config)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"kasm", "current_time"}
    assert answer.json()["kasm"]["kasm_id"] == stage.session_id
    async with stage.agent() as orders:
        while not orders:  # noqa: ASYNC110 -- told by nobody
            await asyncio.sleep(0.01)
    sealed = stage.app.state.secrets.seal("1")
    order = {"argv": ["bash", "-c", 'echo "$A"'], "run_as": None, "env": {"A": sealed}, "workdir": "/opt"}
    assert {name: orders[0][name] for name in order} == order


async def test_what_a_published_command_may_not(stage: Stage, with_key: Make):
    for config, words in (
        ({"cmd": "id", "privileged": True}, "privileged"),
        ({"cmd": "echo 'open"}, "cannot be split"),
        ({"cmd": ""}, "command"),
        ({"cmd": "id", "environment": {"A=B": "1"}}, "environment"),
        (None, "exec_config"),
    ):
        assert words in await stage.refused("exec_command_kasm", exec_config=config)
    assert "privileged" in await stage.refused("exec_command_kasm", exec_config={"cmd": "id"}, privileged="true")
    assert await stage.db.fetch("SELECT 1 FROM session_commands") == []
    key = await with_key("users_auth_session", "user")
    asked = {"kasm_id": stage.session_id, "exec_config": {"cmd": "id", "user": "root"}}
    answer = await key.post("/api/public/exec_command_kasm", json=asked)
    assert (answer.status_code, "sessions_modify" in answer.json()["error_message"]) == (403, True)


async def test_the_log_names_the_program_and_keeps_its_words_to_itself(stage: Stage):
    async with stage.agent():
        body = {"command": ["mysql", "-psecret"], "environment": {"TOKEN": "secret"}}
        answer = await stage.ada.post(f"/api/v1/sessions/{stage.session_id}/commands", json=body)
        assert answer.status_code == 200, answer.text
    (row,) = [row for row in await stage.logged() if row["code"] == "session-command"]
    assert "ada@example.org runs mysql" in row["message"]
    assert "secret" not in f"{row}"


async def test_commands_that_have_no_result_do_not_pile_up(stage: Stage):
    body = {"command": ["sleep", "60"], "deadline_s": 60}
    path = f"/api/v1/sessions/{stage.session_id}/commands"
    waiting = [asyncio.create_task(stage.ada.post(path, json=body)) for _ in range(MAX_OPEN)]
    while len(await stage.db.fetch("SELECT 1 FROM session_commands")) < MAX_OPEN:  # noqa: ASYNC110 -- told by nobody
        await asyncio.sleep(0.01)
    answer = await stage.ada.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (429, "too-many-requests")
    async with stage.agent():
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}


async def test_no_command_runs_in_a_staged_session(stage: Stage):
    """Nothing of anybody is in it when it is handed to its user, not even an administrator's."""
    (row,) = await stage.db.fetch("SELECT zone_id, image_id, agent_id FROM sessions")
    config_id = await rows.staging_config(stage.db, row["zone_id"], row["image_id"])
    (staged,) = await rows.staged_sessions(stage.db, config_id, row["agent_id"], 1)
    answer = await stage.admin.post(f"/api/v1/sessions/{staged}/commands", json={"command": ["touch", "mine"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-state")
    assert "staged" in answer.json()["detail"]
    assert await stage.db.fetch("SELECT 1 FROM session_commands") == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("get_kasm_frame_stats", "not available"),
        ("get_kasm_bottleneck_stats", "not available"),
        ("join_kasm", "cannot be shared"),
        ("get_rdp_client_connection_info", "RDP"),
    ],
)
async def test_what_is_not_offered_is_refused_with_words(stage: Stage, name: str, words: str):
    assert words in await stage.refused(name)


async def test_the_sessions_of_a_user(stage: Stage, with_user: Make):
    found = (await stage.public("get_user_kasms")).json()
    assert [kasm["kasm_id"] for kasm in found["kasms"]] == [stage.session_id]
    bob = (await (await with_user("bob@example.org")).get("/api/v1/me")).json()["user"]["user_id"]
    assert (await stage.public("get_user_kasms", user_id=bob)).json()["kasms"] == []
    assert "user_id" in await stage.refused("get_user_kasms", user_id="")


@pytest.mark.parametrize("allowed", [True, False])
async def test_what_go_writes_is_no_way_out_of_a_session_without_downloads(stage: Stage, allowed: bool):
    go = {"go": {"cmd": "open-address"}}
    await stage.db.write("UPDATE images SET exec_config = %s", (Jsonb(go),))
    await stage.db.write("UPDATE sessions SET permissions = %s", (Jsonb({"allow_kasm_downloads": allowed}),))
    path, body = f"/api/v1/sessions/{stage.session_id}/go", {"kasm_url": "https://example.org"}
    async with stage.agent(output="a file of the session") as orders:
        answers = [(await client.post(path, json=body)).json() for client in (stage.ada, stage.admin)]
        assert [order["argv"] for order in orders] == [["open-address"]] * 2
    assert [answer["exit_code"] for answer in answers] == [0, 0]
    assert [answer["output"] for answer in answers] == [
        "a file of the session" if allowed else "",
        "a file of the session",
    ]
