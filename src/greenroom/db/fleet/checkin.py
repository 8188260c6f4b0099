"""The check-in in SQL: what a Manager reads before it answers, and what it commits of what Agents saw.

The group commit follows the lock order of PROTOCOLS §3: agents, then what `end_sessions` locks (agent_capacity,
sessions), then sessions by id. Observations live in a table of their own, so that claims never meet their updates;
rows that did not change are not written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from psycopg.types.json import Jsonb

from greenroom.db.database import Connection, Database
from greenroom.db.fleet.agents import ADMITTED, EPOCH
from greenroom.db.session.commands import AWAITED

_ORDERED: Final = "k.state = 'requested' AND " + AWAITED
"""A row of `session_commands k` that the Agent is to begin."""

_LOGIN_TO_FETCH: Final = (
    "CASE WHEN a.enabled AND NOT EXISTS (SELECT 1 FROM agent_images r WHERE r.agent_id = a.agent_id"
    " AND r.name = i.name AND r.state = 'present') THEN i.docker_token_encrypted END"
)
"""The registry's password of image `i` for an enabled Agent `a` that has to fetch it; nobody else is given one."""

_STATE: Final = (
    "SELECT a.incarnation, a.seq, a.complete, a.status, a.credential_hash, a.zone_id::text AS agent_zone_id,"
    " a.manager_id::text AS heard_manager_id, a.manager_term,"
    " c.cores_reported, c.memory_reported, m.enabled, m.zone_id::text, l.term,"
    " CASE WHEN l.expires_at > clock_timestamp() THEN l.manager_id::text END AS primary_id, " + EPOCH + " AS db_epoch,"
    " (SELECT coalesce(jsonb_object_agg(s.session_id, s.generation), '{}') FROM sessions s"
    "   WHERE s.agent_id = a.agent_id AND s.status <> 'deleted') AS generations,"
    " (SELECT coalesce(jsonb_agg(k.command_id), '[]') FROM session_commands k"
    "   WHERE k.agent_id = a.agent_id AND " + _ORDERED + ") AS command_ids,"
    " (SELECT md5(coalesce(string_agg(concat_ws('|', i.name, i.docker_registry, i.docker_user,"
    "     i.docker_token_encrypted IS NOT NULL, encode("
    + _LOGIN_TO_FETCH
    + ", 'hex')), ',' ORDER BY i.name, i.image_id), ''))"
    "   FROM images i WHERE i.enabled AND (NOT i.restrict_to_zone OR i.zone_id = m.zone_id)"
    "   AND (NOT i.restrict_to_server OR i.server_id = %(agent_id)s::uuid) AND " + ADMITTED + ") AS images_digest,"
    " (SELECT md5(coalesce(string_agg(concat(p.filter_policy_id, ':', p.xmin), ',' ORDER BY p.filter_policy_id), ''))"
    "   FROM filter_policies p) AS filter_policies_digest,"
    " (SELECT coalesce(jsonb_agg(jsonb_build_object('manager_id', o.manager_id, 'instance_id', o.instance_id,"
    "     'url', o.gateway_url) ORDER BY (o.manager_id = l.manager_id AND l.expires_at > clock_timestamp()) DESC,"
    "     (o.last_reported > clock_timestamp() - interval '15 seconds') DESC, o.instance_id), '[]')"
    "   FROM managers o WHERE o.zone_id = m.zone_id AND o.enabled AND o.gateway_url <> '') AS managers"
    " FROM managers m JOIN zones z ON z.zone_id = m.zone_id JOIN zone_leases l USING (zone_key)"
    " LEFT JOIN agents a ON a.agent_id = %(agent_id)s LEFT JOIN agent_capacity c ON c.agent_id = a.agent_id"
    " WHERE m.manager_id = %(manager_id)s"
)


async def read_state(db: Database, agent_id: str, manager_id: str) -> dict[str, Any] | None:
    """Everything an answer depends on, in one round trip; None if the Manager's record is gone.

    Not repeated when the connection was lost: the Agent waits, and the database's absence is an answer too.

    Raises:
        Unavailable: the database cannot be reached.
    """
    rows = await db.fetch(_STATE, {"agent_id": agent_id, "manager_id": manager_id}, retry=False)
    return rows[0] if rows else None


async def read_desired(db: Database, agent_id: str) -> list[dict[str, Any]]:
    """The Agent's whole desired list; `age_s` is how long ago the status of each changed.

    Raises:
        Unavailable: the database cannot be reached.
    """
    return await db.fetch(
        "SELECT session_id::text, generation, want, spec, credential_encrypted, files_encrypted,"
        # A quarantined session is handed to nobody any more: an Agent that comes back late runs no `assign` in it.
        " CASE WHEN user_id IS NOT NULL THEN assignment END AS assignment, user_id::text, auth_epoch, status,"
        " extract(epoch FROM clock_timestamp() - status_changed)::double precision AS age_s,"
        " coalesce((client_settings ->> 'idle_disconnect')::double precision, 0) * 60 AS idle_disconnect_s"
        " FROM sessions WHERE agent_id = %s AND status <> 'deleted' ORDER BY created",
        (agent_id,),
        retry=False,
    )


async def read_images(db: Database, agent_id: str, zone_id: str) -> list[dict[str, Any]]:
    """The images an Agent of the zone should hold, once each: those of enabled workspaces that may run on it.

    None while it waits to be enabled. `token` is None where the Agent need not fetch the image; `has_token` says
    whether the registry has one.

    Raises:
        Unavailable: the database cannot be reached.
    """
    return await db.fetch(
        "SELECT DISTINCT ON (i.name) i.name, i.docker_registry, i.docker_user, " + _LOGIN_TO_FETCH + " AS token,"
        " i.docker_token_encrypted IS NOT NULL AS has_token FROM images i JOIN agents a ON a.agent_id = %(agent_id)s"
        " WHERE i.enabled AND (NOT i.restrict_to_zone OR i.zone_id = %(zone_id)s)"
        " AND (NOT i.restrict_to_server OR i.server_id = %(agent_id)s) AND " + ADMITTED + " ORDER BY i.name, i.created",
        {"zone_id": zone_id, "agent_id": agent_id},
        retry=False,
    )


async def read_filter_policies(db: Database) -> list[dict[str, Any]]:
    """All web filter policies.

    Raises:
        Unavailable: the database cannot be reached.
    """
    return await db.fetch("SELECT * FROM filter_policies ORDER BY filter_policy_id", retry=False)


async def read_commands(db: Database, agent_id: str) -> list[dict[str, Any]]:
    """The commands the Agent has not begun yet; `age_s` is how long ago each was ordered.

    Raises:
        Unavailable: the database cannot be reached.
    """
    return await db.fetch(
        "SELECT command_id::text, session_id::text, generation, argv, run_as, env, workdir, deadline_s, screenshot,"
        " extract(epoch FROM clock_timestamp() - created)::double precision AS age_s"
        " FROM session_commands k WHERE agent_id = %s AND " + _ORDERED + " ORDER BY created",
        (agent_id,),
        retry=False,
    )


async def read_own(db: Database, agent_id: str, session_ids: Sequence[str]) -> dict[str, str | None]:
    """Those of these sessions that are or were this Agent's, with their users.

    Raises:
        Unavailable: the database cannot be reached.
    """
    rows = await db.fetch(
        "SELECT session_id::text, user_id::text FROM sessions WHERE session_id = ANY(%s::uuid[]) AND agent_id = %s",
        (list(session_ids), agent_id),
        retry=False,
    )
    return {row["session_id"]: row["user_id"] for row in rows}


async def read_living(db: Database, agent_id: str, session_ids: Sequence[str]) -> frozenset[str]:
    """Those of these sessions that have a row of this Agent that is not deleted.

    Raises:
        Unavailable: the database cannot be reached.
    """
    rows = await db.fetch(
        "SELECT session_id::text FROM sessions WHERE session_id = ANY(%s::uuid[]) AND agent_id = %s"
        " AND status <> 'deleted'",
        (list(session_ids), agent_id),
        retry=False,
    )
    return frozenset(row["session_id"] for row in rows)


# What is committed ------------------------------------------------------------------------------------------------


async def advance(connection: Connection, manager_id: str, messages: Sequence[dict[str, Any]]) -> frozenset[str]:
    """Take note of the newest message of each Agent; the ids of those whose message is newer than the last applied.

    Each message: agent_id, incarnation, seq, complete, term_seen, usage, lateness, runtime_error.
    """
    if len(messages) > 1:
        await connection.execute(
            "SELECT 1 FROM agents WHERE agent_id = ANY(%s::uuid[]) ORDER BY agent_id FOR NO KEY UPDATE",
            ([message["agent_id"] for message in messages],),
        )
    cursor = await connection.execute(
        "UPDATE agents a SET seq = m.seq, last_reported = clock_timestamp(), complete = a.complete OR m.complete,"
        " manager_id = %s, manager_term = m.term_seen, usage = m.usage,"
        " lateness = m.lateness, runtime_error = coalesce(m.runtime_error, '')"
        " FROM jsonb_to_recordset(%s) AS m(agent_id uuid, incarnation bigint, seq bigint, complete boolean,"
        " term_seen bigint, usage jsonb, lateness jsonb, runtime_error text)"
        " WHERE a.agent_id = m.agent_id AND a.incarnation = m.incarnation AND a.seq < m.seq"
        " RETURNING a.agent_id::text",
        (manager_id, Jsonb(list(messages))),
    )
    return frozenset(row["agent_id"] for row in await cursor.fetchall())


async def write_capacity(connection: Connection, reports: Iterable[dict[str, Any]], cpu_overcommit: float) -> None:
    """What Agents offer: their own report times overcommit, or the administrator's override. Written if changed.

    One that reports nothing, because its runtime does not answer, offers nothing, whatever the override says.

    Each report: agent_id, cores, memory_bytes.
    """
    await connection.execute(
        "INSERT INTO agent_capacity AS c (agent_id, cores_reported, memory_reported, cores, overcommit, memory)"
        " SELECT r.agent_id, r.cores, r.memory_bytes,"
        " CASE WHEN r.cores > 0 THEN coalesce(a.cores_override, r.cores * %(overcommit)s) ELSE 0 END,"
        " CASE WHEN a.cores_override IS NULL THEN %(overcommit)s ELSE 1 END,"
        " CASE WHEN r.memory_bytes > 0 THEN coalesce(a.memory_override, r.memory_bytes) ELSE 0 END"
        " FROM jsonb_to_recordset(%(reports)s) AS r(agent_id uuid, cores double precision, memory_bytes bigint)"
        " JOIN agents a USING (agent_id) ORDER BY r.agent_id"
        " ON CONFLICT (agent_id) DO UPDATE SET cores_reported = excluded.cores_reported,"
        " memory_reported = excluded.memory_reported, cores = excluded.cores,"
        " overcommit = excluded.overcommit, memory = excluded.memory"
        " WHERE (c.cores_reported, c.memory_reported) IS DISTINCT FROM"
        " (excluded.cores_reported, excluded.memory_reported)",
        {"overcommit": cpu_overcommit, "reports": Jsonb(list(reports))},
    )


async def write_images(connection: Connection, agent_id: str, images: Sequence[dict[str, Any]]) -> None:
    """The images an Agent reports, as a whole list; each: name, state, digest, progress, error."""
    await connection.execute(
        "DELETE FROM agent_images WHERE agent_id = %s AND NOT name = ANY(%s)",
        (agent_id, [image["name"] for image in images]),
    )
    await connection.execute(
        "INSERT INTO agent_images AS old (agent_id, name, state, digest, progress, error)"
        " SELECT DISTINCT ON (name) %s::uuid, name, state, digest, progress, error FROM jsonb_to_recordset(%s)"
        " AS i(name text, state text, digest text, progress integer, error text) ORDER BY name"
        " ON CONFLICT (agent_id, name) DO UPDATE SET state = excluded.state, digest = excluded.digest,"
        " progress = excluded.progress, error = excluded.error, updated = clock_timestamp()"
        " WHERE (old.state, old.digest, old.progress, old.error) IS DISTINCT FROM"
        " (excluded.state, excluded.digest, excluded.progress, excluded.error)",
        (agent_id, Jsonb(list(images))),
    )


async def write_command_reports(connection: Connection, reports: Sequence[dict[str, Any]]) -> list[str]:
    """Results of commands and screenshots; a finished one never changes. The sessions of the commands.

    Each report: agent_id, command_id, state, exit_code, output, output_complete, picture (base64).
    """
    cursor = await connection.execute(
        "UPDATE session_commands k SET state = r.state, exit_code = r.exit_code, output = r.output,"
        " output_complete = coalesce(r.output_complete, true),"
        " picture = decode(nullif(r.picture, ''), 'base64'),"
        " finished = CASE WHEN r.state = 'started' THEN NULL ELSE clock_timestamp() END"
        " FROM jsonb_to_recordset(%s) AS r(agent_id uuid, command_id uuid, state text, exit_code integer, output text,"
        " output_complete boolean, picture text) WHERE k.command_id = r.command_id AND k.agent_id = r.agent_id"
        " AND (k.state = 'requested' OR k.state = 'started' AND r.state <> 'started')"
        " RETURNING k.session_id::text, k.screenshot IS NULL AS is_command",
        (Jsonb(list(reports)),),
    )
    return [row["session_id"] for row in await cursor.fetchall() if row["is_command"]]
