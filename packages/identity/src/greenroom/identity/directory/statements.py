"""The SQL of directories. The issuer of the identities of a directory is `directory:<id>`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, LiteralString

from greenroom.core.listing import SortOrder
from greenroom.db.database import Connection, Database, returned_row
from greenroom.db.listing import ListColumn, ListDefinition
from greenroom.db.rows import assignments, columns_of, insert_values, qualified
from greenroom.identity.directory.client import Tls
from greenroom.identity.statements import GroupRule, column_values

Membership = Literal["memberof", "member", "nested", "chain"]
ISSUER_PREFIX: Final = "directory:"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryFields:
    """The fields of a directory that can be changed, except the password."""

    title: str
    servers: list[str]
    tls: Tls
    ca_pem: str
    """The certificates that are trusted; empty = those of the system."""
    bind_dn: str
    user_base: str
    user_filter: str
    login_attributes: list[str]
    """The attributes that contain the name with which a user logs in."""
    id_attribute: str
    """The attribute that identifies a user forever."""
    attributes: dict[str, str]
    """Field of a user → the attribute that contains its value."""
    group_base: str
    """Empty = `user_base`."""
    group_filter: str
    membership: Membership
    rules: list[GroupRule]
    enabled: bool
    create_users: bool
    rule_required: bool
    """True: only users who match one of `rules` can log in."""
    sync_s: int
    """Seconds between two synchronizations; 0 = none."""
    grace_s: int
    """Seconds for which a user may be missing in the directory before the user is disabled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory(DirectoryFields):
    """A directory. `password_encrypted` None = anonymous requests."""

    directory_id: str
    name: str
    password_encrypted: bytes | None = field(repr=False)
    created: datetime
    synchronized: datetime | None
    """The end of the last complete synchronization."""
    sync_problem: str
    """Why the last synchronization stopped, as a sentence; empty = it did not stop."""
    num_users: int

    @property
    def issuer(self) -> str:
        return f"{ISSUER_PREFIX}{self.directory_id}"


FIELDS: Final = columns_of(DirectoryFields)
BY_TITLE: Final = SortOrder("title")
_DIRECTORIES: Final = ListDefinition(
    row_type=Directory,
    noun="directory",
    select=(
        qualified(FIELDS, "d")
        + ", d.directory_id::text, d.name, d.password_encrypted, d.created, d.synchronized, d.sync_problem,"
        " (SELECT count(*) FROM identities i WHERE i.issuer = 'directory:' || d.directory_id) AS num_users"
    ),
    source="FROM directories d",
    key="d.directory_id",
    columns={"title": ListColumn("lower(d.title)")},
    order=BY_TITLE,
)
list_directories: Final = _DIRECTORIES.read
get_directory: Final = _DIRECTORIES.get
lock_directory: Final = _DIRECTORIES.lock


async def insert_directory(
    connection: Connection, name: str, fields: DirectoryFields, password_encrypted: bytes | None
) -> str:
    """Store a directory, and return its id. Raises Duplicate: the name exists."""
    columns: tuple[LiteralString, ...] = (*FIELDS, "name", "password_encrypted")
    cursor = await connection.execute(
        "INSERT INTO directories " + insert_values(columns) + " RETURNING directory_id::text",
        column_values(DirectoryFields, fields, name=name, password_encrypted=password_encrypted),
    )
    return (await returned_row(cursor))["directory_id"]


async def update_directory(
    connection: Connection, directory_id: str, fields: DirectoryFields, password_encrypted: bytes | None
) -> None:
    """Store the fields and the password of a directory. Call `lock_directory` before."""
    await connection.execute(
        "UPDATE directories SET " + assignments((*FIELDS, "password_encrypted")) + " WHERE directory_id ="
        " %(directory_id)s",
        {
            **column_values(DirectoryFields, fields),
            "password_encrypted": password_encrypted,
            "directory_id": directory_id,
        },
    )


async def delete_directory(connection: Connection, directory: Directory) -> None:
    """Delete a directory and the identities of its users. The users remain."""
    await connection.execute("DELETE FROM identities WHERE issuer = %s", (directory.issuer,))
    await connection.execute("DELETE FROM directories WHERE directory_id = %s", (directory.directory_id,))
    await connection.execute("DELETE FROM sign_on_problems WHERE source_id = %s", (directory.directory_id,))


async def lock_unchanged_directory(connection: Connection, directory: Directory) -> bool:
    """Lock a directory against changes until the commit. Call this first in a transaction. Return False if it was
    deleted, disabled, or got other servers, users or subjects after `directory` was read."""
    cursor = await connection.execute(
        "SELECT 1 FROM directories WHERE directory_id = %s AND enabled AND servers = %s AND user_base = %s"
        " AND user_filter = %s AND id_attribute = %s FOR SHARE",
        (
            *(directory.directory_id, directory.servers, directory.user_base),
            *(directory.user_filter, directory.id_attribute),
        ),
    )
    return await cursor.fetchone() is not None


async def issuers_of_user(db: Database, user_id: str) -> frozenset[str]:
    """Return the issuers of the directories whose accounts are linked to the user."""
    query = "SELECT issuer FROM identities WHERE user_id = %s AND starts_with(issuer, %s)"
    return frozenset(row["issuer"] for row in await db.fetch(query, (user_id, ISSUER_PREFIX)))


async def users_with_access(db: Database, issuer: str) -> list[str]:
    """Return the ids of the users of an issuer who have no password at Greenroom, and have a log-in, a session or a
    view of a session."""
    rows = await db.fetch(
        "SELECT DISTINCT user_id::text FROM identities JOIN users u USING (user_id)"
        " WHERE issuer = %s AND u.password_hash IS NULL AND user_id IN ("
        " SELECT user_id FROM login_sessions UNION SELECT user_id FROM login_links"
        " UNION SELECT user_id FROM pending_logins UNION SELECT user_id FROM sessions WHERE status <> 'deleted'"
        " UNION SELECT user_id FROM session_viewers WHERE ended IS NULL) ORDER BY 1",
        (issuer,),
    )
    return [row["user_id"] for row in rows]


@dataclass(frozen=True, slots=True)
class SyncedUser:
    """A user who is synchronized: an enabled user without a password at Greenroom. `missing_s` is the time for which
    the user has been missing in the directory; None = the last synchronization found the user."""

    identity_id: str
    user_id: str
    username: str
    subject: str
    missing_s: float | None


async def synced_users(db: Database, issuer: str) -> list[SyncedUser]:
    """Return the users of a directory who are synchronized, by subject."""
    return await db.fetch_as(
        SyncedUser,
        "SELECT i.identity_id::text, u.user_id::text, u.username, i.subject,"
        " extract(epoch FROM now() - m.since)::double precision AS missing_s"
        " FROM identities i JOIN users u USING (user_id) LEFT JOIN missing_directory_users m USING (identity_id)"
        " WHERE i.issuer = %s AND u.password_hash IS NULL AND NOT u.disabled ORDER BY i.subject",
        (issuer,),
    )


async def record_missing(db: Database, issuer: str, identity_ids: list[str]) -> None:
    """Store which identities of an issuer are missing in their directory, and since when."""
    async with db.transaction() as connection:
        await connection.execute(
            "DELETE FROM missing_directory_users m USING identities i WHERE i.identity_id = m.identity_id"
            " AND i.issuer = %s AND m.identity_id <> ALL(%s::uuid[])",
            (issuer, identity_ids),
        )
        await connection.execute(
            "INSERT INTO missing_directory_users (identity_id) SELECT identity_id FROM identities"
            " WHERE identity_id = ANY(%s::uuid[]) ON CONFLICT DO NOTHING",
            (identity_ids,),
        )


RETAKE_AFTER_S: Final = 3600.0
"""The time after which a synchronization is due again, if the process that took it has stored no result."""


async def take_due_directory(db: Database) -> Directory | None:
    """Return a directory whose synchronization is due; None if there is none. No other process takes the same directory
    within `RETAKE_AFTER_S`."""
    rows = await db.write(
        "UPDATE directories SET sync_due = clock_timestamp() + make_interval(secs => %s) WHERE directory_id ="
        " (SELECT directory_id FROM directories WHERE enabled AND sync_s > 0 AND sync_due <= clock_timestamp()"
        "  ORDER BY sync_due LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) RETURNING directory_id::text",
        (RETAKE_AFTER_S,),
    )
    return await get_directory(db, rows[0]["directory_id"]) if rows else None


async def record_sync(db: Database, directory: Directory, next_s: float, *, problem: str) -> None:
    """Store the end of a synchronization, and the time until the next one. `problem`: why it stopped; empty = it is
    complete."""
    await db.write(
        "UPDATE directories SET sync_due = now() + make_interval(secs => %(next_s)s), sync_problem = %(problem)s,"
        " synchronized = CASE WHEN %(problem)s = '' THEN now() ELSE synchronized END"
        " WHERE directory_id = %(directory_id)s",
        {"next_s": next_s, "problem": problem, "directory_id": directory.directory_id},
    )
