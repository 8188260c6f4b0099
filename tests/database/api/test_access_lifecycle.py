"""The loss of access of a user: each cause, by each way, with the whole set of its effects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from tests.database.api.client import USERS_PASSWORD, Client, MakeClient
from tests.database.api.provisioning import Provisioner, patch, provisioner
from tests.database.api.signing_on import forged, offer
from tests.database.api.staging import Stage
from tests.database.locks import waiting
from tests.support.managers import notifications
from tests.support.oidc import Forger

from greenroom.api.access.accounts import delete_anonymous_user
from greenroom.api.access.lifecycle import access_transaction
from greenroom.core.events import ChangeEvent
from greenroom.db.access import api_keys
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.lease.leases import end_leases_of_key
from greenroom.kit.secrets import secret_digest

STREAM, LAUNCH, LOGIN, KEY_USE = "stream", "launch", "log-in", "API key"
OWN_LEASE, LEASE_FOR_OTHER, LEASE_OF_PROGRAM = "own lease", "lease for another user", "lease of a program"
SHARE, SHARE_WITH, WEBHOOK = "share", "share with the user", "webhook"

LOGGED_OUT = {LOGIN, STREAM}
BARRED = {
    *LOGGED_OUT, LAUNCH, KEY_USE, OWN_LEASE, LEASE_FOR_OTHER, LEASE_OF_PROGRAM, SHARE, SHARE_WITH, WEBHOOK
}  # fmt: skip
LOST_USER = {STREAM, LAUNCH, OWN_LEASE, SHARE}
LOST_WORKSPACE = {STREAM, LAUNCH, OWN_LEASE, LEASE_OF_PROGRAM, SHARE}
LOST_GROUP = LOST_USER | LOST_WORKSPACE | {LEASE_FOR_OTHER, WEBHOOK}


@dataclass(frozen=True)
class Person:
    """The user ada with all that a user can have. All permissions of ada come from the group Team."""

    stage: Stage
    ada: Client
    ada_id: str
    group_id: str
    program: Client
    sessions: dict[str, str]
    shares: dict[str, str]
    webhook_id: str
    provider: Provisioner
    """A SCIM client with the user and the group."""

    @property
    def admin(self) -> Client:
        return self.stage.admin

    @property
    def path(self) -> str:
        return f"/api/v1/users/{self.ada_id}"

    @property
    def group(self) -> str:
        return f"/api/v1/groups/{self.group_id}"

    async def ended(self) -> set[str]:
        """The names of the log-ins, keys and sessions of the user that have ended."""
        found = {name for name, session_id in self.sessions.items() if await self._has_ended(name, session_id)}
        if (await self.ada.get("/api/v1/me")).status_code == 401:
            found.add(LOGIN)
        if (await self.program.get("/api/v1/group-settings")).status_code == 401:
            found.add(KEY_USE)
        if not (await self.admin.read(f"/api/v1/webhooks/{self.webhook_id}"))["sends"]:
            found.add(WEBHOOK)
        for name, share_id in self.shares.items():
            rows = await self.stage.db.fetch(
                "SELECT ended IS NOT NULL AS ended FROM session_shares WHERE share_id = %s", (share_id,)
            )
            if not rows or rows[0]["ended"]:
                found.add(name)
        return found

    async def _has_ended(self, name: str, session_id: str) -> bool:
        row = await self.stage.row(session_id)
        return row["auth_epoch"] > 1 if name == STREAM else row["status"] == "deleting"


@pytest.fixture
async def person(
    stage: Stage, ada: Client, user: Client, with_key_of: MakeClient, with_key: MakeClient, *, connect: MakeClient
) -> Person:
    admin, ada_id, user_id = stage.admin, await ada.own_id(), await user.own_id()
    everyone = f"/api/v1/groups/{ALL_USERS}"
    workspace = (await admin.read(f"/api/v1/images/{stage.image_id}"))["friendly_name"]
    codes = ["user", "leases_create_for_others", "webhooks_create", "webhooks_view"]
    limits = {"max_kasms_per_user": 9, "max_leases_per_user": 9, "allow_kasm_sharing": True}
    await admin.change(everyone, settings=limits)
    team = await admin.make("/api/v1/groups", name="Team", permissions=codes)
    others = await admin.make("/api/v1/groups", name="Others", permissions=["user"])
    for group_id, member in ((team["group_id"], ada_id), (others["group_id"], user_id)):
        await admin.put(f"/api/v1/groups/{group_id}/images/{stage.image_id}")
        await admin.put(f"/api/v1/groups/{group_id}/users/{member}")
    await admin.delete(f"{everyone}/images/{stage.image_id}")
    await admin.change(everyone, permissions=[])
    await admin.change("/api/v1/settings", share_outside_groups=True)
    program = await with_key_of(ada, "user", "leases_create_for_others")
    integrator = await with_key("users_auth_session", *codes)  # a caller with fewer rights may not act for the user
    lease = {"workspace": workspace, "seconds": 600}
    leases = {
        OWN_LEASE: await program.make("/api/v1/leases", **lease),
        LEASE_FOR_OTHER: await program.make("/api/v1/leases", **lease, user_id=user_id),
        LEASE_OF_PROGRAM: await integrator.make("/api/v1/leases", **lease, user_id=ada_id),
    }
    open_id, theirs_id = await stage.launched(ada), await stage.launched(user)
    for each in (open_id, theirs_id):
        await stage.db.write("INSERT INTO session_steps (session_id, name) VALUES (%s, 'painted')", (each,))
    shares = {
        SHARE: await ada.make(f"/api/v1/sessions/{open_id}/shares", access="view", user_id=user_id),
        SHARE_WITH: await user.make(f"/api/v1/sessions/{theirs_id}/shares", access="view", user_id=ada_id),
    }
    provider = await provisioner(admin, connect)
    await stage.db.write(
        "WITH client AS (SELECT client_id FROM scim_clients), made AS (INSERT INTO scim_groups (group_id, client_id)"
        " SELECT %s, client_id FROM client) INSERT INTO scim_users (user_id, client_id, document)"
        " SELECT %s, client_id, '{}' FROM client",
        (team["group_id"], ada_id),
    )
    webhook = await ada.make("/api/v1/webhooks", name="ada's", url="https://example.org/h", events=["launch.done"])
    return Person(
        stage=stage,
        ada=ada,
        ada_id=ada_id,
        group_id=team["group_id"],
        program=program,
        sessions={
            STREAM: open_id,
            LAUNCH: (await ada.launch(stage.image_id))["session_id"],
            **{name: granted["session_id"] for name, granted in leases.items()},
        },
        shares={name: share["share_id"] for name, share in shares.items()},
        webhook_id=webhook["webhook_id"],
        provider=provider,
    )


Way = Callable[[Person], Awaitable[Any]]

WAYS: dict[str, tuple[Way, set[str]]] = {
    "disabled": (lambda p: p.admin.change(p.path, disabled=True), BARRED),
    "locked": (lambda p: p.admin.change(p.path, locked=True), BARRED),
    "disabled by a published call": (
        lambda p: p.admin.published("update_user", target_user={"user_id": p.ada_id, "disabled": True}),
        BARRED,
    ),
    "deleted": (lambda p: p.admin.delete(p.path, params={"force": True}), BARRED),
    "deleted by a published call": (
        lambda p: p.admin.published("delete_user", target_user={"user_id": p.ada_id}, force=True),
        BARRED,
    ),
    "disabled by SCIM": (
        lambda p: p.provider.done(
            "PATCH", f"/Users/{p.ada_id}", patch({"op": "replace", "path": "active", "value": False})
        ),
        BARRED,
    ),
    "deleted by SCIM": (lambda p: p.provider.done("DELETE", f"/Users/{p.ada_id}"), BARRED),
    "removed from the group by SCIM": (
        lambda p: p.provider.done(
            "PATCH", f"/Groups/{p.group_id}", patch({"op": "remove", "path": f'members[value eq "{p.ada_id}"]'})
        ),
        LOST_GROUP,
    ),
    "group deleted by SCIM": (lambda p: p.provider.done("DELETE", f"/Groups/{p.group_id}"), LOST_GROUP),
    "new password": (lambda p: p.admin.change(p.path, password="a new passphrase"), LOGGED_OUT),
    "logged out": (lambda p: p.ada.post("/api/v1/logout"), LOGGED_OUT),
    "logged out by an administrator": (lambda p: p.admin.delete(f"{p.path}/logins"), LOGGED_OUT),
    "logged out by a published call": (
        lambda p: p.admin.published("logout_user", target_user={"user_id": p.ada_id}),
        LOGGED_OUT,
    ),
    "removed from the group": (lambda p: p.admin.delete(f"{p.group}/users/{p.ada_id}"), LOST_GROUP),
    "other groups": (lambda p: p.admin.change(p.path, groups=[]), LOST_GROUP),
    "removed by a published call": (
        lambda p: p.admin.published(
            "remove_user_group", target_user={"user_id": p.ada_id}, target_group={"group_id": p.group_id}
        ),
        LOST_GROUP,
    ),
    "deleted group": (lambda p: p.admin.delete(p.group), LOST_GROUP),
    "group without `user`": (
        lambda p: p.admin.change(p.group, permissions=["leases_create_for_others", "webhooks_view"]),
        LOST_USER,
    ),
    "group without leases for others": (
        lambda p: p.admin.change(p.group, permissions=["user", "webhooks_view"]),
        {LEASE_FOR_OTHER},
    ),
    "group without webhooks": (
        lambda p: p.admin.change(p.group, permissions=["user", "leases_create_for_others"]),
        {WEBHOOK},
    ),
    "group without the workspace": (
        lambda p: p.admin.delete(f"{p.group}/images/{p.stage.image_id}"),
        LOST_WORKSPACE,
    ),
    "other group": (lambda p: p.admin.make("/api/v1/groups", name="Empty"), set[str]()),
    "first name": (lambda p: p.admin.change(p.path, first_name="Ada"), set[str]()),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_loss_ends_what_the_user_may_no_longer_do(person: Person, way: str):
    act, expected = WAYS[way]
    assert await person.ended() == set()
    await act(person)
    assert await person.ended() == expected


async def test_the_commit_of_a_loss_notifies_the_agents(person: Person, monkeypatch: pytest.MonkeyPatch):
    async def lose(_db: Database, *_events: ChangeEvent) -> None:
        """Send nothing, as a process that was killed after the commit."""

    monkeypatch.setattr(Database, "notify", lose)
    session_id = person.sessions[STREAM]
    sent = await notifications(person.stage.db, person.admin.change(person.path, disabled=True))
    assert f"agent:{person.stage.agent_id}:{session_id}" in sent


async def test_a_workspace_with_other_groups_ends_the_sessions_of_the_former_ones(person: Person):
    groups = [group["group_id"] for group in await person.admin.read("/api/v1/groups") if group["name"] == "Others"]
    await person.admin.change(f"/api/v1/images/{person.stage.image_id}", groups=groups)
    assert await person.ended() == LOST_WORKSPACE


async def test_rules_of_a_provider_that_remove_a_group_end_what_it_allowed(
    person: Person, forger: Forger, connect: MakeClient, long_timeout: None
):
    claim = {"claim": "groups", "value": "team", "group_id": person.group_id}
    await offer(person.admin, forger.issuer, rules=[claim])
    await person.admin.make(f"{person.path}/identities", issuer=forger.issuer, subject="s-1")
    forger.claims = {"sub": "s-1", "groups": []}
    assert await forged(forger, await connect()) == "/"
    assert await person.ended() == LOST_GROUP


async def test_a_user_who_may_not_use_the_workspace_opens_no_stream(person: Person):
    credential = {"Authorization": f"Bearer {person.stage.agent_id}.credential"}
    await person.stage.db.write("UPDATE agents SET credential_hash = %s", (secret_digest("credential"),))
    session_id = person.sessions[STREAM]
    url = (await person.ada.read(f"/api/v1/sessions/{session_id}/connection"))["frame_url"]
    body = {"session_id": session_id, "token": url.partition("token=")[2]}

    async def verdict() -> dict[str, Any]:
        return (await person.ada.post("/api/internal/stream", json=body, headers=credential)).json()

    assert (await verdict())["allow"]
    await person.stage.db.write("DELETE FROM group_images WHERE group_id = %s", (person.group_id,))
    assert (await verdict())["reason"] == "The user of the session may no longer use its workspace."


async def test_a_launch_during_which_its_user_is_disabled_gets_no_session(person: Person):
    db = person.stage.db
    async with db.transaction() as connection:
        await connection.execute("SELECT 1 FROM users WHERE user_id = %s FOR NO KEY UPDATE", (person.ada_id,))
        launch = asyncio.create_task(person.ada.post("/api/v1/sessions", json={"image_id": person.stage.image_id}))
        await waiting(db, 1)
        await connection.execute("UPDATE users SET disabled = true WHERE user_id = %s", (person.ada_id,))
    assert (await launch).status_code == 403
    (row,) = await db.fetch("SELECT count(*) AS number FROM sessions WHERE user_id = %s", (person.ada_id,))
    assert row["number"] == 4


@pytest.mark.parametrize("path", ["sessions", "leases"])
async def test_a_launch_during_which_its_user_loses_the_permission_is_refused(person: Person, path: str):
    db, body = person.stage.db, {"image_id": person.stage.image_id}
    if path == "leases":
        body = {"workspace": person.stage.image_id, "seconds": 600}
    async with access_transaction(db, LogWriter(db, "api"), everyone=True) as access:
        launch = asyncio.create_task(person.ada.post(f"/api/v1/{path}", json=body))
        await waiting(db, 1)
        await access.connection.execute("UPDATE groups SET permissions = '{}' WHERE group_id = %s", (person.group_id,))
    answer = await launch
    assert (answer.status_code, "lost the permission `user`" in answer.text) == (403, True)
    (row,) = await db.fetch("SELECT count(*) AS number FROM sessions WHERE user_id = %s", (person.ada_id,))
    assert row["number"] == 4


async def test_two_administrators_who_remove_each_other_do_not_wait_for_each_other(
    person: Person, logged_in: MakeClient
):
    admin = person.admin
    (group,) = [each for each in await admin.read("/api/v1/groups") if each["name"] == "Administrators"]
    names = ["root@example.org", "second@example.org"]
    ids = list[str]()
    for name in names:
        made = await admin.make("/api/v1/users", username=name, password=USERS_PASSWORD, groups=[group["group_id"]])
        ids.append(made["user_id"])
    first = next(each for each in await admin.read("/api/v1/users") if each["username"] == "admin@greenroom.local")
    await admin.change(f"/api/v1/users/{first['user_id']}", disabled=True)
    browsers = [await logged_in(name, USERS_PASSWORD) for name in names]
    answers = await asyncio.gather(
        *(
            browser.patch(f"/api/v1/users/{other}", json={"disabled": True})
            for browser, other in zip(browsers, reversed(ids), strict=True)
        )
    )
    assert sorted(answer.status_code for answer in answers) in ([200, 401], [200, 409])


async def test_removals_of_users_who_share_sessions_do_not_deadlock(person: Person):
    user_id = (await person.stage.row(person.sessions[LEASE_FOR_OTHER]))["user_id"]
    answers = await asyncio.gather(
        person.admin.patch(person.path, json={"disabled": True}),
        person.admin.patch(f"/api/v1/users/{user_id}", json={"disabled": True}),
        person.admin.delete(person.group),
        person.admin.patch("/api/v1/settings", json={"share_outside_groups": False}),
    )
    assert [answer.status_code for answer in answers] == [200, 200, 204, 200]
    assert await person.ended() >= BARRED - {LOGIN}


async def test_an_anonymous_user_who_is_deleted_meanwhile_does_not_stop_a_change_of_groups(person: Person):
    db = person.stage.db
    user_id = str((await person.stage.row(person.sessions[LEASE_FOR_OTHER]))["user_id"])
    for row in await db.fetch("SELECT session_id::text FROM sessions WHERE user_id = %s", (user_id,)):
        assert (await person.admin.delete(f"/api/v1/sessions/{row['session_id']}")).is_success
    async with access_transaction(db, LogWriter(db, "api"), everyone=True):
        await delete_anonymous_user(db, user_id)
    assert await db.fetch("SELECT 1 FROM users WHERE user_id = %s", (user_id,)) == []


async def test_a_deleted_user_and_a_changed_key_of_the_user_do_not_deadlock(person: Person):
    db = person.stage.db
    (row,) = await db.fetch("SELECT key_id FROM api_keys WHERE created_by = %s", (person.ada_id,))
    async with db.transaction() as connection:
        await api_keys.lock_key(connection, row["key_id"])
        deleting = asyncio.create_task(person.admin.delete(person.path, params={"force": True}))
        await waiting(db, 1)
        await end_leases_of_key(connection, row["key_id"], "over")
    assert (await deleting).status_code == 204
