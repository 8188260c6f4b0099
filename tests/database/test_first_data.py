"""The initial data of a new installation."""

from __future__ import annotations

import asyncio

from greenroom.api.catalogue.service import picture_address
from greenroom.core.access.accounts import ADMIN
from greenroom.core.access.group_settings import permissions_of, resolve
from greenroom.core.access.permissions import allows
from greenroom.db.access.api_keys import find_key
from greenroom.db.access.groups import groups_of_user
from greenroom.db.access.users import ALL_USERS, find_user
from greenroom.db.database import Database
from greenroom.db.launch.ledger import read_user_of_launcher, read_workspace_supply
from greenroom.db.workspace.images import list_images
from greenroom.recipes import shelf
from greenroom.up.installation import ensure_first_data


async def make(db: Database, key_id: str = "abcdefghijkl") -> bool:
    return await ensure_first_data(
        db, image="greenroom/desktop:xfce", admin_password_hash="$argon2id$x", key_id=key_id, key_secret_hash=b"x" * 32
    )


async def test_the_first_administrator_may_do_everything(db: Database):
    assert await make(db)
    admin = await find_user(db, ADMIN.upper())
    assert admin is not None
    assert admin.password_once
    assert allows(admin.permissions, {"zones_modify", "user"})
    assert {group.group_id for group in admin.groups} >= {ALL_USERS}


async def test_everybody_has_the_eight_permissions_and_the_desktop(db: Database):
    await make(db)
    admin = await find_user(db, ADMIN)
    assert admin is not None
    assert all(permissions_of(resolve(await groups_of_user(db, admin.user_id))).values())
    offer = await read_workspace_supply(db)
    allowed = (await read_user_of_launcher(db, admin.user_id)).image_ids
    assert [offer.workspaces[image_id].image.friendly_name for image_id in allowed] == ["Desktop"]
    assert [offer.workspaces[image_id].image_src for image_id in allowed] == [picture_address("desktop")]
    assert "desktop" in {recipe.name for recipe in shelf.all_recipes()}


async def test_a_second_time_changes_nothing_and_deleted_things_stay_deleted(db: Database):
    await make(db)
    await db.write("DELETE FROM images")
    assert not await make(db, "otherkey1234")
    assert (await list_images(db)).rows == []
    assert await find_key(db, "otherkey1234") is None


async def test_of_concurrent_starters_one_makes_it(db: Database):
    assert sorted(await asyncio.gather(*(make(db) for _ in range(4)))) == [False, False, False, True]
