"""The stored settings of the installation (`greenroom.core.installation` says which exist)."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from greenroom.db.database import Database


async def stored_settings(db: Database) -> dict[str, Any]:
    """name → value of those that were set."""
    return {row["name"]: row["value"] for row in await db.fetch("SELECT name, value FROM settings")}


async def change_settings(db: Database, changes: dict[str, Any]) -> None:
    """Set each name to its value; None removes it, so that the default holds."""
    async with db.transaction() as connection:
        for name, value in sorted(changes.items()):
            if value is None:
                await connection.execute("DELETE FROM settings WHERE name = %s", (name,))
            else:
                await connection.execute(
                    "INSERT INTO settings (name, value) VALUES (%s, %s)"
                    " ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value, updated = now()",
                    (name, Jsonb(value)),
                )
