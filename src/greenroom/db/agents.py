"""Agents in SQL: registration, the list for administrators, changes by administrators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from greenroom.core.errors import IdentityConflict, NotFound, Refused, Unauthenticated
from greenroom.db.database import Connection, Database
from greenroom.db.sessions import end_sessions, request_delete

ALIVE_WITHIN_S: Final = 15.0
"""An Agent heard of within this time is alive: nobody else may come with its identity."""

EPOCH: Final = (
    "(SELECT (SELECT system_identifier FROM pg_control_system()) || '.' ||"
    " (SELECT timeline_id FROM pg_control_checkpoint()) || '.' || db_epoch FROM installation)"
)
"""SQL for the installation's db_epoch: another one after a restore, a fork or a new database (PROTOCOLS §1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomer:
    """An Agent that registers; hashes are sha256. Exactly one of the two hashes is given."""

    agent_id: str
    zone_id: str
    machine_id: str
    hostname: str
    edge_url: str
    token_hash: bytes | None = None
    credential_hash: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What registration gives an Agent."""

    incarnation: int
    installation_id: str
    db_epoch: str
    is_new: bool


async def register(db: Database, newcomer: Newcomer, new_credential_hash: bytes) -> Identity:
    """Admit an Agent and give it its next incarnation.

    With a join token the Agent gets a new credential (`new_credential_hash`); with its credential it keeps it. The
    Agent takes the zone of the Manager it registers with.

    Raises:
        Unauthenticated: the token is unknown, used up, expired or for another zone; or the credential is not valid.
        IdentityConflict: another live machine has this identity.
    """
    async with db.transaction() as connection:
        cursor = await connection.execute(
            "SELECT credential_hash, machine_id, last_reported IS NULL AS never_reported,"
            " coalesce(last_reported > clock_timestamp() - make_interval(secs => %s), false) AS alive"
            " FROM agents WHERE agent_id = %s FOR NO KEY UPDATE",
            (ALIVE_WITHIN_S, newcomer.agent_id),
        )
        known = await cursor.fetchone()
        if newcomer.token_hash is not None:
            again = known is not None and known["never_reported"]
            await _use_token(connection, newcomer.token_hash, newcomer.zone_id, again)
        elif known is None or bytes(known["credential_hash"]) != newcomer.credential_hash:
            raise Unauthenticated("The Agent's credential is not valid; it was revoked, or the Agent was deleted.")
        if known is not None and known["alive"] and known["machine_id"] != newcomer.machine_id:
            raise IdentityConflict(
                "A live Agent on another machine has this identity; a copied identity is refused. Give this machine an "
                "Agent folder of its own and a join token."
            )
        credential_hash = new_credential_hash if newcomer.token_hash is not None else newcomer.credential_hash
        return await _admit(connection, newcomer, credential_hash, known is None)


async def _use_token(connection: Connection, token_hash: bytes, zone_id: str, again: bool) -> None:
    """Count one use. `again`: the Agent was admitted but never spoke, so the answer with its credential was lost."""
    cursor = await connection.execute(
        "UPDATE join_tokens SET uses_left = greatest(0, uses_left - 1) WHERE token_hash = %s AND role = 'agent'"
        " AND zone_id = %s AND (uses_left > 0 OR %s) AND expires > clock_timestamp() RETURNING 1",
        (token_hash, zone_id, again),
    )
    if await cursor.fetchone() is None:
        raise Unauthenticated(
            "The join token is not valid: unknown, used up, expired, or made for another zone or role. "
            "Make a new one and start the Agent with it."
        )


async def _admit(connection: Connection, newcomer: Newcomer, credential_hash: bytes | None, is_new: bool) -> Identity:
    cursor = await connection.execute(
        "INSERT INTO agents AS a (agent_id, zone_id, machine_id, hostname, edge_url, credential_hash, incarnation)"
        " VALUES (%s, %s, %s, %s, %s, %s, 1) ON CONFLICT (agent_id) DO UPDATE SET zone_id = excluded.zone_id,"
        " machine_id = excluded.machine_id, hostname = excluded.hostname, edge_url = excluded.edge_url,"
        " credential_hash = excluded.credential_hash, incarnation = a.incarnation + 1, seq = 0, complete = false"
        " RETURNING incarnation, (SELECT installation_id::text FROM installation) AS installation_id, "
        + EPOCH
        + " AS db_epoch",
        (
            newcomer.agent_id,
            newcomer.zone_id,
            newcomer.machine_id,
            newcomer.hostname,
            newcomer.edge_url,
            credential_hash,
        ),
    )
    row = await cursor.fetchone()
    if row is None:
        raise LookupError("an upsert returned no row")
    return Identity(**row, is_new=is_new)


_LIST: Final = (
    "SELECT a.agent_id::text, a.hostname, a.zone_id::text, z.zone_name, a.status, a.enabled, a.draining,"
    " a.manager_id::text, m.instance_id AS manager_instance_id, a.manager_term, a.registered, a.last_reported,"
    " a.edge_url, a.cores_override, a.memory_override, a.usage,"
    " coalesce(c.cores, 0) AS cores, coalesce(c.memory, 0) AS memory, coalesce(c.cores_reported, 0) AS cores_reported,"
    " coalesce(c.memory_reported, 0) AS memory_reported, coalesce(c.cores_allocated, 0) AS cores_allocated,"
    " coalesce(c.memory_allocated, 0) AS memory_allocated,"
    " (SELECT count(*) FROM sessions s WHERE s.agent_id = a.agent_id AND s.status <> 'deleted') AS sessions"
    " FROM agents a JOIN zones z USING (zone_id) LEFT JOIN agent_capacity c USING (agent_id)"
    " LEFT JOIN managers m ON m.manager_id = a.manager_id"
    " WHERE %(agent_id)s::uuid IS NULL OR a.agent_id = %(agent_id)s::uuid"
    " ORDER BY z.zone_name, a.registered, a.agent_id"
)


async def list_agents(db: Database, agent_id: str | None = None) -> list[dict[str, Any]]:
    """All Agents, or the one asked for, as `GET /agents` shows them; memory in bytes."""
    return await db.fetch(_LIST, {"agent_id": agent_id})


async def find_agent(db: Database, name: str) -> str | None:
    """The agent_id for an agent_id, the first 8 digits of one, or a hostname that only one Agent has."""
    rows = await db.fetch(
        "SELECT agent_id::text FROM agents WHERE agent_id::text = %(name)s OR left(agent_id::text, 8) = %(name)s"
        " OR hostname = %(name)s LIMIT 2",
        {"name": name},
    )
    return rows[0]["agent_id"] if len(rows) == 1 else None


_CHANGE: Final = (
    "UPDATE agents SET enabled = coalesce(%(enabled)s, enabled), draining = coalesce(%(draining)s, draining),"
    " cores_override = CASE WHEN %(set_cores)s THEN %(cores)s::double precision ELSE cores_override END,"
    " memory_override = CASE WHEN %(set_memory)s THEN %(memory)s::bigint ELSE memory_override END"
    " WHERE agent_id = %(agent_id)s RETURNING zone_id"
)


async def update_agent(
    db: Database,
    agent_id: str,
    *,
    enabled: bool | None = None,
    draining: bool | None = None,
    cores_override: float | None = None,
    memory_override: int | None = None,
) -> None:
    """Change an Agent; None = leave it, an override of 0 = take it away again. `zone:` and `agents:` are notified.

    An override is what the Agent offers, exactly; without one it offers its cores times `cpu_overcommit`. The Primary
    applies it within a round; one that is set is also applied here, so that it is seen at once.

    Raises:
        NotFound: no such Agent.
    """
    values = {
        "agent_id": agent_id,
        "enabled": enabled,
        "draining": draining,
        "set_cores": cores_override is not None,
        "cores": cores_override or None,
        "set_memory": memory_override is not None,
        "memory": memory_override or None,
    }
    async with db.transaction() as connection:
        if await (await connection.execute(_CHANGE, values)).fetchone() is None:
            raise NotFound("There is no such Agent; it may have been deleted.")
        await connection.execute(
            "UPDATE agent_capacity c SET cores = coalesce(a.cores_override, c.cores),"
            " memory = coalesce(a.memory_override, c.memory) FROM agents a"
            " WHERE a.agent_id = %s AND c.agent_id = a.agent_id",
            (agent_id,),
        )
        cursor = await connection.execute(
            "SELECT 'zone:' || zone_key AS event FROM agents JOIN zones USING (zone_id) WHERE agent_id = %s",
            (agent_id,),
        )
        events = [row["event"] for row in await cursor.fetchall()]
    await db.notify("agents:", *events)


async def revoke_credential(db: Database, agent_id: str) -> None:
    """Make the Agent's credential worthless; it is refused at its next message.

    Raises:
        NotFound: no such Agent.
    """
    rows = await db.write(
        "UPDATE agents SET credential_hash = ''::bytea, incarnation = incarnation + 1 WHERE agent_id = %s RETURNING 1",
        (agent_id,),
    )
    if not rows:
        raise NotFound("There is no such Agent; it may have been deleted.")
    await db.notify(f"agent:{agent_id}", "agents:")


async def add_join_token(
    db: Database, token_hash: bytes, zone_id: str, *, role: str = "agent", uses: int = 1, valid_s: float = 3600.0
) -> None:
    """Admit newcomers with a token: `uses` times within `valid_s` seconds, into one zone."""
    await db.write(
        "INSERT INTO join_tokens (token_hash, role, zone_id, uses_left, expires)"
        " VALUES (%s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))",
        (token_hash, role, zone_id, uses, valid_s),
    )


async def delete_agent(db: Database, agent_id: str, *, force: bool) -> None:
    """Delete an Agent; `agent:` and `agents:` are notified.

    Lock order, as the check-in's: the Agent, its capacity, then sessions by id. `force` ends the sessions of an Agent
    that is gone for good.

    Raises:
        NotFound: no such Agent.
        Refused: it has sessions, and `force` is false or it is alive.
    """
    async with db.transaction() as connection:
        await connection.execute("SELECT 1 FROM agents WHERE agent_id = %s FOR NO KEY UPDATE", (agent_id,))
        await connection.execute("SELECT 1 FROM agent_capacity WHERE agent_id = %s FOR NO KEY UPDATE", (agent_id,))
        cursor = await connection.execute(
            "SELECT status, ARRAY(SELECT session_id::text FROM sessions s WHERE s.agent_id = a.agent_id"
            " AND s.status <> 'deleted' ORDER BY 1) AS sessions FROM agents a WHERE agent_id = %s",
            (agent_id,),
        )
        row = await cursor.fetchone()
        if row is None:
            raise NotFound("There is no such Agent; it may have been deleted.")
        await _end_sessions_of_gone(connection, row["status"], row["sessions"], force=force)
        await connection.execute(
            "UPDATE sessions SET agent_id = NULL WHERE agent_id = %s AND status = 'deleted'", (agent_id,)
        )
        await connection.execute("DELETE FROM agents WHERE agent_id = %s", (agent_id,))
    await db.notify(f"agent:{agent_id}", "agents:")


async def _end_sessions_of_gone(connection: Connection, status: str, session_ids: list[str], *, force: bool) -> None:
    if not session_ids:
        return
    if not force:
        raise Refused(f"The Agent has {len(session_ids)} sessions; drain it and wait, or delete it with force.")
    if status == "running":
        raise Refused("The Agent is alive and would leave its containers behind; drain it and wait, or stop it first.")
    for session_id in session_ids:
        await request_delete(connection, session_id, "its Agent was deleted")
    await end_sessions(connection, session_ids, "its Agent was deleted")
