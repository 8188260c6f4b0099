"""The end of API keys' leases: with their key, at its limits, with their user; not with a log-out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import pytest
from tests.database.api.client import Client, MakeClient
from tests.database.api.staging import Stage

from greenroom.api.launch.service import Launcher
from greenroom.db.fleet.checkin import read_desired

LEASES, KEYS = "/api/v1/leases", "/api/v1/api-keys"
HOUR = 3600


@pytest.fixture
async def friendly_name(stage: Stage) -> str:
    return (await stage.admin.only("/api/v1/images"))["friendly_name"]


class Held:
    """A lease of ada's that belongs to an API key."""

    def __init__(self, stage: Stage, program: Client, anonymous: Client, lease: dict[str, Any], key_id: str) -> None:
        self.stage, self.program, self.anonymous, self.lease = stage, program, anonymous, lease
        self.key = f"{KEYS}/{key_id}"
        self.path = f"{LEASES}/{lease['lease_id']}"

    async def by_token(self, seconds: int | None = None) -> int:
        """The status of the answer to the lease's token; with `seconds` to an extension."""
        headers = {"Authorization": f"Bearer {self.lease['token']}"}
        method, body = ("GET", None) if seconds is None else ("PATCH", {"seconds": seconds})
        return (await self.anonymous.request(method, self.path, headers=headers, json=body)).status_code

    async def status(self) -> str:
        return str((await self.stage.row(self.lease["session_id"]))["status"])


@pytest.fixture
async def held(stage: Stage, ada: Client, with_key: MakeClient, anonymous: Client, friendly_name: str) -> Held:
    program = await with_key("users_auth_session", max_lease_s=HOUR)
    body = {"workspace": friendly_name, "seconds": 600, "user_id": await ada.own_id()}
    lease = await program.make(LEASES, **body)
    key_id = (await stage.admin.read(KEYS))[-1]["key_id"]
    return Held(stage, program, anonymous, lease, key_id)


@pytest.mark.parametrize("how", ["deleted", "disabled", "expired"])
async def test_with_a_key_its_leases_end(held: Held, how: str):
    admin = held.stage.admin
    if how == "deleted":
        assert (await admin.delete(held.key)).status_code == 204
    elif how == "disabled":
        await admin.change(held.key, enabled=False)
    else:
        await admin.change(held.key, expires=(datetime.now(UTC) - timedelta(seconds=1)).isoformat())
    assert await held.status() == "deleting"
    assert await held.by_token() == 401
    (row,) = await held.stage.db.fetch("SELECT message FROM logs WHERE code = 'session-delete-requested'")
    assert row["message"].endswith("ends: the API key of its lease is deleted, disabled or expired")


@pytest.mark.parametrize("how", ["deleted", "disabled"])
async def test_the_end_of_the_leases_of_others_needs_the_permission_to_delete_sessions(
    held: Held, with_key: MakeClient, how: str
):
    codes = ("users_auth_session", "devapi_modify", "devapi_delete")
    method, body = ("DELETE", None) if how == "deleted" else ("PATCH", {"enabled": False})
    keeper = await with_key(*codes)
    refusal = await keeper.refused(403, f"{method} {held.key}", body)
    assert "sessions_delete. Set `end_leases=false`" in refusal
    assert await held.by_token() == 200, "the key and its lease remain"
    deleter = await with_key(*codes, "sessions_delete")
    assert (await deleter.request(method, held.key, json=body)).status_code in (200, 204)
    assert await held.by_token() == 401


@pytest.mark.parametrize("how", ["deleted", "disabled"])
async def test_leases_that_outlive_their_key_keep_its_limits(held: Held, how: str):
    if how == "deleted":
        assert (await held.stage.admin.delete(held.key, params={"end_leases": False})).status_code == 204
    else:
        answer = await held.stage.admin.patch(held.key, params={"end_leases": False}, json={"enabled": False})
        assert answer.status_code == 200
    assert await held.by_token() == 200
    assert await held.by_token(seconds=HOUR) == 200
    assert await held.by_token(seconds=HOUR + 1) == 422


async def test_a_key_that_is_to_expire_ends_its_leases_then(held: Held):
    end = datetime.now(UTC) + timedelta(seconds=120)
    await held.stage.admin.change(held.key, expires=end.isoformat())
    row = await held.stage.row(held.lease["session_id"])
    assert (row["expires"], row["time_limit_ends"]) == (end, end)
    assert await held.by_token(seconds=HOUR) == 422
    assert await held.by_token(seconds=60) == 200


async def test_no_lease_outlives_the_key_that_asks_for_it(with_key: MakeClient, ada: Client, friendly_name: str):
    end = datetime.now(UTC) + timedelta(seconds=120)
    program = await with_key("users_auth_session", expires=end.isoformat())
    body = {"workspace": friendly_name, "seconds": 600, "user_id": await ada.own_id()}
    assert "The API key expires in 1" in await program.refused(422, f"POST {LEASES}", body)


async def test_a_lease_has_an_age_beyond_which_it_is_not_extended(held: Held):
    await held.stage.db.write("UPDATE leases SET created = created - interval '7 days' + interval '20 minutes'")
    assert await held.by_token(seconds=600) == 200
    refusal = await held.program.refused(422, f"PATCH {held.path}", {"seconds": HOUR})
    assert "A lease lasts at most 7 days in all (max_lease_days)" in refusal
    await held.stage.admin.change("/api/v1/settings", max_lease_days=8)
    assert await held.by_token(seconds=HOUR) == 200


async def test_the_user_of_a_lease_may_be_named(with_key: MakeClient, ada: Client, friendly_name: str):
    body = {"workspace": friendly_name, "seconds": 600}
    lease = await (await with_key("users_auth_session")).make(LEASES, **body, user_id="Ada@example.org")
    assert lease["user_id"] == await ada.own_id()
    assert (await ada.make(LEASES, **body, user_id="ada@example.org"))["user_id"] == await ada.own_id()
    unknown = await (await with_key("users_auth_session")).refused(404, f"POST {LEASES}", body | {"user_id": "eve"})
    assert "There is no user eve" in unknown
    await ada.refused(403, f"POST {LEASES}", body | {"user_id": "eve"})


async def listed(held: Held) -> tuple[int, int | None]:
    """The epochs of the session's viewers and of its program, as the Agent receives them."""
    (session,) = await read_desired(held.stage.db, held.stage.agent_id, [held.lease["session_id"]])
    return session.auth_epoch, session.lease_epoch


async def test_a_log_out_in_a_browser_leaves_the_token_of_a_keys_lease(held: Held, ada: Client):
    viewers, program = await listed(held)
    assert (await ada.post("/api/v1/logout")).status_code == 204
    assert await held.by_token() == 200
    assert await listed(held) == (viewers + 1, program)


async def test_a_log_out_revokes_the_token_of_a_lease_that_the_user_holds(
    ada: Client, anonymous: Client, friendly_name: str
):
    lease = await ada.make(LEASES, workspace=friendly_name, seconds=600)
    await ada.post("/api/v1/logout")
    headers = {"Authorization": f"Bearer {lease['token']}"}
    assert (await anonymous.get(f"{LEASES}/{lease['lease_id']}", headers=headers)).status_code == 401


@pytest.mark.parametrize("how", ["log-out", "new password"])
async def test_a_log_out_ends_the_token_of_a_lease_for_another_user(
    stage: Stage, ada: Client, user: Client, anonymous: Client, friendly_name: str, *, how: str
):
    admin, user_id = stage.admin, await user.own_id()
    group = await admin.make("/api/v1/groups", name="Operators", permissions=["leases_create_for_others"])
    await admin.put(f"/api/v1/groups/{group['group_id']}/users/{user_id}")
    lease = await user.make(LEASES, workspace=friendly_name, seconds=600, user_id=await ada.own_id())
    held = Held(stage, user, anonymous, lease, "")
    (viewers, program), generation = await listed(held), (await stage.row(lease["session_id"]))["generation"]
    if how == "log-out":
        await user.post("/api/v1/logout")
    else:
        await admin.change(f"/api/v1/users/{user_id}", password="a new passphrase")
    assert await held.by_token() == 401
    assert await listed(held) == (viewers, (program or 0) + 1), "the streams of the user of the session stay open"
    assert (await stage.row(lease["session_id"]))["generation"] == generation + 1


async def test_a_user_who_is_disabled_ends_every_token_for_good(held: Held, ada: Client):
    user = f"/api/v1/users/{await ada.own_id()}"
    await held.stage.admin.change(user, disabled=True)
    assert await held.by_token() == 401
    await held.stage.admin.change(user, disabled=False)
    assert await held.by_token() == 401


@pytest.mark.parametrize("how", ["disabled", "locked", "deleted"])
async def test_leases_for_others_end_with_the_owner_of_their_key(held: Held, user: Client, how: str):
    admin, owner = held.stage.admin, f"/api/v1/users/{await user.own_id()}"
    await held.stage.db.write(
        "UPDATE api_keys SET created_by = %s WHERE key_id = %s", (await user.own_id(), held.key.rpartition("/")[2])
    )
    assert await held.by_token() == 200
    if how == "deleted":
        assert (await admin.delete(owner)).status_code == 204
    else:
        await admin.change(owner, **{how: True})
    assert await held.by_token() == 401
    assert await held.status() == "deleting"


@pytest.mark.parametrize("how", ["disabled", "deleted", "without the permission"])
async def test_a_lease_for_another_user_ends_with_the_user_who_took_it(
    stage: Stage, ada: Client, user: Client, anonymous: Client, friendly_name: str, *, how: str
):
    admin, path = stage.admin, f"/api/v1/users/{await user.own_id()}"
    group = await admin.make("/api/v1/groups", name="Operators", permissions=["leases_create_for_others"])
    member = f"/api/v1/groups/{group['group_id']}/users/{await user.own_id()}"
    await admin.put(member)
    lease = await user.make(LEASES, workspace=friendly_name, seconds=600, user_id=await ada.own_id())
    held = Held(stage, user, anonymous, lease, "")
    assert await held.by_token() == 200
    if how == "disabled":
        await admin.change(path, disabled=True)
    else:
        assert (await admin.delete(path if how == "deleted" else member)).status_code == 204
    assert (await held.by_token(), await held.status()) == (401, "deleting")
    assert ", who leased it, " in (await stage.row(lease["session_id"]))["ended_reason"]


@pytest.mark.parametrize(
    ("change", "by_key", "status"),
    [
        ("UPDATE users SET disabled = true WHERE user_id = %s", False, 401),
        ("UPDATE users SET disabled = true WHERE user_id = %s", True, 401),
        ("DELETE FROM user_groups WHERE user_id = %s", False, 403),
        ("DELETE FROM user_groups WHERE user_id = %s", True, 403),
    ],
)
async def test_a_loss_during_the_launch_ends_the_lease_for_another_user(
    stage: Stage,
    ada: Client,
    user: Client,
    with_key_of: MakeClient,
    friendly_name: str,
    *,
    monkeypatch: pytest.MonkeyPatch,
    change: LiteralString,
    by_key: bool,
    status: int,
):
    user_id, ada_id, launch = await user.own_id(), await ada.own_id(), Launcher.launch
    group = await stage.admin.make("/api/v1/groups", name="Operators", permissions=["leases_create_for_others"])
    await stage.admin.put(f"/api/v1/groups/{group['group_id']}/users/{user_id}")

    taker = await with_key_of(user, "leases_create_for_others") if by_key else user

    async def launch_after_loss(*arguments: Any, **options: Any) -> Any:
        await stage.db.write(change, (user_id,))
        return await launch(*arguments, **options)

    monkeypatch.setattr(Launcher, "launch", launch_after_loss)
    body = {"workspace": friendly_name, "seconds": 600, "user_id": ada_id}
    await taker.refused(status, f"POST {LEASES}", body)
    (row,) = await stage.db.fetch("SELECT status FROM sessions WHERE user_id = %s", (ada_id,))
    assert row["status"] == "deleting"
