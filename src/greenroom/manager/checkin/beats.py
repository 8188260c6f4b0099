"""Signs of life: what messages without news say of their Agents, stored within `DELAY_S` (docs/explanation/protocols.md
§2).

Nothing waits for them, and nothing that is waited for waits for them: each statement is a transaction of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from greenroom.core.errors import Unavailable
from greenroom.core.fleet.liveness import DELAY_S
from greenroom.core.session.observations import is_newer
from greenroom.db.database import Database
from greenroom.db.fleet import reports
from greenroom.db.fleet.managers import ManagerRow
from greenroom.manager.checkin.commit import MOST, progress
from greenroom.wire.messages import CheckIn

log = structlog.get_logger(__name__)


class Beats:
    """Those that wait to be stored, the newest of each Agent."""

    def __init__(self, db: Database, me: ManagerRow) -> None:
        self._db = db
        self._me = me
        self._waiting: dict[str, CheckIn] = {}

    def add(self, message: CheckIn) -> None:
        held = self._waiting.setdefault(message.agent_id, message)
        if is_newer(message.incarnation, message.seq, held.incarnation, held.seq):
            self._waiting[message.agent_id] = message

    async def run(self) -> None:
        while True:
            await asyncio.sleep(DELAY_S)
            waiting, self._waiting = list(self._waiting.values()), {}
            for i in range(0, len(waiting), MOST):
                await self._store(waiting[i : i + MOST])

    async def _store(self, messages: Sequence[CheckIn]) -> None:
        """What the database does not take now is tried again; one that it refuses stops no other Agent's."""
        try:
            async with self._db.connection() as connection:
                await reports.advance(connection, self._me.manager_id, [progress(message) for message in messages])
        except Unavailable as error:
            log.warning("signs of life wait for the database", agents=len(messages), reason=error.message)
            for message in messages:
                self.add(message)
        except Exception as error:  # noqa: BLE001 -- no message may end this Manager
            if len(messages) > 1:
                for message in messages:
                    await self._store([message])
            else:
                reason = str(error).strip() or type(error).__name__
                log.error("a sign of life cannot be stored", agent_id=messages[0].agent_id, reason=reason)
