"""The preferences of users, and their SSH keys."""

from __future__ import annotations

import uuid

import pytest
from tests.database.api.client import Client, MakeClient

from greenroom.api.access.accounts import default_image_of
from greenroom.core.errors import Invalid
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.kit.secrets import Secrets
from greenroom.kit.ssh_keys import is_same_key, new_key_pair, parse_private_key

OWN = "/api/v1/me/attributes"
PAIR, OTHER = new_key_pair("ada"), new_key_pair("bob")


async def stored_key(db: Database) -> str | None:
    row = await db.fetch_one("SELECT ssh_private_key_encrypted AS key FROM user_attributes")
    return Secrets(bytes(32)).decrypt(row["key"]) if row and row["key"] else None


async def test_attributes_begin_unset_and_change_one_by_one(user: Client):
    begin = await user.read(OWN)
    assert (begin.pop("favorite_images"), begin.pop("lists")) == ([], {})
    assert [value for name, value in begin.items() if name not in ("user_id", "has_ssh_private_key")] == [None] * 7
    changed = await user.patch(OWN, json={"preferred_language": "de_DE.UTF-8", "theme": "dark", "density": "compact"})
    assert changed.status_code == 200, changed.text
    await user.change(OWN, preferred_timezone="Europe/Berlin")
    now = await user.read(OWN)
    assert (now["preferred_language"], now["preferred_timezone"], now["theme"]) == ("de-DE", "Europe/Berlin", "dark")
    cleared = await user.change(OWN, theme=None)
    assert (cleared["theme"], cleared["density"], cleared["preferred_language"]) == (None, "compact", "de-DE")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"preferred_language": "klingon"}, "no such language"),
        ({"preferred_timezone": "Mars/Olympus"}, "no such time zone"),
        ({"preferred_timezone": "../../etc/passwd"}, "no such time zone"),
        ({"theme": "pink"}, "theme"),
        ({"density": "dense"}, "density"),
        ({"times": "exact"}, "times"),
        ({"lists": {"A list": {}}}, "the name of a list"),
        ({"lists": {"users": {"columns": ["a b"]}}}, "the name of a column"),
        ({"lists": {"users": {"views": [{"name": " ", "query": ""}]}}}, "name"),
        ({"lists": {"users": {"views": [{"name": "a", "query": "q" * 501}]}}}, "query"),
        ({"lists": {"users": {"views": [{"name": "a", "query": ""}] * 2}}}, "two views have the same name"),
        ({"lists": {"users": {"views": [{"name": str(n), "query": ""} for n in range(21)]}}}, "views"),
        ({"lists": {f"l{n}": {} for n in range(61)}}, "lists"),
        ({"default_image": str(uuid.UUID(int=1))}, "no workspace"),
        ({"ssh_public_key": "ssh-rsa nonsense"}, "is not an OpenSSH public key"),
        ({"ssh_private_key": "nonsense"}, "is not a private key"),
        ({"ssh_public_key": OTHER.public, "ssh_private_key": PAIR.private}, "does not belong"),
        ({"shell": "zsh"}, "shell"),
    ],
)
async def test_what_cannot_be_is_refused_in_words(user: Client, db: Database, change: dict[str, str], words: str):
    answer = await user.patch(OWN, json=change)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert await db.fetch("SELECT 1 FROM user_attributes WHERE ssh_public_key IS NOT NULL", {}) == []


async def test_favorite_workspaces_keep_their_order(user: Client):
    ids = [str(uuid.UUID(int=number)) for number in (3, 1, 2)]
    assert (await user.change(OWN, favorite_images=[*ids, ids[0]]))["favorite_images"] == ids
    await user.change(OWN, theme="dark")
    assert (await user.read(OWN))["favorite_images"] == ids
    assert (await user.patch(OWN, json={"favorite_images": ids * 34})).status_code == 422


async def test_choices_for_one_list_leave_those_for_others(user: Client):
    view = {"name": "Slow ones", "query": "q=status%3Arunning&sort=-created"}
    await user.change(OWN, lists={"users": {"columns": ["username", "status"]}, "sessions": {"views": [view]}})
    assert (await user.read(OWN))["lists"] == {
        "users": {"columns": ["username", "status"], "views": [], "dismissed": []},
        "sessions": {"columns": None, "views": [view], "dismissed": []},
    }
    after = await user.change(OWN, lists={"users": {}, "first-steps": {"dismissed": ["backup"]}}, times="absolute")
    assert after["lists"] == {
        "sessions": {"columns": None, "views": [view], "dismissed": []},
        "first-steps": {"columns": None, "views": [], "dismissed": ["backup"]},
    }, "a list without choices is removed"
    assert after["times"] == "absolute"


async def test_the_number_of_lists_with_choices_is_limited(user: Client):
    choices = {"columns": ["name"]}
    await user.change(OWN, lists={f"a{number}": choices for number in range(60)})
    answer = await user.patch(OWN, json={"lists": {"b": choices}})
    assert (answer.status_code, "at most 60" in answer.json()["detail"]) == (422, True)
    await user.change(OWN, lists={"a1": {}})
    await user.change(OWN, lists={"b": choices})


async def test_the_private_key_goes_in_and_never_comes_out(user: Client, admin: Client, db: Database):
    answer = await user.patch(OWN, json={"ssh_private_key": PAIR.private})
    assert answer.status_code == 200, answer.text
    assert answer.json()["has_ssh_private_key"] is True
    assert is_same_key(answer.json()["ssh_public_key"], PAIR.public)
    stored = await stored_key(db)
    assert stored is not None
    assert is_same_key(parse_private_key(stored).public, PAIR.public)
    (raw,) = await db.fetch("SELECT ssh_private_key_encrypted::bytea AS key FROM user_attributes")
    assert b"PRIVATE KEY" not in bytes(raw["key"])
    user_id = answer.json()["user_id"]
    body = PAIR.private.splitlines()[1]
    for shown in (
        await user.get(OWN),
        await admin.get(f"/api/v1/users/{user_id}/attributes"),
        await admin.get(f"/api/v1/users/{user_id}"),
        await user.get("/api/v1/me"),
    ):
        assert shown.status_code == 200
        assert body not in shown.text


async def test_both_keys_are_one_pair(user: Client, db: Database):
    await user.patch(OWN, json={"ssh_private_key": PAIR.private})
    refused = await user.patch(OWN, json={"ssh_public_key": OTHER.public})
    assert (refused.status_code, "belongs to another" in refused.json()["detail"]) == (422, True)
    renamed = await user.change(OWN, ssh_public_key=PAIR.public + " renamed")
    assert (renamed["ssh_public_key"].endswith("renamed"), renamed["has_ssh_private_key"]) == (True, True)
    public_only = await user.change(OWN, ssh_public_key=OTHER.public, ssh_private_key=None)
    assert (public_only["ssh_public_key"], public_only["has_ssh_private_key"]) == (OTHER.public, False)
    await user.patch(OWN, json={"ssh_private_key": PAIR.private})
    gone = await user.change(OWN, ssh_public_key=None)
    assert (gone["ssh_public_key"], gone["has_ssh_private_key"]) == (None, False)
    assert await stored_key(db) is None


async def test_a_pair_is_made_for_a_user_without_one(user: Client, admin: Client, db: Database):
    first = (await user.post("/api/v1/me/ssh-key")).json()
    assert first["ssh_public_key"].startswith("ssh-ed25519 ")
    assert first["ssh_public_key"].endswith(" user@greenroom.local")
    key = await stored_key(db)
    assert key is not None
    assert is_same_key(parse_private_key(key).public, first["ssh_public_key"])
    second = (await admin.post(f"/api/v1/users/{first['user_id']}/ssh-key")).json()
    assert second["ssh_public_key"] != first["ssh_public_key"]


async def test_others_need_the_permission_and_cannot_change_users_above_them(
    user: Client, admin: Client, with_key: MakeClient
):
    me = await user.own_id()
    boss = next(u for u in await admin.read("/api/v1/users") if u["user_id"] != me)["user_id"]
    helpdesk = await with_key("users_view", "users_modify")
    assert (await user.get(f"/api/v1/users/{boss}/attributes")).status_code == 403
    changed = await helpdesk.patch(f"/api/v1/users/{me}/attributes", json={"preferred_language": "fr"})
    assert (changed.status_code, changed.json()["preferred_language"]) == (200, "fr")
    for refused in (
        await helpdesk.patch(f"/api/v1/users/{boss}/attributes", json={"ssh_private_key": PAIR.private}),
        await helpdesk.post(f"/api/v1/users/{boss}/ssh-key"),
    ):
        assert (refused.status_code, refused.json()["required"]) == (403, ["users_modify_admin"])


async def test_attributes_leave_with_their_user(user: Client, admin: Client, db: Database):
    me = (await user.change(OWN, theme="light"))["user_id"]
    assert (await admin.delete(f"/api/v1/users/{me}")).status_code == 204
    assert await db.fetch("SELECT 1 FROM user_attributes", {}) == []
    assert (await admin.get(f"/api/v1/users/{me}/attributes")).status_code == 404


# The default workspace ------------------------------------------------------------------------------------------


async def test_the_own_default_workspace_comes_before_that_of_the_groups(user: Client, admin: Client, db: Database):
    me = await user.own_id()
    with pytest.raises(Invalid, match="no default workspace"):
        await default_image_of(db, me)
    desktop = (await admin.read("/api/v1/images"))[0]["image_id"]
    other = (await admin.make("/api/v1/images", name="editor:1", friendly_name="Editor"))["image_id"]
    settings = {"settings": {"default_image": "Editor"}}
    saved = await admin.patch(f"/api/v1/groups/{ALL_USERS}", json=settings)
    assert saved.json()["settings"]["default_image"] == other, "stored by id: a renamed workspace stays the default"
    assert await default_image_of(db, me) == other
    await user.change(OWN, default_image=desktop)
    assert await default_image_of(db, me) == desktop
    assert "Nonsense" in await admin.refused(
        422, f"PATCH /api/v1/groups/{ALL_USERS}", {"settings": {"default_image": "Nonsense"}}
    )


async def test_a_deleted_default_workspace_is_none(user: Client, admin: Client, db: Database):
    me = await user.own_id()
    other = (await admin.make("/api/v1/images", name="editor:1", friendly_name="Editor"))["image_id"]
    await admin.patch(f"/api/v1/groups/{ALL_USERS}", json={"settings": {"default_image": other}})
    await user.patch(OWN, json={"default_image": other})
    assert (await admin.delete(f"/api/v1/images/{other}")).status_code == 204
    assert (await user.read(OWN))["default_image"] is None
    with pytest.raises(Invalid, match="was deleted"):
        await default_image_of(db, me)


async def test_a_launch_without_a_workspace_starts_the_default_one(user: Client, admin: Client, agent: str):
    assert "no default workspace" in await user.refused(422, "POST /api/v1/sessions", {})
    desktop = (await admin.read("/api/v1/images"))[0]["image_id"]
    await user.patch(OWN, json={"default_image": desktop})
    assert (await user.launch())["image_id"] == desktop
