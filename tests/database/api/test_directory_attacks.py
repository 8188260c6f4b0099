"""Attacks on log-ins at LDAP directories, and directories that do not answer as they should."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from tests.database.api.client import ADMIN, Client
from tests.database.api.directing import DIRECTORIES, add, log_in
from tests.database.api.signing_on import cause_of_refusal, rows_of_users
from tests.support.directories import BIND_DN, BIND_PASSWORD, GROUPS, PASSWORD, PEOPLE, SUFFIX, Slapd, bad_server, slapd

from greenroom.db.database import Database
from greenroom.identity.directory import client, login
from greenroom.kit.certificates import new_authority

pytestmark = pytest.mark.usefixtures("long_timeout")


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    with slapd() as running:
        running.add_person("ada")
        yield running


async def _refused(browser: Client, db: Database, username: str, password: str = PASSWORD) -> tuple[int, str]:
    """Fail to log in, without a change of the database."""
    before = await rows_of_users(db)
    answer = await log_in(browser, username, password)
    assert await rows_of_users(db) == before
    return answer.status_code, answer.json()["detail"]


@pytest.mark.parametrize(
    "username",
    ["*", "a*", "ada)(uid=*", "*)(objectClass=*", "ada)(|(uid=*", "\\61da", "ada\\00", "(uid=ada)", "ada))", "&", "|"],
)
async def test_a_name_cannot_change_the_filter(
    server: Slapd, admin: Client, anonymous: Client, db: Database, username: str
):
    await add(admin, server, create_users=True)
    assert (await _refused(anonymous, db, username))[0] == 401


@pytest.mark.parametrize("name", ["-VV", "-f/etc/passwd", "-otls_reqcert=never", "mail;", "", "a b", "(mail)"])
async def test_a_name_of_an_attribute_is_no_option_of_a_program(server: Slapd, admin: Client, name: str):
    group = await admin.make("/api/v1/groups", name="Staff")
    rule = {"claim": name, "value": "x", "group_id": group["group_id"]}
    for fields in ({"rules": [rule]}, {"attributes": {"phone": name}}):
        body = {"name": "campus", "title": "Campus", **server.fields, **fields}
        assert "invalid" in await admin.refused(422, f"POST {DIRECTORIES}", body)


async def test_a_stored_name_of_an_attribute_is_no_option(
    server: Slapd, admin: Client, anonymous: Client, db: Database
):
    await add(admin, server, create_users=True)
    await db.write("""UPDATE directories SET attributes = '{"phone": "-f/missing"}'""")
    assert (await log_in(anonymous, "ada")).status_code == 200


@pytest.mark.parametrize("uid", ["a,b", 'quo"te', "plus+uid=ada", "#hash", "semi;colon", "<a>", "a=b", "-x"])
async def test_a_name_with_characters_of_dns_logs_in_as_itself(
    server: Slapd, admin: Client, anonymous: Client, uid: str
):
    dn = server.add_person(uid)
    try:
        await add(admin, server, create_users=True)
        assert (await log_in(anonymous, uid)).status_code == 200
        assert (await anonymous.read("/api/v1/me"))["user"]["username"] == uid
    finally:
        server.delete(dn)


@pytest.mark.parametrize("password", ["", "\0", " "])
async def test_an_empty_password_is_refused(
    server: Slapd, admin: Client, anonymous: Client, db: Database, password: str
):
    await add(admin, server, create_users=True)
    assert (await _refused(anonymous, db, "ada", password))[0] == 401


async def test_a_long_password_does_not_reveal_who_is_in_a_directory(
    server: Slapd, admin: Client, anonymous: Client, app: FastAPI, db: Database
):
    await add(admin, server, create_users=True)
    for password in ("x" * 4096, "x" * 4097, "ä" * 2049, "x" * 500_000):
        answers = [await log_in(anonymous, name, password) for name in ("ada", "unknown", ADMIN)]
        assert {(answer.status_code, answer.text) for answer in answers} == {(401, answers[0].text)}
    await app.state.logs.flush()
    assert await db.fetch("SELECT message FROM logs WHERE code = 'sign-on-refused'") == []


async def test_two_matching_entries_are_refused(
    server: Slapd, admin: Client, anonymous: Client, app: FastAPI, db: Database
):
    second = server.add_person("ada", ou="partners")
    try:
        await add(admin, server, create_users=True, user_base=SUFFIX)
        assert (await _refused(anonymous, db, "ada"))[0] == 503
        assert f"Several entries below {SUFFIX} have the name 'ada'." in await cause_of_refusal(app, db)
    finally:
        server.delete(second)


async def test_references_to_other_servers_are_not_followed(
    server: Slapd, admin: Client, anonymous: Client, db: Database
):
    dn = f"ou=elsewhere,{PEOPLE}"
    with bad_server(None) as port:
        server.change(
            f"dn: {dn}\nobjectClass: referral\nobjectClass: extensibleObject\nou: elsewhere\n"
            f"ref: ldap://127.0.0.1:{port}/{PEOPLE}\n"
        )
        try:
            await add(admin, server, create_users=True)
            assert (await log_in(anonymous, "ada")).status_code == 200
            await add(admin, server, "second", create_users=True, user_base=dn)
            assert (await _refused(anonymous, db, "bob"))[0] == 503
        finally:
            _delete_referral(server, dn)


async def test_references_that_lead_back_end_the_search(server: Slapd, admin: Client, anonymous: Client, db: Database):
    first, second = f"ou=first,{PEOPLE}", f"ou=second,{PEOPLE}"
    for dn, other in ((first, second), (second, first)):
        reference = f"ref: ldap://127.0.0.1:{server.port}/{other}"
        server.change(f"dn: {dn}\nobjectClass: referral\nobjectClass: extensibleObject\n{reference}\n")
    try:
        directory = await add(admin, server, create_users=True, user_base=first)
        assert (await _refused(anonymous, db, "ada"))[0] == 503
        step, detail = await _failing_step(admin, directory)
        assert (step, detail.partition(";")[0]) == ("base", f"Campus has no entry {first}: Referral (10)")
        await add(admin, server, "second", create_users=True)
        assert (await log_in(anonymous, "ada")).status_code == 200
    finally:
        _delete_referral(server, first)
        _delete_referral(server, second)


def _delete_referral(server: Slapd, dn: str) -> None:
    server.change(f"dn: {dn}\ncontrol: 2.16.840.1.113730.3.4.2 true\nchangetype: delete\n")


async def test_groups_that_contain_each_other_end_the_search(server: Slapd, admin: Client, anonymous: Client):
    ada = f"uid=ada,{PEOPLE}"
    first = server.add_group("first", ada, f"cn=second,{GROUPS}")
    second = server.add_group("second", first)
    group = await admin.make("/api/v1/groups", name="Second")
    rule = {"claim": "groups", "value": second, "group_id": group["group_id"]}
    try:
        await add(admin, server, create_users=True, membership="nested", rules=[rule])
        assert (await log_in(anonymous, "ada")).status_code == 200
        assert "Second" in [one["name"] for one in (await anonymous.read("/api/v1/me"))["user"]["groups"]]
    finally:
        server.delete(first)
        server.delete(second)


@pytest.mark.parametrize("membership", ["member", "memberof", "nested"])
async def test_a_user_in_a_thousand_groups_logs_in(server: Slapd, admin: Client, anonymous: Client, membership: str):
    dns = [f"cn=g{number},{GROUPS}" for number in range(1000)]
    new = (f"dn: {dn}\nobjectClass: groupOfNames\nmember: uid=ada,{PEOPLE}\n" for dn in dns)
    server.change("\n".join(new))
    group = await admin.make("/api/v1/groups", name="Last")
    rule = {"claim": "groups", "value": dns[-1], "group_id": group["group_id"]}
    try:
        await add(admin, server, create_users=True, membership=membership, rules=[rule], rule_required=True)
        assert (await log_in(anonymous, "ada")).status_code == 200
    finally:
        server.change("\n".join(f"dn: {dn}\nchangetype: delete\n" for dn in dns))


async def test_groups_with_too_many_levels_are_refused(server: Slapd, admin: Client, anonymous: Client, db: Database):
    member, dns = f"uid=ada,{PEOPLE}", list[str]()
    for level in range(12):
        member = server.add_group(f"level-{level}", member)
        dns.append(member)
    group = await admin.make("/api/v1/groups", name="Top")
    rule = {"claim": "groups", "value": member, "group_id": group["group_id"]}
    try:
        await add(admin, server, create_users=True, membership="nested", rules=[rule])
        assert (await _refused(anonymous, db, "ada"))[0] == 503
    finally:
        for dn in dns:
            server.delete(dn)


BAD_ANSWERS: dict[str, bytes | None] = {
    "hangs": None,
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "garbage": b"\x30\x84\xff\xff\xff\xff",
    "resets": None,
}


@pytest.fixture
def short_timeout(long_timeout: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "TIMEOUT_S", 1.0)


@pytest.mark.usefixtures("short_timeout")
@pytest.mark.parametrize("case", [(name, tls) for name in BAD_ANSWERS for tls in ("none", "starttls", "ldaps")])
async def test_a_directory_that_does_not_answer_is_refused_in_time(
    server: Slapd, admin: Client, anonymous: Client, app: FastAPI, db: Database, *, case: tuple[str, str]
):
    name, tls = case
    with bad_server(BAD_ANSWERS[name], reset=name == "resets") as port:
        servers = [f"{'ldaps' if tls == 'ldaps' else 'ldap'}://127.0.0.1:{port}"]
        await add(admin, server, create_users=True, servers=servers, tls=tls)
        began_s = time.monotonic()
        assert (await _refused(anonymous, db, "ada"))[0] == 503
        assert time.monotonic() - began_s < 10
    cause = await cause_of_refusal(app, db)
    assert "did not answer" in cause or "cannot be reached" in cause or "starts no TLS" in cause


async def test_a_directory_that_fails_repeatedly_is_skipped(
    server: Slapd, admin: Client, anonymous: Client, db: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(login, "TIMEOUT_S", 0.2)
    with bad_server(None) as port:
        await add(admin, server, servers=[f"ldap://127.0.0.1:{port}"], tls="none")
        for _ in range(client.MAX_FAILURES):
            assert (await _refused(anonymous, db, "ada"))[0] == 503
        monkeypatch.setattr(login, "TIMEOUT_S", 60.0)
        began_s = time.monotonic()
        assert (await _refused(anonymous, db, "ada"))[0] == 503
        assert time.monotonic() - began_s < 10


async def _failing_step(admin: Client, directory: dict[str, Any], username: str = "") -> tuple[str, str]:
    answer = await admin.post(f"{DIRECTORIES}/{directory['directory_id']}/test", json={"username": username})
    assert answer.status_code == 200, answer.text
    last = answer.json()["steps"][-1]
    return ("" if last["passed"] else last["step"]), last["detail"]


async def test_a_test_of_a_directory_shows_a_user_with_their_groups(server: Slapd, admin: Client):
    staff = server.add_group("Staff", f"uid=ada,{PEOPLE}")
    try:
        step, detail = await _failing_step(admin, await add(admin, server), "ada")
        assert (step, "cn=staff,ou=groups" in detail) == ("", True), detail
    finally:
        server.delete(staff)


async def test_a_test_of_a_directory_names_the_failing_step(server: Slapd, admin: Client):
    other = new_authority("Other", datetime.now(UTC)).certificate
    cases: list[tuple[str, dict[str, Any]]] = [
        ("host", {"servers": ["ldaps://unknown.invalid"]}),
        ("connection", {"servers": ["ldaps://127.0.0.1:1"]}),
        ("tls", {"ca_pem": other}),
        ("connection", {"servers": ["ldap://127.0.0.1:1"], "tls": "starttls"}),
        ("bind", {"password": "wrong"}),
        ("base", {"user_base": "ou=unknown,dc=example,dc=org"}),
        ("base", {"user_base": "no DN"}),
        ("filter", {"user_filter": "(objectClass=unknown)"}),
        ("filter", {"user_filter": "(=)"}),
        ("user", {"id_attribute": "mail"}),
    ]
    for number, (step, fields) in enumerate(cases):
        directory = await add(admin, server, f"case-{number}", **fields)
        assert (step, (await _failing_step(admin, directory))[0]) == (step, step), fields


async def test_a_wrong_authority_is_refused(server: Slapd, admin: Client, anonymous: Client, db: Database):
    await add(admin, server, create_users=True, ca_pem=new_authority("Other", datetime.now(UTC)).certificate)
    assert (await _refused(anonymous, db, "ada"))[0] == 503


async def test_a_certificate_for_another_name_is_refused(server: Slapd, admin: Client, anonymous: Client, db: Database):
    await add(admin, server, create_users=True, servers=[f"ldaps://localhost:{server.tls_port}"])
    assert (await _refused(anonymous, db, "ada"))[0] == 503


async def test_an_expired_certificate_is_refused(admin: Client, anonymous: Client, db: Database):
    with slapd(expired=True) as expired:
        expired.add_person("ada")
        directory = await add(admin, expired, create_users=True)
        assert (await _refused(anonymous, db, "ada"))[0] == 503
        assert (await _failing_step(admin, directory))[0] == "tls"


async def test_a_server_without_starttls_gets_no_password(admin: Client, anonymous: Client, db: Database):
    with slapd(tls=False) as plain:
        plain.add_person("ada")
        servers = [f"ldap://127.0.0.1:{plain.port}"]
        directory = await add(admin, plain, create_users=True, servers=servers, tls="starttls")
        assert (await _refused(anonymous, db, "ada"))[0] == 503
        assert (await _failing_step(admin, directory))[0] == "tls"


async def test_passwords_are_in_no_argument_and_no_log(
    server: Slapd, admin: Client, anonymous: Client, capsys: pytest.CaptureFixture[str]
):
    await add(admin, server, create_users=True)
    await log_in(anonymous, "ada")
    await log_in(anonymous, "ada", "the wrong password")
    shown = "".join(capsys.readouterr())
    assert BIND_DN in shown
    assert not [text for text in (BIND_PASSWORD, PASSWORD, "the wrong password") if text in shown]
