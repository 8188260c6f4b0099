"""Gives launches their turns, so that more than the installation can serve do not slow down each other."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Final

from greenroom.api.diagnostics.metrics import Metrics
from greenroom.api.launch.log import LaunchLog
from greenroom.core.errors import Busy
from greenroom.core.launch.forecast import AT_ONCE, Pace, refused_step
from greenroom.core.launch.request import LaunchRequest
from greenroom.db.database import Database
from greenroom.db.diagnostics.batches import WaitingRows
from greenroom.db.launch.ledger import FAILED_LAUNCHES, FailedLaunch
from greenroom.kit.concurrency import Turns

MOST_UNWRITTEN: Final = 10_000


class Admission:
    """The turns of one api. Users take turns, so that one with many launches delays another's by one of its own.

    Refused launches go to the ledger together: a statement each would be paid by those that are served.
    """

    def __init__(self, db: Database, log: LaunchLog, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics
        self._pace = Pace()
        self._turns = Turns(AT_ONCE, lambda waiting, _: self._pace.admit(waiting))
        self._refused = WaitingRows[FailedLaunch](
            db, FAILED_LAUNCHES, asdict, what="refused launches", most=MOST_UNWRITTEN
        )
        self._writing: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def turn(self, request: LaunchRequest) -> AsyncGenerator[None]:
        """Wait for the turn of a launch, and have it for as long as the context lasts.

        Raises:
            Busy: too many wait already; the launch is in the ledger.
        """
        try:
            async with self._turns.turn(request.user_id):
                begin_s = time.perf_counter()
                try:
                    yield
                finally:
                    self._pace.served(time.perf_counter() - begin_s)
        except Busy as error:
            self._refuse(request, error)
            raise

    def _refuse(self, request: LaunchRequest, error: Busy) -> None:
        launch_id, steps = str(uuid.uuid4()), (refused_step(error),)
        error.details["launch_id"] = launch_id
        self._metrics.launched("failed", steps, "", 0.0)
        self._log.got_no_turn(request, error, launch_id)
        user_id, image_id = request.user_id, request.image_id
        self._refused.add(
            FailedLaunch(launch_id=launch_id, user_id=user_id, image_id=image_id, steps=steps, duration_ms=0.0)
        )
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while await self._refused.write():
            pass
