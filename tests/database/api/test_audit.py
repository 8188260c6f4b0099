"""Every administrative change is exactly one log row with who, what, before and after; secrets are in none."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any, Final, cast

import pytest
from fastapi import FastAPI
from tests.database.api.client import Client, MakeClient
from tests.database.api.test_catalogue import picture

from greenroom.api.catalogue import reading
from greenroom.api.diagnostics.audit import REPEAT_S
from greenroom.api.security import access_of
from greenroom.db.database import Database
from greenroom.kit.ssh_keys import new_pair

SECRET: Final = "correct horse battery"
VARIABLES: Final = {"environment": {"TOKEN": SECRET}}
PAIR: Final = new_pair("ada")


@dataclass(frozen=True)
class Step:
    """A request that changes something, and the code of its row; `{name}` stands for an id that was `saved` before."""

    method: str
    path: str
    code: str
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    saved: str = ""


def v1(what: str, code: str, body: dict[str, Any] | None = None, saved: str = "") -> Step:
    method, _, path = what.partition(" ")
    return Step(method, f"/api/v1{path}", code, body or {}, saved)


def public(name: str, code: str, **body: Any) -> Step:
    return Step("POST", f"/api/public/{name}", code, body)


STEPS: Final = [
    v1("PATCH /settings", "setting-changed", {"max_login_attempts": 4}),
    v1("POST /zones", "zone-created", {"zone_name": "us"}, "zone_id"),
    v1("PATCH /zones/{zone_id}", "zone-changed", {"proxy_port": 8443}),
    v1("DELETE /zones/{zone_id}", "zone-deleted"),
    v1(
        "POST /machine-pools",
        "machine-pool-created",
        {
            "name": "cloud",
            "zone_id": "{default_zone_id}",
            "provider": "simulated",
            "secrets": {"key": SECRET},
            "cores": 4,
            "memory": 8_000_000_000,
        },
        "machine_pool_id",
    ),
    v1("PATCH /machine-pools/{machine_pool_id}", "machine-pool-changed", {"secrets": {"key": SECRET}, "idle_s": 60}),
    v1("DELETE /machine-pools/{machine_pool_id}", "machine-pool-deleted"),
    v1("POST /join-tokens", "join-token-created", {"zone_id": "{default_zone_id}"}, "join_token_id"),
    v1("DELETE /join-tokens/{join_token_id}", "join-token-deleted"),
    v1("DELETE /gateways/{gateway_id}", "gateway-deleted"),
    v1("PATCH /managers/{manager_id}", "manager-changed", {"enabled": False}),
    v1("DELETE /managers/{manager_id}", "manager-deleted"),
    v1("PATCH /agents/{agent_id}", "agent-changed", {"draining": True}),
    v1("DELETE /homes/{home_id}", "home-folder-deleted"),
    v1("DELETE /agents/{agent_id}/credential", "agent-credential-deleted"),
    v1("DELETE /agents/{agent_id}", "agent-deleted"),
    v1("POST /filter-policies", "web-filter-policy-created", {"name": "strict"}, "filter_policy_id"),
    v1("PATCH /filter-policies/{filter_policy_id}", "web-filter-policy-changed", {"deny": ["example.com"]}),
    v1("DELETE /filter-policies/{filter_policy_id}", "web-filter-policy-deleted"),
    v1(
        "POST /images",
        "workspace-created",
        {"name": "editor:1", "friendly_name": "Editor", "docker_token": SECRET, "run_config": VARIABLES},
        "image_id",
    ),
    v1(
        "PATCH /images/{image_id}",
        "workspace-changed",
        {"docker_token": SECRET + "2", "exec_config": {"go": {"cmd": "true", **VARIABLES}}},
    ),
    v1(
        "POST /staging-configs",
        "staging-config-created",
        {"zone_id": "{default_zone_id}", "image_id": "{image_id}", "num_sessions": 1, "expiration": 1},
        "staging_config_id",
    ),
    v1("PATCH /staging-configs/{staging_config_id}", "staging-config-changed", {"num_sessions": 2}),
    v1("POST /staging-configs/{staging_config_id}/recycle", "staging-config-changed"),
    v1("DELETE /staging-configs/{staging_config_id}", "staging-config-deleted"),
    v1("POST /users", "user-created", {"username": "ada", "password": SECRET}, "user_id"),
    v1("PATCH /users/{user_id}", "user-changed", {"first_name": "Ada", "password": SECRET + "2"}),
    v1("PATCH /users/{user_id}/attributes", "user-changed", {"ssh_private_key": PAIR.private}),
    v1("POST /users/{user_id}/ssh-key", "user-changed"),
    v1("DELETE /users/{user_id}/logins", "user-changed"),
    v1("DELETE /users/{user_id}/logins/{login_id}", "user-changed"),
    v1("POST /groups", "group-created", {"name": "Students", "settings": {"run_config": VARIABLES}}, "group_id"),
    v1("PATCH /groups/{group_id}", "group-changed", {"settings": {"run_config": {"environment": {"TOKEN": "other"}}}}),
    v1("PUT /groups/{group_id}/users/{user_id}", "group-changed"),
    v1("DELETE /groups/{group_id}/users/{user_id}", "group-changed"),
    v1("PUT /groups/{group_id}/images/{image_id}", "group-changed"),
    v1("DELETE /groups/{group_id}/images/{image_id}", "group-changed"),
    v1("DELETE /groups/{group_id}", "group-deleted"),
    v1("DELETE /images/{image_id}", "workspace-deleted"),
    v1("POST /catalogues", "catalogue-created", {"name": "acme", "list_url": "https://a.example"}, "catalogue_id"),
    v1("POST /catalogue/{name:path}", "workspace-created", {}, "image_id"),
    v1("PUT /images/{image_id}/picture", "workspace-changed"),
    v1("DELETE /images/{image_id}/picture", "workspace-changed"),
    v1("DELETE /catalogues/{catalogue_id}", "catalogue-deleted"),
    v1("DELETE /users/{user_id}", "user-deleted"),
    v1("POST /api-keys", "api-key-created", {"name": "ci"}, "key_id"),
    v1("PATCH /api-keys/{key_id}", "api-key-changed", {"permissions": ["zones_view"]}),
    v1("DELETE /api-keys/{key_id}", "api-key-deleted"),
]
"""All changes through /api/v1, in an order in which each is possible."""

PUBLIC_STEPS: Final = [
    public("create_user", "user-created", target_user={"username": "bob", "password": SECRET}),
    public("update_user", "user-changed", target_user={"user_id": "{bob}", "last_name": "B", "password": SECRET + "2"}),
    public("update_user_attributes", "user-changed", target_user_attributes={"user_id": "{bob}", "theme": "dark"}),
    public("update_attributes", "user-changed", target_user_attributes={"user_id": "{bob}", "theme": "light"}),
    public("logout_user", "user-changed", target_user={"user_id": "{bob}"}),
    public("create_group", "group-created", target_group={"name": "Team"}),
    public("update_group", "group-changed", target_group={"group_id": "{Team}", "priority": 3}),
    public("add_user_group", "group-changed", target_group={"group_id": "{Team}"}, target_user={"user_id": "{bob}"}),
    public("remove_user_group", "group-changed", target_group={"group_id": "{Team}"}, target_user={"user_id": "{bob}"}),
    public(
        "add_settings_group",
        "group-changed",
        target_group={"group_id": "{Team}"},
        target_setting={"name": "run_config", "value": VARIABLES},
    ),
    public(
        "set_settings_group",
        "group-changed",
        target_group={"group_id": "{Team}"},
        target_setting={"name": "allow_kasm_audio", "value": "True"},
    ),
    public(
        "remove_settings_group",
        "group-changed",
        target_group={"group_id": "{Team}"},
        target_setting={"name": "allow_kasm_audio"},
    ),
    public(
        "create_image",
        "workspace-created",
        target_image={"name": "tool:1", "friendly_name": "Tool", "docker_token": SECRET, "run_config": "{}"},
    ),
    public("update_image", "workspace-changed", target_image={"image_id": "{Tool}", "description": "A tool"}),
    public(
        "add_images_group", "group-changed", target_group={"group_id": "{Team}"}, target_image={"image_id": "{Tool}"}
    ),
    public(
        "remove_images_group", "group-changed", target_group={"group_id": "{Team}"}, target_image={"image_id": "{Tool}"}
    ),
    public(
        "create_staging_config",
        "staging-config-created",
        target_staging_config={
            "zone_id": "{default_zone_id}",
            "image_id": "{Tool}",
            "num_sessions": 1,
            "expiration": 1,
        },
    ),
    public(
        "update_staging_config",
        "staging-config-changed",
        target_staging_config={"staging_config_id": "{config}", "num_sessions": 2},
    ),
    public("delete_staging_config", "staging-config-deleted", target_staging_config={"staging_config_id": "{config}"}),
    public("delete_image", "workspace-deleted", target_image={"image_id": "{Tool}"}),
    public("delete_group", "group-deleted", target_group={"group_id": "{Team}"}),
    public("delete_user", "user-deleted", target_user={"user_id": "{bob}"}),
]
"""All changes through the published interface."""

_NOT_ADMINISTRATIVE: Final = re.compile(
    r"/api/(internal/.*"
    # people's own doing, with rows of their own
    r"|v1/(login.*|logout|join/.*|me/.*|sessions.*|leases.*|shares/.*|connect.*"
    r"|catalogues/.*/read)"  # what is published is read again
    r"|(public/)?(get_.*|request_kasm|destroy_kasm|keepalive|stop_kasm|pause_kasm|resume_kasm|exec_command_kasm"
    r"|join_kasm))"
)


def filled(value: Any, ids: dict[str, str]) -> Any:
    """`value` with its `{name}`s replaced."""
    if isinstance(value, dict):
        return {key: filled(part, ids) for key, part in cast("dict[str, Any]", value).items()}
    if isinstance(value, str) and re.fullmatch(r"\{\w+\}", value):
        return ids[value[1:-1]]
    return value


class Changes:
    """Does the steps and reads the rows they leave."""

    def __init__(self, client: Client, db: Database, app: FastAPI) -> None:
        self.client, self.db, self.app = client, db, app
        self.ids: dict[str, str] = {}
        self.secrets = {SECRET, PAIR.private.splitlines()[2]}
        self.written = ""
        """All that was logged until now."""

    async def rows(self) -> list[dict[str, Any]]:
        """Rows of changes that were written since the last call."""
        await self.app.state.logs.flush()
        self.written += str(await self.db.fetch("SELECT logs::text AS row FROM logs"))
        rows = await self.db.fetch(
            "SELECT code, message, details FROM logs WHERE code ~ '-(created|changed|deleted)$'"
            " AND details ? 'who' ORDER BY log_id"
        )
        await self.db.write("DELETE FROM logs WHERE details ? 'who'")
        return rows

    async def do(self, step: Step) -> None:
        """Do a step and check its row."""
        path = re.sub(r"\{(\w+)(?::path)?\}", lambda found: self.ids[found[1]], step.path)
        content: dict[str, Any] = {"json": filled(step.body, self.ids)}
        if path.endswith("/picture"):
            content = {"content": picture()}
        answer = await self.client.request(step.method, path, **content)
        assert answer.is_success, f"{step}: {answer.text}"
        assert "error_message" not in answer.text, f"{step}: {answer.text}"
        if step.saved:
            self.ids[step.saved] = answer.json()[step.saved]
            self.secrets |= {answer.json().get(name, SECRET) for name in ("api_key_secret", "token")}
        rows = await self.rows()
        assert [row["code"] for row in rows] == [step.code], step
        assert not [secret for secret in self.secrets if secret in self.written], step
        details = rows[0]["details"]
        assert details["who"] in rows[0]["message"]
        assert set(details) >= {"before", "after"}
        if step.code.endswith("-changed"):
            assert details["before"].keys() == details["after"].keys() != set(), step
            assert details["before"] != details["after"] or "(secret)" in str(details), step


@pytest.fixture
async def changes(
    admin: Client, db: Database, app: FastAPI, logged_in: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> Changes:
    """An installation with two Managers, an Agent and a gateway in the zone `default`; what others publish is empty."""

    async def read(url: str, **_: object) -> reading.Answer:
        return reading.Answer(b'{"workspaces": []}', "")

    monkeypatch.setattr(reading, "read", read)
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
        await changes.do(step)
        name = step.path.rpartition("/")[2]
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


async def test_no_change_is_missing_here(app: FastAPI):
    """A new route that changes something gets a step above, or belongs to what is not administrative."""
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


# What was refused -------------------------------------------------------------------------------------------------


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
    app.state.refusals.write_due(time.monotonic() + REPEAT_S)
    _, (code, message) = await refusals(db, app)
    assert (code, message.endswith("(2 more times since the row before)")) == ("permission-denied", True)


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
