"""Receives the notifications of commits (LISTEN), so that readers need not wait for their next poll. After a lost
notification, they find the change at the next poll."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import psycopg
import structlog

from greenroom.core.events import ChangeEvent
from greenroom.db.connections import ANSWER_SLACK_S, KEEPALIVE_OPTIONS, TimeLimitedConnection, reraise_lost_cancellation
from greenroom.db.database import CHANNEL
from greenroom.db.outages import outages

log = structlog.get_logger(__name__)

ListenConnection = TimeLimitedConnection[tuple[object, ...]]

RECONNECT_S: Final = 0.5
CHECK_S: Final = 12.0
"""The interval of statements that check the server, because a frozen server does not end its connections."""
_LISTENER_ANSWER_TIMEOUT_S: Final = 5.0 + ANSWER_SLACK_S
"""The time to wait for an answer. `prepare` may wait 5 s for a lock (`db.fleet.managers.lock_instance_id`)."""


class Listener:
    """A LISTEN connection to PostgreSQL, opened again when it is lost (*L* in docs/explanation/protocols.md §1).

    `on_event` must return immediately. `on_connect` is called after every new connection, because events may have been
    missed. `prepare` is awaited with every new connection before LISTEN, for example to take an advisory lock; its
    errors end `run`, except the loss of the connection.
    """

    def __init__(
        self,
        dsn: str,
        *,
        application_name: str,
        on_event: Callable[[ChangeEvent], None],
        on_connect: Callable[[], None] = lambda: None,
        prepare: Callable[[ListenConnection], Awaitable[None]] | None = None,
    ) -> None:
        self._dsn = dsn
        self._name = application_name
        self._on_event = on_event
        self._on_connect = on_connect
        self._prepare = prepare
        self._connection: ListenConnection | None = None

    async def open(self) -> None:
        """Connect before `run`, so that an error of `prepare` is raised here. Raises Unavailable: the database cannot
        be reached."""
        try:
            self._connection = await self._connect()
        except (psycopg.OperationalError, OSError) as error:
            raise outages.unavailable(error) from error

    async def close(self) -> None:
        """Close the connection, which also releases its advisory locks."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def run(self) -> None:
        while True:
            try:
                with reraise_lost_cancellation():
                    if self._connection is None:
                        self._connection = await self._connect()
                    await self._receive(self._connection)
            except (psycopg.OperationalError, OSError) as error:
                log.warning("notifications interrupted", reason=str(error).strip())
            finally:
                await self.close()
            await asyncio.sleep(RECONNECT_S)

    async def _connect(self) -> ListenConnection:
        connection = await TimeLimitedConnection.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=5,
            application_name=self._name,
            # The server must detect a lost client: this connection may hold an advisory lock.
            options="-c tcp_keepalives_idle=2 -c tcp_keepalives_interval=1 -c tcp_user_timeout=3000",
            **KEEPALIVE_OPTIONS,
        )
        connection.answer_timeout_s = _LISTENER_ANSWER_TIMEOUT_S
        try:
            if self._prepare is not None:
                await self._prepare(connection)
            await connection.execute(f"LISTEN {CHANNEL}")
        except BaseException:
            await connection.close()
            raise
        self._on_connect()
        return connection

    async def _receive(self, connection: ListenConnection) -> None:
        while True:
            async for notification in connection.notifies(timeout=CHECK_S):
                if (event := ChangeEvent.parse(notification.payload)) is not None:
                    self._on_event(event)
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    return
            await connection.execute("")
