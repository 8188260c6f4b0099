"""API keys: their rows and secrets.

An API key has a public id and a secret; only the hash of the secret is stored. The key belongs to the user who created
it (`created_by`): it has no permission that this user lacks, and is refused while the user is disabled or locked. Only
the first key of the installation belongs to no user.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from greenroom.core.access.permissions import GLOBAL_ADMIN, implied_codes, limited_to_owner, read_only_codes
from greenroom.core.listing import SortOrder
from greenroom.db.access.roles import grants_of_user
from greenroom.db.database import Connection, Database
from greenroom.db.listing import ListColumn, ListDefinition
from greenroom.db.rows import assignments, rotation


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret. `owner` is the name of the user who created it, `owner_permissions` are the
    permissions of this user. If the owner is a service account (`owner_service`), it may expire (`owner_expires`), and
    the key may be used only from `networks` (empty = from anywhere). `old_secret_hash` is the hash of the former
    secret, which is valid until `old_until`. `valid`: the key is enabled, neither the key nor its owner is expired, and
    the owner is enabled. `needs_touch`: `last_used` is more than a minute old, or empty."""

    key_id: str
    secret_hash: bytes
    name: str
    permissions: list[str]
    read_only: bool
    max_leases: int | None
    max_lease_s: int | None
    enabled: bool
    created_by: str | None
    created: datetime
    expires: datetime | None
    last_used: datetime | None
    owner: str | None
    owner_permissions: list[str]
    owner_service: bool
    owner_expires: datetime | None
    networks: list[str]
    old_secret_hash: bytes | None
    old_until: datetime | None
    valid: bool
    needs_touch: bool

    @property
    def ends(self) -> datetime | None:
        """The time at which the key or its owner expires; None = never."""
        return min(filter(None, (self.expires, self.owner_expires)), default=None)

    @property
    def effective_codes(self) -> frozenset[str]:
        """The codes that a request with the key has: those of its permissions that its owner has, too."""
        codes = read_only_codes(self.permissions) if self.read_only else implied_codes(self.permissions)
        return codes if self.created_by is None else limited_to_owner(codes, self.owner_permissions)


OLDEST_FIRST: Final = SortOrder("created")
KEYS: Final = ListDefinition(
    row_type=ApiKey,
    noun="API key",
    select=(
        "k.key_id, k.secret_hash, k.name, k.read_only, k.max_leases, k.max_lease_s, k.enabled, k.created_by::text,"
        " k.created, k.expires,"
        ' ARRAY(SELECT p FROM unnest(k.permissions) p ORDER BY p COLLATE "C") AS permissions,'
        " k.last_used, u.username AS owner,"
        " " + grants_of_user("k.created_by") + " AS owner_permissions, a.user_id IS NOT NULL AS owner_service,"
        " a.expires AS owner_expires, coalesce(a.networks, '{}') AS networks,"
        " CASE WHEN k.old_until > now() THEN k.old_secret_hash END AS old_secret_hash,"
        " CASE WHEN k.old_until > now() THEN k.old_until END AS old_until,"
        " k.enabled AND (k.expires IS NULL OR k.expires > now())"
        "   AND NOT COALESCE(u.disabled OR u.locked OR a.expires <= now(), false) AS valid,"
        " k.last_used IS NULL OR k.last_used < now() - interval '1 minute' AS needs_touch"
    ),
    source="FROM api_keys k LEFT JOIN users u ON u.user_id = k.created_by"
    " LEFT JOIN service_accounts a ON a.user_id = k.created_by",
    key="k.key_id",
    key_type="text",
    columns={"created": ListColumn("k.created", "timestamptz")},
    order=OLDEST_FIRST,
    filters={"owner": "k.created_by = %(owner)s::uuid"},
)
lock_key: Final = KEYS.lock


async def lock_keys_of(connection: Connection, user_id: str) -> list[str]:
    """Lock the keys of a user, and return their ids. Call it before the first lock of a session: a change of a key
    locks the key before the sessions of its leases."""
    cursor = await connection.execute(
        "SELECT key_id FROM api_keys WHERE created_by = %s ORDER BY key_id FOR NO KEY UPDATE", (user_id,)
    )
    return [row["key_id"] for row in await cursor.fetchall()]


async def find_key(db: Database, key_id: str) -> ApiKey | None:
    """Return the key with this id; None if there is none."""
    return await KEYS.find(db, "k.key_id = %s", (key_id,))


async def find_expiring_administrator_keys(db: Database, within_s: float) -> list[ApiKey]:
    """Return the valid keys with `global_admin` that expire within this time, the first to expire first."""
    keys = await db.fetch_as(
        ApiKey,
        f"{KEYS.query} WHERE %s = ANY(k.permissions) AND k.expires < now() + make_interval(secs => %s)"
        " ORDER BY k.expires, k.key_id",
        (GLOBAL_ADMIN, within_s),
    )
    return [key for key in keys if key.valid]


async def touch_key(db: Database, key_id: str) -> None:
    """Store that the key was used now, at most once a minute, also with concurrent requests."""
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
    max_leases: int | None = None,
    max_lease_s: int | None = None,
    expires: datetime | None = None,
    created_by: str | None = None,
) -> None:
    """Store a new key."""
    await connection.execute(
        "INSERT INTO api_keys (key_id, secret_hash, name, permissions, read_only, max_leases, max_lease_s, expires,"
        " created_by) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (key_id, secret_hash, name, permissions, read_only, max_leases, max_lease_s, expires, created_by),
    )


_CHANGEABLE: Final = ("name", "permissions", "read_only", "max_leases", "max_lease_s", "enabled", "expires")


async def update_key(connection: Connection, key: ApiKey) -> None:
    """Store the changeable fields of `key`. The caller must have called `lock_key`."""
    await connection.execute(
        "UPDATE api_keys SET " + assignments(_CHANGEABLE) + " WHERE key_id = %(key_id)s", asdict(key)
    )


async def rotate_key(connection: Connection, key_id: str, secret_hash: bytes, overlap_s: int) -> None:
    """Replace the secret of a key. The present secret is valid for `overlap_s`, an older one no more. The caller must
    have called `lock_key`."""
    await connection.execute(
        "UPDATE api_keys SET " + rotation("secret_hash") + " WHERE key_id = %(key_id)s",
        {"key_id": key_id, "secret_hash": secret_hash, "overlap_s": overlap_s},
    )


async def delete_key(connection: Connection, key_id: str) -> None:
    """Revoke a key immediately. The caller must have called `lock_key`."""
    await connection.execute("DELETE FROM api_keys WHERE key_id = %s", (key_id,))
