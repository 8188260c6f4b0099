"""The SQL of `greenroom up`, `down`, `status` and `setup`: zones, join tokens, states of Agents, and the first data.

A new installation begins with two groups, an administrator, an API key and the workspace `Desktop`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from psycopg.types.json import Jsonb

from greenroom.core.access.accounts import ADMIN
from greenroom.core.access.group_settings import STAGED_PERMISSIONS
from greenroom.core.access.lifecycle import Cause
from greenroom.core.access.permissions import GLOBAL_ADMIN, USER
from greenroom.core.errors import NotFound, Refused
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.fleet.disk import FreeDisk
from greenroom.core.log_codes import LogCode
from greenroom.core.session.states import SessionStatus
from greenroom.db.access.api_keys import insert_key
from greenroom.db.access.credentials import delete_logins_of, limit_to_password
from greenroom.db.access.groups import change_settings
from greenroom.db.access.lifecycle import begin_loss, end_access, lock_access
from greenroom.db.access.second_factors import delete_factors_of
from greenroom.db.access.users import (
    ALL_USERS,
    User,
    UserFields,
    add_to_group,
    find_user,
    insert_user,
    lock_user,
    update_user,
)
from greenroom.db.database import Connection, Database, returned_row
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.fleet.enrollment import add_join_token
from greenroom.db.fleet.liveness import FREE_DISK, LOCK_CAPACITY
from greenroom.db.fleet.zones import NamedZone
from greenroom.db.session.sessions import END_COMMANDS
from greenroom.db.session.transitions import CHANGE_TO


async def ensure_zones(
    db: Database, names: Sequence[str], allow_origin: str, upstream_auth: str, stream_port: int
) -> None:
    """Create the zones that do not exist, and update the zones whose values were not edited since `up` wrote them.

    A renamed zone is found by its former name. `stream_port` is stored as the zone setting `proxy_port`, to which
    browsers connect if the setting `proxy_connections` is off.
    """
    settings = {"allow_origin_domain": allow_origin, "upstream_auth_address": upstream_auth, "proxy_port": stream_port}
    for name in names:
        values = {**settings, "name": name, "written": Jsonb(settings)}
        await db.write(
            "INSERT INTO zones (zone_name, allow_origin_domain, upstream_auth_address, proxy_port, written_by_up)"
            " SELECT %(name)s, %(allow_origin_domain)s, %(upstream_auth_address)s, %(proxy_port)s, %(written)s"
            " WHERE NOT EXISTS (SELECT 1 FROM zones WHERE %(name)s = ANY(zone_name || former_names))"
            " ON CONFLICT ON CONSTRAINT zones_name_unique DO NOTHING",
            values,
        )
        await db.write(
            "UPDATE zones SET allow_origin_domain = %(allow_origin_domain)s, proxy_port = %(proxy_port)s,"
            " upstream_auth_address = %(upstream_auth_address)s, written_by_up = %(written)s"
            " WHERE %(name)s = ANY(zone_name || former_names) AND written_by_up IS DISTINCT FROM %(written)s"
            " AND allow_origin_domain = written_by_up->>'allow_origin_domain'"
            " AND upstream_auth_address = written_by_up->>'upstream_auth_address'"
            " AND proxy_port = (written_by_up->>'proxy_port')::integer",
            values,
        )


JOIN_HOURS: Final = 1
"""The lifetime of the join token of an Agent, in hours. Another `up` or `setup` creates a new token."""


async def allow_join(
    db: Database, token_hash: bytes, zone_name: str, agent_id: str | None = None, *, created_by: str = ""
) -> None:
    """Allow one new Agent, which is enabled immediately, to join the zone within JOIN_HOURS. If Agent `agent_id` has
    registered with this database, allow only this Agent to join again, in its zone. Raises NotFound: there is no such
    zone."""
    zone_id = await zone_of_agent(db, agent_id) if agent_id else None
    known_id = agent_id if zone_id else None
    if zone_id is None:
        zone = (await find_zones(db, [zone_name])).get(zone_name)
        if zone is None:
            raise NotFound(f"There is no zone {zone_name}; create it first (greenroom zones create).")
        zone_id = zone.zone_id
    await add_join_token(
        db,
        token_hash,
        zone_id,
        valid_s=JOIN_HOURS * 3600.0,
        agent_id=known_id,
        enable_agent=True,
        created_by=created_by,
    )


async def zone_of_agent(db: Database, agent_id: str) -> str | None:
    """Return the zone_id of an Agent; None if the Agent has not registered with this database."""
    row = await db.fetch_one("SELECT zone_id::text FROM agents WHERE agent_id = %s", (agent_id,))
    return str(row["zone_id"]) if row else None


WAITS_FOR_ADMINISTRATOR: Final = "waits for an administrator to enable it"
"""State of a new Agent that neither its join token nor the setting `auto_agent` enabled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedAgent:
    """An Agent in the output of `greenroom status`. `state` is pending, running, missing, dead or
    WAITS_FOR_ADMINISTRATOR; `disk` is the last report of the Agent about its disk."""

    hostname: str
    state: str
    disk: FreeDisk = field(default_factory=FreeDisk)


async def agent_states(db: Database, agent_ids: Sequence[str]) -> dict[str, ListedAgent]:
    """Return Agents by id, without Agents that have not registered."""
    rows = await db.fetch(
        "SELECT agent_id::text, agent_name(a) AS hostname,"
        f" CASE WHEN status = 'pending' AND NOT enabled THEN %s ELSE status END AS state, {FREE_DISK} AS disk"
        " FROM agents a WHERE agent_id = ANY(%s::uuid[])",
        (WAITS_FOR_ADMINISTRATOR, list(agent_ids)),
    )
    return {
        row["agent_id"]: ListedAgent(hostname=row["hostname"], state=row["state"], disk=FreeDisk(**row["disk"]))
        for row in rows
    }


async def find_zones(db: Database, names: Sequence[str]) -> dict[str, NamedZone]:
    """Return present or former name → the zone; a name without a zone is omitted."""
    rows = await db.fetch(
        "SELECT name, zone_id::text, zone_name FROM unnest(%s::text[]) AS name"
        " JOIN zones ON name = ANY(zone_name || former_names)",
        (list(names),),
    )
    return {row["name"]: NamedZone(row["zone_id"], row["zone_name"]) for row in rows}


async def find_manager_ids(db: Database, instance_ids: Sequence[str]) -> dict[str, str]:
    """Return instance id → manager id."""
    rows = await db.fetch(
        "SELECT manager_id, instance_id FROM managers WHERE instance_id = ANY(%s)", (list(instance_ids),)
    )
    return {row["instance_id"]: str(row["manager_id"]) for row in rows}


async def end_sessions_of(db: Database, agent_ids: Sequence[str], reason: str) -> int:
    """End all sessions of these Agents, and return the number of sessions. The Agents have ended; the caller then
    removes the containers. One transaction changes the sessions from any status to `deleted`, with the lock order of
    docs/explanation/protocols.md §3."""
    agents = list(agent_ids)
    async with db.transaction() as connection:
        await connection.execute(LOCK_CAPACITY, (agents,))
        cursor = await connection.execute(
            "WITH ended AS (UPDATE sessions SET " + CHANGE_TO[SessionStatus.DELETED] + ", ended_reason = %s"
            " WHERE agent_id = ANY(%s::uuid[]) AND status <> 'deleted' RETURNING session_id),"
            " commands AS (" + END_COMMANDS + ") SELECT session_id FROM ended",
            (reason, agents),
        )
        count = len(await cursor.fetchall())
        await connection.execute(
            "UPDATE agent_capacity SET cores_allocated = 0, memory_allocated = 0 WHERE agent_id = ANY(%s::uuid[])",
            (agents,),
        )
    return count


async def has_one_time_password(db: Database, username: str) -> bool:
    """Return True if the user still has the password with which the installation was created."""
    row = await db.fetch_one(
        "SELECT password_once FROM users WHERE username_key(username) = username_key(%s)", (username,)
    )
    return row is not None and bool(row["password_once"])


async def set_password(db: Database, username: str, password_hash: str) -> None:
    """Store a password, unlock the user, and end their log-ins and streams.

    Raises:
        NotFound: there is no such user.
        Refused: it is a service account.
    """
    user = await _get_user(db, username)
    async with db.transaction() as connection:
        await lock_access(connection, alone=False)
        locked = await lock_user(connection, user.user_id)
        await update_user(connection, replace(locked, password_hash=password_hash, password_once=False, locked=False))
        await begin_loss(connection, [user.user_id])
        ended = await end_access(connection, {user.user_id: {Cause.PASSWORD}}, {user.user_id: user.username})
    await db.notify(ChangeEvent(Topic.USERS), *ended.events)


async def reset_factors(db: Database, username: str) -> int:
    """Remove the second factors of a user, end their log-ins and streams, and log it. Return the number of factors.
    Raises NotFound: there is no such user."""
    user = await _get_user(db, username)
    async with db.transaction() as connection:
        await lock_access(connection, alone=False)
        await lock_user(connection, user.user_id)
        number = await delete_factors_of(connection, user.user_id)
        await delete_logins_of(connection, [user.user_id])
        await begin_loss(connection, [user.user_id])
        ended = await end_access(connection, {user.user_id: {Cause.LOGGED_OUT}}, {user.user_id: user.username})
    await db.notify(ChangeEvent(Topic.USERS), *ended.events)
    message = f"The command line of the host removed all {number} second factors of {user.username}"
    await _log_change(db, LogCode.SECOND_FACTOR_DELETED, message, user)
    return number


async def set_break_glass(db: Database, username: str, *, enabled: bool) -> None:
    """Mark or unmark a break-glass account, and log it. A marked account logs in with its password only.

    Raises:
        NotFound: there is no such user.
        Refused: the user has no password, or is a service account.
    """
    user = await _get_user(db, username)
    async with db.transaction() as connection:
        locked = await lock_user(connection, user.user_id)
        if enabled and locked.password_hash is None:
            raise Refused(f"{username} has no password; run greenroom users reset-password {username} first.")
        await update_user(connection, replace(locked, break_glass=enabled))
        if enabled:
            await limit_to_password(connection, user.user_id)
    await db.notify(ChangeEvent(Topic.USERS))
    change = f"break_glass {str(user.break_glass).lower()} → {str(enabled).lower()}"
    message = f"The command line of the host changed user {user.username}: {change}"
    await _log_change(db, LogCode.USER_CHANGED, message, user)


async def _get_user(db: Database, username: str) -> User:
    user = await find_user(db, username)
    if user is None:
        raise NotFound(f"There is no user {username}.")
    if user.service:
        raise Refused(
            f"{username} is a service account, which has no log-in. Change it with greenroom service-accounts."
        )
    return user


async def _log_change(db: Database, code: LogCode, message: str, user: User) -> None:
    logs = LogWriter(db, "up")
    logs.write(code, message, level="WARNING", user_id=user.user_id, username=user.username)
    await logs.flush()


DESKTOP: Final = "Desktop"


async def has_first_data(db: Database) -> bool:
    """Return True if the first data exist; the database may be empty, or of any version."""
    tables = await db.fetch_one("SELECT to_regclass('groups') IS NOT NULL AS exists")
    if tables is None or not tables["exists"]:
        return False
    return await db.fetch_one("SELECT 1 FROM groups WHERE group_id = %s", (ALL_USERS,)) is not None


async def ensure_first_data(
    db: Database,
    *,
    image: str,
    admin_password_hash: str,
    key_id: str,
    key_secret_hash: bytes,
    reachable: bool = False,
) -> bool:
    """Create the first data unless they exist. Return True if they were created, with this password and this key.

    All data are created in one transaction, and never a second time: deleted data stay deleted. The caller stores
    password and secret *before* the call, so that a crash loses neither. `image` is the reference of the desktop image;
    the hashes are argon2id of the initial password, and sha256 of the secret of the key. If the installation is
    `reachable` from other machines, the password must be changed at the first log-in.
    """
    async with db.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(76, 0)")
        cursor = await connection.execute("SELECT 1 FROM groups WHERE group_id = %s", (ALL_USERS,))
        if await cursor.fetchone() is not None:
            return False
        administrators = await _insert_groups(connection)
        admin = await insert_user(
            connection, UserFields(username=ADMIN, password_hash=admin_password_hash, password_once=True)
        )
        await add_to_group(connection, admin, administrators)
        await insert_key(
            connection,
            key_id=key_id,
            secret_hash=key_secret_hash,
            name="First key of the installation",
            permissions=[GLOBAL_ADMIN, USER],
        )
        await _insert_desktop(connection, image)
        if reachable:
            await connection.execute(
                "INSERT INTO settings (name, value) VALUES ('require_password_change', 'true') ON CONFLICT DO NOTHING"
            )
    return True


async def _insert_groups(connection: Connection) -> str:
    """Create both system groups, and return the id of the group Administrators."""
    await connection.execute(
        "INSERT INTO groups (group_id, name, description, priority, is_system, permissions)"
        " VALUES (%s, 'All Users', 'Everybody', 1000, true, %s)",
        (ALL_USERS, [USER]),
    )
    await change_settings(connection, ALL_USERS, dict.fromkeys(STAGED_PERMISSIONS, True))
    cursor = await connection.execute(
        "INSERT INTO groups (name, description, priority, is_system, permissions)"
        " VALUES ('Administrators', 'May do everything', 1, true, %s) RETURNING group_id",
        ([GLOBAL_ADMIN],),
    )
    return str((await returned_row(cursor))["group_id"])


async def _insert_desktop(connection: Connection, image: str) -> None:
    """Insert the workspace `Desktop` for All Users. Its web browser needs 2 GiB; its picture is that of the recipe."""
    cursor = await connection.execute(
        "INSERT INTO images (name, friendly_name, description, image_src, cores, memory, memory_limit, categories,"
        " port_map) VALUES (%s, %s, 'A Linux desktop', '/api/v1/catalogue/desktop/picture', 0.1, 256000000, %s, %s, %s)"
        " RETURNING image_id",
        (image, DESKTOP, 2 << 30, Jsonb(["Desktop"]), Jsonb({"desk": "desk"})),
    )
    image_id = (await returned_row(cursor))["image_id"]
    await connection.execute("INSERT INTO group_images (group_id, image_id) VALUES (%s, %s)", (ALL_USERS, image_id))
