"""The catalogue: lists of workspaces that third parties publish, the workspaces that were created from the catalogue,
and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

import msgspec
from psycopg.types.json import Jsonb

from greenroom.core.catalogue.entries import CatalogueWorkspace
from greenroom.core.catalogue.published import ListedWorkspace, PublishedList
from greenroom.core.errors import require_row
from greenroom.core.listing import SortOrder
from greenroom.db.database import Connection, Database, returned_row
from greenroom.db.launch.ledger import NUM_MEASURED_STARTS, SELECT_MEASURED_STARTS
from greenroom.db.listing import ListColumn, ListDefinition


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """A published list of workspaces, as last downloaded. `entries` is the number of usable entries; `left_out` has a
    sentence for each other entry. `looked` is the time of the last attempt to download it, `error` the failure."""

    catalogue_id: str
    name: str
    list_url: str
    entries: int
    left_out: list[str]
    etag: str
    error: str
    looked: datetime | None
    created: datetime


BY_NAME: Final = SortOrder("name")
CATALOGUES: Final = ListDefinition(
    row_type=Catalogue,
    noun="catalogue",
    select=(
        "c.catalogue_id::text, c.name, c.list_url, jsonb_array_length(c.entries) AS entries, c.left_out, c.etag,"
        " c.error, c.looked, c.created"
    ),
    source="FROM catalogues c",
    key="c.catalogue_id",
    columns={"name": ListColumn("c.name")},
    order=BY_NAME,
)
list_catalogues: Final = CATALOGUES.read
get_catalogue: Final = CATALOGUES.get


async def read_entries(db: Database) -> list[tuple[str, ListedWorkspace]]:
    """Return the entries of all published lists, each with the name of its list."""
    rows = await db.fetch("SELECT name, entries FROM catalogues ORDER BY name")
    return [(row["name"], listed) for row in rows for listed in msgspec.convert(row["entries"], list[ListedWorkspace])]


async def insert_catalogue(connection: Connection, name: str, list_url: str) -> str:
    """Store a list that is not downloaded yet; returns its id. Raises Duplicate: the name or the address exists."""
    cursor = await connection.execute(
        "INSERT INTO catalogues (name, list_url) VALUES (%s, %s) RETURNING catalogue_id::text", (name, list_url)
    )
    return (await returned_row(cursor))["catalogue_id"]


async def delete_catalogue(connection: Connection, catalogue_id: str) -> None:
    """Delete a catalogue. Raises NotFound: there is no catalogue with this id."""
    cursor = await connection.execute("DELETE FROM catalogues WHERE catalogue_id = %s RETURNING 1", (catalogue_id,))
    require_row(await cursor.fetchone(), "catalogue", catalogue_id)


async def store_reading(db: Database, catalogue_id: str, published: PublishedList, etag: str) -> None:
    """Store a list that was downloaded."""
    await db.write(
        "UPDATE catalogues SET entries = %s, left_out = %s, etag = %s, error = '', looked = clock_timestamp()"
        " WHERE catalogue_id = %s",
        (Jsonb(msgspec.to_builtins(published.entries)), Jsonb(list(published.left_out)), etag, catalogue_id),
    )


async def store_unchanged(db: Database, catalogue_id: str) -> None:
    """Store the time of a download that found no change."""
    await db.write(
        "UPDATE catalogues SET error = '', looked = clock_timestamp() WHERE catalogue_id = %s", (catalogue_id,)
    )


async def store_failure(db: Database, catalogue_id: str, error: str) -> None:
    """Store the failure of a download; the earlier entries stay."""
    await db.write(
        "UPDATE catalogues SET error = %s, looked = clock_timestamp() WHERE catalogue_id = %s", (error, catalogue_id)
    )


async def find_due_catalogues(db: Database, older_than_s: float) -> Sequence[Catalogue]:
    """Return the lists whose last attempt to download is older than this time, and those without an attempt."""
    return await db.fetch_as(
        Catalogue,
        f"{CATALOGUES.query} WHERE c.looked IS NULL OR c.looked < clock_timestamp() - make_interval(secs => %s)"
        " ORDER BY c.looked NULLS FIRST",
        (older_than_s,),
    )


_SELECT_CATALOGUE_WORKSPACES: Final[LiteralString] = (
    "SELECT i.image_id::text, i.name, i.catalogue_name, i.catalogue_image, m.start_s FROM images i CROSS JOIN LATERAL ("
    f"{SELECT_MEASURED_STARTS}) m WHERE i.catalogue_name IS NOT NULL OR i.name = ANY(%(names)s)"
)


async def read_catalogue_workspaces(db: Database, images: Sequence[str]) -> list[CatalogueWorkspace]:
    """Return the workspaces that were created from the catalogue or have one of these images."""
    values = {"names": list(images), "starts": NUM_MEASURED_STARTS}
    return await db.fetch_as(CatalogueWorkspace, _SELECT_CATALOGUE_WORKSPACES, values)


async def read_sizes(db: Database) -> dict[str, int]:
    """Return image → size in bytes, the largest size that an Agent reports."""
    rows = await db.fetch(
        "SELECT name, max(size_bytes) AS size_bytes FROM agent_images WHERE state = 'present' GROUP BY name"
    )
    return {row["name"]: row["size_bytes"] for row in rows}


async def friendly_names(db: Database) -> frozenset[str]:
    """Return the friendly names of all workspaces."""
    return frozenset(row["friendly_name"] for row in await db.fetch("SELECT friendly_name FROM images"))


async def find_workspace_of_entry(db: Database, name: str) -> str | None:
    """Return the id of the workspace that was created from this entry; None if there is none."""
    row = await db.fetch_one("SELECT image_id::text FROM images WHERE catalogue_name = %s", (name,))
    return row["image_id"] if row else None


async def set_origin(connection: Connection, image_id: str, name: str, image: str) -> None:
    """Store the entry of the catalogue and the image from which a workspace was created or last updated. Raises
    Duplicate: another workspace has this entry."""
    await connection.execute(
        "UPDATE images SET catalogue_name = %s, catalogue_image = %s WHERE image_id = %s", (name, image, image_id)
    )


@dataclass(frozen=True, slots=True)
class CataloguePicture:
    """A picture with the media type with which the api serves it."""

    media_type: str
    content: bytes


async def find_picture(db: Database, image_id: str) -> CataloguePicture | None:
    """Return the picture that was uploaded for a workspace; None if there is none."""
    query = "SELECT media_type, content FROM image_pictures WHERE image_id = %s"
    return await db.fetch_one_as(CataloguePicture, query, (image_id,))


async def store_picture(connection: Connection, image_id: str, picture: CataloguePicture, address: str) -> None:
    """Store the picture of the workspace, with its `address`."""
    await connection.execute(
        "INSERT INTO image_pictures (image_id, media_type, content) VALUES (%s, %s, %s)"
        " ON CONFLICT (image_id) DO UPDATE SET media_type = excluded.media_type, content = excluded.content",
        (image_id, picture.media_type, picture.content),
    )
    await connection.execute("UPDATE images SET image_src = %s WHERE image_id = %s", (address, image_id))


async def remove_picture(connection: Connection, image_id: str) -> None:
    """Delete the picture of a workspace; a workspace from a recipe gets the picture of the recipe."""
    await connection.execute("DELETE FROM image_pictures WHERE image_id = %s", (image_id,))
    await connection.execute(
        "UPDATE images SET image_src = CASE WHEN catalogue_name NOT LIKE '%%/%%'"
        " THEN '/api/v1/catalogue/' || catalogue_name || '/picture' ELSE '' END WHERE image_id = %s",
        (image_id,),
    )
