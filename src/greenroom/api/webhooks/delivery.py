"""Delivery of messages to webhooks: a few at a time for each webhook, so that a slow webhook does not delay others.

All api processes deliver messages. A process takes a message for a limited time (`db.webhooks.take_due`). If the
process ends, another process takes the message. So a message may arrive twice, with the same id, but is not lost.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import structlog

from greenroom.api.installation import SettingsSnapshot
from greenroom.core.errors import GreenroomError, SetupError, Unavailable, Unexpected, require_row
from greenroom.core.log_codes import LogCode
from greenroom.core.outgoing import trusted_hosts
from greenroom.core.syslog import event_object
from greenroom.core.webhooks import DeliveryAttempt, DeliveryState, WebhookEvent, after_attempt, body_of, signed_headers
from greenroom.db import webhooks
from greenroom.db.database import Database
from greenroom.db.diagnostics.audit_webhooks import queue_events, read_deletion
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.webhooks import ActiveDelivery, Webhook
from greenroom.kit.concurrency import convert_item_error, log_item_error, wait_for
from greenroom.kit.secrets import Secrets

if TYPE_CHECKING:
    from greenroom.api.webhooks.sending import Sender

log = structlog.get_logger(__name__)

MAX_PARALLEL: Final = 8
"""The maximum number of messages that one process delivers to one webhook at the same time."""
CHECK_INTERVAL_S: Final = 30.0
"""The maximum time between two checks for due messages. A notification causes an earlier check."""
AUDIT_INTERVAL_S: Final = 1.0
"""The maximum time between two checks for new events of the audit, if a webhook receives them."""
MIN_WAIT_S: Final = 0.05
LIMIT_CHECK_INTERVAL_S: Final = 60.0
"""The interval of checks for webhooks with too many waiting messages."""
MAX_WAITING_MESSAGES: Final = 5000
"""The maximum number of messages that wait for one webhook."""


class DeliveryWorker:
    """Delivers the messages that are due, until cancelled."""

    def __init__(self, db: Database, secrets: Secrets, logs: LogWriter, snapshot: SettingsSnapshot) -> None:
        self._db = db
        self._secrets = secrets
        self._logs = logs
        self._snapshot = snapshot
        self._woken = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._limit_checked_at_s = time.monotonic()
        self.outcomes: Counter[str] = Counter({str(state): 0 for state in DeliveryState})
        """The number of attempts by the resulting state of the message; `waiting` = the message is sent again."""

    def wake(self) -> None:
        """Check for due messages now."""
        self._woken.set()

    async def run(self) -> None:
        """Run forever; wait while the database is unreachable."""
        try:
            while True:
                self._woken.clear()
                try:
                    with convert_item_error("webhooks"):
                        wait_s = await self.start_due_deliveries()
                except GreenroomError as error:
                    log.warning("messages of webhooks are delayed", reason=error.message)
                    wait_s = CHECK_INTERVAL_S
                await wait_for(self._woken, wait_s)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def start_due_deliveries(self) -> float:
        """Start a task for each webhook with due messages; return the time in seconds until the next check. Raises
        Unavailable: the database is unreachable."""
        if time.monotonic() - self._limit_checked_at_s > LIMIT_CHECK_INTERVAL_S:
            self._limit_checked_at_s = time.monotonic()
            await self._give_up_excess_messages()
        has_audit_receivers = True
        with log_item_error("audit", "events for webhooks"):
            has_audit_receivers = await queue_events(self._db)
        wait_s = AUDIT_INTERVAL_S if has_audit_receivers else CHECK_INTERVAL_S
        for webhook in await webhooks.due_webhooks(self._db):
            if webhook.webhook_id in self._tasks:
                continue  # the running task checks again at its end
            if webhook.in_s > 0:
                wait_s = min(wait_s, webhook.in_s)
                continue  # its first message is not due yet
            self._tasks[webhook.webhook_id] = asyncio.create_task(self._deliver_waiting(webhook.webhook_id))
        return max(wait_s, MIN_WAIT_S)

    async def wait_until_idle(self) -> None:
        """Wait until all deliveries that were started have ended."""
        await asyncio.gather(*self._tasks.values())

    async def send_test(self, webhook: Webhook) -> str:
        """Deliver a test message to a webhook, once; return its id.

        Raises:
            NotFound: the webhook was deleted.
            Unavailable: the database is unreachable.
        """
        data: dict[str, Any] = {"webhook_id": webhook.webhook_id, "name": webhook.name}
        delivery = await webhooks.insert_active(self._db, webhook.webhook_id, WebhookEvent.TEST, data)
        delivery = require_row(delivery, "webhook", webhook.webhook_id)
        from greenroom.api.webhooks.sending import Sender  # noqa: PLC0415 -- see `_deliver_waiting`

        async with Sender(trusted_hosts(self._snapshot.installation.webhook_hosts)) as sender:
            await self._deliver(sender, delivery)
        return delivery.delivery_id

    async def send_deletion(self, webhook: Webhook, secret_encrypted: bytes) -> None:
        """Send the event of the audit about its own deletion to a deleted webhook, once, so that its receiver learns
        why no further event arrives. The event is stored."""
        with log_item_error("webhook", webhook.webhook_id):
            event = await read_deletion(self._db, webhook.webhook_id)
            if event is None:
                raise Unexpected("The audit has no event about its deletion.")
            message = ActiveDelivery(
                delivery_id=str(uuid.uuid4()),
                event=str(WebhookEvent.AUDIT_EVENT),
                at=event.time,
                data=event_object(event),
                attempts=1,
                webhook_id=webhook.webhook_id,
                name=webhook.name,
                url=webhook.url,
                secret_encrypted=secret_encrypted,
            )
            from greenroom.api.webhooks.sending import Sender  # noqa: PLC0415 -- see `_deliver_waiting`

            async with Sender(trusted_hosts(self._snapshot.installation.webhook_hosts)) as sender:
                attempt = await self._attempt(sender, message)
            if after_attempt(attempt, 1, event=message.event, spread=0.0).state is not DeliveryState.DELIVERED:
                self._log_given_up(message, attempt)

    async def _deliver_waiting(self, webhook_id: str) -> None:
        from greenroom.api.webhooks.sending import Sender  # noqa: PLC0415 -- 20 MB, and few installations have webhooks

        try:
            async with Sender(trusted_hosts(self._snapshot.installation.webhook_hosts)) as sender:
                while deliveries := await webhooks.take_due(self._db, webhook_id, MAX_PARALLEL):
                    async with asyncio.TaskGroup() as group:
                        for delivery in deliveries:
                            group.create_task(self._try_deliver(sender, delivery))
            self.wake()
        except* Unavailable as errors:
            reasons = [str(error) for error in errors.exceptions]
            log.warning("messages of a webhook are delayed", webhook_id=webhook_id, reasons=reasons)
        except* Exception:
            log.exception("messages of a webhook are delayed", webhook_id=webhook_id)
        finally:
            del self._tasks[webhook_id]

    async def _try_deliver(self, sender: Sender, delivery: ActiveDelivery) -> None:
        """Deliver a message. If the attempt cannot be recorded, the message is taken again later."""
        with log_item_error("message", delivery.delivery_id):
            await self._deliver(sender, delivery)

    async def _deliver(self, sender: Sender, delivery: ActiveDelivery) -> None:
        attempt = await self._attempt(sender, delivery)
        spread = random.random()  # noqa: S311 -- spreads load
        result = after_attempt(attempt, delivery.attempts, event=delivery.event, spread=spread)
        await webhooks.record_attempt(self._db, delivery, attempt, result)
        self.outcomes[str(result.state)] += 1
        if result.state is DeliveryState.GIVEN_UP and delivery.event != str(WebhookEvent.TEST):
            self._log_given_up(delivery, attempt)

    def _log_given_up(self, delivery: ActiveDelivery, attempt: DeliveryAttempt) -> None:
        self._logs.write(
            LogCode.WEBHOOK_GIVEN_UP,
            f"Webhook {delivery.name} did not get {delivery.event} after {delivery.attempts} attempts: {attempt.text}",
            details={
                "webhook_id": delivery.webhook_id,
                "delivery_id": delivery.delivery_id,
                "event": delivery.event,
            },
        )

    async def _attempt(self, sender: Sender, delivery: ActiveDelivery) -> DeliveryAttempt:
        try:
            with convert_item_error("message", delivery.delivery_id):
                body = body_of(delivery.event, delivery.delivery_id, delivery.at, delivery.data)
                secret = self._secrets.decrypt(delivery.secret_encrypted)
                headers = signed_headers(secret, delivery.delivery_id, int(time.time()), body)
                return await sender.post(delivery.url, headers, body)
        except SetupError as error:
            return DeliveryAttempt(error=f"it cannot be signed: {error.message}")
        except GreenroomError as error:
            return DeliveryAttempt(error=error.message)

    async def _give_up_excess_messages(self) -> None:
        limit = MAX_WAITING_MESSAGES
        reason = f"More than {limit} newer messages waited for this webhook."
        for name, number in await webhooks.give_up_excess_deliveries(self._db, limit, reason):
            self._logs.write(
                LogCode.WEBHOOK_GIVEN_UP,
                f"Webhook {name} did not get {number} events: more than {limit} newer messages wait for it.",
                details={"webhook": name, "count": number},
            )
