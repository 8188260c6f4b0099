"""The process `greenroom api`: it starts without a database, and streams events."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from tests.database.api.client import Client
from tests.database.api.staging import bare_session
from tests.database.api_process import KEY, api_process

from greenroom.api.events import MAX_WAITING_EVENTS, RESYNC, EventHub, _may_see
from greenroom.api.security import Caller
from greenroom.core.events import MAX_RECENT, ChangeEvent, Topic
from greenroom.db.database import Database
from greenroom.kit.secrets import Secrets


@asynccontextmanager
async def running(folder: Path, dsn: str) -> AsyncIterator[httpx2.AsyncClient]:
    """The process, with a separate key of the installation."""
    Secrets.create_file(folder / "key")
    async with api_process(folder / "key", dsn) as client:
        yield client


async def frames(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, str]]:
    """The frames of a stream, without comments."""
    frame: dict[str, str] = {}
    async for line in lines:
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            frame[name] = value
        elif frame:
            yield frame
            frame = {}


async def until_received(db: Database, stream: AsyncIterator[dict[str, str]]) -> dict[str, str]:
    """Notify the process until its listener, which may just begin, has received it; returns the frame of the event."""
    frame = {"event": "resync"}
    while frame.get("event") == "resync":
        await db.notify(ChangeEvent.staging("abc"))
        frame = await anext(stream)
    return frame


async def until_connected(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """The lines before the connection is reported as established: the past events."""
    async for line in lines:
        if line == ": connected":
            return
        yield line


async def test_without_a_database_it_stays_up_and_is_degraded(tmp_path: Path):
    async with running(tmp_path, f"host={tmp_path} dbname=none connect_timeout=1") as client:
        health = await client.get("/api/__healthcheck", headers={"Host": "any.example"})
        assert health.status_code == 503
        assert health.json()["ok"] is False
        assert health.json()["status"] == "degraded"


async def test_events_reach_who_may_see_them(tmp_path: Path, app: FastAPI, db: Database, dsn: str):
    async with running(tmp_path, dsn) as client:
        assert (await client.get("/api/__healthcheck")).content == b'{"ok": true}'
        async with client.stream("GET", "/api/v1/events", headers={"Last-Event-ID": "4"}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["x-accel-buffering"] == "no"
            stream = frames(answer.aiter_lines())
            assert (await anext(stream))["event"] == "resync", "it reconnected"
            said = json.loads((await until_received(db, stream))["data"])
            assert (said["topic"], said["id"]) == ("staging", "abc")
            assert abs(datetime.fromisoformat(said["at"]) - datetime.now(UTC)) < timedelta(minutes=1)
        async with client.stream("GET", "/api/v1/events", params={"last": 1}) as answer:
            begin = [line async for line in until_connected(answer.aiter_lines())]
        assert json.loads(begin[1].removeprefix("data: "))["id"] == "abc"


async def test_a_page_can_notice_a_silent_stream(tmp_path: Path, app: FastAPI, dsn: str):
    async with running(tmp_path, dsn) as client:
        async with client.stream("GET", "/api/v1/events", params={"alive_s": 1}) as answer:
            received = (frame async for frame in frames(answer.aiter_lines()) if frame.get("event") != "resync")
            assert await anext(received) == {"event": "alive", "data": "{}"}, "comments are no events for a page"
        assert (await client.get("/api/v1/events", params={"alive_s": 0.1})).status_code == 422


async def test_the_loss_of_the_listener_is_a_resync(tmp_path: Path, app: FastAPI, db: Database, dsn: str):
    async with running(tmp_path, dsn) as client, client.stream("GET", "/api/v1/events") as answer:
        stream = frames(answer.aiter_lines())
        await until_received(db, stream)
        await db.write(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'greenroom api listener'"
        )
        while (await anext(stream)).get("event") != "resync":
            pass


async def test_an_open_stream_does_not_keep_it_from_stopping(tmp_path: Path, app: FastAPI, dsn: str):
    async with httpx2.AsyncClient(timeout=20) as other:
        async with running(tmp_path, dsn) as client:
            request = other.build_request("GET", f"{client.base_url}/api/v1/events")
            answer = await other.send(request, stream=True, auth=httpx2.BasicAuth(*KEY))
            lines = answer.aiter_lines()
            assert await anext(lines) == ": connected"
        events = [frame async for frame in frames(lines)]
        assert events in ([], [{"id": "1", "event": "resync", "data": "{}"}]), "that of a listener that just began"


async def test_a_slow_subscriber_gets_a_resync_instead_of_what_it_missed():
    hub = EventHub()
    with hub.subscription() as subscriber:
        for number in range(MAX_WAITING_EVENTS + 5):
            hub.publish(ChangeEvent.session(str(number)))
        assert await subscriber.take(1) == [RESYNC]
        hub.publish(ChangeEvent.session("1"))
        hub.publish(ChangeEvent.session("1"))
        assert await subscriber.take(1) == [ChangeEvent.session("1")]
        assert await subscriber.take(0.01) == []


def test_the_last_events_are_remembered():
    hub = EventHub()
    for number in range(MAX_RECENT + 5):
        hub.publish(ChangeEvent.session(str(number)))
    assert [event.id for event, _ in hub.recent(2)] == [str(MAX_RECENT + 3), str(MAX_RECENT + 4)]
    assert (len(hub.recent(MAX_RECENT + 9)), hub.recent(0)) == (MAX_RECENT, [])


@pytest.mark.parametrize(
    ("topic", "seen"), [(Topic.SESSION, False), (Topic.IMAGES, True), (Topic.LOGS, False), (Topic.USERS, False)]
)
async def test_a_user_gets_only_events_they_may_see(app: FastAPI, user: Client, topic: Topic, seen: bool):
    me = await user.read("/api/v1/me")
    caller = Caller("user", frozenset(me["permissions"]), me["user"]["user_id"], me["user"]["username"])
    assert await _may_see(app.state.db, caller, ChangeEvent(topic, "x")) is seen


async def test_a_user_gets_events_of_their_own_sessions(app: FastAPI, user: Client, db: Database):
    me = (await user.read("/api/v1/me"))["user"]
    session_id = await bare_session(db, me["user_id"])
    own, other = (
        Caller("user", frozenset({"user"}), user_id)
        for user_id in (me["user_id"], "00000000-0000-0000-0000-000000000001")
    )
    assert await _may_see(db, own, ChangeEvent.session(session_id))
    assert not await _may_see(db, other, ChangeEvent.session(session_id))


async def test_users_who_may_see_the_log_get_an_event_for_a_new_row(
    tmp_path: Path, app: FastAPI, db: Database, dsn: str
):
    async with running(tmp_path, dsn) as client, client.stream("GET", "/api/v1/events") as answer:
        stream = frames(answer.aiter_lines())
        await until_received(db, stream)
        assert (await client.post("/api/v1/zones", json={"zone_name": "eu"})).status_code == 201
        topics: set[str] = set()
        while "logs" not in topics:
            frame = await anext(stream)
            topics.add(json.loads(frame["data"]).get("topic", ""))
        rows = (await client.get("/api/v1/logs", params={"code": "zone-created"})).json()
        assert len(rows) == 1, "the row is there when its event arrives"


@pytest.mark.timeout(1000)
async def test_generated_requests_are_answered_as_the_document_describes(tmp_path: Path, app: FastAPI, dsn: str):
    async with running(tmp_path, dsn) as client:
        program = [sys.executable, "-m", "tests.database.api.explore", str(client.base_url).rstrip("/"), *KEY]
        called = await asyncio.to_thread(subprocess.run, program, capture_output=True, text=True, timeout=900)
    assert called.returncode == 0, called.stderr
    expected = {"GET /api/v1/zones", "PATCH /api/v1/users/{user_id}", "POST /api/public/request_kasm"}
    assert expected <= set(called.stdout.splitlines())
