"""Reads the data from which a Manager answers check-ins. `db.fleet.reports` stores the reports of the Agents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec
import structlog
from psycopg.rows import DictRow

from greenroom.core.session.states import SessionStatus, Want
from greenroom.core.session.streams import Access
from greenroom.core.web_filter import FilterPolicy
from greenroom.core.workspace.definition import PullPolicy
from greenroom.core.workspace.session_spec import StoredSpec
from greenroom.db.database import Database
from greenroom.db.fleet.agents import ADMITTED, DB_EPOCH
from greenroom.db.session.commands import AWAITED

log = structlog.get_logger(__name__)

_COMMAND_TO_BEGIN: Final = "k.state = 'requested' AND " + AWAITED
"""A row of `session_commands k` that the Agent must begin."""

_REGISTRY_LOGIN_IF_NEEDED: Final = (
    "CASE WHEN a.enabled AND (coalesce((a.usage ->> 'keeps_log_ins')::boolean, false) OR NOT EXISTS"
    " (SELECT 1 FROM agent_images r WHERE r.agent_id = a.agent_id AND r.name = i.name AND r.state = 'present'"
    "   AND i.pull_policy = 'missing'"
    "   AND coalesce(r.refreshed, '-infinity') >= coalesce(i.refresh_requested, '-infinity')))"
    " THEN i.docker_token_encrypted END"
)
"""The password for the registry of image `i`, if the enabled Agent `a` must pull the image or stores passwords, so that
the nodes of its cluster can pull images."""

AGENT_NEEDS_IMAGE: Final = (
    "i.enabled AND (NOT i.restrict_to_zone OR i.zone_id = a.zone_id)"
    " AND (NOT i.restrict_to_server OR i.server_id = a.agent_id) AND " + ADMITTED
)
"""Condition: image `i` belongs to an enabled workspace that may run on Agent `a`, so the Agent must have the image."""

WireJson = dict[str, Any]
"""JSON in a format of `wire.messages`: a report of an Agent, or an instruction for it, stored unchanged."""


@dataclass(frozen=True, slots=True)
class ZoneManager:
    """A Manager to which Agents of the zone may send requests, and its address."""

    manager_id: str
    instance_id: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedRemoval:
    """A home folder that an Agent must remove."""

    user_id: str
    image_id: str
    removal_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentState:
    """The stored state of one Agent, for the answer to its check-in."""

    agent_id: str
    credential_hash: str
    """The hash in hexadecimal digits."""
    incarnation: int
    seq: int
    complete: bool
    """True if the Agent has reported all its containers since its last registration."""
    zone_id: str
    cores_reported: float
    memory_reported: int
    recorded_manager_id: str | None
    """The Manager that last stored a message of the Agent, in term `recorded_term`."""
    recorded_term: int
    generations: Mapping[str, int]
    """Session id → generation, for the whole desired list or for the sessions that were read."""
    digest: str = ""
    """The digest of the whole desired list (`wire.messages.digest`); empty until it is known."""
    command_ids: frozenset[str]
    images_digest: str
    removals: tuple[RequestedRemoval, ...] = ()
    """The homes that the Agent must remove."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneState:
    """The stored state of a zone, which is the same in the answers to all Agents of a Manager."""

    enabled: bool
    """True if the Manager is enabled."""
    zone_id: str
    term: int
    primary_id: str | None
    db_epoch: str
    filter_policies_digest: str
    managers: tuple[ZoneManager, ...]
    """The enabled Managers of the zone, the Primary first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckInState:
    """The stored state from which a check-in is answered."""

    agent: AgentState
    zone: ZoneState
    fresh: bool = True
    """False: the database cannot be reached, and this is the last state that was read."""

    def as_not_fresh(self) -> CheckInState:
        return replace(self, fresh=False)


_ZONE: Final = (
    "SELECT m.enabled, m.zone_id::text, l.term, "
    " CASE WHEN l.expires_at > clock_timestamp() THEN l.manager_id::text END AS primary_id,"
    " " + DB_EPOCH + " AS db_epoch,"
    " (SELECT md5(coalesce(string_agg(concat(p.filter_policy_id, ':', p.xmin), ',' ORDER BY p.filter_policy_id), ''))"
    "   FROM filter_policies p) AS filter_policies_digest,"
    " (SELECT coalesce(json_agg(json_build_object('manager_id', o.manager_id, 'instance_id', o.instance_id,"
    "     'url', o.gateway_url) ORDER BY (o.manager_id = l.manager_id AND l.expires_at > clock_timestamp()) DESC,"
    "     (o.last_reported > clock_timestamp() - interval '15 seconds') DESC, o.instance_id), '[]')"
    "   FROM managers o WHERE o.zone_id = m.zone_id AND o.enabled AND o.gateway_url <> '') AS managers"
    " FROM managers m JOIN zones z ON z.zone_id = m.zone_id JOIN zone_leases l USING (zone_key)"
    " WHERE m.manager_id = %(manager_id)s"
)
_BEGIN_IMAGE_TEXT: Final = (
    "string_agg(concat_ws('|', i.name, i.docker_registry, i.docker_user, i.pull_policy, i.refresh_requested,"
    " i.docker_token_encrypted IS NOT NULL"
)
_END_IMAGE_TEXT: Final = "), ',' ORDER BY i.name, i.image_id)"
"""The begin and the end of the SQL that joins all images `i` to one text; more columns may be inserted in between."""
_GENERATIONS: Final = "json_object_agg(s.session_id, s.generation)"
_STATES: Final = (
    "WITH zone AS MATERIALIZED (" + _ZONE + "), zone_images AS MATERIALIZED (SELECT i.* FROM images i, zone"
    "   WHERE i.enabled AND (NOT i.restrict_to_zone OR i.zone_id = zone.zone_id::uuid)),"
    # Most images are the same for all Agents, and their text is created once; the specific images differ.
    " specific_images AS MATERIALIZED"
    "   (SELECT * FROM zone_images WHERE restrict_to_server OR docker_token_encrypted IS NOT NULL),"
    " common_images AS MATERIALIZED (SELECT " + _BEGIN_IMAGE_TEXT + _END_IMAGE_TEXT + " AS text"
    "   FROM zone_images i WHERE NOT (restrict_to_server OR docker_token_encrypted IS NOT NULL)),"
    " named_sessions AS MATERIALIZED (SELECT agent_id, " + _GENERATIONS + " AS generations FROM sessions s"
    "   WHERE session_id = ANY(%(session_ids)s::uuid[]) AND status <> 'deleted' GROUP BY agent_id),"
    " requested_agents AS MATERIALIZED (SELECT a.agent_id, encode(a.credential_hash, 'hex') AS credential_hash,"
    "   a.incarnation, a.seq, a.complete, a.zone_id, a.manager_id AS recorded_manager_id,"
    "   a.manager_term AS recorded_term,"
    "   coalesce(c.cores_reported, 0) AS cores_reported, coalesce(c.memory_reported, 0) AS memory_reported,"
    "   CASE WHEN a.agent_id = ANY(%(agents_with_all_sessions)s::uuid[]) THEN (SELECT coalesce("
    + _GENERATIONS
    + ", '{}') FROM sessions s WHERE s.agent_id = a.agent_id AND s.status <> 'deleted')"
    "     ELSE coalesce(named_sessions.generations, '{}') END AS generations,"
    "   (SELECT coalesce(json_agg(k.command_id), '[]') FROM session_commands k"
    "     WHERE k.agent_id = a.agent_id AND " + _COMMAND_TO_BEGIN + ") AS command_ids,"
    "   (SELECT coalesce(json_agg(h), '[]') FROM (SELECT user_id, image_id, removal_id FROM homes h"
    "     WHERE h.agent_id = a.agent_id AND h.removal_id IS NOT NULL) h) AS removals,"
    "   CASE WHEN "
    + ADMITTED
    + " THEN md5(concat_ws(';', (SELECT text FROM common_images), (SELECT "
    + _BEGIN_IMAGE_TEXT
    + ", encode("
    + _REGISTRY_LOGIN_IF_NEEDED
    + ", 'hex')"
    + _END_IMAGE_TEXT
    + " FROM specific_images i"
    "       WHERE NOT i.restrict_to_server OR i.server_id = a.agent_id))) ELSE md5('') END AS images_digest"
    "   FROM agents a LEFT JOIN agent_capacity c USING (agent_id) LEFT JOIN named_sessions USING (agent_id)"
    "   WHERE a.agent_id = ANY(%(agent_ids)s::uuid[]))"
    " SELECT zone.*, (SELECT coalesce(json_agg(r), '[]') FROM requested_agents r)::text AS agents FROM zone"
)


_decoder: Final = msgspec.json.Decoder(list[AgentState])


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckInReading:
    """One reading of the database: the zone, and the requested Agents that exist, by id."""

    zone: ZoneState
    agents: dict[str, AgentState]


async def read_states(
    db: Database, session_ids_of: Mapping[str, Collection[str]], manager_id: str
) -> CheckInReading | None:
    """Read the state of these Agents and of the zone in one statement; None if the Manager's record does not exist.

    `session_ids_of` contains, for each Agent, the sessions of its desired list to read; empty = all.

    The statement is not repeated when the connection was lost, because the Agents wait for an answer.
    """
    params = {
        "agent_ids": list(session_ids_of),
        "agents_with_all_sessions": [agent_id for agent_id, sessions in session_ids_of.items() if not sessions],
        "session_ids": [session_id for sessions in session_ids_of.values() for session_id in sessions],
        "manager_id": manager_id,
    }
    rows = await db.fetch(_STATES, params, retry=False)
    if not rows:
        return None
    agents = _decoder.decode(rows[0].pop("agents"))
    return CheckInReading(zone=msgspec.convert(rows[0], ZoneState), agents={agent.agent_id: agent for agent in agents})


@dataclass(frozen=True, slots=True)
class ViewerSettings:
    """The settings of a session's viewers that the Agent applies; 0 = no limit. `idle_disconnect` is in minutes.
    `record_sessions`: the session must be recorded."""

    idle_disconnect: float = 0
    max_upload_mb: float = 0
    record_sessions: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptedFilterSecret:
    """A secret that the web filter of a session adds to requests."""

    name: str
    hosts: tuple[str, ...]
    header: str
    template: str
    value_encrypted: str


@dataclass(frozen=True, slots=True)
class DesiredSession:
    """A session in an Agent's desired list; `age_s` is the time since its status changed."""

    session_id: str
    generation: int
    want: Want
    status: SessionStatus
    age_s: float
    spec: StoredSpec | None
    """None = the row cannot be read."""
    credential_encrypted: bytes
    files_encrypted: bytes | None
    assignment: WireJson | None
    """A `wire.messages.Assignment`, with the values of its variables encrypted."""
    user_id: str | None
    auth_epoch: int
    client_settings: ViewerSettings
    guests: dict[str, Access] = field(default_factory=dict[str, Access])
    """The viewers that were admitted, except the user: viewer id → access."""
    secrets: list[EncryptedFilterSecret] = field(default_factory=list[EncryptedFilterSecret])
    lease_id: str | None = None
    lease_epoch: int | None = None
    """The lease of the session, and the epoch of its token; None while the user is disabled or locked."""
    must_record: bool = False
    has_run: bool = False
    permissions: dict[str, bool] = field(default_factory=dict[str, bool])


async def read_desired(db: Database, agent_id: str, only: Iterable[str] | None = None) -> list[DesiredSession]:
    """Return the Agent's whole desired list, or `only` these sessions of the list."""
    rows = await db.fetch(
        "SELECT session_id::text, generation, want, spec, credential_encrypted, files_encrypted,"
        # A quarantined session has no user, so an Agent that returns late does not run `assign` in it.
        " CASE WHEN user_id IS NOT NULL THEN assignment END AS assignment, user_id::text, auth_epoch, status,"
        " client_settings, extract(epoch FROM clock_timestamp() - status_changed)::double precision AS age_s,"
        " coalesce((SELECT jsonb_object_agg(v.viewer_id, h.access) FROM session_shares h JOIN session_viewers v"
        "  USING (share_id) WHERE h.session_id = sessions.session_id AND h.ended IS NULL AND v.ended IS NULL), '{}')"
        "  AS guests,"
        " (SELECT coalesce(jsonb_agg(jsonb_build_object('name', x.name, 'hosts', x.hosts, 'header', x.header,"
        "   'template', x.template, 'value_encrypted', convert_from(x.value_encrypted, 'UTF8')) ORDER BY x.name), '[]')"
        "  FROM filter_policy_secrets f JOIN secrets x USING (secret_id)"
        "  WHERE f.filter_policy_id::text = sessions.spec ->> 'filter_policy') AS secrets,"
        " permissions, lease_id, lease_epoch, started IS NOT NULL AS has_run, coalesce(must_record, false) must_record"
        " FROM sessions LEFT JOIN LATERAL (SELECT l.lease_id::text, l.auth_epoch AS lease_epoch, l.must_record"
        "  FROM leases l JOIN users u ON u.user_id = sessions.user_id"
        "  WHERE l.session_id = sessions.session_id AND NOT u.disabled AND NOT u.locked) held ON true"
        " WHERE agent_id = %s AND status <> 'deleted'"
        + ("" if only is None else " AND session_id = ANY(%s::uuid[])")
        + " ORDER BY created",
        (agent_id,) if only is None else (agent_id, list(only)),
        retry=False,
    )
    return [_desired_session(row) for row in rows]


def _desired_session(row: DictRow) -> DesiredSession:
    """Return the session of a row. If JSON in the row cannot be read, the session stays on the list without a
    specification and viewers. The Agent then reports an error for this session only."""
    try:
        return msgspec.convert(row, DesiredSession)
    except msgspec.ValidationError as error:
        log.error("the row of a session cannot be read", session_id=row["session_id"], reason=str(error))
        absent = dict.fromkeys(("spec", "assignment", "user_id"))
        empty: DictRow = {"client_settings": {}, "guests": {}, "permissions": {}, "secrets": []}
        return msgspec.convert(row | absent | empty, DesiredSession)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryImage:
    """An image that an Agent must have, and the login at its registry. `token` is the encrypted password, None if the
    Agent does not need it; `has_token`: a password is stored."""

    name: str
    docker_registry: str
    docker_user: str
    token: bytes | None
    has_token: bool
    pull_policy: PullPolicy
    refresh: float
    """Seconds since 1970 of the newest refresh request that the Agent has not carried out; 0 = none."""


async def read_images(db: Database, agent_id: str) -> list[RegistryImage]:
    """Return the images that an Agent must have, each once: the images of enabled workspaces that may run on it. The
    list is empty while the Agent waits to be enabled."""
    return await db.fetch_as(
        RegistryImage,
        "SELECT DISTINCT ON (i.name) i.name, i.docker_registry, i.docker_user, "
        + _REGISTRY_LOGIN_IF_NEEDED
        + " AS token,"
        " i.docker_token_encrypted IS NOT NULL AS has_token,"
        # Of several workspaces with the same image, the policy that pulls most often applies: it is the lowest value.
        " min(i.pull_policy) OVER same AS pull_policy,"
        " CASE WHEN max(i.refresh_requested) OVER same > coalesce(r.refreshed, '-infinity')"
        "   THEN extract(epoch FROM max(i.refresh_requested) OVER same)::float8 ELSE 0 END AS refresh"
        " FROM images i JOIN agents a ON a.agent_id = %(agent_id)s"
        " LEFT JOIN agent_images r ON r.agent_id = a.agent_id AND r.name = i.name"
        " WHERE " + AGENT_NEEDS_IMAGE + " WINDOW same AS (PARTITION BY i.name) ORDER BY i.name, i.created",
        {"agent_id": agent_id},
        retry=False,
    )


async def read_filter_policies(db: Database) -> list[FilterPolicy]:
    """Return all web filter policies."""
    return await db.fetch_as(
        FilterPolicy,
        "SELECT filter_policy_id::text, name, default_action, allow, deny FROM filter_policies p"
        " ORDER BY p.filter_policy_id",
        retry=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandToBegin:
    """A command or screenshot that an Agent must begin; `age_s` is the time since it was requested. `env`: name →
    encrypted value. `screenshot` is a `wire.fields.ScreenshotSize`, None = a command."""

    command_id: str
    session_id: str
    generation: int
    argv: list[str]
    run_as: str | None
    env: dict[str, str]
    workdir: str | None
    deadline_s: float
    screenshot: WireJson | None
    age_s: float


async def read_commands(db: Database, agent_id: str) -> list[CommandToBegin]:
    """Return the commands and screenshots that the Agent has not begun yet."""
    return await db.fetch_as(
        CommandToBegin,
        "SELECT command_id::text, session_id::text, generation, argv, run_as, env, workdir, deadline_s, screenshot,"
        " extract(epoch FROM clock_timestamp() - created)::double precision AS age_s"
        " FROM session_commands k WHERE agent_id = %s AND " + _COMMAND_TO_BEGIN + " ORDER BY created",
        (agent_id,),
        retry=False,
    )


async def read_users_of_sessions(db: Database, agent_id: str, session_ids: Sequence[str]) -> dict[str, str | None]:
    """Return session id → user id (None = no user). Sessions that were never on this Agent are omitted."""
    rows = await db.fetch(
        "SELECT session_id::text, user_id::text FROM sessions WHERE session_id = ANY(%s::uuid[]) AND agent_id = %s",
        (list(session_ids), agent_id),
        retry=False,
    )
    return {row["session_id"]: row["user_id"] for row in rows}


async def read_undeleted(db: Database, agent_id: str, session_ids: Sequence[str]) -> frozenset[str]:
    """Return the ids in `session_ids` whose sessions are on this Agent and not deleted."""
    rows = await db.fetch(
        "SELECT session_id::text FROM sessions WHERE session_id = ANY(%s::uuid[]) AND agent_id = %s"
        " AND status <> 'deleted'",
        (list(session_ids), agent_id),
        retry=False,
    )
    return frozenset(row["session_id"] for row in rows)
