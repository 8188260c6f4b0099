"""Every administrative change is one log row and one event, with author, object, old and new value, and no secret."""

from __future__ import annotations

import re
import time
from typing import Any, Final, cast

import httpx2
import pytest
from fastapi import FastAPI
from tests.database.api.audit_steps import PAIR, PUBLIC_STEPS, SECRET, STEPS, Step
from tests.database.api.client import Client, MakeClient
from tests.database.api.provisioning import SCIM
from tests.database.api.test_catalogue import picture

from greenroom.api.catalogue import downloads
from greenroom.api.diagnostics.audit import REPEAT_WINDOW_S
from greenroom.api.diagnostics.audit_events import REQUEST_ID_HEADER
from greenroom.api.security import access_of
from greenroom.db.database import Database
from greenroom.interfaces.public.absent import ABSENT

_NOT_ADMINISTRATIVE: Final = re.compile(
    r"/mcp|/api/(internal/.*|scim/v2/.*\.search"
    # users' own actions, with separate rows
    r"|v1/(login.*|logout|sign-on/.*|sign-on-providers/.*(test|preview)"
    r"|directories/.*/(test|preview)|join/.*|me/.*|sessions.*|leases.*|shares/.*|connect.*"
    r"|catalogues/.*/read"  # the published list is read again
    r"|session-videos/.*/viewings"  # its row has its own test
    r"|webhooks/.*/(test|replay)"  # the message is sent again
    r"|diagnostics/leftovers|(group-)?settings/test|(images|staging-configs)/preview)"  # queries that need a body
    r"|(public/)?(get_.*|request_kasm|destroy_kasm|keepalive|stop_kasm|pause_kasm|resume_kasm|exec_command_kasm"
    r"|join_kasm|set_session_permissions|delete_(all_)?session_permissions|(create|update)_session_token|system_info)"
    r"|public/(" + "|".join(name for kind in ABSENT for name in (*kind.view_calls, *kind.change_calls)) + "))"
)


def filled(value: Any, ids: dict[str, str]) -> Any:
    """`value` with its `{name}`s replaced."""
    if isinstance(value, dict):
        return {key: filled(part, ids) for key, part in cast("dict[str, Any]", value).items()}
    if isinstance(value, str) and re.fullmatch(r"\{\w+\}", value):
        return ids[value[1:-1]]
    return value


class Changes:
    """Runs the steps and reads the rows they write."""

    def __init__(self, client: Client, db: Database, app: FastAPI) -> None:
        self.client, self.db, self.app = client, db, app
        self.ids: dict[str, str] = {}
        self.scim_token = ""
        self.secrets = {SECRET, PAIR.private.splitlines()[2]}
        self.written = ""
        """The text of all log rows and events so far."""

    async def rows(self) -> list[dict[str, Any]]:
        """The rows of changes that were written since the last call."""
        await self.app.state.logs.flush()
        self.written += str(await self.db.fetch("SELECT logs::text AS row FROM logs"))
        self.written += str(await self.db.fetch("SELECT message, details FROM audit_events"))
        rows = await self.db.fetch(
            "SELECT code, message, details FROM logs WHERE code ~ '-(created|changed|deleted)$'"
            " AND details ? 'who' ORDER BY log_id"
        )
        await self.db.write("DELETE FROM logs WHERE details ? 'who'")
        return rows

    def add_scim_token(self, request: httpx2.Request) -> httpx2.Request:
        """Authenticate a request of the SCIM client."""
        request.headers["Authorization"] = f"Bearer {self.scim_token}"
        return request

    async def do(self, step: Step) -> dict[str, Any]:
        """Do a step and check its row; returns the answer."""
        path = re.sub(r"\{(\w+)(?::path)?\}", lambda found: self.ids[found[1]], step.path)
        content: dict[str, Any] = {"json": filled(step.body, self.ids)}
        if path.endswith(("/picture", "/logo")):
            content = {"content": picture()}
        if path.startswith(SCIM):
            content["auth"] = self.add_scim_token
        answer = await self.client.request(step.method, path, **content)
        assert answer.is_success, f"{step}: {answer.text}"
        assert "error_message" not in answer.text, f"{step}: {answer.text}"
        if step.saved:
            self.ids[step.saved] = answer.json().get(step.saved) or answer.json()["id"]
            self.secrets |= {answer.json().get(name, SECRET) for name in ("api_key_secret", "token")}
            self.scim_token = answer.json().get("token", self.scim_token)
        rows = await self.rows()
        assert [row["code"] for row in rows] == [step.code], step
        request = (answer.headers[REQUEST_ID_HEADER],)
        events = await self.db.fetch("SELECT code, result FROM audit_events WHERE request_id = %s", request)
        assert events == [{"code": step.code, "result": "done"}], step
        assert not [secret for secret in self.secrets if secret in self.written], step
        details = rows[0]["details"]
        assert details["who"] in rows[0]["message"]
        assert set(details) >= {"before", "after"}
        if step.code.endswith("-changed"):
            assert details["before"].keys() == details["after"].keys() != set(), step
            assert details["before"] != details["after"] or "(secret)" in str(details), step
        return answer.json() if answer.content else {}


@pytest.fixture
async def changes(
    admin: Client, db: Database, app: FastAPI, logged_in: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> Changes:
    """An installation with two Managers, an Agent and a gateway in the zone `default`; the published lists are
    empty."""

    async def download(url: str, **_: object) -> downloads.DownloadedContent:
        return downloads.DownloadedContent(b'{"workspaces": []}', "")

    monkeypatch.setattr(downloads, "download", download)
    made = Changes(admin, db, app)
    made.ids["name"] = "firefox"
    made.ids["default_zone_id"] = (await admin.read("/api/v1/zones"))[0]["zone_id"]
    for number in (1, 2):
        (row,) = await db.write(
            "INSERT INTO managers (instance_id, zone_id) SELECT %s, zone_id FROM zones RETURNING manager_id::text",
            (f"m{number}",),
        )
        made.ids |= row
    (row,) = await db.write(
        "INSERT INTO agents (zone_id, hostname, credential_hash, status)"
        " SELECT zone_id, 'host-1', '', 'dead' FROM zones RETURNING agent_id::text"
    )
    made.ids |= row
    (row,) = await db.write(
        "INSERT INTO homes (agent_id, user_id, image_id)"
        " SELECT agent_id, gen_random_uuid(), gen_random_uuid() FROM agents RETURNING home_id::text"
    )
    made.ids |= row
    (row,) = await db.write(
        "INSERT INTO gateways (zone_id, hostname, credential_hash) SELECT zone_id, 'edge-1', '' FROM zones"
        " RETURNING gateway_id::text"
    )
    made.ids |= row
    return made


async def test_every_change_is_one_row_without_a_secret(changes: Changes, db: Database):
    for step in STEPS:
        if step.path.endswith("{login_id}"):
            (login,) = await db.write(
                "INSERT INTO login_sessions (token_hash, user_id, expires) VALUES ('x', %s, now() + interval '1 h')"
                " RETURNING login_id::text",
                (changes.ids["user_id"],),
            )
            changes.ids |= login
        await changes.do(step)
    assert "TOKEN" in changes.written, "that there is a variable is shown"


async def test_every_change_through_the_published_interface_is_one_row(changes: Changes, admin: Client):
    for step in PUBLIC_STEPS:
        name = step.path.rpartition("/")[2]
        if name.startswith("delete_session_token"):
            made = await admin.published("create_session_token", target_user={"user_id": changes.ids["bob"]})
            changes.ids["first"] = made["session_token"]["session_token"]
        answer = await changes.do(step)
        if name == "create_user":
            users = await admin.read("/api/v1/users")
            changes.ids["bob"] = next(user["user_id"] for user in users if user["username"] == "bob")
        elif name == "create_group":
            groups = await admin.read("/api/v1/groups")
            changes.ids["Team"] = next(group["group_id"] for group in groups if group["name"] == "Team")
        elif name == "create_image":
            images = await admin.read("/api/v1/images")
            changes.ids["Tool"] = next(image["image_id"] for image in images if image["friendly_name"] == "Tool")
        elif name == "create_staging_config":
            (config,) = await admin.read("/api/v1/staging-configs")
            changes.ids["config"] = config["staging_config_id"]
        elif name == "create_zone":
            changes.ids["asia"] = answer["zone"]["zone_id"]
        elif name == "create_registry":
            changes.ids["registry"] = answer["registry"]["registry_id"]


async def test_no_change_is_missing_here(app: FastAPI):
    """A new route that changes something needs a step above, or an entry among the routes that are not
    administrative."""
    tried = {f"{step.method} {step.path}" for step in (*STEPS, *PUBLIC_STEPS)}
    changing = {
        f"{route.method} {route.path}"
        for route in access_of(app)
        if route.method not in ("GET", "HEAD") and not _NOT_ADMINISTRATIVE.fullmatch(route.path)
    }
    assert changing - tried == set(), "without a step"
    assert tried - changing == set(), "steps without a route"


async def test_the_row_is_there_when_the_change_is_answered(changes: Changes, db: Database):
    assert (await changes.client.post("/api/v1/groups", json={"name": "Students"})).is_success
    assert await db.fetch_one("SELECT count(*) AS n FROM logs WHERE code = 'group-created'") == {"n": 1}


async def test_a_log_row_has_only_what_changed_and_no_change_has_no_row(changes: Changes, db: Database):
    zone = f"/api/v1/zones/{changes.ids['default_zone_id']}"
    for _ in range(2):
        await changes.client.change(zone, proxy_port=8443, proxy_connections=True)
    (row,) = await db.fetch("SELECT message, zone_name, details FROM logs WHERE code = 'zone-changed'")
    key = "API key abcdefghijkl"
    assert row == {
        "message": f"{key} changed zone default: proxy_port 443 → 8443",
        "zone_name": "default",
        "details": {"who": key, "before": {"proxy_port": 443}, "after": {"proxy_port": 8443}},
    }
    group = await changes.client.make("/api/v1/groups", name="Students")
    body = {"priority": 7, "settings": {"idle_disconnect": 30}}
    await changes.client.change(f"/api/v1/groups/{group['group_id']}", **body)
    (row,) = await db.fetch("SELECT message, details FROM logs WHERE code = 'group-changed'")
    assert row["details"]["before"] == {"priority": 100, "settings.idle_disconnect": None}
    assert row["details"]["after"] == {"priority": 7, "settings.idle_disconnect": 30.0}
    assert row["message"].endswith("changed group Students: priority 100 → 7; settings.idle_disconnect (none) → 30")


# Refusals ---------------------------------------------------------------------------------------------------------


async def refusals(db: Database, app: FastAPI) -> list[tuple[str, str]]:
    await app.state.logs.flush()
    rows = await db.fetch(
        "SELECT code, message FROM logs WHERE code IN ('permission-denied', 'api-key-refused') ORDER BY log_id"
    )
    return [(row["code"], row["message"]) for row in rows]


async def test_an_attempt_without_permission_is_one_row_a_minute(
    user: Client, db: Database, app: FastAPI, admin: Client
):
    zone = (await admin.read("/api/v1/zones"))[0]["zone_id"]
    assert (await user.get("/api/v1/users")).status_code == 403, "to look is no attempt at a change"
    for _ in range(3):
        assert (await user.patch(f"/api/v1/zones/{zone}", json={})).status_code == 403
    ((code, message),) = await refusals(db, app)
    assert code == "permission-denied"
    assert message.startswith("user@greenroom.local from 192.0.2.1 may not PATCH /api/v1/zones/")
    assert "zones_modify" in message
    app.state.refusals.write_due(time.monotonic() + REPEAT_WINDOW_S)
    _, (code, message) = await refusals(db, app)
    assert (code, message.endswith("(2 more times since the last row)")) == ("permission-denied", True)


async def test_a_wrong_secret_of_an_api_key_is_a_row(connect: MakeClient, db: Database, app: FastAPI):
    wrong = await connect(("abcdefghijkl", "wrong"))
    for _ in range(3):
        assert (await wrong.get("/api/v1/zones")).status_code == 401
    unknown = await connect(("unknown", "wrong"))
    assert (await unknown.get("/api/v1/zones")).status_code == 401
    ((code, message),) = await refusals(db, app)
    assert code == "api-key-refused"
    assert "abcdefghijkl" in message
    assert "192.0.2.1" in message


async def test_the_published_interface_is_watched_alike(with_key: MakeClient, db: Database, app: FastAPI):
    key = await with_key("users_view")
    assert (await key.post("/api/public/delete_user", json={})).status_code == 403
    ((code, message),) = await refusals(db, app)
    assert (code, "/api/public/delete_user" in message) == ("permission-denied", True)
