"""The fleet's certificate authority in SQL: one for the installation, its key encrypted before it comes here."""

from __future__ import annotations

from dataclasses import dataclass, field

from greenroom.db.database import Database


@dataclass(frozen=True, slots=True)
class StoredAuthority:
    """Certificate (PEM) and encrypted key."""

    certificate: str
    key_encrypted: bytes = field(repr=False)


async def read_authority(db: Database) -> StoredAuthority | None:
    """The authority, or None while nobody needed one."""
    row = await db.fetch_one("SELECT certificate, key_encrypted FROM fleet_authority")
    return StoredAuthority(row["certificate"], bytes(row["key_encrypted"])) if row else None


async def add_authority(db: Database, new: StoredAuthority) -> StoredAuthority:
    """Store the first authority; the one that counts, which is another's if somebody came before."""
    await db.write(
        "INSERT INTO fleet_authority (certificate, key_encrypted) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (new.certificate, new.key_encrypted),
    )
    stored = await read_authority(db)
    return stored or new
