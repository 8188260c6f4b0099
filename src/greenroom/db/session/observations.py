"""Stores the observations of sessions by Agents, and the status changes that follow from the observations.

Observations have a separate table, so that claims do not wait for their updates. Rows that did not change are not
written. The whole observation is stored, so that the Primary can later decide about a change of status from the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, LiteralString, Protocol

from psycopg.types.json import Jsonb

from greenroom.core.session.observations import HandoverState, ObservedFacts, SessionRow
from greenroom.core.session.states import TRANSITIONAL, WAITING_FOR_AGENT, SessionStatus
from greenroom.db.database import Connection, Database, rows_as
from greenroom.db.rows import column_list, columns_of, differs_from_excluded, excluded_values, qualified
from greenroom.db.session.sessions import lock_sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedSession(SessionRow):
    """The row of a session that an Agent reports, with the ids of its Agent, user and config, for events and logs."""

    agent_id: str
    assignment_state: str | None
    user_id: str | None
    staging_config_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation(ObservedFacts):
    """The observation of a session in the message `seq` of an Agent. `incarnation` numbers the Agent's registration."""

    agent_id: str
    incarnation: int
    seq: int
    container_id: str | None = None
    spec_hash: str | None = None
    address: str | None = None
    """host:port at which the Agent's host reaches the session's page."""
    log_tail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange:
    """A change of status, which requires that the row still has a status in `sources`, this generation and this
    assignment."""

    session_id: str
    agent_id: str
    status: SessionStatus
    sources: Sequence[SessionStatus]
    generation: int
    assignment_id: str | None
    error: str | None
    log_tail: str | None
    exit_code: int | None
    set_aside_reason: str | None
    slow: bool
    deadline_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverReport:
    """The state of a hand-over. After `received`, the Agent must complete the hand-over within `deadline_s`."""

    session_id: str
    agent_id: str
    assignment_id: str
    state: HandoverState
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StartStep:
    """A step of a start; `at` in seconds since 1970, None = now."""

    session_id: str
    name: str
    at: float | None = None


class _HasSessionId(Protocol):
    @property
    def session_id(self) -> str: ...


_ONLY_IDS: Final[LiteralString] = " AND s.session_id = ANY(%s::uuid[])"
"""A condition for sessions that are joined to JSON. PostgreSQL cannot estimate the size of the JSON, and without the
condition would read all sessions."""


def _session_ids(changes: Iterable[_HasSessionId]) -> list[str]:
    return [change.session_id for change in changes]


_SESSION_COLUMNS: Final[LiteralString] = (
    "s.session_id::text, s.agent_id::text, s.status, s.want, s.generation, s.assignment_id::text, s.claimable,"
    " s.set_aside_for IS NOT NULL AS set_aside, s.assignment_state, s.user_id::text, s.staging_config_id::text"
)


async def read_reported(connection: Connection, observations: Sequence[Observation]) -> list[ReportedSession]:
    """Return the rows of the observed sessions that belong to the observing Agent."""
    cursor = await connection.execute(
        "SELECT " + _SESSION_COLUMNS + " FROM jsonb_to_recordset(%s) AS p(agent_id uuid, session_id uuid)"
        " JOIN sessions s ON s.session_id = p.session_id AND s.agent_id = p.agent_id" + _ONLY_IDS,
        (
            Jsonb([{"agent_id": o.agent_id, "session_id": o.session_id} for o in observations]),
            _session_ids(observations),
        ),
    )
    return rows_as(ReportedSession, await cursor.fetchall())


STORED_OBSERVATIONS: Final[LiteralString] = (
    "SELECT " + _SESSION_COLUMNS + ","
    " to_jsonb(o) || jsonb_build_object('has_container', o.container_id IS NOT NULL) AS observation"
    " FROM sessions s JOIN session_observed o USING (session_id, agent_id, generation)"
    " JOIN agents a USING (agent_id)"
    " WHERE s.zone_id = %(zone_id)s AND s.status = ANY(%(decidable)s) AND s.status NOT IN ('running', 'deleted')"
    " AND a.status = 'running' AND a.complete AND o.incarnation = a.incarnation"
)
DECIDABLE_PARAMETERS: Final = {"decidable": [*sorted(TRANSITIONAL), *sorted(WAITING_FOR_AGENT)]}


async def read_stored_observations(db: Database, zone_id: str) -> list[tuple[ReportedSession, Observation]]:
    """Return the sessions whose status an observation can change, with their stored observation. Only sessions of
    Agents that run and have reported all their sessions are included."""
    rows = await db.fetch(STORED_OBSERVATIONS, {"zone_id": zone_id, **DECIDABLE_PARAMETERS})
    return [
        (session, observation)
        for row in rows
        for observation in rows_as(Observation, [row.pop("observation")])
        for session in rows_as(ReportedSession, [row])
    ]


_COLUMNS: Final = columns_of(Observation, without={"has_container"})
_COMPARED_COLUMNS: Final = columns_of(Observation, without={"has_container", "session_id", "agent_id", "seq"})
"""The columns by which an observation is compared with the previous observation."""
_WRITE_OBSERVATIONS: Final[LiteralString] = (
    f"INSERT INTO session_observed AS old ({column_list(_COLUMNS)}) SELECT {qualified(_COLUMNS, 'o')}"
    " FROM jsonb_populate_recordset(NULL::session_observed, %s) AS o"
    " JOIN sessions s ON s.session_id = o.session_id AND s.agent_id = o.agent_id" + _ONLY_IDS + " ORDER BY o.session_id"
    " ON CONFLICT (session_id) DO UPDATE SET "
    + excluded_values(columns_of(Observation, without={"has_container", "session_id"}))
    + ", observed_at = clock_timestamp()"
    " WHERE old.agent_id <> excluded.agent_id OR (old.incarnation, old.seq) < (excluded.incarnation, excluded.seq)"
    " AND " + differs_from_excluded(_COMPARED_COLUMNS, "old")
)


async def write_observations(connection: Connection, observations: Sequence[Observation]) -> None:
    """Store observations that are newer than the stored observations and differ from them."""
    await connection.execute(_WRITE_OBSERVATIONS, (Jsonb(list(observations)), _session_ids(observations)))


async def change_statuses(connection: Connection, changes: Sequence[StatusChange]) -> list[str]:
    """Change the statuses for which the conditions of `StatusChange` hold (docs/explanation/protocols.md §2); returns
    the ids of the changed sessions."""
    if len(changes) > 1:
        await lock_sessions(connection, _session_ids(changes))
    cursor = await connection.execute(
        "UPDATE sessions s SET status = m.status, status_changed = clock_timestamp(),"
        " started = CASE WHEN m.status = 'running' THEN coalesce(s.started, clock_timestamp()) ELSE s.started END,"
        " deadline = clock_timestamp() + make_interval(secs => m.deadline_s),"
        " error = CASE WHEN m.status = 'running' THEN NULL ELSE coalesce(m.error, s.error) END,"
        " log_tail = coalesce(m.log_tail, s.log_tail),"
        " exit_code = coalesce(m.exit_code, s.exit_code),"
        " set_aside_reason = coalesce(m.set_aside_reason, s.set_aside_reason), slow = m.slow,"
        " broke = CASE WHEN m.status = 'failed' AND s.claimable THEN clock_timestamp() ELSE s.broke END"
        " FROM jsonb_to_recordset(%s) AS m(session_id uuid, agent_id uuid, status text, sources text[],"
        " generation bigint, assignment_id uuid, error text, log_tail text, exit_code integer, set_aside_reason text,"
        " slow boolean, deadline_s double precision)"
        " WHERE s.session_id = m.session_id AND s.agent_id = m.agent_id AND s.status = ANY(m.sources)"
        f" AND s.generation = m.generation AND s.assignment_id IS NOT DISTINCT FROM m.assignment_id{_ONLY_IDS}"
        " RETURNING s.session_id::text",
        (Jsonb(list(changes)), _session_ids(changes)),
    )
    return [row["session_id"] for row in await cursor.fetchall()]


async def write_handovers(connection: Connection, reports: Sequence[HandoverReport]) -> dict[str, str]:
    """Store the progress of hand-overs; `received` starts a new deadline. Return session id → new state."""
    cursor = await connection.execute(
        "UPDATE sessions s SET assignment_state = r.state, deadline = CASE WHEN s.status = 'assigning'"
        " AND r.state = 'received' THEN clock_timestamp() + make_interval(secs => r.deadline_s) ELSE s.deadline END"
        " FROM jsonb_to_recordset(%s) AS r(session_id uuid, agent_id uuid, assignment_id uuid, state text,"
        " deadline_s double precision)"
        " WHERE s.session_id = r.session_id AND s.agent_id = r.agent_id AND s.assignment_id = r.assignment_id"
        " AND s.assignment_state IS DISTINCT FROM r.state"
        f" AND (s.assignment_state IS NULL OR s.assignment_state NOT IN ('assigned', 'failed')){_ONLY_IDS}"
        " RETURNING s.session_id::text, s.assignment_state",
        (Jsonb(list(reports)), _session_ids(reports)),
    )
    return {row["session_id"]: row["assignment_state"] for row in await cursor.fetchall()}


async def write_steps(connection: Connection, steps: Sequence[StartStep]) -> None:
    """Store steps of starts; the first stored time of each step is kept."""
    await connection.execute(
        "INSERT INTO session_steps (session_id, name, at) SELECT t.session_id, t.name,"
        " coalesce(to_timestamp(t.at), clock_timestamp())"
        " FROM jsonb_to_recordset(%s) AS t(session_id uuid, name text, at double precision)"
        " JOIN sessions s ON s.session_id = t.session_id" + _ONLY_IDS + " ON CONFLICT DO NOTHING",
        (Jsonb(list(steps)), _session_ids(steps)),
    )
