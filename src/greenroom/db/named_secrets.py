"""Named secrets, and their use by the web filters of leases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from greenroom.core.listing import SortOrder
from greenroom.core.named_secrets import SecretUsers
from greenroom.db.database import Connection, Database, returned_row
from greenroom.db.listing import ListColumn, ListDefinition
from greenroom.db.rows import assignments, columns_of, insert_values, values_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFields:
    """The editable fields of a secret, except its value. `users`, `groups` and `keys` may use it, in addition to its
    owner."""

    name: str
    description: str
    hosts: list[str]
    header: str
    template: str
    users: list[str]
    groups: list[str]
    keys: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecret(SecretFields):
    """A secret, without its value; `num_leases` is the number of leases that use it and have not ended."""

    secret_id: str
    owner_id: str | None
    owner: str | None
    created: datetime
    value_changed: datetime
    num_leases: int

    @property
    def allowed_users(self) -> SecretUsers:
        return SecretUsers(
            owner_id=self.owner_id, users=tuple(self.users), groups=tuple(self.groups), keys=tuple(self.keys)
        )


FIELDS: Final = columns_of(SecretFields)
BY_NAME: Final = SortOrder("name")
SECRETS: Final = ListDefinition(
    row_type=StoredSecret,
    noun="secret",
    select=(
        "x.secret_id::text, x.name, x.description, x.hosts, x.header, x.template, x.users::text[], x.groups::text[],"
        " x.keys, x.owner_id::text, u.username AS owner, x.created, x.value_changed,"
        " (SELECT count(*) FROM filter_policy_secrets f JOIN sessions s ON s.spec ->> 'filter_policy' ="
        "   f.filter_policy_id::text WHERE f.secret_id = x.secret_id AND s.status <> 'deleted') AS num_leases"
    ),
    source="FROM secrets x LEFT JOIN users u ON u.user_id = x.owner_id",
    key="x.secret_id",
    columns={"name": ListColumn("x.name")},
    order=BY_NAME,
    filters={"owner_id": "x.owner_id = %(owner_id)s::uuid"},
)
get_secret: Final = SECRETS.get


async def named_secrets(db: Database, names: Sequence[str]) -> list[StoredSecret]:
    """Return the secrets with these names, in the order of their names."""
    return await db.fetch_as(StoredSecret, f"{SECRETS.query} WHERE x.name = ANY(%s) ORDER BY x.name", (list(names),))


async def group_ids_of_user(db: Database, user_id: str) -> list[str]:
    """Return the ids of the groups of a user."""
    rows = await db.fetch("SELECT group_id::text FROM user_groups WHERE user_id = %s", (user_id,))
    return [row["group_id"] for row in rows]


async def lock_secret(connection: Connection, secret_id: str) -> tuple[StoredSecret, bytes]:
    """Lock the row of a secret until commit, and return it with its encrypted value. Raises NotFound: there is no
    such secret."""
    secret = await SECRETS.lock(connection, secret_id)
    cursor = await connection.execute("SELECT value_encrypted FROM secrets WHERE secret_id = %s", (secret_id,))
    return secret, (await returned_row(cursor))["value_encrypted"]


async def count_secrets(connection: Connection, owner_id: str | None) -> int:
    """Return the number of secrets of an owner."""
    cursor = await connection.execute(
        "SELECT count(*) AS number FROM secrets WHERE owner_id IS NOT DISTINCT FROM %s::uuid", (owner_id,)
    )
    return (await returned_row(cursor))["number"]


async def unknown_grantees(db: Database, fields: SecretFields) -> list[str]:
    """Return the users, groups and keys of `fields` that do not exist, each as text such as `user ID`."""
    rows = await db.fetch(
        "SELECT 'user ' || id AS name FROM unnest(%(users)s::uuid[]) id"
        "  WHERE id NOT IN (SELECT user_id FROM users)"
        " UNION ALL SELECT 'group ' || id FROM unnest(%(groups)s::uuid[]) id"
        "  WHERE id NOT IN (SELECT group_id FROM groups)"
        " UNION ALL SELECT 'API key ' || id FROM unnest(%(keys)s::text[]) id"
        "  WHERE id NOT IN (SELECT key_id FROM api_keys) ORDER BY 1",
        {"users": fields.users, "groups": fields.groups, "keys": fields.keys},
    )
    return [row["name"] for row in rows]


async def insert_secret(
    connection: Connection, fields: SecretFields, value_encrypted: bytes, owner_id: str | None
) -> str:
    """Store a secret, and return its id. Raises Duplicate: the name exists."""
    columns: tuple[LiteralString, ...] = (*FIELDS, "value_encrypted", "owner_id")
    cursor = await connection.execute(
        "INSERT INTO secrets " + insert_values(columns) + " RETURNING secret_id::text",
        {**values_of(SecretFields, fields), "value_encrypted": value_encrypted, "owner_id": owner_id},
    )
    return (await returned_row(cursor))["secret_id"]


async def update_secret(connection: Connection, secret_id: str, fields: SecretFields, value: bytes | None) -> None:
    """Change a secret, and its encrypted `value` unless it is None. A trigger notifies Agents. Raises Duplicate: the
    name exists."""
    await connection.execute(
        "UPDATE secrets SET " + assignments(FIELDS) + " WHERE secret_id = %(secret_id)s",
        {**values_of(SecretFields, fields), "secret_id": secret_id},
    )
    if value is not None:
        await connection.execute(
            "UPDATE secrets SET value_encrypted = %s, value_changed = now() WHERE secret_id = %s", (value, secret_id)
        )


async def delete_secret(connection: Connection, secret_id: str) -> None:
    """Delete a secret. A trigger notifies the Agents whose web filters use the secret."""
    await connection.execute("DELETE FROM secrets WHERE secret_id = %s", (secret_id,))


async def add_to_filter(db: Database, filter_policy_id: str, secret_ids: Sequence[str]) -> int:
    """Add these secrets to a policy before its web filter starts. Return the number of secrets that exist."""
    rows = await db.write(
        "INSERT INTO filter_policy_secrets (filter_policy_id, secret_id)"
        " SELECT %s, secret_id FROM secrets WHERE secret_id = ANY(%s::uuid[])"
        " ON CONFLICT (filter_policy_id, secret_id) DO UPDATE SET secret_id = EXCLUDED.secret_id RETURNING 1",
        (filter_policy_id, list(secret_ids)),
    )
    return len(rows)


CAN_ADD_SECRETS: Final[LiteralString] = "(a.usage = '{}' OR coalesce((a.usage ->> 'brokers')::boolean, false))"
"""SQL condition: the web filters of Agent `a` add secrets to requests, or the Agent has not reported anything yet.
`brokers` is the field of the report (`wire.messages.Usage`)."""


async def can_any_agent_add_secrets(db: Database, zone_id: str | None) -> bool:
    """Return True if an Agent of this zone (None = of any zone) adds secrets to requests."""
    row = await db.fetch_one(
        "SELECT coalesce(bool_or(" + CAN_ADD_SECRETS + "), true) AS supported FROM agents a"
        " WHERE enabled AND (%(zone_id)s::uuid IS NULL OR zone_id = %(zone_id)s::uuid)",
        {"zone_id": zone_id},
    )
    return row is None or bool(row["supported"])
