"""No user grants or revokes more than they have: users, groups and keys of users with fewer permissions."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tests.database.api.client import KEY, Client, MakeClient

from greenroom.core.access.permissions import PERMISSIONS
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database


async def id_of(admin: Client, username: str) -> str:
    users = await admin.read("/api/v1/users", q=username)
    return next(user["user_id"] for user in users if user["username"] == username)


async def new_group(
    admin: Client, name: str, *permissions: str, members: tuple[str, ...] = (), **fields: object
) -> str:
    group_id = (await admin.make("/api/v1/groups", name=name, permissions=list(permissions), **fields))["group_id"]
    for user_id in members:
        assert (await admin.put(f"/api/v1/groups/{group_id}/users/{user_id}")).status_code == 204
    return group_id


@pytest.fixture
async def boss(admin: Client) -> str:
    """The id of the administrator."""
    return await id_of(admin, "admin@greenroom.local")


# Keys for other users ---------------------------------------------------------------------------------------------


async def test_an_administrator_makes_a_key_for_another_user(admin: Client, with_key_of: MakeClient, ada: Client):
    program = await with_key_of(ada, "user")
    key = (await admin.read("/api/v1/api-keys"))[-1]
    assert (key["owner"], key["created_by"]) == ("ada@example.org", await ada.own_id())
    assert await program.read("/api/v1/secrets") == []
    refusal = await admin.refused(
        403, "POST /api/v1/api-keys", {"name": "x", "permissions": ["zones_view"], "user_id": await ada.own_id()}
    )
    assert refusal == "forbidden: ada@example.org does not have the permissions zones_view; omit them."


async def test_a_key_for_another_user_takes_the_right_to_change_them(
    with_key: MakeClient, with_key_of: MakeClient, ada: Client, boss: str
):
    body = {"name": "x", "permissions": ["user"], "user_id": await ada.own_id()}
    maker = await with_key("devapi_create", "user")
    assert "needs the permission users_modify" in await maker.refused(403, "POST /api/v1/api-keys", body)
    helpdesk = await with_key("devapi_create", "users_modify", "user")
    await helpdesk.make("/api/v1/api-keys", **body)
    above = await helpdesk.refused(403, "POST /api/v1/api-keys", body | {"user_id": boss})
    assert "needs the permission users_modify_admin" in above


# Users ------------------------------------------------------------------------------------------------------------


async def test_users_modify_is_enough_for_ordinary_users_only(
    admin: Client, with_key: MakeClient, user: Client, boss: str
):
    helpdesk = await with_key("users_view", "users_modify", "users_delete")
    ordinary = await id_of(admin, "user@greenroom.local")
    await helpdesk.change(f"/api/v1/users/{ordinary}", locked=True)
    for refused in (
        await helpdesk.patch(f"/api/v1/users/{boss}", json={"password": "taken over!!"}),
        await helpdesk.patch(f"/api/v1/users/{boss}", json={"locked": True}),
        await helpdesk.delete(f"/api/v1/users/{boss}"),
        await helpdesk.delete(f"/api/v1/users/{boss}/logins"),
    ):
        assert (refused.status_code, refused.json()["required"]) == (403, ["users_modify_admin"])
    chief = await with_key("users_view", "users_modify", "users_modify_admin")
    await chief.change(f"/api/v1/users/{boss}", notes="x")


async def test_permission_to_change_users_does_not_put_them_into_groups(
    admin: Client, with_key: MakeClient, user: Client
):
    viewers = await new_group(admin, "Viewers", "zones_view")
    ordinary = await id_of(admin, "user@greenroom.local")
    users_only = await with_key("users_view", "users_create", "users_modify", "zones_view")
    refused = await users_only.patch(f"/api/v1/users/{ordinary}", json={"groups": [viewers]})
    assert (refused.status_code, refused.json()["required"]) == (403, ["groups_modify", "groups_modify_ifmember"])
    refused = await users_only.post("/api/v1/users", json={"username": "x", "groups": [viewers]})
    assert refused.status_code == 403
    assert (await users_only.post("/api/v1/users", json={"username": "x", "groups": [ALL_USERS]})).status_code == 201
    both = await with_key("users_view", "users_modify", "groups_modify", "zones_view")
    await both.change(f"/api/v1/users/{ordinary}", groups=[viewers])
    assert (await user.get("/api/v1/zones")).status_code == 200


async def test_no_user_grants_a_permission_they_do_not_have(admin: Client, with_key: MakeClient, user: Client):
    viewers = await new_group(admin, "Viewers", "zones_view")
    ordinary = await id_of(admin, "user@greenroom.local")
    groups = await with_key("users_create", "users_modify", "groups_view", "groups_create", "groups_modify")
    empty = (await groups.post("/api/v1/groups", json={"name": "Empty"})).json()["group_id"]
    for refused in (
        await groups.post("/api/v1/groups", json={"name": "x", "permissions": ["zones_view"]}),
        await groups.patch(f"/api/v1/groups/{empty}", json={"permissions": ["global_admin"]}),
        await groups.put(f"/api/v1/groups/{viewers}/users/{ordinary}"),
        await groups.patch(f"/api/v1/users/{ordinary}", json={"groups": [viewers]}),
        await groups.post("/api/v1/users", json={"username": "x", "groups": [viewers]}),
    ):
        assert refused.status_code == 403, refused.text
    assert (await user.get("/api/v1/zones")).status_code == 403
    assert (await groups.put(f"/api/v1/groups/{empty}/users/{ordinary}")).status_code == 204


# Groups -----------------------------------------------------------------------------------------------------------


async def test_groups_above_oneself_and_system_groups_need_more(admin: Client, with_key: MakeClient, boss: str):
    admins = await new_group(admin, "Admins too", "global_admin")
    groups = await with_key("groups_view", "groups_modify", "groups_delete")
    for refused in (
        await groups.patch(f"/api/v1/groups/{admins}", json={"permissions": []}),
        await groups.delete(f"/api/v1/groups/{admins}"),
        await groups.delete(f"/api/v1/groups/{admins}/users/{boss}"),
        await groups.patch(f"/api/v1/groups/{ALL_USERS}", json={"priority": 5}),
        await groups.patch(f"/api/v1/groups/{ALL_USERS}", json={"settings": {"inject_ssh_keys": True}}),
    ):
        assert (refused.status_code, refused.json()["required"]) == (403, ["groups_modify_system"])
    system = await with_key("groups_view", "groups_modify", "groups_modify_system")
    await system.change(f"/api/v1/groups/{ALL_USERS}", priority=900)
    assert (await system.put(f"/api/v1/groups/{admins}/users/{boss}")).status_code == 403, "it has not what it gives"


async def test_names_of_system_groups_are_fixed(admin: Client):
    assert "name" in await admin.refused(409, f"PATCH /api/v1/groups/{ALL_USERS}", {"name": "Everybody"})
    same = {"name": "All Users", "description": "All of them"}
    await admin.change(f"/api/v1/groups/{ALL_USERS}", **same)


async def test_a_member_may_be_given_only_the_own_groups(admin: Client, user: Client):
    ordinary = await id_of(admin, "user@greenroom.local")
    codes = ("groups_view_ifmember", "groups_modify_ifmember")
    team = await new_group(admin, "Team", *codes, members=(ordinary,))
    other = await new_group(admin, "Other")
    assert {group["name"] for group in await user.read("/api/v1/groups")} == {"All Users", "Team"}
    assert (await user.get(f"/api/v1/groups/{team}")).status_code == 200
    assert (await user.get(f"/api/v1/groups/{other}")).status_code == 404
    await user.change(f"/api/v1/groups/{team}", description="ours")
    assert (await user.patch(f"/api/v1/groups/{other}", json={"description": "ours"})).status_code == 403
    assert (await user.patch(f"/api/v1/groups/{ALL_USERS}", json={"description": "ours"})).status_code == 403
    assert (await user.patch(f"/api/v1/groups/{team}", json={"permissions": ["zones_view"]})).status_code == 403
    assert (await user.delete(f"/api/v1/groups/{team}")).status_code == 403
    await user.change(f"/api/v1/groups/{team}", settings={"idle_disconnect": 5})
    assert (await user.put(f"/api/v1/groups/{other}/users/{ordinary}")).status_code == 403


async def test_only_editors_of_all_groups_configure_containers(admin: Client, user: Client, with_key: MakeClient):
    """Otherwise the user could mount the folder with the profiles of all users."""
    ordinary = await id_of(admin, "user@greenroom.local")
    team = await new_group(admin, "Team", "groups_modify_ifmember", members=(ordinary,))
    mapping = {"/srv/profiles": {"bind": "/mnt/profiles"}}
    await admin.change(f"/api/v1/groups/{team}", settings={"volume_mapping": mapping})
    for settings in ({"volume_mapping": mapping}, {"volume_mapping": None}, {"run_config": {"user": "1001"}}):
        refused = await user.patch(f"/api/v1/groups/{team}", json={"settings": settings})
        assert (refused.status_code, refused.json()["required"]) == (403, ["groups_modify"])
    creator = await with_key("groups_create")
    body = {"name": "New", "settings": {"volume_mapping": mapping}}
    refused = await creator.post("/api/v1/groups", json=body)
    assert (refused.status_code, refused.json()["required"]) == (403, ["groups_modify"])
    assert (await creator.post("/api/v1/groups", json={**body, "settings": {"idle_disconnect": 5}})).status_code == 201


async def test_a_member_given_the_own_groups_lifts_no_rule_of_others(admin: Client, user: Client, boss: str):
    """A teacher who is restricted by a group against data loss, and may change the teacher's class."""
    teacher = await id_of(admin, "user@greenroom.local")
    codes = ("groups_view_ifmember", "groups_modify_ifmember", "users_view")
    own = await new_group(admin, "Class", *codes, members=(teacher,))
    rules = {"allow_kasm_downloads": False, "allow_kasm_clipboard_down": False, "session_time_limit": 3600}
    dlp = await new_group(admin, "DLP", members=(teacher,), settings=rules | {"max_kasms_per_user": 1}, priority=100)
    hidden = (
        await admin.post("/api/v1/images", json={"name": "hr:1", "friendly_name": "HR only", "groups": []})
    ).json()
    body = {"username": "pupil", "password": "quite ordinary"}
    pupil = (await admin.make("/api/v1/users", **body))["user_id"]
    class_, desktop = f"/api/v1/groups/{own}", await admin.read("/api/v1/images")
    before = (await user.read("/api/v1/me"))["settings"]
    for refused in (
        await user.patch(class_, json={"priority": 1}),
        await user.patch(class_, json={"priority": 1, "settings": {"allow_kasm_downloads": True}}),
        await user.patch(class_, json={"settings": {"web_filter_policy": ""}}),
        await user.patch(f"/api/v1/groups/{dlp}", json={"settings": {"allow_kasm_downloads": None}}),
        await user.delete(f"/api/v1/groups/{dlp}/users/{teacher}"),
        await user.put(f"{class_}/users/{boss}"),
        await user.put(f"{class_}/images/{hidden['image_id']}"),
    ):
        assert refused.status_code == 403, refused.text
    assert (await user.read("/api/v1/me"))["settings"] == before
    tighter = {"settings": {"idle_disconnect": 5, "allow_kasm_uploads": False}}
    await user.change(class_, **tighter)
    assert (await user.put(f"{class_}/users/{pupil}")).status_code == 204
    own_image = next(image for image in desktop if image["friendly_name"] == "Desktop")
    assert (await user.put(f"{class_}/images/{own_image['image_id']}")).status_code == 204
    assert (await admin.patch(class_, json={"priority": 1, "settings": {"allow_kasm_downloads": True}})).is_success


async def test_a_program_cannot_log_out_a_user_above_it(admin: Client, with_key: MakeClient, user: Client, boss: str):
    ordinary = await id_of(admin, "user@greenroom.local")
    program = await with_key("users_auth_session", "user")

    async def log_out(user_id: str) -> int:
        return (await program.post("/api/public/logout_user", json={"target_user": {"user_id": user_id}})).status_code

    assert await log_out(boss) == 403
    assert await log_out(ordinary) == 200
    assert (await user.get("/api/v1/me")).status_code == 401


async def test_the_last_administrator_cannot_be_lost(admin: Client, boss: str):
    administrators = next(g for g in await admin.read("/api/v1/groups") if g["name"] == "Administrators")
    group, user = f"/api/v1/groups/{administrators['group_id']}", f"/api/v1/users/{boss}"
    for what, body in (
        (f"DELETE {user}", None),
        (f"PATCH {user}", {"disabled": True}),
        (f"PATCH {user}", {"groups": []}),
        (f"DELETE {group}/users/{boss}", None),
        (f"PATCH {group}", {"permissions": ["user"]}),
    ):
        assert "would leave no administrator" in await admin.refused(409, what, body)
    await admin.refused(409, f"DELETE {group}")
    second = await new_group(admin, "Second", "global_admin", members=(boss,))
    assert (await admin.delete(f"{group}/users/{boss}")).status_code == 204
    assert "would leave no administrator" in await admin.refused(409, f"DELETE /api/v1/groups/{second}")


async def test_two_administrators_cannot_remove_each_other_at_the_same_time(admin: Client, boss: str):
    administrators = next(g for g in await admin.read("/api/v1/groups") if g["name"] == "Administrators")
    address = f"/api/v1/groups/{administrators['group_id']}/users"
    for round_ in range(5):
        body = {"username": f"second{round_}", "password": "quite ordinary", "groups": [administrators["group_id"]]}
        second = (await admin.make("/api/v1/users", **body))["user_id"]
        answers = await asyncio.gather(admin.delete(f"{address}/{boss}"), admin.delete(f"{address}/{second}"))
        assert sorted(answer.status_code for answer in answers) == [204, 409]
        await admin.put(f"{address}/{boss}")
        await admin.delete(f"{address}/{second}")


# API keys ---------------------------------------------------------------------------------------------------------


async def own_key(browser: Client, connect: MakeClient, *permissions: str, **fields: object) -> Client:
    made = await browser.make("/api/v1/api-keys", name="mine", permissions=list(permissions), **fields)
    return await connect((made["api_key"], made["api_key_secret"]))


@pytest.fixture
async def maker(admin: Client, user: Client) -> Client:
    """An ordinary user with the permissions to create keys and to see zones; the group is `Makers`."""
    ordinary = await id_of(admin, "user@greenroom.local")
    codes = ("devapi_view", "devapi_create", "devapi_modify", "zones_view")
    await new_group(admin, "Makers", *codes, members=(ordinary,))
    return user


async def test_a_key_may_never_more_than_who_made_it(admin: Client, maker: Client, connect: MakeClient):
    refused = await maker.post("/api/v1/api-keys", json={"name": "x", "permissions": ["zones_view", "zones_modify"]})
    assert (refused.status_code, refused.json()["required"]) == (403, ["zones_modify"])
    key = await own_key(maker, connect, "zones_view")
    assert (await key.get("/api/v1/zones")).status_code == 200
    makers = next(g for g in await admin.read("/api/v1/groups") if g["name"] == "Makers")
    codes = {"permissions": ["devapi_create"]}
    await admin.change(f"/api/v1/groups/{makers['group_id']}", **codes)
    assert (await key.get("/api/v1/zones")).status_code == 403, "what its owner lost, the key lost"


async def test_a_key_with_more_permissions_than_the_caller_keeps_them(admin: Client, maker: Client):
    made = await admin.make("/api/v1/api-keys", name="deploy", permissions=["zones_view", "zones_modify"])
    path = f"/api/v1/api-keys/{made['key_id']}"
    refused = await maker.patch(path, json={"permissions": []})
    assert (refused.status_code, refused.json()["required"]) == (403, ["zones_modify"])
    assert (await maker.patch(path, json={"enabled": False})).status_code == 200


async def test_a_key_made_by_a_key_belongs_to_the_same_user(admin: Client, maker: Client, connect: MakeClient):
    key = await own_key(maker, connect, "devapi_create", "zones_view")
    refused = await key.post("/api/v1/api-keys", json={"name": "x", "permissions": ["devapi_view"]})
    assert refused.status_code == 403
    child = await own_key(key, connect, "zones_view")
    assert (await child.get("/api/v1/zones")).status_code == 200
    ordinary = await id_of(admin, "user@greenroom.local")
    await admin.patch(f"/api/v1/users/{ordinary}", json={"disabled": True})
    assert (await child.get("/api/v1/zones")).status_code == 401


async def test_keys_stop_with_their_owner(admin: Client, maker: Client, connect: MakeClient):
    key = await own_key(maker, connect, "zones_view")
    ordinary = await id_of(admin, "user@greenroom.local")
    for change, status in (({"locked": True}, 401), ({"locked": False}, 200), ({"disabled": True}, 401)):
        await admin.patch(f"/api/v1/users/{ordinary}", json=change)
        assert (await key.get("/api/v1/zones")).status_code == status, change
    assert (await admin.delete(f"/api/v1/users/{ordinary}")).status_code == 204
    assert (await key.get("/api/v1/zones")).status_code == 401
    left = next(k for k in await admin.read("/api/v1/api-keys") if k["name"] == "mine")
    assert (left["enabled"], left["owner"], left["valid"]) == (False, None, False)


async def test_only_who_has_them_enables_a_key_with_permissions(
    admin: Client, maker: Client, connect: MakeClient, with_key: MakeClient
):
    strong = await admin.make("/api/v1/api-keys", name="s", permissions=["zones_modify"])
    address = f"/api/v1/api-keys/{strong['key_id']}"
    assert (await maker.patch(address, json={"enabled": False})).status_code == 200, "taking away is allowed"
    for change in ({"enabled": True}, {"name": "mine"}, {"expires": "2999-01-01T00:00:00Z"}, {"read_only": False}):
        refused = await maker.patch(address, json=change)
        assert refused.status_code == (200 if change == {"read_only": False} else 403), change


async def test_a_key_that_ends_makes_none_that_lives_longer(admin: Client, connect: MakeClient):
    end = datetime.now(UTC) + timedelta(hours=1)
    made = await admin.post(
        "/api/v1/api-keys",
        json={"name": "short", "permissions": ["devapi_create", "devapi_modify"], "expires": end.isoformat()},
    )
    short = await connect((made.json()["api_key"], made.json()["api_key_secret"]))
    later = (end + timedelta(hours=1)).isoformat()
    for expires in (None, later):
        refused = await short.post("/api/v1/api-keys", json={"name": "x", "permissions": [], "expires": expires})
        assert refused.status_code == 403, expires
    sooner = (end - timedelta(minutes=1)).isoformat()
    assert (await short.post("/api/v1/api-keys", json={"name": "x", "expires": sooner})).status_code == 201
    own = await short.patch(f"/api/v1/api-keys/{made.json()['key_id']}", json={"expires": later})
    assert own.status_code == 403


async def test_the_first_key_has_no_owner_and_keeps_every_permission(
    admin: Client, db: Database, boss: str, logged_in: MakeClient
):
    await admin.post("/api/v1/users", json={"username": "second", "password": "quite ordinary"})
    second = await id_of(admin, "second")
    administrators = next(g for g in await admin.read("/api/v1/groups") if g["name"] == "Administrators")
    await admin.put(f"/api/v1/groups/{administrators['group_id']}/users/{second}")
    assert (await admin.delete(f"/api/v1/users/{boss}")).status_code == 204
    assert (await admin.get("/api/v1/zones")).status_code == 200


async def test_only_callers_with_all_permissions_of_a_key_delete_it(
    admin: Client, maker: Client, connect: MakeClient, with_key: MakeClient
):
    deleter = await with_key("devapi_delete", "zones_view")
    strong = await admin.make("/api/v1/api-keys", name="deploy", permissions=["zones_view", "zones_modify"])
    refused = await deleter.delete(f"/api/v1/api-keys/{strong['key_id']}")
    assert (refused.status_code, refused.json()["required"]) == (403, ["zones_modify"])
    reduced = await admin.make("/api/v1/api-keys", name="sees", permissions=["zones_view", "zones_modify"])
    await admin.change(f"/api/v1/api-keys/{reduced['key_id']}", read_only=True)
    assert (await deleter.delete(f"/api/v1/api-keys/{reduced['key_id']}")).status_code == 204
    lost = await maker.make("/api/v1/api-keys", name="mine", permissions=["zones_view", "devapi_view"])
    makers = next(g for g in await admin.read("/api/v1/groups") if g["name"] == "Makers")
    await admin.change(f"/api/v1/groups/{makers['group_id']}", permissions=["devapi_delete"])
    own = await maker.delete(f"/api/v1/api-keys/{lost['key_id']}")
    assert own.status_code == 204, "the key has in effect no permission that its owner lacks"


async def test_only_administrators_change_or_delete_the_first_key(admin: Client, with_key: MakeClient):
    first = f"/api/v1/api-keys/{KEY[0]}"
    await admin.change(first, name="First", permissions=["global_admin", "user"])
    every_other = await with_key(*(code for code in PERMISSIONS if code != "global_admin"))
    answers = [
        await every_other.patch(first, json={"enabled": False}),
        await every_other.patch(first, json={"expires": "2001-01-01T00:00:00Z"}),
        await every_other.post(f"{first}/rotate", json={"overlap_s": 0}),
        await every_other.delete(first),
    ]
    assert [(each.status_code, each.json()["required"]) for each in answers] == [(403, ["global_admin"])] * 4
    administrator = await with_key("global_admin")
    assert (await administrator.delete(first)).status_code == 204


async def test_last_used_is_written_once_a_minute(admin: Client, db: Database, with_key: MakeClient):
    async def used() -> object:
        return await db.fetch_one("SELECT last_used, xmin::text FROM api_keys WHERE name = 'test'")

    key = await with_key("zones_view")
    assert (await db.fetch_one("SELECT last_used FROM api_keys WHERE name = 'test'")) == {"last_used": None}
    await key.get("/api/v1/zones")
    first = await used()
    await key.get("/api/v1/zones")
    assert await used() == first
    await db.write("UPDATE api_keys SET last_used = last_used - interval '61 s'")
    await key.get("/api/v1/zones")
    assert await used() != first
