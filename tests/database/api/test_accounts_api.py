"""Users, groups and API keys through /api/v1."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import httpx

from greenroom.db.database import Database

Client = httpx.AsyncClient
Make = Callable[..., Awaitable[Client]]

ALL_USERS = "68d557ac-4cac-42cc-a9f3-1c7c853de0f3"


async def group_named(admin: Client, name: str) -> dict:
    return next(group for group in (await admin.get("/api/v1/groups")).json() if group["name"] == name)


async def new_user(admin: Client, username: str, **fields: object) -> dict:
    answer = await admin.post("/api/v1/users", json={"username": username, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


# Users ------------------------------------------------------------------------------------------------------------


async def test_a_user_lives(admin: Client):
    made = await new_user(admin, "ada", password="analytical engine", first_name="Ada")
    assert made["groups"] == [{"group_id": ALL_USERS, "name": "All Users"}]
    address = f"/api/v1/users/{made['user_id']}"
    changed = (await admin.patch(address, json={"last_name": "Lovelace"})).json()
    assert (changed["first_name"], changed["last_name"]) == ("Ada", "Lovelace")
    assert (await admin.get(address)).json() == changed
    assert (await admin.delete(address)).status_code == 204
    assert (await admin.get(address)).status_code == 404


async def test_users_that_cannot_be(admin: Client):
    for body, status in (
        ({"username": "admin@GREENROOM.local"}, 409),
        ({"username": "../x"}, 422),
        ({"username": "a\0b"}, 422),
        ({"username": "a", "password": "short"}, 422),
        ({"username": "a", "first_name": None}, 422),
        ({"username": "a", "first_name": "x\0"}, 422),
        ({"username": "a", "is_admin": True}, 422),
        ({"username": "a", "groups": [str(uuid.uuid4())]}, 422),
        ({}, 422),
    ):
        answer = await admin.post("/api/v1/users", json=body)
        assert answer.status_code == status, body
    assert len((await admin.get("/api/v1/users")).json()) == 1


async def test_users_come_in_pages(admin: Client):
    for name in ("bob", "Ada", "carol"):
        await new_user(admin, name)
    first = await admin.get("/api/v1/users?limit=3")
    assert [user["username"] for user in first.json()] == ["Ada", "admin@greenroom.local", "bob"]
    second = await admin.get(first.links["next"]["url"])
    assert [user["username"] for user in second.json()] == ["carol"]
    assert "next" not in second.links
    assert [user["username"] for user in (await admin.get("/api/v1/users?q=CAR")).json()] == ["carol"]


async def test_case_does_not_tell_names_apart_in_any_alphabet(admin: Client):
    await new_user(admin, "Öztürk")
    assert (await admin.post("/api/v1/users", json={"username": "öZTÜRK"})).status_code == 409
    assert [user["username"] for user in (await admin.get("/api/v1/users?q=ÖZT")).json()] == ["Öztürk"]


async def test_no_user_falls_between_two_pages(admin: Client):
    """The database writes some letters differently in lower case than Python, and another one only those of ASCII."""
    names = {"Ärzte", "Äsop", "Öre", "ärger", "Zoe", "amy", "İz", "izmir"}
    for name in names:
        await new_user(admin, name)
    seen: list[str] = []
    answer = await admin.get("/api/v1/users?limit=1")
    while True:
        seen += [user["username"] for user in answer.json()]
        if "next" not in answer.links:
            break
        answer = await admin.get(answer.links["next"]["url"])
    assert sorted(seen) == sorted({*names, "admin@greenroom.local"})


async def test_a_cursor_of_our_own_only(admin: Client):
    for cursor in ("x", "bnVsbA", "WzFd", "WyJhIiwiYiJd", "eyJhIjoxfQ"):
        assert (await admin.get(f"/api/v1/users?cursor={cursor}")).status_code == 422, cursor


async def test_a_user_with_sessions_is_deleted_only_with_force(admin: Client, db: Database):
    user = await new_user(admin, "busy")
    await db.write(
        "INSERT INTO sessions (session_id, zone_id, image_id, user_id, status, spec, credential_encrypted, spec_hash,"
        " cores, memory) SELECT gen_random_uuid(), z.zone_id, i.image_id, %s, 'running', '{}', '', '', 1, 1"
        " FROM zones z, images i",
        (user["user_id"],),
    )
    address = f"/api/v1/users/{user['user_id']}"
    refused = await admin.delete(address)
    assert refused.status_code == 409
    assert "still has 1 session;" in refused.json()["detail"]
    assert (await admin.delete(f"{address}?force=true")).status_code == 204
    row = await db.fetch_one("SELECT status, want, user_id, claimable FROM sessions")
    assert row == {"status": "deleting", "want": "absent", "user_id": None, "claimable": False}


async def test_disabling_a_user_raises_the_epoch_of_their_sessions(admin: Client, db: Database):
    user = await new_user(admin, "busy", password="quite ordinary")
    await db.write(
        "INSERT INTO sessions (session_id, zone_id, image_id, user_id, status, spec, credential_encrypted, spec_hash,"
        " cores, memory) SELECT gen_random_uuid(), z.zone_id, i.image_id, %s, 'running', '{}', '', '', 1, 1"
        " FROM zones z, images i",
        (user["user_id"],),
    )
    await admin.patch(f"/api/v1/users/{user['user_id']}", json={"disabled": True})
    row = await db.fetch_one("SELECT auth_epoch, generation FROM sessions")
    assert row == {"auth_epoch": 2, "generation": 2}


async def test_the_last_administrator_stays(admin: Client):
    (user,) = (await admin.get("/api/v1/users")).json()
    address = f"/api/v1/users/{user['user_id']}"
    for refused in (
        await admin.delete(address),
        await admin.patch(address, json={"disabled": True}),
        await admin.patch(address, json={"groups": []}),
    ):
        assert refused.status_code == 409
        assert "administer" in refused.json()["detail"]
    administrators = await group_named(admin, "Administrators")
    answer = await admin.delete(f"/api/v1/groups/{administrators['group_id']}/users/{user['user_id']}")
    assert answer.status_code == 409


async def test_nobody_gives_more_than_they_have(admin: Client, with_key: Make):
    helpdesk = await with_key(
        "users_view", "users_create", "users_modify", "users_delete", "groups_view", "groups_create", "groups_modify",
        "devapi_create",
    )  # fmt: skip
    administrators = await group_named(admin, "Administrators")
    attempts = [
        await helpdesk.post("/api/v1/users", json={"username": "x", "groups": [administrators["group_id"]]}),
        await helpdesk.post("/api/v1/groups", json={"name": "x", "permissions": ["global_admin"]}),
        await helpdesk.post("/api/v1/api-keys", json={"name": "x", "permissions": ["zones_view"]}),
        await helpdesk.patch(f"/api/v1/groups/{ALL_USERS}", json={"permissions": []}),
    ]
    (boss,) = (await admin.get("/api/v1/users")).json()
    address = f"/api/v1/users/{boss['user_id']}"
    attempts += [
        await helpdesk.patch(address, json={"password": "taken over!!"}),
        await helpdesk.delete(address),
    ]
    assert [answer.status_code for answer in attempts] == [403] * 6


# Groups -----------------------------------------------------------------------------------------------------------


async def test_a_group_gives_settings_and_permissions(admin: Client, user: Client):
    body = {"name": "Students", "priority": 5, "permissions": ["zones_view"], "settings": {"idle_disconnect": 30}}
    group = (await admin.post("/api/v1/groups", json=body)).json()
    me = (await user.get("/api/v1/me")).json()["user"]
    address = f"/api/v1/groups/{group['group_id']}"
    assert (await user.get("/api/v1/zones")).status_code == 403
    assert (await admin.put(f"{address}/users/{me['user_id']}")).status_code == 204
    assert (await user.get("/api/v1/zones")).status_code == 200
    now = (await user.get("/api/v1/me")).json()
    assert now["settings"]["idle_disconnect"] == 30
    assert now["setting_sources"]["idle_disconnect"] == "`idle_disconnect` = 30 from group Students, priority 5"
    assert (await admin.patch(address, json={"settings": {"idle_disconnect": None}})).json()["settings"] == {}
    assert (await user.get("/api/v1/me")).json()["settings"]["idle_disconnect"] == 20
    assert (await admin.delete(address)).status_code == 204
    assert (await user.get("/api/v1/zones")).status_code == 403


async def test_patching_settings_leaves_the_others(admin: Client):
    address = f"/api/v1/groups/{ALL_USERS}"
    changed = (await admin.patch(address, json={"settings": {"inject_ssh_keys": True}})).json()
    assert changed["settings"]["inject_ssh_keys"] is True
    assert changed["settings"]["allow_kasm_audio"] is True
    assert changed["priority"] == 1000


async def test_settings_that_cannot_be(admin: Client):
    for settings in ({"nonsense": 1}, {"idle_disconnect": "20"}, {"max_kasms_per_user": -1}):
        answer = await admin.patch(f"/api/v1/groups/{ALL_USERS}", json={"settings": settings})
        assert answer.status_code == 422, settings
        assert next(iter(settings)) in answer.json()["detail"]


async def test_system_groups_stay(admin: Client):
    assert (await admin.delete(f"/api/v1/groups/{ALL_USERS}")).status_code == 409
    (user,) = (await admin.get("/api/v1/users")).json()
    assert (await admin.delete(f"/api/v1/groups/{ALL_USERS}/users/{user['user_id']}")).status_code == 409


async def test_what_exists_is_listed(admin: Client):
    settings = {row["name"]: row for row in (await admin.get("/api/v1/group-settings")).json()}
    assert settings["run_config"]["excludes_staging"] is True
    assert settings["idle_disconnect"]["unit"] == "min"
    assert "global_admin" in {row["code"] for row in (await admin.get("/api/v1/permissions")).json()}


async def test_new_workspaces_are_for_all_users_unless_the_setting_says_otherwise(admin: Client, user: Client):
    async def seen() -> set[str]:
        return {image["friendly_name"] for image in (await user.get("/api/v1/me/images")).json()}

    await admin.post("/api/v1/images", json={"name": "a:1", "friendly_name": "First"})
    assert (await admin.patch("/api/v1/settings", json={"add_images_to_default_group": False})).status_code == 200
    second = await admin.post("/api/v1/images", json={"name": "b:1", "friendly_name": "Second"})
    assert second.json()["groups"] == []
    named = {"name": "c:1", "friendly_name": "Third", "groups": [ALL_USERS]}
    await admin.post("/api/v1/images", json=named)
    assert await seen() == {"Desktop", "First", "Third"}
    granted = f"/api/v1/groups/{ALL_USERS}/images/{second.json()['image_id']}"
    assert (await admin.put(granted)).status_code == 204
    assert "Second" in await seen()
    assert (await admin.delete(granted)).status_code == 204
    assert "Second" not in await seen()


async def test_members_of_a_group_are_listed(admin: Client):
    group = (await admin.post("/api/v1/groups", json={"name": "Students"})).json()["group_id"]
    ada = await new_user(admin, "ada", groups=[group])
    await new_user(admin, "bob")
    listed = (await admin.get("/api/v1/users", params={"group_id": group})).json()
    assert [user["user_id"] for user in listed] == [ada["user_id"]]
    assert (await admin.get(f"/api/v1/groups/{group}")).json()["num_users"] == 1


async def test_changes_at_the_same_time_are_all_kept(admin: Client):
    made = (await admin.post("/api/v1/groups", json={"name": "Students"})).json()
    key = (await admin.post("/api/v1/api-keys", json={"name": "ci"})).json()
    for number in range(2, 7):
        group, program = f"/api/v1/groups/{made['group_id']}", f"/api/v1/api-keys/{key['key_id']}"
        await asyncio.gather(
            admin.patch(group, json={"priority": number}),
            admin.patch(group, json={"description": str(number)}),
            admin.patch(program, json={"name": f"ci-{number}"}),
            admin.patch(program, json={"enabled": bool(number % 2)}),
        )
        now, program_now = (await admin.get(group)).json(), (await admin.get(program)).json()
        assert (now["priority"], now["description"]) == (number, str(number))
        assert (program_now["name"], program_now["enabled"]) == (f"ci-{number}", bool(number % 2))


# API keys ---------------------------------------------------------------------------------------------------------


async def test_a_key_is_shown_once(admin: Client, db: Database, connect: Make):
    made = (await admin.post("/api/v1/api-keys", json={"name": "ci", "permissions": ["zones_view"]})).json()
    assert len(made["api_key"]) == 12
    assert len(made["api_key_secret"]) >= 32
    listed = (await admin.get("/api/v1/api-keys")).text
    assert made["api_key_secret"] not in listed
    row = await db.fetch_one("SELECT * FROM api_keys WHERE key_id = %s", (made["api_key"],))
    assert made["api_key_secret"] not in str(row)
    program = await connect((made["api_key"], made["api_key_secret"]))
    assert (await program.get("/api/v1/zones")).status_code == 200
    used = (await admin.get(f"/api/v1/api-keys/{made['key_id']}")).json()
    assert used["last_used"] is not None
    assert (await (await connect((made["api_key"], "wrong"))).get("/api/v1/zones")).status_code == 401


async def test_no_key_is_made_that_is_over_already(admin: Client):
    refused = await admin.post("/api/v1/api-keys", json={"name": "late", "expires": "2001-01-01T00:00:00Z"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert "2001-01-01 00:00 is over already" in refused.json()["detail"]
    assert "late" not in [key["name"] for key in (await admin.get("/api/v1/api-keys")).json()]


async def test_a_key_ends_at_once(admin: Client, connect: Make):
    for change in ({"enabled": False}, {"expires": "2001-01-01T00:00:00Z"}, None):
        made = (await admin.post("/api/v1/api-keys", json={"name": "ci", "permissions": ["zones_view"]})).json()
        program = await connect((made["api_key"], made["api_key_secret"]))
        assert (await program.get("/api/v1/zones")).status_code == 200
        address = f"/api/v1/api-keys/{made['key_id']}"
        answer = await (admin.patch(address, json=change) if change else admin.delete(address))
        assert answer.is_success, change
        assert (await program.get("/api/v1/zones")).status_code == 401, change
