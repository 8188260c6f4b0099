"""Webhooks: where messages go, about what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from greenroom.core.errors import found
from greenroom.core.listing import Order
from greenroom.db.columns import assigned, columns_of, inserted, values_of
from greenroom.db.database import Connection, Database, returned, row_as
from greenroom.db.listing import Column, Conditions, Listing, Part, Position


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookFields:
    """What is chosen of a webhook."""

    name: str
    url: str
    events: list[str]
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(WebhookFields):
    """A webhook, with how many messages wait for it and when one was last delivered."""

    webhook_id: str
    created: datetime
    waiting: int
    last_delivered: datetime | None


FIELDS: Final = columns_of(WebhookFields)
_SELECT: Final[LiteralString] = (
    "w.webhook_id::text, w.name, w.url, w.events, w.enabled, w.created,"
    " (SELECT count(*) FROM webhook_deliveries d WHERE d.webhook_id = w.webhook_id AND d.state = 'waiting') AS waiting,"
    " (SELECT d.attempted FROM webhook_deliveries d WHERE d.webhook_id = w.webhook_id AND d.state = 'delivered'"
    "   ORDER BY d.at DESC, d.delivery_id DESC LIMIT 1) AS last_delivered"
)
_FROM: Final[LiteralString] = "FROM webhooks w"
_LISTING: Final = Listing({"name": Column("w.name")}, key="w.webhook_id", source=_FROM)
BY_NAME: Final = Order("name", descending=False)


async def list_webhooks(db: Database, *, after: Position | None, limit: int) -> Part[Webhook]:
    """All by name."""
    return await _LISTING.read(db, Webhook, _SELECT, Conditions(), order=BY_NAME, after=after, limit=limit)


async def get_webhook(db: Database, webhook_id: str) -> Webhook:
    """Raises NotFound: there is none with this id."""
    row = await db.fetch_one_as(Webhook, f"SELECT {_SELECT} {_FROM} WHERE w.webhook_id = %s", (webhook_id,))
    return found(row, "webhook", webhook_id)


async def lock_webhook(connection: Connection, webhook_id: str) -> Webhook:
    """A webhook, its row held until commit. Raises NotFound: there is none with this id."""
    cursor = await connection.execute(
        f"SELECT {_SELECT} {_FROM} WHERE w.webhook_id = %s FOR NO KEY UPDATE", (webhook_id,)
    )
    return found(row_as(Webhook, await cursor.fetchone()), "webhook", webhook_id)


async def insert_webhook(
    connection: Connection, fields: WebhookFields, secret_encrypted: bytes, most: int
) -> str | None:
    """Store a webhook; returns its id, None where there are `most`.

    Raises:
        Duplicate: the name exists.
    """
    await connection.execute("LOCK TABLE webhooks IN SHARE ROW EXCLUSIVE MODE")
    cursor = await connection.execute("SELECT count(*) AS number FROM webhooks")
    if (await returned(cursor))["number"] >= most:
        return None
    columns: tuple[LiteralString, ...] = (*FIELDS, "secret_encrypted")
    cursor = await connection.execute(
        "INSERT INTO webhooks " + inserted(columns) + " RETURNING webhook_id::text",
        {**values_of(WebhookFields, fields), "secret_encrypted": secret_encrypted},
    )
    return (await returned(cursor))["webhook_id"]


async def update_webhook(connection: Connection, webhook_id: str, fields: WebhookFields) -> None:
    """Raises Duplicate: the name exists."""
    await connection.execute(
        "UPDATE webhooks SET " + assigned(FIELDS) + " WHERE webhook_id = %(webhook_id)s",
        {**values_of(WebhookFields, fields), "webhook_id": webhook_id},
    )


async def change_secret(connection: Connection, webhook_id: str, secret_encrypted: bytes) -> None:
    """From now on its messages are signed with another secret."""
    await connection.execute(
        "UPDATE webhooks SET secret_encrypted = %s WHERE webhook_id = %s", (secret_encrypted, webhook_id)
    )


async def delete_webhook(connection: Connection, webhook_id: str) -> None:
    """It is sent nothing more. A message that is written meanwhile goes with its age (`db.diagnostics.retention`)."""
    await connection.execute("DELETE FROM webhooks WHERE webhook_id = %s", (webhook_id,))
    await connection.execute("DELETE FROM webhook_deliveries WHERE webhook_id = %s", (webhook_id,))
