"""The Python client, sync and async, against the api."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI
from tests.database.api.client import KEY, Client
from tests.database.api.staging import Stage
from tests.support.waiting import eventually

from greenroom.client import (
    AsyncGreenroom,
    Greenroom,
    Invalid,
    LeaseLimit,
    NotFound,
    Retries,
    Unauthenticated,
    Unavailable,
    Unreachable,
    WrongState,
)

URL = "https://127.0.0.1:8443"
AT_ONCE = Retries(first_wait_s=0.0)


class ThroughLoop(httpx.BaseTransport):
    """The api, which runs in the loop of the test, for a client in a thread. `lost`: the number of answers that get
    lost."""

    def __init__(self, app: FastAPI) -> None:
        self._inner = httpx.ASGITransport(app, client=("192.0.2.1", 50000), raise_app_exceptions=False)
        self._loop = asyncio.get_running_loop()
        self.lost = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        done = asyncio.run_coroutine_threadsafe(self._answered(request), self._loop)
        status, headers, content = done.result()
        if self.lost:
            self.lost -= 1
            raise httpx.ReadError("the line was cut", request=request)
        return httpx.Response(status, headers=headers, content=content)

    async def _answered(self, request: httpx.Request) -> tuple[int, httpx.Headers, bytes]:
        inner = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
        answer = await self._inner.handle_async_request(inner)
        return answer.status_code, answer.headers, await answer.aread()


class Watched(httpx.ASGITransport):
    """The api, with the methods of the answered requests."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(app)
        self.answered: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        self.answered.append(request.method)
        return answer


@pytest.fixture
async def greenroom(app: FastAPI, stage: Stage) -> Greenroom:
    del stage
    return Greenroom(URL, *KEY, retries=AT_ONCE, transport=ThroughLoop(app))


@pytest.fixture
def asynchronous(app: FastAPI, stage: Stage) -> AsyncGreenroom:
    del stage
    return AsyncGreenroom(URL, *KEY, retries=AT_ONCE, transport=httpx.ASGITransport(app))


async def becomes(stage: Stage, status: str) -> None:
    """Give the only session this status."""
    row = await eventually(lambda: stage.db.fetch_one("SELECT session_id::text FROM sessions"))
    await stage.becomes(row["session_id"], status)


async def statuses(stage: Stage) -> list[str]:
    return [row["status"] for row in await stage.db.fetch("SELECT status FROM sessions ORDER BY created")]


async def test_a_lease_runs_within_the_block_and_is_gone_after_it(greenroom: Greenroom, stage: Stage, ada: Client):
    user_id = await ada.own_id()

    def work() -> None:
        with greenroom, greenroom.lease("Desktop", seconds=60, user_id=user_id, tags=["ci"]) as desk:
            assert desk.urls.page.startswith(URL)
            desk.extend(120)
            (held,) = greenroom.leases("ci")
            assert (held.status, held.lease_id, held.token) == ("running", desk.lease.lease_id, "")
            assert held.expires == desk.lease.expires

    await asyncio.gather(asyncio.to_thread(work), becomes(stage, "running"))
    assert await statuses(stage) == ["deleting"]


async def test_the_same_with_asyncio(asynchronous: AsyncGreenroom, stage: Stage, ada: Client):
    async def work() -> None:
        async with (
            asynchronous,
            asynchronous.lease("Desktop", seconds=60, user_id=await ada.own_id()) as desk,
        ):
            await desk.extend(120)
            assert [held.status for held in await asynchronous.leases()] == ["running"]

    await asyncio.gather(work(), becomes(stage, "running"))
    assert await statuses(stage) == ["deleting"]


async def test_a_lease_can_be_awaited_before_its_block(asynchronous: AsyncGreenroom, stage: Stage, ada: Client):
    async def work() -> None:
        async with await asynchronous.lease("Desktop", seconds=60, user_id=await ada.own_id()) as desk:
            await desk.extend(120)

    await asyncio.gather(work(), becomes(stage, "running"))
    assert await statuses(stage) == ["deleting"]


async def test_a_lease_that_is_given_up_is_released(app: FastAPI, stage: Stage, ada: Client):
    transport = Watched(app)
    asynchronous = AsyncGreenroom(URL, *KEY, retries=AT_ONCE, transport=transport)
    leasing = asyncio.create_task(asynchronous.lease("Desktop", user_id=await ada.own_id()))
    await eventually(lambda: "GET" in transport.answered)  # it has the lease, and checks the session's status
    leasing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leasing
    assert await statuses(stage) == ["deleting"]
    with pytest.raises(Unavailable, match="was still requested after 0 s"):
        await asynchronous.lease("Desktop", user_id=await ada.own_id(), ready_within_s=0)
    assert await statuses(stage) == ["deleting", "deleting"]


async def test_a_session_that_fails_is_an_error_of_its_own(asynchronous: AsyncGreenroom, stage: Stage, ada: Client):
    with pytest.raises(WrongState, match="is failed; its lease is over"):
        await asyncio.gather(asynchronous.lease("Desktop", user_id=await ada.own_id()), becomes(stage, "failed"))


async def test_a_lost_answer_makes_no_second_lease(app: FastAPI, stage: Stage, ada: Client):
    transport, user_id = ThroughLoop(app), await ada.own_id()
    transport.lost = 2
    greenroom = Greenroom(URL, *KEY, retries=AT_ONCE, transport=transport)
    desk, _ = await asyncio.gather(
        asyncio.to_thread(greenroom.lease, "Desktop", user_id=user_id), becomes(stage, "running")
    )
    assert transport.lost == 0
    assert len(await stage.db.fetch("SELECT 1 FROM sessions")) == 1
    assert desk.lease.token


async def test_a_refusal_is_the_error_of_its_code(
    app: FastAPI, asynchronous: AsyncGreenroom, stage: Stage, ada: Client
):
    user_id = await ada.own_id()
    with pytest.raises(NotFound, match="no workspace Nothing"):
        await asynchronous.lease("Nothing", user_id=user_id)
    with pytest.raises(Invalid):
        await asynchronous.lease("Desktop", seconds=1, user_id=user_id)
    await stage.everybody(max_leases_per_user=0)
    with pytest.raises(LeaseLimit) as refused:
        await asynchronous.lease("Desktop", user_id=user_id)
    assert refused.value.details["status"] == 409
    stranger = AsyncGreenroom(URL, KEY[0], "wrong", transport=httpx.ASGITransport(app))
    with pytest.raises(Unauthenticated):
        await stranger.leases()
    nowhere = AsyncGreenroom("https://127.0.0.1:1", *KEY, retries=Retries(attempts=2, first_wait_s=0.0))
    with pytest.raises(Unreachable, match=r"^https://127\.0\.0\.1:1 does not answer: "):
        await nowhere.leases()


async def test_lists_are_read_to_their_end(greenroom: Greenroom):
    groups = await asyncio.to_thread(greenroom.rows, "/groups", {"limit": 1})
    assert len(groups) > 1
