"""Stores the reports of Agents from check-ins. `db.fleet.checkin` reads the data for the answers.

The transaction that stores check-ins follows the lock order of docs/explanation/protocols.md §3: agents, then the rows
that `end_sessions` locks (agent_capacity, sessions), then sessions by id. Observations have a separate table, so that
claims do not wait for their updates. Rows that did not change are not written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from psycopg.types.json import Jsonb

from greenroom.core.catalogue.fetch_methods import ImageProgress
from greenroom.core.fleet.liveness import Lateness
from greenroom.db.database import Connection
from greenroom.db.fleet.checkin import WireJson
from greenroom.db.rows import differs_from_excluded, excluded_values


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentProgress:
    """The part of a message that describes the Agent itself."""

    agent_id: str
    incarnation: int
    seq: int
    complete: bool
    term_seen: int
    usage: WireJson
    lateness: Lateness
    runtime_error: str | None
    crash_loop: str = ""


async def write_progress(connection: Connection, manager_id: str, messages: Sequence[AgentProgress]) -> frozenset[str]:
    """Store the newest message of each Agent, in the order of the ids. Return the ids of the Agents whose message is
    newer than the stored message."""
    cursor = await connection.execute(
        "WITH locked AS MATERIALIZED (SELECT agent_id FROM agents WHERE agent_id = ANY(%(agent_ids)s::uuid[])"
        "  ORDER BY agent_id FOR NO KEY UPDATE)"
        ", updated AS (UPDATE agents a SET seq = m.seq, last_reported = clock_timestamp(),"
        " complete = a.complete OR m.complete,"
        " manager_id = %(manager_id)s, manager_term = m.term_seen, usage = m.usage - 'sessions',"
        " lateness = m.lateness, runtime_error = coalesce(m.runtime_error, ''),"
        " crash_loop = coalesce(m.crash_loop, ''), check_in_refused = ''"
        " FROM locked JOIN jsonb_to_recordset(%(messages)s) AS m(agent_id uuid, incarnation bigint, seq bigint,"
        " complete boolean, term_seen bigint, usage jsonb, lateness jsonb, runtime_error text, crash_loop text)"
        " USING (agent_id)"
        " WHERE a.agent_id = locked.agent_id AND a.incarnation = m.incarnation AND a.seq < m.seq"
        " RETURNING a.agent_id, coalesce(m.usage->'sessions', '{}') AS sessions)"
        ", used AS (INSERT INTO agent_session_use (agent_id, sessions) SELECT n.agent_id, n.sessions FROM updated n"
        " LEFT JOIN agent_session_use u USING (agent_id) WHERE u.sessions IS DISTINCT FROM n.sessions"
        " ON CONFLICT (agent_id) DO UPDATE SET sessions = excluded.sessions)"
        " SELECT agent_id::text FROM updated",
        {
            "agent_ids": [message.agent_id for message in messages],
            "manager_id": manager_id,
            "messages": Jsonb(list(messages)),
        },
    )
    return frozenset(row["agent_id"] for row in await cursor.fetchall())


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityReport:
    """The resources of an Agent's host."""

    agent_id: str
    cores: float
    memory_bytes: int


_CAPACITY: Final = ("cores_reported", "memory_reported", "cores", "overcommit", "memory")


async def write_capacity(connection: Connection, reports: Sequence[CapacityReport], cpu_overcommit: float) -> None:
    """Store the capacity of Agents, if changed: the reported capacity times overcommit, or the override of the
    administrator. The capacity of an Agent that reports none, because its runtime does not answer, is 0 even with an
    override."""
    await connection.execute(
        "INSERT INTO agent_capacity AS c (agent_id, cores_reported, memory_reported, cores, overcommit, memory)"
        " SELECT r.agent_id, r.cores, r.memory_bytes,"
        " CASE WHEN r.cores > 0 THEN coalesce(a.cores_override, r.cores * %(overcommit)s) ELSE 0 END,"
        " CASE WHEN a.cores_override IS NULL THEN %(overcommit)s ELSE 1 END,"
        " CASE WHEN r.memory_bytes > 0 THEN coalesce(a.memory_override, r.memory_bytes) ELSE 0 END"
        " FROM jsonb_to_recordset(%(reports)s) AS r(agent_id uuid, cores double precision, memory_bytes bigint)"
        " JOIN agents a USING (agent_id) ORDER BY r.agent_id"
        f" ON CONFLICT (agent_id) DO UPDATE SET {excluded_values(_CAPACITY)}"
        f" WHERE {differs_from_excluded(_CAPACITY[:2], 'c')}",
        {"overcommit": cpu_overcommit, "reports": Jsonb(list(reports))},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedImage(ImageProgress):
    """An image in an Agent's report."""

    name: str
    digest: str
    refreshed: float
    """Seconds since 1970 of the refresh request that was carried out; 0 = none."""


_IMAGE: Final = ("state", "how", "reason", "size_bytes", "progress", "error")


async def write_images(connection: Connection, agent_id: str, images: Sequence[ReportedImage]) -> None:
    """Store the whole list of images that an Agent reports."""
    await connection.execute(
        "DELETE FROM agent_images WHERE agent_id = %s AND NOT name = ANY(%s)",
        (agent_id, [image.name for image in images]),
    )
    await connection.execute(
        "INSERT INTO agent_images AS old (agent_id, name, state, how, reason, digest, size_bytes, progress, error,"
        " refreshed, failed_since) SELECT DISTINCT ON (name) %s::uuid, name, state, how, reason, digest, size_bytes,"
        " progress, error, CASE WHEN refreshed > 0 THEN to_timestamp(refreshed) END,"
        " CASE WHEN state = 'failed' THEN clock_timestamp() END"
        " FROM jsonb_to_recordset(%s) AS i(name text, state text, how text, reason text, digest text,"
        " size_bytes bigint, progress integer, error text, refreshed float8) ORDER BY name"
        f" ON CONFLICT (agent_id, name) DO UPDATE SET {excluded_values(_IMAGE)},"
        " digest = coalesce(nullif(excluded.digest, ''), old.digest),"
        " refreshed = coalesce(excluded.refreshed, old.refreshed), updated = clock_timestamp(),"
        " changed = CASE WHEN '' IN (old.digest, excluded.digest) OR old.digest = excluded.digest THEN old.changed"
        "   ELSE clock_timestamp() END,"
        # A new attempt does not end the failure.
        " failed_since = CASE excluded.state WHEN 'failed' THEN coalesce(old.failed_since, clock_timestamp())"
        "   WHEN 'pulling' THEN old.failed_since END"
        f" WHERE {differs_from_excluded((*_IMAGE, 'digest'), 'old')}"
        " OR old.refreshed IS DISTINCT FROM coalesce(excluded.refreshed, old.refreshed)",
        (agent_id, Jsonb(list(images))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """The result of a command or of a screenshot. `picture` is the JPEG of the screenshot; empty if there is none."""

    agent_id: str
    command_id: str
    state: Literal["started", "done", "unknown"]
    exit_code: int | None
    output: str
    output_complete: bool
    picture: bytes


async def write_command_results(connection: Connection, results: Sequence[CommandResult]) -> list[str]:
    """Store results of commands and screenshots; a finished result never changes. Return the ids of the sessions of
    the commands."""
    cursor = await connection.execute(
        "UPDATE session_commands k SET state = r.state, exit_code = r.exit_code, output = r.output,"
        " output_complete = coalesce(r.output_complete, true),"
        " picture = decode(nullif(r.picture, ''), 'base64'),"
        " finished = CASE WHEN r.state = 'started' THEN NULL ELSE clock_timestamp() END"
        " FROM jsonb_to_recordset(%s) AS r(agent_id uuid, command_id uuid, state text, exit_code integer, output text,"
        " output_complete boolean, picture text) WHERE k.command_id = r.command_id AND k.agent_id = r.agent_id"
        " AND (k.state = 'requested' OR k.state = 'started' AND r.state <> 'started')"
        " RETURNING k.session_id::text, k.screenshot IS NULL AS is_command",
        (Jsonb(list(results)),),  # bytes are base64 in JSON
    )
    return [row["session_id"] for row in await cursor.fetchall() if row["is_command"]]
