"""Leases: a session with a deadline, for a program; its token gives access to this session only."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.database.api.client import Client, MakeClient
from tests.database.api.staging import Stage
from tests.support.packages import without
from tests.support.waiting import eventually

from greenroom.api.events import _may_see  # pyright: ignore[reportPrivateUsage]
from greenroom.api.security import Caller
from greenroom.core.errors import LeaseLimit
from greenroom.core.events import ChangeEvent
from greenroom.db.database import Database
from greenroom.db.diagnostics.retention import RetentionLimits, prune
from greenroom.db.fleet.checkin import read_desired
from greenroom.db.lease import leases
from greenroom.db.notifications import Listener
from greenroom.kit import plugins

LEASES = "/api/v1/leases"
HOUR = 3600


@pytest.fixture
async def friendly_name(stage: Stage) -> str:
    return (await stage.admin.only("/api/v1/images"))["friendly_name"]


async def leased(client: Client, workspace: str, **body: Any) -> dict[str, Any]:
    return await client.make(LEASES, **{"workspace": workspace, "seconds": HOUR} | body)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def seconds_left(lease: dict[str, Any]) -> float:
    return (datetime.fromisoformat(lease["expires"]) - datetime.now(UTC)).total_seconds()


async def test_a_user_leases_a_workspace_by_its_name_until_a_deadline(ada: Client, friendly_name: str):
    lease = await leased(ada, friendly_name, tags={"job": "42"})
    assert (lease["outcome"], lease["tags"], lease["username"]) == ("on_demand", {"job": "42"}, "ada@example.org")
    assert HOUR - 60 < seconds_left(lease) <= HOUR
    assert lease["urls"]["page"].startswith(f"https://127.0.0.1:8443/#/connect/kasm/{lease['session_id']}/")
    assert lease["urls"]["websocket"].startswith("wss://127.0.0.1:8445/")
    assert [one["lease_id"] for one in await ada.read(LEASES, tag="job=42")] == [lease["lease_id"]]
    assert await ada.read(LEASES, tag="job=43") == []


async def test_what_programs_are_served_has_an_address_with_the_token(
    admin: Client, ada: Client, db: Database, friendly_name: str
):
    lease = await leased(ada, friendly_name)
    assert (lease["urls"]["cdp"], lease["urls"]["webdriver"]) == (None, None)
    image_id = (await admin.only("/api/v1/images"))["image_id"]
    await admin.change(f"/api/v1/images/{image_id}", port_map={"cdp": "cdp", "webdriver": "webdriver"})
    lease = await leased(ada, friendly_name)
    assert lease["urls"]["live"] == f"https://127.0.0.1:8443/watch/{lease['lease_id']}"
    path = lease["urls"]["websocket"].removeprefix("wss").removesuffix("/websockify")
    assert path.endswith(f"/lease/{lease['token']}")
    for name in ("cdp", "webdriver"):
        assert lease["urls"][name] == f"https{path}/{name}"


async def test_a_staged_session_is_leased_where_there_is_one(stage: Stage, ada: Client, friendly_name: str):
    await stage.staged(await stage.config(), 1)
    lease = await leased(ada, friendly_name)
    assert lease["outcome"] == "staged"
    assert HOUR - 60 < seconds_left(lease) <= HOUR


async def test_an_api_key_holds_no_more_leases_than_it_may(
    admin: Client, ada: Client, with_key: MakeClient, friendly_name: str
):
    ada_id = await ada.own_id()
    program = await with_key("global_admin", max_leases=2, max_lease_s=HOUR)
    body = {"workspace": friendly_name, "seconds": HOUR, "user_id": ada_id}
    answers = await asyncio.gather(*(program.post(LEASES, json=body) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409, 409]
    refusal = await program.refused(409, f"POST {LEASES}", body)
    assert refusal == "lease-limit: This API key may hold 2 leases at a time (max_leases); release one first."
    held = await program.read(LEASES)
    assert (await program.delete(f"{LEASES}/{held[0]['lease_id']}")).status_code == 204
    await program.make(LEASES, **body)
    too_long = "Leases of this API key may last 3600 s (max_lease_s), not 7200 s."
    assert await program.refused(422, f"POST {LEASES}", body | {"seconds": 2 * HOUR}) == f"invalid: {too_long}"
    longer = await program.refused(422, f"PATCH {LEASES}/{held[1]['lease_id']}", {"seconds": 2 * HOUR})
    assert longer == f"invalid: {too_long}"


async def test_a_lease_that_was_refused_does_not_count(ada: Client, with_key: MakeClient, friendly_name: str):
    ada_id = await ada.own_id()
    program = await with_key("global_admin", max_leases=1)
    body = {"workspace": friendly_name, "seconds": HOUR, "user_id": ada_id}
    await program.refused(422, f"POST {LEASES}", body | {"options": {"persistent_profile_mode": "Reset"}})
    first = await program.post(LEASES, json=body, headers={"Idempotency-Key": "once"})
    again = await program.post(LEASES, json=body, headers={"Idempotency-Key": "once"})
    assert (first.status_code, again.json()["lease_id"]) == (201, first.json()["lease_id"])


async def test_a_key_for_repeated_requests_gives_no_other_api_key_the_lease(
    ada: Client, with_key: MakeClient, friendly_name: str
):
    body = {"workspace": friendly_name, "seconds": HOUR, "user_id": await ada.own_id()}
    one, other = await with_key("global_admin"), await with_key("global_admin", max_leases=0)
    repeated = {"Idempotency-Key": "job-1"}
    assert (await one.post(LEASES, json=body, headers=repeated)).status_code == 201
    refused = await other.post(LEASES, json=body, headers=repeated)
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency-mismatch")


async def test_what_a_lease_counts_towards_the_limit_of_its_key(
    ada: Client, db: Database, with_key: MakeClient, friendly_name: str
):
    program = await with_key("global_admin", max_leases=1)
    body = {"workspace": friendly_name, "seconds": HOUR, "user_id": await ada.own_id()}
    made = await program.post(LEASES, json=body, headers={"Idempotency-Key": "job-1"})
    key_id = (await db.fetch("SELECT key_id FROM leases"))[0]["key_id"]
    await db.write(
        "UPDATE sessions SET status = 'failed', error = 'broken' WHERE session_id = %s", (made.json()["session_id"],)
    )
    assert (await db.fetch("SELECT awaits_successor FROM sessions"))[0]["awaits_successor"]
    await program.refused(409, f"POST {LEASES}", body)
    await db.write("UPDATE sessions SET status = 'deleted'")
    user_id = body["user_id"]
    under_way = await leases.reserve(db, key_id, user_id=user_id, idempotency_key="job-2")
    assert await leases.reserve(db, key_id, user_id=user_id, idempotency_key="job-2"), "its own repetition"
    for other in ("job-3", None):
        with pytest.raises(LeaseLimit):
            await leases.reserve(db, key_id, user_id=user_id, idempotency_key=other)
    await db.write("UPDATE lease_reservations SET made = made - interval '2 hours'")
    keep = RetentionLimits(
        log_rows=1000, log_days=1, security_rows=1000, security_days=1, launch_days=1, recording_days=14
    )
    assert under_way
    assert (await prune(db, keep))["lease_reservations"] == 2


async def test_its_token_opens_this_lease_alone(
    ada: Client, anonymous: Client, with_user: MakeClient, friendly_name: str
):
    one, other = await leased(ada, friendly_name), await leased(ada, friendly_name)
    address = f"{LEASES}/{one['lease_id']}"
    shown = await anonymous.get(address, headers=bearer(one["token"]))
    assert (shown.status_code, shown.json()["session_id"]) == (200, one["session_id"])
    for token in (other["token"], "no token", f"{one['lease_id']}.", ""):
        assert (await anonymous.get(address, headers=bearer(token))).status_code == 401
    unknown = await anonymous.get(f"{LEASES}/{uuid.uuid4()}", headers=bearer(one["token"]))
    assert unknown.status_code == 401
    eve = await with_user("eve@example.org")
    assert (await eve.refused(404, f"GET {address}")).startswith("not-found")
    assert await eve.read(LEASES) == []


async def test_its_agent_knows_the_lease_as_long_as_its_user_may_use_it(
    stage: Stage, ada: Client, db: Database, friendly_name: str
):
    await stage.staged(await stage.config(), 1)
    lease = await leased(ada, friendly_name)

    async def listed() -> str | None:
        (session,) = await read_desired(db, stage.agent_id, [lease["session_id"]])
        return session.lease_id

    assert await listed() == lease["lease_id"]
    await stage.admin.change(f"/api/v1/users/{await ada.own_id()}", disabled=True)
    assert await listed() is None


async def test_releasing_it_destroys_the_session_and_the_token(ada: Client, anonymous: Client, friendly_name: str):
    lease = await leased(ada, friendly_name)
    address, token = f"{LEASES}/{lease['lease_id']}", bearer(lease["token"])
    assert (await anonymous.delete(address, headers=token)).status_code == 204
    session = await ada.read(f"/api/v1/sessions/{lease['session_id']}")
    assert (session["status"], session["ended_reason"]) == ("deleting", "its lease was released")
    assert (await anonymous.get(address, headers=token)).status_code == 401
    assert (await ada.delete(address)).status_code == 204
    assert "over" in await ada.refused(409, f"PATCH {address}", {"seconds": 60})


async def test_its_deadline_is_moved_from_now_and_viewers_do_not_move_it(ada: Client, db: Database, friendly_name: str):
    lease = await leased(ada, friendly_name)
    address = f"{LEASES}/{lease['lease_id']}"
    shorter = await ada.change(address, seconds=60)
    assert 0 < seconds_left(shorter) <= 60
    longer = await ada.change(address, seconds=2 * HOUR)
    assert 2 * HOUR - 60 < seconds_left(longer) <= 2 * HOUR
    await ada.post(f"/api/v1/sessions/{lease['session_id']}/keepalives")
    assert 2 * HOUR - 60 < seconds_left(await ada.read(address)) <= 2 * HOUR
    (session,) = await db.fetch("SELECT expires, time_limit_ends FROM sessions")
    assert session["time_limit_ends"] - session["expires"] < timedelta(seconds=1)
    shown = await ada.read(f"/api/v1/sessions/{lease['session_id']}")
    assert (shown["expires_action"], shown["expires_reason"]) == ("delete", "It ends with its lease.")


async def test_it_does_not_outlive_the_time_limit_of_its_user(
    ada: Client, admin: Client, db: Database, friendly_name: str
):
    await db.write("UPDATE images SET session_time_limit = 600")
    refusal = await ada.refused(422, f"POST {LEASES}", {"workspace": friendly_name, "seconds": 601})
    assert "601 s" in refusal
    assert "`session_time_limit` = 600 of workspace" in refusal
    lease = await leased(ada, friendly_name, seconds=600)
    await db.write("UPDATE sessions SET assigned = assigned - interval '5 minutes'")
    assert "400 s" in await ada.refused(422, f"PATCH {LEASES}/{lease['lease_id']}", {"seconds": 400})
    await ada.change(f"{LEASES}/{lease['lease_id']}", seconds=200)


async def test_a_lease_may_be_answered_when_its_session_runs(stage: Stage, ada: Client, friendly_name: str):
    (session_id,) = await stage.staged(await stage.config(), 1)
    hub = stage.app.state.hub
    asking = asyncio.create_task(leased(ada, friendly_name, wait_s=60))
    await eventually(lambda: hub.has_subscribers)
    assert not asking.done()
    await stage.becomes(session_id, "running")
    hub.publish(ChangeEvent.session(session_id))
    lease = await asking
    assert (lease["session_id"], lease["status"]) == (session_id, "running")
    assert not hub.has_subscribers


@pytest.mark.parametrize("staged", [True, False])
async def test_a_lease_whose_session_does_not_run_in_time_is_granted_as_it_is(
    stage: Stage, ada: Client, friendly_name: str, staged: bool
):
    if staged:
        await stage.staged(await stage.config(), 1)
    lease = await leased(ada, friendly_name, wait_s=0.05)
    assert lease["status"] == ("assigning" if staged else "requested")
    assert lease["token"]


async def test_a_lease_is_not_waited_for_when_its_session_failed(stage: Stage, ada: Client, friendly_name: str):
    hub = stage.app.state.hub
    asking = asyncio.create_task(leased(ada, friendly_name, wait_s=60))
    await eventually(lambda: hub.has_subscribers)
    await stage.db.write("UPDATE sessions SET status = 'failed', gave_up = true, error = 'The image has no shell.'")
    hub.resync()
    assert (await asking)["status"] == "failed"


async def test_an_api_that_is_to_stop_waits_for_no_session(stage: Stage, ada: Client, friendly_name: str):
    hub = stage.app.state.hub
    asking = asyncio.create_task(leased(ada, friendly_name, wait_s=60))
    await eventually(lambda: hub.has_subscribers)
    hub.close()
    async with asyncio.timeout(10):
        assert (await asking)["status"] == "requested"


async def test_the_same_idempotency_key_gives_the_same_lease(ada: Client, friendly_name: str):
    body, key = {"workspace": friendly_name, "seconds": HOUR}, {"Idempotency-Key": "one"}
    first = await ada.post(LEASES, json=body, headers=key)
    again = await ada.post(LEASES, json=body, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert {k: again.json()[k] for k in ("lease_id", "session_id", "token")} == {
        k: first.json()[k] for k in ("lease_id", "session_id", "token")
    }
    other = await ada.post(LEASES, json=body | {"seconds": 60}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-mismatch")


async def test_a_key_leases_for_its_owner_and_holds_what_it_leased(
    stage: Stage, with_key: MakeClient, ada: Client, friendly_name: str
):
    del stage
    refusal = await (await with_key("users_auth_session")).refused(
        422, f"POST {LEASES}", {"workspace": friendly_name, "seconds": 60}
    )
    assert "user_id" in refusal  # created by the installation's key, it has no owner
    program, other = await with_key("users_auth_session"), await with_key("users_auth_session")
    lease = await leased(program, friendly_name, user_id=await ada.own_id())
    assert [one["lease_id"] for one in await program.read(LEASES)] == [lease["lease_id"]]
    assert await other.read(LEASES) == []
    await other.refused(404, f"DELETE {LEASES}/{lease['lease_id']}")
    assert (await program.delete(f"{LEASES}/{lease['lease_id']}")).status_code == 204


async def test_a_program_that_must_be_recorded_gets_no_address_that_makes_it_the_user(
    stage: Stage, with_key_of: MakeClient, ada: Client, friendly_name: str
):
    program = await with_key_of(ada, "user")
    assert "connect" in (await leased(program, friendly_name))["urls"]["page"]
    await stage.everybody(record_leases="actions")
    urls = (await leased(program, friendly_name))["urls"]
    assert urls["page"] == urls["live"]
    assert (urls["websocket"], urls["cdp"], urls["webdriver"]) == (None, None, None)


async def test_a_lease_has_no_mcp_address_if_the_package_of_mcp_is_not_installed(
    ada: Client, friendly_name: str, monkeypatch: pytest.MonkeyPatch
):
    assert (await leased(ada, friendly_name))["urls"]["mcp"] == "https://127.0.0.1:8443/mcp"
    without(plugins.INTERFACES, "mcp", monkeypatch)
    assert (await leased(ada, friendly_name))["urls"]["mcp"] is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"workspace": "Nothing", "seconds": 60}, 404),
        ({"workspace": "", "seconds": 60}, 422),
        ({"workspace": "X", "seconds": 59}, 422),
        ({"workspace": "X", "seconds": 86401}, 422),
        ({"workspace": "X", "seconds": 60, "options": {"gpu": 1}}, 422),
        ({"seconds": 60}, 422),
    ],
)
async def test_what_cannot_be_leased_is_refused(ada: Client, body: dict[str, Any], status: int):
    answer = await ada.post(LEASES, json=body)
    assert (answer.status_code, bool(answer.json()["detail"])) == (status, True)


async def test_a_lease_has_an_event_when_it_begins_changes_and_ends(
    ada: Client, db: Database, dsn: str, stage: Stage, friendly_name: str
):
    received: asyncio.Queue[ChangeEvent] = asyncio.Queue()
    listener = Listener(dsn, application_name="leases", on_event=received.put_nowait)
    await listener.open()
    running = asyncio.create_task(listener.run())

    async def expect(event: ChangeEvent) -> None:
        async with asyncio.timeout(20):
            while await received.get() != event:
                pass

    lease = await leased(ada, friendly_name)
    event, path = ChangeEvent.lease(lease["lease_id"]), f"{LEASES}/{lease['lease_id']}"
    await expect(event)
    await stage.becomes(lease["session_id"], "running")
    await ada.change(path, seconds=HOUR // 2)
    await expect(event)
    assert (await ada.delete(path)).status_code == 204
    await expect(event)
    running.cancel()
    own, other = (Caller("user", frozenset({"user"}), user_id) for user_id in (await ada.own_id(), str(uuid.uuid4())))
    assert await _may_see(db, own, event)
    assert not await _may_see(db, other, event)


async def test_a_key_with_the_permission_of_a_user_leases_and_launches_for_its_owner(
    stage: Stage, connect: MakeClient, ada: Client, user: Client, friendly_name: str
):
    created = await stage.admin.make("/api/v1/api-keys", name="agent", permissions=["user"])
    await stage.db.write(
        "UPDATE api_keys SET created_by = %s WHERE key_id = %s", (await ada.own_id(), created["api_key"])
    )
    key = await connect((created["api_key"], created["api_key_secret"]))
    lease = await leased(key, friendly_name)
    assert lease["username"] == "ada@example.org"
    assert (await key.read(f"{LEASES}/{lease['lease_id']}"))["lease_id"] == lease["lease_id"]
    assert (await key.launch(stage.image_id))["username"] == "ada@example.org"
    others = {"workspace": friendly_name, "seconds": HOUR, "user_id": await user.own_id()}
    assert "leases_create_for_others" in await key.refused(403, f"POST {LEASES}", others)


async def test_a_key_leases_for_others_without_the_powers_over_their_sessions(
    admin: Client, ada: Client, logged_in: MakeClient, with_key: MakeClient, friendly_name: str
):
    key = await with_key("leases_create_for_others")
    mine = await leased(key, friendly_name, user_id=await ada.own_id())
    assert (await key.read(f"{LEASES}/{mine['lease_id']}"))["username"] == "ada@example.org"
    theirs = await leased(ada, friendly_name)
    assert (await key.get(f"{LEASES}/{theirs['lease_id']}")).status_code == 404
    for session in (mine, theirs):
        assert (await key.get(f"/api/v1/sessions/{session['session_id']}/connection")).status_code == 403
    above = {"workspace": friendly_name, "seconds": HOUR, "user_id": await (await logged_in()).own_id()}
    assert "users_modify_admin" in await key.refused(403, f"POST {LEASES}", above)
    by_program = await with_key("users_auth_session")
    assert "users_modify_admin" in await by_program.refused(403, f"POST {LEASES}", above)
    with_right = await with_key("users_auth_session", "users_modify_admin")
    assert (await with_right.post(LEASES, json=above)).status_code == 201
