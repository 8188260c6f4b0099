"""Agents: their registration, and changes by administrators."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Final

from greenroom.core.errors import IdentityConflict, NotFound, Refused
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.fleet.addresses import NO_EDGE, EdgeRegistration
from greenroom.core.fleet.enrollment import KnownAgent, RegistrationRequest, is_repeated_join, registration_refusal
from greenroom.db.database import Connection, Database, returned_row, row_as
from greenroom.db.fleet.enrollment import count_use, lock_token
from greenroom.db.fleet.liveness import delete_sessions_of
from greenroom.db.session.sessions import end_sessions

ALIVE_WITHIN_S: Final = 15.0
"""An Agent that checked in within this time is alive: no other host may use its identity."""

ADMITTED: Final = "(a.enabled OR a.status <> 'pending')"
"""Condition on `agents a`: the Agent does not wait to be enabled by an administrator. A waiting Agent gets no
instructions and no streams."""

DB_EPOCH: Final = (
    "(SELECT (SELECT system_identifier FROM pg_control_system()) || '.' ||"
    " (SELECT timeline_id FROM pg_control_checkpoint()) || '.' ||"
    " (SELECT oid FROM pg_database WHERE datname = current_database()) || '.' ||"
    " 'installation'::regclass::oid || '.' || db_epoch FROM installation)"
)
"""SQL for the installation's db_epoch, which changes with a restore, a fork or a new database
(docs/explanation/protocols.md §1). A dump that is restored in the same server restores the row of `installation`, but
creates the table again, so the oid of the table or of the database differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRegistration:
    """The result of a registration. `edge_before`: the edge gateway before the registration, None for a new Agent."""

    incarnation: int
    installation_id: str
    db_epoch: str
    is_new: bool
    enabled: bool
    edge: EdgeRegistration = NO_EDGE
    edge_before: EdgeRegistration | None = None


async def register(
    db: Database, request: RegistrationRequest, new_credential_hash: bytes, *, enabled: bool
) -> AgentRegistration:
    """Admit an Agent to a zone and count the registration (`incarnation`); `core.fleet.enrollment` decides who is
    admitted.

    An Agent that sends a join token gets a new credential (`new_credential_hash`); an Agent that sends its credential
    keeps the credential. A new Agent is enabled immediately if `enabled` is true or its token says so.

    Raises:
        Unauthenticated: the token or the credential is not valid.
        IdentityConflict: another Agent has this identity, or the Agent is already registered.
    """
    async with db.transaction() as connection:
        values = {"agent_id": request.agent_id, "alive_within_s": ALIVE_WITHIN_S}
        cursor = await connection.execute(_SELECT_KNOWN_AGENT, values)
        known = row_as(KnownAgent, await cursor.fetchone())
        token = await lock_token(connection, request.token_hash) if request.token_hash is not None else None
        if problem := registration_refusal(request, known, token):
            raise problem
        if request.token_hash is not None and not is_repeated_join(request, known):
            await count_use(connection, request.token_hash)
        credential_hash = new_credential_hash if request.token_hash is not None else request.credential_hash
        if known is not None:
            edge = known.edge.after_report(request.edge_url, with_token=request.token_hash is not None)
            registration = await _readmit(connection, request, credential_hash, edge)
            return replace(registration, edge=edge, edge_before=known.edge)
        await _check_route(connection, request.agent_id)
        enabled_by_token = token is not None and token.enable_agent
        return await _admit_new(connection, request, credential_hash, enabled=enabled or enabled_by_token)


_SELECT_KNOWN_AGENT: Final = (
    "SELECT a.credential_hash, a.place, a.zone_id::text, z.zone_name, a.joined_with,"
    " a.seq = 0 AS never_checked_in,"
    " jsonb_build_object('in_use', a.edge_url, 'requested', a.edge_url_requested) AS edge,"
    " coalesce(a.last_reported > clock_timestamp() - make_interval(secs => %(alive_within_s)s), false) AS alive"
    " FROM agents a JOIN zones z USING (zone_id) WHERE a.agent_id = %(agent_id)s FOR NO KEY UPDATE OF a"
)


async def _check_route(connection: Connection, agent_id: str) -> None:
    """Check that no other Agent's id has the same first 8 digits, which are part of the paths of streams."""
    cursor = await connection.execute(
        "SELECT hostname FROM agents WHERE left(agent_id::text, 8) = left(%s::text, 8)", (agent_id,)
    )
    same_route = await cursor.fetchone()
    if same_route is not None:
        raise IdentityConflict(
            f"The id {agent_id} begins like the id of the Agent on {same_route['hostname']}. Remove the file "
            "agent_id from the Agent's folder, so that the Agent creates another id."
        )


_RETURNING: Final = (
    " RETURNING incarnation, enabled, (SELECT installation_id::text FROM installation) AS installation_id, "
    f"{DB_EPOCH} AS db_epoch"
)


async def _admit_new(
    connection: Connection, request: RegistrationRequest, credential_hash: bytes | None, *, enabled: bool
) -> AgentRegistration:
    cursor = await connection.execute(
        "INSERT INTO agents (agent_id, zone_id, machine_id, place, hostname, edge_url, credential_hash, joined_with,"
        " enabled, version, incarnation) VALUES (%(agent_id)s, %(zone_id)s, %(machine_id)s, %(place)s, %(hostname)s,"
        " %(edge_url)s, %(credential_hash)s, %(token_hash)s, %(enabled)s, %(version)s, 1) ON CONFLICT DO NOTHING"
        + _RETURNING,
        asdict(request) | {"credential_hash": credential_hash, "enabled": enabled},
    )
    row = await cursor.fetchone()
    if row is None:
        raise IdentityConflict(f"Another Agent registered as {request.agent_id} at the same moment.")
    return AgentRegistration(**row, is_new=True)


async def _readmit(
    connection: Connection, request: RegistrationRequest, credential_hash: bytes | None, edge: EdgeRegistration
) -> AgentRegistration:
    cursor = await connection.execute(
        "UPDATE agents SET zone_id = %(zone_id)s, machine_id = %(machine_id)s, place = %(place)s,"
        " hostname = %(hostname)s, edge_url = %(edge_in_use)s, edge_url_requested = %(edge_requested)s,"
        " credential_hash = %(credential_hash)s, joined_with = coalesce(%(token_hash)s, joined_with),"
        " incarnation = incarnation + 1, seq = 0, version = %(version)s,"
        " complete = false, disconnected = NULL, refused_reason = NULL, refused_at = NULL, refused_address = NULL"
        " WHERE agent_id = %(agent_id)s" + _RETURNING,
        asdict(request)
        | {"credential_hash": credential_hash, "edge_in_use": edge.in_use, "edge_requested": edge.requested},
    )
    return AgentRegistration(**await returned_row(cursor), is_new=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCredentials:
    """The credential of an Agent, and facts for the answers to its requests. `has_edge`: its last registration contains
    an address of an edge gateway, which may not be confirmed yet."""

    agent_id: str
    zone_id: str
    credential_hash: bytes
    incarnation: int
    has_edge: bool

    @property
    def route(self) -> str:
        """The first 8 digits of the id, which identify the Agent in the path of a stream."""
        return self.agent_id[:8]


async def find_agent_credentials(db: Database, agent_id: str) -> AgentCredentials | None:
    """Return the credential of an Agent, or None if there is no such Agent."""
    return await db.fetch_one_as(
        AgentCredentials,
        "SELECT agent_id::text, zone_id::text, credential_hash, incarnation,"
        " coalesce(edge_url_requested, edge_url) <> '' AS has_edge FROM agents WHERE agent_id = %s",
        (agent_id,),
    )


async def record_refusal(db: Database, agent_id: str, reason: str, address: str) -> None:
    """Store, for administrators, that a host with this Agent's id was refused; nothing if there is no such Agent."""
    rows = await db.write(
        "UPDATE agents SET refused_reason = %s, refused_at = clock_timestamp(), refused_address = %s"
        " WHERE agent_id = %s RETURNING 1",
        (reason, address, agent_id),
    )
    if rows:
        await db.notify(ChangeEvent(Topic.AGENTS))


async def record_check_in_refusal(db: Database, agent_id: str, credential_hash: bytes, reason: str) -> bool:
    """Store the reason why a check-in of an Agent was refused. Return False if it is stored already, or if the
    credential is not that of the Agent."""
    rows = await db.write(
        "UPDATE agents SET check_in_refused = %(reason)s WHERE agent_id = %(agent_id)s"
        " AND credential_hash = %(credential_hash)s AND check_in_refused <> %(reason)s RETURNING 1",
        {"reason": reason, "agent_id": agent_id, "credential_hash": credential_hash},
    )
    if rows:
        await db.notify(ChangeEvent(Topic.AGENTS))
    return bool(rows)


_UPDATE_AGENT: Final = (
    "UPDATE agents SET enabled = coalesce(%(enabled)s, enabled), draining = coalesce(%(draining)s, draining),"
    " cores_override = CASE WHEN %(set_cores)s THEN %(cores)s::double precision ELSE cores_override END,"
    " memory_override = CASE WHEN %(set_memory)s THEN %(memory)s::bigint ELSE memory_override END"
    " WHERE agent_id = %(agent_id)s RETURNING (SELECT zone_key FROM zones WHERE zones.zone_id = agents.zone_id)"
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
    """Change an Agent and notify the topics `zone:` and `agents:`. None = no change; 0 removes an override.

    The Agent offers exactly the overrides. Without an override, it offers its cores times `cpu_overcommit`.
    An Agent that reports no capacity offers none. The Primary applies changes within a round; a new override is also
    stored here, so that it is visible immediately. Raises NotFound: no such Agent.
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
        cursor = await connection.execute(_UPDATE_AGENT, values)
        if (row := await cursor.fetchone()) is None:
            raise NotFound("There is no such Agent; it may have been deleted.")
        await connection.execute(
            "UPDATE agent_capacity c SET"
            " cores = CASE WHEN c.cores_reported > 0 THEN coalesce(a.cores_override, c.cores) ELSE 0 END,"
            " overcommit = CASE WHEN a.cores_override IS NULL THEN c.overcommit ELSE 1 END,"
            " memory = CASE WHEN c.memory_reported > 0 THEN coalesce(a.memory_override, c.memory) ELSE 0 END"
            " FROM agents a"
            " WHERE a.agent_id = %s AND c.agent_id = a.agent_id",
            (agent_id,),
        )
    await db.notify(ChangeEvent(Topic.AGENTS), ChangeEvent.zone(row["zone_key"]))


async def revoke_credential(db: Database, agent_id: str) -> None:
    """Invalidate the Agent's credential; the Agent is refused at its next message. Raises NotFound: no such Agent."""
    rows = await db.write(
        "UPDATE agents SET credential_hash = ''::bytea, incarnation = incarnation + 1 WHERE agent_id = %s RETURNING 1",
        (agent_id,),
    )
    if not rows:
        raise NotFound("There is no such Agent; it may have been deleted.")
    await db.notify(ChangeEvent.agent(agent_id), ChangeEvent(Topic.AGENTS))


async def delete_agent(db: Database, agent_id: str, *, force: bool) -> None:
    """Delete an Agent and notify the topics `agent:` and `agents:`.

    The lock order is the order of the check-in: the Agent, its capacity, then sessions by id. `force` ends the sessions
    of an Agent that will not return.

    Raises:
        NotFound: no such Agent.
        Refused: the Agent has sessions, and `force` is false or the Agent is alive.
    """
    async with db.transaction() as connection:
        await remove_agent(connection, agent_id, force=force)
    await db.notify(ChangeEvent.agent(agent_id), ChangeEvent(Topic.AGENTS))


async def remove_agent(connection: Connection, agent_id: str, *, force: bool = False) -> None:
    """Delete an Agent as `delete_agent` does, with the same errors, inside a transaction. The caller notifies after the
    commit."""
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
    await _end_sessions_of_deleted_agent(connection, agent_id, row["status"], row["sessions"], force=force)
    await connection.execute(
        "UPDATE sessions SET agent_id = NULL WHERE agent_id = %s AND status = 'deleted'", (agent_id,)
    )
    await connection.execute("DELETE FROM agents WHERE agent_id = %s", (agent_id,))


async def _end_sessions_of_deleted_agent(
    connection: Connection, agent_id: str, status: str, session_ids: list[str], *, force: bool
) -> None:
    if not session_ids:
        return
    if not force:
        count = "1 session" if len(session_ids) == 1 else f"{len(session_ids)} sessions"
        raise Refused(f"The Agent has {count}; drain it and wait, or delete it with force.")
    if status == "running":
        raise Refused("The Agent is running, and its containers would remain. Drain it and wait, or stop it first.")
    await delete_sessions_of(connection, agent_id, "its Agent was deleted")
    await end_sessions(connection, session_ids, "its Agent was deleted")
