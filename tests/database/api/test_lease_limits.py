"""The number of simultaneous leases of a user and of an API key, separate from the desktops that people open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.database.api.client import Client, MakeClient
from tests.database.api.staging import Stage
from tests.support.waiting import eventually

from greenroom.api.events import Subscriber
from greenroom.api.launch.service import Launcher, LaunchRequest, LaunchResult
from greenroom.api.lease import service
from greenroom.core.events import ChangeEvent, Topic

LEASES, SESSIONS = "/api/v1/leases", "/api/v1/sessions"


@pytest.fixture
async def body(stage: Stage, ada: Client) -> dict[str, object]:
    """A request for a lease of ada's."""
    image = await stage.admin.only("/api/v1/images")
    return {"workspace": image["friendly_name"], "seconds": 600, "user_id": await ada.own_id()}


async def test_leases_and_desktops_have_separate_limits(stage: Stage, ada: Client, body: dict[str, object]):
    await stage.everybody(max_kasms_per_user=1, max_leases_per_user=2)
    desktop = {"image_id": stage.image_id}
    for _ in range(2):
        await ada.make(LEASES, **body)
    refusal = "lease-limit: 2 leases are allowed for this user (max_leases_per_user); release one first."
    assert await ada.refused(409, f"POST {LEASES}", body) == refusal
    assert (await ada.post(SESSIONS, json=desktop)).status_code == 202
    assert (await ada.refused(409, f"POST {SESSIONS}", desktop)).startswith("session-limit: 1 session is allowed")


async def test_no_desktop_is_open_to_a_lease_that_the_user_may_not_have(
    stage: Stage, ada: Client, body: dict[str, object]
):
    await stage.everybody(max_kasms_per_user=5, max_leases_per_user=0)
    await stage.staged(await stage.config(), 1)
    assert (await ada.refused(409, f"POST {LEASES}", body)).startswith("lease-limit: 0 leases are allowed")


async def test_the_limit_of_a_key_only_narrows(stage: Stage, with_key: MakeClient, body: dict[str, object]):
    await stage.everybody(max_leases_per_user=2)
    wide, narrow = (
        await with_key("users_auth_session", max_leases=9),
        await with_key("users_auth_session", max_leases=1),
    )
    await narrow.make(LEASES, **body)
    assert "(max_leases)" in await narrow.refused(409, f"POST {LEASES}", body)
    await wide.make(LEASES, **body)
    assert "(max_leases_per_user)" in await wide.refused(409, f"POST {LEASES}", body)


@pytest.mark.parametrize("staged", [0, 3])
async def test_leases_at_the_same_time_do_not_exceed_the_limit_of_their_user(
    stage: Stage, with_key: MakeClient, body: dict[str, object], staged: int
):
    await stage.everybody(max_leases_per_user=2)
    await stage.staged(await stage.config(), staged)
    program = await with_key("users_auth_session")
    answers = await asyncio.gather(*(program.post(LEASES, json=body) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409]


async def granted(stage: Stage, waiting: asyncio.Task[dict[str, Any]]) -> dict[str, Any]:
    """The lease for which a request waits, with a running session."""
    while not waiting.done():
        for row in await stage.db.fetch("SELECT session_id::text FROM sessions WHERE status = 'requested'"):
            await stage.becomes(row["session_id"], "running")
            stage.app.state.hub.publish(ChangeEvent.session(row["session_id"]))
        await asyncio.wait([waiting], timeout=0.1)
    return waiting.result()


@pytest.mark.parametrize("limited", ["key", "user"])
async def test_a_lease_waits_for_another_one_to_end(
    stage: Stage, with_key: MakeClient, body: dict[str, object], limited: str
):
    program = await with_key("users_auth_session", **({"max_leases": 1} if limited == "key" else {}))
    await stage.everybody(max_leases_per_user=1 if limited == "user" else 5)
    first = await program.make(LEASES, **body)
    await program.refused(409, f"POST {LEASES}", body | {"wait_s": 0.5})
    waiting = asyncio.create_task(program.make(LEASES, **body, wait_s=30))
    hub = stage.app.state.hub
    await eventually(lambda: hub.has_subscribers)
    assert (await program.delete(f"{LEASES}/{first['lease_id']}")).status_code == 204
    hub.publish(ChangeEvent.lease(first["lease_id"]))
    assert (await granted(stage, waiting))["lease_id"] != first["lease_id"]


async def test_a_waiting_lease_is_not_launched_while_the_limit_is_reached(
    stage: Stage, ada: Client, body: dict[str, object], monkeypatch: pytest.MonkeyPatch
):
    launched: list[LaunchRequest] = []
    launch = Launcher.launch

    async def counted(self: Launcher, request: LaunchRequest, *, shows_machines: bool = True) -> LaunchResult:
        launched.append(request)
        return await launch(self, request, shows_machines=shows_machines)

    await stage.everybody(max_leases_per_user=0)
    monkeypatch.setattr(Launcher, "launch", counted)
    monkeypatch.setattr(service, "MIN_CHECK_INTERVAL_S", 0.01)
    monkeypatch.setattr(service, "MAX_CHECK_INTERVAL_S", 0.05)
    assert (await ada.refused(409, f"POST {LEASES}", body | {"wait_s": 1})).startswith("lease-limit: ")
    assert len(launched) == 1


async def test_a_waiting_request_gets_the_lease_that_its_repetition_made(
    stage: Stage, ada: Client, body: dict[str, object]
):
    await stage.everybody(max_leases_per_user=1)
    first = await ada.make(LEASES, **body)
    repeated = {"Idempotency-Key": "job-1"}
    waiting = asyncio.create_task(ada.post(LEASES, json=body | {"wait_s": 30}, headers=repeated))
    await eventually(lambda: stage.app.state.hub.has_subscribers)
    await stage.everybody(max_leases_per_user=2)
    other = await ada.post(LEASES, json=body, headers=repeated)
    stage.app.state.hub.publish(ChangeEvent(Topic.SETTINGS))
    for row in await stage.db.fetch("SELECT session_id::text FROM sessions WHERE status = 'requested'"):
        await stage.becomes(row["session_id"], "running")
    assert (await waiting).json()["lease_id"] == other.json()["lease_id"] != first["lease_id"]


async def test_other_events_do_not_wake_a_waiting_lease():
    subscriber = Subscriber()
    loop = asyncio.get_running_loop()
    woken = asyncio.create_task(service.wait_for_free_lease(subscriber, loop.time() + 60))
    for event in (ChangeEvent.session("s"), ChangeEvent.agent("a"), ChangeEvent(Topic.LOGS)):
        subscriber.put(event)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not woken.done()
    subscriber.put(ChangeEvent.lease("l"))
    await asyncio.wait_for(woken, 5)
