"""What a person may choose when launching."""

from __future__ import annotations

from psycopg.rows import DictRow

from greenroom.db.database import Database


async def list_zones(db: Database) -> list[DictRow]:
    """Every zone by name."""
    return await db.fetch("SELECT zone_id, zone_name FROM zones ORDER BY lower(zone_name)")


async def list_images_with_profile(db: Database) -> list[str]:
    """Enabled images that have a persistent profile path."""
    rows = await db.fetch(
        "SELECT image_id::text FROM images WHERE enabled AND coalesce(persistent_profile_path, '') <> ''"
        " ORDER BY lower(friendly_name)"
    )
    return [row["image_id"] for row in rows]
