"""Provisioning by SCIM: users and groups are created, found, changed and deleted, and users log in."""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest
from fastapi import FastAPI
from tests.database.api.client import USERS_PASSWORD, Client, MakeClient
from tests.database.api.provisioning import Provisioner, patch, provisioner
from tests.database.api.signing_on import forged, offer
from tests.database.api.staging import Stage
from tests.support.oidc import Forger

from greenroom.db.database import Database

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


@pytest.fixture
async def scim(admin: Client, connect: MakeClient) -> Provisioner:
    return await provisioner(admin, connect)


async def test_the_attributes_of_a_user_become_the_fields_of_the_account(scim: Provisioner, admin: Client):
    user = await scim.user(
        "ada",
        externalId="a1",
        name={"givenName": "Ada", "familyName": "Lovelace"},
        emails=[{"value": "ada@example.org", "type": "work", "primary": True}],
        phoneNumbers=[{"value": "+1 1", "type": "home"}, {"value": "+1 2", "type": "work", "primary": True}],
        title="Countess",  # an attribute that Greenroom does not store
        **{ENTERPRISE: {"organization": "Analysts"}},
    )
    assert user["emails"] == [{"value": "ada@example.org", "type": "work", "primary": True}]
    assert user["meta"]["location"] == f"https://127.0.0.1:8443/api/scim/v2/Users/{user['id']}"
    assert "title" not in user
    account = await admin.read(f"/api/v1/users/{user['id']}")
    shown = ("username", "first_name", "last_name", "phone", "organization", "disabled")
    assert [account[name] for name in shown] == ["ada", "Ada", "Lovelace", "+1 2", "Analysts", False]


async def test_a_client_stays_valid_without_its_creator(admin: Client, connect: MakeClient, logged_in: MakeClient):
    (group,) = [each for each in await admin.read("/api/v1/groups") if each["name"] == "Administrators"]
    fields = {"username": "boss@example.org", "password": USERS_PASSWORD, "groups": [group["group_id"]]}
    creator = await admin.make("/api/v1/users", **fields)
    scim = await provisioner(await logged_in("boss@example.org", USERS_PASSWORD), connect)
    await admin.change(f"/api/v1/users/{creator['user_id']}", disabled=True)
    ada = await scim.user("ada@example.org")
    assert (await admin.delete(f"/api/v1/users/{creator['user_id']}")).status_code == 204
    await scim.done("PATCH", f"/Users/{ada['id']}", patch({"op": "replace", "path": "active", "value": False}))
    assert (await admin.read(f"/api/v1/users/{ada['id']}"))["disabled"]


async def test_replacement_and_patch_change_the_account(scim: Provisioner, admin: Client):
    user = await scim.user("ada", name={"givenName": "Ada"}, emails=[{"value": "a@example.org", "type": "work"}])
    path = f"/Users/{user['id']}"
    changed = await scim.done(
        "PATCH",
        path,
        patch(
            {"op": "Replace", "path": "name.familyName", "value": "King"},
            {"op": "replace", "path": 'emails[type eq "work"].value', "value": "b@intranet"},
            {"op": "add", "value": {"userName": "ada.king"}},
        ),
    )
    assert (changed["userName"], changed["emails"][0]["value"]) == ("ada.king", "b@intranet")
    account = await admin.read(f"/api/v1/users/{user['id']}")
    assert (account["username"], account["first_name"], account["last_name"]) == ("ada.king", "Ada", "King")
    replaced = await scim.done("PUT", path, {"schemas": user["schemas"], "userName": "ada"})
    assert "emails" not in replaced
    assert (await admin.read(f"/api/v1/users/{user['id']}"))["first_name"] == ""


async def test_a_replacement_without_active_does_not_enable_a_disabled_user(scim: Provisioner, admin: Client):
    user = await scim.user("ada", active=False)
    replaced = await scim.done("PUT", f"/Users/{user['id']}", {"schemas": user["schemas"], "userName": "ada"})
    assert replaced["active"] is False
    await admin.change(f"/api/v1/users/{user['id']}", locked=True)
    await scim.done("PATCH", f"/Users/{user['id']}", patch({"op": "replace", "path": "active", "value": True}))
    account = await admin.read(f"/api/v1/users/{user['id']}")
    assert (account["disabled"], account["locked"]) == (False, True), "a lock belongs to the administrators"


async def test_filters_order_and_pages_select_users(scim: Provisioner):
    for number in range(5):
        await scim.user(f"user{number}", externalId=f"e{number}", emails=[{"value": f"u{number}@example.org"}])
    for query, names in (
        ('userName eq "USER3"', ["user3"]),
        ('externalId eq "e1"', ["user1"]),
        ('externalId eq "E1"', []),
        ('emails.value co "u4@" or userName sw "user0"', ["user0", "user4"]),
        ('not (userName sw "user") or userName ew "2"', ["user2"]),
        ('id eq "1"', []),
    ):
        assert [user["userName"] for user in await scim.found("/Users", filter=query)] == names, query
    answer = await scim.done("GET", "/Users?startIndex=2&count=2&sortBy=userName&sortOrder=descending")
    assert [user["userName"] for user in answer["Resources"]] == ["user3", "user2"]
    assert (answer["totalResults"], answer["startIndex"], answer["itemsPerPage"]) == (5, 2, 2)
    assert (await scim.done("GET", "/Users?count=0"))["totalResults"] == 5
    assert [user.keys() for user in await scim.found("/Users", count="1", attributes="userName")] == [
        {"schemas", "id", "userName"}
    ]
    searched = await scim.done("POST", "/Users/.search", {"filter": 'userName eq "user1"'})
    assert searched["totalResults"] == 1


async def test_a_version_protects_against_lost_changes(scim: Provisioner):
    user = await scim.user("ada")
    path, version = f"/Users/{user['id']}", user["meta"]["version"]
    rename = patch({"op": "replace", "path": "displayName", "value": "Ada"})
    assert (await scim.request("GET", path, **{"If-None-Match": version})).status_code == 304
    changed = await scim.request("PATCH", path, rename, **{"If-Match": version})
    assert changed.headers["etag"] == changed.json()["meta"]["version"] != version
    for method, body in (("PATCH", rename), ("PUT", {"userName": "ada"}), ("DELETE", None)):
        await scim.refused(412, method, path, body, **{"If-Match": version})
    await scim.done("DELETE", path, **{"If-Match": changed.headers["etag"]})


async def test_a_group_has_the_members_that_its_client_set(scim: Provisioner, admin: Client):
    ada, bob = (await scim.user("ada"))["id"], (await scim.user("bob"))["id"]
    local = (await admin.make("/api/v1/users", username="local"))["user_id"]
    group = await scim.group("Staff", ada, externalId="g1")
    path, users = f"/Groups/{group['id']}", f"/api/v1/users?group_id={group['id']}"
    assert (await admin.put(f"/api/v1/groups/{group['id']}/users/{local}")).status_code == 204

    async def after(*operations: dict[str, object]) -> list[str]:
        await scim.done("PATCH", path, patch(*operations))
        return [user["username"] for user in await admin.read(users)]

    assert await after({"op": "add", "path": "members", "value": [{"value": bob}]}) == ["ada", "bob", "local"]
    assert await after({"op": "remove", "path": f'members[value eq "{ada}"]'}) == ["bob", "local"]
    assert await after({"op": "replace", "value": {"displayName": "All", "members": [{"value": ada}]}}) == [
        "ada",
        "local",
    ]
    assert await after({"op": "Remove", "path": "members", "value": [{"value": ada}]}) == ["local"]
    assert await after(
        {"op": "add", "path": "members", "value": [{"value": ada}, {"value": bob}]},
        {"op": "remove", "path": f'members[value eq "{ada}" or value eq "{local}"]'},
    ) == ["bob", "local"]
    shown = await scim.done("GET", path)
    assert (shown["displayName"], [member["value"] for member in shown["members"]]) == ("All", [bob])
    assert (await scim.done("GET", f"/Users/{bob}"))["groups"][0]["display"] == "All"
    assert await after({"op": "remove", "path": "members"}) == ["local"]
    assert "members" not in (await scim.found("/Groups", excludedAttributes="members"))[0]
    await scim.done("DELETE", path)
    assert (await admin.get(f"/api/v1/groups/{group['id']}")).status_code == 404


async def test_changes_of_a_group_at_the_same_time_are_all_kept(scim: Provisioner):
    ids = [(await scim.user(f"user{number}"))["id"] for number in range(8)]
    path = f"/Groups/{(await scim.group('Staff', *ids[4:]))['id']}"
    changes = [patch({"op": "add", "path": "members", "value": [{"value": user_id}]}) for user_id in ids[:4]]
    changes += [patch({"op": "remove", "path": f'members[value eq "{user_id}"]'}) for user_id in ids[4:6]]
    await asyncio.gather(
        *(scim.done("PATCH", path, change) for change in changes),
        *(scim.done("DELETE", f"/Users/{user_id}") for user_id in ids[6:]),
    )
    members = (await scim.done("GET", path))["members"]
    assert sorted(member["value"] for member in members) == sorted(ids[:4])


async def test_a_member_that_does_not_exist_is_refused_with_its_id(scim: Provisioner, admin: Client):
    ada = (await scim.user("ada"))["id"]
    group = await scim.group("Staff")
    unknown, local = str(uuid.uuid4()), (await admin.make("/api/v1/users", username="local"))["user_id"]
    for user_id in (unknown, local, "no id"):
        operation = {"op": "add", "path": "members", "value": [{"value": ada}, {"value": user_id}]}
        error = await scim.refused(400, "PATCH", f"/Groups/{group['id']}", patch(operation))
        assert error["scimType"] == "invalidValue"
        assert f"There is no user '{user_id}'" in error["detail"]
    nested = {"op": "add", "path": "members", "value": [{"value": group["id"], "type": "Group"}]}
    assert "must be users" in (await scim.refused(400, "PATCH", f"/Groups/{group['id']}", patch(nested)))["detail"]
    assert "members" not in await scim.done("GET", f"/Groups/{group['id']}")


async def test_a_patch_with_a_thousand_members_takes_seconds(scim: Provisioner, db: Database):
    rows = await db.write(
        "WITH made AS (INSERT INTO users (username) SELECT 'user' || n FROM generate_series(1, 1000) n"
        " RETURNING user_id)"
        " INSERT INTO scim_users (user_id, client_id, document) SELECT user_id, %s, '{}' FROM made"
        " RETURNING user_id::text",
        (scim.client_id,),
    )
    ids = [row["user_id"] for row in rows]
    path = f"/Groups/{(await scim.group('Staff'))['id']}"
    began = time.monotonic()
    together = patch({"op": "add", "path": "members", "value": [{"value": user_id} for user_id in ids]})
    assert len((await scim.done("PATCH", path, together))["members"]) == 1000
    singly = patch(*({"op": "remove", "path": f'members[value eq "{user_id}"]'} for user_id in ids))
    assert "members" not in await scim.done("PATCH", path, singly)
    assert time.monotonic() - began < 20


async def test_a_provisioned_user_logs_in_at_the_provider_of_the_client(
    admin: Client, connect: MakeClient, forger: Forger, anonymous: Client
):
    provider = await offer(admin, forger.issuer)  # unknown users are refused
    scim = await provisioner(admin, connect, provider_id=provider["provider_id"])
    user = await scim.user("ada@example.org", externalId="s-1")
    assert await forged(forger, anonymous) == "/"
    assert await anonymous.own_id() == user["id"]
    await scim.done("PATCH", f"/Users/{user['id']}", patch({"op": "replace", "path": "externalId", "value": "s-2"}))
    assert (await anonymous.get("/api/v1/me")).status_code == 401, "the log-in belonged to the former identity"
    assert "no-user" in await forged(forger, anonymous)
    forger.claims = {"sub": "s-2"}
    assert await forged(forger, anonymous) == "/"
    taken = await scim.refused(409, "POST", "/Users", {"userName": "eve", "externalId": "s-2"})
    assert (taken["scimType"], await scim.found("/Users", filter='userName eq "eve"')) == ("uniqueness", [])


async def test_a_user_who_is_not_active_loses_log_in_stream_and_keys_at_once(
    stage: Stage, admin: Client, connect: MakeClient, forger: Forger, anonymous: Client
):
    provider = await offer(admin, forger.issuer)
    scim = await provisioner(admin, connect, provider_id=provider["provider_id"])
    user = await scim.user("ada", externalId="s-1")
    await forged(forger, anonymous)
    anonymous.headers["Sec-Fetch-Site"] = "same-origin"
    session_id = await stage.launched(anonymous)
    key = await admin.make("/api/v1/api-keys", name="ci", permissions=["user"], user_id=user["id"])
    program = await connect((key["api_key"], key["api_key_secret"]))
    assert (await program.get("/api/v1/version")).status_code == 200
    before = await stage.row(session_id)
    await scim.done("PATCH", f"/Users/{user['id']}", patch({"op": "replace", "path": "active", "value": False}))
    assert (await anonymous.get("/api/v1/me")).status_code == 401
    assert (await stage.row(session_id))["auth_epoch"] > before["auth_epoch"]
    assert (await program.get("/api/v1/version")).status_code == 401
    assert "user-disabled" in await forged(forger, anonymous)
    await scim.done("DELETE", f"/Users/{user['id']}")
    assert (await stage.row(session_id))["status"] in ("deleting", "deleted")
    assert (await admin.get(f"/api/v1/users/{user['id']}")).status_code == 404


async def test_changes_are_log_rows_of_the_client(scim: Provisioner, db: Database, app: FastAPI):
    user = await scim.user("ada")
    group = await scim.group("Staff", user["id"])
    await scim.done("PATCH", f"/Users/{user['id']}", patch({"op": "add", "path": "displayName", "value": "Ada"}))
    await scim.done("PUT", f"/Groups/{group['id']}", {"displayName": "Staff", "members": []})
    await scim.done("PUT", f"/Groups/{group['id']}", {"displayName": "Staff", "members": []})  # no change, no row
    await scim.done("DELETE", f"/Groups/{group['id']}")
    await scim.done("DELETE", f"/Users/{user['id']}")
    await app.state.logs.flush()
    found = await db.fetch("SELECT code FROM logs WHERE details ->> 'who' = 'SCIM client Okta' ORDER BY log_id")
    codes = ["user-created", "group-created", "user-changed", "group-changed", "group-deleted", "user-deleted"]
    assert [row["code"] for row in found] == codes


async def test_requests_as_entra_id_and_okta_send_them_are_understood(scim: Provisioner):
    user = await scim.user("ada", active=True, groups=[], meta={"resourceType": "User"}, id="x")
    path = f"/Users/{user['id']}"
    await scim.done("PATCH", path, patch({"op": "Replace", "path": "active", "value": "False"}))
    assert (await scim.done("GET", path))["active"] is False
    changed = await scim.done(
        "PATCH",
        path,
        patch(
            {"op": "Replace", "value": {"active": "True", "name.givenName": "Ada", f"{ENTERPRISE}:organization": "A"}},
            {"op": "Add", "path": 'emails[type eq "work"].value', "value": "ada@example.org"},
            {"op": "Add", "path": f"{ENTERPRISE}:department", "value": "dropped"},
        ),
    )
    assert (changed["active"], changed["name"]["givenName"], changed[ENTERPRISE]) == (
        True,
        "Ada",
        {"organization": "A"},
    )
    assert changed["emails"] == [{"type": "work", "value": "ada@example.org"}]
    group = await scim.group("Staff", user["id"])
    renamed = patch({"op": "replace", "value": {"id": group["id"], "displayName": "All staff"}})
    assert (await scim.done("PATCH", f"/Groups/{group['id']}", renamed))["displayName"] == "All staff"
    found = await scim.found("/Groups", filter=f'id eq "{group["id"]}" and members eq "{user["id"]}"')
    assert [each["displayName"] for each in found] == ["All staff"]
