"""Lists of workspaces that others publish, as they were last read, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

import msgspec
from psycopg.types.json import Jsonb

from greenroom.core.catalogue.published import Listed, PublishedList
from greenroom.core.errors import found
from greenroom.core.listing import Order
from greenroom.db.database import Connection, Database, returned
from greenroom.db.listing import Column, Conditions, Listing, Part, Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """A list as it was last read; `entries` is their number."""

    catalogue_id: str
    name: str
    list_url: str
    entries: int
    left_out: list[str]
    etag: str
    error: str
    looked: datetime | None
    created: datetime


_SELECT: Final[LiteralString] = (
    "c.catalogue_id::text, c.name, c.list_url, jsonb_array_length(c.entries) AS entries, c.left_out, c.etag, c.error,"
    " c.looked, c.created"
)
_FROM: Final[LiteralString] = "FROM catalogues c"
_LISTING: Final = Listing({"name": Column("c.name")}, key="c.catalogue_id", source=_FROM)
BY_NAME: Final = Order("name", descending=False)


async def list_catalogues(db: Database, *, after: Position | None = None, limit: int | None = None) -> Part[Catalogue]:
    """All by name."""
    return await _LISTING.read(db, Catalogue, _SELECT, Conditions(), order=BY_NAME, after=after, limit=limit)


async def get_catalogue(db: Database, catalogue_id: str) -> Catalogue:
    """Raises NotFound: there is none with this id."""
    row = await db.fetch_one_as(Catalogue, f"SELECT {_SELECT} {_FROM} WHERE c.catalogue_id = %s", (catalogue_id,))
    return found(row, "catalogue", catalogue_id)


async def read_entries(db: Database) -> list[tuple[str, Listed]]:
    """The entries of all lists, each with the name of its list."""
    rows = await db.fetch("SELECT name, entries FROM catalogues ORDER BY name")
    return [(row["name"], listed) for row in rows for listed in msgspec.convert(row["entries"], list[Listed])]


async def insert_catalogue(connection: Connection, name: str, list_url: str) -> str:
    """Store a list that was not read yet; returns its id.

    Raises:
        Duplicate: the name or the address exists.
    """
    cursor = await connection.execute(
        "INSERT INTO catalogues (name, list_url) VALUES (%s, %s) RETURNING catalogue_id::text", (name, list_url)
    )
    return (await returned(cursor))["catalogue_id"]


async def delete_catalogue(connection: Connection, catalogue_id: str) -> None:
    """Raises NotFound: there is none with this id."""
    cursor = await connection.execute("DELETE FROM catalogues WHERE catalogue_id = %s RETURNING 1", (catalogue_id,))
    found(await cursor.fetchone(), "catalogue", catalogue_id)


async def store_read(db: Database, catalogue_id: str, read: PublishedList, etag: str) -> None:
    """What a reading found."""
    await db.write(
        "UPDATE catalogues SET entries = %s, left_out = %s, etag = %s, error = '', looked = clock_timestamp()"
        " WHERE catalogue_id = %s",
        (Jsonb(msgspec.to_builtins(read.entries)), Jsonb(list(read.left_out)), etag, catalogue_id),
    )


async def store_unchanged(db: Database, catalogue_id: str) -> None:
    """A reading found what was there."""
    await db.write(
        "UPDATE catalogues SET error = '', looked = clock_timestamp() WHERE catalogue_id = %s", (catalogue_id,)
    )


async def store_failure(db: Database, catalogue_id: str, error: str) -> None:
    """A reading failed; what was read before stays."""
    await db.write(
        "UPDATE catalogues SET error = %s, looked = clock_timestamp() WHERE catalogue_id = %s", (error, catalogue_id)
    )


async def due(db: Database, older_than_s: float) -> Sequence[Catalogue]:
    """Those that were not looked at for so long."""
    return await db.fetch_as(
        Catalogue,
        f"SELECT {_SELECT} {_FROM} WHERE c.looked IS NULL OR c.looked < clock_timestamp() - make_interval(secs => %s)"
        " ORDER BY c.looked NULLS FIRST",
        (older_than_s,),
    )
