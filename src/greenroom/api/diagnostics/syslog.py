"""Delivery of the audit to a syslog server: in order, and at least once.

All api processes try; one at a time delivers, and stores the last delivered event. Syslog has no acknowledgment: events
that the server received but did not store before it failed are lost there, and stay in the audit.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Final

import structlog

from greenroom.core.audit import ChainedEvent, reduced
from greenroom.core.log_codes import LogCode
from greenroom.core.rate_limits import Backoff
from greenroom.core.syslog import SyslogTarget, syslog_frame
from greenroom.core.text import summary
from greenroom.db.database import Database
from greenroom.db.diagnostics.audit import lock_delivery, read_batch, store_delivered
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.kit.repeats import RepeatFilter

log = structlog.get_logger(__name__)

CHECK_INTERVAL_S: Final = 1.0
BACKOFF: Final = Backoff(2.0, 60.0)
MAX_EVENTS: Final = 200
"""The maximum number of events in a batch."""
TIMEOUT_S: Final = 3.0
"""The time limit of a connection and of a batch. It is shorter than the limit of a transaction, which lasts as long."""
LOG_INTERVAL_S: Final = 600.0


class SyslogDelivery:
    """Delivers events to one server. `ca_file` has the authorities of its certificate; None = those of the system."""

    def __init__(self, db: Database, logs: LogWriter, url: str, ca_file: Path | None, hostname: str) -> None:
        self._db = db
        self._logs = logs
        self._url = url
        self._target = SyslogTarget.parse(url)
        self._ca_file = ca_file
        self._hostname = hostname
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._failures = RepeatFilter(LOG_INTERVAL_S)

    async def run(self) -> None:
        """Deliver events forever, with pauses after failures."""
        failures = 0
        try:
            while True:
                try:
                    while await self.deliver_batch():
                        failures = 0
                except Exception as error:  # noqa: BLE001 -- no event and no server may end this process
                    self._disconnect()
                    failures += 1
                    self._report(error)
                await asyncio.sleep(max(CHECK_INTERVAL_S, BACKOFF.delay_s(failures)))
        finally:
            self._disconnect()

    async def deliver_batch(self) -> bool:
        """Deliver the next events; return False if there is none, or another process delivers.

        Raises:
            OSError: the server cannot be reached, or its certificate is not valid.
            TimeoutError: the server did not accept the events in time.
            Unavailable: the database cannot be reached.
        """
        async with self._db.transaction() as connection:
            last_id = await lock_delivery(connection, self._url)
            events = [] if last_id is None else await read_batch(connection, last_id, MAX_EVENTS)
            if not events:
                return False
            async with asyncio.timeout(TIMEOUT_S):
                await self._send(events)
            await store_delivered(connection, self._url, events[-1].event_id)
        return True

    async def _send(self, events: list[ChainedEvent]) -> None:
        if self._connection is None or self._connection[0].at_eof():
            self._disconnect()
            tls = ssl.create_default_context(cafile=self._ca_file) if self._target.encrypted else None
            self._connection = await asyncio.open_connection(self._target.host, self._target.port, ssl=tls)
        writer = self._connection[1]
        writer.writelines(self._frame(event) for event in events)
        await writer.drain()

    def _frame(self, event: ChainedEvent) -> bytes:
        """Return the message of an event; of an event that cannot be converted, a message with its id and its code."""
        try:
            return syslog_frame(event, self._hostname)
        except Exception as error:
            log.exception("an event of the audit cannot be sent in its full form", event_id=event.event_id)
            return syslog_frame(reduced(event, type(error).__name__), self._hostname)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None

    def _report(self, error: Exception) -> None:
        is_timeout = isinstance(error, TimeoutError) and not str(error)
        reason = "no answer in time" if is_timeout else summary(error)
        log.warning("the audit was not delivered", target=self._url, reason=reason)
        if self._failures.must_log(self._url):
            sentence = f"The audit was not delivered to {self._url}: {reason}. Greenroom tries again."
            self._logs.write(LogCode.AUDIT_DELIVERY_FAILED, sentence)
