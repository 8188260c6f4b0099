"""Events of the audit: each operation of each interface leaves exactly one, also if it was refused."""

from __future__ import annotations

import base64
import json
import re
import uuid
from typing import Any, Final

import httpx2
import pytest
from fastapi import FastAPI
from tests.database.api.client import ADMIN, KEY, KEYS, USER, Client, MakeClient
from tests.database.api.provisioning import provisioner
from tests.database.api.staging import Stage
from tests.support.mcp_clients import answer_of, mcp_client
from tests.support.postgres import incompressible_text

from greenroom.api.diagnostics.audit_events import REQUEST_ID_HEADER, leaves_event
from greenroom.api.security import PublicAccess, RouteAccess, access_of
from greenroom.core.audit import Link
from greenroom.core.errors import DatabaseUnavailable, StatementCanceled
from greenroom.db.database import Database
from greenroom.db.diagnostics.audit import event_of_row, verify
from greenroom.db.diagnostics.logs import LogRow

NOT_ALLOWED: Final = uuid.UUID(int=1)


async def events_of(db: Database, request_id: str) -> list[dict[str, Any]]:
    return await db.fetch("SELECT * FROM audit_events WHERE request_id = %s ORDER BY event_id", (request_id,))


async def only_event(db: Database, answer: httpx2.Response) -> dict[str, Any]:
    (event,) = await events_of(db, answer.headers[REQUEST_ID_HEADER])
    return event


def changing_routes(app: FastAPI) -> list[RouteAccess]:
    return [
        route
        for route in access_of(app)
        if leaves_event(route.method, route.path) and not isinstance(route.declared, PublicAccess)
    ]


async def test_each_changing_route_leaves_one_event_if_it_is_refused(
    app: FastAPI, db: Database, admin: Client, connect: MakeClient, with_key: MakeClient
):
    powerless = await with_key("images_view")
    scim = await provisioner(admin, connect)
    scim.http.headers["Authorization"] = f"Bearer {scim.token}"
    routes = changing_routes(app)
    assert len(routes) > 150
    for route in routes:
        path = re.sub(r"\{\w+(:path)?\}", str(NOT_ALLOWED), route.path)
        is_scim = path.startswith("/api/scim/")
        answer = await (scim.http if is_scim else powerless).request(route.method, path, json={})
        assert answer.status_code != 500, answer.text
        event = await only_event(db, answer)
        assert event["operation"] == f"{route.method} {route.path}", event
        assert (event["actor_kind"], event["address"]) == ("scim" if is_scim else "key", "192.0.2.1"), event
        if answer.status_code == 403:
            assert (event["code"], event["result"]) == ("permission-denied", "refused"), event
        else:
            assert event["result"] in ("failed", "done"), event
    assert (await verify(db, app.state.secrets)).problem is None


async def test_a_change_has_its_actor_object_values_and_request(
    admin: Client, with_key_of: MakeClient, user: Client, db: Database
):
    group = await admin.make("/api/v1/groups", name="Students")
    answer = await admin.patch(f"/api/v1/groups/{group['group_id']}", json={"priority": 7})
    event = await only_event(db, answer)
    assert {name: event[name] for name in ("code", "result", "interface", "actor_kind", "actor_id", "actor_name")} == {
        "code": "group-changed",
        "result": "done",
        "interface": "api",
        "actor_kind": "key",
        "actor_id": KEY[0],
        "actor_name": f"API key {KEY[0]}",
    }
    assert (event["object_kind"], event["object_id"], event["object_name"]) == ("group", group["group_id"], "Students")
    assert '"before":{"priority":100},"after":{"priority":7}' in event["details"]
    key = await with_key_of(user, "user")
    event = await only_event(db, await key.post("/api/v1/secrets", json={}))
    assert (event["result"], event["on_behalf_of"]) == ("failed", await user.own_id())


async def test_a_log_in_names_the_user_and_a_wrong_password_is_an_event(
    user: Client, connect: MakeClient, db: Database
):
    (event,) = await db.fetch("SELECT * FROM audit_events WHERE code = 'login' AND actor_name = %s", (USER,))
    assert (event["actor_kind"], event["result"], event["interface"]) == ("user", "done", "console")
    other = await connect()
    answer = await other.post("/api/v1/login", json={"username": USER, "password": "wrong"})
    event = await only_event(db, answer)
    assert (event["code"], event["result"], event["actor_kind"]) == ("login-failed", "refused", "none")
    event = await only_event(db, await user.post("/api/v1/logout"))
    assert (event["code"], event["interface"]) == ("logout", "console")


async def test_an_unknown_client_cannot_fill_the_audit(anonymous: Client, db: Database):
    answer = await anonymous.post("/api/v1/groups", json={"name": "x"})
    assert answer.status_code == 401
    assert await events_of(db, answer.headers[REQUEST_ID_HEADER]) == []


async def test_a_refusal_of_the_published_interface_is_no_success(anonymous: Client, db: Database):
    answer = await anonymous.post("/api/public/delete_user", json=KEYS | {"target_user": {"user_id": str(NOT_ALLOWED)}})
    assert answer.status_code == 200
    event = await only_event(db, answer)
    assert (event["result"], event["interface"], event["code"]) == ("failed", "public", "delete-user")


@pytest.mark.parametrize("error", [DatabaseUnavailable("lost"), StatementCanceled(), ValueError("a defect")])
async def test_the_result_of_a_change_with_an_error_after_its_commit_is_unknown(
    admin: Client, db: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    async def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("greenroom.db.access.groups.get_group", fail)
        answer = await admin.post("/api/v1/groups", json={"name": "Students"})
    assert answer.status_code >= 500
    assert await db.fetch("SELECT 1 AS n FROM groups WHERE name = 'Students'") == [{"n": 1}], "the change is committed"
    (event,) = await db.fetch("SELECT * FROM audit_events WHERE operation = 'POST /api/v1/groups'")
    assert (event["code"], event["result"]) == ("create-group", "unknown")


async def test_the_id_of_a_request_never_comes_from_the_client(admin: Client):
    answer = await admin.get("/api/v1/me", headers={REQUEST_ID_HEADER: "mine"})
    assert re.fullmatch("[0-9a-f-]{36}", answer.headers[REQUEST_ID_HEADER])


async def test_launch_and_assistance_are_events(stage: Stage, ada: Client, logged_in: MakeClient, db: Database):
    launched = await ada.post("/api/v1/sessions", json={"image_id": stage.image_id})
    event = await only_event(db, launched)
    assert (event["code"], event["result"]) == ("session-launched", "done")
    session_id = launched.json()["session_id"]
    assert event["object_id"] == session_id
    await stage.becomes(session_id, "running")
    boss = await logged_in()
    assisted = await boss.post(f"/api/v1/sessions/{session_id}/assist", json={"access": "view"})
    event = await only_event(db, assisted)
    assert (event["code"], event["object_id"], event["actor_name"]) == ("session-assisted", session_id, ADMIN)
    controlled = await boss.post(f"/api/v1/sessions/{session_id}/assist", json={"access": "control"})
    codes = [each["code"] for each in await events_of(db, controlled.headers[REQUEST_ID_HEADER])]
    assert "session-assisted" in codes


async def test_a_tool_of_mcp_leaves_the_event_of_its_request(stage: Stage, app: FastAPI, ada: Client, db: Database):
    basic = httpx2.BasicAuth(*KEY)._auth_header
    async with mcp_client("https://127.0.0.1:8443/mcp", basic, transport=httpx2.ASGITransport(app)) as client:
        name = (await stage.admin.only("/api/v1/images"))["friendly_name"]
        wish = {"workspace": name, "seconds": 600, "user_id": await ada.own_id(), "wait_s": 0}
        lease = answer_of(await client.call_tool("lease", wish))
        await client.call_tool("release", {"lease_id": lease["lease_id"]})
    events = await db.fetch("SELECT operation, code FROM audit_events WHERE interface = 'mcp' ORDER BY event_id")
    assert [event["operation"] for event in events] == ["POST /api/v1/leases", "DELETE /api/v1/leases/{lease_id}"]


async def test_the_audit_waits_while_the_database_refuses_it(admin: Client, app: FastAPI, db: Database):
    await db.write("ALTER TABLE audit_events RENAME TO audit_events_away")
    answer = await admin.post("/api/v1/groups", json={"name": "Students"})
    assert answer.status_code == 201
    await db.write("ALTER TABLE audit_events_away RENAME TO audit_events")
    await app.state.audit.flush()
    assert (await only_event(db, answer))["code"] == "group-created"


# Reading ----------------------------------------------------------------------------------------------------------


async def test_the_audit_is_searched_by_actor_words_result_and_request(
    admin: Client, user: Client, with_key: MakeClient, db: Database
):
    answer = await admin.post("/api/v1/groups", json={"name": "Students"})
    await user.post("/api/v1/groups", json={"name": "Mine"})
    reader = await with_key("audit_view")
    request_id = answer.headers[REQUEST_ID_HEADER]
    for question in ({"q": "students object:group"}, {"request_id": request_id}, {"code": "group-created"}):
        event = await reader.only("/api/v1/audit", **question)
        assert (event["object_name"], event["details"]["after"]["name"]) == ("Students", "Students"), question
    refused = await reader.only("/api/v1/audit", actor=USER, result="refused")
    assert (refused["code"], refused["operation"]) == ("permission-denied", "POST /api/v1/groups")
    counted = await reader.get("/api/v1/audit", params={"result": "refused", "count": True})
    assert counted.headers["X-Total-Count"] == "1"
    assert (await reader.read("/api/v1/audit", since="2999-01-01T00:00:00Z")) == []


async def test_only_readers_of_the_audit_see_it(with_key: MakeClient):
    other = await with_key("system_view")
    for path in ("/api/v1/audit", "/api/v1/audit/export"):
        assert "audit_view" in await other.refused(403, f"GET {path}")


async def test_reading_is_one_event_and_each_export_is_one(with_key: MakeClient, db: Database):
    reader = await with_key("audit_view")
    for _ in range(3):
        await reader.read("/api/v1/audit")
        assert (await reader.get("/api/v1/audit/export")).is_success
    codes = [event["code"] for event in await reader.pages("/api/v1/audit", limit=2)]
    assert [codes.count(code) for code in ("audit-viewed", "audit-exported")] == [1, 3]


async def test_an_export_has_all_events_in_order_and_the_head(app: FastAPI, admin: Client, db: Database):
    await admin.make("/api/v1/groups", name="Students")
    text = (await admin.get("/api/v1/audit/export")).text
    *events, end = [json.loads(line) for line in text.splitlines()]
    assert [event["event_id"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["code"] == "audit-exported"
    assert (await verify(db, app.state.secrets, expected=Link.parse(end["head"]))).problem is None


def test_a_refusal_of_an_agent_is_an_event_of_the_process():
    row = LogRow(level="WARNING", component="agent", code="stream-refused", message="x", session_id="s", user_id="u")
    event = event_of_row(row, interface="system")
    assert (event.result, event.actor_kind, event.on_behalf_of) == ("refused", "agent", "u")
    assert (event.object_kind, event.object_id) == ("session", "s")


BROKEN: Final = '{"before": {"notes": "AAA'
"""Details without their end."""


async def test_changes_with_the_longest_allowed_values_can_be_read(
    stage: Stage, db: Database, app: FastAPI, ada: Client
):
    images = "/api/v1/images/" + stage.image_id
    for letter in "AB":
        await stage.admin.change(images, notes=letter * 4096)
    ids = [str(uuid.uuid4()) for _ in range(100)]
    key = "ssh-rsa " + base64.b64encode(b"\0\0\0\7ssh-rsa\0\0\0\3\1\0\1\0\0\2\1\0" + b"\xa5" * 512).decode()
    assert (await ada.patch("/api/v1/me/attributes", json={"favorite_images": ids, "ssh_public_key": key})).is_success
    changed = [
        event for event in await stage.admin.pages("/api/v1/audit", limit=3) if event["code"] == "workspace-changed"
    ]
    assert changed[0]["details"]["before"]["notes"] == "A" * 4000 + "… (96 characters more)"
    exported = [json.loads(line) for line in (await stage.admin.get("/api/v1/audit/export")).text.splitlines()]
    assert not [event for event in exported if "unreadable" in event.get("details", {})]
    assert (await verify(db, app.state.secrets)).problem is None


async def test_a_stored_event_that_cannot_be_decoded_is_shown_as_its_text(admin: Client, db: Database):
    for name in ("First", "Second", "Third"):
        await admin.make("/api/v1/groups", name=name)
    await db.write("UPDATE audit_events SET details = %s WHERE object_name = 'Second'", (BROKEN,))
    listed = await admin.pages("/api/v1/audit", limit=1, code="group-created")
    assert [event["object_name"] for event in listed] == ["Third", "Second", "First"]
    assert listed[1]["details"] == {"unreadable": BROKEN}
    lines = (await admin.get("/api/v1/audit/export", params={"code": "group-created"})).text.splitlines()
    assert [json.loads(line).get("details", {}).get("unreadable") for line in lines] == [None, BROKEN, None, None]


async def test_a_long_id_in_a_path_delays_no_other_event(user: Client, admin: Client, db: Database):
    for path in ("/api/v1/sessions/", "/api/v1/me/logins/"):
        long = incompressible_text(4000)
        answer = await user.delete(path + long)
        assert answer.status_code in (404, 422), answer.text
        assert (await only_event(db, answer))["object_id"].startswith(long[:255] + "… (")
        answer = await admin.post("/api/v1/groups", json={"name": f"after {path}"})
        assert (await only_event(db, answer))["code"] == "group-created"
