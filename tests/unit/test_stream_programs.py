"""Programs with the token of a lease, at the Agent."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.test_stream_authorizer import OK_ORIGIN, PATH, A, Agent

from greenroom.agent.stream.viewers import Viewer, Viewers
from greenroom.core.session.streams import API_ONLY, PROGRAMS_ONLY, VIEWER_TTL_S
from greenroom.kit.secrets import secret_digest
from greenroom.wire.messages import Authorised

TOKEN = f"{A}.{'x' * 43}"
BOTH = ["allow_kasm_uploads", "allow_kasm_downloads"]
OTHER = f"{A}.{'y' * 43}"


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    agent = Agent(tmp_path)
    agent.api.guests[TOKEN] = ("", "program")
    agent.table.put(A, authorised=Authorised(user_id="u", epoch=1, permitted=BOTH))
    return agent


WAYS: list[dict[str, Any]] = [{"uri": f"{PATH}lease/{TOKEN}/cdp/json"}, {"uri": f"{PATH}cdp/json", "bearer": TOKEN}]


@pytest.mark.parametrize("way", WAYS)
async def test_a_program_is_no_viewer(agent: Agent, way: dict[str, Any]):
    agent.table.put(A, authorised=Authorised(user_id="u", epoch=1, idle_disconnect_s=90.0, permitted=BOTH))
    for method in ("GET", "POST", "PUT", "DELETE"):
        reply = await agent.ask(**way, method=method, length="0", cookie="greenroom_viewer=wrong")
        assert (reply.status_code, reply.headers["X-Greenroom-Program"]) == (200, "1")
        assert reply.headers["X-Greenroom-Idle-Disconnect-S"] == "0"
    assert (await agent.ask(**way, websocket=True, port="4000")).status_code == 200, "without an Origin"
    assert (agent.opened, agent.api.reported_viewers) == ([], [])
    agent.table.put(A, epoch=2)
    await agent.streams_closed(A)
    assert agent.cuts.cut == [(A, "127.0.0.1:32768")]


async def test_the_page_of_a_leased_session_learns_who_it_is_and_of_another_no_one(agent: Agent):
    user: dict[str, Any] = {"uri": PATH, "cookie": "greenroom_viewer=good"}
    assert (await agent.ask(**user)).headers["X-Greenroom-Viewer"] == ""
    assert (await agent.ask(**WAYS[0])).headers["X-Greenroom-Viewer"] == "program"
    agent.api.leased = True
    agent.api.guests["guest"] = ("v1", "control")
    agent.table.put(A, authorised=Authorised(user_id="u", epoch=2, guests={"v1": "control"}))
    agent.api.epoch = 2
    assert (await agent.ask(**user)).headers["X-Greenroom-Viewer"] == "user"
    assert (await agent.ask(PATH, cookie="greenroom_viewer=guest")).headers["X-Greenroom-Viewer"] == "v1"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("websocket", [False, True])
async def test_a_page_of_another_origin_gets_nowhere_with_a_token(agent: Agent, way: dict[str, Any], websocket: bool):
    assert (await agent.ask(**way, websocket=websocket, origin="https://evil.example")).status_code == 403
    assert (await agent.ask(**way, websocket=websocket, origin="null")).status_code == 403
    assert (await agent.ask(**way, websocket=websocket, origin=OK_ORIGIN)).status_code == 200


@pytest.mark.parametrize("folder", ["cdp/json", "desk/steps", "webdriver/session", "%63dp", "/cdp"])
async def test_viewers_do_not_reach_what_is_for_programs(agent: Agent, folder: str):
    for method in ("GET", "POST"):
        reply = await agent.ask(PATH + folder, cookie="greenroom_viewer=good", method=method, length="0")
        assert (reply.status_code, reply.json()["error_message"]) == (403, PROGRAMS_ONLY)
    reply = await agent.ask(PATH + folder, cookie="greenroom_viewer=good", websocket=True, origin=OK_ORIGIN)
    assert reply.status_code == 403
    assert "X-Greenroom-Program" not in reply.headers


async def test_only_the_token_of_a_lease_and_only_as_one_makes_a_program(agent: Agent):
    ways: list[dict[str, Any]] = [
        {"uri": f"{PATH}lease/{OTHER}/cdp/json"},
        {"uri": f"{PATH}cdp/json", "bearer": OTHER},
        {"uri": f"{PATH}cdp/json", "bearer": OTHER, "cookie": "greenroom_viewer=good"},
        {"uri": f"{PATH}cdp/json", "cookie": f"greenroom_viewer={TOKEN}"},
        {"uri": f"{PATH}cdp/json?token={TOKEN}"},
        {"uri": f"{PATH}cdp/json", "bearer": "good"},
        {"uri": f"{PATH}?token={TOKEN}", "to": "enter"},
    ]
    for way in ways:
        reply = await agent.ask(**way)
        assert (reply.status_code, bool(reply.json()["error_message"])) == (401, True), way
    assert (await agent.ask(**WAYS[0])).status_code == 200
    assert (await agent.ask(f"{PATH}cdp/json", cookie=f"greenroom_viewer={TOKEN}")).status_code == 401, "known now"


async def test_a_lease_that_is_over_is_401(agent: Agent):
    assert (await agent.ask(**WAYS[0])).status_code == 200
    agent.table.rows.clear()
    reply = await agent.ask(**WAYS[0])
    assert (reply.status_code, reply.json()["error_message"]) == (
        401,
        "The token is not valid here: its lease has ended or belongs to another session.",
    )


async def test_a_program_waits_until_its_session_was_handed_over(agent: Agent):
    agent.table.put(A, user=None, handed_over=False)
    asked = asyncio.create_task(agent.ask(**WAYS[0]))
    while not agent.api.asked:  # noqa: ASYNC110 -- the played api has no event
        await asyncio.sleep(0)
    agent.table.put(A, handed_over=False, authorised=Authorised(user_id="u", epoch=1, permitted=BOTH))
    done, _ = await asyncio.wait({asked}, timeout=0.05)
    assert not done
    agent.table.rows[A] = replace(agent.table.rows[A], handed_over=True)
    agent.handed_over(A)
    assert (await asked).status_code == 200


async def test_the_api_is_not_asked_about_a_program_that_a_fresh_list_has(agent: Agent):
    listed = Authorised(user_id="u", epoch=1, program=secret_digest(TOKEN).hex(), permitted=BOTH)
    agent.table.put(A, authorised=listed)
    agent.fresh = agent.now - VIEWER_TTL_S
    assert (await agent.ask(**WAYS[0])).headers["X-Greenroom-Viewer"] == "program"
    assert agent.api.asked == []
    agent.now += 1
    assert (await agent.ask(**WAYS[0])).status_code == 200, "the api confirms it"
    assert len(agent.api.asked) == 1
    agent.fresh = agent.now
    agent.table.put(A, authorised=msgspec.structs.replace(listed, epoch=2, program=secret_digest(OTHER).hex()))
    agent.api.guests.clear()
    assert (await agent.ask(**WAYS[0])).status_code == 401
    assert len(agent.api.asked) == 2


@pytest.mark.parametrize("shown", [{"cookie": f"greenroom_viewer={TOKEN}"}, {"bearer": OTHER}])
async def test_a_listed_token_lets_in_no_one_else(agent: Agent, shown: dict[str, Any]):
    agent.table.put(A, authorised=Authorised(user_id="u", epoch=1, program=secret_digest(TOKEN).hex(), permitted=BOTH))
    agent.fresh = agent.now
    agent.api.guests.clear()
    assert (await agent.ask(PATH, **shown)).status_code == 401
    assert len(agent.api.asked) == 1, "the list has no such program"


async def test_an_empty_token_in_the_list_lets_in_no_one(agent: Agent):
    agent.table.put(A, authorised=Authorised(user_id="u", epoch=1))
    agent.fresh = agent.now
    agent.api.guests.clear()
    assert (await agent.ask(**WAYS[0])).status_code == 401


async def test_who_is_let_in_does_not_wait_for_the_file_of_those_that_come_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    begun, go_on = [threading.Event(), threading.Event()], threading.Semaphore(0)
    written: list[bytes] = []

    def write(_path: Path, content: bytes, **_options: bool) -> None:
        begun[len(written)].set()
        go_on.acquire(timeout=5)
        written.append(content)

    monkeypatch.setattr("greenroom.agent.stream.viewers.write_private", write)
    viewers = Viewers(tmp_path)
    viewers.add(viewer(A, "first"))
    first = asyncio.create_task(viewers.saved())
    await asyncio.to_thread(begun[0].wait, 5)
    viewers.add(viewer(A, "second"))
    second = asyncio.create_task(viewers.saved())
    go_on.release()
    async with asyncio.timeout(5):
        await first
        assert not second.done()
        go_on.release()
        await second
    assert [content.count(b'"session_id"') for content in written] == [1, 2]


def viewer(session_id: str, token: str) -> Viewer:
    return Viewer(
        session_id=session_id,
        token_hash=token,
        shown_session_id=session_id,
        user_id="u",
        epoch=1,
        confirmed_at=0.0,
        ttl_s=1.0,
        address="",
    )


OF_API = f"{A}.{'z' * 43}"


@pytest.mark.parametrize("listed", [True, False])
async def test_the_desk_is_for_the_api_and_not_for_the_program(agent: Agent, listed: bool):
    both = Authorised(user_id="u", epoch=1, program=secret_digest(TOKEN).hex(), api=secret_digest(OF_API).hex())
    if listed:
        agent.table.put(A, authorised=both)
        agent.fresh = agent.now
    agent.api.guests[OF_API] = ("", "api")
    for path in ("desk/exec", "desk/steps", "desk/state", "desk/files", "desk/tree", "desk/screenshot", "%64esk/exec"):
        refused = await agent.ask(f"{PATH}lease/{TOKEN}/{path}", method="POST", length="0")
        assert (refused.status_code, refused.json()["error_message"]) == (403, API_ONLY)
        let_in = await agent.ask(PATH + path, bearer=OF_API, method="POST", length="0")
        assert (let_in.status_code, let_in.headers["X-Greenroom-Program"]) == (200, "1")
    assert (await agent.ask(f"{PATH}websockify", bearer=OF_API, websocket=True)).status_code == 403


@pytest.mark.parametrize(
    "authorised", [Authorised(user_id="u", epoch=1), Authorised(user_id="u", epoch=1, permitted=BOTH, must_record=True)]
)
async def test_the_browser_is_closed_without_files_and_where_a_recording_is_required(
    agent: Agent, authorised: Authorised
):
    agent.table.put(A, authorised=authorised)
    for folder in ("cdp/json", "webdriver/session"):
        assert (await agent.ask(f"{PATH}lease/{TOKEN}/{folder}")).status_code == 403
    stream = await agent.ask(f"{PATH}lease/{TOKEN}/websockify", websocket=True)
    assert stream.status_code == (403 if authorised.must_record else 200)


async def test_no_user_sees_a_session_whose_video_is_not_stored(agent: Agent):
    assert await agent.status() == 200
    reason = "Its video could not be stored for 10 minutes."
    agent.table.put(A, closed=reason)
    await agent.streams_closed(A)
    assert agent.pages.closed == [("https://127.0.0.1:32768", 4401, reason)]
    assert agent.cuts.cut == [(A, "127.0.0.1:32768")]
    reply = await agent.ask(cookie="greenroom_viewer=good")
    assert (reply.status_code, reply.headers["X-Greenroom-Reason"]) == (403, reason)
    agent.table.put(A)
    assert await agent.status() == 200
