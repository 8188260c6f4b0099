"""Service accounts: no log-in, keys within networks and permissions, overlapping secrets, and the end of leases."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from tests.database.api.client import USERS_PASSWORD, Client, MakeClient
from tests.database.api.signing_on import offer
from tests.database.api.staging import Stage
from tests.database.locks import waiting
from tests.support.oidc import Forger

from greenroom.core.errors import Refused
from greenroom.db.database import Database
from greenroom.interfaces.public.statements import insert_login_link
from greenroom.kit.passwords import hash_password
from greenroom.kit.secrets import secret_digest
from greenroom.up.installation import set_password

ACCOUNTS, KEYS, LEASES = "/api/v1/service-accounts", "/api/v1/api-keys", "/api/v1/leases"
USE = "/api/v1/group-settings"
DAY = 86400


@pytest.fixture
async def account(admin: Client) -> dict[str, Any]:
    return await admin.make(ACCOUNTS, name="ci", contact="ops@example.org")


async def key_of(admin: Client, account: dict[str, Any], *permissions: str) -> dict[str, Any]:
    return await admin.make(KEYS, name="ci", permissions=list(permissions), user_id=account["service_account_id"])


async def status(connect: MakeClient, key: dict[str, Any], address: str = "192.0.2.1") -> int:
    """The status of a request with this key and secret from an address."""
    client = await connect((key["api_key"], key["api_key_secret"]), address=address)
    return (await client.get(USE)).status_code


async def test_a_service_account_is_listed_only_as_such(admin: Client, account: dict[str, Any]):
    shown = await admin.only(ACCOUNTS)
    assert shown == account
    assert (shown["name"], shown["enabled"], shown["expired"], shown["num_keys"]) == ("ci", True, False, 0)
    assert "ci" not in [user["username"] for user in await admin.read("/api/v1/users")]
    assert "ci" not in [user["username"] for user in (await admin.published("get_users"))["users"]]
    path = f"{ACCOUNTS}/{account['service_account_id']}"
    changed = await admin.change(path, name="builds", description="Builds", networks=["::ffff:10.0.0.0/104"])
    assert (changed["name"], changed["networks"], changed["contact"]) == ("builds", ["10.0.0.0/8"], "ops@example.org")
    assert "duplicate" in await admin.refused(409, f"POST {ACCOUNTS}", {"name": "Builds"})
    assert "networks" in await admin.refused(422, f"PATCH {path}", {"networks": ["example.org"]})


async def test_no_one_logs_in_as_a_service_account(
    admin: Client, anonymous: Client, account: dict[str, Any], db: Database
):
    user_id = account["service_account_id"]
    refusal = await admin.refused(409, f"PATCH /api/v1/users/{user_id}", {"password": USERS_PASSWORD})
    assert "is a service account" in refusal
    await insert_login_link(db, secret_digest("secret"), user_id, lifetime_s=60)
    await anonymous.refused(401, "POST /api/v1/login/link", {"token": "secret"})
    target = {"target_user": {"user_id": user_id}}
    for call in ("get_login", "create_session_token"):
        assert "for programs" in await admin.published_refusal(call, **target)
    with pytest.raises(Refused, match="is a service account"):
        await set_password(db, "ci", hash_password("x"))
    with pytest.raises(Exception, match="no password"):
        await db.write("UPDATE users SET password_hash = %s WHERE user_id = %s", (hash_password("x"), user_id))
    assert await db.fetch("SELECT 1 FROM login_sessions WHERE user_id = %s", (user_id,)) == []


async def test_no_identity_is_linked_to_a_service_account(admin: Client, account: dict[str, Any], forger: Forger):
    await offer(admin, forger.issuer)
    path = f"/api/v1/users/{account['service_account_id']}/identities"
    refusal = await admin.refused(409, f"POST {path}", {"issuer": forger.issuer, "subject": "s-1"})
    assert "is a service account" in refusal


@pytest.mark.parametrize(
    ("networks", "answers"),
    [
        ([], {"192.0.2.1": 200}),
        (["192.0.2.0/24"], {"192.0.2.1": 200, "::ffff:192.0.2.1": 200, "198.51.100.1": 401}),
        (["2001:db8::/32"], {"2001:db8::7": 200, "192.0.2.1": 401}),
    ],
)
async def test_a_key_is_used_only_from_the_networks_of_its_owner(
    admin: Client, connect: MakeClient, account: dict[str, Any], networks: list[str], answers: dict[str, int]
):
    key = await key_of(admin, account)
    await admin.change(f"{ACCOUNTS}/{account['service_account_id']}", networks=networks)
    assert {address: await status(connect, key, address) for address in answers} == answers


async def test_a_use_from_elsewhere_is_logged_as_a_wrong_key(
    admin: Client, connect: MakeClient, account: dict[str, Any], app: FastAPI, db: Database
):
    key = await key_of(admin, account)
    await admin.change(f"{ACCOUNTS}/{account['service_account_id']}", networks=["10.0.0.0/8"])
    assert await status(connect, key, "198.51.100.1") == 401
    await app.state.logs.flush()
    (row,) = await db.fetch("SELECT message FROM logs WHERE code = 'api-key-refused'")
    assert row["message"].startswith(f"The API key {key['api_key']} was refused to 198.51.100.1")


async def test_both_secrets_of_a_rotated_key_are_valid_until_the_end_of_the_overlap(
    admin: Client, connect: MakeClient, account: dict[str, Any], db: Database
):
    old = await key_of(admin, account)
    path = f"{KEYS}/{old['api_key']}/rotate"
    answer = await admin.post(path, json={"overlap_s": 3600})
    new = answer.json()
    assert (answer.status_code, new["api_key"], new["old_until"] is not None) == (200, old["api_key"], True)
    assert [await status(connect, key) for key in (old, new)] == [200, 200]
    await db.write("UPDATE api_keys SET old_until = now() WHERE key_id = %s", (old["api_key"],))
    assert [await status(connect, key) for key in (old, new)] == [401, 200]
    newest = (await admin.post(path, json={})).json()
    assert [await status(connect, key) for key in (old, new, newest)] == [401, 401, 200]
    assert "overlap_s" in await admin.refused(422, f"POST {path}", {"overlap_s": 31 * DAY})


async def test_the_event_of_a_rotation_names_the_valid_secrets(admin: Client, account: dict[str, Any], db: Database):
    path = f"{KEYS}/{(await key_of(admin, account))['api_key']}/rotate"
    for overlap_s in (0, 60):
        await admin.post(path, json={"overlap_s": overlap_s})
    at_once, later = await db.fetch(
        "SELECT message FROM audit_events WHERE operation LIKE '%/rotate' ORDER BY event_id"
    )
    assert at_once["message"].endswith(": use of the former secret → of a new secret")
    assert ": use of the former secret → of both secrets until " in later["message"]


async def test_an_expired_account_has_no_valid_key(admin: Client, connect: MakeClient, account: dict[str, Any]):
    key, path = await key_of(admin, account), f"{ACCOUNTS}/{account['service_account_id']}"
    later, earlier = (datetime.now(UTC) + timedelta(days=days) for days in (1, -1))
    await admin.change(path, expires=later.isoformat())
    assert await status(connect, key) == 200
    assert (await admin.change(path, expires=earlier.isoformat()))["expired"]
    assert await status(connect, key) == 401
    assert not (await admin.read(f"{KEYS}/{key['api_key']}"))["valid"]


async def test_a_key_that_expires_sets_no_later_end(admin: Client, connect: MakeClient, account: dict[str, Any]):
    path = f"{ACCOUNTS}/{account['service_account_id']}"
    group = await admin.make("/api/v1/groups", name="Operators", permissions=["devapi_modify"])
    now = datetime.now(UTC)
    end, earlier, later = ((now + timedelta(days=days)).isoformat() for days in (2, 1, 3))
    await admin.change(path, groups=[group["group_id"]], expires=end)
    key = await key_of(admin, account, "devapi_modify", "user")
    program = await connect((key["api_key"], key["api_key_secret"]))
    for expires in (None, later):
        assert "expires at" in await program.refused(403, f"PATCH {path}", {"expires": expires})
    await program.change(path, description="Builds")
    await program.change(path, expires=earlier)


async def test_two_changes_at_the_same_time_keep_the_fields_of_each_other(
    admin: Client, account: dict[str, Any], db: Database
):
    path, user_id = f"{ACCOUNTS}/{account['service_account_id']}", account["service_account_id"]
    async with db.transaction() as connection:
        await connection.execute("SELECT 1 FROM users WHERE user_id = %s FOR NO KEY UPDATE", (user_id,))
        changing = asyncio.create_task(admin.change(path, description="Builds"))
        await waiting(db, 1)
        await connection.execute("UPDATE service_accounts SET networks = '{10.0.0.0/8}' WHERE user_id = %s", (user_id,))
    await changing
    changed = await admin.read(path)
    assert (changed["description"], changed["networks"]) == ("Builds", ["10.0.0.0/8"])


@pytest.fixture
async def leased(stage: Stage, admin: Client, connect: MakeClient, account: dict[str, Any]) -> dict[str, Any]:
    """A lease that a key of the account holds for the account itself."""
    workspace = (await admin.read(f"/api/v1/images/{stage.image_id}"))["friendly_name"]
    key = await key_of(admin, account, "user")
    program = await connect((key["api_key"], key["api_key_secret"]))
    return await program.make(LEASES, workspace=workspace, seconds=600)


async def test_a_lease_belongs_to_the_account_and_ends_with_it(
    stage: Stage, admin: Client, account: dict[str, Any], leased: dict[str, Any]
):
    path = f"{ACCOUNTS}/{account['service_account_id']}"
    assert leased["user_id"] == account["service_account_id"]
    assert (await admin.read(path))["num_sessions"] == 1
    await admin.change(path, enabled=False)
    assert (await stage.row(leased["session_id"]))["status"] == "deleting"


async def test_the_end_of_an_account_limits_its_leases(
    stage: Stage, admin: Client, account: dict[str, Any], leased: dict[str, Any]
):
    end = datetime.now(UTC) + timedelta(seconds=120)
    await admin.change(f"{ACCOUNTS}/{account['service_account_id']}", expires=end.isoformat())
    assert (await stage.row(leased["session_id"]))["time_limit_ends"] == end


async def test_a_deleted_account_leaves_no_valid_key(
    stage: Stage, admin: Client, account: dict[str, Any], leased: dict[str, Any]
):
    assert (await admin.delete(f"{ACCOUNTS}/{account['service_account_id']}")).status_code == 204
    assert (await stage.row(leased["session_id"]))["status"] == "deleting"
    assert [key["valid"] for key in await admin.read(KEYS) if key["name"] == "ci"] == [False]


async def test_no_caller_gives_an_account_more_than_they_have(
    admin: Client, with_key: MakeClient, account: dict[str, Any]
):
    group = await admin.make("/api/v1/groups", name="Operators", permissions=["agents_view", "zones_view"])
    path = f"{ACCOUNTS}/{account['service_account_id']}"
    codes = ["devapi_create", "devapi_modify", "groups_modify", "groups_modify_system", "user", "zones_view"]
    maker = await with_key(*codes)
    body = {"name": "other", "groups": [group["group_id"]]}
    assert "agents_view" in await maker.refused(403, f"POST {ACCOUNTS}", body)
    await admin.change(path, groups=[group["group_id"]])
    key = await key_of(admin, account, "zones_view")
    for what, sent in (
        (f"PATCH {path}", {"description": "x"}),
        (f"PATCH {path}", {"networks": []}),
        (f"POST {KEYS}", {"name": "x", "permissions": [], "user_id": account["service_account_id"]}),
        (f"POST {KEYS}/{key['api_key']}/rotate", {}),
    ):
        assert "agents_view" in await maker.refused(403, what, sent)
    await maker.change(path, enabled=False)
    await maker.refused(403, f"PATCH {path}", {"enabled": True})


async def test_a_key_within_networks_creates_no_credential_for_others(
    admin: Client, connect: MakeClient, account: dict[str, Any]
):
    account_id, near = account["service_account_id"], ["192.0.2.0/25"]
    path = f"{ACCOUNTS}/{account_id}"
    codes = ["global_admin"]
    group = await admin.make("/api/v1/groups", name="Administrators of ci", permissions=codes)
    await admin.change(path, groups=[group["group_id"]], networks=["192.0.2.0/24"])
    key = await key_of(admin, account, *codes)
    other = await admin.make(ACCOUNTS, name="other")
    free = await admin.make(KEYS, name="x", permissions=[], user_id=other["service_account_id"])
    scim = await admin.make("/api/v1/scim-clients", name="Okta")
    program = await connect((key["api_key"], key["api_key_secret"]), address="192.0.2.1")
    for what, sent in (
        (f"POST {ACCOUNTS}", {"name": "wide"}),
        (f"POST {ACCOUNTS}", {"name": "wide", "networks": ["192.0.0.0/16"]}),
        (f"PATCH {path}", {"networks": []}),
        (f"POST {KEYS}", {"name": "x", "permissions": [], "user_id": other["service_account_id"]}),
        (f"POST {KEYS}/{free['api_key']}/rotate", {}),
        ("POST /api/v1/scim-clients", {"name": "Entra"}),
        (f"POST /api/v1/scim-clients/{scim['client_id']}/token", None),
    ):
        assert "may only be used from 192.0.2.0/24" in await program.refused(403, what, sent), what
    await program.make(ACCOUNTS, name="narrow", networks=near)
    await program.make(KEYS, name="own", permissions=[])
    await program.change(path, networks=near)


async def test_an_account_that_is_disabled_and_gets_another_end_does_not_deadlock(
    stage: Stage, admin: Client, account: dict[str, Any], leased: dict[str, Any]
):
    path, end = f"{ACCOUNTS}/{account['service_account_id']}", datetime.now(UTC) + timedelta(seconds=120)
    group = await admin.make("/api/v1/groups", name="Administrators of ci", permissions=["global_admin"])
    await admin.change(path, groups=[group["group_id"]])
    async with stage.db.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(75, 0)")  # as `has_administrator`, before any session
        changing = asyncio.create_task(admin.change(path, enabled=False, expires=end.isoformat()))
        await waiting(stage.db, 1)
        lock = "SELECT 1 FROM sessions WHERE session_id = %s FOR NO KEY UPDATE NOWAIT"
        await connection.execute(lock, (leased["session_id"],))
    await changing
    assert (await stage.row(leased["session_id"]))["status"] == "deleting"


async def test_the_secret_of_another_users_key_needs_the_right_to_change_the_user(
    with_key: MakeClient, with_key_of: MakeClient, admin: Client, ada: Client
):
    await with_key_of(ada, "user")
    key_id = (await admin.read(KEYS))[-1]["key_id"]
    maker = await with_key("devapi_modify", "user")
    assert "users_modify" in await maker.refused(403, f"POST {KEYS}/{key_id}/rotate", {})
