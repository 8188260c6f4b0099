"""The synchronization of users with an LDAP directory, at a real slapd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from tests.database.api.client import USERS_PASSWORD, Client, MakeClient
from tests.database.api.directing import DIRECTORIES, add, log_in
from tests.support.directories import GROUPS, PEOPLE, Slapd, bad_server, slapd
from tests.support.waiting import eventually

from greenroom.core.errors import Refused
from greenroom.db.database import Database
from greenroom.identity.context import SignOnContext, context_of
from greenroom.identity.directory import statements, sync
from greenroom.identity.directory.client import DirectoryFailed

pytestmark = pytest.mark.usefixtures("long_timeout")

NAMES = [f"user-{number:02}" for number in range(12)]


@pytest.fixture(scope="module")
def running() -> Iterator[Slapd]:
    with slapd() as server:
        for name in NAMES:
            server.add_person(name)
        yield server


@pytest.fixture
async def server(running: Slapd) -> AsyncIterator[Slapd]:
    """The slapd, with all people after each test again."""
    yield running
    for name in NAMES:
        dn = f"uid={name},{PEOPLE}"
        running.forget(dn)
        running.add_person(name)


@pytest.fixture
def context(app: FastAPI) -> SignOnContext:
    return context_of(app.state)


class _Campus:
    """A directory with users who have logged in."""

    def __init__(self, admin: Client, directory: dict[str, Any], browsers: dict[str, Client]) -> None:
        self.path = f"{DIRECTORIES}/{directory['directory_id']}"
        self.id = directory["directory_id"]
        self.browsers = browsers
        self._admin = admin

    async def sync(self, **body: Any) -> dict[str, int]:
        answer = await self._admin.post(f"{self.path}/sync", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def stopped(self) -> str:
        return await self._admin.refused(409, f"POST {self.path}/sync", {})

    async def user(self, name: str) -> dict[str, Any]:
        return next(user for user in await self._admin.read("/api/v1/users") if user["username"] == name)


async def _campus(admin: Client, connect: MakeClient, server: Slapd, names: list[str], **fields: Any) -> _Campus:
    directory = await add(admin, server, create_users=True, **fields)
    browsers = {name: await connect() for name in names}
    for name, browser in browsers.items():
        assert (await log_in(browser, name)).status_code == 200
    return _Campus(admin, directory, browsers)


async def test_a_user_who_left_the_directory_is_disabled(server: Slapd, admin: Client, connect: MakeClient):
    campus = await _campus(admin, connect, server, NAMES[:2])
    server.delete(f"uid={NAMES[0]},{PEOPLE}")
    assert await campus.sync() == {"present": 1, "disabled": 1, "missing": 0}
    assert (await campus.user(NAMES[0]))["disabled"]
    statuses = [(await browser.get("/api/v1/me")).status_code for browser in campus.browsers.values()]
    assert statuses == [401, 200]


async def test_a_user_outside_of_the_filter_is_disabled(server: Slapd, admin: Client, connect: MakeClient):
    campus = await _campus(admin, connect, server, NAMES[:2])
    await admin.change(campus.path, user_filter=f"(&(objectClass=inetOrgPerson)(!(uid={NAMES[0]})))")
    assert await campus.sync() == {"present": 1, "disabled": 1, "missing": 0}


async def test_an_account_that_is_disabled_in_active_directory_is_disabled(
    server: Slapd, admin: Client, connect: MakeClient
):
    campus = await _campus(admin, connect, server, NAMES[:2], grace_s=1000)
    change = "changetype: modify\nadd: objectClass\nobjectClass: user\n-\nadd: userAccountControl\n"
    server.change(f"dn: uid={NAMES[0]},{PEOPLE}\n{change}userAccountControl: 514\n")
    assert await campus.sync() == {"present": 1, "disabled": 1, "missing": 0}
    assert "disabled" in (await log_in(await connect(), NAMES[0])).json()["detail"]


async def test_a_missing_user_is_disabled_after_the_grace_period(
    server: Slapd, admin: Client, connect: MakeClient, db: Database
):
    campus = await _campus(admin, connect, server, NAMES[:2], grace_s=1000)
    server.delete(f"uid={NAMES[0]},{PEOPLE}")
    for _ in range(2):
        assert await campus.sync() == {"present": 1, "disabled": 0, "missing": 1}
    await db.write("UPDATE missing_directory_users SET since = now() - interval '1001 seconds'")
    assert await campus.sync() == {"present": 1, "disabled": 1, "missing": 0}


async def test_groups_and_fields_follow_the_directory(server: Slapd, admin: Client, connect: MakeClient):
    group = await admin.make("/api/v1/groups", name="Staff")
    name = NAMES[0]
    rule = {"claim": "groups", "value": f"cn=staff,{GROUPS}", "group_id": group["group_id"]}
    campus = await _campus(admin, connect, server, [name], rules=[rule])
    staff = server.add_group("staff", f"uid={name},{PEOPLE}")
    server.change(f"dn: uid={name},{PEOPLE}\nchangetype: modify\nreplace: sn\nsn: Renamed\n")
    try:
        await campus.sync()
        user = await campus.user(name)
        assert (user["last_name"], "Staff" in [one["name"] for one in user["groups"]]) == ("Renamed", True)
    finally:
        server.delete(staff)
    await campus.sync()
    assert "Staff" not in [one["name"] for one in (await campus.user(name))["groups"]]


async def test_a_user_with_a_local_password_is_never_changed(server: Slapd, admin: Client, connect: MakeClient):
    campus = await _campus(admin, connect, server, NAMES[:2])
    local = await campus.user(NAMES[0])
    await admin.change(f"/api/v1/users/{local['user_id']}", password=USERS_PASSWORD)
    server.delete(f"uid={NAMES[0]},{PEOPLE}")
    assert await campus.sync() == {"present": 1, "disabled": 0, "missing": 0}
    assert not (await campus.user(NAMES[0]))["disabled"]


async def test_an_empty_answer_disables_no_user(server: Slapd, admin: Client, connect: MakeClient):
    campus = await _campus(admin, connect, server, NAMES[:2])
    await admin.change(campus.path, user_filter="(objectClass=unknown)")
    assert "has none of the 2 users" in await campus.stopped()
    assert not (await campus.user(NAMES[0]))["disabled"]


async def test_too_many_disabled_users_stop_the_synchronization(server: Slapd, admin: Client, connect: MakeClient):
    campus = await _campus(admin, connect, server, NAMES)
    for name in NAMES[:6]:
        server.delete(f"uid={name},{PEOPLE}")
    assert "6 of 12 users would be disabled" in await campus.stopped()
    assert not (await campus.user(NAMES[0]))["disabled"]
    assert await campus.sync(force=True) == {"present": 6, "disabled": 6, "missing": 0}


async def test_a_preview_shows_the_changes_and_makes_none(server: Slapd, admin: Client, connect: MakeClient):
    campus = await _campus(admin, connect, server, NAMES)
    for name in NAMES[:6]:
        server.delete(f"uid={name},{PEOPLE}")
    answer = await admin.post(f"{campus.path}/sync/preview")
    preview = answer.json()
    assert (preview["present"], preview["num_disabled"], preview["num_missing"]) == (6, 6, 0)
    lost = {"username": NAMES[0], "reason": "The directory no longer has the user."}
    assert preview["disabled"][0] == lost
    assert preview["problem"] == "6 of 12 users would be disabled."
    assert not (await campus.user(NAMES[0]))["disabled"]


async def test_the_directory_shows_why_its_synchronization_stopped(server: Slapd, admin: Client, connect: MakeClient):
    campus = await _campus(admin, connect, server, NAMES[:2])
    await admin.change(campus.path, user_filter="(objectClass=unknown)")
    await campus.stopped()
    assert (await admin.read(campus.path))["sync_problem"] == "The directory has none of the 2 users."
    await admin.change(campus.path, user_filter="(objectClass=inetOrgPerson)")
    await campus.sync()
    directory = await admin.read(campus.path)
    assert (directory["sync_problem"], directory["synchronized"] is None) == ("", False)


async def test_a_user_who_cannot_be_disabled_makes_the_synchronization_incomplete(
    server: Slapd, admin: Client, connect: MakeClient, context: SignOnContext, monkeypatch: pytest.MonkeyPatch
):
    campus = await _campus(admin, connect, server, NAMES[:3])
    server.delete(f"uid={NAMES[0]},{PEOPLE}")

    async def refused(*_: object) -> None:
        raise Refused("The last administrator stays.")

    monkeypatch.setattr("greenroom.db.access.users.update_user", refused)
    await campus.sync()
    directory = await admin.read(campus.path)
    problem = f"1 user could not be changed. {NAMES[0]}: The last administrator stays."
    assert (directory["sync_problem"], directory["synchronized"]) == (problem, None)
    await context.logs.flush()
    (row,) = await context.db.fetch("SELECT message FROM logs WHERE code = 'directory-sync-stopped'")
    assert row["message"] == f"The synchronization of Campus is incomplete: {problem}"


async def test_an_unexpected_error_of_a_synchronization_is_its_problem(
    server: Slapd, admin: Client, connect: MakeClient, context: SignOnContext, monkeypatch: pytest.MonkeyPatch
):
    campus = await _campus(admin, connect, server, NAMES[:1])

    async def fails(*_: object) -> None:
        raise ValueError("no such column")

    monkeypatch.setattr(sync, "plan_synchronization", fails)
    monkeypatch.setattr(sync, "POLL_S", 0.01)
    await context.db.write("UPDATE directories SET sync_s = 3600, sync_due = now()")
    running = asyncio.create_task(sync.synchronize_directories(SimpleNamespace(sign_on=context)))

    async def problem() -> str:
        return (await admin.read(campus.path))["sync_problem"]

    try:
        await eventually(problem)
    finally:
        running.cancel()
    assert "no such column" in await problem()


async def test_a_directory_that_fails_disables_no_user(
    server: Slapd, admin: Client, connect: MakeClient, context: SignOnContext
):
    campus = await _campus(admin, connect, server, NAMES[:1])
    directory = await statements.get_directory(context.db, campus.id)
    with bad_server(None, reset=True) as port:
        await context.db.write("UPDATE directories SET servers = %s", ([f"ldaps://127.0.0.1:{port}"],))
        broken = await statements.get_directory(context.db, campus.id)
        with pytest.raises(DirectoryFailed):
            await sync.synchronize(context, broken, forced=True)
    assert directory.synchronized is None
    assert not (await campus.user(NAMES[0]))["disabled"]


async def test_one_process_takes_a_due_directory(server: Slapd, admin: Client, db: Database):
    await add(admin, server)
    taken = await statements.take_due_directory(db)
    assert taken is not None
    assert await statements.take_due_directory(db) is None
    await statements.record_sync(db, taken, 0, problem="")
    assert (await statements.take_due_directory(db)) is not None
