"""Users' preferences and SSH keys: one row per user, made at the first change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

from greenroom.db.database import Connection, Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """None = not set. `default_image` is the id of an existing workspace."""

    user_id: str
    ssh_public_key: str | None = None
    ssh_private_key_encrypted: bytes | None = field(default=None, repr=False)
    preferred_language: str | None = None
    preferred_timezone: str | None = None
    default_image: str | None = None
    theme: str | None = None

    @property
    def has_ssh_private_key(self) -> bool:
        """Whether there is one; the key itself leaves the process only for the user's sessions."""
        return self.ssh_private_key_encrypted is not None


_SELECT: Final[LiteralString] = (
    "SELECT a.user_id::text, a.ssh_public_key, a.ssh_private_key_encrypted, a.preferred_language,"
    " a.preferred_timezone, i.image_id::text AS default_image, a.theme"
    " FROM user_attributes a LEFT JOIN images i ON i.image_id = a.default_image WHERE a.user_id = %(user_id)s"
)


def _attributes(row: dict[str, Any] | None, user_id: str) -> Attributes:
    if row is None:
        return Attributes(user_id=user_id)
    key = row["ssh_private_key_encrypted"]
    values: dict[str, Any] = row | {"ssh_private_key_encrypted": bytes(key) if key is not None else None}
    return Attributes(**values)


async def get_attributes(db: Database, user_id: str) -> Attributes:
    """The attributes of a user; all unset where there is no row (or no such user)."""
    return _attributes(await db.fetch_one(_SELECT, {"user_id": user_id}), user_id)


async def lock_attributes(connection: Connection, user_id: str) -> Attributes:
    """The attributes, after `users.lock_user`: that lock keeps other changes out."""
    return _attributes(await (await connection.execute(_SELECT, {"user_id": user_id})).fetchone(), user_id)


async def store_attributes(connection: Connection, attributes: Attributes) -> None:
    """Store all of them, after `users.lock_user`."""
    await connection.execute(
        "INSERT INTO user_attributes (user_id, ssh_public_key, ssh_private_key_encrypted, preferred_language,"
        " preferred_timezone, default_image, theme) VALUES (%s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (user_id) DO UPDATE SET ssh_public_key = EXCLUDED.ssh_public_key,"
        " ssh_private_key_encrypted = EXCLUDED.ssh_private_key_encrypted,"
        " preferred_language = EXCLUDED.preferred_language, preferred_timezone = EXCLUDED.preferred_timezone,"
        " default_image = EXCLUDED.default_image, theme = EXCLUDED.theme",
        (
            attributes.user_id,
            attributes.ssh_public_key,
            attributes.ssh_private_key_encrypted,
            attributes.preferred_language,
            attributes.preferred_timezone,
            attributes.default_image,
            attributes.theme,
        ),
    )
