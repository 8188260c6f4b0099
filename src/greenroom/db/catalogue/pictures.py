"""The pictures of workspaces that administrators chose, in SQL."""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.db.database import Connection, Database


@dataclass(frozen=True, slots=True)
class Picture:
    """As it is served."""

    media_type: str
    content: bytes


async def find_picture(db: Database, image_id: str) -> Picture | None:
    """The one that was uploaded for a workspace."""
    found = await db.fetch_as(
        Picture, "SELECT media_type, content FROM image_pictures WHERE image_id = %s", (image_id,)
    )
    return found[0] if found else None


async def store_picture(connection: Connection, image_id: str, picture: Picture, address: str) -> None:
    """Keep it, as the workspace's picture at `address`."""
    await connection.execute(
        "INSERT INTO image_pictures (image_id, media_type, content) VALUES (%s, %s, %s)"
        " ON CONFLICT (image_id) DO UPDATE SET media_type = excluded.media_type, content = excluded.content",
        (image_id, picture.media_type, picture.content),
    )
    await connection.execute("UPDATE images SET image_src = %s WHERE image_id = %s", (address, image_id))


async def remove_picture(connection: Connection, image_id: str) -> None:
    """Forget it; a workspace that was made from a recipe has the recipe's again."""
    await connection.execute("DELETE FROM image_pictures WHERE image_id = %s", (image_id,))
    await connection.execute(
        "UPDATE images SET image_src = CASE WHEN catalogue_name NOT LIKE '%%/%%'"
        " THEN '/api/v1/catalogue/' || catalogue_name || '/picture' ELSE '' END WHERE image_id = %s",
        (image_id,),
    )
