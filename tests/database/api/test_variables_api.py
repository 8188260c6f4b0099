"""Variables are encrypted in the database, returned to users who may change them, and sent only to the Agent."""

from __future__ import annotations

from typing import Any, Final, LiteralString
from uuid import UUID

from psycopg import sql
from tests.database.api.client import Client, MakeClient
from tests.support import rows

from greenroom.core.masking import MASK
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.kit.secrets import SEALED

CANARY: Final = "canary-of-a-variable"
VARIABLES: Final = {"environment": {"TOKEN": CANARY}}
TABLES: Final[LiteralString] = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


async def in_tables(db: Database, text: str) -> list[str]:
    """The tables that contain this text, as in a dump of the database."""
    found: list[str] = []
    for row in await db.fetch(TABLES):
        table = sql.Identifier(row["tablename"])
        async with db.transaction() as connection:
            query = sql.SQL("SELECT 1 FROM {} t WHERE t::text LIKE %s LIMIT 1").format(table)
            if await (await connection.execute(query, (f"%{text}%",))).fetchone() is not None:
                found.append(row["tablename"])
    return found


async def make_image(admin: Client) -> dict[str, Any]:
    body = {
        "name": "a:1",
        "friendly_name": "A",
        "run_config": VARIABLES,
        "exec_config": {"go": {"cmd": "x", **VARIABLES}},
    }
    made = await admin.post("/api/v1/images", json=body)
    assert made.status_code == 201, made.text
    return made.json()


async def test_no_variable_stands_in_the_database(admin: Client, db: Database):
    image = await make_image(admin)
    group = await admin.post("/api/v1/groups", json={"name": "Lab", "settings": {"run_config": VARIABLES}})
    assert group.json()["settings"]["run_config"] == VARIABLES
    (zone,) = await db.fetch("SELECT zone_id::text FROM zones")
    await rows.agent(db, zone["zone_id"], image="a:1")
    user_id = (await admin.read("/api/v1/users"))[0]["user_id"]
    asked = {"user_id": user_id, "image_id": image["image_id"], **VARIABLES}
    key = {"Idempotency-Key": "again"}
    launched = [await admin.post("/api/v1/sessions", json=asked, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in launched] == [202, 202]
    assert launched[0].json()["session_id"] == launched[1].json()["session_id"], "the same request, sealed alike"
    await admin.post(
        f"/api/v1/sessions/{launched[0].json()['session_id']}/commands", json={"command": ["id"], **VARIABLES}
    )
    assert await in_tables(db, CANARY) == []
    assert {"images", "group_settings", "sessions"} <= set(await in_tables(db, SEALED))


async def test_values_are_shown_to_editors_and_a_returned_mask_keeps_them(
    admin: Client, with_key: MakeClient, db: Database
):
    image = await make_image(admin)
    path = f"/api/v1/images/{UUID(image['image_id'])}"
    assert image["run_config"] == VARIABLES
    seen = (await (await with_key("images_view")).get(path)).json()
    assert seen["run_config"] == {"environment": {"TOKEN": MASK}}
    assert seen["exec_config"]["go"]["environment"] == {"TOKEN": MASK}
    revision = "SELECT revision, run_config FROM images WHERE image_id = %s"
    before = await db.fetch_one(revision, (image["image_id"],))
    again = {"run_config": seen["run_config"], "exec_config": seen["exec_config"]}
    assert (await admin.change(path, **again))["run_config"] == VARIABLES
    assert (await admin.change(path, run_config=VARIABLES))["run_config"] == VARIABLES
    assert await db.fetch_one(revision, (image["image_id"],)) == before, "no staged session is replaced"
    more = {"environment": {"TOKEN": MASK, "NEW": MASK}}
    assert "Set its value" in await admin.refused(422, f"PATCH {path}", {"run_config": more})


async def test_members_of_all_users_do_not_see_container_settings(admin: Client, db: Database, user: Client):
    await admin.patch(f"/api/v1/groups/{ALL_USERS}", json={"settings": {"run_config": VARIABLES, "idle_disconnect": 7}})
    await db.write(
        "UPDATE groups SET permissions = permissions || '{groups_view_ifmember}' WHERE group_id = %s", (ALL_USERS,)
    )
    (group,) = await user.read("/api/v1/groups")
    assert group["settings"]["idle_disconnect"] == 7
    assert "run_config" not in group["settings"]
