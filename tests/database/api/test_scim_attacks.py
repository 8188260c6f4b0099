"""Attacks through SCIM: foreign users, escalation, filters, wrong tokens, and requests that cannot be used."""

from __future__ import annotations

import sys
import unicodedata
import uuid

import pytest
from fastapi import FastAPI
from tests.database.api.client import ADMIN, Client, MakeClient
from tests.database.api.provisioning import SCIM, SCIM_CLIENTS, Provisioner, patch, provisioner
from tests.database.api.signing_on import PROVIDERS, offer

from greenroom.api.security import access_of
from greenroom.core.access.permissions import LIKE_ADMINISTRATORS, PERMISSIONS
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.identity.scim.access import CLIENT_PERMISSIONS


@pytest.fixture
async def scim(admin: Client, connect: MakeClient) -> Provisioner:
    return await provisioner(admin, connect)


async def test_users_and_groups_of_others_do_not_exist_for_a_client(
    scim: Provisioner, admin: Client, connect: MakeClient, user: Client
):
    other = await provisioner(admin, connect, "Entra")
    foreign_user, foreign_group = (await other.user("eve"))["id"], (await other.group("Team"))["id"]
    for user_id in (foreign_user, await user.own_id(), str(uuid.uuid4()), "x"):
        for method, body in (("GET", None), ("PUT", {"userName": "x"}), ("DELETE", None)):
            await scim.refused(404, method, f"/Users/{user_id}", body)
        rename = patch({"op": "replace", "path": "userName", "value": "x"})
        await scim.refused(404, "PATCH", f"/Users/{user_id}", rename)
    for group_id in (foreign_group, ALL_USERS):
        for method, body in (("GET", None), ("PUT", {"displayName": "x"}), ("DELETE", None)):
            await scim.refused(404, method, f"/Groups/{group_id}", body)
    assert await scim.found("/Users", filter=f'userName eq "{ADMIN}" or userName eq "eve"') == []
    assert await scim.found("/Groups") == []
    assert [each["id"] for each in await other.found("/Users")] == [foreign_user]


async def test_a_name_that_exists_anywhere_is_409(scim: Provisioner, admin: Client):
    await scim.user("ada")
    bob = (await scim.user("bob"))["id"]
    for name in (ADMIN, "ADA", "\uff41\uff44\uff41"):
        assert (await scim.refused(409, "POST", "/Users", {"userName": name}))["scimType"] == "uniqueness"
        rename = patch({"op": "replace", "path": "userName", "value": name})
        assert (await scim.refused(409, "PATCH", f"/Users/{bob}", rename))["scimType"] == "uniqueness"
    group = (await scim.group("Staff"))["id"]
    for name in ("Administrators", "All Users"):
        assert (await scim.refused(409, "POST", "/Groups", {"displayName": name}))["scimType"] == "uniqueness"
        assert (await scim.refused(409, "PUT", f"/Groups/{group}", {"displayName": name}))["scimType"] == "uniqueness"
    assert (await admin.read(f"/api/v1/users/{bob}"))["username"] == "bob"


async def test_no_client_makes_an_administrator_or_a_password(scim: Provisioner, admin: Client, db: Database):
    user = await scim.user(
        "ada", password="a password", roles=[{"value": "global_admin"}], groups=[{"value": ALL_USERS}]
    )
    group = await scim.group("Staff", permissions=["global_admin"])
    assert await db.fetch("SELECT password_hash FROM users WHERE username = 'ada'") == [{"password_hash": None}]
    account = await admin.read(f"/api/v1/users/{user['id']}")
    assert [group["group_id"] for group in account["groups"]] == [ALL_USERS]
    path = f"/Groups/{group['id']}"
    assert (await admin.read(f"/api/v1/groups/{group['id']}"))["permissions"] == []
    await admin.change(f"/api/v1/groups/{group['id']}", permissions=["global_admin"])
    operation = {"op": "add", "path": "members", "value": [{"value": user["id"]}]}
    for method, body in (("PATCH", patch(operation)), ("PUT", {"displayName": "S"}), ("DELETE", None)):
        assert "global_admin" in (await scim.refused(403, method, path, body))["detail"]


async def test_a_token_gives_no_other_access(scim: Provisioner):
    for path in ("/api/v1/users", "/api/v1/me", "/mcp"):
        answer = await scim.http.get(path, headers={"Authorization": f"Bearer {scim.token}"})
        assert answer.status_code in (401, 405), path


async def test_every_route_needs_a_valid_token(app: FastAPI, scim: Provisioner, admin: Client, db: Database):
    routes = [route for route in access_of(app) if route.path.startswith("/api/scim/")]
    assert len(routes) == 20
    for route in routes:
        answer = await scim.http.request(route.method, route.path.replace("{resource_id}", str(uuid.uuid4())))
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), route.path
    client, right = f"{SCIM_CLIENTS}/{scim.client_id}", scim.token
    await scim.done("GET", "/Users")
    basic = await admin.get(f"{SCIM}/Users")  # an API key with all permissions
    assert basic.status_code == 401
    scim.token = "wrong"
    await scim.refused(401, "GET", "/Users")
    scim.token = right
    await admin.change(client, enabled=False)
    await scim.refused(401, "GET", "/Users")
    await admin.change(client, enabled=True)
    await db.write("UPDATE scim_clients SET expires = now() - interval '1 s'")
    await scim.refused(401, "GET", "/Users")
    await db.write("UPDATE scim_clients SET expires = NULL")
    renewed = await admin.post(f"{client}/token")
    await scim.refused(401, "GET", "/Users")
    scim.token = renewed.json()["token"]
    await scim.done("GET", "/Users")
    assert (await admin.read(client))["last_used"] is not None
    await app.state.logs.flush()
    rows = await db.fetch("SELECT message FROM logs WHERE code = 'scim-token-refused' ORDER BY log_id")
    assert [row["message"].rpartition(": ")[2] for row in rows] == [
        "no SCIM client has it",
        "the SCIM client Okta is disabled or expired",
    ]


async def test_two_tokens_are_valid_until_the_end_of_the_overlap(scim: Provisioner, admin: Client, db: Database):
    first, path = scim.token, f"{SCIM_CLIENTS}/{scim.client_id}/token"
    answer = await admin.post(path, json={"overlap_s": 3600})
    second = answer.json()["token"]
    for scim.token in (first, second):
        await scim.done("GET", "/Users")
    assert (await admin.only(SCIM_CLIENTS))["old_until"] == answer.json()["old_until"]
    await db.write("UPDATE scim_clients SET old_until = now()")
    assert (await admin.only(SCIM_CLIENTS))["old_until"] is None
    scim.token = first
    await scim.refused(401, "GET", "/Users")
    third = (await admin.post(path, json={"overlap_s": 3600})).json()["token"]
    fourth = (await admin.post(path, json={"overlap_s": 3600})).json()["token"]
    for scim.token, status in ((second, 401), (third, 200), (fourth, 200)):
        assert (await scim.request("GET", "/Users")).status_code == status


async def test_too_many_wrong_tokens_are_429(scim: Provisioner, admin: Client):
    await admin.change("/api/v1/settings", max_login_attempts_per_address=1)
    right, scim.token = scim.token, "wrong"
    for _ in range(10):
        await scim.refused(401, "GET", "/Users")
    assert "retry-after" in (await scim.request("GET", "/Users")).headers
    scim.token = right
    await scim.done("GET", "/Users")


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ('userName eq "x\' OR 1=1 --"', None),
        ('userName eq "\\u0000"', None),
        ('userName eq "%"', None),
        ("userName", "invalidFilter"),
        ('userName xx "a"', "invalidFilter"),
        ('unknown eq "a"', "invalidFilter"),
        ("not (" * 40 + "active pr" + ")" * 40, "invalidFilter"),
        ("(" * 2000 + "active pr" + ")" * 2000, None),
        ("(" * 3000 + "active pr" + ")" * 3000, "invalidFilter"),
        (" or ".join(["id pr"] * 21), "invalidFilter"),
    ],
)
async def test_a_filter_finds_nothing_or_is_refused(scim: Provisioner, query: str, kind: str | None):
    if kind is None:
        answer = await scim.request("POST", "/Users/.search", {"filter": query})
        assert answer.status_code in (200, 400), answer.text
        assert answer.json().get("Resources", []) == []
    else:
        assert (await scim.refused(400, "POST", "/Users/.search", {"filter": query}))["scimType"] == kind


async def test_names_of_every_unicode_category_are_stored_or_refused(scim: Provisioner):
    samples: dict[str, str] = {}
    for code in range(sys.maxunicode + 1):
        samples.setdefault(unicodedata.category(chr(code)), chr(code))
    assert len(samples) == 30
    stored = 0
    for category, character in samples.items():
        name = f"{category} {character}b"
        answer = await scim.request("POST", "/Users", {"userName": name, "displayName": name})
        assert answer.status_code in (201, 400), (category, answer.text)
        if answer.status_code == 201:
            assert answer.json()["userName"] == unicodedata.normalize("NFC", name)
            (found,) = [user for user in await scim.found("/Users") if user["id"] == answer.json()["id"]]
            assert found["displayName"] == name
            stored += 1
        group = await scim.request("POST", "/Groups", {"displayName": name})
        assert group.status_code in (201, 400), (category, group.text)
    assert 15 < stored < 30


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "invalidSyntax"),
        (b"[1]", "invalidSyntax"),
        (b"\xff", "invalidSyntax"),
        (b"[" * 100_000, "invalidSyntax"),
        (b"{}", "invalidValue"),
        (b'{"userName": 5}', "invalidValue"),
        (b'{"userName": "a/b"}', "invalidValue"),
        (b'{"userName": "\\ud800"}', "invalidValue"),
        (b'{"userName": "a", "displayName": "\\u0000"}', "invalidValue"),
        (b'{"userName": "a", "displayName": "\\ud800"}', "invalidValue"),
        (b'{"userName": "a", "active": "perhaps"}', "invalidValue"),
        (b'{"userName": "a", "externalId": "%s"}' % (b"x" * 256), "invalidValue"),
    ],
)
async def test_a_body_that_cannot_be_used_is_400(scim: Provisioner, body: bytes, kind: str):
    headers = {"Authorization": f"Bearer {scim.token}"}
    answer = await scim.http.post(f"{SCIM}/Users", content=body, headers=headers)
    assert (answer.status_code, answer.json()["scimType"]) == (400, kind), answer.text
    assert (await scim.done("GET", "/Users"))["totalResults"] == 0


async def test_a_long_external_id_of_a_group_is_400(scim: Provisioner):
    made = await scim.done("POST", "/Groups", {"displayName": "A", "externalId": "x" * 255})
    change = {"op": "replace", "path": "externalId", "value": "x" * 256}
    body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [change]}
    for method, path, sent in (
        ("POST", "/Groups", {"displayName": "B", "externalId": "x" * 4000}),
        ("PATCH", f"/Groups/{made['id']}", body),
    ):
        assert (await scim.refused(400, method, path, sent))["scimType"] == "invalidValue"


@pytest.mark.parametrize("code", sorted(LIKE_ADMINISTRATORS))
async def test_scim_cannot_add_members_to_a_group_with_rights_of_administrators(
    scim: Provisioner, admin: Client, code: str
):
    user, group = await scim.user("ada"), await scim.group("Staff")
    add = patch({"op": "add", "path": "members", "value": [{"value": user["id"]}]})
    await admin.change(f"/api/v1/groups/{group['id']}", permissions=["user", code])
    assert code in (await scim.refused(403, "PATCH", f"/Groups/{group['id']}", add))["detail"]
    await admin.change(f"/api/v1/groups/{group['id']}", permissions=["user", "sessions_view"])
    await scim.done("PATCH", f"/Groups/{group['id']}", add)


async def test_a_body_of_more_than_1_mib_is_413(scim: Provisioner):
    error = await scim.refused(413, "POST", "/Users", {"userName": "x" * (1 << 20)})
    assert "1 MiB" in error["detail"]


@pytest.mark.parametrize("missing", CLIENT_PERMISSIONS)
async def test_a_client_needs_the_permissions_that_it_uses(with_key: MakeClient, scim: Provisioner, missing: str):
    administrator = await with_key(*({"settings_modify", *CLIENT_PERMISSIONS} - {missing}))
    path = f"{SCIM_CLIENTS}/{scim.client_id}"
    for what, body in (
        (f"POST {SCIM_CLIENTS}", {"name": "mine"}),
        (f"POST {path}/token", None),
        (f"PATCH {path}", {"enabled": True}),
    ):
        assert missing in await administrator.refused(403, what, body)
    await administrator.change(path, enabled=False)


async def test_a_new_token_needs_the_permissions_of_the_groups(with_key: MakeClient, scim: Provisioner, admin: Client):
    group = await scim.group("Staff")
    await admin.change(f"/api/v1/groups/{group['id']}", permissions=["zones_view"])
    codes = {"settings_modify", *CLIENT_PERMISSIONS}
    path = f"{SCIM_CLIENTS}/{scim.client_id}/token"
    assert "zones_view" in await (await with_key(*codes)).refused(403, f"POST {path}")
    assert (await (await with_key(*codes, "zones_view")).post(path)).status_code == 200
    assert codes < set(PERMISSIONS)


async def test_a_new_token_needs_the_right_over_the_users(with_key: MakeClient, scim: Provisioner, admin: Client):
    boss = (await scim.user("boss"))["id"]
    chiefs = await admin.make("/api/v1/groups", name="Chiefs", permissions=["global_admin"])
    assert (await admin.put(f"/api/v1/groups/{chiefs['group_id']}/users/{boss}")).status_code == 204
    operator = await with_key("settings_modify", *CLIENT_PERMISSIONS)
    path = f"{SCIM_CLIENTS}/{scim.client_id}"
    for what, body in ((f"POST {path}/token", None), (f"PATCH {path}", {"subject_attribute": "userName"})):
        assert "users_modify_admin" in await operator.refused(403, what, body)
    await operator.change(path, enabled=False)


async def test_another_issuer_of_a_provider_needs_the_rights_of_its_clients(
    admin: Client, connect: MakeClient, with_key: MakeClient
):
    made = await offer(admin, "https://campus.example")
    scim = await provisioner(admin, connect, provider_id=made["provider_id"])
    await scim.user("ada")  # without externalId, so the user is not linked yet
    path = f"{PROVIDERS}/{made['provider_id']}"
    trust = {"issuer": "https://evil.example", "client_secret": "x"}
    weak = await with_key("settings_modify", "settings_view")
    assert "users_create" in await weak.refused(403, f"PATCH {path}", trust)
    assert "users_create" in await weak.refused(403, f"PATCH {path}", {"client_id": "other"})
    assert (await weak.change(path, title="B"))["issuer"] == "https://campus.example"
    operator = await with_key("settings_modify", *CLIENT_PERMISSIONS)
    assert (await operator.change(path, **trust))["issuer"] == "https://evil.example"


async def test_a_key_that_expires_makes_no_longer_token(with_key: MakeClient):
    key = await with_key("settings_modify", *CLIENT_PERMISSIONS, expires="2099-01-01T00:00:00Z")
    assert "expires at 2099" in await key.refused(403, f"POST {SCIM_CLIENTS}", {"name": "forever"})
    assert "expires at 2099" in await key.refused(
        403, f"POST {SCIM_CLIENTS}", {"name": "longer", "expires": "2099-01-02T00:00:00Z"}
    )


async def test_users_of_a_deleted_client_remain_as_ordinary_users(scim: Provisioner, admin: Client):
    user, group = await scim.user("ada"), await scim.group("Staff")
    assert (await admin.delete(f"{SCIM_CLIENTS}/{scim.client_id}")).status_code == 204
    await scim.refused(401, "GET", "/Users")
    assert (await admin.read(f"/api/v1/users/{user['id']}"))["username"] == "ada"
    assert (await admin.read(f"/api/v1/groups/{group['id']}"))["name"] == "Staff"


@pytest.mark.parametrize("name", ["administrators", "\u0410dministrators", "all users"])
async def test_no_group_looks_like_a_system_group(scim: Provisioner, admin: Client, name: str):
    refusal = await scim.refused(409, "POST", "/Groups", {"displayName": name})
    assert "looks like that of the group A" in refusal["detail"]
    group = await scim.group("Staff")
    assert (await scim.refused(409, "PUT", f"/Groups/{group['id']}", {"displayName": name}))["scimType"] == "uniqueness"
    assert "looks like" in await admin.refused(409, "POST /api/v1/groups", {"name": name})
    assert "looks like" in await admin.refused(409, f"PATCH /api/v1/groups/{group['id']}", {"name": name})
