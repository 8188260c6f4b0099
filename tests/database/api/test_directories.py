"""Log-ins with the passwords of an LDAP directory, at a real slapd."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import uvloop
from tests.database.api.client import ADMIN, Client, MakeClient
from tests.database.api.client import PASSWORD as ADMINS_PASSWORD
from tests.database.api.directing import DIRECTORIES, add, log_in
from tests.database.api.signing_on import rows_of_users
from tests.support.directories import BIND_DN, BIND_PASSWORD, PASSWORD, PEOPLE, SUFFIX, Slapd, bad_server, slapd

from greenroom.db.database import Database
from greenroom.identity.directory.client import ROOT, DirectoryClient, DirectoryHealth, DirectoryTarget

pytestmark = pytest.mark.usefixtures("long_timeout")


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    with slapd() as running:
        ada = running.add_person("ada", givenName="Ada", mail="ada@uni.example", departmentNumber="physics")
        running.add_person("bob")
        staff = running.add_group("Staff", ada)
        running.add_group("Everyone", staff)
        yield running


async def test_a_first_log_in_creates_the_user(server: Slapd, admin: Client, anonymous: Client):
    directory = await add(admin, server, create_users=True)
    answer = await log_in(anonymous, "ada")
    assert answer.status_code == 200, answer.text
    me = (await anonymous.read("/api/v1/me"))["user"]
    assert (me["username"], me["first_name"], me["last_name"]) == ("ada", "Ada", "Example")
    identity = await anonymous.only("/api/v1/me/identities")
    assert identity["issuer"] == f"directory:{directory['directory_id']}"
    assert len(identity["subject"]) == 36


def test_a_directory_answers_with_the_event_loop_of_the_api(server: Slapd):
    target = DirectoryTarget(
        "Campus", (f"ldaps://127.0.0.1:{server.tls_port}",), "ldaps", server.ca_pem, BIND_DN, BIND_PASSWORD
    )
    answer = uvloop.run(DirectoryClient(target, DirectoryHealth(lambda _: None)).search(ROOT))
    assert len(answer.entries) == 1


async def test_a_renamed_user_of_a_directory_is_the_same_user(server: Slapd, admin: Client, connect: MakeClient):
    await add(admin, server, create_users=True, login_attributes=["uid", "mail"])
    first, second = await connect(), await connect()
    assert (await log_in(first, "ada")).status_code == 200
    assert (await log_in(second, "ADA@uni.example")).status_code == 200
    assert await first.own_id() == await second.own_id()


async def test_unknown_users_of_a_directory_are_refused_by_default(
    server: Slapd, admin: Client, anonymous: Client, db: Database
):
    await add(admin, server)
    before = await rows_of_users(db)
    assert "No account is linked" in await anonymous.refused(403, "POST /api/v1/login", _body("ada"))
    assert await rows_of_users(db) == before


def _body(username: str, password: str = PASSWORD) -> dict[str, str]:
    return {"username": username, "password": password}


@pytest.mark.parametrize(
    ("membership", "value"), [("memberof", "staff"), ("member", "staff"), ("nested", "EVERYONE"), ("nested", "Staff")]
)
async def test_rules_give_groups(server: Slapd, admin: Client, anonymous: Client, membership: str, value: str):
    group = await admin.make("/api/v1/groups", name="Physicists")
    rule = {"claim": "groups", "value": f"cn={value},ou=groups,{SUFFIX}", "group_id": group["group_id"]}
    await add(admin, server, create_users=True, membership=membership, rules=[rule])
    assert (await log_in(anonymous, "ada")).status_code == 200
    names = [one["name"] for one in (await anonymous.read("/api/v1/me"))["user"]["groups"]]
    assert "Physicists" in names


async def test_a_rule_can_use_an_attribute(server: Slapd, admin: Client, connect: MakeClient):
    group = await admin.make("/api/v1/groups", name="Physicists")
    rule = {"claim": "departmentNumber", "value": "phys*", "group_id": group["group_id"]}
    await add(admin, server, create_users=True, rules=[rule], rule_required=True)
    assert (await log_in(await connect(), "ada")).status_code == 200
    assert "none of the groups" in (await log_in(await connect(), "bob")).json()["detail"]


async def test_a_local_account_comes_first_and_is_never_taken_over(
    server: Slapd, admin: Client, anonymous: Client, db: Database
):
    await add(admin, server, create_users=True)
    await admin.make("/api/v1/users", username="ada", password=ADMINS_PASSWORD)
    before = await rows_of_users(db)
    assert (await log_in(anonymous, "ada")).status_code == 401
    assert await rows_of_users(db) == before
    assert (await log_in(anonymous, "ada", ADMINS_PASSWORD)).status_code == 200


async def test_an_account_without_a_password_is_never_taken_over(
    server: Slapd, admin: Client, anonymous: Client, db: Database
):
    await add(admin, server, create_users=True)
    await admin.make("/api/v1/users", username="ada")
    before = await rows_of_users(db)
    assert "An account has your username already" in await anonymous.refused(403, "POST /api/v1/login", _body("ada"))
    assert await rows_of_users(db) == before


async def test_an_administrator_links_a_local_account(server: Slapd, admin: Client, anonymous: Client):
    directory = await add(admin, server, create_users=True)
    assert (await log_in(anonymous, "bob")).status_code == 200
    subject = (await anonymous.only("/api/v1/me/identities"))["subject"]
    await admin.delete(f"/api/v1/users/{await anonymous.own_id()}?force=true")
    local = await admin.make("/api/v1/users", username="bob", password=ADMINS_PASSWORD)
    identity = {"issuer": f"directory:{directory['directory_id']}", "subject": subject}
    await admin.make(f"/api/v1/users/{local['user_id']}/identities", **identity)
    for password in (PASSWORD, ADMINS_PASSWORD):
        assert (await log_in(anonymous, "bob", password)).status_code == 200
        assert await anonymous.own_id() == local["user_id"]


async def test_a_disabled_user_cannot_log_in_with_the_directory(server: Slapd, admin: Client, anonymous: Client):
    await add(admin, server, create_users=True)
    await log_in(anonymous, "ada")
    await admin.change(f"/api/v1/users/{await anonymous.own_id()}", disabled=True)
    answer = await log_in(anonymous, "ada")
    assert (answer.status_code, "disabled" in answer.json()["detail"]) == (403, True)


async def test_a_wrong_password_counts_as_a_failed_log_in(server: Slapd, admin: Client, anonymous: Client):
    await admin.change("/api/v1/settings", max_login_attempts=2)
    await add(admin, server, create_users=True)
    codes = [(await log_in(anonymous, "ada", "wrong")).status_code for _ in range(3)]
    assert codes == [401, 401, 429]


async def test_other_names_of_an_account_share_its_limit(server: Slapd, admin: Client, anonymous: Client):
    await admin.change("/api/v1/settings", max_login_attempts=2)
    await add(admin, server, create_users=True, login_attributes=["uid", "mail"])
    names = ("ada", "ada@uni.example", " ada")
    assert [(await log_in(anonymous, name, "wrong")).status_code for name in names] == [401, 401, 429]


async def test_a_disabled_directory_ends_its_log_ins(server: Slapd, admin: Client, anonymous: Client):
    directory = await add(admin, server, create_users=True)
    await log_in(anonymous, "ada")
    await admin.change(f"{DIRECTORIES}/{directory['directory_id']}", enabled=False)
    assert (await anonymous.get("/api/v1/me")).status_code == 401
    assert (await log_in(anonymous, "ada")).status_code == 401


async def test_a_disabled_directory_changes_only_users_who_have_something_open(
    server: Slapd, admin: Client, connect: MakeClient, db: Database
):
    directory = await add(admin, server, create_users=True)
    for name in ("ada", "bob"):
        assert (await log_in(await connect(), name)).status_code == 200
    await db.write("DELETE FROM login_sessions l USING users u WHERE u.user_id = l.user_id AND u.username = 'bob'")
    await admin.change(f"{DIRECTORIES}/{directory['directory_id']}", enabled=False)
    epochs = await db.fetch("SELECT auth_epoch FROM users WHERE username IN ('ada', 'bob') ORDER BY username")
    assert [row["auth_epoch"] for row in epochs] == [2, 1]


async def test_a_deleted_directory_leaves_its_users(server: Slapd, admin: Client, anonymous: Client, db: Database):
    directory = await add(admin, server, create_users=True)
    await log_in(anonymous, "ada")
    assert (await admin.delete(f"{DIRECTORIES}/{directory['directory_id']}")).status_code == 204
    assert (await anonymous.get("/api/v1/me")).status_code == 401
    assert (await db.fetch("SELECT username FROM users WHERE username = 'ada'")) != []
    assert (await db.fetch("SELECT 1 FROM identities")) == []


async def test_a_second_server_answers_if_the_first_does_not(server: Slapd, admin: Client, anonymous: Client):
    with bad_server(None, reset=True) as port:
        servers = [f"ldaps://127.0.0.1:{port}", f"ldaps://127.0.0.1:{server.tls_port}"]
        await add(admin, server, create_users=True, servers=servers)
        assert (await log_in(anonymous, "ada")).status_code == 200


async def test_starttls_protects_the_password(server: Slapd, admin: Client, anonymous: Client):
    servers = [f"ldap://127.0.0.1:{server.port}"]
    await add(admin, server, create_users=True, tls="starttls", servers=servers)
    assert (await log_in(anonymous, "ada")).status_code == 200


async def test_two_directories_are_both_searched(server: Slapd, admin: Client, anonymous: Client):
    await add(admin, server, create_users=True, user_base=f"ou=partners,{SUFFIX}")
    await add(admin, server, "second", create_users=True)
    assert (await log_in(anonymous, "ada")).status_code == 200


async def test_a_changed_directory_does_not_send_its_password_to_other_servers(server: Slapd, admin: Client):
    directory = await add(admin, server)
    path = f"{DIRECTORIES}/{directory['directory_id']}"
    refusal = await admin.refused(422, f"PATCH {path}", {"servers": ["ldaps://ldap.example"]})
    assert "The stored password is not sent to other servers." in refusal


async def test_a_directory_of_administrators_is_changed_by_administrators(
    server: Slapd, admin: Client, anonymous: Client, with_key: MakeClient
):
    directory = await add(admin, server, create_users=True)
    await log_in(anonymous, "ada")
    (administrators,) = [one for one in await admin.read("/api/v1/groups") if one["name"] == "Administrators"]
    await admin.change(f"/api/v1/users/{await anonymous.own_id()}", groups=[administrators["group_id"]])
    operator = await with_key("settings_modify", "settings_view", "users_create")
    path = f"{DIRECTORIES}/{directory['directory_id']}"
    await operator.refused(403, f"PATCH {path}", {"user_base": PEOPLE, "title": "Other"})
    await operator.refused(403, f"DELETE {path}", None)


async def test_a_rule_of_a_directory_gives_no_permission_that_its_author_lacks(
    server: Slapd, admin: Client, with_key: MakeClient
):
    (administrators,) = [one for one in await admin.read("/api/v1/groups") if one["name"] == "Administrators"]
    rules = [{"claim": "memberOf", "value": "*", "group_id": administrators["group_id"]}]
    path = f"{DIRECTORIES}/{(await add(admin, server, rules=rules))['directory_id']}"
    operator = await with_key("settings_modify", "groups_modify", "groups_modify_system")
    for change in ({"user_base": f"ou=partners,{SUFFIX}"}, {"rules": [rules[0] | {"value": "a*"}]}):
        assert "cannot grant" in await operator.refused(403, f"PATCH {path}", change)
    assert (await operator.change(path, title="Other"))["rules"] == rules


async def test_the_log_in_form_accepts_local_accounts_if_a_directory_hangs(
    admin: Client, anonymous: Client, server: Slapd
):
    with bad_server(None) as port:
        await add(admin, server, servers=[f"ldaps://127.0.0.1:{port}"])
        assert (await log_in(anonymous, ADMIN, ADMINS_PASSWORD)).status_code == 200


async def test_another_directory_does_not_get_the_password_of_a_linked_user(
    server: Slapd, admin: Client, connect: MakeClient
):
    await add(admin, server, create_users=True)
    assert (await log_in(await connect(), "ada")).status_code == 200
    server.change(f"dn: ou=others,{SUFFIX}\nobjectClass: organizationalUnit\nou: others\n")
    server.add_person("ada", ou="others", userPassword="the password elsewhere")
    await add(admin, server, "aaa", user_base=f"ou=others,{SUFFIX}")
    assert (await log_in(await connect(), "ada")).status_code == 200
    assert (await log_in(await connect(), "ada", "the password elsewhere")).status_code == 401
