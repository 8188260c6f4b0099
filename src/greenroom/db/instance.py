"""What `greenroom up`, `down` and `status` say and ask in SQL about their own instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from psycopg.types.json import Jsonb

from greenroom.core.errors import NotFound
from greenroom.db.database import Database
from greenroom.db.users import find_user, lock_user, revoke_access, update_user


async def installation_id(db: Database) -> str:
    """The id that the labels of this installation's containers carry."""
    row = await db.fetch_one("SELECT installation_id FROM installation")
    assert row is not None, "the first migration inserts the row"  # noqa: S101
    return str(row["installation_id"])


async def ensure_zones(db: Database, names: Sequence[str], allow_origin: str, upstream_auth: str) -> None:
    """Make the zones that do not exist; rewrite both values of those that nobody edited since `up` wrote them."""
    written = {"allow_origin_domain": allow_origin, "upstream_auth_address": upstream_auth}
    for name in names:
        await db.write(
            "INSERT INTO zones AS z (zone_name, allow_origin_domain, upstream_auth_address, written_by_up)"
            " VALUES (%(name)s, %(origin)s, %(auth)s, %(written)s)"
            " ON CONFLICT ON CONSTRAINT zones_name_unique DO UPDATE SET"
            " allow_origin_domain = EXCLUDED.allow_origin_domain,"
            " upstream_auth_address = EXCLUDED.upstream_auth_address, written_by_up = EXCLUDED.written_by_up"
            " WHERE z.written_by_up IS DISTINCT FROM EXCLUDED.written_by_up"
            " AND z.allow_origin_domain = z.written_by_up->>'allow_origin_domain'"
            " AND z.upstream_auth_address = z.written_by_up->>'upstream_auth_address'",
            {"name": name, "origin": allow_origin, "auth": upstream_auth, "written": Jsonb(written)},
        )


async def add_join_token(db: Database, token_hash: bytes, zone_name: str, hours: int) -> None:
    """Let one Agent join the zone once within the next `hours`; lapsed tokens are removed."""
    await db.write("DELETE FROM join_tokens WHERE expires < now()")
    await db.write(
        "INSERT INTO join_tokens (token_hash, role, zone_id, uses_left, expires)"
        " SELECT %s, 'agent', zone_id, 1, now() + make_interval(hours => %s) FROM zones WHERE zone_name = %s",
        (token_hash, hours, zone_name),
    )


async def agent_is_known(db: Database, agent_id: str) -> bool:
    """Whether the Agent registered with this database."""
    return await db.fetch_one("SELECT 1 FROM agents WHERE agent_id = %s", (agent_id,)) is not None


async def agent_states(db: Database, agent_ids: Sequence[str]) -> dict[str, str]:
    """agent id → pending, running, missing or dead; an Agent that has not registered is left out."""
    rows = await db.fetch("SELECT agent_id, status FROM agents WHERE agent_id = ANY(%s::uuid[])", (list(agent_ids),))
    return {str(row["agent_id"]): row["status"] for row in rows}


async def zone_ids(db: Database, names: Sequence[str]) -> dict[str, str]:
    """Zone name → zone id."""
    rows = await db.fetch("SELECT zone_id, zone_name FROM zones WHERE zone_name = ANY(%s)", (list(names),))
    return {row["zone_name"]: str(row["zone_id"]) for row in rows}


async def manager_ids(db: Database, instance_ids: Sequence[str]) -> dict[str, str]:
    """Instance id → manager id."""
    rows = await db.fetch(
        "SELECT manager_id, instance_id FROM managers WHERE instance_id = ANY(%s)", (list(instance_ids),)
    )
    return {row["instance_id"]: str(row["manager_id"]) for row in rows}


async def end_sessions_of(db: Database, agent_ids: Sequence[str], reason: str) -> int:
    """End all sessions of these Agents, whose processes are gone and whose containers are removed next; how many.

    Goes from any status to `deleted` by way of `deleting`, in one transaction, with the lock order of PROTOCOLS §3.
    """
    agents = list(agent_ids)
    async with db.transaction() as connection:
        await connection.execute(
            "SELECT 1 FROM agent_capacity WHERE agent_id = ANY(%s::uuid[]) ORDER BY agent_id FOR NO KEY UPDATE",
            (agents,),
        )
        cursor = await connection.execute(
            "UPDATE sessions SET status = 'deleted', want = 'absent', generation = generation + 1, deadline = NULL,"
            " ended = clock_timestamp(), status_changed = clock_timestamp(), ended_reason = %s"
            " WHERE agent_id = ANY(%s::uuid[]) AND status <> 'deleted' RETURNING session_id",
            (reason, agents),
        )
        ended = len(await cursor.fetchall())
        await connection.execute(
            "UPDATE agent_capacity SET cores_allocated = 0, memory_allocated = 0 WHERE agent_id = ANY(%s::uuid[])",
            (agents,),
        )
    return ended


async def password_is_one_time(db: Database, username: str) -> bool:
    """Whether the user still has the password the installation was made with."""
    row = await db.fetch_one("SELECT password_once FROM users WHERE lower(username) = lower(%s)", (username,))
    return row is not None and bool(row["password_once"])


async def set_password(db: Database, username: str, password_hash: str) -> None:
    """Store a new password, unlock the user, and end his log-ins and streams.

    Raises:
        NotFound: there is no such user.
    """
    user = await find_user(db, username)
    if user is None:
        raise NotFound(f"There is no user {username}.")
    async with db.transaction() as connection:
        locked = await lock_user(connection, user.user_id)
        await update_user(connection, replace(locked, password_hash=password_hash, password_once=False, locked=False))
        await connection.execute("DELETE FROM login_sessions WHERE user_id = %s", (user.user_id,))
        events = await revoke_access(connection, user.user_id)
    await db.notify("users:", *events)
