"""Makes, changes and deletes webhooks."""

from __future__ import annotations

import secrets as random
from dataclasses import replace
from typing import Final

from greenroom.api.bodies import Json
from greenroom.api.diagnostics.audit import audit
from greenroom.api.security import Caller
from greenroom.api.webhooks.schemas import DeliveryView, WebhookCreate, WebhookPatch
from greenroom.core.errors import Invalid, Refused, WrongState
from greenroom.core.installation import Installation
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.core.outgoing import trusted_hosts, url_problem
from greenroom.core.webhooks import CHOSEN, SECRET_BYTES, DeliveryState, WebhookEvent, secret_text
from greenroom.db import webhooks
from greenroom.db.columns import values_of
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.webhooks import Delivery, Webhook, WebhookFields
from greenroom.kit.secrets import Secrets

MOST_WEBHOOKS: Final = 100
"""Each event is written for each of them that wants it."""


async def create_webhook(
    db: Database, logs: LogWriter, secrets: Secrets, caller: Caller, *, body: WebhookCreate, installation: Installation
) -> tuple[Webhook, str]:
    """A new webhook, and its secret.

    Raises:
        Invalid: nothing may be sent to its address.
        Duplicate: the name exists.
        Refused: there are `MOST_WEBHOOKS`.
    """
    fields = _checked(body.model_dump(), installation)
    secret = _new_secret()
    async with db.transaction() as connection:
        webhook_id = await webhooks.insert_webhook(connection, fields, secrets.encrypt(secret), MOST_WEBHOOKS)
    if webhook_id is None:
        raise Refused(f"There are {MOST_WEBHOOKS} webhooks, the most there can be; delete one first.")
    made = await webhooks.get_webhook(db, webhook_id)
    audit(logs, caller, LogCode.WEBHOOK_CREATED, made.name, after=_audited(made))
    return made, secret


async def update_webhook(
    db: Database, logs: LogWriter, caller: Caller, webhook_id: str, *, body: WebhookPatch, installation: Installation
) -> Webhook:
    """Change a webhook.

    Raises:
        NotFound: there is none with this id.
        Invalid: nothing may be sent to its address.
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
    """Another secret; messages are signed with it from now on.

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


async def delete_webhook(db: Database, logs: LogWriter, caller: Caller, webhook_id: str) -> None:
    """Raises NotFound: there is none with this id."""
    async with db.transaction() as connection:
        webhook = await webhooks.lock_webhook(connection, webhook_id)
        await webhooks.delete_webhook(connection, webhook_id)
    audit(logs, caller, LogCode.WEBHOOK_DELETED, webhook.name, before=_audited(webhook))


async def replay(db: Database, webhook: Webhook, delivery_id: str) -> Delivery:
    """Have a message delivered again, with all attempts; doing so while it waits changes nothing.

    Raises:
        NotFound: the webhook has none with this id.
        WrongState: the webhook is disabled.
    """
    await webhooks.get_delivery(db, webhook.webhook_id, delivery_id)
    _require_enabled(webhook)
    await webhooks.replay(db, delivery_id)
    return await webhooks.get_delivery(db, webhook.webhook_id, delivery_id)


async def replay_given_up(db: Database, webhook: Webhook) -> int:
    """Have all messages delivered again that were given up; returns how many. Those that tried the webhook are over.

    Raises:
        WrongState: the webhook is disabled.
    """
    _require_enabled(webhook)
    return await webhooks.replay_given_up(db, webhook.webhook_id, str(WebhookEvent.TEST))


def _require_enabled(webhook: Webhook) -> None:
    """Raises WrongState: nothing would be delivered."""
    if not webhook.enabled:
        raise WrongState(f"Webhook {webhook.name} is disabled; enable it first.")


def delivery_view(delivery: Delivery) -> DeliveryView:
    """As it is shown."""
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
