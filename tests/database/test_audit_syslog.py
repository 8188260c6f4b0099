"""The audit reaches a syslog server: in order, at least once, also after an interruption, and with a verified
certificate."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.processes import free_port
from tests.support.waiting import eventually

from greenroom.api.diagnostics import syslog
from greenroom.api.diagnostics.syslog import SyslogDelivery
from greenroom.core.audit import AuditEvent, ChainedEvent
from greenroom.core.syslog import syslog_frame
from greenroom.db.database import Database
from greenroom.db.diagnostics.audit import append_events
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.kit.certificates import key_to_pem, new_authority, new_key
from greenroom.kit.secrets import Secrets

SECRETS: Final = Secrets(bytes(32))


class SyslogServer:
    """A server that reads messages with octet counting. It can be stopped and started again at the same port."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self.port = free_port()
        self.events: list[dict[str, Any]] = []

    @property
    def ids(self) -> list[int]:
        return [event["event_id"] for event in self.events]

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for client in self._clients:
            client.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while length := await reader.readuntil(b" "):
                message = await reader.readexactly(int(length))
                self.events.append(json.loads(message.decode().partition("\ufeff")[2]))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[SyslogServer]:
    made = SyslogServer()
    await made.start()
    yield made
    await made.stop()


async def write(db: Database, number: int) -> None:
    events = [AuditEvent(code="login", message=f"{n}", interface="api", actor_kind="user") for n in range(number)]
    async with db.transaction() as connection:
        await append_events(connection, SECRETS, events)


def delivery_to(db: Database, port: int, scheme: str = "tcp", ca_file: Path | None = None) -> SyslogDelivery:
    return SyslogDelivery(db, LogWriter(db, "api"), f"{scheme}://127.0.0.1:{port}", ca_file, "desk.example.org")


async def deliver(delivery: SyslogDelivery) -> None:
    while await delivery.deliver_batch():
        pass


async def test_events_arrive_in_order_and_once(db: Database, server: SyslogServer):
    await write(db, 450)
    first, second = delivery_to(db, server.port), delivery_to(db, server.port)
    await asyncio.gather(deliver(first), deliver(second))
    await deliver(first)
    await eventually(lambda: len(server.ids) == 450)
    assert sorted(server.ids) == list(range(1, 451))
    await write(db, 1)
    await deliver(second)
    await eventually(lambda: server.ids[-1] == 451)


async def test_events_wait_while_the_server_is_away(db: Database, server: SyslogServer):
    delivery = delivery_to(db, server.port)
    await write(db, 1)
    await deliver(delivery)
    await eventually(lambda: server.ids == [1])
    await server.stop()
    await write(db, 2)
    with pytest.raises(OSError, match=r".*"):
        await deliver(delivery_to(db, server.port))
    await server.start()
    await deliver(delivery_to(db, server.port))
    await eventually(lambda: server.ids == [1, 2, 3])


async def test_the_loop_logs_a_failure_and_continues(db: Database, server: SyslogServer):
    logs = LogWriter(db, "api")
    await server.stop()
    await write(db, 1)
    running = asyncio.create_task(SyslogDelivery(db, logs, f"tcp://127.0.0.1:{server.port}", None, "").run())
    await eventually(lambda: logs.counts["WARNING"] == 1)
    await server.start()
    await eventually(lambda: server.ids == [1])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_certificate_is_verified(db: Database, tmp_path: Path):
    now, key = datetime.now(UTC), new_key()
    authority = new_authority("test", now)
    (tmp_path / "ca.pem").write_text(authority.certificate)
    (tmp_path / "server.pem").write_text(key_to_pem(key) + authority.sign(key.public_key(), ["127.0.0.1"], 2, now))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "server.pem")
    server = SyslogServer(tls)
    await server.start()
    await write(db, 1)
    with pytest.raises(ssl.SSLCertVerificationError):
        await deliver(delivery_to(db, server.port, "tls"))
    await deliver(delivery_to(db, server.port, "tls", tmp_path / "ca.pem"))
    await eventually(lambda: server.ids == [1])
    await server.stop()


async def test_events_that_cannot_be_read_or_converted_do_not_end_the_delivery(
    db: Database, server: SyslogServer, monkeypatch: pytest.MonkeyPatch
):
    def refusing(event: ChainedEvent, hostname: str) -> bytes:
        if event.message == "3":
            raise ValueError("no message")
        return syslog_frame(event, hostname)

    monkeypatch.setattr(syslog, "syslog_frame", refusing)
    await write(db, 5)
    await db.write('UPDATE audit_events SET details = \'{"after": {"notes": "AAA\' WHERE event_id = 2')
    await deliver(delivery_to(db, server.port))
    await eventually(lambda: server.ids == [1, 2, 3, 4, 5])
    assert server.events[1]["details"] == {"unreadable": '{"after": {"notes": "AAA'}
    assert server.events[3]["message"] == "The event login was refused in its full form: ValueError"


async def test_an_unexpected_error_does_not_end_the_loop(db: Database, server: SyslogServer):
    logs = LogWriter(db, "api")
    delivery = SyslogDelivery(db, logs, f"tcp://127.0.0.1:{server.port}", None, "")
    await write(db, 1)
    await db.write("ALTER TABLE audit_deliveries RENAME TO audit_deliveries_away")
    running = asyncio.create_task(delivery.run())
    await eventually(lambda: logs.counts["WARNING"] == 1)
    await db.write("ALTER TABLE audit_deliveries_away RENAME TO audit_deliveries")
    await eventually(lambda: server.ids == [1])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
