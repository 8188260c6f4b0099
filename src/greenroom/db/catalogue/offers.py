"""What is known of the workspaces and images that the catalogue offers, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, LiteralString

from greenroom.core.catalogue.offers import Known
from greenroom.db.database import Connection, Database
from greenroom.db.launch.forecast import MEASURED, MEASURED_STARTS

_KNOWN: Final[LiteralString] = (
    "SELECT i.image_id::text, i.name, i.catalogue_name, i.catalogue_image, m.start_s FROM images i CROSS JOIN LATERAL ("
    + MEASURED
    + ") m WHERE i.catalogue_name IS NOT NULL OR i.name = ANY(%(names)s)"
)


async def read_known(db: Database, images: Sequence[str]) -> list[Known]:
    """The workspaces made from the catalogue, and those of one of these images."""
    return await db.fetch_as(Known, _KNOWN, {"names": list(images), "starts": MEASURED_STARTS})


async def read_sizes(db: Database) -> dict[str, int]:
    """Image → bytes, as an Agent reports it that has it."""
    rows = await db.fetch(
        "SELECT name, max(size_bytes) AS size_bytes FROM agent_images WHERE state = 'present' GROUP BY name"
    )
    return {row["name"]: row["size_bytes"] for row in rows}


async def friendly_names(db: Database) -> frozenset[str]:
    """Those of all workspaces."""
    return frozenset(row["friendly_name"] for row in await db.fetch("SELECT friendly_name FROM images"))


async def find_added(db: Database, name: str) -> str | None:
    """The id of the workspace made from this entry."""
    row = await db.fetch_one("SELECT image_id::text FROM images WHERE catalogue_name = %s", (name,))
    return row["image_id"] if row else None


async def set_origin(connection: Connection, image_id: str, name: str, image: str) -> None:
    """Note from which entry the workspace was made, or last updated, and with which image.

    Raises:
        Duplicate: there is a workspace of this entry.
    """
    await connection.execute(
        "UPDATE images SET catalogue_name = %s, catalogue_image = %s WHERE image_id = %s", (name, image, image_id)
    )
