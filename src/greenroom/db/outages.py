"""Errors if the database cannot be reached or cancels a statement: one sentence for users, and the cause for the log.

The cause is the text of the driver. Users of the api must not see its addresses and host names.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from greenroom.core.errors import DatabaseUnavailable, StatementCanceled
from greenroom.kit.repeats import RepeatFilter

log = structlog.get_logger(__name__)

LOG_AGAIN_S: Final = 60.0
"""The time for which the same cause is not logged again."""


class Outages:
    """Creates the errors of one process, and logs each cause once in `LOG_AGAIN_S`."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._repeats = RepeatFilter(LOG_AGAIN_S, now_s=now_s)

    def unavailable(self, cause: object) -> DatabaseUnavailable:
        """Return the error for a database that cannot be reached; `cause` is an error of the driver, or a sentence."""
        return DatabaseUnavailable(self._log("the database cannot be reached", cause))

    def canceled(self, cause: object) -> StatementCanceled:
        """Return the error for a statement that the database canceled."""
        self._log("the database canceled a statement", cause)
        return StatementCanceled()

    def _log(self, event: str, cause: object) -> str:
        """Log the event unless it was logged recently, and return the cause on one line."""
        reason = " ".join(str(cause).split()) or type(cause).__name__
        if self._repeats.must_log(event, reason):
            log.warning(event, reason=reason)
        return reason


outages: Final = Outages()
