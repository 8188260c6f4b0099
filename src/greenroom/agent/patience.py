"""What an Agent waits for gets time in proportion to how late the Agent and its host are (`core.lateness`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from greenroom.core.lateness import Lateness, allowed_s, because, times
from greenroom.core.sessions import SessionSpec
from greenroom.runtimes.base import ProbeResult, Runtime

T = TypeVar("T")

MOST_LOOK_S: Final = 15.0
"""No single look at a page takes longer."""


class Patience:
    """Waits as long as the host needs at the moment."""

    def __init__(self, lateness: Callable[[], Lateness]) -> None:
        self._lateness = lateness

    def allowed_s(self, limit_s: float, most_s: float = MOST_LOOK_S) -> float:
        """What becomes of a limit now."""
        return allowed_s(limit_s, self._lateness(), most_s)

    def quiet_s(self, spent_s: float) -> float:
        """How much of a limit is used up when so long was waited."""
        return spent_s / times(self._lateness())

    def because(self) -> str:
        """Why it is more, as the end of a sentence."""
        return because(self._lateness())

    async def wait_for(self, work: Coroutine[Any, Any, T], limit_s: float) -> T:
        """The result of `work`; how long it may take is asked again when the time seems to be over.

        Raises:
            TimeoutError: it is over; the work was cancelled.
        """
        task = asyncio.ensure_future(work)
        begun = time.monotonic()
        try:
            while (left_s := begun + self.allowed_s(limit_s) - time.monotonic()) > 0 and not task.done():
                await asyncio.wait({task}, timeout=left_s)
            if not task.done():
                raise TimeoutError
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def look(self, runtime: Runtime, address: str, spec: SessionSpec, limit_s: float) -> ProbeResult:
        """Look at a session's page; `silent` where it gave no answer in the time it was given."""
        begun = time.monotonic()
        try:
            return await self.wait_for(runtime.probe(address, spec, MOST_LOOK_S), limit_s)
        except TimeoutError:
            spent_s = time.monotonic() - begun
            sentence = f"The session's page did not answer within {spent_s:.1f} s{self.because()}."
            return ProbeResult(usable=False, silent=True, error=sentence)
