"""Reads sessions for display: one session, or a list of sessions by filter and order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from greenroom.core.access.group_settings import ClientSettings
from greenroom.core.errors import require_row
from greenroom.core.listing import SortOrder, Word
from greenroom.core.recording.descriptions import RecordingMode
from greenroom.core.session.deadlines import DEADLINE_S, SessionLifetime
from greenroom.core.session.progress import QUEUE_PERIOD_S, QueuePosition, starting_reason
from greenroom.core.session.streams import ProxyFacts
from greenroom.core.workspace.session_spec import Service
from greenroom.db.database import Database
from greenroom.db.fleet.zones import PROXY_JSON
from greenroom.db.listing import Conditions, ListColumn, ListDefinition
from greenroom.db.session.lifecycle import CAN_PAUSE_COLUMN, CLOCKS_COLUMN

STATUS: Final[LiteralString] = "CASE WHEN s.awaits_successor THEN 'starting' ELSE s.status END"
"""A failed session is displayed as starting until it is replaced."""


USE: Final[LiteralString] = (
    "(SELECT w.sessions->s.session_id::text FROM agent_session_use w WHERE w.agent_id = s.agent_id)"
)
"""The last measured use of a session; NULL = it was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredUse:
    """The use of a session that its Agent measured: a number of cores, and bytes of memory."""

    cpu: float = 0.0
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(SessionLifetime):
    """A session for display. `status` is the displayed status; `cores` and `memory` (bytes) are its reservation."""

    user_id: str | None
    username: str | None
    staging_config_id: str | None
    """The config of its pool, also after the session was assigned to a user."""
    image_id: str
    image_name: str
    image_friendly_name: str
    image_src: str
    start_page: str
    """The start page of its workspace, with tokens."""
    image_time_limit: int | None
    """Seconds; None or 0 = no limit."""
    zone_id: str
    zone_name: str
    zone_key: int
    proxy: ProxyFacts
    agent_id: str | None
    hostname: str | None
    simulated: bool
    """True if its Agent runs no containers."""
    container_id: str | None
    services: list[Service]
    cores: float
    memory: int
    used: MeasuredUse | None
    """The last measurement of its Agent; None = it was not measured."""
    round_trip_ms: float | None
    frames_s: float | None
    kbit_s: float | None
    client_address: str | None
    permissions: dict[str, bool]
    """The permissions with which its container was created."""
    client_settings: ClientSettings
    kasm_url: str
    persistent_profile_mode: str | None
    share_id: str | None
    """A share by link for users, for the published interface."""
    lease_id: str | None
    """The lease of a program."""
    record: RecordingMode
    """The recording mode of the lease; `none` without a lease."""
    auth_epoch: int
    claimable: bool
    replaces: str | None
    awaits_successor: bool
    """True if the session failed, and its user waits for a replacement."""
    superseded_by: str | None
    created: datetime
    started: datetime | None
    assigned: datetime | None
    keepalive: datetime | None
    last_screenshot_at: datetime | None
    ended: datetime | None
    steps: dict[str, float]
    """Name of a step → its time, in seconds since 1970."""
    seen_error: str
    """The error of the Agent's last check of the page or the container."""
    status_age_s: float
    status_limit_s: float | None
    """The time limit of the status that is stored in the row; None = the default limit of the status."""
    error: str | None
    log_tail: str | None
    exit_code: int | None
    stopped_reason: str | None
    ended_reason: str | None
    set_aside_reason: str | None

    @property
    def cpu_used(self) -> float | None:
        return self.used.cpu if self.used else None

    @property
    def memory_used(self) -> int | None:
        return self.used.memory_bytes if self.used else None

    @property
    def status_reason(self) -> str | None:
        limit_s = self.status_limit_s or DEADLINE_S.get(self.status, 0.0)
        return starting_reason(self.status, self.seen_error, self.status_age_s, limit_s)


async def read_queue(db: Database, session_id: str) -> QueuePosition | None:
    """Return the position of a session in the queue for a start on its Agent; None if it was never in a queue."""
    return await db.fetch_one_as(
        QueuePosition,
        """
        SELECT (SELECT count(*) FROM sessions b JOIN session_steps w ON w.session_id = b.session_id
                 WHERE b.agent_id = s.agent_id AND b.status = 'starting' AND b.user_id IS NOT NULL
                   AND w.name = 'queued' AND w.at < q.at AND NOT EXISTS (
                    SELECT FROM session_steps t WHERE t.session_id = b.session_id AND t.name = 'admitted')) AS before,
               (SELECT count(*) FROM sessions b JOIN session_steps p ON p.session_id = b.session_id
                 WHERE b.agent_id = s.agent_id AND b.status <> 'deleted' AND p.name = 'painted'
                   AND p.at > clock_timestamp() - make_interval(secs => %(pace_s)s)) AS painted
          FROM sessions s JOIN session_steps q ON q.session_id = s.session_id AND q.name = 'queued'
         WHERE s.session_id = %(id)s
        """,
        {"id": session_id, "pace_s": QUEUE_PERIOD_S},
    )


def _measured(sql: LiteralString) -> ListColumn:
    """Return the column of a measured value. Sessions that do not run, or were not measured, have the lowest value."""
    return ListColumn(f"COALESCE(CASE WHEN s.status = 'running' THEN {sql} END, -1)", "float8")


NEWEST_FIRST: Final = SortOrder("created", descending=True)
SESSIONS: Final = ListDefinition(
    row_type=Session,
    select=f"""
       s.session_id::text, s.user_id::text, u.username, s.staging_config_id::text, s.image_id::text,
       i.name AS image_name, i.friendly_name AS image_friendly_name, i.image_src, i.start_page,
       i.session_time_limit AS image_time_limit, s.zone_id::text, z.zone_name, z.zone_key,
       {PROXY_JSON} || jsonb_build_object('edge_url', coalesce(a.edge_url, '')) AS proxy,
       s.agent_id::text, a.hostname, coalesce((a.usage->>'simulated')::boolean, false) AS simulated, o.container_id,
       coalesce(s.spec->'services', '[]') AS services, {STATUS} AS status,
       s.cores, s.memory, s.round_trip_ms, s.frames_s, s.kbit_s, s.client_address,
       {USE} AS used,
       s.permissions, s.client_settings, s.kasm_url, s.persistent_profile_mode,
       (SELECT max(h.share_id) FROM session_shares h WHERE h.session_id = s.session_id AND h.ended IS NULL
           AND h.audience = 'users') AS share_id,
       (SELECT lease_id::text FROM leases WHERE leases.session_id = s.session_id) AS lease_id,
       coalesce((SELECT record FROM leases WHERE leases.session_id = s.session_id), 'none') AS record,
       s.auth_epoch, s.claimable, s.replaces::text, s.awaits_successor, s.superseded_by::text,
       s.created, s.started, s.assigned, s.keepalive, s.expires, s.time_limit_ends, s.last_screenshot_at, s.ended,
       CASE WHEN o.generation = s.generation THEN o.probe_error ELSE '' END AS seen_error,
       extract(epoch FROM clock_timestamp() - s.status_changed)::double precision AS status_age_s,
       extract(epoch FROM s.deadline - s.status_changed)::double precision AS status_limit_s,
       s.error, s.log_tail, s.exit_code, s.stopped_reason, s.ended_reason, s.set_aside_reason,
       {CLOCKS_COLUMN}, {CAN_PAUSE_COLUMN},
       COALESCE((SELECT jsonb_object_agg(t.name, extract(epoch FROM t.at)) FROM session_steps t
                  WHERE t.session_id = s.session_id), '{{}}') AS steps
""",
    source="""
  FROM sessions s LEFT JOIN images i USING (image_id) LEFT JOIN zones z ON z.zone_id = s.zone_id
  LEFT JOIN users u ON u.user_id = s.user_id LEFT JOIN agents a ON a.agent_id = s.agent_id
  LEFT JOIN session_observed o ON o.session_id = s.session_id
""",
    columns={
        "user": ListColumn("lower(COALESCE(u.username, ''))"),
        "workspace": ListColumn(
            "lower(i.friendly_name)",
            search_sql="s.image_id IN (SELECT image_id FROM images WHERE strpos(lower(friendly_name), {word}) > 0)"
            " OR strpos(CASE WHEN s.staging_config_id IS NULL THEN 'on demand' ELSE 'staged' END, {word}) > 0",
        ),
        "id": ListColumn("s.session_id", "uuid", search_sql="strpos(s.session_id::text, {word}) > 0"),
        "status": ListColumn(STATUS),
        "zone": ListColumn(
            "lower(z.zone_name)",
            search_sql="s.zone_id IN (SELECT zone_id FROM zones WHERE strpos(lower(zone_name), {word}) > 0)",
        ),
        "agent": ListColumn(
            "lower(COALESCE(a.hostname, ''))",
            search_sql="strpos(lower(a.hostname), {word}) > 0 OR strpos(s.agent_id::text, {word}) > 0",
        ),
        "client": ListColumn("COALESCE(s.client_address, '')", orders=False),
        "cpu": _measured(f"({USE}->>'cpu')::float8"),
        "memory": _measured(f"({USE}->>'memory_bytes')::float8"),
        "latency": _measured("s.round_trip_ms::float8"),
        "frames": _measured("s.frames_s::float8"),
        "received": _measured("s.kbit_s::float8"),
        "created": ListColumn("s.created", "timestamptz"),
        "expires": ListColumn("COALESCE(s.expires, 'infinity')", "timestamptz"),
    },
    key="s.session_id",
    order=NEWEST_FIRST,
    filters={
        "user_id": "s.user_id = %(user_id)s::uuid",
        "image_id": "s.image_id = %(image_id)s",
        "staging_config_id": "s.staging_config_id = %(staging_config_id)s",
        "agent_id": "s.agent_id = %(agent_id)s",
        "status": f"{STATUS} = %(status)s",
        "session_ids": "s.session_id = ANY(%(session_ids)s)",
    },
)
list_sessions: Final = SESSIONS.read


async def get_session(db: Database, session_id: str, *, follow: bool = True) -> Session:
    """Return the session with this id; with `follow`, the last session that replaced it, if there is one. Raises
    NotFound: there is no session with this id."""
    where: LiteralString = """s.session_id = (
        WITH RECURSIVE chain AS (
            SELECT session_id, superseded_by FROM sessions WHERE session_id = %(id)s
            UNION ALL
            SELECT n.session_id, n.superseded_by FROM sessions n JOIN chain c ON n.session_id = c.superseded_by
             WHERE %(follow)s
        ) SELECT session_id FROM chain WHERE superseded_by IS NULL OR NOT %(follow)s)"""
    return require_row(await SESSIONS.find(db, where, {"id": session_id, "follow": follow}), "session", session_id)


_SHOWN: Final[LiteralString] = "s.status <> 'deleted' AND s.superseded_by IS NULL"
"""The condition of the index sessions_shown."""
_REPLACED: Final[LiteralString] = "s.status <> 'deleted' AND s.superseded_by IS NOT NULL"
_UNSETTLED: Final[LiteralString] = "s.status NOT IN ('running', 'deleted')"
"""The condition of the index sessions_unsettled."""
_ENDED: Final[LiteralString] = "s.status = 'deleted'"
"""The condition of the indexes sessions_ended_…."""


async def is_session_of_user(db: Database, session_id: str, user_id: str) -> bool:
    """Return True if the session exists and belongs to this user."""
    row = await db.fetch_one(
        "SELECT 1 FROM sessions WHERE session_id::text = %s AND user_id = %s", (session_id, user_id)
    )
    return row is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionScope:
    """The sessions that a caller may see because of roles with a scope: those in these zones, those of members of these
    groups, and those of `user_id`."""

    zones: list[str]
    groups: list[str]
    user_id: str | None

    @property
    def is_empty(self) -> bool:
        """True if no session is in the scope."""
        return not self.zones and not self.groups and self.user_id is None

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of `IN_SCOPE`."""
        return {"scope_zones": self.zones, "scope_groups": self.groups, "scope_user": self.user_id}


IN_SCOPE: Final[LiteralString] = (
    "s.zone_id = ANY(%(scope_zones)s::uuid[]) OR s.user_id = %(scope_user)s::uuid OR EXISTS (SELECT 1 FROM"
    " user_groups m WHERE m.user_id = s.user_id AND m.group_id = ANY(%(scope_groups)s::uuid[]))"
)
"""The condition that a session is in a `SessionScope`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """The filter of a list of sessions; None = any.

    `status` is the displayed status. `staged`: True = only sessions without a user, False = only sessions with a user.
    `ended`: also deleted and replaced sessions. `set_aside`: only quarantined sessions. `words`: all must match.
    """

    user_id: UUID | str | None = None
    image_id: UUID | None = None
    staging_config_id: UUID | None = None
    agent_id: UUID | None = None
    status: str | None = None
    staged: bool | None = None
    ended: bool = False
    set_aside: bool = False
    session_ids: list[UUID] | None = None
    scope: SessionScope | None = None
    words: Sequence[Word] = ()

    @property
    def orders(self) -> list[LiteralString]:
        """The columns by which the list can be ordered. There are many ended sessions, so they have only one order."""
        return ["created"] if self.ended else SESSIONS.orders

    def conditions(self) -> Conditions:
        values = {name: getattr(self, name) for name in SESSIONS.filters}
        conditions = replace(SESSIONS.matching(self.words, **values), alternatives=self._alternatives())
        if self.status not in (None, "running", "deleted"):
            conditions.add(_UNSETTLED)
        if self.scope is not None:
            conditions.add(IN_SCOPE, **self.scope.parameters)
        if self.staged is not None:
            conditions.add("s.user_id IS NULL" if self.staged else "s.user_id IS NOT NULL")
        return conditions

    def _alternatives(self) -> Sequence[LiteralString]:
        if self.set_aside:
            return ("s.set_aside_for IS NOT NULL AND s.status = 'failed'",)
        if not self.ended:
            return (_SHOWN,)
        if self.status is None:
            return _SHOWN, _REPLACED, _ENDED
        return (_ENDED,) if self.status == "deleted" else (_SHOWN, _REPLACED)


MAX_STAGE_SESSIONS: Final = 5000
"""The maximum number of sessions of a map. One more is read, to know whether there are more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSession:
    """A session and its place. `status` is the displayed status. A session without `username` is staged."""

    session_id: str
    zone_id: str
    zone_name: str
    agent_id: str | None
    image_id: str
    image_friendly_name: str
    staging_config_id: str | None
    username: str | None
    status: str


async def list_stage_sessions(db: Database, scope: SessionScope | None) -> list[StageSession]:
    """Return the sessions in this scope (None = all) that have not ended, the newest first, at most
    `MAX_STAGE_SESSIONS` + 1."""
    condition: LiteralString = IN_SCOPE if scope else "true"
    return await db.fetch_as(
        StageSession,
        "SELECT s.session_id::text, s.zone_id::text, z.zone_name, s.agent_id::text, s.image_id::text,"
        f" i.friendly_name AS image_friendly_name, s.staging_config_id::text, u.username, {STATUS} AS status"
        " FROM sessions s JOIN images i USING (image_id) JOIN zones z ON z.zone_id = s.zone_id"
        f" LEFT JOIN users u ON u.user_id = s.user_id WHERE {_SHOWN} AND ({condition})"
        " ORDER BY s.created DESC, s.session_id DESC LIMIT %(max_sessions)s + 1",
        {**(scope.parameters if scope else {}), "max_sessions": MAX_STAGE_SESSIONS},
    )
