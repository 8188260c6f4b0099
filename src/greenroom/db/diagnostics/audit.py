"""The events of the audit: writing in batches, reading, verification and retention.

One advisory lock orders the batches of all processes. An event is written after the commit of its change. If the
process is killed in between, `audit_operations` has the event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final, LiteralString

import structlog
from psycopg.types.json import Jsonb

from greenroom.core.audit import (
    START,
    AuditEvent,
    ChainCheck,
    ChainedEvent,
    Head,
    Link,
    Seal,
    append,
    broken_link,
    day_of,
    details_text,
    head_signature,
    reduced,
    seal_signature,
    timestamp,
)
from greenroom.core.errors import Unavailable
from greenroom.core.listing import SortOrder
from greenroom.core.log_codes import LogCode
from greenroom.db.database import Connection, Database, refuses_values, returned_row, rows_as
from greenroom.db.diagnostics.audit_operations import BegunOperations, delete_operations, storable_event
from greenroom.db.diagnostics.batches import WaitingRows, refusal, storable
from greenroom.db.diagnostics.logs import LogRow
from greenroom.db.listing import ListColumn, ListDefinition
from greenroom.db.rows import column_list, columns_of, qualified
from greenroom.kit.secrets import Secrets

log = structlog.get_logger(__name__)

LOCK: Final = 77
"""Number of the advisory lock that orders the batches."""
MAX_QUEUED: Final = 10_000
FLUSH_S: Final = 0.2
READ_ROWS: Final = 2000
REFUSALS: Final = ("-refused", "-denied", "-throttled", "login-failed")
"""The ends of the codes of refusals. Some are answered with a redirection, which is no error."""
MIN_RETENTION_DAYS: Final = 30
"""The function `delete_audit_events` deletes no younger days."""

_COLUMNS: Final = columns_of(ChainedEvent)
_INSERT: Final[LiteralString] = (
    "INSERT INTO audit_events (" + column_list(_COLUMNS) + ") SELECT " + column_list(_COLUMNS) + ""
    " FROM jsonb_populate_recordset(NULL::audit_events, %(rows)s)"
)
_READ: Final[LiteralString] = (
    "SELECT " + column_list(_COLUMNS) + " FROM audit_events WHERE %(after)s::bigint IS NULL OR event_id > %(after)s"
    " ORDER BY event_id LIMIT %(limit)s"
)
_DELETE: Final[LiteralString] = "SELECT delete_audit_events(%s) AS number"
_SET_HEAD: Final[LiteralString] = (
    "INSERT INTO audit_head (last_id, last_hash, time, signature) VALUES (%s, %s, %s, %s) ON CONFLICT (one) DO UPDATE"
    " SET last_id = excluded.last_id, last_hash = excluded.last_hash, time = excluded.time,"
    " signature = excluded.signature"
)
_HEAD: Final[LiteralString] = (
    "SELECT h.last_id, h.last_hash, h.time, h.signature, clock_timestamp() AS now,"
    " (SELECT max(event_id) FROM audit_events) AS max_id, EXISTS (SELECT FROM audit_seals) AS sealed"
    " FROM (SELECT) one LEFT JOIN audit_head h ON true"
)


_FIRST_HASH: Final[LiteralString] = "(SELECT hash FROM audit_events WHERE event_id = 1)"
_KNOWN: Final[LiteralString] = (
    "SELECT coalesce((SELECT last_id FROM audit_head), 0) AS last_id,"
    " (SELECT hash FROM audit_events WHERE event_id = %s) AS hash, " + _FIRST_HASH + " AS first_hash"
)
_DOUBTS: Final[LiteralString] = (
    "SELECT created < now() - interval '1 hour' AS is_old,"
    " (SELECT coalesce(max(last_id), 0) FROM audit_deliveries) AS delivered FROM installation"
)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A queued event. `operation_id` is the operation that ends with it. Without an event, the operation left none."""

    event: AuditEvent | None
    operation_id: str | None = None


@dataclass(frozen=True, slots=True)
class KnownChain:
    """The last event that a process stored, and the hash of the first event of its chain; None = this event was deleted
    because of its age."""

    last: Link
    first_hash: bytes | None


class AuditWriter:
    """Collects events and adds them to the chain. At most `MAX_QUEUED` events wait while the database is unreachable;
    further events are dropped and counted. It remembers the last event that it stored, so that it notices if the chain
    was set back to an older state, which is intact."""

    def __init__(self, db: Database, secrets: Secrets, component: str = "api") -> None:
        self._db = db
        self._rows = WaitingRows[_Entry](
            db, self._append, component=component, row_name="events of the audit", max_rows=MAX_QUEUED
        )
        self._secrets = secrets
        self._writing = asyncio.Lock()
        self._known: KnownChain | None = None
        self.operations = BegunOperations(db, secrets)

    @property
    def dropped(self) -> int:
        return self._rows.dropped

    @property
    def waited_s(self) -> float:
        return self._rows.waited_s

    def add(self, *events: AuditEvent, operation_id: str | None = None) -> None:
        """Queue events. `operation_id` is the begun operation that ends with them; without events, it left none."""
        for event in events[:-1]:
            self._rows.add(_Entry(event))
        if events or operation_id:
            self._rows.add(_Entry(events[-1] if events else None, operation_id))

    async def run(self) -> None:
        """Write queued events until this task is canceled, and then the remaining events."""
        try:
            while True:
                await self._rows.wait_for_rows()
                await asyncio.sleep(FLUSH_S)
                await asyncio.shield(self.flush())  # a canceled write would lose its events
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Write queued events; they stay queued while the database cannot be reached."""
        async with self._writing:
            await self._rows.write()

    async def _append(self, entries: Sequence[_Entry]) -> int:
        """Add events, and end their operations. Raises Unavailable: the database refused them, for any reason. No event
        is omitted, so an error cannot hide a change."""
        events = [entry.event for entry in entries if entry.event is not None]
        ended = [entry.operation_id for entry in entries if entry.operation_id is not None]
        try:
            self._known = await store_events(self._db, self._secrets, events, ended, known=self._known) or self._known
        except Unavailable:
            raise
        except Exception as error:
            raise Unavailable(f"The audit cannot be written: {error}") from error
        self.operations.forget(*ended)
        return 0


async def store_events(
    db: Database,
    secrets: Secrets,
    events: Sequence[AuditEvent],
    operation_ids: Sequence[str] = (),
    *,
    known: KnownChain | None = None,
) -> KnownChain | None:
    """Add events, and delete the records of the operations that end with them, in one transaction. If PostgreSQL
    refuses an event, it is added in a reduced form. `known` is the chain after the last call of this process. Return
    the chain with the events; None = it was not determined."""
    chain: KnownChain | None = None
    try:
        async with db.pipelined() as connection:
            if operation_ids:
                await delete_operations(connection, operation_ids)
            if events:
                await _report_rollback(connection, secrets, known)
                last = await append_events(connection, secrets, events)
                row = await returned_row(await connection.execute("SELECT " + _FIRST_HASH + " AS first_hash"))
                chain = KnownChain(last, row["first_hash"])
    except Exception as error:
        if not refuses_values(error):
            raise
        async with db.transaction() as connection:
            await delete_operations(connection, operation_ids)
            await append_separately(connection, secrets, events)
        return None
    return chain


async def _report_rollback(connection: Connection, secrets: Secrets, known: KnownChain | None) -> None:
    """Write a log row and an event if the chain does not contain an event that this process stored. A day that was
    deleted because of its age does not count. Neither does a chain with another first event: only the key of the
    installation signs its head, as `greenroom demo` does for its invented past."""
    if known is None:
        return
    await connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", (LOCK,))
    row = await returned_row(await connection.execute(_KNOWN, (known.last.event_id,)))
    is_there = row["last_id"] >= known.last.event_id and row["hash"] in (None, known.last.hash)
    is_other_chain = None not in (known.first_hash, row["first_hash"]) and row["first_hash"] != known.first_hash
    if is_there or is_other_chain:
        return
    message = (
        f"The audit was set back: event {known.last.event_id} was stored, but the chain does not contain it. Later"
        " events are missing. Compare the audit with an export or a receiver of its events"
    )
    code = LogCode.AUDIT_ROLLED_BACK
    await connection.execute(
        "INSERT INTO logs (level, component, code, message) VALUES (%s, 'api', %s, %s)", (code.level, code, message)
    )
    event = AuditEvent(code=code, message=message, interface="system", actor_kind="api")
    await append_events(connection, secrets, [event])


async def append_separately(connection: Connection, secrets: Secrets, events: Sequence[AuditEvent]) -> None:
    """Add events as `append_events`. If PostgreSQL refuses them, they are added one by one, and a refused one in a
    reduced form, so that it delays no other event."""

    async def add(connection: Connection, events: Sequence[AuditEvent]) -> None:
        await append_events(connection, secrets, events)

    if events and await refusal(connection, add, events):
        for event in events:
            if error := await refusal(connection, add, [event]):
                log.error("an event of the audit is stored in a reduced form", code=event.code, reason=str(error))
                await add(connection, [reduced(event, type(error).__name__)])


async def append_events(connection: Connection, secrets: Secrets, events: Sequence[AuditEvent]) -> Link:
    """Add events to the end of the chain, and return the last one. The transaction of `connection` must commit at once,
    because other batches wait for it."""
    sign = secrets.audit_signature
    await connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", (LOCK,))
    row = await returned_row(await connection.execute(_HEAD))
    head, max_id = _head_of(row), row["max_id"] or 0
    is_new = head is None and not max_id and not row["sealed"]
    is_intact = head is not None and head.last.event_id >= max_id and head.signature == _sign_head(secrets, head)
    if head is not None and is_intact:
        after, last_time = head.last, head.time
    else:
        after = START if is_new else broken_link(sign, max(max_id, head.last.event_id if head else 0))
        last_time = None
    chained, seals = append(
        sign, [storable_event(event) for event in events], after=after, last_time=last_time, now=row["now"]
    )
    rows = [asdict(each) | {"time": timestamp(each.time), "hash": f"\\x{each.hash.hex()}"} for each in chained]
    await connection.execute(_INSERT, {"rows": Jsonb(rows)})
    for seal in seals:
        await connection.execute(
            "INSERT INTO audit_seals (day, last_id, last_hash, signature) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (seal.day, seal.last.event_id, seal.last.hash, seal.signature),
        )
    last = chained[-1]
    link = Link(last.event_id, last.hash)
    signature = head_signature(sign, link, last.time)
    await connection.execute(_SET_HEAD, (link.event_id, link.hash, last.time, signature))
    return link


def event_of_row(row: LogRow, interface: str) -> AuditEvent:
    """Return the event of a log row that was written outside of a request. The process is the actor, on behalf of
    the user of the row."""
    kind, object_id = row.object_kind, None
    if kind is None and row.session_id is not None:
        kind, object_id = "session", row.session_id
    elif kind is None and row.user_id is not None:
        kind, object_id = "user", row.user_id
    return AuditEvent(
        code=row.code,
        result="refused" if row.code.endswith(REFUSALS) else "done",
        message=row.message,
        interface=interface,
        actor_kind=row.component,
        on_behalf_of=row.user_id,
        object_kind=kind,
        object_id=object_id,
        object_name=row.object_name or row.username,
        details=details_text(storable(row.details, None)),
    )


def _head_of(row: Mapping[str, Any]) -> Head | None:
    if row["last_id"] is None:
        return None
    last = Link(row["last_id"], bytes(row["last_hash"]))
    return Head(last=last, time=row["time"], signature=bytes(row["signature"]))


def _sign_head(secrets: Secrets, head: Head) -> bytes:
    return head_signature(secrets.audit_signature, head.last, head.time)


async def read_head(connection: Connection) -> Head | None:
    """Return the signed end of the chain; None = there is no event yet, or the head was deleted."""
    return _head_of(await returned_row(await connection.execute(_HEAD)))


async def read_end(db: Database) -> Link | None:
    """Return the last event; None = there is no event."""
    row = await db.fetch_one("SELECT last_id, last_hash FROM audit_head")
    return Link(row["last_id"], bytes(row["last_hash"])) if row else None


async def read_seals(connection: Connection) -> dict[date, Seal]:
    """Return the seals of all days that are over."""
    cursor = await connection.execute(
        "SELECT day, last_id, last_hash, signature, deleted_signature FROM audit_seals ORDER BY day"
    )
    return {
        row["day"]: Seal(
            day=row["day"],
            last=Link(row["last_id"], bytes(row["last_hash"])),
            signature=bytes(row["signature"]),
            deleted_signature=None if row["deleted_signature"] is None else bytes(row["deleted_signature"]),
        )
        async for row in cursor
    }


async def read_chain(connection: Connection, after_id: int | None) -> AsyncIterator[ChainedEvent]:
    """Yield the events after an id, in their order. None = all events, also those with ids that no event can have."""
    while events := await read_batch(connection, after_id, READ_ROWS):
        for event in events:
            yield event
        after_id = events[-1].event_id


async def read_batch(connection: Connection, after_id: int | None, limit: int) -> list[ChainedEvent]:
    """Return the first events after an id, in their order; None = of all events."""
    cursor = await connection.execute(_READ, {"after": after_id, "limit": limit})
    return rows_as(ChainedEvent, await cursor.fetchall())


async def lock_delivery(connection: Connection, target: str) -> int | None:
    """Lock the delivery of events to a target until commit, and return the id of the last delivered event. None:
    another process delivers."""
    await connection.execute(
        "INSERT INTO audit_deliveries (target, last_id) VALUES (%s, 0) ON CONFLICT DO NOTHING", (target,)
    )
    cursor = await connection.execute(
        "SELECT last_id FROM audit_deliveries WHERE target = %s FOR UPDATE SKIP LOCKED", (target,)
    )
    row = await cursor.fetchone()
    return row["last_id"] if row else None


async def store_delivered(connection: Connection, target: str, last_id: int) -> None:
    """Store the last event that a target got."""
    await connection.execute("UPDATE audit_deliveries SET last_id = %s WHERE target = %s", (last_id, target))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The result of a verification: the number of checked events, the last one, and the first problem as a sentence.
    After a problem, `later` is the number of further events, of which `later_intact` follow the event before them.
    `doubt`: why events at the end of an intact chain can be missing, as a sentence."""

    checked: int
    last: Link
    problem: str | None
    later: int = 0
    later_intact: int = 0
    doubt: str | None = None


async def verify(
    db: Database,
    secrets: Secrets,
    *,
    first_day: date | None = None,
    last_day: date | None = None,
    expected: Link | None = None,
) -> Verification:
    """Verify the events of the days from `first_day` to `last_day`; None = all. `expected` is an event that a person
    recorded outside of the installation."""
    async with db.transaction() as connection:
        # One snapshot, because processes add events during the verification.
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return await verify_chain(connection, secrets, first_day=first_day, last_day=last_day, expected=expected)


async def verify_chain(
    connection: Connection,
    secrets: Secrets,
    *,
    first_day: date | None = None,
    last_day: date | None = None,
    expected: Link | None = None,
) -> Verification:
    """Verify as `verify`, within a transaction."""
    head, seals = await read_head(connection), await read_seals(connection)
    earlier = [seal for day, seal in seals.items() if first_day is not None and day < first_day]
    start = earlier[-1] if earlier else None
    check = ChainCheck(secrets.audit_signature, seals, head, start)
    is_expected_found = expected in (None, check.last)
    problem, before, later, later_intact = check.check_signatures(), None, 0, 0
    if problem is None:
        async for event in read_chain(connection, start.last.event_id if start else None):
            if last_day is not None and day_of(event.time) > last_day:
                break
            if before is not None:
                later += 1
                later_intact += check.follows(event, before)
                before = event
            elif problem := check.check(event):
                before = event
            is_expected_found |= expected == check.last
        problem = problem or check.finish(last_day)
    if problem is None and expected is not None and not is_expected_found:
        problem = f"The chain does not contain event {expected.event_id} with the expected hash."
    doubt = await _doubt(connection, check.last) if problem is None and first_day is None and last_day is None else None
    return Verification(
        checked=check.count, last=check.last, problem=problem, later=later, later_intact=later_intact, doubt=doubt
    )


async def _doubt(connection: Connection, last: Link) -> str | None:
    """Return why the end of the whole chain can be missing although the chain is intact; None = no reason is known."""
    row = await returned_row(await connection.execute(_DOUBTS))
    if row["delivered"] > last.event_id:
        return f"Event {row['delivered']} was delivered to a receiver, but the chain ends at event {last.event_id}."
    if last == START and row["is_old"]:
        return "The audit is empty, although the installation is more than an hour old."
    return None


async def delete_old_days(db: Database, secrets: Secrets, keep_days: int) -> list[date]:
    """Delete the events of whole days that are older than `keep_days`, and return these days. The seal of each day
    stays, with a signature that confirms the deletion. Raises Unavailable: the database cannot be reached."""
    deleted: list[date] = []
    while day := await _delete_oldest_day(db, secrets, max(keep_days, MIN_RETENTION_DAYS)):
        deleted.append(day)
    return deleted


async def _delete_oldest_day(db: Database, secrets: Secrets, keep_days: int) -> date | None:
    async with db.transaction() as connection:
        cursor = await connection.execute(
            "SELECT day, last_id, last_hash FROM audit_seals WHERE deleted_signature IS NULL"
            " AND day < (now() AT TIME ZONE 'UTC')::date - %s::int AND pg_try_advisory_xact_lock(%s, 1)"
            " ORDER BY day LIMIT 1",
            (keep_days, LOCK),
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        day: date = row["day"]
        last = Link(row["last_id"], bytes(row["last_hash"]))
        signature = seal_signature(secrets.audit_signature, day, last, "deleted")
        await connection.execute("UPDATE audit_seals SET deleted_signature = %s WHERE day = %s", (signature, day))
        number = 0
        while count := (await returned_row(await connection.execute(_DELETE, (day,))))["number"]:
            number += count
        event = AuditEvent(
            code="audit-deleted",
            message=f"{number} events of the audit of {day} were deleted: they are older than {keep_days} days",
            interface="system",
            actor_kind="manager",
        )
        await append_events(connection, secrets, [event])
    return day


NEWEST_FIRST: Final = SortOrder("time", descending=True)
AUDIT_EVENTS: Final = ListDefinition(
    row_type=ChainedEvent,
    noun="event",
    select=qualified(_COLUMNS, "e"),
    source="FROM audit_events e",
    key="e.event_id",
    key_type="bigint",
    columns={
        "time": ListColumn("e.event_id", "bigint"),
        "actor": ListColumn("lower(coalesce(e.actor_name, e.actor_kind))", orders=False),
        "code": ListColumn("e.code", orders=False),
        "event": ListColumn("lower(e.message)", orders=False),
        "result": ListColumn("e.result", orders=False),
        "object": ListColumn("lower(concat_ws(' ', e.object_kind, e.object_name, e.object_id))", orders=False),
        "address": ListColumn("coalesce(e.address, '')", orders=False),
        "interface": ListColumn("e.interface", orders=False),
        "request": ListColumn("coalesce(e.request_id, '')", orders=False),
    },
    order=NEWEST_FIRST,
    filters={
        "code": "e.code = %(code)s",
        "result": "e.result = %(result)s",
        "actor": "e.actor_name = %(actor)s",
        "object_id": "e.object_id = %(object_id)s",
        "request_id": "e.request_id = %(request_id)s",
        "since": "e.time >= %(since)s",
        "until": "e.time < %(until)s",
    },
)
