"""Webhooks: addresses to which messages of events are sent, and what became of each."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from greenroom.api.deps import Db, Deliveries, Logs, SecretsDep, SettingsSnapshot
from greenroom.api.paging import Paging
from greenroom.api.security import Caller, requires
from greenroom.api.webhooks import service
from greenroom.api.webhooks.schemas import (
    DeliveryView,
    Replayed,
    WebhookCreate,
    WebhookMade,
    WebhookPatch,
    WebhookSecret,
    WebhookView,
)
from greenroom.core.webhooks import DeliveryState
from greenroom.db import webhooks

router = APIRouter(tags=["webhooks"])


@router.get("/webhooks", dependencies=[requires("webhooks_view")])
async def list_webhooks(db: Db, page: Paging) -> list[WebhookView]:
    """All by name."""
    found = await webhooks.list_webhooks(db, after=page.after_row(webhooks.BY_NAME), limit=page.limit)
    return [WebhookView.model_validate(each) for each in page.rows(found, webhooks.BY_NAME)]


@router.post("/webhooks", status_code=201)
async def create_webhook(
    body: WebhookCreate,
    db: Db,
    logs: Logs,
    secrets: SecretsDep,
    snapshot: SettingsSnapshot,
    caller: Annotated[Caller, requires("webhooks_create")],
) -> WebhookMade:
    """Create a webhook; its secret is shown this once."""
    made, secret = await service.create_webhook(
        db, logs, secrets, caller, body=body, installation=snapshot.installation
    )
    return WebhookMade.of(made, secret=secret)


@router.get("/webhooks/{webhook_id}", dependencies=[requires("webhooks_view")])
async def get_webhook(webhook_id: UUID, db: Db) -> WebhookView:
    """One webhook."""
    return WebhookView.model_validate(await webhooks.get_webhook(db, str(webhook_id)))


@router.patch("/webhooks/{webhook_id}")
async def update_webhook(
    webhook_id: UUID,
    body: WebhookPatch,
    db: Db,
    logs: Logs,
    snapshot: SettingsSnapshot,
    caller: Annotated[Caller, requires("webhooks_modify")],
) -> WebhookView:
    """Change a webhook; what is left out stays. What waits goes to its new address."""
    changed = await service.update_webhook(
        db, logs, caller, str(webhook_id), body=body, installation=snapshot.installation
    )
    return WebhookView.model_validate(changed)


@router.delete("/webhooks/{webhook_id}", status_code=204)
async def delete_webhook(
    webhook_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("webhooks_delete")]
) -> None:
    """Delete a webhook, with what it was sent and what waits for it."""
    await service.delete_webhook(db, logs, caller, str(webhook_id))


@router.post("/webhooks/{webhook_id}/secret")
async def renew_webhook_secret(
    webhook_id: UUID,
    db: Db,
    logs: Logs,
    secrets: SecretsDep,
    caller: Annotated[Caller, requires("webhooks_modify")],
) -> WebhookSecret:
    """Make another secret, which is shown this once: all further requests are signed with it."""
    return WebhookSecret(secret=await service.renew_secret(db, logs, secrets, caller, str(webhook_id)))


@router.post("/webhooks/{webhook_id}/test", dependencies=[requires("webhooks_modify")])
async def test_webhook(webhook_id: UUID, db: Db, courier: Deliveries) -> DeliveryView:
    """Send a message of type `webhook.test` now, also to a disabled webhook, and say what came of it."""
    webhook = await webhooks.get_webhook(db, str(webhook_id))
    delivery_id = await courier.send_test(webhook)
    return service.delivery_view(await webhooks.get_delivery(db, webhook.webhook_id, delivery_id))


@router.get("/webhooks/{webhook_id}/deliveries", dependencies=[requires("webhooks_view")])
async def list_webhook_deliveries(
    webhook_id: UUID,
    db: Db,
    page: Paging,
    state: Annotated[DeliveryState | None, Query(description="only those in this state")] = None,
) -> list[DeliveryView]:
    """What a webhook was sent, newest first: of the last 7 days, 10,000 at most."""
    webhook = await webhooks.get_webhook(db, str(webhook_id))
    order = webhooks.NEWEST_FIRST
    found = await webhooks.list_deliveries(db, webhook.webhook_id, state, after=page.after_row(order), limit=page.limit)
    return [service.delivery_view(each) for each in page.rows(found, order)]


@router.post(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/replay",
    status_code=202,
    dependencies=[requires("webhooks_modify")],
)
async def replay_webhook_delivery(webhook_id: UUID, delivery_id: UUID, db: Db, courier: Deliveries) -> DeliveryView:
    """Deliver a message again, with all attempts and the same id; while it waits this changes nothing."""
    webhook = await webhooks.get_webhook(db, str(webhook_id))
    again = await service.replay(db, webhook, str(delivery_id))
    courier.wake()
    return service.delivery_view(again)


@router.post("/webhooks/{webhook_id}/replay", status_code=202, dependencies=[requires("webhooks_modify")])
async def replay_webhook(webhook_id: UUID, db: Db, courier: Deliveries) -> Replayed:
    """Deliver all messages again that were given up, each with all attempts and the same id."""
    webhook = await webhooks.get_webhook(db, str(webhook_id))
    number = await service.replay_given_up(db, webhook)
    courier.wake()
    return Replayed(replayed=number)
