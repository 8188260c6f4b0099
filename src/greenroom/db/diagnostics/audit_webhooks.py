"""Audit events for webhooks: each webhook that receives them has a position in the chain, like a syslog server.

New events are queued as messages while few of them wait. So a receiver that is away for long delays the events, and
loses none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog
from psycopg.types.json import Jsonb

from greenroom.core.audit import ChainedEvent, reduced
from greenroom.core.log_codes import LogCode
from greenroom.core.syslog import event_object
from greenroom.core.webhooks import WebhookEvent
from greenroom.db.database import Connection, Database
from greenroom.db.diagnostics.audit import read_batch, store_delivered
from greenroom.db.diagnostics.batches import refusal

log = structlog.get_logger(__name__)

MAX_WAITING: Final = 200
"""The maximum number of messages with audit events that wait for one webhook."""


def _target(webhook_id: str) -> str:
    return f"webhook:{webhook_id}"


async def begin_delivery(connection: Connection, webhook_id: str) -> None:
    """Let a webhook receive the events from now on."""
    await connection.execute(
        "INSERT INTO audit_deliveries (target, last_id) SELECT %s, coalesce(max(last_id), 0) FROM audit_head"
        " ON CONFLICT (target) DO UPDATE SET last_id = excluded.last_id",
        (_target(webhook_id),),
    )


async def end_delivery(connection: Connection, webhook_id: str) -> None:
    """Let a webhook receive no more events, and discard those that wait: the next address may be that of a person who
    may not read the audit."""
    await connection.execute("DELETE FROM audit_deliveries WHERE target = %s", (_target(webhook_id),))
    await connection.execute(
        "DELETE FROM webhook_deliveries WHERE webhook_id = %s AND event = %s AND state = 'waiting'",
        (webhook_id, WebhookEvent.AUDIT_EVENT),
    )


async def read_deletion(db: Database, webhook_id: str) -> ChainedEvent | None:
    """Return the event about the deletion of a webhook; None if it is not stored yet."""
    async with db.transaction() as connection:
        cursor = await connection.execute(
            "SELECT event_id FROM audit_events WHERE code = %s AND object_id = %s ORDER BY event_id DESC LIMIT 1",
            (LogCode.WEBHOOK_DELETED, webhook_id),
        )
        row = await cursor.fetchone()
        return (await read_batch(connection, row["event_id"] - 1, 1))[0] if row else None


async def _insert(connection: Connection, webhook_id: str, events: Sequence[ChainedEvent]) -> None:
    """Queue events as messages; if PostgreSQL refuses them, one by one, and a refused one without its foreign texts."""

    async def insert(connection: Connection, events: Sequence[ChainedEvent]) -> None:
        await connection.execute(
            "INSERT INTO webhook_deliveries (webhook_id, event, at, data)"
            " SELECT %s::uuid, %s, (data ->> 'time')::timestamptz, data FROM jsonb_array_elements(%s) data",
            (webhook_id, WebhookEvent.AUDIT_EVENT, Jsonb([event_object(event) for event in events])),
        )

    if await refusal(connection, insert, events):
        for event in events:
            if error := await refusal(connection, insert, [event]):
                log.error("an event is queued in a reduced form", event_id=event.event_id, reason=str(error))
                await insert(connection, [reduced(event, type(error).__name__)])


async def queue_events(db: Database) -> bool:
    """Queue new events for each enabled webhook that receives them; return False if there is no such webhook. Raises
    Unavailable: the database cannot be reached."""
    async with db.transaction() as connection:
        cursor = await connection.execute(
            "SELECT w.webhook_id::text, a.last_id, (SELECT count(*) FROM webhook_deliveries d"
            "  WHERE d.webhook_id = w.webhook_id AND d.state = 'waiting' AND d.event = %(event)s) AS waiting"
            " FROM webhooks w JOIN audit_deliveries a ON a.target = 'webhook:' || w.webhook_id"
            " WHERE %(event)s = ANY(w.events) AND webhook_sends(w) AND webhook_reads_audit(w)"
            " ORDER BY a.target FOR UPDATE OF a SKIP LOCKED",
            {"event": WebhookEvent.AUDIT_EVENT},
        )
        receivers = await cursor.fetchall()
        for receiver in receivers:
            free = MAX_WAITING - receiver["waiting"]
            events = await read_batch(connection, receiver["last_id"], free) if free > 0 else []
            if not events:
                continue
            await _insert(connection, receiver["webhook_id"], events)
            await store_delivered(connection, _target(receiver["webhook_id"]), events[-1].event_id)
    return bool(receivers)
