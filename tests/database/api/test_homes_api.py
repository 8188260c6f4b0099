"""The permissions to list and delete homes, and the answers."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from tests.database.api.client import Client, MakeClient

from greenroom.api.access.accounts import delete_homes_of_deleted_users
from greenroom.db.database import Database

AGENT = (
    "INSERT INTO agents (zone_id, hostname, credential_hash, status) SELECT zone_id, 'host-1', '', 'running' FROM zones"
)
HOME = (
    "INSERT INTO homes (agent_id, user_id, image_id, size_bytes) SELECT agent_id, user_id, image_id, 4096"
    " FROM agents, users, images WHERE username = %s RETURNING home_id::text"
)


@pytest.fixture
async def ada(with_user: MakeClient) -> Client:
    return await with_user("ada")


@pytest.fixture
async def bob(with_user: MakeClient) -> Client:
    return await with_user("bob")


@pytest.fixture
async def ids(db: Database, ada: Client, bob: Client) -> dict[str, str]:
    """The ids of the homes of both users."""
    await db.write(AGENT)
    return {name: (await db.write(HOME, (name,)))[0]["home_id"] for name in ("ada", "bob")}


async def test_users_see_and_delete_their_own(admin: Client, ada: Client, ids: dict[str, str]):
    own = await ada.only("/api/v1/homes")
    assert (own["home_id"], own["username"], own["size_bytes"]) == (ids["ada"], "ada", 4096)
    assert (own["hostname"], own["agent_id"]) == (None, None), "users do not see machines"
    bobs = (await admin.only("/api/v1/homes?q=user:bob"))["user_id"]
    await ada.refused(403, f"GET /api/v1/homes?user_id={bobs}")
    for method in ("GET", "DELETE"):
        await ada.refused(404, f"{method} /api/v1/homes/{ids['bob']}")
    answer = await ada.delete(f"/api/v1/homes/{ids['ada']}")
    assert answer.status_code == 202
    assert (answer.json()["state"], answer.json()["remark"]) == ("deleting", "It is being deleted.")


async def test_homes_of_deleted_users_are_deleted_after_the_set_time(
    admin: Client, app: FastAPI, db: Database, ids: dict[str, str]
):
    await db.write("UPDATE homes SET last_used = last_used - interval '30 days'")
    user_id = (await admin.read(f"/api/v1/homes/{ids['ada']}"))["user_id"]
    assert (await admin.delete(f"/api/v1/users/{user_id}")).status_code == 204
    for days, requested in ((0, []), (40, []), (20, ["ada"])):
        await delete_homes_of_deleted_users(db, days, app.state.logs)
        rows = await db.fetch("SELECT home_id::text FROM homes WHERE removal_id IS NOT NULL")
        assert [row["home_id"] for row in rows] == [ids[name] for name in requested]


async def test_with_the_permission_those_of_everybody_page_by_page(
    admin: Client, with_key: MakeClient, ids: dict[str, str]
):
    viewer = await with_key("homes_view")
    assert [home["username"] for home in await viewer.pages("/api/v1/homes", limit=1, sort="-user")] == ["bob", "ada"]
    assert (await admin.only("/api/v1/homes", q="ada"))["hostname"] == "host-1"
    assert (await viewer.get("/api/v1/homes?count=true")).headers["X-Total-Count"] == "2"
    await viewer.refused(403, f"DELETE /api/v1/homes/{ids['bob']}")
    await (await with_key("images_view")).refused(403, "GET /api/v1/homes")
    said = (await viewer.read(f"/api/v1/homes/{ids['bob']}"))["loss"]
    assert said == "All files that bob has in the home folder of Desktop are deleted permanently."


async def test_a_deletion_that_has_to_wait_says_for_what(db: Database, admin: Client, ids: dict[str, str]):
    await db.write("UPDATE agents SET status = 'missing'")
    answer = await admin.delete(f"/api/v1/homes/{ids['bob']}")
    assert answer.json()["remark"].startswith("It is deleted when its Agent returns")
    assert (await admin.delete(f"/api/v1/homes/{ids['bob']}")).status_code == 202
    await db.write("DELETE FROM homes WHERE home_id = %s", (ids["bob"],))
    await admin.refused(404, f"DELETE /api/v1/homes/{ids['bob']}")
