"""The id of the installation and its stored settings, which `greenroom.core.installation` defines."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from greenroom.db.database import Connection, Database


async def installation_id(db: Database) -> str:
    """Return the id of the installation, which is a label of each container."""
    row = await db.fetch_one("SELECT installation_id FROM installation")
    assert row is not None, "the first migration inserts the row"  # noqa: S101
    return str(row["installation_id"])


async def stored_settings(db: Database) -> dict[str, Any]:
    """Return name → value of the settings that were changed."""
    return {row["name"]: row["value"] for row in await db.fetch("SELECT name, value FROM settings")}


async def change_installation_settings(connection: Connection, changes: dict[str, Any]) -> None:
    """Set each setting to its value; None restores the default."""
    for name, value in sorted(changes.items()):
        if value is None:
            await connection.execute("DELETE FROM settings WHERE name = %s", (name,))
        else:
            await connection.execute(
                "INSERT INTO settings (name, value) VALUES (%s, %s)"
                " ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value, updated = now()",
                (name, Jsonb(value)),
            )


async def find_logo(db: Database) -> bytes | None:
    """Return the logo of the installation, as WebP; None if there is none."""
    row = await db.fetch_one("SELECT content FROM installation_logo")
    return bytes(row["content"]) if row else None


async def logo_version(db: Database) -> str | None:
    """Return a word that changes with the logo; None if there is no logo."""
    row = await db.fetch_one("SELECT left(md5(content), 12) AS version FROM installation_logo")
    return str(row["version"]) if row else None


async def change_logo(connection: Connection, logo: bytes | None) -> None:
    """Store the logo of the installation, as WebP; None removes it."""
    if logo is None:
        await connection.execute("DELETE FROM installation_logo")
    else:
        await connection.execute(
            "INSERT INTO installation_logo (content) VALUES (%s)"
            " ON CONFLICT (only_row) DO UPDATE SET content = excluded.content",
            (logo,),
        )
