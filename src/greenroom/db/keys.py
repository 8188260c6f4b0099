"""API keys: a public half that names the key and a secret half of which only the hash is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from greenroom.core.errors import NotFound
from greenroom.db.database import Connection, Database


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key; the secret itself is nowhere."""

    key_id: str
    secret_hash: bytes
    name: str
    permissions: list[str]
    read_only: bool
    enabled: bool
    created_by: str | None
    created: datetime
    expires: datetime | None
    last_used: datetime | None
    valid: bool
    """Enabled and not expired."""
    stale: bool
    """`last_used` is more than a minute old, or it was never used."""


def _key(row: dict[str, Any]) -> ApiKey:
    values: dict[str, Any] = row | {
        "secret_hash": bytes(row["secret_hash"]),
        "permissions": sorted(cast("list[str]", row["permissions"])),
        "created_by": str(row["created_by"]) if row["created_by"] else None,
    }
    return ApiKey(**values)


async def find_key(db: Database, key_id: str) -> ApiKey | None:
    """The key with this public half."""
    row = await db.fetch_one(
        "SELECT *, enabled AND (expires IS NULL OR expires > now()) AS valid,"
        " last_used IS NULL OR last_used < now() - interval '1 minute' AS stale FROM api_keys WHERE key_id = %s",
        (key_id,),
    )
    return _key(row) if row else None


async def list_keys(db: Database) -> list[ApiKey]:
    """All keys, oldest first."""
    rows = await db.fetch(
        "SELECT *, enabled AND (expires IS NULL OR expires > now()) AS valid, false AS stale"
        " FROM api_keys ORDER BY created, key_id"
    )
    return [_key(row) for row in rows]


async def touch_key(db: Database, key_id: str) -> None:
    """Note that the key was used now."""
    await db.write("UPDATE api_keys SET last_used = now() WHERE key_id = %s", (key_id,))


async def insert_key(
    connection: Connection,
    *,
    key_id: str,
    secret_hash: bytes,
    name: str,
    permissions: list[str],
    read_only: bool = False,
    expires: datetime | None = None,
    created_by: str | None = None,
) -> None:
    """Store a new key."""
    await connection.execute(
        "INSERT INTO api_keys (key_id, secret_hash, name, permissions, read_only, expires, created_by)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (key_id, secret_hash, name, permissions, read_only, expires, created_by),
    )


async def update_key(db: Database, key: ApiKey) -> None:
    """Store name, permissions, read_only, enabled and expires of `key`.

    Raises:
        NotFound: it was deleted meanwhile.
    """
    rows = await db.write(
        "UPDATE api_keys SET name = %s, permissions = %s, read_only = %s, enabled = %s, expires = %s"
        " WHERE key_id = %s RETURNING 1",
        (key.name, key.permissions, key.read_only, key.enabled, key.expires, key.key_id),
    )
    if not rows:
        raise NotFound(f"There is no API key {key.key_id}; it may have been deleted.")


async def delete_key(db: Database, key_id: str) -> None:
    """Revoke a key, at once.

    Raises:
        NotFound: there is no such key.
    """
    if not await db.write("DELETE FROM api_keys WHERE key_id = %s RETURNING 1", (key_id,)):
        raise NotFound(f"There is no API key {key_id}; it may have been deleted.")
