"""The claim: a user gets one staged session of a pool, in one round trip (docs/explanation/protocols.md §3).

`BEGIN; LOCK_USER; CLAIM; COMMIT` are sent as one pipeline, with the row of the lease if the session is for a lease.
First, the pipeline takes the lock of `lock_access`, so that a change of groups does not miss the session. A claim
changes no capacity: the reservation was created when the session was staged. `CLAIM` also writes the line of the launch
in the ledger, so that every claim has a trace.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from psycopg.types.json import Jsonb

from greenroom.core.launch.plan import PoolContents, TraceStep
from greenroom.core.launch.wanted import SessionUser
from greenroom.core.lease import user_limit_reached
from greenroom.core.session.states import SessionStatus
from greenroom.db.access.lifecycle import lock_access
from greenroom.db.database import CHANNEL, Connection, Database, row_as
from greenroom.db.fleet.liveness import DISCONNECTED
from greenroom.db.lease.leases import write_lease
from greenroom.db.session.sessions import (
    COUNTED_SESSIONS,
    COUNTED_STATUSES,
    LAUNCH_GRANTS,
    LOCK_USER,
    MAY_LAUNCH,
    repeated_request,
    user_may_not_launch,
    user_values,
)
from greenroom.db.session.transitions import CHANGE_TO

CLAIM_ATTEMPTS: Final = 4
"""The maximum number of attempts. An attempt may miss a session, because it skips rows that another transaction has
locked."""
FRESH_AGENT_S: Final = 7.0
"""Claims and placement prefer Agents that checked in within this time and have not closed their connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolClaim:
    """A user's claim on one pool.

    Only sessions with `config_hash` are claimed: other sessions were created before a change of workspace, config or
    zone. `assignment` is the JSON of wire.messages.Assignment.
    """

    user: SessionUser
    staging_config_id: str
    config_hash: str
    assignment_id: str
    assignment: Mapping[str, Any]

    def values(self) -> dict[str, Any]:
        return {
            **user_values(self.user),
            "first_s": self.user.clocks.first_end_s,
            "staging_config_id": self.staging_config_id,
            "config_hash": self.config_hash,
            "assignment_id": self.assignment_id,
            "assignment": Jsonb(self.assignment),
            "fresh_s": FRESH_AGENT_S,
            "counted_statuses": COUNTED_STATUSES,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """The line of a launch in the ledger, written together with the row of its session.

    `steps` is the whole trace of the launch; `duration_ms` is the time since the request. `current_zone_id` is the zone
    in which the launch began; it and `request_host` are needed to replace the session if it fails.
    """

    steps: Sequence[TraceStep] = ()
    duration_ms: float = 0.0
    current_zone_id: str | None = None
    request_host: str = ""

    def values(self) -> dict[str, Any]:
        return {
            "steps": Jsonb(self.steps),
            "duration_ms": self.duration_ms,
            "current_zone_id": self.current_zone_id,
            "request_host": self.request_host,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedSession:
    """A staged session that now has a user; `edge_url` is the URL of its Agent's edge gateway, or empty."""

    session_id: str
    agent_id: str
    auth_epoch: int
    edge_url: str


AGENT_SERVES: Final[LiteralString] = "a.enabled AND NOT a.draining AND a.status = 'running'"
"""Condition on `agents a`: staged sessions on this Agent can be claimed."""
IS_STARTING: Final[LiteralString] = "s.status IN ('requested', 'starting')"
"""Condition on `sessions s`: the staged session is starting and not claimable yet."""
CLAIMABLE: Final[LiteralString] = "s.claimable"
"""Condition on `sessions s`: the session is staged and usable; it may be expired."""
CLAIMABLE_UNEXPIRED: Final[LiteralString] = CLAIMABLE + " AND s.expires > clock_timestamp()"
"""Condition on `sessions s`: the session is staged, usable and not expired. A claim also requires that its Agent is in
its zone and meets `AGENT_SERVES`."""
CLAIMABLE_NOW: Final[LiteralString] = CLAIMABLE_UNEXPIRED + " AND a.zone_id = s.zone_id AND " + AGENT_SERVES
"""Condition on `sessions s` and its `agents a`: a claim can take the session."""
CONFIG_SERVES: Final[LiteralString] = """EXISTS (SELECT 1 FROM staging_configs c JOIN images i USING (image_id)
        WHERE c.staging_config_id = %(staging_config_id)s AND NOT c.paused AND c.deleted IS NULL AND i.enabled)"""
"""Condition on the parameter `staging_config_id`: sessions of this config may be claimed. `_CONTENTS` selects the parts
of this condition separately."""


_CONNECTED: Final[LiteralString] = f"NOT {DISCONNECTED}"
_FRESH: Final[LiteralString] = (
    f"a.last_reported > clock_timestamp() - make_interval(secs => %(fresh_s)s) AND {_CONNECTED}"
)
_OTHER_AGENT: Final[LiteralString] = "a.agent_id <> %(agent_id)s"


def _oldest(among: LiteralString) -> LiteralString:
    """Return the SQL for the id of the oldest claimable session of the pool that no other transaction has locked;
    `among` is a condition on its Agent, `agents a`. Agents that have moved to another zone are excluded."""
    return (
        "(SELECT s.session_id FROM sessions s WHERE s.staging_config_id = %(staging_config_id)s"
        f" AND {CLAIMABLE_UNEXPIRED} AND s.config_hash = %(config_hash)s AND s.agent_id = ANY(ARRAY("
        f"SELECT a.agent_id FROM agents a WHERE {AGENT_SERVES} AND {among}"
        " AND a.zone_id = (SELECT zone_id FROM staging_configs WHERE staging_config_id = %(staging_config_id)s)))"
        " ORDER BY s.created LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)"
    )


def _claim_parts(preferred: Sequence[LiteralString], *, only_if: LiteralString = "true") -> LiteralString:
    """Return the parts `claimed` and `step` of a WITH clause, which give one session of the pool to the user. `only_if`
    is a condition for the claim; `preferred` are conditions on `agents a`, in the order of their preference."""
    oldest: LiteralString = ", ".join([_oldest(among) for among in preferred])
    return f"""claimed AS (UPDATE sessions SET {CHANGE_TO[SessionStatus.ASSIGNING]}, replaces = NULL,
    user_id = %(user_id)s, launch_id = %(launch_id)s,
    assigned = clock_timestamp(), keepalive = clock_timestamp(),
    expires = clock_timestamp() + make_interval(secs => %(first_s)s), expiry = %(expiry)s,
    time_limit_ends = clock_timestamp() + make_interval(secs => nullif(%(time_limit_s)s::double precision, 0)),
    assignment_id = %(assignment_id)s, assignment = %(assignment)s, assignment_state = 'requested',
    idempotency_key = %(idempotency_key)s, idempotency_body = %(idempotency_body)s, kasm_url = %(kasm_url)s,
    client_settings = %(client_settings)s
 WHERE session_id = COALESCE({oldest}) AND claimable AND {CONFIG_SERVES} AND {MAY_LAUNCH} AND {only_if}
RETURNING session_id, agent_id, zone_id, image_id, auth_epoch, staging_config_id
), step AS (INSERT INTO session_steps (session_id, name) SELECT session_id, 'claimed' FROM claimed)"""


_CLAIMED_COLUMNS: Final[LiteralString] = "SELECT session_id::text, agent_id::text, auth_epoch, a.edge_url"
_FROM_CLAIMED: Final[LiteralString] = " FROM claimed JOIN agents a USING (agent_id)"
_ANNOUNCED: Final[LiteralString] = (
    ", (SELECT count(pg_notify('" + CHANNEL + "', event)) FROM unnest(ARRAY['session:' || session_id,"
    " 'agent:' || agent_id || ':' || session_id, 'staging:' || staging_config_id]) event) AS announced"
)
"""Column that sends the events of `core.events.session_events` with the commit (ADR 43)."""
CLAIM: Final[LiteralString] = f"""
WITH {_claim_parts((_FRESH, "true"), only_if=COUNTED_SESSIONS + " < %(max_sessions)s")}, ledger AS (
INSERT INTO launches (launch_id, session_id, user_id, image_id, zone_id, outcome, steps, duration_ms, current_zone_id,
    request_host)
SELECT %(launch_id)s, session_id, %(user_id)s, image_id, zone_id, 'staged', %(steps)s, %(duration_ms)s,
    %(current_zone_id)s::uuid, %(request_host)s FROM claimed
) {_CLAIMED_COLUMNS}{_ANNOUNCED}{_FROM_CLAIMED}"""
CLAIM_REPLACEMENT: Final[LiteralString] = (
    f"WITH {_claim_parts((_FRESH + ' AND ' + _OTHER_AGENT, _FRESH, _CONNECTED + ' AND ' + _OTHER_AGENT, _CONNECTED))}"
    f" {_CLAIMED_COLUMNS}{_FROM_CLAIMED}"
)
"""Claims a session for a user whose session on Agent `agent_id` failed, preferably on another Agent. An Agent that
closed its connection would not acknowledge this session either."""

_CONTENTS: Final[LiteralString] = f"""
WITH s AS (
    SELECT {CLAIMABLE_UNEXPIRED} AND s.config_hash = %(config_hash)s AND a.zone_id = s.zone_id AS can_be_claimed,
           {CLAIMABLE} AND s.expires <= clock_timestamp() AS expired,
           {CLAIMABLE} AND s.config_hash <> %(config_hash)s AS outdated,
           {IS_STARTING} AS starting,
           s.status, a.status AS agent_status, a.enabled AND NOT a.draining AS agent_enabled
      FROM sessions s JOIN agents a USING (agent_id)
     WHERE s.staging_config_id = %(staging_config_id)s AND s.user_id IS NULL AND s.status <> 'deleted' AND NOT s.retired
)
SELECT count(*) FILTER (WHERE can_be_claimed AND agent_status = 'running' AND agent_enabled) AS claimable,
       count(*) FILTER (WHERE status = 'unreachable' OR (can_be_claimed AND agent_status <> 'running'))
           AS on_missing_agents,
       count(*) FILTER (WHERE can_be_claimed AND agent_status = 'running' AND NOT agent_enabled) AS on_disabled_agents,
       count(*) FILTER (WHERE expired) AS expired, count(*) FILTER (WHERE outdated) AS outdated,
       count(*) FILTER (WHERE starting) AS starting,
       {COUNTED_SESSIONS} AS num_counted, {MAY_LAUNCH} AS may_launch,
       COALESCE((SELECT c.paused FROM staging_configs c WHERE c.staging_config_id = %(staging_config_id)s), false)
           AS paused,
       NOT EXISTS (SELECT 1 FROM staging_configs c WHERE c.staging_config_id = %(staging_config_id)s
                   AND c.deleted IS NULL) AS deleted,
       COALESCE((SELECT i.enabled FROM images i JOIN staging_configs c USING (image_id)
                  WHERE c.staging_config_id = %(staging_config_id)s), false) AS image_enabled
  FROM s
"""


async def claim(
    db: Database,
    request: PoolClaim,
    ledger: LedgerLine,
    *,
    max_sessions: int,
    after_user_lock: Callable[[], Awaitable[None]] | None = None,
) -> ClaimedSession | PoolContents:
    """Claim one staged session of a pool for a user, in one round trip. Return the contents of the pool if it has no
    session to claim. `after_user_lock` is awaited while the row of the user is locked.

    Raises:
        Forbidden: the user was barred, or lost a permission that the launch needs, since the launch was planned.
        SessionLimit: the user already has `max_sessions` sessions without a lease.
        LeaseLimit: the session is for a lease, and the user already has `max_sessions` leases.
        RepeatedRequest: the idempotency key was used by another request in the meantime.
        IdempotencyMismatch: the idempotency key was used for a different request.
    """
    values = {**request.values(), **ledger.values(), "max_sessions": max_sessions}
    contents = PoolContents()
    for _ in range(CLAIM_ATTEMPTS):
        try:
            claimed = await _claim_once(db, request.user, values, after_user_lock)
        except psycopg.errors.UniqueViolation as error:
            raise await repeated_request(db, error, request.user) from error
        if claimed is not None:
            return claimed
        contents, num_counted, may_launch = await _read_contents(db, values)
        if not may_launch:
            raise user_may_not_launch()
        if num_counted >= max_sessions:
            raise user_limit_reached(max_sessions, leased=request.user.lease is not None)
        if not contents.serves:
            break
    return contents


async def claim_replacement(connection: Connection, request: PoolClaim, failed_on: str | None) -> ClaimedSession | None:
    """Claim a staged session for the user, preferably on another Agent than `failed_on`; None = there is no session.
    The claim never waits for a row (SKIP LOCKED), so the caller may have locked the failed session."""
    cursor = await connection.execute(CLAIM_REPLACEMENT, {**request.values(), "agent_id": failed_on})
    return row_as(ClaimedSession, await cursor.fetchone())


async def read_contents(db: Database, *, user_id: str, staging_config_id: str, config_hash: str) -> PoolContents:
    """Read the current contents of a pool, without locks."""
    values = {
        "user_id": user_id,
        "staging_config_id": staging_config_id,
        "config_hash": config_hash,
        "counted_statuses": COUNTED_STATUSES,
        "leased": False,
        "needs_permission": False,
        "launch_grants": LAUNCH_GRANTS,
    }
    contents, *_ = await _read_contents(db, values)
    return contents


async def _read_contents(db: Database, values: Mapping[str, Any]) -> tuple[PoolContents, int, bool]:
    """Read the contents of a pool, the number of the user's sessions that count towards the limit of the user, and if
    the user may launch."""
    (row,) = await db.fetch(_CONTENTS, values)
    num_counted: int = row.pop("num_counted")
    may_launch: bool = row.pop("may_launch")
    return PoolContents(**row), num_counted, may_launch


async def _claim_once(
    db: Database, user: SessionUser, values: Mapping[str, Any], after_user_lock: Callable[[], Awaitable[None]] | None
) -> ClaimedSession | None:
    """Lock the user, claim, write the lease if there is one, and commit, in one round trip. Return the claimed session;
    None if the pool has none."""
    async with db.pipelined() as connection:
        await lock_access(connection, alone=False)
        locked = await connection.execute(LOCK_USER, values)
        if after_user_lock is not None:
            await locked.fetchone()
            await after_user_lock()
        cursor = await connection.execute(CLAIM, values)
        await write_lease(connection, user)
    return row_as(ClaimedSession, await cursor.fetchone())
