"""The SQL of provisioning: SCIM clients, and the users and groups that a client created.

Each statement about users and groups contains the id of the client, so that a client sees and changes no others.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, LiteralString

from psycopg.types.json import Jsonb

from greenroom.core.errors import require_row
from greenroom.core.listing import SortOrder
from greenroom.db.access.users import Membership
from greenroom.db.database import Connection, Database, returned_row, row_as, rows_as
from greenroom.db.listing import ListColumn, ListDefinition
from greenroom.db.rows import assignments, columns_of, insert_values, qualified, rotation, values_of

SubjectAttribute = Literal["externalId", "userName"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFields:
    """The fields of a SCIM client that can be changed. The identities of its users are at the issuer of the sign-on
    provider `provider_id`, and their subjects are the values of `subject_attribute`. None = no identities."""

    name: str
    provider_id: str | None
    subject_attribute: SubjectAttribute
    enabled: bool
    expires: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScimClient(ClientFields):
    """A SCIM client. `valid`: it is enabled and not expired. `needs_touch`: `last_used` is more than a minute old, or
    empty. `issuer` is that of its provider. `old_until`: the former token is valid until this time."""

    client_id: str
    created_by: str | None
    created: datetime
    last_used: datetime | None
    old_until: datetime | None
    valid: bool
    needs_touch: bool
    issuer: str | None
    owner: str | None
    num_users: int
    num_groups: int


_CLIENT_FIELDS: Final = columns_of(ClientFields)
_CHANGEABLE: Final = columns_of(ClientFields, without={"provider_id"})
CLIENTS: Final = ListDefinition(
    row_type=ScimClient,
    noun="SCIM client",
    select=(
        qualified(_CHANGEABLE, "c") + ", c.provider_id::text, c.client_id::text, c.created_by::text, c.created,"
        " c.last_used, CASE WHEN c.old_until > now() THEN c.old_until END AS old_until,"
        " c.enabled AND (c.expires IS NULL OR c.expires > now()) AS valid,"
        " c.last_used IS NULL OR c.last_used < now() - interval '1 minute' AS needs_touch, p.issuer,"
        " o.username AS owner,"
        " (SELECT count(*) FROM scim_users s WHERE s.client_id = c.client_id) AS num_users,"
        " (SELECT count(*) FROM scim_groups s WHERE s.client_id = c.client_id) AS num_groups"
    ),
    source="FROM scim_clients c LEFT JOIN sign_on_providers p USING (provider_id)"
    " LEFT JOIN users o ON o.user_id = c.created_by",
    key="c.client_id",
    columns={"name": ListColumn("lower(c.name)")},
    order=SortOrder("name"),
)
get_client: Final = CLIENTS.get
lock_client: Final = CLIENTS.lock


async def find_client(db: Database, token_hash: bytes) -> ScimClient | None:
    """Return the client with this token, also if the client is not valid; None if there is none. During the overlap of
    a rotation, a client has two tokens."""
    condition = "c.token_hash = %s OR (c.old_token_hash = %s AND c.old_until > now())"
    return await CLIENTS.find(db, condition, (token_hash, token_hash))


async def touch_client(db: Database, client_id: str) -> None:
    """Store that the client was used now, at most once a minute, also with concurrent requests."""
    await db.write(
        "UPDATE scim_clients SET last_used = now()"
        " WHERE client_id = %s AND (last_used IS NULL OR last_used < now() - interval '1 minute')",
        (client_id,),
    )


async def insert_client(connection: Connection, fields: ClientFields, token_hash: bytes, created_by: str | None) -> str:
    """Store a new client, and return its id. Raises Duplicate: the name exists."""
    columns: tuple[LiteralString, ...] = (*_CLIENT_FIELDS, "token_hash", "created_by")
    cursor = await connection.execute(
        "INSERT INTO scim_clients " + insert_values(columns) + " RETURNING client_id::text",
        values_of(ClientFields, fields) | {"token_hash": token_hash, "created_by": created_by},
    )
    return (await returned_row(cursor))["client_id"]


async def update_client(connection: Connection, client_id: str, fields: ClientFields) -> None:
    """Store the fields of a client. Call `lock_client` before. Raises Duplicate: the name exists."""
    await connection.execute(
        "UPDATE scim_clients SET " + assignments(_CLIENT_FIELDS) + " WHERE client_id = %(client_id)s",
        values_of(ClientFields, fields) | {"client_id": client_id},
    )


async def change_token(connection: Connection, client_id: str, token_hash: bytes, overlap_s: int) -> None:
    """Replace the token of a client. The present token is valid for `overlap_s`, an older one no more. Call
    `lock_client` before."""
    await connection.execute(
        "UPDATE scim_clients SET " + rotation("token_hash") + " WHERE client_id = %(client_id)s",
        {"client_id": client_id, "token_hash": token_hash, "overlap_s": overlap_s},
    )


async def delete_client(connection: Connection, client_id: str) -> None:
    """Delete a client. Its users and groups remain, as ordinary users and groups."""
    await connection.execute("DELETE FROM scim_clients WHERE client_id = %s", (client_id,))


async def hold_valid_client(connection: Connection, client_id: str) -> bool:
    """Lock a client against changes until commit. Return False if it is no longer valid."""
    cursor = await connection.execute(
        "SELECT 1 FROM scim_clients WHERE client_id = %s AND enabled AND (expires IS NULL OR expires > now())"
        " FOR SHARE",
        (client_id,),
    )
    return await cursor.fetchone() is not None


async def hold_clients_of_provider(connection: Connection, provider_id: str) -> list[str]:
    """Lock the clients of a sign-on provider against changes until commit, and return their ids."""
    cursor = await connection.execute(
        "SELECT client_id::text FROM scim_clients WHERE provider_id = %s ORDER BY client_id FOR SHARE", (provider_id,)
    )
    return [row["client_id"] for row in await cursor.fetchall()]


async def permissions_of_groups(connection: Connection, client_id: str) -> list[str]:
    """Return the grants of the groups of a client. A client can give them to its users."""
    cursor = await connection.execute(
        "SELECT DISTINCT gg.granted AS p FROM scim_groups s JOIN group_grants gg USING (group_id)"
        " WHERE s.client_id = %s ORDER BY p",
        (client_id,),
    )
    return [row["p"] for row in await cursor.fetchall()]


async def permissions_of_users(connection: Connection, client_id: str) -> list[str]:
    """Return the grants of the users of a client. A client can link its users to other identities."""
    cursor = await connection.execute(
        "SELECT DISTINCT gg.granted AS p FROM scim_users s JOIN user_groups USING (user_id)"
        " JOIN group_grants gg USING (group_id) WHERE s.client_id = %s ORDER BY p",
        (client_id,),
    )
    return [row["p"] for row in await cursor.fetchall()]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRow:
    """A user of a client. `document` has the attributes that are stored as the client sent them, and `groups` are the
    groups of the same client."""

    user_id: str
    username: str
    disabled: bool
    external_id: str | None
    document: dict[str, Any] = field(repr=False)
    identity_id: str | None
    created: datetime
    modified: datetime
    groups: list[Membership]


_USERS: Final[LiteralString] = (
    "SELECT u.user_id::text, u.username, u.disabled, s.external_id, s.document, s.identity_id::text, s.created,"
    " s.modified, COALESCE((SELECT jsonb_agg(jsonb_build_object('group_id', g.group_id, 'name', g.name)"
    "  ORDER BY g.name) FROM user_groups m JOIN scim_groups sg USING (group_id) JOIN groups g USING (group_id)"
    "  WHERE m.user_id = s.user_id AND sg.client_id = s.client_id), '[]') AS groups"
    " FROM scim_users s JOIN users u USING (user_id) WHERE s.client_id = %(client_id)s"
)


@dataclass(frozen=True, slots=True)
class GroupUser:
    """A member of a group."""

    user_id: str
    username: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """A group of a client. `members` are the members that the same client created."""

    group_id: str
    name: str
    permissions: list[str]
    external_id: str | None
    created: datetime
    modified: datetime
    members: list[GroupUser]


_GROUPS: Final[LiteralString] = (
    "SELECT g.group_id::text, g.name, ARRAY(SELECT granted FROM group_grants gg WHERE gg.group_id = g.group_id)"
    " AS permissions, s.external_id, s.created, s.modified,"
    " CASE WHEN %(with_members)s THEN COALESCE((SELECT jsonb_agg(jsonb_build_object('user_id', u.user_id,"
    "  'username', u.username) ORDER BY u.username) FROM user_groups m JOIN scim_users su USING (user_id)"
    "  JOIN users u USING (user_id) WHERE m.group_id = s.group_id AND su.client_id = s.client_id), '[]')"
    "  ELSE '[]' END AS members"
    " FROM scim_groups s JOIN groups g USING (group_id) WHERE s.client_id = %(client_id)s"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The rows of a client that a query needs: those with an equal value in each field that is not None. `name` is the
    user name, or the name of a group. `limit` None = all."""

    client_id: str
    resource_id: str | None = None
    external_id: str | None = None
    name: str | None = None
    with_members: bool = True
    offset: int = 0
    limit: int | None = None

    @property
    def values(self) -> dict[str, Any]:
        return values_of(Wanted, self)


_USER_CONDITIONS: Final[dict[str, LiteralString]] = {
    "resource_id": " AND s.user_id = %(resource_id)s::uuid",
    "external_id": " AND s.external_id = %(external_id)s",
    "name": " AND username_key(u.username) = username_key(%(name)s)",
}
_GROUP_CONDITIONS: Final[dict[str, LiteralString]] = {
    "resource_id": " AND s.group_id = %(resource_id)s::uuid",
    "external_id": " AND s.external_id = %(external_id)s",
    "name": " AND lower(g.name) = lower(%(name)s)",
}


def _conditions(conditions: dict[str, LiteralString], wanted: Wanted) -> LiteralString:
    parts: list[LiteralString] = [sql for name, sql in conditions.items() if getattr(wanted, name) is not None]
    return "".join(parts)


async def read_users(db: Database, wanted: Wanted) -> list[UserRow]:
    """Return users of a client, oldest first."""
    return await db.fetch_as(
        UserRow,
        _USERS
        + _conditions(_USER_CONDITIONS, wanted)
        + " ORDER BY s.created, s.user_id OFFSET %(offset)s LIMIT %(limit)s",
        wanted.values,
    )


async def read_groups(db: Database, wanted: Wanted) -> list[GroupRow]:
    """Return groups of a client, oldest first."""
    return await db.fetch_as(
        GroupRow,
        _GROUPS
        + _conditions(_GROUP_CONDITIONS, wanted)
        + " ORDER BY s.created, s.group_id OFFSET %(offset)s LIMIT %(limit)s",
        wanted.values,
    )


async def count_users(db: Database, client_id: str) -> int:
    """Return the number of users of a client."""
    return (await db.fetch("SELECT count(*) AS n FROM scim_users WHERE client_id = %s", (client_id,)))[0]["n"]


async def count_groups(db: Database, client_id: str) -> int:
    """Return the number of groups of a client."""
    return (await db.fetch("SELECT count(*) AS n FROM scim_groups WHERE client_id = %s", (client_id,)))[0]["n"]


async def get_user_row(connection: Connection, client_id: str, user_id: str) -> UserRow:
    """Return one user of a client, as it is in this transaction. Raises NotFound: the client has no such user."""
    cursor = await connection.execute(
        _USERS + " AND s.user_id = %(user_id)s::uuid", {"client_id": client_id, "user_id": user_id}
    )
    return require_row(row_as(UserRow, await cursor.fetchone()), "user", user_id)


async def get_group_row(connection: Connection, client_id: str, group_id: str) -> GroupRow:
    """Return one group of a client, as it is in this transaction. Raises NotFound: the client has no such group."""
    cursor = await connection.execute(
        _GROUPS + " AND s.group_id = %(group_id)s::uuid",
        {"client_id": client_id, "group_id": group_id, "with_members": True},
    )
    return require_row(row_as(GroupRow, await cursor.fetchone()), "group", group_id)


async def insert_user_row(connection: Connection, client_id: str, user_id: str) -> None:
    """Make a new user one of the client. `update_user_row` stores the attributes."""
    await connection.execute(
        "INSERT INTO scim_users (user_id, client_id, document) VALUES (%s, %s, '{}')", (user_id, client_id)
    )


async def update_user_row(
    connection: Connection, user_id: str, *, external_id: str | None, document: dict[str, Any], identity_id: str | None
) -> None:
    """Store the attributes of a user. The caller must have locked the user."""
    await connection.execute(
        "UPDATE scim_users SET external_id = %s, document = %s, identity_id = %s, modified = now() WHERE user_id = %s",
        (external_id, Jsonb(document), identity_id, user_id),
    )


async def insert_group_row(connection: Connection, client_id: str, group_id: str, external_id: str | None) -> None:
    """Make a new group one of the client."""
    await connection.execute(
        "INSERT INTO scim_groups (group_id, client_id, external_id) VALUES (%s, %s, %s)",
        (group_id, client_id, external_id),
    )


async def update_group_row(connection: Connection, group_id: str, external_id: str | None) -> None:
    """Store the external id of a group. The caller must have locked the group."""
    await connection.execute(
        "UPDATE scim_groups SET external_id = %s, modified = now() WHERE group_id = %s", (external_id, group_id)
    )


async def lock_users(connection: Connection, client_id: str, user_ids: Collection[str]) -> list[GroupUser]:
    """Lock users of a client in the order of their ids until commit, and return those that exist."""
    cursor = await connection.execute(
        "SELECT u.user_id::text, u.username FROM users u JOIN scim_users s USING (user_id) WHERE s.client_id = %s"
        " AND u.user_id = ANY(%s::uuid[]) ORDER BY u.user_id FOR NO KEY UPDATE OF u",
        (client_id, sorted(user_ids)),
    )
    return rows_as(GroupUser, await cursor.fetchall())


async def add_members(connection: Connection, group_id: str, user_ids: Collection[str]) -> None:
    """Make users members of a group. The caller must have locked the users."""
    await connection.execute(
        "INSERT INTO user_groups (user_id, group_id) SELECT unnest(%s::uuid[]), %s ON CONFLICT DO NOTHING",
        (sorted(user_ids), group_id),
    )


async def remove_members(connection: Connection, group_id: str, user_ids: Collection[str]) -> None:
    """End memberships of users in a group. The caller must have locked the users."""
    await connection.execute(
        "DELETE FROM user_groups WHERE group_id = %s AND user_id = ANY(%s::uuid[])", (group_id, sorted(user_ids))
    )
