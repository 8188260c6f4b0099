"""What a new installation begins with: two groups, an administrator, an API key, the workspace `Desktop`."""

from __future__ import annotations

from typing import Final

from psycopg.types.json import Jsonb

from greenroom.core.permissions import GLOBAL_ADMIN, USER
from greenroom.core.settings import STAGED_PERMISSIONS
from greenroom.db.database import Connection, Database, returned
from greenroom.db.groups import change_settings
from greenroom.db.keys import insert_key
from greenroom.db.users import ALL_USERS, add_to_group, insert_user

ADMIN: Final = "admin@greenroom.local"
"""Name of the first administrator."""

DESKTOP: Final = "Desktop"
"""Friendly name of the first workspace."""


async def has_first_data(db: Database) -> bool:
    """Whether the first data were made; the database may be empty still, or of any version."""
    tables = await db.fetch_one("SELECT to_regclass('groups') IS NOT NULL AS there")
    if tables is None or not tables["there"]:
        return False
    return await db.fetch_one("SELECT 1 FROM groups WHERE group_id = %s", (ALL_USERS,)) is not None


async def ensure_first_data(
    db: Database,
    *,
    image: str,
    admin_password_hash: str,
    key_id: str,
    key_secret_hash: bytes,
    reachable: bool = False,
) -> bool:
    """Make the first data unless it was made before; True = made now, with this password and this key.

    All in one transaction, and never a second time: what an administrator deleted stays deleted. The caller stores
    password and secret *before* the call, so that a crash in between loses nothing.

    Args:
        db: migrated.
        image: reference of the desktop image, e.g. `greenroom/desktop:xfce`.
        admin_password_hash: argon2id of the one-time password (`greenroom.kit.passwords.hash_password`).
        key_id: public half of the API key with every permission.
        key_secret_hash: sha256 of its secret half (`greenroom.kit.secrets.hashed`).
        reachable: from other machines; the one-time password then has to be changed before it is of any use.
    """
    async with db.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(76, 0)")
        cursor = await connection.execute("SELECT 1 FROM groups WHERE group_id = %s", (ALL_USERS,))
        if await cursor.fetchone() is not None:
            return False
        administrators = await _groups(connection)
        admin = await insert_user(connection, ADMIN, password_hash=admin_password_hash, password_once=True)
        await add_to_group(connection, admin, administrators)
        await insert_key(
            connection,
            key_id=key_id,
            secret_hash=key_secret_hash,
            name="First key of the installation",
            permissions=[GLOBAL_ADMIN, USER],
        )
        await _desktop(connection, image)
        if reachable:
            await connection.execute(
                "INSERT INTO settings (name, value) VALUES ('require_password_change', 'true') ON CONFLICT DO NOTHING"
            )
    return True


async def _groups(connection: Connection) -> str:
    """Make both system groups; returns the id of Administrators."""
    await connection.execute(
        "INSERT INTO groups (group_id, name, description, priority, is_system, permissions)"
        " VALUES (%s, 'All Users', 'Everybody', 1000, true, %s)",
        (ALL_USERS, [USER]),
    )
    await change_settings(connection, ALL_USERS, dict.fromkeys(STAGED_PERMISSIONS, True))
    cursor = await connection.execute(
        "INSERT INTO groups (name, description, priority, is_system, permissions)"
        " VALUES ('Administrators', 'May do everything', 1, true, %s) RETURNING group_id",
        ([GLOBAL_ADMIN],),
    )
    return str((await returned(cursor))["group_id"])


async def _desktop(connection: Connection, image: str) -> None:
    """0.1 core and 256 MB reserved, 1 GiB at most (DESIGN "Docker"), for All Users."""
    cursor = await connection.execute(
        "INSERT INTO images (name, friendly_name, description, cores, memory, memory_limit, categories)"
        " VALUES (%s, %s, 'A Linux desktop', 0.1, 256000000, %s, %s) RETURNING image_id",
        (image, DESKTOP, 1 << 30, Jsonb(["Desktop"])),
    )
    image_id = (await returned(cursor))["image_id"]
    await connection.execute("INSERT INTO group_images (group_id, image_id) VALUES (%s, %s)", (ALL_USERS, image_id))
