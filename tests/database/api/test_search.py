"""The search: its hits, and what callers without permissions and with scoped roles find."""

from __future__ import annotations

from typing import Any

import pytest
from tests.database.api.client import Client, MakeClient
from tests.database.api.staging import Stage, bare_session
from tests.support import rows

from greenroom.db.database import Database

PATH = "/api/v1/search"
DIRECTORY = {"title": "Lagoon", "servers": ["ldaps://ldap.example.org"], "user_base": "dc=example,dc=org"}


async def found(client: Client, query: str) -> list[dict[str, Any]]:
    answer = await client.get(PATH, params={"q": query})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def titles(client: Client, query: str) -> list[tuple[str, str]]:
    return [(hit["kind"], hit["title"]) for hit in await found(client, query)]


async def test_objects_are_found_by_parts_of_their_names(stage: Stage, with_user: MakeClient):
    await with_user("ada.lovelace@example.org")
    config = await stage.config()
    assert ("user", "ada.lovelace@example.org") in await titles(stage.admin, "LOVE ada")
    assert {"staging_config", "image"} <= {hit["kind"] for hit in await found(stage.admin, "desktop")}
    assert (await found(stage.admin, config))[0]["id"] == config
    assert (await found(stage.admin, "default"))[0]["kind"] == "zone"
    assert "agent" in {hit["kind"] for hit in await found(stage.admin, "agent")}


async def test_a_hit_has_its_status_and_its_zone_as_the_note(stage: Stage, with_user: MakeClient):
    user = await with_user("ada@example.org")
    own = await bare_session(stage.db, await user.own_id())
    staged = await bare_session(stage.db)
    (zone,) = await stage.admin.read("/api/v1/zones")
    hits = {hit["id"]: (hit["title"], hit["note"]) for hit in await found(stage.admin, "session")}
    assert {own, staged} <= set(hits)
    (workspace, _), name = hits[staged], zone["zone_name"]
    assert hits[own] == (f"{workspace} \u2013 ada@example.org", f"running · {name}")
    assert hits[staged] == (workspace, f"staged · {name}")


async def test_objects_without_a_page_are_found_by_those_who_may_see_them(stage: Stage, with_key: MakeClient):
    admin = stage.admin
    (zone,) = await admin.read("/api/v1/zones")
    pool = {"zone_id": zone["zone_id"], "provider": "simulated", "cores": 4, "memory": 8_000_000_000}
    paths = {
        "api_key": ("/api/v1/api-keys", {"permissions": ["users_view"]}, "devapi_view"),
        "secret": ("/api/v1/secrets", {"hosts": ["api.example.com"], "value": "hidden"}, "secrets_view"),
        "machine_pool": ("/api/v1/machine-pools", pool, "machines_view"),
        "filter_policy": ("/api/v1/filter-policies", {}, "webfilters_view"),
        "directory": ("/api/v1/directories", DIRECTORY, "settings_view"),
    }
    for path, body, _ in paths.values():
        await admin.make(path, name="lagoon", **body)
    assert {hit["kind"] for hit in await found(admin, "lagoon")} == set(paths)
    assert [hit["title"] for hit in await found(admin, "web filter policy lagoon")] == ["lagoon"]
    for kind, (_, _, permission) in paths.items():
        assert [hit["kind"] for hit in await found(await with_key(permission), "lagoon")] == [kind]


async def test_every_word_must_be_found(stage: Stage, with_user: MakeClient):
    await with_user("ada@example.org")
    assert await found(stage.admin, "ada nowhere") == []
    assert await found(stage.admin, "   ") == []


async def test_settings_and_codes_of_the_log_are_found(admin: Client):
    assert (await titles(admin, "min_password"))[0] == ("setting", "Minimum password length")
    assert ("group_setting", "Clipboard Down") in await titles(admin, "clipboard down")
    assert ("log_code", "primary-elected") in await titles(admin, "primary elected")


@pytest.mark.parametrize(
    ("permission", "query", "kind"),
    [("users_view", "ada", "user"), ("groups_view", "all users", "group"), ("images_view", "desktop", "image")],
)
async def test_a_caller_finds_only_what_the_caller_may_see(
    with_key: MakeClient, stage: Stage, permission: str, query: str, kind: str
):
    await rows.user(stage.db, "ada@example.org")
    program = await with_key(permission)
    assert {hit["kind"] for hit in await found(program, query)} - {"group_setting"} == {kind}
    other = await with_key("webhooks_view")
    assert await found(other, query) == []


@pytest.mark.parametrize(
    ("role", "query", "expected"),
    [
        ("zone_operator", "agent", [("agent", "agent-2")]),
        ("help_desk", "example.org", [("user", "ann@example.org")]),
        ("help_desk", "agent", []),
    ],
)
async def test_a_role_finds_only_objects_in_its_scope(
    stage: Stage, user: Client, role: str, query: str, expected: list[tuple[str, str]]
):
    zone_id, group_id = await rows.zone(stage.db, "eu"), await rows.group(stage.db, name="Sales", priority=3)
    await rows.agent(stage.db, zone_id, hostname="agent-2")
    for name, groups in (("ann", [group_id]), ("ben", [])):
        await rows.user(stage.db, f"{name}@example.org", *groups)
    scope = {"zones": [zone_id]} if role == "zone_operator" else {"groups": [group_id]}
    roles = [{"role": role, **scope}]
    own = (await stage.admin.make("/api/v1/groups", name="Staff", roles=roles))["group_id"]
    await stage.admin.put(f"/api/v1/groups/{own}/users/{await user.own_id()}")
    assert await titles(user, query) == expected


async def test_a_caller_without_any_of_the_permissions_is_refused(with_key: MakeClient):
    assert (await (await with_key("user")).get(PATH, params={"q": "ada"})).status_code == 403


async def test_a_query_that_is_too_long_is_refused(admin: Client):
    assert (await admin.get(PATH, params={"q": "x" * 201})).status_code == 422


async def test_ten_thousand_users_are_searched_in_one_statement(db: Database, admin: Client):
    await db.write(
        "INSERT INTO users (username, first_name) SELECT 'person' || n || '@example.org', 'Name' || n"
        " FROM generate_series(1, 10000) n"
    )
    hits = await titles(admin, "name9999")
    assert hits == [("user", "person9999@example.org")]
    assert len(await found(admin, "person")) == 8
