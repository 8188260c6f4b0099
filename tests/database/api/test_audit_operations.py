"""Operations of the audit: each changing request is stored as begun before its change, so a kill loses no event."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from fastapi import FastAPI
from tests.database.api.client import USER, Client, MakeClient
from tests.database.api.provisioning import provisioner
from tests.database.api.test_audit_events import NOT_ALLOWED

from greenroom.api.diagnostics import audit_events
from greenroom.api.diagnostics.audit_events import REQUEST_ID_HEADER, may_change
from greenroom.api.security import access_of
from greenroom.db.database import Database
from greenroom.db.diagnostics.audit import verify
from greenroom.db.diagnostics.audit_operations import ABANDONED_AFTER_S
from greenroom.db.diagnostics.audit_recovery import append_unknown

GROUPS: Final = "/api/v1/groups"


class ProcessKilledError(BaseException):
    """In place of a kill: no code of the request runs after it."""


async def create_group_and_kill(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Create a group in a process that is killed before it stores the event."""

    async def kill(_: str) -> None:
        raise ProcessKilledError

    with monkeypatch.context() as patch:
        patch.setattr(audit_events, "hold_if_armed", kill)
        with pytest.raises(ProcessKilledError):
            await admin.post(GROUPS, json={"name": "Students"})


async def ended_operations(db: Database, app: FastAPI) -> list[dict[str, Any]]:
    """The events of the operations whose process ended a minute ago."""
    await db.write("UPDATE audit_operations SET alive = alive - make_interval(secs => %s)", (ABANDONED_AFTER_S,))
    for _ in range(2):  # the second time, there is no operation any more
        await append_unknown(db, app.state.secrets)
    assert await db.fetch("SELECT operation_id FROM audit_operations") == []
    assert (await verify(db, app.state.secrets)).problem is None
    return await db.fetch("SELECT * FROM audit_events WHERE result = 'unknown'")


async def test_a_kill_between_the_change_and_the_event_leaves_an_event(
    admin: Client, app: FastAPI, db: Database, monkeypatch: pytest.MonkeyPatch
):
    await create_group_and_kill(admin, monkeypatch)
    assert await db.fetch("SELECT 1 AS n FROM groups WHERE name = 'Students'") == [{"n": 1}], "the change is committed"
    assert await db.fetch("SELECT event_id FROM audit_events WHERE operation LIKE '%groups'") == []
    (event,) = await ended_operations(db, app)
    assert (event["code"], event["operation"], event["interface"]) == ("create-group", f"POST {GROUPS}", "api")
    assert (event["actor_kind"], event["address"]) == ("key", "192.0.2.1")
    assert event["message"].endswith("create group: the process ended before it stored the result")
    assert re.fullmatch("[0-9a-f-]{36}", event["request_id"])


async def test_a_changed_record_of_an_operation_gives_no_false_event(
    admin: Client, app: FastAPI, db: Database, monkeypatch: pytest.MonkeyPatch
):
    await create_group_and_kill(admin, monkeypatch)
    await db.write("UPDATE audit_operations SET event = replace(event, 'create', 'delete')")
    (event,) = await ended_operations(db, app)
    assert (event["code"], event["operation"]) == ("audit-operation-changed", None)


async def test_a_running_operation_is_confirmed_and_stays(app: FastAPI, db: Database, user: Client):
    operations = app.state.audit.operations
    event = audit_events.AuditEvent(code="x", message="x", interface="api", actor_kind="user", result="unknown")
    await operations.begin(str(NOT_ALLOWED), event)
    await db.write("UPDATE audit_operations SET alive = alive - interval '1 hour'")
    await operations.confirm()
    await append_unknown(db, app.state.secrets)
    assert await db.fetch("SELECT event FROM audit_operations WHERE event LIKE '%%\"x\"%%'") != []
    assert await user.own_id()
    operations.forget(str(NOT_ALLOWED))
    assert len(await ended_operations(db, app)) == 1


async def test_the_event_of_an_operation_removes_its_record(admin: Client, db: Database):
    answer = await admin.post(GROUPS, json={"name": "Students"})
    assert await db.fetch("SELECT operation_id FROM audit_operations") == []
    events = await db.fetch(
        "SELECT code, result FROM audit_events WHERE request_id = %s", (answer.headers[REQUEST_ID_HEADER],)
    )
    assert events == [{"code": "group-created", "result": "done"}]


async def test_an_operation_without_an_event_leaves_no_record(anonymous: Client, app: FastAPI, db: Database):
    for _ in range(2):  # the second wrong password within a minute is no event
        await anonymous.post("/api/v1/login", json={"username": USER, "password": "wrong"})
    await app.state.audit.flush()
    assert await db.fetch("SELECT operation_id FROM audit_operations") == []
    assert await db.fetch("SELECT count(*) AS n FROM audit_events WHERE code = 'login-failed'") == [{"n": 1}]


async def test_each_changing_route_begins_one_operation(
    app: FastAPI, db: Database, admin: Client, anonymous: Client, connect: MakeClient
):
    scim = await provisioner(admin, connect)
    scim.http.headers["Authorization"] = f"Bearer {scim.token}"
    operations = app.state.audit.operations
    routes = [route for route in access_of(app) if may_change(route.method, route.path)]
    assert len(routes) > 170
    for route in routes:
        path = re.sub(r"\{\w+(:path)?\}", str(NOT_ALLOWED), route.path)
        before = operations.number_begun
        is_public = not (route.declared and route.declared.codes is not None)
        client = anonymous if is_public else scim.http if path.startswith("/api/scim/") else admin
        answer = await client.request(route.method, path, json=None if route.method == "GET" else {})
        assert answer.status_code != 500, (route, answer.text)
        assert operations.number_begun == before + 1, (route, answer.text)
    await app.state.audit.flush()
    assert await db.fetch("SELECT event FROM audit_operations") == []
