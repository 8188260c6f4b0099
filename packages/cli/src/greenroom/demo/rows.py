"""Writes the past of the demo into its database: what the api cannot backdate. One transaction writes each kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString

import msgspec
from psycopg.types.json import Jsonb

from greenroom.core.audit import START, AuditEvent, ChainedEvent, Link, Seal, append, head_signature, timestamp
from greenroom.core.log_codes import is_security_event
from greenroom.db.database import Connection, Database, rows_as
from greenroom.db.diagnostics.audit import LOCK as AUDIT_LOCK
from greenroom.db.diagnostics.logs import LogRow
from greenroom.db.launch.ledger import FailedLaunch
from greenroom.db.rows import column_list, columns_of, values_of
from greenroom.demo.events import TimedEvent
from greenroom.demo.history import PastLaunch
from greenroom.kit.secrets import Secrets

BATCH: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PastLaunchRow(FailedLaunch):
    """A row of the ledger, of a launch with any outcome."""

    session_id: str | None
    zone_id: str
    outcome: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSessionRow:
    """A session of the past."""

    session_id: str
    zone_id: str
    image_id: str
    agent_id: str | None
    user_id: str
    staging_config_id: str | None
    launch_id: str
    cores: float
    memory: int
    created: datetime
    started: datetime
    assigned: datetime
    status_changed: datetime
    ended: datetime
    status: str = "deleted"
    want: str = "absent"
    spec: dict[str, Any]
    credential_encrypted: str = "\\x"
    spec_hash: str = ""
    ended_reason: str = "The user ended it."


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """A completed step of the start of a session."""

    session_id: str
    name: str
    at: datetime


async def insert_launches(db: Database, launches: Sequence[PastLaunch], zone_ids: Mapping[str, str]) -> None:
    """Insert launches, their sessions and the steps of these."""
    async with db.transaction() as connection:
        sessions = [
            _session_row(each, each.session_id, zone_ids[each.zone]) for each in launches if each.session_id is not None
        ]
        await _insert(connection, "sessions", EndedSessionRow, sessions, excluded=("cpu_quota",))
        await _insert(connection, "session_steps", StepRow, [step for each in launches for step in _steps(each)])
        rows = [_launch_row(each, zone_ids[each.zone]) for each in launches]
        await _insert(connection, "launches", PastLaunchRow, rows)


def _launch_row(launch: PastLaunch, zone_id: str) -> PastLaunchRow:
    return PastLaunchRow(
        launch_id=launch.launch_id,
        session_id=launch.session_id,
        user_id=launch.user.user_id,
        image_id=launch.workspace.image_id,
        zone_id=zone_id,
        outcome=launch.outcome,
        steps=launch.steps,
        at=launch.at,
        duration_ms=launch.duration_ms,
    )


def _session_row(launch: PastLaunch, session_id: str, zone_id: str) -> EndedSessionRow:
    ended = launch.at + timedelta(seconds=launch.used_s)
    is_staged = launch.staging_config_id is not None
    created = launch.at - timedelta(seconds=1800) if is_staged else launch.at
    started = created + timedelta(seconds=launch.workspace.cold_s if is_staged else launch.started_s)
    return EndedSessionRow(
        session_id=session_id,
        zone_id=zone_id,
        image_id=launch.workspace.image_id,
        agent_id=launch.agent_id,
        user_id=launch.user.user_id,
        staging_config_id=launch.staging_config_id,
        launch_id=launch.launch_id,
        cores=launch.workspace.cores,
        memory=launch.workspace.memory,
        created=created,
        started=started,
        assigned=launch.at,
        status_changed=ended,
        ended=ended,
        spec={},
    )


def _steps(launch: PastLaunch) -> list[StepRow]:
    if launch.session_id is None:
        return []
    if launch.staging_config_id is None:
        names = {"requested": 0.0, "placed": 0.01, "created": 0.3, "painted": 0.95, "usable": 1.0}
        return [
            StepRow(session_id=launch.session_id, name=name, at=launch.at + timedelta(seconds=launch.started_s * part))
            for name, part in names.items()
        ]
    handed_over = launch.at + timedelta(seconds=launch.started_s)
    return [
        StepRow(session_id=launch.session_id, name="claimed", at=launch.at),
        StepRow(session_id=launch.session_id, name="handed_over", at=handed_over),
    ]


async def _insert(
    connection: Connection, table: LiteralString, kind: type[Any], rows: Sequence[Any], excluded: Sequence[str] = ()
) -> None:
    """Insert typed rows. `excluded` are columns that the database computes."""
    names = column_list(columns_of(kind, without=excluded))
    statement: LiteralString = (
        "INSERT INTO " + table + " (" + names + ") SELECT " + names + " FROM jsonb_populate_recordset(NULL::"
    ) + (table + ", %(rows)s)")
    for first in range(0, len(rows), BATCH):
        batch = [_as_json(kind, row) for row in rows[first : first + BATCH]]
        await connection.execute(statement, {"rows": Jsonb(batch)})


def _as_json(kind: type[Any], row: Any) -> dict[str, Any]:
    return msgspec.to_builtins(values_of(kind, row))


@dataclass(frozen=True, slots=True, kw_only=True)
class PastLogRow(LogRow):
    """A log row as it is stored."""

    security: bool


async def rewrite_logs(db: Database, rows: Sequence[LogRow]) -> None:
    """Add log rows of the past, and number all rows in the order of their times. Lists show rows by number."""
    stored = [
        PastLogRow(**values_of(LogRow, row), security=is_security_event(row.component, row.code, row.details))
        for row in rows
    ]
    columns: LiteralString = (
        "time, level, component, code, message, zone_name, session_id, user_id, username, staging_config_id,"
        " staging_config_title, setting, details, security"
    )
    async with db.transaction() as connection:
        await connection.execute("LOCK TABLE logs IN EXCLUSIVE MODE")
        await _insert(connection, "logs", PastLogRow, stored, excluded=("object_kind", "object_name"))
        await connection.execute(
            "WITH old AS (DELETE FROM logs RETURNING *) INSERT INTO logs (" + columns + ") SELECT " + columns + ""
            " FROM old ORDER BY time, log_id"
        )


async def rewrite_audit(
    db: Database, secrets: Secrets, past: Sequence[TimedEvent], ages_s: Mapping[str, float]
) -> None:
    """Write the chain of the audit again: with the events of the past, and with the events about the sessions in
    `ages_s` (id → seconds) before their present times by this number of seconds."""
    sign = secrets.audit_signature
    async with db.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", (AUDIT_LOCK,))
        cursor = await connection.execute(
            "SELECT " + column_list(columns_of(ChainedEvent)) + " FROM audit_events ORDER BY event_id"
        )
        present = [_aged(event, ages_s) for event in rows_as(ChainedEvent, await cursor.fetchall())]
        events = sorted([*past, *present], key=lambda each: each.time)
        for table in ("audit_events", "audit_seals", "audit_head"):
            await connection.execute(("DELETE FROM " + table).encode())
        chained, seals = _chain(secrets, events)
        await _insert_chain(connection, chained, seals)
        last = Link(chained[-1].event_id, chained[-1].hash)
        await connection.execute(
            "INSERT INTO audit_head (last_id, last_hash, time, signature) VALUES (%s, %s, %s, %s)",
            (last.event_id, last.hash, chained[-1].time, head_signature(sign, last, chained[-1].time)),
        )


def _aged(event: ChainedEvent, ages_s: Mapping[str, float]) -> TimedEvent:
    age_s = ages_s.get(event.object_id or "", 0.0)
    fields = {name: value for name, value in asdict(event).items() if name not in {"event_id", "time", "hash"}}
    return TimedEvent(event.time - timedelta(seconds=age_s), AuditEvent(**fields))


def _chain(secrets: Secrets, events: Sequence[TimedEvent]) -> tuple[list[ChainedEvent], list[Seal]]:
    chained: list[ChainedEvent] = []
    seals: list[Seal] = []
    after, last_time = START, None
    for each in events:
        links, ended = append(secrets.audit_signature, [each.event], after=after, last_time=last_time, now=each.time)
        chained += links
        seals += ended
        after, last_time = Link(links[-1].event_id, links[-1].hash), links[-1].time
    return chained, seals


async def _insert_chain(connection: Connection, chained: Sequence[ChainedEvent], seals: Sequence[Seal]) -> None:
    names = column_list(columns_of(ChainedEvent))
    for first in range(0, len(chained), BATCH):
        rows = [
            asdict(each) | {"time": timestamp(each.time), "hash": f"\\x{each.hash.hex()}"}
            for each in chained[first : first + BATCH]
        ]
        await connection.execute(
            "INSERT INTO audit_events (" + names + ") SELECT " + names + ""
            " FROM jsonb_populate_recordset(NULL::audit_events, %(rows)s)",
            {"rows": Jsonb(rows)},
        )
    for seal in seals:
        await connection.execute(
            "INSERT INTO audit_seals (day, last_id, last_hash, signature) VALUES (%s, %s, %s, %s)",
            (seal.day, seal.last.event_id, seal.last.hash, seal.signature),
        )


async def backdate_sessions(db: Database, ages_s: Mapping[str, float]) -> None:
    """Move the launches of sessions into the past. `ages_s` maps session ids to seconds."""
    parameters = (list(ages_s), list(ages_s.values()))
    ages: LiteralString = " FROM unnest(%s::uuid[], %s::float8[]) AS a (id, age_s) WHERE a.id = t.session_id"
    by: LiteralString = " - make_interval(secs => a.age_s)"
    async with db.transaction() as connection:
        for statement in (
            "UPDATE sessions t SET created = created" + by + ", started = started" + by + ", assigned = assigned" + by
            + ", time_limit_ends = time_limit_ends" + by + ages,
            "UPDATE sessions t SET expires = least(expires, time_limit_ends)" + ages,
            "UPDATE launches t SET at = at" + by + ages,
            "UPDATE session_steps t SET at = at" + by + ages,
            "UPDATE logs t SET time = time" + by + ages,
        ):  # fmt: skip
            await connection.execute(statement, parameters)
        await connection.execute(_CLIENTS)


_CLIENTS: Final[LiteralString] = (
    "UPDATE sessions s SET round_trip_ms = 4 + abs(hashtext(u.username)) % 60,"
    " frames_s = abs(hashtext(u.username || '/')) % 31, kbit_s = abs(hashtext(u.username || '/')) % 31 * 90,"
    " client_address = '10.20.' || abs(hashtext(u.username)) % 8 || '.' || abs(hashtext(u.username || '.')) % 250 + 1"
    " FROM users u WHERE u.user_id = s.user_id AND NOT EXISTS"
    " (SELECT FROM leases l WHERE l.session_id = s.session_id)"
)
"""The browsers of the users of sessions. A session that a program leased has none."""
_BACKDATED: Final[tuple[LiteralString, ...]] = (
    ("UPDATE users SET created = now() - interval '400 days' + (abs(hashtext(username)) % 330) * interval '1 day'"),
    "UPDATE images SET created = now() - interval '190 days'",
    "UPDATE staging_configs SET created = now() - interval '60 days'",
    "UPDATE managers SET first_reported = now() - interval '120 days'",
    "UPDATE agents SET registered = now() - interval '90 days'",
    (
        "UPDATE users u SET last_session = l.at FROM (SELECT user_id, max(at) AS at FROM launches GROUP BY 1) l"
        " WHERE l.user_id = u.user_id"
    ),
)


async def backdate_objects(db: Database) -> None:
    """Let the installation be some months old: its users, workspaces, pools, Managers and Agents."""
    async with db.transaction() as connection:
        for statement in _BACKDATED:
            await connection.execute(statement)
