"""Users: their rows, groups, preferences and SSH keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, LiteralString, TypeVar

from psycopg.types.json import Jsonb

from greenroom.core.access.accounts import latin_look_of
from greenroom.core.access.permissions import ADMINISTRATOR_GRANTS
from greenroom.core.errors import Duplicate, NotFound, Refused
from greenroom.core.listing import SortOrder
from greenroom.db.access.roles import grants_of_user
from greenroom.db.database import Connection, Database, returned_row, row_as
from greenroom.db.listing import ListColumn, ListDefinition
from greenroom.db.rows import assignments, columns_of, insert_values, qualified, values_of

T = TypeVar("T")

ALL_USERS: Final = "68d557ac-4cac-42cc-a9f3-1c7c853de0f3"
"""The group All Users; its id is fixed by the published interface."""


@dataclass(frozen=True, slots=True)
class Membership:
    """A group of a user."""

    group_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFields:
    """The changeable fields of a user. `password_hash` (argon2id, None = no password) is never sent to a client.
    `password_once`: the password is the one with which the installation was created. `break_glass`: the user logs in
    only with the password, and no sign-on provider can change the account."""

    username: str
    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    organization: str = ""
    notes: str = ""
    password_hash: str | None = field(default=None, repr=False)
    password_once: bool = False
    locked: bool = False
    disabled: bool = False
    break_glass: bool = False


FIELDS: Final = columns_of(UserFields)


@dataclass(frozen=True, slots=True, kw_only=True)
class User(UserFields):
    """A user with their groups. `permissions` are the grants of all groups (`core.access.roles`)."""

    user_id: str
    realm: str
    anonymous: bool
    """True if Greenroom created the user for one launch without a user; the user is deleted after the session."""
    service: bool
    """True for a service account (`db.access.service_accounts`), as which no person can log in."""
    auth_epoch: int
    created: datetime
    last_session: datetime | None
    """The last log-in."""
    last_launched: datetime | None
    last_launched_session_id: str | None
    """The last launch, and its session if it is still stored; None = no stored launch."""
    groups: list[Membership]
    permissions: list[str]
    num_sessions: int

    @property
    def may_log_in(self) -> bool:
        return not (self.disabled or self.locked or self.anonymous or self.service)


def _last_launch(value: LiteralString) -> LiteralString:
    """Return SQL for a value of the last launch `l` of user `u` that has a session."""
    return (
        f"(SELECT {value} FROM launches l WHERE l.user_id = u.user_id AND l.session_id IS NOT NULL"
        " ORDER BY l.at DESC, l.launch_id DESC LIMIT 1)"
    )


_STORED_SESSION: Final[LiteralString] = "(SELECT s.session_id::text FROM sessions s WHERE s.session_id = l.session_id)"
BY_NAME: Final = SortOrder("username")
USERS: Final = ListDefinition(
    row_type=User,
    select=(
        qualified(FIELDS, "u") + ", u.user_id::text, u.realm, u.auth_epoch, u.created, u.last_session,"
        f" {_last_launch('l.at')} AS last_launched, {_last_launch(_STORED_SESSION)} AS last_launched_session_id,"
        " EXISTS (SELECT 1 FROM anonymous_users a WHERE a.user_id = u.user_id) AS anonymous,"
        " EXISTS (SELECT 1 FROM service_accounts a WHERE a.user_id = u.user_id) AS service,"
        " COALESCE((SELECT jsonb_agg(jsonb_build_object('group_id', g.group_id, 'name', g.name)"
        "           ORDER BY g.priority, g.name) FROM user_groups ug JOIN groups g USING (group_id)"
        "           WHERE ug.user_id = u.user_id), '[]') AS groups, " + grants_of_user("u.user_id") + " AS permissions,"
        " (SELECT count(*) FROM sessions s WHERE s.user_id = u.user_id AND s.status <> 'deleted') AS num_sessions"
    ),
    columns={
        "username": ListColumn("lower(u.username)"),
        "name": ListColumn("lower(u.first_name || ' ' || u.last_name)"),
        "groups": ListColumn(
            "COALESCE(of_groups.names, '')",
            search_sql="u.user_id IN (SELECT ug.user_id FROM user_groups ug JOIN groups g USING (group_id)"
            " WHERE strpos(lower(g.name), {word}) > 0)",
        ),
        "status": ListColumn("CASE WHEN u.disabled THEN 'disabled' WHEN u.locked THEN 'locked' ELSE 'enabled' END"),
        "sessions": ListColumn("COALESCE(live.number, 0)", "bigint"),
        "last": ListColumn("COALESCE(u.last_session, '-infinity')", "timestamptz"),
        "created": ListColumn("u.created", "timestamptz"),
    },
    order=BY_NAME,
    filters={
        "service": "EXISTS (SELECT 1 FROM service_accounts a WHERE a.user_id = u.user_id) = %(service)s",
        "group": "EXISTS (SELECT 1 FROM user_groups m WHERE m.user_id = u.user_id AND m.group_id = %(group)s::uuid)",
        "in_groups": "EXISTS (SELECT 1 FROM user_groups m WHERE m.user_id = u.user_id"
        " AND m.group_id = ANY(%(in_groups)s::uuid[]))",
    },
    key="u.user_id",
    source="FROM users u LEFT JOIN (SELECT ug.user_id, string_agg(g.name, ', ' ORDER BY g.priority, g.name) AS names"
    "  FROM user_groups ug JOIN groups g USING (group_id) GROUP BY ug.user_id) of_groups USING (user_id)"
    " LEFT JOIN (SELECT s.user_id, count(*) AS number FROM sessions s WHERE s.status <> 'deleted' GROUP BY s.user_id)"
    "  live USING (user_id)",
)
list_users: Final = USERS.read

USERNAME_REUSED: Final[LiteralString] = (
    "EXISTS (SELECT 1 FROM former_usernames f WHERE f.username = u.username AND f.user_id <> u.user_id)"
)
"""SQL condition: another user had the name of user `u` before."""


def require_user(row: T | None, user_id: str) -> T:
    """Return the row of a user. Raises NotFound: the row is None."""
    if row is None:
        raise NotFound(f"There is no user {user_id}; the account may have been deleted.")
    return row


async def get_user(db: Database, user_id: str) -> User:
    """Return the user with this id. Raises NotFound: there is no such user."""
    return require_user(await find_user_by_id(db, user_id), user_id)


async def find_user_by_id(db: Database, user_id: str) -> User | None:
    """Return the user with this id; None if there is none."""
    return await USERS.find(db, "u.user_id = %s", (user_id,))


async def find_user(db: Database, username: str) -> User | None:
    """Return the user with this name, ignoring case, the Unicode form of letters, and spaces at the ends, which
    keyboards of phones add; None if there is none."""
    return await USERS.find(db, "username_key(u.username) = username_key(%s)", (username.strip(),))


async def insert_user(connection: Connection, fields: UserFields) -> str:
    """Store a new user in All Users; returns the id. Raises Duplicate: the name exists, in any case or letter form, or
    looks like an existing one."""
    await _check_look(connection, fields.username)
    cursor = await connection.execute(
        "INSERT INTO users " + insert_values(FIELDS) + " RETURNING user_id::text", values_of(UserFields, fields)
    )
    user_id: str = (await returned_row(cursor))["user_id"]
    await add_to_group(connection, user_id, ALL_USERS)
    return user_id


async def find_expired_anonymous_users(db: Database, retention_s: float, limit: int) -> list[tuple[str, str]]:
    """Return (id, name) of anonymous users whose last session ended more than `retention_s` ago, oldest first."""
    rows = await db.fetch(
        "SELECT u.user_id::text, u.username FROM anonymous_users JOIN users u USING (user_id)"
        " WHERE u.created < now() - make_interval(secs => %(retention)s)"
        " AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.user_id = u.user_id"
        "   AND (s.status <> 'deleted' OR s.ended > now() - make_interval(secs => %(retention)s)))"
        " ORDER BY u.created LIMIT %(limit)s",
        {"retention": retention_s, "limit": limit},
    )
    return [(row["user_id"], row["username"]) for row in rows]


async def lock_user(connection: Connection, user_id: str) -> User:
    """Lock a user until commit, against other changes and claims, and return it. Raises NotFound: no such user."""
    await connection.execute("SELECT 1 FROM users WHERE user_id = %s FOR NO KEY UPDATE", (user_id,))
    cursor = await connection.execute(f"{USERS.query} WHERE u.user_id = %s", (user_id,))
    return require_user(row_as(User, await cursor.fetchone()), user_id)


async def update_user(connection: Connection, user: User) -> None:
    """Store the `UserFields` of a user. The caller must have called `lock_user`. Raises Duplicate: the name exists, or
    looks like an existing one."""
    await _check_look(connection, user.username, user.user_id)
    await connection.execute(
        "UPDATE users SET " + assignments(FIELDS) + " WHERE user_id = %(user_id)s",
        values_of(UserFields, user) | {"user_id": user.user_id},
    )


async def _check_look(connection: Connection, username: str, user_id: str | None = None) -> None:
    """Check that people cannot take a user for another one. `user_id`: the user who gets the name; None = a new one. A
    user who has the name already keeps it."""
    if (latin_name := latin_look_of(username)) is None:
        return
    cursor = await connection.execute(
        "SELECT username FROM users WHERE username_key(username) = username_key(%(latin_name)s)"
        " AND user_id IS DISTINCT FROM %(user_id)s::uuid"
        " AND NOT EXISTS (SELECT FROM users u WHERE u.user_id = %(user_id)s::uuid AND u.username = %(username)s)",
        {"latin_name": latin_name, "user_id": user_id, "username": username},
    )
    if row := await cursor.fetchone():
        other_name = row["username"]
        raise Duplicate(f"The name {username} looks like that of the user {other_name}; choose another name.")


async def add_to_group(connection: Connection, user_id: str, group_id: str) -> bool:
    """Make the user a member; False = already a member. Raises Invalid: there is no such user or group."""
    cursor = await connection.execute(
        "INSERT INTO user_groups (user_id, group_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", (user_id, group_id)
    )
    return cursor.rowcount > 0


async def remove_from_group(connection: Connection, user_id: str, group_id: str) -> bool:
    """End a membership; False = the user was no member. Raises Refused: the group is All Users."""
    if group_id == ALL_USERS:
        raise Refused("Every user is in the group All Users; this membership cannot be removed.")
    cursor = await connection.execute(
        "DELETE FROM user_groups WHERE user_id = %s AND group_id = %s", (user_id, group_id)
    )
    return cursor.rowcount > 0


async def set_groups(connection: Connection, user_id: str, group_ids: list[str]) -> None:
    """Make the user a member of exactly these groups, and of All Users. Raises Invalid: no such group."""
    all_group_ids = sorted({*group_ids, ALL_USERS})
    await connection.execute(
        "DELETE FROM user_groups WHERE user_id = %s AND group_id <> ALL(%s::uuid[])", (user_id, all_group_ids)
    )
    for group_id in all_group_ids:
        await add_to_group(connection, user_id, group_id)


async def has_administrator(connection: Connection) -> bool:
    """Return True if a user who can log in has `global_admin`. Concurrent transactions ask one after another. It must
    follow the last change of a user, and precede the first lock of a session."""
    await connection.execute("SELECT pg_advisory_xact_lock(75, 0)")
    cursor = await connection.execute(
        "SELECT 1 FROM users u JOIN user_groups USING (user_id) JOIN group_grants g USING (group_id)"
        " WHERE g.granted = ANY(%s) AND NOT u.disabled AND NOT u.locked AND u.password_hash IS NOT NULL LIMIT 1",
        ([*ADMINISTRATOR_GRANTS],),
    )
    return await cursor.fetchone() is not None


async def require_a_break_glass_account(connection: Connection) -> None:
    """Check, as the last step of a transaction, that a break-glass account can log in. Raises Refused: there is no such
    account."""
    await connection.execute("SELECT pg_advisory_xact_lock(75, 1)")
    cursor = await connection.execute(
        "SELECT 1 FROM users WHERE break_glass AND NOT disabled AND NOT locked AND password_hash IS NOT NULL LIMIT 1"
    )
    if await cursor.fetchone() is None:
        raise Refused(
            "This is the last break-glass account. Mark another account first, or run `greenroom users break-glass NAME"
            " --off` on the host."
        )


async def count_live_sessions(connection: Connection, user_id: str) -> int:
    """Return the number of sessions of a user that are not ending."""
    cursor = await connection.execute(
        "SELECT count(*) AS number FROM sessions WHERE user_id = %s AND status NOT IN ('deleting', 'deleted')",
        (user_id,),
    )
    return (await returned_row(cursor))["number"]


async def delete_user_row(connection: Connection, user_id: str) -> None:
    """Delete a user who has no live session. The caller must have called `lock_user`.

    The user is removed from sessions that are ending. These sessions never become claimable, because their status is
    not `running`.

    Raises:
        NotFound: there is no user with this id.
        Invalid: the user has a live session.
    """
    await connection.execute(
        "SELECT 1 FROM sessions WHERE user_id = %s ORDER BY session_id FOR NO KEY UPDATE", (user_id,)
    )
    await connection.execute(
        "UPDATE sessions SET user_id = NULL WHERE user_id = %s AND status IN ('deleting', 'deleted', 'failed')",
        (user_id,),
    )
    cursor = await connection.execute("DELETE FROM users WHERE user_id = %s RETURNING 1", (user_id,))
    require_user(await cursor.fetchone(), user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAttributes:
    """The preferences and SSH keys of a user; None = not set. Their row is created by the first change."""

    user_id: str
    ssh_public_key: str | None = None
    ssh_private_key_encrypted: bytes | None = field(default=None, repr=False)
    preferred_language: str | None = None
    preferred_timezone: str | None = None
    default_image: str | None = None
    """The id of an existing workspace."""
    theme: str | None = None
    density: str | None = None
    times: str | None = None
    lists: dict[str, Any] = field(default_factory=dict[str, Any])
    """Name of a list of the console → shown columns and saved views."""
    favorite_images: list[str] = field(default_factory=list[str])
    """The ids of the workspaces that the launcher shows first; some may be deleted."""
    client_fields: dict[str, Any] = field(default_factory=dict[str, Any])
    """The data that clients of the published interface store with the user."""

    @property
    def has_ssh_private_key(self) -> bool:
        """True if there is a key. The key itself is sent only to the user's sessions."""
        return self.ssh_private_key_encrypted is not None


_ATTRIBUTES: Final = columns_of(UserAttributes)
_SELECT_ATTRIBUTES: Final[LiteralString] = (
    "SELECT a.user_id::text, a.ssh_public_key, a.ssh_private_key_encrypted, a.preferred_language,"
    " a.preferred_timezone, i.image_id::text AS default_image, a.theme, a.density, a.times, a.lists,"
    " a.favorite_images::text[], a.client_fields"
    " FROM user_attributes a LEFT JOIN images i ON i.image_id = a.default_image WHERE a.user_id = %(user_id)s"
)


async def get_attributes(db: Database, user_id: str) -> UserAttributes:
    """Return the attributes of a user; no attribute is set if there is no row, or no such user."""
    return await db.fetch_one_as(UserAttributes, _SELECT_ATTRIBUTES, {"user_id": user_id}) or UserAttributes(
        user_id=user_id
    )


async def lock_attributes(connection: Connection, user_id: str) -> UserAttributes:
    """Return the attributes. The caller must have called `lock_user`, which delays other changes."""
    cursor = await connection.execute(_SELECT_ATTRIBUTES, {"user_id": user_id})
    return row_as(UserAttributes, await cursor.fetchone()) or UserAttributes(user_id=user_id)


async def store_attributes(connection: Connection, attributes: UserAttributes) -> None:
    """Store all attributes. The caller must have called `lock_user`."""
    await connection.execute(
        f"INSERT INTO user_attributes {insert_values(_ATTRIBUTES)}"
        f" ON CONFLICT (user_id) DO UPDATE SET {assignments(_ATTRIBUTES)}",
        values_of(UserAttributes, attributes)
        | {"lists": Jsonb(attributes.lists), "client_fields": Jsonb(attributes.client_fields)},
    )
