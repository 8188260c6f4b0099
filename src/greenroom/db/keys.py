"""API keys: a public half that names the key and a secret half of which only the hash is stored.

A key belongs to the user who made it (`created_by`): it may no more than he, and nothing while he is disabled or
locked; with him his keys are disabled. Only the installation's first key belongs to nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString, cast

from greenroom.core.errors import NotFound
from greenroom.core.permissions import GLOBAL_ADMIN
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
    owner: str | None
    """Name of the user who made it."""
    owner_permissions: list[str]
    """What he may now."""
    valid: bool
    """Enabled, not expired, and its owner may log in."""
    stale: bool
    """`last_used` is more than a minute old, or it was never used."""


_SELECT: Final[LiteralString] = (
    "SELECT k.key_id, k.secret_hash, k.name, k.permissions, k.read_only, k.enabled, k.created_by, k.created, k.expires,"
    " k.last_used, u.username AS owner,"
    " ARRAY(SELECT DISTINCT p FROM user_groups ug JOIN groups g USING (group_id), unnest(g.permissions) p"
    "       WHERE ug.user_id = k.created_by) AS owner_permissions,"
    " k.enabled AND (k.expires IS NULL OR k.expires > now())"
    "   AND NOT COALESCE(u.disabled OR u.locked, false) AS valid,"
    " k.last_used IS NULL OR k.last_used < now() - interval '1 minute' AS stale"
    " FROM api_keys k LEFT JOIN users u ON u.user_id = k.created_by"
)


def _key(row: dict[str, Any]) -> ApiKey:
    values: dict[str, Any] = row | {
        "secret_hash": bytes(row["secret_hash"]),
        "permissions": sorted(cast("list[str]", row["permissions"])),
        "created_by": str(row["created_by"]) if row["created_by"] else None,
    }
    return ApiKey(**values)


async def find_key(db: Database, key_id: str) -> ApiKey | None:
    """The key with this public half."""
    row = await db.fetch_one(_SELECT + " WHERE k.key_id = %s", (key_id,))
    return _key(row) if row else None


async def lock_key(connection: Connection, key_id: str) -> ApiKey:
    """Hold the key's row until commit, against concurrent changes; returns it as it is then.

    Raises:
        NotFound: there is no such key.
    """
    await connection.execute("SELECT 1 FROM api_keys WHERE key_id = %s FOR NO KEY UPDATE", (key_id,))
    row = await (await connection.execute(_SELECT + " WHERE k.key_id = %s", (key_id,))).fetchone()
    if row is None:
        raise NotFound(f"There is no API key {key_id}; it may have been deleted.")
    return _key(row)


async def list_keys(db: Database) -> list[ApiKey]:
    """All keys, oldest first."""
    return [_key(row) for row in await db.fetch(_SELECT + " ORDER BY k.created, k.key_id")]


async def administrators_keys_ending(db: Database, within_s: float) -> list[ApiKey]:
    """Valid keys with every permission that end within this time, the first to end first."""
    rows = await db.fetch(
        _SELECT + " WHERE %s = ANY(k.permissions) AND k.expires < now() + make_interval(secs => %s)"
        " ORDER BY k.expires, k.key_id",
        (GLOBAL_ADMIN, within_s),
    )
    return [key for key in map(_key, rows) if key.valid]


async def touch_key(db: Database, key_id: str) -> None:
    """Note that the key was used now, at most once a minute whoever asks at the same time."""
    await db.write(
        "UPDATE api_keys SET last_used = now()"
        " WHERE key_id = %s AND (last_used IS NULL OR last_used < now() - interval '1 minute')",
        (key_id,),
    )


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


async def update_key(connection: Connection, key: ApiKey) -> None:
    """Store name, permissions, read_only, enabled and expires of `key`, after `lock_key`."""
    await connection.execute(
        "UPDATE api_keys SET name = %s, permissions = %s, read_only = %s, enabled = %s, expires = %s WHERE key_id = %s",
        (key.name, key.permissions, key.read_only, key.enabled, key.expires, key.key_id),
    )


async def delete_key(db: Database, key_id: str) -> None:
    """Revoke a key, at once.

    Raises:
        NotFound: there is no such key.
    """
    if not await db.write("DELETE FROM api_keys WHERE key_id = %s RETURNING 1", (key_id,)):
        raise NotFound(f"There is no API key {key_id}; it may have been deleted.")
