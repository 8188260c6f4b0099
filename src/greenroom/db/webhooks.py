"""Webhooks and their deliveries. A delivery is one message about one event to one webhook. Only one process at a time
attempts a delivery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from greenroom.core.errors import require_row
from greenroom.core.listing import SortOrder
from greenroom.core.webhooks import DeliveryAttempt, DeliveryState, DeliveryVerdict, WebhookEvent
from greenroom.db.database import Connection, Database, returned_row
from greenroom.db.listing import ListColumn, ListDefinition
from greenroom.db.rows import assignments, columns_of, insert_values, values_of


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookFields:
    """The changeable fields of a webhook."""

    name: str
    url: str
    events: list[str]
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(WebhookFields):
    """A webhook, with the number of its waiting deliveries and the time of the last successful delivery. `owner` is the
    name of its user. `sends` is False if it is disabled, or its user may not log in or may not see webhooks."""

    webhook_id: str
    owner_id: str | None
    owner: str | None
    sends: bool
    created: datetime
    waiting: int
    last_delivered: datetime | None


FIELDS: Final = columns_of(WebhookFields)
BY_NAME: Final = SortOrder("name")
WEBHOOKS: Final = ListDefinition(
    row_type=Webhook,
    noun="webhook",
    select=(
        "w.webhook_id::text, w.name, w.url, w.events, w.enabled, w.created,"
        " w.owner_id::text, o.username AS owner, webhook_sends(w) AS sends,"
        " (SELECT count(*) FROM webhook_deliveries d WHERE d.webhook_id = w.webhook_id AND d.state = 'waiting')"
        " AS waiting, (SELECT d.attempted FROM webhook_deliveries d WHERE d.webhook_id = w.webhook_id"
        "   AND d.state = 'delivered' ORDER BY d.at DESC, d.delivery_id DESC LIMIT 1) AS last_delivered"
    ),
    source="FROM webhooks w LEFT JOIN users o ON o.user_id = w.owner_id",
    key="w.webhook_id",
    columns={"name": ListColumn("w.name")},
    order=BY_NAME,
)
get_webhook: Final = WEBHOOKS.get
lock_webhook: Final = WEBHOOKS.lock


async def insert_webhook(
    connection: Connection, fields: WebhookFields, secret_encrypted: bytes, max_webhooks: int, owner_id: str | None
) -> str | None:
    """Store a webhook of a user (None = of the installation); returns its id, or None if there are already
    `max_webhooks` webhooks. Raises Duplicate: the name exists."""
    await connection.execute("LOCK TABLE webhooks IN SHARE ROW EXCLUSIVE MODE")
    cursor = await connection.execute("SELECT count(*) AS number FROM webhooks")
    if (await returned_row(cursor))["number"] >= max_webhooks:
        return None
    columns: tuple[LiteralString, ...] = (*FIELDS, "secret_encrypted", "owner_id")
    cursor = await connection.execute(
        "INSERT INTO webhooks " + insert_values(columns) + " RETURNING webhook_id::text",
        {**values_of(WebhookFields, fields), "secret_encrypted": secret_encrypted, "owner_id": owner_id},
    )
    return (await returned_row(cursor))["webhook_id"]


async def update_webhook(connection: Connection, webhook_id: str, fields: WebhookFields) -> None:
    """Change a webhook. Raises Duplicate: the name exists."""
    await connection.execute(
        "UPDATE webhooks SET " + assignments(FIELDS) + " WHERE webhook_id = %(webhook_id)s",
        {**values_of(WebhookFields, fields), "webhook_id": webhook_id},
    )


async def change_secret(connection: Connection, webhook_id: str, secret_encrypted: bytes) -> None:
    """Replace the secret with which the deliveries of a webhook are signed."""
    await connection.execute(
        "UPDATE webhooks SET secret_encrypted = %s WHERE webhook_id = %s", (secret_encrypted, webhook_id)
    )


async def delete_webhook(connection: Connection, webhook_id: str) -> bytes | None:
    """Delete a webhook and its deliveries, and return its encrypted secret if it may get events of the audit. A
    delivery that another process inserts at the same time remains until its retention ends."""
    cursor = await connection.execute(
        "DELETE FROM webhooks w WHERE webhook_id = %s RETURNING secret_encrypted, %s = ANY(events)"
        " AND webhook_sends(w) AND webhook_reads_audit(w) AS reads_audit",
        (webhook_id, WebhookEvent.AUDIT_EVENT),
    )
    deleted = await returned_row(cursor)
    await connection.execute("DELETE FROM webhook_deliveries WHERE webhook_id = %s", (webhook_id,))
    return deleted["secret_encrypted"] if deleted["reads_audit"] else None


RETAKE_AFTER_S: Final = 60.0
"""If a delivery has no result for this time, its process has ended, and another process takes the delivery."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A delivery and the result of its last attempt. `at` is the time of the event, `due` the time of the next attempt,
    `status` the HTTP status of the response."""

    delivery_id: str
    webhook_id: str
    event: str
    at: datetime
    data: dict[str, Any]
    state: DeliveryState
    attempts: int
    due: datetime
    attempted: datetime | None
    status: int | None
    duration_ms: float | None
    answer: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveDelivery:
    """A delivery that this process is attempting; `attempts` includes this attempt."""

    delivery_id: str
    event: str
    at: datetime
    data: dict[str, Any]
    attempts: int
    webhook_id: str
    name: str
    url: str
    secret_encrypted: bytes


@dataclass(frozen=True, slots=True)
class DueWebhook:
    """A webhook that sends, with waiting deliveries. `in_s`: seconds until the first is due; negative = overdue."""

    webhook_id: str
    in_s: float


@dataclass(frozen=True, slots=True)
class WaitingDeliveries:
    """The number of waiting deliveries of webhooks that send, and the age of the oldest one; 0 = no delivery waits."""

    number: int
    oldest_s: float


NEWEST_FIRST: Final = SortOrder("at", descending=True)
DELIVERIES: Final = ListDefinition(
    row_type=Delivery,
    select=(
        "d.delivery_id::text, d.webhook_id::text, d.event, d.at, d.data, d.state, d.attempts, d.due, d.attempted,"
        " d.status, d.duration_ms, d.answer, d.error"
    ),
    source="FROM webhook_deliveries d",
    key="d.delivery_id",
    columns={"at": ListColumn("d.at", "timestamptz")},
    order=NEWEST_FIRST,
    filters={
        "webhook_id": "d.webhook_id = %(webhook_id)s::uuid",
        "state": "d.state = %(state)s",
        "without_event": "d.event <> %(without_event)s",
    },
)
_ACTIVE_COLUMNS: Final[LiteralString] = (
    "d.delivery_id::text, d.event, d.at, d.data, d.attempts, w.webhook_id::text, w.name, w.url, w.secret_encrypted"
)


_MAY_GET: Final[LiteralString] = "(d.event <> 'audit.event' OR webhook_reads_audit(w))"
"""The condition that the user of the webhook `w` may get the delivery `d`."""


async def get_delivery(db: Database, webhook_id: str, delivery_id: str) -> Delivery:
    """Return a delivery of a webhook. Raises NotFound: the webhook has no delivery with this id."""
    row = await DELIVERIES.find(db, "d.delivery_id = %s AND d.webhook_id = %s", (delivery_id, webhook_id))
    return require_row(row, "delivery", delivery_id)


async def due_webhooks(db: Database) -> list[DueWebhook]:
    """Return the webhooks that send and have waiting deliveries."""
    return await db.fetch_as(
        DueWebhook,
        "SELECT w.webhook_id::text, extract(epoch FROM d.due - clock_timestamp())::double precision AS in_s"
        " FROM webhooks w, LATERAL (SELECT due FROM webhook_deliveries d WHERE d.webhook_id = w.webhook_id"
        "   AND d.state = 'waiting' AND " + _MAY_GET + " ORDER BY d.due LIMIT 1) d WHERE webhook_sends(w)",
    )


async def count_waiting_deliveries(db: Database) -> WaitingDeliveries:
    """Count the waiting deliveries of all webhooks that send. Other deliveries are not attempted."""
    (row,) = await db.fetch_as(
        WaitingDeliveries,
        "SELECT count(*) AS number, coalesce(extract(epoch FROM clock_timestamp() - min(d.at)), 0)::double precision"
        " AS oldest_s FROM webhook_deliveries d JOIN webhooks w USING (webhook_id)"
        " WHERE d.state = 'waiting' AND webhook_sends(w)",
    )
    return row


async def take_due(db: Database, webhook_id: str, limit: int) -> list[ActiveDelivery]:
    """Take up to `limit` due deliveries of a webhook that sends. No other process takes them in `RETAKE_AFTER_S`."""
    rows = await db.write(
        "UPDATE webhook_deliveries d SET due = statement_timestamp() + make_interval(secs => %(retake_s)s),"
        " attempts = d.attempts + 1, attempted = statement_timestamp() FROM webhooks w"
        " WHERE w.webhook_id = %(webhook_id)s AND webhook_sends(w) AND d.webhook_id = w.webhook_id AND d.delivery_id ="
        "  ANY(ARRAY(SELECT delivery_id FROM webhook_deliveries d WHERE webhook_id = %(webhook_id)s"
        "   AND state = 'waiting' AND due <= clock_timestamp() AND " + _MAY_GET + ""
        "   ORDER BY due LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED))"
        f" RETURNING {_ACTIVE_COLUMNS}",
        {"webhook_id": webhook_id, "limit": limit, "retake_s": RETAKE_AFTER_S},
    )
    return [ActiveDelivery(**row) for row in rows]


async def insert_active(db: Database, webhook_id: str, event: str, data: dict[str, Any]) -> ActiveDelivery | None:
    """Insert a delivery that the caller attempts immediately, also to a disabled webhook; None = no such webhook."""
    rows = await db.write(
        "WITH d AS (INSERT INTO webhook_deliveries (webhook_id, event, data, attempts, attempted, due)"
        "  SELECT webhook_id, %(event)s, %(data)s, 1, statement_timestamp(),"
        "   statement_timestamp() + make_interval(secs => %(retake_s)s) FROM webhooks WHERE webhook_id = %(webhook_id)s"
        "  RETURNING *) SELECT " + _ACTIVE_COLUMNS + " FROM d JOIN webhooks w USING (webhook_id)",
        {"webhook_id": webhook_id, "event": event, "data": Jsonb(data), "retake_s": RETAKE_AFTER_S},
    )
    return ActiveDelivery(**rows[0]) if rows else None


async def record_attempt(
    db: Database, delivery: ActiveDelivery, attempt: DeliveryAttempt, verdict: DeliveryVerdict
) -> None:
    """Store the result of an attempt, unless another process has taken the delivery in the meantime."""
    await db.write(
        "UPDATE webhook_deliveries SET state = %(state)s, status = %(status)s, duration_ms = %(duration_ms)s,"
        " answer = %(answer)s, error = %(error)s,"
        " due = CASE WHEN %(retry_s)s::double precision IS NULL THEN due"
        "  ELSE clock_timestamp() + make_interval(secs => %(retry_s)s) END"
        " WHERE delivery_id = %(delivery_id)s AND attempts = %(attempts)s AND state = 'waiting'",
        {**asdict(attempt), **asdict(verdict), "delivery_id": delivery.delivery_id, "attempts": delivery.attempts},
    )


async def replay(db: Database, delivery_id: str) -> None:
    """Queue a successful or given-up delivery again, with the full number of attempts."""
    await db.write(
        "UPDATE webhook_deliveries SET state = 'waiting', attempts = 0, due = clock_timestamp()"
        " WHERE delivery_id = %s AND state <> 'waiting'",
        (delivery_id,),
    )


async def replay_undelivered(db: Database, webhook_id: str, excluded_events: Sequence[str]) -> int:
    """Queue all given-up deliveries of a webhook again, except deliveries of `excluded_events`, and make deliveries due
    that wait after a failed attempt, both with the full number of attempts. Deliveries that are being attempted are not
    changed: `take_due` made them due `RETAKE_AFTER_S` after their attempt. Returns the number of changed deliveries."""
    rows = await db.write(
        "UPDATE webhook_deliveries SET state = 'waiting', due = clock_timestamp(), attempts = 0"
        " WHERE webhook_id = %(webhook_id)s AND event <> ALL(%(excluded)s) AND (state = 'given_up' OR state = 'waiting'"
        "  AND (error <> '' OR status > 0) AND due <> attempted + make_interval(secs => %(retake_s)s)) RETURNING 1",
        {
            "webhook_id": webhook_id,
            "excluded": [str(event) for event in excluded_events],
            "retake_s": RETAKE_AFTER_S,
        },
    )
    return len(rows)


async def give_up_excess_deliveries(db: Database, limit: int, reason: str) -> list[tuple[str, int]]:
    """Give up the waiting deliveries of each webhook except its newest `limit`, at most 1000 per webhook, so that the
    statement stays short. Events of the audit are not given up. Returns the names of the webhooks, each with the number
    of deliveries that were given up."""
    rows = await db.write(
        "WITH given_up AS (UPDATE webhook_deliveries SET state = 'given_up', error = %(reason)s"
        "  WHERE delivery_id = ANY(ARRAY(SELECT d.delivery_id FROM webhooks w, LATERAL (SELECT delivery_id"
        "   FROM webhook_deliveries WHERE webhook_id = w.webhook_id AND state = 'waiting' AND event <> %(kept)s"
        "   ORDER BY at DESC OFFSET %(limit)s LIMIT 1000) d)) AND state = 'waiting' RETURNING webhook_id)"
        " SELECT name, count(*) AS number FROM given_up JOIN webhooks USING (webhook_id) GROUP BY name ORDER BY name",
        {"limit": limit, "reason": reason, "kept": WebhookEvent.AUDIT_EVENT},
    )
    return [(row["name"], row["number"]) for row in rows]
