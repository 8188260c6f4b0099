"""Webhooks: addresses to which messages about events are sent, and the results of the deliveries."""

from __future__ import annotations

import secrets as random
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from greenroom.api.bodies import Json, View
from greenroom.api.deps import Db, Deliveries, Logs, SecretsDep, SettingsSnapshot
from greenroom.api.diagnostics.audit import audit
from greenroom.api.paging import Paging
from greenroom.api.security import Caller, requires
from greenroom.api.webhooks.schemas import (
    Replayed,
    WebhookCreate,
    WebhookMade,
    WebhookPatch,
    WebhookSecret,
    WebhookView,
)
from greenroom.core.errors import Invalid, Refused, WrongState
from greenroom.core.installation import Installation
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.core.outgoing import trusted_hosts, url_problem
from greenroom.core.webhooks import CHOSEN, SECRET_BYTES, DeliveryState, WebhookEvent, secret_text
from greenroom.db import webhooks
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.rows import values_of
from greenroom.db.webhooks import Delivery, Webhook, WebhookFields
from greenroom.kit.secrets import Secrets

MOST_WEBHOOKS: Final = 100
"""Each event is written once for each webhook that subscribes to it."""


async def make_webhook(
    db: Database, logs: LogWriter, secrets: Secrets, caller: Caller, *, body: WebhookCreate, installation: Installation
) -> tuple[Webhook, str]:
    """Create a webhook; return it and its secret.

    Raises:
        Invalid: its address is not allowed.
        Duplicate: the name exists.
        Refused: there are `MOST_WEBHOOKS`.
    """
    fields = _checked(body.model_dump(), installation)
    secret = _new_secret()
    async with db.transaction() as connection:
        webhook_id = await webhooks.insert_webhook(connection, fields, secrets.encrypt(secret), MOST_WEBHOOKS)
    if webhook_id is None:
        raise Refused(f"There are {MOST_WEBHOOKS} webhooks, which is the maximum. Delete one first.")
    made = await webhooks.get_webhook(db, webhook_id)
    audit(logs, caller, LogCode.WEBHOOK_CREATED, made.name, after=_audited(made))
    return made, secret


async def change_webhook(
    db: Database, logs: LogWriter, caller: Caller, webhook_id: str, *, body: WebhookPatch, installation: Installation
) -> Webhook:
    """Change a webhook.

    Raises:
        NotFound: there is none with this id.
        Invalid: its address is not allowed.
        Duplicate: the name exists.
    """
    async with db.transaction() as connection:
        before = await webhooks.lock_webhook(connection, webhook_id)
        fields = _checked(values_of(WebhookFields, before) | body.sent(), installation)
        await webhooks.update_webhook(connection, webhook_id, fields)
    after = await webhooks.get_webhook(db, webhook_id)
    audit(logs, caller, LogCode.WEBHOOK_CHANGED, after.name, before=_audited(before), after=_audited(after))
    return after


async def renew_secret(db: Database, logs: LogWriter, secrets: Secrets, caller: Caller, webhook_id: str) -> str:
    """Replace the secret, and return the new one. Messages are signed with it from now on.

    Raises:
        NotFound: there is none with this id.
    """
    secret = _new_secret()
    async with db.transaction() as connection:
        webhook = await webhooks.lock_webhook(connection, webhook_id)
        await webhooks.change_secret(connection, webhook_id, secrets.encrypt(secret))
    audit(
        logs,
        caller,
        LogCode.WEBHOOK_CHANGED,
        webhook.name,
        before={"signing": "as before"},
        after={"signing": "renewed"},
    )
    return secret


async def remove_webhook(db: Database, logs: LogWriter, caller: Caller, webhook_id: str) -> None:
    """Delete a webhook. Raises NotFound: there is none with this id."""
    async with db.transaction() as connection:
        webhook = await webhooks.lock_webhook(connection, webhook_id)
        await webhooks.delete_webhook(connection, webhook_id)
    audit(logs, caller, LogCode.WEBHOOK_DELETED, webhook.name, before=_audited(webhook))


async def replay(db: Database, webhook: Webhook, delivery_id: str) -> Delivery:
    """Schedule a message again, with all attempts. While it waits, this changes nothing.

    Raises:
        NotFound: the webhook has none with this id.
        WrongState: the webhook is disabled.
    """
    await webhooks.get_delivery(db, webhook.webhook_id, delivery_id)
    _require_enabled(webhook)
    await webhooks.replay(db, delivery_id)
    return await webhooks.get_delivery(db, webhook.webhook_id, delivery_id)


async def replay_given_up(db: Database, webhook: Webhook) -> int:
    """Schedule again all messages that were given up, except test messages; return their number.

    Raises:
        WrongState: the webhook is disabled.
    """
    _require_enabled(webhook)
    return await webhooks.replay_given_up(db, webhook.webhook_id, str(WebhookEvent.TEST))


def _require_enabled(webhook: Webhook) -> None:
    """Require an enabled webhook. Raises WrongState: it is disabled, so nothing would be delivered."""
    if not webhook.enabled:
        raise WrongState(f"Webhook {webhook.name} is disabled; enable it first.")


def delivery_view(delivery: Delivery) -> DeliveryView:
    """Return the view of a delivery."""
    return DeliveryView.of(delivery, due=delivery.due if delivery.state is DeliveryState.WAITING else None)


def _checked(values: Json, installation: Installation) -> WebhookFields:
    fields = WebhookFields(**values)
    if problem := url_problem(fields.url, trusted_hosts(installation.webhook_hosts)):
        raise Invalid(problem)
    order = list(map(str, CHOSEN))
    return replace(fields, events=sorted(set(fields.events), key=order.index))


def _new_secret() -> str:
    return secret_text(random.token_bytes(SECRET_BYTES))


def _audited(webhook: Webhook) -> LogDetails:
    return values_of(WebhookFields, webhook)


router = APIRouter(tags=["webhooks"])


class DeliveryView(View, row=Delivery, without={"webhook_id"}):
    """A message to a webhook, and the result of its last attempt."""

    delivery_id: Annotated[UUID, Field(description="`webhook-id` of its requests")]
    at: Annotated[datetime, Field(description="time of the event")]
    data: Annotated[dict[str, Any], Field(description="data of the message")]
    due: Annotated[datetime | None, Field(description="time of the next attempt; null = none")]
    status: Annotated[int | None, Field(description="status of the last response; null = no response")]
    answer: Annotated[str, Field(description="first 1000 bytes of the response")]
    error: Annotated[str, Field(description="reason for a missing response, or for the end of the attempts")]


@router.get("/webhooks", dependencies=[requires("webhooks_view")])
async def list_webhooks(db: Db, page: Paging) -> list[WebhookView]:
    """List all webhooks by name."""
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
    """Create a webhook. Its secret is returned only once."""
    made, secret = await make_webhook(db, logs, secrets, caller, body=body, installation=snapshot.installation)
    return WebhookMade.of(made, secret=secret)


@router.get("/webhooks/{webhook_id}", dependencies=[requires("webhooks_view")])
async def get_webhook(webhook_id: UUID, db: Db) -> WebhookView:
    """Return one webhook."""
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
    """Change a webhook; omitted fields keep their values. Waiting messages are sent to its new address."""
    changed = await change_webhook(db, logs, caller, str(webhook_id), body=body, installation=snapshot.installation)
    return WebhookView.model_validate(changed)


@router.delete("/webhooks/{webhook_id}", status_code=204)
async def delete_webhook(
    webhook_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("webhooks_delete")]
) -> None:
    """Delete a webhook, with its sent and waiting messages."""
    await remove_webhook(db, logs, caller, str(webhook_id))


@router.post("/webhooks/{webhook_id}/secret")
async def renew_webhook_secret(
    webhook_id: UUID,
    db: Db,
    logs: Logs,
    secrets: SecretsDep,
    caller: Annotated[Caller, requires("webhooks_modify")],
) -> WebhookSecret:
    """Replace the secret of a webhook. It is returned only once, and signs all further requests."""
    return WebhookSecret(secret=await renew_secret(db, logs, secrets, caller, str(webhook_id)))


@router.post("/webhooks/{webhook_id}/test", dependencies=[requires("webhooks_modify")])
async def test_webhook(webhook_id: UUID, db: Db, courier: Deliveries) -> DeliveryView:
    """Send a message of type `webhook.test` now, also to a disabled webhook, and return the result."""
    webhook = await webhooks.get_webhook(db, str(webhook_id))
    delivery_id = await courier.send_test(webhook)
    return delivery_view(await webhooks.get_delivery(db, webhook.webhook_id, delivery_id))


@router.get("/webhooks/{webhook_id}/deliveries", dependencies=[requires("webhooks_view")])
async def list_webhook_deliveries(
    webhook_id: UUID,
    db: Db,
    page: Paging,
    state: Annotated[DeliveryState | None, Query(description="only messages in this state")] = None,
) -> list[DeliveryView]:
    """List the messages to a webhook, newest first: those of the last 7 days, at most 10,000."""
    webhook = await webhooks.get_webhook(db, str(webhook_id))
    order = webhooks.NEWEST_FIRST
    found = await webhooks.list_deliveries(db, webhook.webhook_id, state, after=page.after_row(order), limit=page.limit)
    return [delivery_view(each) for each in page.rows(found, order)]


@router.post(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/replay",
    status_code=202,
    dependencies=[requires("webhooks_modify")],
)
async def replay_webhook_delivery(webhook_id: UUID, delivery_id: UUID, db: Db, courier: Deliveries) -> DeliveryView:
    """Deliver a message again, with all attempts and the same id. While it waits, this changes nothing."""
    webhook = await webhooks.get_webhook(db, str(webhook_id))
    again = await replay(db, webhook, str(delivery_id))
    courier.wake()
    return delivery_view(again)


@router.post("/webhooks/{webhook_id}/replay", status_code=202, dependencies=[requires("webhooks_modify")])
async def replay_webhook(webhook_id: UUID, db: Db, courier: Deliveries) -> Replayed:
    """Deliver again all messages that were given up, each with all attempts and the same id."""
    webhook = await webhooks.get_webhook(db, str(webhook_id))
    number = await replay_given_up(db, webhook)
    courier.wake()
    return Replayed(replayed=number)
