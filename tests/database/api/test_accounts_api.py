"""Users, groups and API keys through /api/v1."""

from __future__ import annotations

import asyncio

import pytest
from tests.database.api.client import SAME_ORIGIN, Client, MakeClient
from tests.database.api.staging import bare_session

from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database


async def group_named(admin: Client, name: str) -> dict:
    return next(group for group in await admin.read("/api/v1/groups") if group["name"] == name)


async def new_user(admin: Client, username: str, **fields: object) -> dict:
    answer = await admin.post("/api/v1/users", json={"username": username, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


# Users ------------------------------------------------------------------------------------------------------------


async def test_users_come_in_pages(admin: Client):
    for name in ("bob", "Ada", "carol"):
        await new_user(admin, name)
    first = await admin.get("/api/v1/users?limit=3")
    assert [user["username"] for user in first.json()] == ["Ada", "admin@greenroom.local", "bob"]
    second = await admin.get(first.links["next"]["url"])
    assert [user["username"] for user in second.json()] == ["carol"]
    assert "next" not in second.links
    assert [user["username"] for user in await admin.read("/api/v1/users?q=CAR")] == ["carol"]


async def test_names_that_differ_only_in_case_are_equal_in_any_alphabet(admin: Client):
    await new_user(admin, "Öztürk")
    assert (await admin.post("/api/v1/users", json={"username": "öZTÜRK"})).status_code == 409
    assert [user["username"] for user in await admin.read("/api/v1/users?q=ÖZT")] == ["Öztürk"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Zo\u00eb", "zoe\u0308"),
        ("Stra\u00dfe", "STRASSE"),
        ("ann", "\uff41\uff4e\uff4e"),
        ("\u03c3\u03c2", "\u03a3\u03a3"),
    ],
)
async def test_names_that_differ_only_in_the_form_of_their_letters_are_equal(
    admin: Client, anonymous: Client, first: str, second: str
):
    await admin.make("/api/v1/users", username=first, password="quite ordinary")
    answer = await admin.post("/api/v1/users", json={"username": second})
    assert (answer.status_code, "already exists" in answer.json()["detail"]) == (409, True)
    login = {"username": second, "password": "quite ordinary"}
    assert (await anonymous.post("/api/v1/login", json=login, headers=SAME_ORIGIN)).status_code == 200


async def test_a_name_that_looks_like_that_of_another_user_is_refused(admin: Client):
    first = await new_user(admin, "Zo\u00eb@example.com")
    look_alike = "Z\u043e\u0451@example.com"
    answer = await admin.post("/api/v1/users", json={"username": look_alike})
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        f"The name {look_alike} looks like that of the user Zo\u00eb@example.com; choose another name.",
    )
    names = [
        "\u0418\u0432\u0430\u043d@example.com",
        "\u0421\u0430\u0440\u0430",
        "\u5c71\u7530 \u0410nna",
        "Muller",
        "M\u00fcller",
    ]
    others = [await new_user(admin, name) for name in names]
    path = f"/api/v1/users/{others[0]['user_id']}"
    assert (await admin.patch(path, json={"username": look_alike})).status_code == 409
    await admin.change(f"/api/v1/users/{first['user_id']}", username="another name")
    await admin.change(path, username=look_alike)
    await new_user(admin, "Zo\u00eb@example.com")
    await admin.change(path, username=look_alike, first_name="Zo\u00eb")  # the name was given before the other one


async def test_no_user_falls_between_two_pages(admin: Client):
    """The database lower-cases some letters differently than Python, and another one only those of ASCII."""
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
    await bare_session(db, user["user_id"])
    address = f"/api/v1/users/{user['user_id']}"
    assert "still has 1 session." in await admin.refused(409, f"DELETE {address}")
    assert (await admin.delete(f"{address}?force=true")).status_code == 204
    row = await db.fetch_one("SELECT status, want, user_id, claimable FROM sessions")
    assert row == {"status": "deleting", "want": "absent", "user_id": None, "claimable": False}


async def test_disabling_a_user_raises_the_epoch_of_their_sessions(admin: Client, db: Database):
    user = await new_user(admin, "busy", password="quite ordinary")
    await bare_session(db, user["user_id"])
    await admin.patch(f"/api/v1/users/{user['user_id']}", json={"disabled": True})
    row = await db.fetch_one("SELECT auth_epoch, generation FROM sessions")
    assert row == {"auth_epoch": 2, "generation": 2}


# Groups -----------------------------------------------------------------------------------------------------------


async def test_a_group_gives_settings_and_permissions(admin: Client, user: Client):
    body = {"name": "Students", "priority": 5, "permissions": ["zones_view"], "settings": {"idle_disconnect": 30}}
    group = await admin.make("/api/v1/groups", **body)
    me = (await user.read("/api/v1/me"))["user"]
    address = f"/api/v1/groups/{group['group_id']}"
    assert (await user.get("/api/v1/zones")).status_code == 403
    assert (await admin.put(f"{address}/users/{me['user_id']}")).status_code == 204
    assert (await user.get("/api/v1/zones")).status_code == 200
    now = await user.read("/api/v1/me")
    assert now["settings"]["idle_disconnect"] == 30
    assert now["setting_sources"]["idle_disconnect"] == "`idle_disconnect` = 30 from group Students, priority 5"
    assert (await admin.change(address, settings={"idle_disconnect": None}))["settings"] == {}
    assert (await user.read("/api/v1/me"))["settings"]["idle_disconnect"] == 20
    assert (await admin.delete(address)).status_code == 204
    assert (await user.get("/api/v1/zones")).status_code == 403


async def test_system_groups_stay(admin: Client):
    assert (await admin.delete(f"/api/v1/groups/{ALL_USERS}")).status_code == 409
    (user,) = await admin.read("/api/v1/users")
    assert (await admin.delete(f"/api/v1/groups/{ALL_USERS}/users/{user['user_id']}")).status_code == 409


async def test_what_exists_is_listed(admin: Client):
    settings = {row["name"]: row for row in await admin.read("/api/v1/group-settings")}
    assert settings["run_config"]["excludes_staging"] is True
    assert settings["idle_disconnect"]["unit"] == "min"
    assert "global_admin" in {row["code"] for row in await admin.read("/api/v1/permissions")}


async def test_new_workspaces_are_for_all_users_unless_configured_otherwise(admin: Client, user: Client):
    async def seen() -> set[str]:
        return {image["friendly_name"] for image in await user.read("/api/v1/me/images")}

    await admin.post("/api/v1/images", json={"name": "a:1", "friendly_name": "First"})
    await admin.change("/api/v1/settings", add_images_to_default_group=False)
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
    group = (await admin.make("/api/v1/groups", name="Students"))["group_id"]
    ada = await new_user(admin, "ada", groups=[group])
    await new_user(admin, "bob")
    listed = await admin.read("/api/v1/users", group_id=group)
    assert [user["user_id"] for user in listed] == [ada["user_id"]]
    assert (await admin.read(f"/api/v1/groups/{group}"))["num_users"] == 1


async def test_changes_at_the_same_time_are_all_kept(admin: Client):
    made = await admin.make("/api/v1/groups", name="Students")
    key = await admin.make("/api/v1/api-keys", name="ci")
    for number in range(2, 7):
        group, program = f"/api/v1/groups/{made['group_id']}", f"/api/v1/api-keys/{key['key_id']}"
        await asyncio.gather(
            admin.patch(group, json={"priority": number}),
            admin.patch(group, json={"description": str(number)}),
            admin.patch(program, json={"name": f"ci-{number}"}),
            admin.patch(program, json={"enabled": bool(number % 2)}),
        )
        now, program_now = await admin.read(group), await admin.read(program)
        assert (now["priority"], now["description"]) == (number, str(number))
        assert (program_now["name"], program_now["enabled"]) == (f"ci-{number}", bool(number % 2))


# API keys ---------------------------------------------------------------------------------------------------------


async def test_a_key_is_shown_once(admin: Client, db: Database, connect: MakeClient):
    made = await admin.make("/api/v1/api-keys", name="ci", permissions=["zones_view"])
    assert len(made["api_key"]) == 12
    assert len(made["api_key_secret"]) >= 32
    listed = (await admin.get("/api/v1/api-keys")).text
    assert made["api_key_secret"] not in listed
    row = await db.fetch_one("SELECT * FROM api_keys WHERE key_id = %s", (made["api_key"],))
    assert made["api_key_secret"] not in str(row)
    program = await connect((made["api_key"], made["api_key_secret"]))
    assert (await program.get("/api/v1/zones")).status_code == 200
    used = await admin.read(f"/api/v1/api-keys/{made['key_id']}")
    assert used["last_used"] is not None
    assert (await (await connect((made["api_key"], "wrong"))).get("/api/v1/zones")).status_code == 401


async def test_no_key_is_made_that_is_over_already(admin: Client):
    refusal = await admin.refused(422, "POST /api/v1/api-keys", {"name": "late", "expires": "2001-01-01T00:00:00Z"})
    assert refusal.startswith("invalid: ")
    assert "2001-01-01 00:00 is in the past" in refusal
    assert "late" not in [key["name"] for key in await admin.read("/api/v1/api-keys")]


async def test_a_key_ends_at_once(admin: Client, connect: MakeClient):
    for change in ({"enabled": False}, {"expires": "2001-01-01T00:00:00Z"}, None):
        made = await admin.make("/api/v1/api-keys", name="ci", permissions=["zones_view"])
        program = await connect((made["api_key"], made["api_key_secret"]))
        assert (await program.get("/api/v1/zones")).status_code == 200
        address = f"/api/v1/api-keys/{made['key_id']}"
        answer = await (admin.patch(address, json=change) if change else admin.delete(address))
        assert answer.is_success, change
        assert (await program.get("/api/v1/zones")).status_code == 401, change
