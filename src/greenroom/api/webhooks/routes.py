"""Webhooks: addresses to which messages about events are sent, and the results of the deliveries."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import BackgroundTasks, Query, Request
from pydantic import Field

from greenroom.api.bodies import Json, View
from greenroom.api.deps import ChangeDep, Db, DeliveryWorkerDep
from greenroom.api.paging import Paging
from greenroom.api.problems import api_router
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
from greenroom.core.outgoing import trusted_hosts, webhook_url_problem, without_path
from greenroom.core.webhooks import SECRET_BYTES, SELECTABLE_EVENTS, DeliveryState, WebhookEvent, secret_text
from greenroom.db import webhooks
from greenroom.db.diagnostics.audit_webhooks import begin_delivery, end_delivery
from greenroom.db.rows import values_of
from greenroom.db.webhooks import Delivery, Webhook, WebhookFields

MAX_WEBHOOKS: Final = 100
"""The maximum number of webhooks, because each event is written once for each webhook."""


def _require_enabled(webhook: Webhook) -> None:
    """Require an enabled webhook. Raises WrongState: it is disabled."""
    if not webhook.enabled:
        raise WrongState(f"Webhook {webhook.name} is disabled; enable it first.")


def _require_right_to_events(caller: Caller, *webhooks: WebhookFields) -> None:
    """Require the right to read the audit, if a webhook receives its events. Raises Forbidden: it is missing."""
    if any(_receives_audit(webhook) for webhook in webhooks):
        caller.require("audit_view")


def _receives_audit(webhook: WebhookFields) -> bool:
    return WebhookEvent.AUDIT_EVENT in webhook.events


def _delivery_view(delivery: Delivery) -> DeliveryView:
    return DeliveryView.of(delivery, due=delivery.due if delivery.state is DeliveryState.WAITING else None)


def _validated_fields(values: Json, installation: Installation) -> WebhookFields:
    fields = WebhookFields(**values)
    if problem := webhook_url_problem(fields.url, trusted_hosts(installation.webhook_hosts)):
        raise Invalid(problem)
    order = list(map(str, SELECTABLE_EVENTS))
    return replace(fields, events=sorted(set(fields.events), key=order.index))


def _audit_values(webhook: WebhookFields) -> LogDetails:
    return values_of(WebhookFields, webhook) | {"url": without_path(webhook.url)}


def _new_secret() -> str:
    return secret_text(secrets.token_bytes(SECRET_BYTES))


router = api_router("webhooks")


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
    return [WebhookView.model_validate(webhook) for webhook in await page.read(db, webhooks.WEBHOOKS)]


@router.post("/webhooks", status_code=201, dependencies=[requires("webhooks_create")])
async def create_webhook(body: WebhookCreate, change: ChangeDep) -> WebhookMade:
    """Create a webhook. Its secret is returned only once."""
    fields, secret = _validated_fields(body.model_dump(), change.installation), _new_secret()
    _require_right_to_events(change.caller, fields)
    async with change.db.transaction() as connection:
        encrypted = change.secrets.encrypt(secret)
        webhook_id = await webhooks.insert_webhook(connection, fields, encrypted, MAX_WEBHOOKS, change.caller.owner_id)
        if webhook_id is not None and _receives_audit(fields):
            await begin_delivery(connection, webhook_id)
    if webhook_id is None:
        raise Refused(f"There are {MAX_WEBHOOKS} webhooks, which is the maximum. Delete one first.")
    created = await webhooks.get_webhook(change.db, webhook_id)
    change.audit(LogCode.WEBHOOK_CREATED, created.name, after=_audit_values(created))
    return WebhookMade.of(created, secret=secret)


@router.get("/webhooks/{webhook_id}", dependencies=[requires("webhooks_view")])
async def get_webhook(webhook_id: UUID, db: Db) -> WebhookView:
    """Return one webhook."""
    return WebhookView.model_validate(await webhooks.get_webhook(db, str(webhook_id)))


@router.patch("/webhooks/{webhook_id}", dependencies=[requires("webhooks_modify")])
async def update_webhook(webhook_id: UUID, body: WebhookPatch, change: ChangeDep) -> WebhookView:
    """Change a webhook; omitted fields keep their values. Waiting messages are sent to its new address."""
    async with change.db.transaction() as connection:
        before = await webhooks.lock_webhook(connection, str(webhook_id))
        fields = _validated_fields(values_of(WebhookFields, before) | body.sent_fields(), change.installation)
        _require_right_to_events(change.caller, before, fields)
        await webhooks.update_webhook(connection, before.webhook_id, fields)
        if _receives_audit(before) and not _receives_audit(fields):
            await end_delivery(connection, before.webhook_id)
        elif _receives_audit(fields) and fields.enabled and not (_receives_audit(before) and before.enabled):
            await begin_delivery(connection, before.webhook_id)
    after = await webhooks.get_webhook(change.db, before.webhook_id)
    old, new = _audit_values(before), _audit_values(after)
    if after.url != before.url and new["url"] == old["url"]:
        old, new = old | {"path of url": "as before"}, new | {"path of url": "changed"}
    change.audit(LogCode.WEBHOOK_CHANGED, after.name, before=old, after=new)
    return WebhookView.model_validate(after)


@router.delete("/webhooks/{webhook_id}", status_code=204, dependencies=[requires("webhooks_delete")])
async def delete_webhook(
    webhook_id: UUID, change: ChangeDep, worker: DeliveryWorkerDep, after_answer: BackgroundTasks
) -> None:
    """Delete a webhook, with its sent and waiting messages. If it receives events of the audit, the caller needs
    `audit_view`, as for a change, and its receiver gets the event about the deletion as the last one, once."""
    async with change.db.transaction() as connection:
        webhook = await webhooks.lock_webhook(connection, str(webhook_id))
        _require_right_to_events(change.caller, webhook)
        secret_encrypted = await webhooks.delete_webhook(connection, webhook.webhook_id)
        await end_delivery(connection, webhook.webhook_id)
    change.audit(LogCode.WEBHOOK_DELETED, webhook.name, before=_audit_values(webhook))
    if secret_encrypted is not None:
        after_answer.add_task(worker.send_deletion, webhook, secret_encrypted)


@router.post("/webhooks/{webhook_id}/secret", dependencies=[requires("webhooks_modify")])
async def renew_webhook_secret(webhook_id: UUID, change: ChangeDep) -> WebhookSecret:
    """Replace the secret of a webhook. It is returned only once, and signs all further requests."""
    secret = _new_secret()
    async with change.db.transaction() as connection:
        webhook = await webhooks.lock_webhook(connection, str(webhook_id))
        _require_right_to_events(change.caller, webhook)
        await webhooks.change_secret(connection, webhook.webhook_id, change.secrets.encrypt(secret))
    before, after = {"signing": "as before"}, {"signing": "renewed"}
    change.audit(LogCode.WEBHOOK_CHANGED, webhook.name, before=before, after=after)
    return WebhookSecret(secret=secret)


@router.post("/webhooks/{webhook_id}/test", dependencies=[requires("webhooks_modify")])
async def test_webhook(webhook_id: UUID, db: Db, worker: DeliveryWorkerDep) -> DeliveryView:
    """Send a message of type `webhook.test` now, also to a disabled webhook, and return the result."""
    webhook = await webhooks.get_webhook(db, str(webhook_id))
    delivery_id = await worker.send_test(webhook)
    return _delivery_view(await webhooks.get_delivery(db, webhook.webhook_id, delivery_id))


@router.get("/webhooks/{webhook_id}/deliveries")
async def list_webhook_deliveries(
    *,
    webhook_id: UUID,
    db: Db,
    page: Paging,
    caller: Annotated[Caller, requires("webhooks_view")],
    request: Request,
    state: Annotated[DeliveryState | None, Query(description="only messages in this state")] = None,
) -> list[DeliveryView]:
    """List the messages to a webhook, newest first: those of the last 7 days, at most 10,000. Only callers with
    `audit_view` see those with events of the audit."""
    webhook = await webhooks.get_webhook(db, str(webhook_id))
    reads_audit = caller.may("audit_view")
    if reads_audit and _receives_audit(webhook):
        request.app.state.audit_read_log.log_access(caller)
    without_event = None if reads_audit else str(WebhookEvent.AUDIT_EVENT)
    conditions = webhooks.DELIVERIES.matching(webhook_id=webhook.webhook_id, state=state, without_event=without_event)
    return [_delivery_view(delivery) for delivery in await page.read(db, webhooks.DELIVERIES, conditions)]


@router.post("/webhooks/{webhook_id}/deliveries/{delivery_id}/replay", status_code=202)
async def replay_webhook_delivery(
    webhook_id: UUID,
    delivery_id: UUID,
    db: Db,
    worker: DeliveryWorkerDep,
    caller: Annotated[Caller, requires("webhooks_modify")],
) -> DeliveryView:
    """Deliver a message again, with the same id and new attempts. A message that waits is not changed."""
    webhook = await webhooks.get_webhook(db, str(webhook_id))
    delivery = await webhooks.get_delivery(db, webhook.webhook_id, str(delivery_id))
    if delivery.event == str(WebhookEvent.AUDIT_EVENT):
        caller.require("audit_view")
    _require_enabled(webhook)
    await webhooks.replay(db, str(delivery_id))
    worker.wake()
    return _delivery_view(await webhooks.get_delivery(db, webhook.webhook_id, str(delivery_id)))


@router.post("/webhooks/{webhook_id}/replay", status_code=202)
async def replay_webhook(
    webhook_id: UUID, db: Db, worker: DeliveryWorkerDep, caller: Annotated[Caller, requires("webhooks_modify")]
) -> Replayed:
    """Deliver again all messages that were not delivered, each with the same id: those that were given up, and those
    that wait for their next attempt. Events of the audit need the permission `audit_view`."""
    webhook = await webhooks.get_webhook(db, str(webhook_id))
    _require_enabled(webhook)
    excluded = [WebhookEvent.TEST] if caller.may("audit_view") else [WebhookEvent.TEST, WebhookEvent.AUDIT_EVENT]
    number = await webhooks.replay_undelivered(db, webhook.webhook_id, excluded)
    worker.wake()
    return Replayed(replayed=number)
