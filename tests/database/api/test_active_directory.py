"""Log-ins at Active Directory, and its synchronization, at a real domain controller of Samba."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from tests.database.api.client import Client, MakeClient
from tests.database.api.directing import DIRECTORIES, add, log_in
from tests.database.api.signing_on import cause_of_refusal, rows_of_users
from tests.support.active_directory import (
    AD_PASSWORD,
    AD_SUFFIX,
    DISABLED,
    DOMAIN,
    NORMAL,
    ActiveDirectory,
    active_directory,
)

from greenroom.db.database import Database
from greenroom.identity.refusals import Refusal

pytestmark = [
    pytest.mark.usefixtures("long_timeout"),
    pytest.mark.skipif(os.getuid() != 0, reason="only root can listen on the ports of Active Directory"),
]

STAFF = f"CN=Staff,CN=Users,{AD_SUFFIX}"
CAMPUS = f"CN=Campus,CN=Users,{AD_SUFFIX}"


@pytest.fixture(scope="module")
def domain() -> Iterator[ActiveDirectory]:
    """A domain with `ada`, who is a member of Team, which is a member of Staff, which is a member of Campus."""
    with active_directory() as running:
        ada = running.add_person("ada", givenName="Ada", sn="Lovelace", department="physics")
        running.add_group("Campus", running.add_group("Staff", running.add_group("Team", ada)))
        yield running


@pytest.mark.parametrize("name", ["ada", f"ada@{DOMAIN}", f"ADA@{DOMAIN}"])
async def test_both_names_of_active_directory_are_the_same_user(
    domain: ActiveDirectory, admin: Client, connect: MakeClient, name: str
):
    await add(admin, domain, create_users=True)
    first, second = await connect(), await connect()
    assert (await log_in(first, "ada", AD_PASSWORD)).status_code == 200
    assert (await log_in(second, name, AD_PASSWORD)).status_code == 200
    assert await first.own_id() == await second.own_id()
    me = (await second.read("/api/v1/me"))["user"]
    assert (me["username"], me["first_name"], me["last_name"]) == ("ada", "Ada", "Lovelace")
    assert len((await second.only("/api/v1/me/identities"))["subject"]) == 36


async def test_a_user_with_a_new_name_in_active_directory_is_the_same_user(
    domain: ActiveDirectory, admin: Client, connect: MakeClient
):
    await add(admin, domain, create_users=True)
    dn = domain.add_person("before")
    first, second = await connect(), await connect()
    assert (await log_in(first, "before", AD_PASSWORD)).status_code == 200
    domain.replace(dn, "sAMAccountName", "after")
    domain.change(f"dn: {dn}\nchangetype: modrdn\nnewrdn: CN=after\ndeleteoldrdn: 1\n")
    assert (await log_in(second, "after", AD_PASSWORD)).status_code == 200
    assert await first.own_id() == await second.own_id()


@pytest.mark.parametrize(
    ("membership", "levels"), [("memberof", ["Team"]), ("member", ["Team"]), ("nested", ["Team", "Staff", "Campus"])]
)
async def test_the_membership_determines_the_groups(
    domain: ActiveDirectory, admin: Client, anonymous: Client, membership: str, levels: list[str]
):
    assert await _groups(domain, admin, anonymous, membership) == set(levels)


async def test_active_directory_resolves_nested_groups(domain: ActiveDirectory, admin: Client, anonymous: Client):
    assert await _groups(domain, admin, anonymous, "chain") == {"Team", "Staff", "Campus"}


async def _groups(domain: ActiveDirectory, admin: Client, browser: Client, membership: str) -> set[str]:
    """Log in; returns the groups that rules for the groups of the domain gave."""
    names = ("Team", "Staff", "Campus")
    ids = {name: (await admin.make("/api/v1/groups", name=name))["group_id"] for name in names}
    rules = [{"claim": "groups", "value": f"cn={one},cn=users,{AD_SUFFIX}", "group_id": ids[one]} for one in names]
    await add(admin, domain, create_users=True, membership=membership, rules=rules)
    assert (await log_in(browser, "ada", AD_PASSWORD)).status_code == 200
    return {one["name"] for one in (await browser.read("/api/v1/me"))["user"]["groups"]} & set(names)


@pytest.mark.parametrize(
    ("control", "attributes", "problem"),
    [
        (DISABLED, {}, "the account is disabled"),
        (NORMAL, {"pwdLastSet": "0"}, "the user must change the password first"),
        (NORMAL, {"accountExpires": "1"}, "the account has expired"),
    ],
)
async def test_an_account_that_may_not_log_in_is_refused_with_its_cause(
    domain: ActiveDirectory,
    admin: Client,
    anonymous: Client,
    app: FastAPI,
    db: Database,
    *,
    control: int,
    attributes: dict[str, str],
    problem: str,
):
    await add(admin, domain, create_users=True)
    dn = domain.add_person("barred", control, **attributes)
    try:
        before = await rows_of_users(db)
        assert (await log_in(anonymous, "barred", "a wrong password")).status_code == 401
        answer = await log_in(anonymous, "barred", AD_PASSWORD)
        assert (answer.status_code, answer.json()["detail"]) == (403, Refusal.DIRECTORY_ACCOUNT.sentence)
        assert f"{dn} cannot log in: {problem}." in await cause_of_refusal(app, db)
        assert await rows_of_users(db) == before
    finally:
        domain.delete(dn)


async def test_starttls_protects_the_password_at_active_directory(
    domain: ActiveDirectory, admin: Client, anonymous: Client
):
    await add(admin, domain, create_users=True, servers=[f"ldap://{domain.address}"], tls="starttls")
    assert (await log_in(anonymous, "ada", AD_PASSWORD)).status_code == 200


async def test_the_test_of_active_directory_shows_the_groups_of_a_user(domain: ActiveDirectory, admin: Client):
    directory = await add(admin, domain)
    answer = await admin.post(f"{DIRECTORIES}/{directory['directory_id']}/test", json={"username": f"ada@{DOMAIN}"})
    last = answer.json()["steps"][-1]
    assert (last["step"], last["passed"]) == ("user", True), last
    assert CAMPUS.lower() in last["detail"]


async def test_the_synchronization_follows_active_directory(
    domain: ActiveDirectory, admin: Client, connect: MakeClient
):
    group = await admin.make("/api/v1/groups", name="Newcomers")
    rule = {"claim": "groups", "value": f"CN=Newcomers,CN=Users,{AD_SUFFIX}", "group_id": group["group_id"]}
    directory = await add(admin, domain, create_users=True, rules=[rule])
    names = ("leaves", "stays", "is-disabled")
    dns = {name: domain.add_person(name, NORMAL) for name in names}
    for name in names:
        assert (await log_in(await connect(), name, AD_PASSWORD)).status_code == 200
    domain.add_group("Newcomers", dns["stays"])
    domain.delete(dns["leaves"])
    domain.replace(dns["stays"], "sn", "Renamed")
    domain.replace(dns["is-disabled"], "userAccountControl", str(DISABLED))
    answer = await admin.post(f"{DIRECTORIES}/{directory['directory_id']}/sync", json={})
    assert answer.json() == {"present": 1, "disabled": 2, "missing": 0}
    users: dict[str, Any] = {one["username"]: one for one in await admin.read("/api/v1/users")}
    assert [users[name]["disabled"] for name in names] == [True, False, True]
    assert users["stays"]["last_name"] == "Renamed"
    assert "Newcomers" in [one["name"] for one in users["stays"]["groups"]]
