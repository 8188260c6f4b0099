"""Failed sessions whose user waits, and their replacements (docs/explanation/protocols.md §3, `core.launch.wanted`).

All writes are inside `guarded` of the failed session's zone, also writes in another zone (ADR 21). A replacement is a
new session or a staged session, and both keep the lock order. A new session reserves its capacity before the row of the
failed session is locked. A staged session already has its capacity. It is claimed after that lock, with SKIP LOCKED, so
that the claim never waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, LiteralString

from psycopg.types.json import Jsonb

from greenroom.core.access.group_settings import ClientSettings
from greenroom.core.launch.plan import LaunchZone, StagedPool, TraceStep
from greenroom.core.launch.wanted import SessionUser
from greenroom.core.session.deadlines import Clocks
from greenroom.core.session.states import SessionStatus
from greenroom.core.workspace.session_spec import CpuMode, StoredSpec
from greenroom.core.workspace.spec_builder import ImageFacts
from greenroom.db.access.users import USERNAME_REUSED
from greenroom.db.database import Connection, Database, row_as, rows_as
from greenroom.db.launch.ledger import LAUNCH_TARGETS
from greenroom.db.lease.leases import move_lease
from greenroom.db.session.lifecycle import CLOCKS_COLUMN
from greenroom.db.session.sessions import request_end
from greenroom.db.session.shares import move_shares
from greenroom.db.session.transitions import CHANGE_TO, CHANGED_SESSION, DETACH_USER, ChangedSession

Outcome = Literal["staged", "on_demand"]

MAX_QUARANTINED_PER_CONFIG: Final = 3
"""The maximum number of quarantined sessions of one staging config; older sessions are destroyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionToReplace:
    """A failed session with a waiting user, and the input of its replacement. `sessions_tried` and `starts` (by zone
    id) count the sessions of its launch, as in `core.launch.wanted.FailedSession`."""

    session_id: str
    status: SessionStatus
    user_id: str
    username: str
    username_reused: bool
    agent_id: str | None
    agent_name: str
    """Empty if the Agent does not exist."""
    zone_id: str
    zone_name: str
    image_id: str
    staging_config_id: str | None
    launch_id: str | None
    assignment: dict[str, Any] | None
    """The JSON of wire.messages.Assignment of a hand-over."""
    idempotency_key: str | None
    idempotency_body: str | None
    kasm_url: str
    client_settings: ClientSettings
    permissions: dict[str, bool]
    auth_epoch: int
    set_aside_reason: str | None
    """The reason why its hand-over failed; None if the session could not start."""
    error: str | None
    slow: bool
    cores: float
    memory: int
    cpu_mode: CpuMode
    spec: StoredSpec
    with_secrets: bool
    """True if its web filter adds secrets to requests."""
    credential_encrypted: bytes
    files_encrypted: bytes | None
    clocks: Clocks
    preferred_language: str | None
    preferred_timezone: str | None
    silent_s: float
    """Time since its Agent last checked in."""
    status_age_s: float
    """Time since its last status change."""
    current_zone_id: str
    """The zone in which its launch began; a search for a session begins there."""
    request_host: str
    """The host in the request of its launch; empty if it is not known."""
    last_step: TraceStep | None
    sessions_tried: int
    starts: dict[str, int]
    failed_agent_ids: frozenset[str]
    """Agents on which sessions of its launch did not start; also other Agents of the machine if a session was slow."""
    causes: tuple[str, ...]
    """The reasons why earlier sessions of its launch did not start."""

    @property
    def user(self) -> SessionUser:
        """The user for the replacement. The clocks start again; `supersede` moves the idempotency key."""
        return SessionUser(
            user_id=self.user_id,
            launch_id=self.launch_id,
            clocks=self.clocks,
            kasm_url=self.kasm_url,
            client_settings=self.client_settings,
        )


_SELECT_SESSIONS_TO_REPLACE: Final[LiteralString] = f"""
SELECT s.session_id::text, s.status, s.user_id::text, u.username, {USERNAME_REUSED} AS username_reused,
       s.agent_id::text, coalesce(agent_name(a), '') AS agent_name, s.staging_config_id::text, s.launch_id::text,
       s.image_id::text, s.zone_id::text, z.zone_name, s.assignment, s.idempotency_key, s.idempotency_body, s.kasm_url,
       s.client_settings, s.permissions, s.auth_epoch, s.set_aside_reason, s.error, s.slow,
       s.cores, s.memory, CASE WHEN s.cpu_quota THEN 'Quotas' ELSE 'Shares' END AS cpu_mode, s.spec,
       EXISTS (SELECT 1 FROM filter_policy_secrets f
                WHERE f.filter_policy_id::text = s.spec ->> 'filter_policy') AS with_secrets,
       s.credential_encrypted, s.files_encrypted, t.preferred_language, t.preferred_timezone,
       COALESCE(extract(epoch FROM clock_timestamp() - a.last_reported), 0)::double precision AS silent_s,
       extract(epoch FROM clock_timestamp() - s.status_changed)::double precision AS status_age_s,
       {CLOCKS_COLUMN},
       COALESCE(l.current_zone_id, s.zone_id)::text AS current_zone_id, COALESCE(l.request_host, '') AS request_host,
       l.steps->-1 AS last_step,
       (SELECT count(*) FROM sessions o WHERE o.launch_id = s.launch_id) AS sessions_tried,
       COALESCE((SELECT jsonb_object_agg(zone_id, number) FROM (SELECT o.zone_id, count(*) AS number FROM sessions o
           WHERE o.launch_id = s.launch_id AND o.staging_config_id IS NULL GROUP BY o.zone_id) made), '{{}}') AS starts,
       ARRAY(SELECT o.agent_id::text FROM sessions o WHERE o.launch_id = s.launch_id AND o.staging_config_id IS NULL
           AND o.agent_id IS NOT NULL
             UNION SELECT m.agent_id::text FROM sessions o JOIN agents b USING (agent_id) JOIN agents m
               ON m.machine_id = b.machine_id AND m.machine_id <> ''
              WHERE o.launch_id = s.launch_id AND o.staging_config_id IS NULL AND o.slow) AS failed_agent_ids,
       ARRAY(SELECT coalesce(agent_name(p), 'an Agent') || ': ' || coalesce(o.error, 'no reason was given')
               FROM sessions o LEFT JOIN agents p USING (agent_id)
              WHERE o.launch_id = s.launch_id AND o.staging_config_id IS NULL AND o.session_id <> s.session_id
              ORDER BY o.created) AS causes
  FROM sessions s JOIN users u USING (user_id) JOIN zones z ON z.zone_id = s.zone_id
  LEFT JOIN agents a ON a.agent_id = s.agent_id LEFT JOIN launches l ON l.launch_id = s.launch_id
  LEFT JOIN user_attributes t ON t.user_id = s.user_id
 WHERE """

# The session was never usable, and its Agent is missing. A session with a profile is excluded, because its home must
# not be open on two hosts.
_ORPHANED_START: Final[LiteralString] = (
    "s.status IN ('requested', 'starting') AND s.started IS NULL AND s.user_id IS NOT NULL AND s.profile_path IS NULL"
    " AND a.status = 'missing'"
)


AWAITING_SUCCESSOR: Final[LiteralString] = (
    _SELECT_SESSIONS_TO_REPLACE + "s.awaits_successor AND s.zone_id = %(zone_id)s"
)


async def read_sessions_to_replace(db: Database, zone_id: str) -> list[SessionToReplace]:
    """Return failed sessions of the zone with a user who waits for another session."""
    return await db.fetch_as(SessionToReplace, AWAITING_SUCCESSOR + " ORDER BY s.session_id", {"zone_id": zone_id})


async def read_orphaned_starts(db: Database, zone_id: str) -> list[SessionToReplace]:
    """Return sessions of the zone with a waiting user, whose Agent became missing before they were usable."""
    return await db.fetch_as(
        SessionToReplace,
        _SELECT_SESSIONS_TO_REPLACE + _ORPHANED_START + " AND s.zone_id = %s ORDER BY s.created, s.session_id",
        (zone_id,),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchTargets:
    """The input of the search for another session of a workspace; `zones` in the order of their creation."""

    image: ImageFacts
    zones: tuple[LaunchZone, ...]
    pools: tuple[StagedPool, ...]


async def read_launch_targets(db: Database, image_id: str) -> LaunchTargets:
    """Return the input of the search for a session of this workspace."""
    (targets,) = await db.fetch_as(LaunchTargets, "SELECT " + LAUNCH_TARGETS, {"image_id": image_id})
    return targets


async def quarantine(connection: Connection, session_id: str) -> SessionToReplace | None:
    """Detach the user from a session whose hand-over failed. Return the row before the change; None = the session
    changed in the meantime."""
    row = await _lock(connection, session_id)
    if row is not None:
        await connection.execute(
            "UPDATE sessions SET " + DETACH_USER + ", auth_epoch = auth_epoch + 1, generation = generation + 1"
            " WHERE session_id = %s",
            (session_id,),
        )
    return row


async def discard_failed_start(
    connection: Connection, session_id: str, cause: str, reason: str
) -> SessionToReplace | None:
    """Detach the user from a session that did not start, and end the session. Return the row before the change; None =
    the session changed in the meantime.

    The Agent of the session, also if it is absent, then receives only the instruction to end the session. `cause` is
    the reason why the session did not start, stored if the row has none; `reason` is the reason of its end.
    """
    row = await _lock(connection, session_id)
    if row is not None:
        await connection.execute(
            "UPDATE sessions SET " + DETACH_USER + ", " + CHANGE_TO[SessionStatus.DELETING] + ", ended_reason = %s,"
            " error = COALESCE(error, %s) WHERE session_id = %s",
            (reason, cause, session_id),
        )
    return row


async def _lock(connection: Connection, session_id: str) -> SessionToReplace | None:
    cursor = await connection.execute(
        _SELECT_SESSIONS_TO_REPLACE
        + "(s.awaits_successor OR "
        + _ORPHANED_START
        + ") AND s.session_id = %s FOR NO KEY UPDATE OF s",
        (session_id,),
    )
    return row_as(SessionToReplace, await cursor.fetchone())


async def supersede(
    connection: Connection,
    old: SessionToReplace,
    session_id: str,
    *,
    outcome: Outcome,
    steps: Sequence[TraceStep],
) -> None:
    """Link the failed session `old`, which has lost its user, to its replacement `session_id`.

    The replacement gets the idempotency key, the shares, the lease and the launch of the failed session, and its epoch,
    so that revoked tokens stay revoked. The ledger gets the outcome of the launch and the further `steps` of its trace.
    """
    await connection.execute(
        "UPDATE sessions SET superseded_by = %s WHERE session_id = %s", (session_id, old.session_id)
    )
    await connection.execute(
        "UPDATE sessions SET idempotency_key = %s, idempotency_body = %s, auth_epoch = %s WHERE session_id = %s",
        (old.idempotency_key, old.idempotency_body, old.auth_epoch, session_id),
    )
    await move_shares(connection, old.session_id, session_id)
    await move_lease(connection, old.session_id, session_id)
    await connection.execute(
        "UPDATE launches l SET session_id = s.session_id, zone_id = s.zone_id, outcome = %s, steps = l.steps || %s"
        " FROM sessions s WHERE s.session_id = %s AND l.launch_id = %s",
        (outcome, Jsonb(steps), session_id, old.launch_id),
    )


async def end_search(connection: Connection, old: SessionToReplace, error: str, steps: Sequence[TraceStep]) -> bool:
    """End the search for a replacement. The user keeps the failed session; False = it was deleted in the meantime.
    `error` is the sentence for the user, `steps` are the next steps of the trace of the launch."""
    cursor = await connection.execute(
        "UPDATE sessions SET gave_up = true, error = %s, set_aside_reason = NULL"
        " WHERE session_id = %s AND awaits_successor RETURNING 1",
        (error, old.session_id),
    )
    if await cursor.fetchone() is None:
        return False
    await connection.execute(
        "UPDATE launches SET outcome = 'failed', steps = steps || %s WHERE launch_id = %s",
        (Jsonb(steps), old.launch_id),
    )
    return True


async def destroy_quarantined(connection: Connection, session_id: str, reason: str) -> bool:
    """End a quarantined session; False = it is already ending."""
    only_if = "set_aside_for IS NOT NULL AND status = 'failed'"
    return await request_end(connection, session_id, reason, only_if=only_if) is not None


async def destroy_oldest_quarantined(connection: Connection, staging_config_id: str) -> list[ChangedSession]:
    """End the quarantined sessions of one config except the newest `MAX_QUARANTINED_PER_CONFIG`; returns their rows."""
    cursor = await connection.execute(
        "WITH old AS MATERIALIZED (SELECT session_id FROM sessions WHERE session_id IN (SELECT session_id FROM sessions"
        "   WHERE staging_config_id = %(config)s AND set_aside_for IS NOT NULL AND status = 'failed'"
        "   ORDER BY status_changed DESC, session_id OFFSET %(kept)s) ORDER BY session_id FOR NO KEY UPDATE)"
        " UPDATE sessions SET " + CHANGE_TO[SessionStatus.DELETING] + ","
        " ended_reason = 'Newer sessions of its config were quarantined.'"
        " WHERE session_id IN (SELECT session_id FROM old) AND status = 'failed'" + CHANGED_SESSION,
        {"config": staging_config_id, "kept": MAX_QUARANTINED_PER_CONFIG},
    )
    return rows_as(ChangedSession, await cursor.fetchall())
