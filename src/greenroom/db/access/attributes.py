"""Users' preferences and SSH keys: one row per user, created at the first change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from greenroom.db.database import Connection, Database, row_as
from greenroom.db.rows import assigned, columns_of, inserted, values_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """The attributes of a user. None = not set. `default_image` is the id of an existing workspace."""

    user_id: str
    ssh_public_key: str | None = None
    ssh_private_key_encrypted: bytes | None = field(default=None, repr=False)
    preferred_language: str | None = None
    preferred_timezone: str | None = None
    default_image: str | None = None
    theme: str | None = None
    client_fields: dict[str, Any] = field(default_factory=dict[str, Any])
    """The data that clients of the published interface store with the user."""

    @property
    def has_ssh_private_key(self) -> bool:
        """True if there is a key. The key itself leaves the process only for the user's sessions."""
        return self.ssh_private_key_encrypted is not None


_COLUMNS: Final = columns_of(Attributes)
_SELECT: Final[LiteralString] = (
    "SELECT a.user_id::text, a.ssh_public_key, a.ssh_private_key_encrypted, a.preferred_language,"
    " a.preferred_timezone, i.image_id::text AS default_image, a.theme, a.client_fields"
    " FROM user_attributes a LEFT JOIN images i ON i.image_id = a.default_image WHERE a.user_id = %(user_id)s"
)


async def get_attributes(db: Database, user_id: str) -> Attributes:
    """The attributes of a user; all unset without a row (or without such a user)."""
    return await db.fetch_one_as(Attributes, _SELECT, {"user_id": user_id}) or Attributes(user_id=user_id)


async def lock_attributes(connection: Connection, user_id: str) -> Attributes:
    """The attributes, after `users.lock_user`, which prevents other changes."""
    cursor = await connection.execute(_SELECT, {"user_id": user_id})
    return row_as(Attributes, await cursor.fetchone()) or Attributes(user_id=user_id)


async def store_attributes(connection: Connection, attributes: Attributes) -> None:
    """Store all attributes, after `users.lock_user`."""
    await connection.execute(
        f"INSERT INTO user_attributes {inserted(_COLUMNS)} ON CONFLICT (user_id) DO UPDATE SET {assigned(_COLUMNS)}",
        values_of(Attributes, attributes) | {"client_fields": Jsonb(attributes.client_fields)},
    )
