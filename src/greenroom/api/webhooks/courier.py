"""Delivery of messages: a few at a time per webhook, so that a slow one does not delay others.

All apis deliver. A process takes a message for a limited time (`db.webhooks.take`); if the process ends, another one
takes it. So a message may arrive twice, with the same id, but is not lost.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import structlog

from greenroom.api.installation import Snapshot
from greenroom.core.errors import GreenroomError, SetupError, Unavailable, require_row
from greenroom.core.log_codes import LogCode
from greenroom.core.outgoing import trusted_hosts
from greenroom.core.webhooks import DeliveryAttempt, DeliveryState, WebhookEvent, body_of, signed_headers, verdict
from greenroom.db import webhooks
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.webhooks import ActiveDelivery, Webhook
from greenroom.kit.concurrency import logged_item, one_item, wait_for
from greenroom.kit.secrets import Secrets

if TYPE_CHECKING:
    from greenroom.api.webhooks.sending import Sender

log = structlog.get_logger(__name__)

AT_ONCE: Final = 8
"""The maximum number of messages to one webhook in progress in one process."""
POLL_S: Final = 30.0
"""The interval of checks without a notification."""
LEAST_WAIT_S: Final = 0.05
BOUND_S: Final = 60.0
"""The interval of checks for too many waiting messages."""
MOST_WAITING: Final = 5000
"""The maximum number of messages that wait for one webhook."""


class Courier:
    """Delivers the messages that are due, until cancelled."""

    def __init__(self, db: Database, secrets: Secrets, logs: LogWriter, snapshot: Snapshot) -> None:
        self._db = db
        self._secrets = secrets
        self._logs = logs
        self._snapshot = snapshot
        self._woken = asyncio.Event()
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._bounded_s = time.monotonic()
        self.outcomes: Counter[str] = Counter({str(state): 0 for state in DeliveryState})
        """The number of attempts by the resulting state of the message; `waiting` = it is tried again."""

    def wake(self) -> None:
        """Check for due messages now."""
        self._woken.set()

    async def run(self) -> None:
        """Run forever; wait while the database is unreachable."""
        try:
            while True:
                self._woken.clear()
                try:
                    with one_item("webhooks"):
                        wait_s = await self.serve_due()
                except GreenroomError as error:
                    log.warning("webhooks wait", reason=error.message)
                    wait_s = POLL_S
                await wait_for(self._woken, wait_s)
        finally:
            for task in self._serving.values():
                task.cancel()
            await asyncio.gather(*self._serving.values(), return_exceptions=True)

    async def serve_due(self) -> float:
        """Begin to serve the webhooks with due messages; return the time in seconds until the next check. Raises
        Unavailable: the database is unreachable."""
        if time.monotonic() - self._bounded_s > BOUND_S:
            self._bounded_s = time.monotonic()
            await self._give_up_beyond()
        wait_s = POLL_S
        for webhook in await webhooks.due_webhooks(self._db):
            if webhook.webhook_id in self._serving:
                continue  # the serving task checks again at its end
            if webhook.in_s > 0:
                wait_s = min(wait_s, webhook.in_s)
                continue
            self._serving[webhook.webhook_id] = asyncio.create_task(self._serve(webhook.webhook_id))
        return max(wait_s, LEAST_WAIT_S)

    async def settled(self) -> None:
        """Wait until no webhook is being served."""
        await asyncio.gather(*self._serving.values())

    async def send_test(self, webhook: Webhook) -> str:
        """Deliver a test message to a webhook, once; return its id.

        Raises:
            NotFound: the webhook was deleted.
            Unavailable: the database is unreachable.
        """
        data: dict[str, Any] = {"webhook_id": webhook.webhook_id, "name": webhook.name}
        taken = await webhooks.insert_active(self._db, webhook.webhook_id, WebhookEvent.TEST, data)
        taken = require_row(taken, "webhook", webhook.webhook_id)
        from greenroom.api.webhooks.sending import Sender  # noqa: PLC0415 -- see `_serve`

        async with Sender(trusted_hosts(self._snapshot.installation.webhook_hosts)) as sender:
            await self._deliver(sender, taken)
        return taken.delivery_id

    async def _serve(self, webhook_id: str) -> None:
        from greenroom.api.webhooks.sending import Sender  # noqa: PLC0415 -- 20 MB, and few installations have webhooks

        try:
            async with Sender(trusted_hosts(self._snapshot.installation.webhook_hosts)) as sender:
                while taken := await webhooks.take(self._db, webhook_id, AT_ONCE):
                    async with asyncio.TaskGroup() as group:
                        for one in taken:
                            group.create_task(self._try_deliver(sender, one))
            self.wake()
        except* Unavailable as errors:
            reasons = [str(error) for error in errors.exceptions]
            log.warning("messages of a webhook are put off", webhook_id=webhook_id, reasons=reasons)
        except* Exception:
            log.exception("messages of a webhook are put off", webhook_id=webhook_id)
        finally:
            del self._serving[webhook_id]

    async def _try_deliver(self, sender: Sender, taken: ActiveDelivery) -> None:
        """Deliver a message. If the attempt cannot be recorded, the message is taken again later."""
        with logged_item("message", taken.delivery_id):
            await self._deliver(sender, taken)

    async def _deliver(self, sender: Sender, taken: ActiveDelivery) -> None:
        attempt = await self._attempt(sender, taken)
        once = taken.event == str(WebhookEvent.TEST)
        result = verdict(attempt, taken.attempts, once=once, spread=random.random())  # noqa: S311 -- spreads load
        await webhooks.record_attempt(self._db, taken, attempt, result)
        self.outcomes[str(result.state)] += 1
        if result.state is DeliveryState.GIVEN_UP and not once:
            self._logs.write(
                LogCode.WEBHOOK_GIVEN_UP,
                f"Webhook {taken.name} did not get {taken.event} after {taken.attempts} attempts: {attempt.text}",
                details={"webhook_id": taken.webhook_id, "delivery_id": taken.delivery_id, "event": taken.event},
            )

    async def _attempt(self, sender: Sender, taken: ActiveDelivery) -> DeliveryAttempt:
        try:
            with one_item("message", taken.delivery_id):
                body = body_of(taken.event, taken.delivery_id, taken.at, taken.data)
                secret = self._secrets.decrypt(taken.secret_encrypted)
                headers = signed_headers(secret, taken.delivery_id, int(time.time()), body)
                return await sender.post(taken.url, headers, body)
        except SetupError as error:
            return DeliveryAttempt(error=f"it cannot be signed: {error.message}")
        except GreenroomError as error:
            return DeliveryAttempt(error=error.message)

    async def _give_up_beyond(self) -> None:
        reason = f"More than {MOST_WAITING} newer messages waited for this webhook."
        for name, number in await webhooks.give_up_beyond(self._db, MOST_WAITING, reason):
            self._logs.write(
                LogCode.WEBHOOK_GIVEN_UP,
                f"Webhook {name} did not get {number} events: more than {MOST_WAITING} newer messages wait for it.",
                details={"webhook": name, "count": number},
            )
